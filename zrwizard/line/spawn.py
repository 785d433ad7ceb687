"""A pexpect spawn over any file descriptor, with a filter for the line's own protocol.

pexpect has `fdspawn` and `SocketSpawn`; the first cannot filter telnet, the second is broken
(facts of the console). What is needed is small enough to own.
"""

from __future__ import annotations

import os
import select
import threading
import time
from typing import Any, Protocol

from pexpect import EOF, TIMEOUT
from pexpect.spawnbase import SpawnBase

_SELECT_LIMIT = 1024


def ready(fd: int, timeout: float, *, write: bool = False) -> bool:
    """Return whether `fd` can be read (or written) within `timeout` seconds.

    select(2) is the one that every system has for every device; poll(2) takes over for
    descriptors that are too large for it.
    """
    if fd < _SELECT_LIMIT:
        none: list[int] = []
        wanted = (none, [fd], none) if write else ([fd], none, none)
        return any(select.select(*wanted, timeout))
    poll = select.poll()
    poll.register(fd, select.POLLOUT if write else select.POLLIN)
    return bool(poll.poll(timeout * 1000))


class Filter(Protocol):
    """Translates between the wire and plain bytes; stateful, so that chunks may split anywhere."""

    def decode(self, data: bytes) -> tuple[bytes, bytes]:
        """Return (plain bytes for the reader, bytes to send back at once)."""
        ...

    def encode(self, data: bytes) -> bytes:
        """Return `data` as it goes over the wire."""
        ...


class Plain:
    """No protocol at all: a serial device, or raw TCP."""

    def decode(self, data: bytes) -> tuple[bytes, bytes]:
        """Return `data` unchanged and no reply."""
        return data, b""

    def encode(self, data: bytes) -> bytes:
        """Return `data` unchanged."""
        return data


class ByteSpawn(SpawnBase):  # type: ignore[misc]
    """Reads and writes the descriptor `fd` through `filter`. Bytes only."""

    def __init__(self, fd: int, name: str, filter: Filter) -> None:
        super().__init__(timeout=30, maxread=65536, searchwindowsize=4096)
        self.child_fd = fd
        self.name = f"<{name}>"
        self.filter = filter
        self.closed: bool = False
        self._writing = threading.Lock()
        self._replies = bytearray()
        os.set_blocking(fd, False)

    def read_nonblocking(self, size: int = 1, timeout: float | None = -1) -> bytes:
        """Return up to `size` plain bytes within `timeout` seconds; raise TIMEOUT or EOF."""
        deadline = time.monotonic() + (self.timeout if timeout in (-1, None) else timeout)
        while True:
            left = max(0.0, deadline - time.monotonic())
            if not ready(self.child_fd, left):
                raise TIMEOUT("nothing to read")
            plain = self._take(size)
            if plain:
                return plain

    def _take(self, size: int) -> bytes:
        try:
            data = os.read(self.child_fd, size)
        except BlockingIOError:
            return b""
        except OSError as error:
            self.flag_eof = True
            raise EOF(f"the line broke: {error.strerror}") from None
        if not data:
            self.flag_eof = True
            raise EOF("the line was closed at the other end")
        plain, reply = self.filter.decode(data)
        if reply:
            self._replies += reply
            self._answer()
        return plain

    def _answer(self) -> None:
        """Send the filter's replies, but not into the middle of what another thread is sending.

        Nobody waits here: the reader must go on while a slow peer takes what is being typed.
        """
        while self._replies and self._writing.acquire(blocking=False):
            try:
                self._put(self._taken())
            finally:
                self._writing.release()

    def _taken(self) -> bytes:
        replies = bytes(self._replies)
        del self._replies[: len(replies)]
        return replies

    def send(self, data: bytes) -> int:
        """Write all of `data`; returns its length. Raises EOF when the line is gone."""
        with self._writing:
            # Encoded as the replies before it have agreed, hence sent behind them.
            wire = self.filter.encode(data)
            self._put(self._taken() + wire)
        self._answer()
        return len(data)

    def send_raw(self, wire: bytes) -> None:
        """Write a command of the line's own protocol as it is. Raises EOF like `send`."""
        with self._writing:
            self._put(self._taken() + wire)

    def _put(self, wire: bytes) -> None:
        while wire:
            try:
                wire = wire[os.write(self.child_fd, wire) :]
            except BlockingIOError:
                if not ready(self.child_fd, 30, write=True):
                    raise EOF("the line takes no more bytes") from None
            except OSError as error:
                raise EOF(f"the line broke: {error.strerror}") from None

    def close(self, force: bool = False) -> None:
        """Close the descriptor; twice is once."""
        if not self.closed:
            self.closed = True
            # The number may be another file's at once, where nobody must write for this line.
            fd, self.child_fd = self.child_fd, -1
            os.close(fd)

    def __exit__(self, *_: Any) -> None:
        self.close()
