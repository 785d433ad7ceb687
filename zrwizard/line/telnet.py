"""The telnet a serial console needs: negotiate once, then get out of the way (RFC 854, 856-858)."""

from __future__ import annotations

from collections import Counter

IAC, DONT, DO, WONT, WILL, SB, SE = 255, 254, 253, 252, 251, 250, 240
BREAK = 243
BINARY, ECHO, SGA, TIMING_MARK = 0, 1, 3, 6
CR, NUL = 13, 0
QEMU_GREETING = bytes([IAC, WILL, ECHO, IAC, WILL, SGA, IAC, WILL, BINARY, IAC, DO, BINARY])
_THEIRS = frozenset({BINARY, ECHO, SGA})
_OURS = frozenset({BINARY, SGA})
_MOST_ANSWERS = 16


class Telnet:
    """A stateful telnet filter.

    QEMU's server greets and then passes raw bytes, 0xFF included: once its greeting was seen as
    the very first bytes, the filter reads nothing more into them (facts of the console).
    """

    def __init__(self) -> None:
        self._qemu = False
        self._first = b""
        self._state = "data"
        self._command = 0
        self._after_cr = False
        self._on: dict[bool, set[int]] = {True: set(), False: set()}
        self._refused: dict[bool, set[int]] = {True: set(), False: set()}
        self._answers: Counter[tuple[bool, int]] = Counter()

    @property
    def qemu(self) -> bool:
        """Whether the other end is QEMU, which understands no telnet command."""
        return self._qemu

    @property
    def binary_out(self) -> bool:
        """Whether what we send is 8-bit binary: a CR then stands for itself (RFC 856)."""
        return BINARY in self._on[False]

    @property
    def binary_in(self) -> bool:
        """Whether what the server sends is binary; else its CR NUL is a CR (RFC 854)."""
        return BINARY in self._on[True]

    def decode(self, data: bytes) -> tuple[bytes, bytes]:
        """Return (console bytes, telnet replies)."""
        if self._qemu:
            return data, b""
        plain, reply = bytearray(), bytearray()
        for index, byte in enumerate(data):
            self._byte(byte, plain, reply)
            if len(self._first) < len(QEMU_GREETING):
                self._first += bytes([byte])
                if self._first == QEMU_GREETING:
                    self._qemu = True
                    plain += data[index + 1 :]
                    reply.clear()
                    break
        return bytes(plain), bytes(reply)

    def _byte(self, byte: int, plain: bytearray, reply: bytearray) -> None:
        match self._state:
            case "data" if byte == IAC:
                self._state = "iac"
            case "data":
                self._data(byte, plain)
            case "iac" if byte == IAC:
                self._data(IAC, plain)
                self._state = "data"
            case "iac" if byte in (WILL, WONT, DO, DONT):
                self._command, self._state = byte, "option"
            case "iac" if byte == SB:
                self._state = "sb"
            case "iac":
                self._state = "data"
            case "option":
                self._negotiate(self._command, byte, reply)
                self._state = "data"
            case "sb" if byte == IAC:
                self._state = "sb-iac"
            case "sb-iac":
                self._state = "data" if byte == SE else "sb"

    def _data(self, byte: int, plain: bytearray) -> None:
        """Pass one byte on; the NUL that follows a CR only says that no LF does."""
        if not (byte == NUL and self._after_cr and not self.binary_in):
            plain.append(byte)
        self._after_cr = byte == CR

    def _negotiate(self, command: int, option: int, reply: bytearray) -> None:
        """Answer what changes something, and refuse a thing once.

        A server that takes answers for demands could still go round for ever (RFC 1143): each
        option has a number of answers, and then silence.
        """
        theirs = command in (WILL, WONT)
        yes, no = (DO, DONT) if theirs else (WILL, WONT)
        on, refused = self._on[theirs], self._refused[theirs]
        if option == TIMING_MARK:
            # Not an option but a question, each time anew (RFC 860).
            if command == DO:
                reply += bytes([IAC, WONT, option])
            return
        answer = 0
        if command in (WONT, DONT):
            refused.discard(option)
            if option in on:
                on.discard(option)
                answer = no
        elif option in (_THEIRS if theirs else _OURS):
            if option not in on:
                on.add(option)
                answer = yes
        elif option not in refused:
            refused.add(option)
            answer = no
        if answer and self._answers[theirs, option] < _MOST_ANSWERS:
            self._answers[theirs, option] += 1
            reply += bytes([IAC, answer, option])

    def encode(self, data: bytes) -> bytes:
        """Return console bytes as telnet: 0xFF doubled, CR as CR NUL where not in binary."""
        data = data.replace(b"\xff", b"\xff\xff")
        return data if self.binary_out else data.replace(b"\r", b"\r\x00")
