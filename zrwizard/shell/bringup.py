"""From whatever a console shows to a root prompt.

The states recur and arrive in any order, so this is a loop over what is seen, never a script.
Nothing is typed to a state that was not recognised.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass

from zrwizard.console.console import Console
from zrwizard.console.errors import LoginRefused, NotRoot, Refused, Unidentified
from zrwizard.console.screen import Screen
from zrwizard.console.states import SIZE_QUERY, SIZE_REPLY, State
from zrwizard.secrets import Secret
from zrwizard.shell.protocol import Frames

_QUIET = 0.35
_MUTE = (State.SILENT, State.UNKNOWN)
_PROBES = 3
_STILL_SECONDS = 8.0
_STRAY_BYTES = 300
_TAKE_OVER = "Take the console over by hand, bring it to a root prompt, and give it back."


@dataclass(frozen=True, slots=True)
class Left:
    """A quiet shell that an earlier process left: its token, and whether ^T was answered there."""

    token: str
    answers_status: bool


class BringUp:
    """One way up. `password` is asked only when the console asks for it."""

    def __init__(
        self,
        console: Console,
        screen: Screen,
        password: Callable[[], Secret | None],
        on_state: Callable[[str], None],
    ) -> None:
        self.console = console
        self.screen = screen
        self._password = password
        self._on_state = on_state
        self._heard = bool(screen.text().strip())
        self._seen = b""
        self._answered: dict[State, int] = {}
        self._still = 0

    # -- looking ----------------------------------------------------------------------------------

    def look(self, limit: float = 6.0, quiet: float = _QUIET) -> State:
        """Read until the console is quiet; return its state. Size queries are answered at once."""
        deadline = time.monotonic() + limit
        while time.monotonic() < deadline:
            data = self.console.read(quiet)
            if not data:
                state = self._state()
                if state is not State.RESIZING:
                    break
                continue
            self._feed(data)
        state = self._state()
        self._on_state(str(state))
        return state

    def _feed(self, data: bytes) -> None:
        self._heard = True
        self._seen = (self._seen + data)[-65536:]
        self.screen.feed(data)
        if SIZE_QUERY in self._seen[-len(data) - len(SIZE_QUERY) + 1 :]:
            self.console.write(SIZE_REPLY)

    def _state(self) -> State:
        return self.screen.state(heard=self._heard)

    # -- going up ---------------------------------------------------------------------------------

    def to_root_prompt(self, patience: float = 240.0, *, left: Left | None = None) -> bool:
        """Lead the console to a root prompt; True when a quiet shell of session `left` is there.

        Waits up to `patience` seconds for a machine that is still booting.
        """
        deadline = time.monotonic() + patience
        probes = 0
        state = self.look(limit=2.0, quiet=0.8)
        while state is not State.ROOT_SHELL:
            if state in _MUTE and probes < _PROBES and self._stands_still(state):
                probes += 1
                if self._probe(left):
                    return True
            elif state is State.SILENT:
                raise Unidentified(
                    "The console is silent: it shows nothing and answers to no harmless key.",
                    "Press Enter there yourself (take over by hand) and give it back; check "
                    "that the machine uses this serial port as its console.",
                    self.screen.text(),
                )
            else:
                self._answer(state, deadline)
            state = self.look()
        return False

    def _stands_still(self, state: State) -> bool:
        """Whether nothing but a stray kernel message comes, as where a prompt was long printed."""
        if state is State.SILENT:
            return True
        return self._listen(_STILL_SECONDS, state) < _STRAY_BYTES and self._state() in _MUTE

    def _listen(self, seconds: float, state: State) -> int:
        """Feed what arrives within `seconds`, or until `state` is left; return how much it was."""
        count = 0
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            data = self.console.read(min(left, 2 * _QUIET))
            if data:
                self._feed(data)
                count += len(data)
            elif self._state() is not state:
                break
        return count

    def _answer(self, state: State, deadline: float) -> None:
        """Type what leads one step on from a recognised state, or wait, or raise."""
        self._answered[state] = uses = self._answered.get(state, 0) + 1
        match state:
            case State.TERMINAL:
                self._limit(uses, 4)
                self.console.write(b"vt100\r")
            case State.DIALOG:
                self._limit(uses, 4)
                # With an installer on every console, leaving another one kills a shell that was
                # started from this one; a login does not die with it.
                several = b"Starting primary installer" in self._seen
                self.console.write(b"l" if several else b"s")
                self._gone(State.DIALOG)
            case State.SINGLE_USER:
                self._limit(uses, 3)
                self.console.write(b"/bin/sh\r")
            case State.LOGIN:
                if uses > 3:
                    raise LoginRefused(
                        "The console does not let root in: three tries were refused.",
                        "Check the password given with --secret console=…; nothing was changed.",
                    )
                self.console.write(b"root\r")
            case State.PASSWORD:
                self._type_password(uses)
            case State.USER_SHELL:
                raise NotRoot(
                    "The console is logged in, but not as root.",
                    "Become root there (su), or log out, and start again.",
                )
            case State.HOST_KEY:
                raise Refused(
                    "ssh does not know this host's key and asks about it.",
                    "Connect once by hand with ssh, compare the fingerprint, then start again.",
                )
            case _:
                self._wait(state, deadline)

    def _limit(self, uses: int, most: int) -> None:
        if uses > most:
            raise Unidentified(
                "The console asks the same question again and again.",
                _TAKE_OVER,
                self.screen.text(),
            )

    def _gone(self, state: State) -> None:
        """Wait until a full-screen state has left the screen, so that it is not answered twice."""
        for _ in range(20):
            if self.look(limit=0.6, quiet=0.25) is not state:
                return

    def _type_password(self, uses: int) -> None:
        if uses > 3:
            raise LoginRefused(
                "The console does not let root in: three passwords were refused.",
                "Check the password given with --secret console=…; nothing was changed.",
            )
        password = self._password()
        if password is None:
            raise LoginRefused(
                "The console asks for root's password and none was given.",
                "Give it with --secret console=file:PATH, or in the wizard.",
            )
        before = len(self._seen)
        self.console.write_secret(password)
        self._feed_for(0.6)
        if password.reveal() and password.reveal() in self._seen[min(before, len(self._seen)) :]:
            raise Refused(
                "The console showed the password as it was typed; it was not a password prompt.",
                "Look at the console by hand, and change that password if others can see it.",
            )

    def _feed_for(self, seconds: float) -> None:
        data = self.console.read(seconds)
        if data:
            self._feed(data)

    def _wait(self, state: State, deadline: float) -> None:
        """A machine that boots is waited for; a screen that stands still is shown and left."""
        if time.monotonic() > deadline:
            raise Unidentified(
                "The console shows nothing that is known, and does not move.",
                _TAKE_OVER,
                self.screen.text(),
            )
        if self._listen(_STILL_SECONDS, state) >= _STRAY_BYTES or self._state() is not state:
            self._still = 0
            return
        self._still += 1
        if self._still > 1:
            raise Unidentified(
                f"The console stands at a state that needs a hand ({state}); nothing was typed.",
                _TAKE_OVER,
                self.screen.text(),
            )

    def _probe(self, left: Left | None) -> bool:
        """Find out what a silent console is, with keys that start nothing.

        ^L redraws a prompt that has line editing; where it is echoed, a line is being read, and
        no dialog that Enter could confirm. ^T makes FreeBSD's kernel name what waits. Enter comes
        last, and only where a quiet shell of ours was left that is known to be deaf to ^T.
        """
        self._on_state("a silent console, being probed")
        self.console.write(b"\x11\x0c")
        echo = self._read_and_feed()
        if self._state() not in _MUTE:
            return False
        self.console.write(b"\x15\x14")
        status = re.search(rb"cmd: (\S+) \d+ \[(\w+)", self._read_and_feed())
        reads = status is not None and status[2] == b"ttyin"
        if b"^L" in echo and (reads or status is None):
            self.console.write(b"\x15\r")
            return False
        deaf = left is not None and not left.answers_status and status is None
        if not (reads and status is not None and status[1] == b"sh") and not deaf:
            return False
        if left is not None and Frames(self.console).alive(left.token):
            return True
        # A sh waits in silence, so its prompt and its echo were turned off: turn them on again.
        self.console.write(b"\x15PS1='# '; stty echo\r")
        return False

    def _read_and_feed(self) -> bytes:
        data = self.console.read_until_quiet(0.7, 3.0)
        if data:
            self._feed(data)
        return data

    def await_prompt(self) -> None:
        """A shell that is just starting is never hurried: wait for its prompt, or for quiet."""
        for _ in range(10):
            if self.look(limit=3.0) is State.ROOT_SHELL:
                return
