"""Which typed bytes may stand in a log: those that the console itself showed as they were typed.

A password is typed where nothing is echoed, so a line goes into the log only when all of it came
back, and never where the console showed a password prompt before it. What cannot be told (vi's
commands, a line with kernel messages in it) is not shown either.
"""

from __future__ import annotations

import re
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

NOT_SHOWN = b"<not shown>"
_GRACE = 1.5
_IDLE = 4.0
_LONGEST = 512
_KEPT = 8192
_SURE = 6
_ENDS = (b"\r", b"\n")
_BREAKS = b"\r\n\x03\x04"
_KEY_SECONDS = 0.25
_WAITING = 50
_CONTROL = re.compile(rb"\x1b(?:\[[0-?]*[ -/]*[@-~]|O.|.)?|[\x00-\x1f\x7f]")
_SEQUENCE = re.compile(rb"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*\x07?|[ -/]*.)?|[\x00-\x1f\x7f]")
_ASKS = re.compile(
    rb"(?i)(?:pass(?:word|phrase|code)|\bpin\b|secret|verification code|\bkey\b)"
    rb"[^\r\n]{0,100}[:?>][ ]*\Z"
)


@dataclass(slots=True)
class _Line:
    """A line that was typed, and what the console has said since."""

    secret: bool
    goes_on: bool
    """Whether it goes on after keys that were judged by themselves."""
    typed: bytearray = field(default_factory=bytearray)
    heard: bytearray = field(default_factory=bytearray)
    last: float = 0.0
    over: bool = False

    def echoed(self) -> bool:
        """Whether every run of printable bytes has come back whole, and in order.

        A short one may stand in a kernel message by chance: it counts only as a whole line that
        came back at once.
        """
        whole = self.typed.endswith(_ENDS) and not self.goes_on
        shown, at = _SEQUENCE.sub(b"", bytes(self.heard)), 0
        for run in filter(None, _CONTROL.split(bytes(self.typed))):
            found = shown.find(run, at)
            if found < 0 or (len(run) < _SURE and not (whole and (at or not found))):
                return False
            at = found + len(run)
        return True

    def answered(self) -> bool:
        """Whether a program has done something upon it: it was a key, and no line begins so."""
        return _SEQUENCE.search(bytes(self.heard)) is not None

    def masked(self) -> bytes:
        """Return the line with its printable bytes replaced."""
        return NOT_SHOWN + (b"\r" if self.typed.endswith(_ENDS) else b"")

    def harmless(self) -> bool:
        """Whether it consists of control keys only."""
        return not _CONTROL.sub(b"", bytes(self.typed))


class Typed:
    """Holds typed lines back until it is known whether they may be written down."""

    def __init__(
        self, write: Callable[[bytes], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._write = write
        self._clock = clock
        self._lines: deque[_Line] = deque()
        self._tail = b""
        self._goes_on = False

    def typed(self, data: bytes) -> None:
        """Note bytes that go to the console."""
        now = self._clock()
        last = self._lines[-1] if self._lines else None
        if last is not None and now - last.last > _KEY_SECONDS and last.answered():
            last.over = True
        for byte in data:
            line = self._open()
            line.typed.append(byte)
            line.last = now
            self._goes_on = byte not in _BREAKS
            line.over = not self._goes_on or len(line.typed) >= _LONGEST

    def _open(self) -> _Line:
        if not self._lines or self._lines[-1].over:
            if len(self._lines) >= _WAITING:
                self._write(self._lines.popleft().masked())
            self._lines.append(_Line(_ASKS.search(self._tail) is not None, self._goes_on))
        return self._lines[-1]

    def heard(self, data: bytes) -> None:
        """Note bytes that came from the console."""
        plain = _SEQUENCE.sub(_unless_newline, (self._tail + data)[-1024:])
        self._tail = plain.rsplit(b"\n", 1)[-1][-200:]
        for line in self._lines:
            line.heard += data
            if len(line.heard) > _KEPT:
                del line.heard[:-_KEPT]

    def settle(self, *, final: bool = False) -> None:
        """Write what is decided by now; with `final` everything, what is undecided masked."""
        now = self._clock()
        while self._lines:
            line = self._lines[0]
            waited = now - line.last
            if not (line.over or waited > _IDLE or final):
                return
            shown = line.harmless() or (not line.secret and line.echoed())
            if not (shown or waited > _GRACE or final):
                return
            self._lines.popleft()
            self._write(bytes(line.typed) if shown else line.masked())

    @property
    def waiting(self) -> bool:
        """Whether there are lines to be settled later."""
        return bool(self._lines)


def _unless_newline(match: re.Match[bytes]) -> bytes:
    return b"\n" if match[0] in (b"\n", b"\r") else b""
