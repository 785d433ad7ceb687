"""Between the console's threads and the one that serves the operator's terminal."""

from __future__ import annotations

import os
import queue
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

from zrwizard.console.console import Console
from zrwizard.console.errors import ConsoleError

_MOST = 1 << 20
_STUCK_SECONDS = 1.0


class Bell:
    """A pipe that wakes select(2) up."""

    def __init__(self) -> None:
        self.fd, self._write = os.pipe()
        os.set_blocking(self.fd, False)
        os.set_blocking(self._write, False)

    @property
    def sender(self) -> int:
        """The descriptor that `signal.set_wakeup_fd` may write to."""
        return self._write

    def ring(self) -> None:
        """Wake the waiter; more than once is once."""
        with suppress(BlockingIOError, OSError):
            os.write(self._write, b"\0")

    def hush(self) -> None:
        """Take the rings off the pipe."""
        with suppress(BlockingIOError):
            while os.read(self.fd, 4096):
                pass

    def close(self) -> None:
        """Close both ends."""
        os.close(self.fd)
        os.close(self._write)


class Output:
    """What the console's reader has read and the terminal has not got yet.

    A terminal that takes its bytes slowly slows the console down, as with cu(1): nothing is lost.
    One that takes none for a second does not: a line must be read on, since QEMU stops a guest
    whose console is not (facts of the console). Then the oldest bytes are dropped and counted.
    """

    def __init__(self, bell: Bell) -> None:
        self._bell = bell
        self._changed = threading.Condition()
        self._data = bytearray()
        self._stuck = False
        self._skipped = 0
        self._closed = False
        self.count = 0
        """Bytes that were ever put."""

    def put(self, data: bytes) -> None:
        """Take `data` from the reader's thread; may wait for the terminal."""
        with self._changed:
            if len(self._data) > _MOST and not self._stuck:
                self._stuck = not self._changed.wait_for(self._room, _STUCK_SECONDS)
            self._data += data
            self.count += len(data)
            over = len(self._data) - 2 * _MOST
            if over > 0:
                del self._data[:over]
                self._skipped += over
        self._bell.ring()

    def _room(self) -> bool:
        return len(self._data) <= _MOST or self._closed

    def take(self) -> tuple[bytes, int]:
        """Return what is there, and how many bytes before it were dropped."""
        with self._changed:
            data, skipped = bytes(self._data), self._skipped
            self._data.clear()
            self._skipped, self._stuck = 0, False
            self._changed.notify_all()
        return data, skipped

    def close(self) -> None:
        """Let the reader go."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()


class Input:
    """Types on the console from a thread of its own: a line that takes nothing holds no key up."""

    def __init__(self, console: Console, bell: Bell) -> None:
        self._console = console
        self._bell = bell
        self._queue: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self.failed: ConsoleError | None = None
        self._thread = threading.Thread(target=self._work, name="console-typist", daemon=True)
        self._thread.start()

    def put(self, data: bytes) -> None:
        """Type `data` soon; the transcript gets it from whoever knows whether it may."""
        self._queue.put(data)

    def _work(self) -> None:
        while (data := self._queue.get()) is not None:
            try:
                self._console.write_masked(data, "")
            except ConsoleError as error:
                self.failed = error
                self._bell.ring()
                return

    def close(self, patience: float = 1.0) -> None:
        """Wait until what was put is typed, `patience` seconds at most."""
        self._queue.put(None)
        self._thread.join(patience)


class Signals:
    """Which signals have come since `take` was last called."""

    CAUGHT = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGQUIT)
    NOTED = (*CAUGHT, signal.SIGWINCH, signal.SIGTSTP)

    def __init__(self) -> None:
        self._come: set[int] = set()

    def take(self) -> set[int]:
        """Return them, and forget them."""
        come, self._come = self._come, set()
        return come

    def _note(self, number: int, _frame: FrameType | None) -> None:
        self._come.add(number)

    @contextmanager
    def noted(self, bell: Bell) -> Iterator[None]:
        """Note signals, and ring `bell` at each, instead of what they did before."""
        before = {number: signal.signal(number, self._note) for number in self.NOTED}
        wakeup = signal.set_wakeup_fd(bell.sender, warn_on_full_buffer=False)
        try:
            yield
        finally:
            signal.set_wakeup_fd(wakeup)
            for number, old in before.items():
                signal.signal(number, old)
