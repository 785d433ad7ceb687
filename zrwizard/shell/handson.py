"""The console in a person's hands, between two commands of the wizard.

The console's reader hands over bytes and goes on at once; a thread draws them and another one
types, so that neither a flood of output nor a line that takes nothing stops anybody else.
"""

from __future__ import annotations

import re
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

from zrwizard.console.console import Console
from zrwizard.console.echoes import Echoes, asks_for_secret
from zrwizard.console.errors import Cancelled, ConsoleError, LineCut
from zrwizard.console.screen import COLUMNS, ROWS, Screen
from zrwizard.console.vtstream import View, Vt
from zrwizard.line import control
from zrwizard.shell import handback
from zrwizard.shell.backlog import Either, Ink, Keys

_SLICE = 2048
_ANSWERS = 10
"""Queries that are answered in a second: a binary file on the screen holds thousands."""
_ANSWER = re.compile(rb"\x1b[^\x1b]+")
_RESET = b"\x1bc"
"""Draws an empty screen."""


class Held(Protocol):
    """The session whose console is lent; `ready` says whether our own shell stands there."""

    console: Console
    screen: Screen
    token: str
    ready: bool

    def take_back(self) -> None:
        """Go up again from what the console shows; raises `ConsoleError` where it cannot."""
        ...

    def open_again(self, fresh: Callable[[], None]) -> bool:
        """Open a line that was cut meanwhile; False where nobody knows how to.

        `fresh` is called once it is open and before its first byte is read.
        """
        ...

    def hands_off(self, adrift: ConsoleError | None) -> None:
        """End the loan; with `adrift` every later command raises it."""
        ...


