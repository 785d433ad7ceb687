"""The operator's terminal on a console: every byte passes, `~.` leaves (cu(1), ssh(1))."""

from __future__ import annotations

import os
import select
import signal
import termios
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum

from zrwizard.console.console import Console
from zrwizard.console.errors import ConsoleError
from zrwizard.line.control import resize, send_break
from zrwizard.terminal.fence import Fence
from zrwizard.terminal.keys import HELP, Do, Escapes, Send
from zrwizard.terminal.tty import OperatorTty
from zrwizard.terminal.typed import Typed
from zrwizard.terminal.view import View, amount, status_row, words
from zrwizard.terminal.wires import Bell, Input, Output, Signals

_QUIET = 0.15
_SELDOM = 2.0
_HELD = 0.05
_CHUNK = 65536
_MOST_PENDING = 1 << 18
_RACE = 0.02


class Why(Enum):
    """Why the console was left."""

    LEFT = "left"
    CUT = "cut"
    SIGNAL = "signal"
    GONE = "gone"


@dataclass(frozen=True, slots=True)
class Ending:
    """How it ended: `error` is the line's own where it was cut; seconds and bytes in both ways."""

    why: Why
    seconds: float
    received: int
    sent: int
    error: ConsoleError | None = None


class Attached:
    """One attachment of `tty` to `console`; `toggle_log` starts or stops a log and says so."""

    def __init__(
        self,
        console: Console,
        tty: OperatorTty,
        address: str,
        *,
        status: bool = True,
        toggle_log: Callable[[], str] = lambda: "this console keeps no log",
    ) -> None:
        self._console = console
        self._tty = tty
        self._address = address
        self._status = status
        self._toggle_log = toggle_log
        self._keys = Escapes()
        self._typed = Typed(self._note)
        rows, columns = tty.size()
        self._fence = Fence(rows)
        self._view = View(rows, columns)
        self._columns = columns
        self._bell = Bell()
        self._output = Output(self._bell)
        self._signals = Signals()
        self._began = self._last_heard = self._last_drawn = time.monotonic()
        self._received = self._sent = 0
        self._looked_at = -1
        self._drawn, self._drawn_state = b"", ""
        self._state = "looking"
        self._ending: Why | None = None

    # -- from the beginning to the end ----------------------------------------------------------

    def run(self) -> Ending:
        """Pass bytes until the operator leaves, the line ends or a signal comes.

        The terminal is as before then. Raises termios.error where there is none.
        """
        self._input = Input(self._console, self._bell)
        try:
            with self._signals.noted(self._bell):
                self._enter()
                try:
                    self._loop()
                finally:
                    self._leave()
        finally:
            self._output.close()
            self._console.on_output = None
            self._input.close()
            self._typed.settle(final=True)
            self._bell.close()
        cut = self._ending is Why.CUT
        error = (self._input.failed or self._console.lost()) if cut else None
        seconds = time.monotonic() - self._began
        return Ending(self._ending or Why.LEFT, seconds, self._received, self._sent, error)

    def _enter(self) -> None:
        self._tty.raw()
        self._fit()
        self._console.on_output = self._output.put
        # What came before the tap was there is in the inbox only, in front of all else.
        early = self._console.unread()
        time.sleep(_RACE)
        later = self._console.unread()
        early += later[: max(0, len(later) - self._output.count)]
        if early:
            self._show(early)

    def _leave(self) -> None:
        if self._tty.is_terminal:
            self._tty.last_words(self._fence.release() + self._fence.leave() + b"\r\n")
        self._tty.restore()

    def _fit(self) -> None:
        """Take the terminal's size as it is now."""
        rows, columns = self._tty.size()
        self._tty.write(self._fence.resized(rows))
        self._columns = columns
        shown = self._status and self._tty.carries_status()
        if shown:
            self._tty.write(self._fence.raise_up())
        self._window()
        self._drawn_state = ""

    def _window(self) -> None:
        """Tell the line, the log and our own screen how large the console's window is."""
        rows = self._fence.rows - (1 if self._fence.up else 0)
        resize(self._console.spawn, rows, self._columns)
        self._view.resize(rows, self._columns)
        self._console.transcript.resize(rows, self._columns)

    # -- the loop -------------------------------------------------------------------------------

    def _loop(self) -> None:
        while self._ending is None:
            ended = self._console.ended or self._input.failed is not None
            if self._tty.pending < _MOST_PENDING:
                data, skipped = self._output.take()
                if skipped:
                    self._say(f"{amount(skipped)} were not shown: this terminal took none")
                if data:
                    self._show(data)
                elif ended:
                    self._ending = Why.CUT
                    return
            self._idle()
            self._wait()
            self._obey()

    def _wait(self) -> None:
        wanted = [self._tty.output] if self._tty.pending else []
        readable, writable, _ = select.select(
            [self._tty.input, self._bell.fd], wanted, [], self._patience()
        )
        if self._bell.fd in readable:
            self._bell.hush()
            self._console.unread()
        if writable:
            self._flush()
        if self._tty.input in readable:
            self._type()

    def _patience(self) -> float:
        """How long nothing needs to be done."""
        if self._console.ended:
            return 0.0 if not self._tty.pending else 0.2
        if not self._fence.whole:
            return _HELD
        if self._looked_at != self._received or self._typed.waiting:
            return _QUIET
        return 1.0

    def _flush(self) -> None:
        try:
            self._tty.flush()
        except OSError:
            self._ending = Why.GONE

    def _show(self, data: bytes) -> None:
        self._last_heard = time.monotonic()
        self._received += len(data)
        up = self._fence.up
        try:
            self._tty.write(self._fence.through(data))
        except OSError:
            self._ending = Why.GONE
        if up and not self._fence.up:
            self._window()
        self._typed.heard(data)
        self._view.note(data)

    def _type(self) -> None:
        try:
            data = os.read(self._tty.input, _CHUNK)
        except OSError:
            data = b""
        if not data:
            self._ending = Why.GONE
            return
        for item in self._keys.feed(data):
            if isinstance(item, Send):
                self._sent += len(item.data)
                self._typed.typed(item.data)
                self._input.put(item.data)
            else:
                self._do(item)

    def _obey(self) -> None:
        come = self._signals.take()
        if come & set(Signals.CAUGHT):
            self._ending = Why.SIGNAL
            return
        if signal.SIGTSTP in come:
            self._suspend()
        if signal.SIGWINCH in come:
            self._fit()

    def _note(self, data: bytes) -> None:
        """Write typed bytes into whichever log there is by now."""
        self._console.transcript.input(data)

    # -- in quiet moments -----------------------------------------------------------------------

    def _idle(self) -> None:
        now = time.monotonic()
        quiet = now - self._last_heard
        if quiet >= _HELD and not self._fence.whole and not self._tty.pending:
            self._tty.write(self._fence.release())
        self._typed.settle()
        if quiet >= _QUIET and self._looked_at != self._received:
            self._look()
        if quiet >= _QUIET:
            self._draw(now, self._state)
        elif self._fence.line_ended and now - self._last_drawn > _SELDOM:
            self._draw(now, "output")

    def _look(self) -> None:
        """Recognise what the console shows."""
        self._looked_at = self._received
        self._view.catch_up()
        if self._fence.alternate:
            self._state = "full-screen program"
            return
        self._state = words(self._view.state())
        if self._view.at_prompt:
            self._fence.at_prompt()
            if self._status and not self._fence.up and self._tty.carries_status():
                self._tty.write(self._fence.raise_up())
                self._window()

    def _draw(self, now: float, state: str) -> None:
        """Draw the status row where it has changed and nothing of a program's can be hurt."""
        if not self._fence.free or self._tty.pending:
            return
        news = state != self._drawn_state or self._fence.dirty
        if not news and now - self._last_drawn < _SELDOM:
            return
        row = status_row(
            self._columns,
            self._address,
            state,
            f"in {amount(self._received)}, out {amount(self._sent)}",
            f"{int(now - self._began) // 60} min",
        )
        if row != self._drawn or self._fence.dirty:
            self._drawn, self._drawn_state = row, state
            self._last_drawn = now
            self._tty.write(self._fence.status(row))

    # -- escapes --------------------------------------------------------------------------------

    def _do(self, action: Do) -> None:
        match action:
            case Do.LEAVE:
                self._ending = Why.LEFT
            case Do.HELP:
                self._say(HELP)
            case Do.BREAK:
                self._say(send_break(self._console.spawn) or "break sent")
            case Do.LOG:
                self._typed.settle(final=True)
                self._say(self._toggle_log())
            case Do.STATE:
                self._view.catch_up()
                self._say(words(self._view.state()), self._view.text())
            case Do.SUSPEND:
                self._suspend()

    def _say(self, text: str, above: str = "") -> None:
        """Print lines between the console's; they are no part of it."""
        lines = f"{above}\n[zrwizard] {text}".strip("\n").replace("\n", "\r\n")
        with suppress(OSError):
            self._tty.write(f"\r\n{lines}\r\n".encode())

    def _suspend(self) -> None:
        self._leave()
        self._tty.suspend()
        try:
            self._tty.raw()
        except termios.error:
            self._ending = Why.GONE
            return
        self._fit()
