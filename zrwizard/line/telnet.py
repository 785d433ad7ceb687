"""The telnet a serial console needs: negotiate once, then get out of the way (RFC 854, 856-858)."""

from __future__ import annotations

IAC, DONT, DO, WONT, WILL, SB, SE = 255, 254, 253, 252, 251, 250, 240
BREAK = 243
BINARY, ECHO, SGA = 0, 1, 3
QEMU_GREETING = bytes([IAC, WILL, ECHO, IAC, WILL, SGA, IAC, WILL, BINARY, IAC, DO, BINARY])


class Telnet:
    """A stateful telnet filter.

    QEMU's server greets and then passes raw bytes, 0xFF included: once its greeting was seen as
    the very first bytes, the filter reads nothing more into them (facts of the console).
    """

    def __init__(self) -> None:
        self.binary_out = False
        self._qemu = False
        self._first = b""
        self._state = "data"
        self._command = 0
        self._agreed: set[tuple[int, int]] = set()

    @property
    def qemu(self) -> bool:
        """Whether the other end is QEMU, which understands no telnet command."""
        return self._qemu

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
                    self._qemu = self.binary_out = True
                    plain += data[index + 1 :]
                    reply.clear()
                    break
        return bytes(plain), bytes(reply)

    def _byte(self, byte: int, plain: bytearray, reply: bytearray) -> None:
        match self._state:
            case "data" if byte == IAC:
                self._state = "iac"
            case "data":
                plain.append(byte)
            case "iac" if byte == IAC:
                plain.append(IAC)
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

    def _negotiate(self, command: int, option: int, reply: bytearray) -> None:
        """Answer each demand once: a second answer to the same one could loop for ever."""
        if (command, option) in self._agreed:
            return
        self._agreed.add((command, option))
        match command:
            case 251:
                wanted = option in (BINARY, ECHO, SGA)
                reply += bytes([IAC, DO if wanted else DONT, option])
            case 253:
                wanted = option in (BINARY, SGA)
                self.binary_out = self.binary_out or option == BINARY
                reply += bytes([IAC, WILL if wanted else WONT, option])

    def encode(self, data: bytes) -> bytes:
        """Return console bytes as telnet: 0xFF doubled, CR as CR NUL where not in binary."""
        data = data.replace(b"\xff", b"\xff\xff")
        return data if self.binary_out else data.replace(b"\r", b"\r\x00")