class HandsOn:
    """The console in a person's hands: keys go there, its screen comes back.

    Made from a session whose quiet shell stands at its prompt: that is told the screen's size and
    becomes a shell for people. `give_back` ends it, in the thread that began it.
    """

    def __init__(self, session: Held, rows: int = ROWS, columns: int = COLUMNS) -> None:
        self._session = session
        self._console = session.console
        self._vt = Vt(columns, rows)
        self._vt_lock = threading.Lock()
        self._ink = Ink()
        self._keys = Keys()
        self._echoes = Echoes(self._console.transcript.input)
        self._echo_lock = threading.Lock()
        self._heard_at = time.monotonic()
        self._answered: deque[float] = deque(maxlen=_ANSWERS)
        self._lent = False
        self._lent_lock = threading.Lock()
        self._blind = False
        self._over = False
        self._cut: ConsoleError | None = None
        self._console.transcript.mark("the console is in the operator's hands")
        self._console.on_output = self.feed
        try:
            if not session.ready:
                self._vt.feed("\r\n".join(session.screen.text().split("\n")).encode())
            self._lend()
        except ConsoleError:
            self._console.on_output = None
            raise
        for work in (self._draw, self._type):
            threading.Thread(target=work, name=f"by-hand-{work.__name__}", daemon=True).start()

    def _lend(self) -> None:
        """Turn our quiet shell into one for people, of this size; anything else gets no key."""
        self._lent = True
        if self._session.ready:
            grid = self._vt.grid
            size = f"stty rows {grid.lines} cols {grid.columns}"
            # Answers of the last command may still come; the prompt stands on an empty screen.
            anew = f"zh {self._session.token};{size};printf '\\033[H\\033[2J'"
            self._console.write(f"\x15{anew}\r".encode())

    # -- what the machine writes ------------------------------------------------------------------

    def feed(self, data: bytes) -> None:
        """Take what arrives; called by the console's reader, which it never holds up."""
        self._heard_at = time.monotonic()
        self._ink.put(data)

    def _draw(self) -> None:
        while not self._over:
            data = self._ink.take(_SLICE)
            with self._echo_lock:
                if data:
                    self._echoes.shown(data)
                else:
                    self._echoes.settle()
            # The wizard's own frames are nothing to look at.
            self._blind = not self._lent and (self._blind or b"\x1e" in data)
            if data and not self._blind:
                with self._vt_lock:
                    answers = self._vt.feed(data)
                self._answer(answers)
            with self._lent_lock:
                if self._lent:
                    # Nobody else reads now; what was drawn need not be kept.
                    self._console.unread()
            if self._console.ended and self._cut is None:
                self._cut = self._console.lost()

    def _answer(self, answers: bytes) -> None:
        for answer in _ANSWER.findall(answers) if self._lent else ():
            now = time.monotonic()
            if len(self._answered) < _ANSWERS or now - self._answered[0] >= 1:
                self._answered.append(now)
                self._keys.put(answer, typed=False)

    # -- what the person types --------------------------------------------------------------------

    def write(self, data: bytes) -> None:
        """Type `data`: one key, or a paste; returns at once. ^C drops what is not yet typed."""
        if data == b"\x03":
            self._keys.drop()
        self._keys.put(data, typed=True)

    def _type(self) -> None:
        while not self._over:
            data, typed = self._keys.take()
            if not data or self._cut is not None:
                continue
            try:
                if typed:
                    self._type_by_hand(data)
                else:
                    self._console.write(data)
            except ConsoleError as error:
                self._cut = error

    def _type_by_hand(self, data: bytes) -> None:
        with self._vt_lock:
            line = self._vt.last_line()
        with self._echo_lock:
            self._echoes.typed(data, secret=asks_for_secret(line))
        self._console.write_masked(data, "")

    # -- what is seen -----------------------------------------------------------------------------

    def view(self) -> View:
        """Return what the screen shows."""
        with self._vt_lock:
            return self._vt.view()

    @property
    def problem(self) -> str:
        """Why nothing can be typed any more, "" where it can."""
        return self._cut.what if self._cut is not None else ""

    def lines(self) -> list[str]:
        """Return the screen's rows."""
        with self._vt_lock:
            return self._vt.lines()

    @property
    def cursor(self) -> tuple[int, int]:
        """The cursor's column and row, from 0."""
        with self._vt_lock:
            return self._vt.cursor

    def resize(self, rows: int, columns: int) -> None:
        """Take another size where the line carries it, which a pty of this machine does.

        A serial console is told nothing: its screen stays, and a smaller pane shows a part of it.
        """
        if not self._console.transcript.title.startswith("local:"):
            return
        with self._vt_lock:
            grid = self._vt.grid
            if (rows, columns) != (grid.lines, grid.columns):
                grid.resize(rows, columns)
                control.resize(self._console.spawn, grid.lines, grid.columns)

    # -- back -------------------------------------------------------------------------------------

    def give_back(self, *, force: bool = False, keep: threading.Event | None = None) -> str:
        """Hand the console back; return "" when the wizard has it, else why not yet.

        With a sentence returned the console is still in the person's hands. `force` gives it back
        as it stands; it raises a `ConsoleError` where the wizard cannot go on from there, and no
        command is typed then until it was taken over again. `keep`, once set, stops the wizard's
        attempt. A line that was cut is opened again first, or its end is raised as `LineCut`.
        """
        keep = keep or threading.Event()
        self._settle()
        if (self._cut is not None or self._console.ended) and not self._open_again(keep):
            return "The line is still cut."
        with self._vt_lock:
            why, state = handback.refusal(self._vt), handback.standing(self._vt)
        if why and not force:
            return why
        with self._lent_lock:
            self._lent = False
        if why and state in handback.INTERRUPT:
            self._console.write(b"\x03")
            self._settle()
        try:
            self._take_back(keep)
        except ConsoleError as error:
            return self._refused(error, force)
        self._end(None)
        return ""

    def _take_back(self, keep: threading.Event) -> None:
        self._console.transcript.mark("the wizard looks at the console")
        self._console.unread()
        self._session.screen.reset()
        with self._vt_lock:
            self._session.screen.feed(_painted(self._vt))
        with self._until(keep):
            self._session.take_back()

    @contextmanager
    def _until(self, keep: threading.Event) -> Iterator[None]:
        """Let `keep` stop what the console is waited for."""
        outer = self._console.cancel
        self._console.cancel = Either(outer, keep)
        try:
            yield
        finally:
            self._console.cancel = outer

    def _open_again(self, keep: threading.Event) -> bool:
        """Open the cut line; whoever comes next has to look at it. False where `keep` was set."""
        error = self._cut or self._console.lost()
        opened = False
        try:
            with self._until(keep):
                opened = self._session.open_again(lambda: self._ink.put(_RESET))
        except ConsoleError as failed:
            if isinstance(failed, Cancelled) and not self._console.cancel.is_set():
                return False
            error = failed
        if not opened:
            self._end(error)
            raise error
        self._cut = None
        self._heard_at = time.monotonic()
        # What stands there comes from another connection, whose first bytes may be late.
        self._settle(quiet=1.0)
        return True

    def _refused(self, error: ConsoleError, force: bool) -> str:
        stopped = isinstance(error, Cancelled) and self._console.cancel.is_set()
        if force or stopped or isinstance(error, LineCut):
            self._end(error)
            raise error
        self._lend()
        if isinstance(error, Cancelled):
            return "You keep the console. Where no prompt shows, type: stty echo; PS1='# '"
        return f"{error.what} {error.now}".strip()

    def _settle(self, quiet: float = 0.3) -> None:
        """Wait until all is drawn and nothing came for `quiet` seconds, three at most."""
        deadline = time.monotonic() + 3
        while time.monotonic() < deadline and not self._console.ended:
            if time.monotonic() - self._heard_at > quiet and self._ink.empty and self._keys.empty:
                return
            time.sleep(0.05)

    def _end(self, adrift: ConsoleError | None) -> None:
        self._over = True
        self._lent = False
        self._console.on_output = None
        with self._echo_lock:
            self._echoes.settle(at_once=True)
        self._console.transcript.mark("the console is the wizard's again")
        self._session.hands_off(adrift)


def _painted(vt: Vt) -> bytes:
    """Return bytes that draw the part of the screen with the cursor on one of 80x24."""
    x, y = vt.cursor
    first = max(0, y - ROWS + 1)
    out = ["\x1b[H\x1b[2J"]
    for row in range(first, min(first + ROWS, vt.grid.lines)):
        cells = vt.grid.cells[row][: COLUMNS - 1]
        text = "".join(f"\x1b[7m{c.data}\x1b[m" if c.reverse else c.data for c in cells).rstrip()
        out.append(f"\x1b[{row - first + 1}H{text}")
    out.append(f"\x1b[{y - first + 1};{min(x, COLUMNS - 1) + 1}H")
    return "".join(out).encode()
