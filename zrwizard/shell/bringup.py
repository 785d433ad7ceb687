"""From whatever a console shows to a root prompt.

The states recur and arrive in any order, so this is a loop over what is seen, never a script.
Nothing is typed to a state that was not recognised.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from zrwizard.console.console import Console
from zrwizard.console.screen import Screen
from zrwizard.console.states import State
from zrwizard.secrets import Secret
from zrwizard.shell.asking import does_not_move, unidentified
from zrwizard.shell.leading import Leading
from zrwizard.shell.looking import STATUS, Looking, Pace
from zrwizard.shell.protocol import Frames

_PROBES = 3
_STRAY_BYTES = 300
_CHATTER = 3
_QUIET = (State.SILENT, State.MESSAGES, State.BURIED)
_VAGUE = (*_QUIET, State.UNKNOWN)
_BY_HAND = (
    State.MOUNTROOT,
    State.DEBUGGER,
    State.HALTED,
    State.EDITOR,
    State.PASSPHRASE,
    State.PASSWORD,
    State.HOST_KEY,
)
_PATIENT = (State.STARTING, State.GOING_DOWN, State.PANIC, State.RESIZING)


@dataclass(frozen=True, slots=True)
class Left:
    """A quiet shell that an earlier process left: its token, and whether ^T was answered there."""

    token: str
    answers_status: bool


class BringUp(Looking):
    """One way up. `password` is asked only when the console asks for it."""

    def __init__(
        self,
        console: Console,
        screen: Screen,
        password: Callable[[], Secret | None],
        on_state: Callable[[str], None],
        pace: Pace | None = None,
    ) -> None:
        super().__init__(console, screen, on_state, pace)
        self._leading = Leading(self, password)
        self._still = 0
        self._chatter = 0

    def to_root_prompt(self, patience: float = 240.0, *, left: Left | None = None) -> bool:
        """Lead the console to a root prompt; True when a quiet shell of session `left` is there.

        Waits up to `patience` seconds for a machine that is still booting. Raises `Unidentified`,
        with the screen, where only a person can tell what to type.
        """
        deadline = time.monotonic() + patience
        probes = 0
        state = self.look(limit=2.0, quiet=self.pace.first)
        while state is not State.ROOT_SHELL:
            if self._may_be_ours(state, left) and probes < _PROBES and self._stands_still(state):
                probes += 1
                if self._probe(left):
                    return True
            elif state is State.SILENT and not self.starting:
                raise unidentified(state, self.screen)
            elif not self._leading.leads(state):
                self._wait(state, deadline)
            state = self.look()
        return False

    # -- waiting ----------------------------------------------------------------------------------

    def _may_be_ours(self, state: State, left: Left | None) -> bool:
        """Whether a prompt may have been printed before we came, so that probing can show it.

        Text that is not known is probed only where a quiet shell of ours is known to have been
        left, in the midst of whatever it printed.
        """
        if self.starting:
            return state is State.BURIED
        return state in _QUIET or (state is State.UNKNOWN and left is not None)

    def _stands_still(self, state: State) -> bool:
        """Whether nothing but kernel messages comes, as where a prompt was long printed.

        A driver may chatter for ever: after a while it is not waited for any more.
        """
        if state in (State.SILENT, State.BURIED):
            return True
        few = self.listen(self.pace.still, state) < _STRAY_BYTES
        self._chatter += state is State.MESSAGES
        return (few or self._chatter >= _CHATTER) and self.state() in _VAGUE

    def _wait(self, state: State, deadline: float) -> None:
        """A machine that boots is waited for; a screen that stands still is shown and left."""
        patient = state in _PATIENT or (self.starting and state not in _BY_HAND)
        if time.monotonic() > deadline:
            if patient:
                raise unidentified(state if state in _PATIENT else State.STARTING, self.screen)
            raise does_not_move(self.screen)
        seconds = self.pace.first if state in _BY_HAND else self.pace.still
        seconds = min(seconds, max(0.1, deadline - time.monotonic()))
        if self.listen(seconds, state) >= _STRAY_BYTES or self.state() is not state or patient:
            self._still = 0
            return
        self._still += 1
        if self._still > 1:
            raise unidentified(state, self.screen)

    # -- probing ----------------------------------------------------------------------------------

    def _probe(self, left: Left | None) -> bool:
        """Find out what a silent console is, with keys that start nothing.

        ^L redraws a prompt that has line editing; where it is echoed, a line is being read, and
        no dialog that Enter could confirm. ^T makes FreeBSD's kernel name what waits. Enter comes
        last, and only where a quiet shell of ours was left that is known to be deaf to ^T.
        """
        self._on_state("a silent console, being probed")
        self.console.write(b"\x11\x0c")
        echo = self._read_and_feed()
        if self.state() not in _VAGUE:
            return False
        self.console.write(b"\x15\x14")
        status = STATUS.search(self._read_and_feed())
        reads = status is not None and status[2] == b"ttyin"
        if b"^L" in echo and (reads or status is None):
            self.console.write(b"\x15\r")
            return False
        deaf = left is not None and not left.answers_status and status is None
        if not (reads and status is not None and status[1] == b"sh") and not deaf:
            return False
        if left is not None:
            frames = Frames(self.console)
            if frames.alive(left.token):
                return True
            self.feed(frames.strangers_answer()[0])
            if self.state() not in _VAGUE:
                return False
        # A sh waits in silence, so its prompt and its echo were turned off: turn them on again.
        self.console.write(b"\x15PS1='# '; stty echo\r")
        return False

    def _read_and_feed(self) -> bytes:
        data = self.console.read_until_quiet(self.pace.probe, 3.0)
        if data:
            self.feed(data)
        return data

    # -- a shell that is starting -----------------------------------------------------------------

    def await_prompt(self) -> None:
        """A shell that is just starting is never hurried: wait for its prompt, or for quiet."""
        for _ in range(10):
            if self.look(limit=3.0) is State.ROOT_SHELL:
                return
