"""Commands over a noisy line: exact status, exact output, run at most once; or an error.

The target's half is `helpers.py`. Every line that is typed is short, carries its own checksum and
is harmless when damaged (words of base64); every answer is a frame that is either whole or not a
frame. What was not answered is asked again; the id makes that safe.
"""

from __future__ import annotations

import base64
import gzip
import re
import secrets
import time
import zlib
from collections.abc import Callable

from zrwizard.cksum import cksum
from zrwizard.console.console import Console
from zrwizard.console.errors import MachineLost, NoAnswer
from zrwizard.shell.frames import FRAME, End, Gathering, parse_end
from zrwizard.shell.helpers import CHUNK, INLINE, MOST_PARTS

_CTRL_C, _CTRL_Q, _CTRL_U = b"\x03", b"\x11", b"\x15"
_PART = 160
_GZIP_FROM = 4096
_TRIES = 14
_GONE = re.compile(rb"(?:^|\n)[^\n]{0,60}login: $|Console type \[[^]]*\]: $")


def exactly(kind: bytes, text: str) -> Callable[[bytes, bytes], bool]:
    """Return a test that only the frame `kind` with the body `text` passes."""
    want = (kind, text.encode())
    return lambda kind, body: (kind, body) == want


def starting(kind: bytes, prefix: bytes) -> Callable[[bytes, bytes], bool]:
    """Return a test that frames `kind` whose body starts with `prefix` pass."""
    wanted = kind
    return lambda kind, body: kind == wanted and body.startswith(prefix)


