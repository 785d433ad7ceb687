"""What leads one step on from each state that is recognised: the key, and why it is safe there."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import assert_never

from zrwizard.console.errors import LoginRefused, NotRoot, Refused
from zrwizard.console.fullscreen import offers_live_system
from zrwizard.console.kernel import is_message
from zrwizard.console.menu import Menu, read_menu
from zrwizard.console.states import State
from zrwizard.secrets import Secret
from zrwizard.shell.asking import again_and_again, unidentified
from zrwizard.shell.looking import Looking

_SERIAL_FIRST = ("Dual (Serial primary)", "Serial")
# Whichever console the loader was set up for, the kernel then uses both, the serial one first:
# stock media have video alone (facts on FreeBSD, A5). It is this boot's environment only.
_LOADER_LINES = ("set boot_multicons=YES", "set boot_serial=YES", "boot")
_ROOT_AT_LOGIN = re.compile(r"^(?:[\w.-]+ )?login: root$")
_OTHER_AT_LOGIN = re.compile(r"^(?:[\w.-]+ )?login: \S+$")
_SEVERAL = re.compile(rb"Starting (primary|secondary) installer on")
_MOST = {
    State.LOADER_MENU: 8,
    State.LOADER_COUNTDOWN: 3,
    State.LOADER_PROMPT: 10,
    State.BOOT_PROMPT: 2,
    State.TERMINAL: 4,
    State.DIALOG: 4,
    State.SINGLE_USER: 3,
    State.HALF_TYPED: 3,
    State.CONTINUATION: 3,
    State.SEARCH: 2,
    State.PAGER: 5,
    State.MONITOR: 2,
}
"""How often a state is answered in one bring-up."""


class Leading:
    """Types what leads on. `password` is asked only when the console asks for root's."""

    def __init__(self, looking: Looking, password: Callable[[], Secret | None]) -> None:
        self._looking = looking
        self._console = looking.console
        self._screen = looking.screen
        self._password = password
        self._uses: dict[State, int] = {}
        self._last: State | None = None
        self._booted = 0
        self._seen_before = b""

    def leads(self, state: State) -> bool:
        """Answer `state` where a key leads on from it; False where it can only be waited for.

        Raises a `ConsoleError` where only a person can go on.
        """
        self._uses[state] = uses = self._uses.get(state, 0) + 1
        if uses > _MOST.get(state, uses):
            raise again_and_again(state, self._screen)
        if not self._answered(state, uses):
            return False
        self._last = state
        return True

    def _answered(self, state: State, uses: int) -> bool:
        console = self._console
        match state:
            case State.LOADER_MENU:
                self._at_the_menu()
            case State.LOADER_COUNTDOWN:
                # Without the menu nothing shows which console the kernel will use; any key but
                # Enter leads to the prompt, where that can be set.
                console.write(b" ")
            case State.LOADER_PROMPT:
                self._at_the_loader_prompt()
            case State.BOOT_PROMPT:
                self._looking.enter(b"\r")
            case State.TERMINAL:
                # ^U clears what somebody has typed there already: these are read line by line.
                self._looking.enter(b"\x15vt100\r")
            case State.SINGLE_USER:
                self._looking.enter(b"\x15\r")
            case State.LOGIN:
                self._at_the_login(uses)
            case State.PASSWORD:
                return self._at_a_password(uses)
            case State.DIALOG:
                self._at_the_dialog()
            case State.HALF_TYPED:
                self._at_a_half_typed_line(uses)
            case State.CONTINUATION:
                # ^C drops the unfinished line, and nothing of it runs.
                console.write(b"\x03")
            case State.SEARCH:
                # ^G leaves a history search in libedit and readline; elsewhere it is a bell.
                console.write(b"\x07")
            case State.PAGER:
                self._leave_pager()
            case State.MONITOR:
                # At a prompt, `q` would be one letter that nobody enters.
                self._screen.unjoin()
                console.write(b"q")
            case State.USER_SHELL:
                raise NotRoot(
                    "The console is logged in, but not as root.",
                    "Become root there (su), or log out, and start again.",
                )
            case State.HOST_KEY:
                return self._at_a_host_key()
            case State.ROOT_SHELL:
                return False
            case State.STARTING | State.GOING_DOWN | State.PANIC | State.RESIZING:
                return False
            case State.MESSAGES | State.BURIED | State.SILENT | State.UNKNOWN:
                return False
            case State.MOUNTROOT | State.DEBUGGER | State.HALTED | State.EDITOR:
                return False
            case State.PASSPHRASE | State.INSTALLER:
                return False
            case _:
                assert_never(state)
        return True

    # -- before the kernel runs -------------------------------------------------------------------

    def _at_the_menu(self) -> None:
        menu = read_menu(self._screen.lines(), self._screen.cursor[1])
        if menu is None:
            return
        consoles = menu.consoles
        if menu.inner:
            self._console.write(b"\x08")
        elif consoles is not None and consoles[1] not in _SERIAL_FIRST:
            # 13's installer runs on the first console only, so that Dual with video first will
            # not do either; a key other than Enter stops the countdown and counts as well.
            self._console.write(consoles[0].encode())
            self._await_redrawn(menu)
        else:
            self._console.write(b"\r")
            self._looking.gone(State.LOADER_MENU)

    def _await_redrawn(self, before: Menu) -> None:
        """Wait until the menu says something else; a key that is pressed again goes one too far."""
        deadline = time.monotonic() + self._looking.pace.line
        while time.monotonic() < deadline:
            self._looking.look()
            now = read_menu(self._screen.lines(), self._screen.cursor[1])
            if now is not None and now.items != before.items:
                return

    def _at_the_loader_prompt(self) -> None:
        """Type the next of the lines that boot; each is seen on the screen before the next."""
        row = self._screen.cursor[1]
        above = [line for line in self._screen.lines()[:row] if line.strip()]
        typed = [line.removeprefix("OK ") for line in above if line.startswith("OK ")]
        at = 0
        while at < 2 and _LOADER_LINES[at] in typed:
            at += 1
        if at == 2:
            self._booted += 1
            if self._booted > 2:
                raise unidentified(State.LOADER_PROMPT, self._screen)
        self._looking.enter(_LOADER_LINES[at].encode() + b"\r")

    # -- questions --------------------------------------------------------------------------------

    def _at_a_half_typed_line(self, uses: int) -> None:
        """Clear the line from its end, never enter it.

        ^L draws it anew where terminal and screen disagree about what is still there. A line that
        answers neither key is a picture of what was there once: it is forgotten, and the console
        then is what it is, a silent one.
        """
        if uses == 1:
            self._seen_before = self._looking.seen
        elif uses == 3 and self._looking.seen == self._seen_before:
            self._screen.reset()
            return
        self._console.write(b"\x0c" if uses == 2 else b"\x05\x15")

    def _at_the_login(self, uses: int) -> None:
        if uses > 3:
            raise LoginRefused(
                "The console does not let root in: three tries were refused.",
                "Check the password given with --secret console=…; nothing was changed.",
            )
        self._looking.enter(b"\x15root\r")

    def _at_a_host_key(self) -> bool:
        if self._on_ssh():
            raise Refused(
                "ssh does not know this host's key and asks about it.",
                "Connect once by hand with ssh, compare the fingerprint, then start again.",
            )
        return False

    def _at_the_dialog(self) -> None:
        """One letter chooses a button, without Enter (facts on FreeBSD, A7)."""
        # With an installer on every console, leaving another one kills a shell that was started
        # from this one; a login does not die with it.
        several = _SEVERAL.search(self._looking.seen) or offers_live_system(self._screen.lines())
        self._console.write(b"l" if several else b"s")
        self._looking.gone(State.DIALOG)

    def _on_ssh(self) -> bool:
        """Whether ssh(1) itself asks, for the line: nothing else was on this console yet."""
        first = self._last in (None, State.PASSWORD)
        return first and self._console.transcript.title.startswith("ssh:")

    def _at_a_password(self, uses: int) -> bool:
        above = [
            line
            for line in self._screen.lines()[: self._screen.cursor[1]]
            if line.strip() and not is_message(line)
        ]
        said = above[-1] if above else ""
        ours = self._last is State.LOGIN or _ROOT_AT_LOGIN.match(said)
        single_user = said.startswith("Enter root password, or ^D to go multi-user")
        if ours or single_user or self._on_ssh():
            self._type_password(uses)
        elif _OTHER_AT_LOGIN.match(said) and uses <= 3:
            # Somebody else's login: an empty answer is refused, and the next question is ours.
            self._looking.enter(b"\r")
        else:
            return False
        return True

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
        looking = self._looking
        before = len(looking.seen)
        self._console.write_secret(password)
        looking.await_newline()
        if (
            password.reveal()
            and password.reveal() in looking.seen[min(before, len(looking.seen)) :]
        ):
            raise Refused(
                "The console showed the password as it was typed; it was not a password prompt.",
                "Look at the console by hand, and change that password if others can see it.",
            )

    def _leave_pager(self) -> None:
        """Type `q`; where it only was written down, that was no pager: take it back, and ask."""
        before = self._screen.last_line()
        self._console.write(b"q")
        self._looking.look()
        if self._screen.last_line() == before + "q":
            self._console.write(b"\x7f")
            raise unidentified(State.UNKNOWN, self._screen)
