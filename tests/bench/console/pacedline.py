"""A serial line at a given speed in front of a real `sh` on a pty, reached over raw TCP.

Both directions are paced: one byte takes ten bit times (8N1), and bytes move in the bursts of 16
that a 16550's queue makes. What waits to be sent waits in the sender's own socket, as it waits in a
terminal server's.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import select
import signal
import socket
import struct
import termios
import threading
import time
from collections.abc import Callable, Iterator

FIFO = 16
_CATCH_UP = 0.005


class PacedLine:
    """Listens on a loopback port; the first client gets the shell. `sent` and `got` count bytes."""

    def __init__(self, speed: int) -> None:
        self.rate = speed / 10
        self.to_target = 0
        self.from_target = 0
        self._server = socket.create_server(("127.0.0.1", 0))
        self._over = threading.Event()
        self._pid, self._fd = pty.fork()
        if self._pid == 0:
            environment = {"PATH": os.environ["PATH"], "TERM": "vt100", "PS1": "# "}
            os.execve("/bin/sh", ["sh"], environment)  # noqa: S606
        fcntl.ioctl(self._fd, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        self._threads = [threading.Thread(target=self._serve, daemon=True)]
        self._threads[0].start()

    @property
    def url(self) -> str:
        """The console address of this line."""
        return f"telnet://127.0.0.1:{self._server.getsockname()[1]}?raw=1"

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            client, _ = self._server.accept()
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            there = threading.Thread(
                target=self._pump,
                args=(client.fileno(), lambda data: os.write(self._fd, data), self._typed),
                daemon=True,
            )
            there.start()
            self._pump(self._fd, client.sendall, self._shown)
            there.join()
            client.close()

    def _typed(self, count: int) -> None:
        self.to_target += count

    def _shown(self, count: int) -> None:
        self.from_target += count

    def _pump(
        self, source: int, put: Callable[[bytes], object], count: Callable[[int], None]
    ) -> None:
        """Move bytes until the end; a burst may start no sooner than the last one was sent."""
        free = 0.0
        while not self._over.is_set():
            try:
                if not select.select([source], [], [], 0.2)[0]:
                    continue
                data = os.read(source, FIFO)
                if not data:
                    return
                now = time.monotonic()
                free = max(free, now - _CATCH_UP) + len(data) / self.rate
                time.sleep(max(0.0, free - now))
                put(data)
            except OSError:
                return
            count(len(data))

    def close(self) -> None:
        """Hang up, end the shell and collect it."""
        self._over.set()
        self._server.close()
        for thread in self._threads:
            thread.join(timeout=2)
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._pid, signal.SIGHUP)
        os.close(self._fd)
        os.waitpid(self._pid, 0)


@contextlib.contextmanager
def paced_line(speed: int) -> Iterator[PacedLine]:
    """A `PacedLine` that is closed at the end."""
    line = PacedLine(speed)
    try:
        yield line
    finally:
        line.close()
