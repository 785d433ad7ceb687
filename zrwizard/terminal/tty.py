"""The operator's own terminal: raw while a console is in it, and as it was afterwards."""

from __future__ import annotations

import os
import select
import signal
import sys
import termios
import time
import tty
from contextlib import suppress
from typing import Any

ROWS, COLUMNS = 24, 80
_DUMB = ("", "dumb", "unknown")
_LEAST_ROWS, _LEAST_COLUMNS = 8, 40
_LAST_WORDS_SECONDS = 1.0


class OperatorTty:
    """Standard input and output; `raw` and `restore` may be called again and again.

    Output is written without blocking, through a description of the terminal of our own: the
    flag would else hold for the shell that started us as well.
    """

    def __init__(self) -> None:
        self.input = sys.stdin.fileno()
        self.is_terminal = os.isatty(sys.stdout.fileno())
        self._output, self._opened = self._own_output(sys.stdout.fileno())
        self._before: list[Any] | None = None
        self._waiting = bytearray()

    @staticmethod
    def _own_output(fd: int) -> tuple[int, bool]:
        with suppress(OSError):
            if os.isatty(fd):
                name = os.ttyname(fd)
                return os.open(name, os.O_WRONLY | os.O_NOCTTY | os.O_NONBLOCK), True
        return fd, False

    @property
    def output(self) -> int:
        """The descriptor to wait for with select(2) while `pending`."""
        return self._output

    @property
    def pending(self) -> int:
        """How many bytes wait until the terminal takes them."""
        return len(self._waiting)

    def size(self) -> tuple[int, int]:
        """Return (rows, columns); 24x80 where the terminal does not say."""
        try:
            columns, rows = os.get_terminal_size(self._output)
        except OSError:
            return ROWS, COLUMNS
        return (rows, columns) if rows and columns else (ROWS, COLUMNS)

    def carries_status(self) -> bool:
        """Whether a status row can be drawn: a terminal with a scroll region, large enough."""
        rows, columns = self.size()
        return (
            self.is_terminal
            and os.environ.get("TERM", "") not in _DUMB
            and rows >= _LEAST_ROWS
            and columns >= _LEAST_COLUMNS
        )

    def raw(self) -> None:
        """Let every key come as it is. Raises termios.error when the terminal is gone."""
        if self._before is None:
            self._before = termios.tcgetattr(self.input)
        tty.setraw(self.input, termios.TCSANOW)

    def restore(self) -> None:
        """Set the terminal as it was before `raw`; silent where it is gone."""
        before, self._before = self._before, None
        if before is not None:
            # What was written has left the line discipline already: nothing to wait for.
            with suppress(termios.error, OSError):
                termios.tcsetattr(self.input, termios.TCSANOW, before)

    def write(self, data: bytes) -> None:
        """Write `data`, as far as the terminal takes it; the rest waits for `flush`."""
        self._waiting += data
        self.flush()

    def flush(self) -> None:
        """Write what waits, as far as it goes. Raises OSError when nobody reads any more."""
        while self._waiting:
            try:
                del self._waiting[: os.write(self._output, self._waiting[:16384])]
            except BlockingIOError:
                return

    def last_words(self, data: bytes) -> None:
        """Write `data` within a second, else drop it; never raises."""
        deadline = time.monotonic() + _LAST_WORDS_SECONDS
        with suppress(OSError, ValueError):
            self.write(data)
            while self._waiting and (left := deadline - time.monotonic()) > 0:
                select.select([], [self._output], [], left)
                self.flush()
        self._waiting.clear()

    def suspend(self) -> None:
        """Stop this process as ^Z does, and return when it goes on."""
        old = signal.signal(signal.SIGTSTP, signal.SIG_DFL)
        try:
            os.kill(os.getpid(), signal.SIGTSTP)
        finally:
            signal.signal(signal.SIGTSTP, old)

    def close(self) -> None:
        """Close what was opened here."""
        if self._opened:
            os.close(self._output)
            self._opened = False
