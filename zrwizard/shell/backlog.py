"""What waits between a console in a person's hands and the threads that draw and type."""

from __future__ import annotations

import re
import threading
import time
from collections import deque

BACKLOG = 64 * 1024
"""Bytes that may wait to be drawn; of more, the middle is left out."""
_TAIL = 16 * 1024
_PIECE = 64
_PIECE_SECONDS = 0.006
_LATER = re.compile(
    rb"\x1b\[[\x20-\x3f]*[hlmr]|\x1b[=>78c]|\x1b[()][0AB]|[\x0e\x0f]",
)
"""What changes how later bytes are drawn, and so is kept of what is left out."""


class Either(threading.Event):
    """Set where one of the others is."""

    def __init__(self, *others: threading.Event) -> None:
        super().__init__()
        self._others = others

    def is_set(self) -> bool:
        """Whether one of them is set."""
        return any(other.is_set() for other in self._others)

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for one of them, at most `timeout` seconds; return whether one is set."""
        deadline = time.monotonic() + (timeout if timeout is not None else threading.TIMEOUT_MAX)
        while not self.is_set() and time.monotonic() < deadline:
            time.sleep(0.05)
        return self.is_set()


class Ink:
    """Bytes that wait to be drawn: a terminal shows the last screen anyway."""

    def __init__(self) -> None:
        self._waiting = bytearray()
        self._changed = threading.Condition()

    @property
    def empty(self) -> bool:
        """Whether nothing waits."""
        return not self._waiting

    def put(self, data: bytes) -> None:
        """Add bytes; of too many the middle is left out, what later bytes depend on is not."""
        with self._changed:
            self._waiting += data
            if len(self._waiting) > BACKLOG:
                cut = len(self._waiting) - _TAIL
                line = self._waiting.find(b"\n", cut)
                cut = line + 1 if line >= 0 else cut
                kept = _LATER.findall(self._waiting, 0, cut)[-200:]
                self._waiting[:cut] = b"\x18" + b"".join(kept) + b"\r"
            self._changed.notify()

    def take(self, size: int) -> bytes:
        """Return up to `size` bytes, none after a tenth of a second without any."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting, 0.1)
            data = bytes(self._waiting[:size])
            del self._waiting[:size]
            return data


class Keys:
    """Bytes that wait to be typed, a paste in pieces that a serial line can take."""

    def __init__(self) -> None:
        self._waiting: deque[tuple[bytes, bool]] = deque()
        self._changed = threading.Condition()

    @property
    def empty(self) -> bool:
        """Whether nothing waits."""
        return not self._waiting

    def put(self, data: bytes, *, typed: bool) -> None:
        """Add bytes, by hand or (`typed` false) as the terminal's answer to a query."""
        with self._changed:
            self._waiting.extend(
                (data[at : at + _PIECE], typed) for at in range(0, len(data), _PIECE)
            )
            self._changed.notify()

    def drop(self) -> None:
        """Forget what waits."""
        with self._changed:
            self._waiting.clear()

    def take(self) -> tuple[bytes, bool]:
        """Return the next bytes and whether they came by hand, none after 0.2 s without any."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._waiting, 0.2):
                return b"", False
            taken = self._waiting.popleft()
            more = bool(self._waiting)
        if more:
            time.sleep(_PIECE_SECONDS)
        return taken