class Frames:
    """Speaks with the helpers over one console. Not for two threads at once."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self._rtt = 0.2
        self._accepted: tuple[bytes, bytes] = (b"", b"")
        self._tail = b""

    # -- one question, one answer -------------------------------------------------------------

    def next(self, timeout: float) -> tuple[bytes, bytes, bytes] | None:
        """Return (kind, body, what stood before) of the next frame, None after `timeout`."""
        match = self.console.expect(FRAME, timeout)
        if match is None:
            self._notice(self.console.before)
            return None
        self._tail = b""
        return match[1], match[2], self.console.before

    def _notice(self, seen: bytes) -> None:
        """Raise when the console shows that the machine has started anew."""
        text = seen[-400:].replace(b"\r", b"")
        if text != self._tail:
            self._tail = text
            return
        if _GONE.search(text):
            raise MachineLost(
                "The machine has restarted: its console asks for a login again.",
                "Look at the machine, then start zrwizard again: it looks at what was done.",
            )

    def ask(
        self,
        line: str,
        accept: Callable[[bytes, bytes], bool],
        *,
        shown: str | None = None,
        tries: int = _TRIES,
    ) -> tuple[bytes, bytes]:
        """Type `line` until a frame comes that `accept(kind, body)` takes; return that frame.

        `shown` stands in the transcript instead of a line that carries a secret.
        """
        for attempt in range(tries):
            start = _CTRL_U if attempt else b""
            data = start + line.encode() + b"\r"
            began = time.monotonic()
            if shown is None:
                self.console.write(data)
            else:
                self.console.write_masked(data, shown)
            patience = self._patience(attempt)
            while (left := began + patience - time.monotonic()) > 0:
                frame = self.next(left)
                if frame is None:
                    break
                if accept(frame[0], frame[1]):
                    self._learn(time.monotonic() - began, attempt)
                    self._accepted = frame[:2]
                    return frame[0], frame[1]
                if frame[0] == b"N":
                    break
                if frame[:2] == self._accepted and frame[0] != b"S":
                    # An answer that came twice was asked for twice: the first was only late.
                    self._rtt = min(2.0, self._rtt * 1.3)
        raise NoAnswer(
            "The shell on the console does not answer.",
            "Look at the console by hand; then start zrwizard again.",
        )

    def _patience(self, attempt: int) -> float:
        return min(12.0, (0.25 + 6 * self._rtt) * 1.5 ** min(attempt, 6))

    def _learn(self, seconds: float, attempt: int) -> None:
        """Take the round trip's length from first tries only: a later one is ambiguous."""
        if attempt == 0:
            self._rtt += (seconds - self._rtt) / 4

    # -- parts, commands, files ------------------------------------------------------------------

    def _send_parts(self, id: str, data: bytes, shown: str | None) -> int:
        """Send `data` as checked parts; return how many there are."""
        encoded = base64.b64encode(data).decode()
        parts = [encoded[at : at + _PART] for at in range(0, len(encoded), _PART)]
        if len(parts) > MOST_PARTS:
            raise NoAnswer(
                f"{len(data)} bytes are too many to be typed over a console.", "Use the network."
            )
        for number, part in enumerate(parts):
            check = cksum(f"{id}:{number}:{part}".encode())
            want = f"{id}:{number}"
            self.ask(
                f"zp {id} {number} {check} {part}",
                exactly(b"P", want),
                shown=None if shown is None else f"zp {id} {number} {shown}\r",
            )
        return len(parts)

    def execute(
        self, text: str, mode: str, timeout: float, seen: Callable[[bytes], None] | None = None
    ) -> tuple[End, Gathering]:
        """Run sh `text` once; return its end, and what of its output came along.

        Mode `d` writes both outputs to files, mode `t` leaves them on the terminal, where `seen`
        gets every byte as it comes. Raises `NoAnswer` after `timeout` seconds: it was interrupted
        and its outcome is unknown.
        """
        id = secrets.token_hex(4)
        data = text.encode("utf-8", "surrogateescape")
        check = cksum(f"{id}:{mode}:".encode() + data)
        for _ in range(_TRIES):
            count = self._send_parts(id, data, None)
            line = f"zx {id} {count} {check} {mode}"
            begun = self._begin(line, id)
            if begun is not None:
                break
        else:
            raise NoAnswer(
                "The line damages every command that is typed.", "Check its speed and its cable."
            )
        gathering = Gathering()
        if isinstance(begun, End):
            return begun, gathering
        return self._await_end(id, timeout, gathering, seen), gathering

    def _begin(self, line: str, id: str) -> End | bool | None:
        """Type the command's line; True once it runs, its End if it is over, None on a NAK."""
        wanted = id.encode()
        kind, body = self.ask(
            line,
            lambda kind, body: (
                (kind in (b"S", b"N") and body == wanted)
                or (kind == b"E" and (end := parse_end(body)) is not None and end.id == id)
            ),
        )
        if kind == b"N":
            return None
        return parse_end(body) if kind == b"E" else True

    def _await_end(
        self, id: str, timeout: float, gathering: Gathering, seen: Callable[[bytes], None] | None
    ) -> End:
        deadline = time.monotonic() + timeout
        pause = max(1.0, 4 * self._rtt)
        while (left := deadline - time.monotonic()) > 0:
            frame = self.next(min(pause, left) if seen is None else min(0.15, left))
            if frame is None:
                if seen is not None:
                    seen(self.console.before)
                elif left > pause:
                    # The end frame may have been damaged: the query is idempotent.
                    self.console.write(_CTRL_U + b"zq\r")
                    pause = min(30.0, pause * 2)
                continue
            kind, body, before = frame
            if seen is not None:
                seen(before)
            gathering.take(kind, body)
            if kind == b"E" and (end := parse_end(body)) is not None and end.id == id:
                return end
            if kind == b"R" and body == id.encode():
                raise NoAnswer(
                    "The command was interrupted at the console.", "Look at what it has done."
                )
        return self._interrupt(id, timeout)

    def _interrupt(self, id: str, timeout: float) -> End:
        for wait in (0.5, 1.0, 3.0):
            self.console.write(_CTRL_Q + _CTRL_C)
            self.console.read_until_quiet(wait, wait * 2)
            self.console.write(_CTRL_U + b"zq\r")
            until = time.monotonic() + wait + 4 * self._rtt
            while (left := until - time.monotonic()) > 0 and (frame := self.next(left)):
                if frame[0] in (b"E", b"R"):
                    raise NoAnswer(
                        f"No end within {timeout:.0f} s; the command was interrupted.",
                        "It may hang on a device: see the command, and try it by hand.",
                    )
        raise NoAnswer(
            f"No end within {timeout:.0f} s, and the command cannot be interrupted.",
            "It hangs in the kernel, on a device perhaps: unplug it, or restart the machine.",
        )

    def collect(self, end: End, gathering: Gathering) -> tuple[bytes, bytes]:
        """Return both outputs of the command that has just ended, byte for byte."""
        if end.out + end.err <= INLINE:
            self._drain(gathering, end)
        return self._file("o", end.out, gathering), self._file("e", end.err, gathering)

    def _drain(self, gathering: Gathering, end: End) -> None:
        """Take the frames that follow the end frame by themselves."""
        wanted = [name for name, size in (("o", end.out), ("e", end.err)) if size]
        until = time.monotonic() + self._patience(0)
        while any(gathering.chunk(name, 0).claimed is None for name in wanted):
            left = until - time.monotonic()
            frame = self.next(left) if left > 0 else None
            if frame is None:
                return
            gathering.take(frame[0], frame[1])

    def _file(self, name: str, size: int, gathering: Gathering) -> bytes:
        if size > _GZIP_FROM:
            packed = self._packed(name)
            if packed is not None:
                try:
                    data = gzip.decompress(self._chunks("z", packed[1], Gathering()))
                except (OSError, EOFError, zlib.error):
                    data = b""
                if len(data) == size:
                    return data
        return self._chunks(name, size, gathering)

    def _packed(self, name: str) -> tuple[int, int] | None:
        """Compress the file on the target; return (cksum, size), None where gzip is not there."""
        pattern = re.compile(rb"%s:(\d+) (\d+)" % name.encode())
        _, body = self.ask(
            f"zz {name}", lambda kind, body: kind == b"Z" and bool(pattern.match(body))
        )
        match = pattern.fullmatch(body)
        return (int(match[1]), int(match[2])) if match and int(match[2]) else None

    def _chunks(self, name: str, size: int, gathering: Gathering) -> bytes:
        count = -(-size // CHUNK)
        whole = b"".join(self._chunk(name, number, gathering) for number in range(count))
        if len(whole) != size:
            raise NoAnswer("An output's size does not agree with what arrived.", "Try again.")
        return whole

    def _chunk(self, name: str, number: int, gathering: Gathering) -> bytes:
        chunk = gathering.chunk(name, number)

        def taken(kind: bytes, body: bytes) -> bool:
            gathering.take(kind, body)
            return kind == b"C" and body.startswith(f"{name}:{number}:".encode())

        for _ in range(4 * _TRIES):
            data = chunk.data()
            if data is not None:
                return data
            if chunk.stale():
                chunk.lines.clear()
                chunk.claimed = None
            self.ask(f"zg {name} {number}", taken)
        raise NoAnswer("An output cannot be read whole over this line.", "Check the line.")

    def store(self, data: bytes, shown: str | None) -> None:
        """Write `data` to the file `u` in the shell's home, checked."""
        want = f"{cksum(data)} {len(data)}".encode()
        for _ in range(_TRIES):
            id = secrets.token_hex(4)
            count = self._send_parts(id, data, shown)
            prefix = f"{id}:".encode()
            _, body = self.ask(
                f"zf {id} {count}",
                starting(b"U", prefix),
            )
            if body == prefix + want:
                return
        raise NoAnswer("A file cannot be written whole over this line.", "Check the line.")

    def alive(self, token: str, tries: int = 2) -> bool:
        """Whether the helpers of `token` answer."""
        nonce = secrets.token_hex(3)
        want = f"{token}:{nonce}".encode()
        try:
            self.ask(f"zv {nonce}", lambda kind, body: kind == b"V" and body == want, tries=tries)
        except NoAnswer:
            return False
        return True
