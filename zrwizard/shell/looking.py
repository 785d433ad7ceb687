"""Looking at a console: read until it is quiet, draw, tell the state; nothing is typed.

The one exception is the answer to a size query, which resizewin(1) waits for.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass

from zrwizard.console.console import Console
from zrwizard.console.screen import Screen
from zrwizard.console.states import BEFORE_KERNEL, SIZE_QUERY, SIZE_REPLY, State


@dataclass(frozen=True, slots=True)
class Pace:
    """How long a console is waited for, in seconds."""

    quiet: float = 0.35
    """After this much silence the screen is read."""
    first: float = 0.8
    """The same for the first look, and before a state that no key is safe in is believed."""
    still: float = 8.0
    """A screen that moves less than a stray message within this time stands still."""
    probe: float = 0.7
    """How long a probe's answer may take to begin."""
    gone: float = 30.0
    """How long a menu or dialog may stay on the screen after the key that ends it."""
    line: float = 3.0
    """How long the echo of a line's end, or a menu drawn anew, may take."""
    resizing: float = 2.5
    """resizewin(1) waits for 2 s; until then nothing else may be typed (facts, A8)."""


PACE = Pace()

STATUS = re.compile(rb"cmd: (\S+) \d+ \[(\w+)")
"""What FreeBSD's terminal answers to ^T: the program that has it, and what that waits for."""

_QUERY_IS_LAST = re.compile(rb"\x1b\[6n(?:\x1b8)?\x00*$")
_ON_THE_WAY = (*BEFORE_KERNEL, State.STARTING, State.GOING_DOWN, State.PANIC)
_NOT_KNOWN = (State.UNKNOWN, State.MESSAGES, State.SILENT, State.RESIZING)
_ANSWERABLE = (*_NOT_KNOWN, State.TERMINAL, State.STARTING, State.INSTALLER, State.DIALOG)
_KEEP = 65536


class Looking:
    """What a console has shown, and what it shows now."""

    def __init__(
        self,
        console: Console,
        screen: Screen,
        on_state: Callable[[str], None],
        pace: Pace | None = None,
    ) -> None:
        self.console = console
        self.screen = screen
        self.pace = pace or PACE
        self.seen = b""
        self.starting = False
        """Whether the machine was seen to start, or to go down, and no prompt came since."""
        self._on_state = on_state
        self._heard = bool(screen.text().strip())
        self._asked_at = 0.0

    def look(self, limit: float = 6.0, quiet: float | None = None) -> State:
        """Read until the console is quiet; return its state. Size queries are answered at once."""
        quiet = self.pace.quiet if quiet is None else quiet
        deadline = time.monotonic() + limit
        while time.monotonic() < deadline:
            data = self.console.read(quiet)
            if data:
                self.feed(data)
            elif self.state() is not State.RESIZING:
                break
        state = self.state()
        if state in _ON_THE_WAY:
            self.starting = True
        elif state not in _NOT_KNOWN:
            self.starting = False
        self._on_state(str(state))
        return state

    def feed(self, data: bytes) -> None:
        """Draw `data`; answer a size query that came with it."""
        if not data:
            return
        self._heard = True
        self.seen = (self.seen + data)[-_KEEP:]
        self.screen.feed(data)
        if b"---<<BOOT>>---" in self.seen[-len(data) - 16 :]:
            self.starting = True
        asked = SIZE_QUERY in self.seen[-len(data) - len(SIZE_QUERY) + 1 :]
        # A prompt that stands there already was printed by whoever came after that query.
        if asked and self.screen.state() in _ANSWERABLE:
            self._asked_at = time.monotonic()
            self.console.write(SIZE_REPLY)

    def state(self) -> State:
        """Return what was last shown, without reading."""
        waits = time.monotonic() - self._asked_at < self.pace.resizing
        if waits and _QUERY_IS_LAST.search(self.seen[-64:]):
            return State.RESIZING
        return self.screen.state(heard=self._heard)

    def listen(self, seconds: float, state: State) -> int:
        """Feed what arrives within `seconds`, or until `state` is left; return how much it was."""
        count = 0
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            data = self.console.read(min(left, 2 * self.pace.quiet))
            if data:
                self.feed(data)
                count += len(data)
            elif self.state() is not state:
                break
        return count

    def enter(self, data: bytes) -> None:
        """Type a line; wait for its end to be echoed, so that a slow console is not asked twice."""
        self.console.write(data)
        self.await_newline()

    def await_newline(self) -> None:
        """Read until a line has ended."""
        deadline = time.monotonic() + self.pace.line
        while (left := deadline - time.monotonic()) > 0:
            data = self.console.read(left)
            if data:
                self.feed(data)
            if b"\n" in data:
                return

    def gone(self, state: State) -> None:
        """Wait until a full-screen state has left the screen, so that it is not answered twice."""
        deadline = time.monotonic() + self.pace.gone
        while time.monotonic() < deadline:
            if self.look(limit=0.6, quiet=0.7 * self.pace.quiet) is not state:
                return
