"""One command's output, streamed over the line into a sink: any size, little memory, checked."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable

from zrwizard.cksum import Cksum
from zrwizard.console.errors import Cancelled
from zrwizard.shell.frames import Sum


class SinkError(Exception):
    """The sink could not take what it was given; `cause` is what it raised."""

    def __init__(self, cause: Exception) -> None:
        super().__init__(str(cause))
        self.cause = cause


class Streaming:
    """Takes the bytes between a command's X and Y frames; see `console.Stream`.

    It runs in the reader's thread. An error of the sink is kept, and the rest is only counted.
    Setting `stop` is an error of the sink too: `Cancelled`.
    """

    def __init__(
        self, id: str, sink: Callable[[bytes], None], stop: threading.Event | None = None
    ) -> None:
        self._begin = b"\x1eX" + id.encode() + b"\x1f"
        self._end = re.compile(rb"\x1e[YE]%s[\x1f:]" % id.encode())
        self._sink = sink
        self._stop = stop
        self._sum = Cksum()
        self._held = b""
        self._inside = False
        self._over = False
        self._error: Exception | None = None
        self._seen = 0

    def take(self, data: bytes) -> bytes:
        """Pass on what stands before and behind the stream; what is between goes to the sink."""
        if self._over:
            return data
        if self._inside:
            return self._within(data)
        data = self._held + data
        at = data.find(self._begin)
        if at < 0:
            self._held = self._cut(data)
            return data[: len(data) - len(self._held)]
        rest = data[at + len(self._begin) :]
        self._held, self._inside = b"", True
        return data[:at] + self._within(rest)

    def _within(self, data: bytes) -> bytes:
        if self._held or b"\x1e" in data:
            return self._careful(self._held + data)
        self._put(data)
        return b""

    def _careful(self, data: bytes) -> bytes:
        """Look for the end in bytes that hold a frame's first byte."""
        if self._sum.size == 0 and data.startswith(self._begin):
            data = data[len(self._begin) :]
        match = self._end.search(data)
        if match:
            self._put(data[: match.start()])
            self._over = True
            return data[match.start() :]
        self._held = self._cut(data)
        self._put(data[: len(data) - len(self._held)])
        return b""

    def _cut(self, data: bytes) -> bytes:
        """Return the end of `data` that may be the beginning of one of our frames."""
        tail = data[data.rfind(b"\x1e") :] if b"\x1e" in data else b""
        known = self._begin[2:-1]
        return tail if len(tail) < len(self._begin) and known.startswith(tail[2:]) else b""

    def _put(self, data: bytes) -> None:
        if not data:
            return
        self._sum.feed(data)
        if self._error is None:
            try:
                self._sink(data)
            except Exception as error:
                self._error = error

    def check(self) -> None:
        """Raise `SinkError` for the sink's error, or once `stop` is set."""
        if self._error is not None:
            raise SinkError(self._error)
        if self._stop is not None and self._stop.is_set():
            raise SinkError(Cancelled("Stopped by the operator.", "Start it again to go on."))

    def moving(self) -> bool:
        """Whether bytes came since it was asked last; raises as `check` does."""
        self.check()
        moved, self._seen = self._sum.size != self._seen, self._sum.size
        return moved

    def whole(self, total: Sum) -> bool:
        """Whether what was taken has that size and that checksum."""
        return self._sum.size == total.size and (not total.size or self._sum.value() == total.crc)

    @property
    def size(self) -> int:
        """How many bytes were taken so far."""
        return self._sum.size
