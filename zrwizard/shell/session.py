"""A shell session: `zrwizard.shell.api.Shell` over a console, one command at a time."""

from __future__ import annotations

import re
import shlex
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from zrwizard.console.console import Console
from zrwizard.console.errors import (
    ConsoleError,
    MachineLost,
    NoAnswer,
    NotRoot,
    Refused,
)
from zrwizard.console.screen import Screen
from zrwizard.console.states import SIZE_QUERY, SIZE_REPLY, State
from zrwizard.secrets import Secret
from zrwizard.shell import jobs
from zrwizard.shell.api import Job, Result, Rule
from zrwizard.shell.bringup import BringUp, Left
from zrwizard.shell.handson import HandsOn
from zrwizard.shell.plainshell import PlainShell
from zrwizard.shell.protocol import Frames

_DOWN = re.compile(
    r"Powering system off|has halted|Please press any key to reboot|reboot: Power down"
)
_UPTIME = re.compile(r"Uptime: (\d+d)?(\d+h)?(\d+m)?\d+s")


class ShellSession:
    """A root sh on the target. Threads may share it: commands run one after the other."""

    def __init__(
        self,
        console: Console,
        token: str,
        screen: Screen | None = None,
        *,
        password: Callable[[], Secret | None],
        on_state: Callable[[str], None],
        left: Left | None = None,
    ) -> None:
        self.console = console
        self.token = token
        self.home = f"/tmp/zr-{token}"  # noqa: S108
        self.screen = screen or Screen()
        self._frames = Frames(console)
        self._password = password
        self._on_state = on_state
        self._lock = threading.RLock()
        self._away = False
        self._adrift: ConsoleError | None = None
        self.ready = False
        self.answers_status = left.answers_status if left else True
        self.on_close: Callable[[], None] = lambda: None
        self._establish(left)

    def _establish(self, left: Left | None = None) -> None:
        """Bring the console to our quiet shell, whatever it shows now."""
        way = BringUp(self.console, self.screen, self._password, self._on_state)
        there = way.to_root_prompt(left=left)
        plain = PlainShell(self.console)
        if not there:
            plain.quiet(way.await_prompt)
            self.answers_status = plain.answers_status()
        if left is None or not there or left.token != self.token:
            plain.install(self._frames, self.token, self.home)
        self.ready = True
        self._on_state("shell ready")
        identity = self.run('id -u; printf %s "$_h"')
        uid, _, home = identity.text.partition("\n")
        if uid.strip() != "0":
            raise NotRoot(
                "The console's shell is not root's.", "Become root there (su) and start again."
            )
        if home.strip() != self.home:
            raise Refused(
                f"The private directory {self.home} cannot be made on the target.",
                "Is /tmp writable there? Look with `df /tmp`; nothing was changed.",
            )

    # -- commands ---------------------------------------------------------------------------------

    def run(self, text: str, *, timeout: float = 30.0) -> Result:
        """Run sh `text` at most once in data mode; see `Shell.run`."""
        with self._turn(text):
            began = time.monotonic()
            end, gathering = self._frames.execute(text, "d", timeout)
            out, err = self._frames.collect(end, gathering)
            return Result(end.status, out, err, time.monotonic() - began)

    def talk(self, text: str, rules: tuple[Rule, ...] = (), *, timeout: float = 120.0) -> Result:
        """Run `text` on the terminal, answering prompts by `rules`; see `Shell.talk`."""
        with self._turn(text):
            began = time.monotonic()
            talk = _Talk(self.console, rules)
            end, _ = self._frames.execute(text, "t", timeout, talk.seen)
            return Result(end.status, talk.transcript(), b"", time.monotonic() - began)

    def upload(self, path: str, data: bytes | Secret, mode: int = 0o600) -> None:
        """Write a file on the target; see `Shell.upload`."""
        secret = isinstance(data, Secret)
        raw = data.reveal() if isinstance(data, Secret) else data
        with self._turn(f"upload {data!r}" if secret else f"upload {path} ({len(raw)} bytes)"):
            self._frames.store(raw, f"{data!r}" if secret else None)
        where = shlex.quote(path)
        result = self.run(
            f'rm -f {where} && ( umask 077; cat "$_h/u" > {where} ) && '
            f'chmod {mode:o} {where}; s=$?; rm -f "$_h/u"; exit $s'
        )
        if result.status:
            raise Refused(
                f"Cannot write {path} on the target: {result.both}", "Is there room in /tmp?"
            )

    # -- detached jobs ----------------------------------------------------------------------------

    def start_job(self, name: str, script: str) -> None:
        """Start `script` detached; see `Shell.start_job`."""
        where = f"{self.home}/jobs/{name}"
        self.run(f"rm -rf {where}; mkdir -p {where}")
        self.upload(f"{where}/run", jobs.wrapper(where, script).encode(), 0o700)
        result = self.run(jobs.start(where), timeout=30)
        if result.status:
            raise Refused(
                f"The job {name} cannot be started: {result.both}", "Look at the target by hand."
            )

    def job(self, name: str) -> Job:
        """Look at the detached job `name`; see `Shell.job`."""
        return jobs.parse(self.run(jobs.look(f"{self.home}/jobs/{name}")).text)

    def stop_job(self, name: str) -> None:
        """Terminate the detached job `name`; see `Shell.stop_job`."""
        self.run(jobs.stop(f"{self.home}/jobs/{name}"))

    # -- going away, by hand ------------------------------------------------------------------

    def leave(self, text: str, *, until: str, timeout: float) -> str:
        """Type `text`, which takes the machine away; watch until `until`; see `Shell.leave`."""
        with self._turn(text):
            self._away = True
            self.screen.reset()
            self.console.write(b"\x15zh\r" + text.encode() + b"\r")
            return self._watch(until, timeout)

    def _watch(self, until: str, timeout: float) -> str:
        """Follow the console; a `login:` counts only after the machine went down."""
        deadline = time.monotonic() + timeout
        seen, down = "", False
        while time.monotonic() < deadline:
            try:
                data = self.console.read(1.0)
            except MachineLost:
                if until == "down":
                    return self.screen.text()
                raise
            if data:
                self.screen.feed(data)
                if SIZE_QUERY in data:
                    self.console.write(SIZE_REPLY)
                seen += data.decode("utf-8", "replace")
                down = down or bool(_UPTIME.search(seen) or "Rebooting..." in seen)
                if until == "down" and _DOWN.search(seen):
                    return self.screen.text()
                seen = seen[-200:]
                continue
            state = self.screen.state()
            if until == "down" and down:
                return self.screen.text()
            if until == "login" and down and state is State.LOGIN:
                self._on_state("login prompt")
                return self.screen.text()
        raise NoAnswer(
            f"The console did not show that the machine is {_GOAL[until]} within {timeout:.0f} s.",
            "Look at its screen: it may use another console.",
        )

    def hands_on(self) -> HandsOn:
        """Give the console to a person; waits for the running command, holds later ones back."""
        self._lock.acquire()
        try:
            return HandsOn(self)
        except BaseException:
            self._lock.release()
            raise

    def take_back(self) -> None:
        """Go up again from what the console shows after `hands_on`; raises where it cannot."""
        self.ready = False
        self._frames = Frames(self.console)
        self._establish()

    def hands_off(self, adrift: ConsoleError | None) -> None:
        """End `hands_on`. With `adrift` every later command raises it: nothing is typed then."""
        self._adrift = adrift
        self._lock.release()

    def close(self) -> None:
        """Hand the console back, echo and prompt on, and close the line; never raises."""
        try:
            if not self._away and self._adrift is None and not self.console.ended:
                self.console.cancel = threading.Event()
                self.console.write(b"\x15zh\r")
                self.console.read(0.3)
                self.on_close()
        except ConsoleError as error:
            self.console.transcript.mark(f"closing: {error.what}")
        self.console.close()

    @contextmanager
    def _turn(self, text: str) -> Iterator[None]:
        with self._lock:
            if self._adrift is not None:
                raise self._adrift
            self.console.transcript.mark(text)
            yield


_GOAL = {"login": "up again", "down": "switched off"}


@dataclass(slots=True)
class _Prompt:
    """A rule at work: its compiled pattern, and how often it was used."""

    rule: Rule
    pattern: re.Pattern[str]
    uses: int = 0


class _Talk:
    """Answers the prompts of one command; a prompt is the last, unterminated line in a quiet."""

    def __init__(self, console: Console, rules: tuple[Rule, ...]) -> None:
        self._console = console
        self._prompts = [_Prompt(rule, re.compile(rule.pattern)) for rule in rules]
        self._shown = b""
        self._answered_at = -1
        self._guard: tuple[Secret, int] | None = None

    def seen(self, data: bytes) -> None:
        """Note what stands on the terminal since the last frame; answer a prompt at its end."""
        if data != self._shown:
            self._shown = data
            self._check_echo(data)
            return
        line = data.replace(b"\r", b"\n").rsplit(b"\n", 1)[-1].decode("utf-8", "replace")
        if not line or len(data) == self._answered_at:
            return
        for prompt in self._prompts:
            if prompt.pattern.search(line):
                self._answer(prompt)
                return

    def _answer(self, prompt: _Prompt) -> None:
        rule = prompt.rule
        if prompt.uses >= rule.max_uses:
            self._console.write(b"\x03")
            raise Refused(
                f"{rule.answer!r} was not accepted: it was asked for again.",
                "Check it, and start again; nothing was changed.",
            )
        prompt.uses += 1
        self._answered_at = len(self._shown)
        self._guard = (rule.answer, len(self._shown))
        self._console.write_secret(rule.answer)

    def _check_echo(self, data: bytes) -> None:
        if self._guard is None:
            return
        secret, at = self._guard
        value = secret.reveal()
        if value and value in data[at:]:
            self._console.write(b"\x03")
            raise Refused(
                f"The terminal showed {secret!r} as it was typed; that was no password prompt.",
                "Change that password if others can see this console.",
            )

    def transcript(self) -> bytes:
        """Return what was shown, with the answers masked."""
        shown = self._shown
        for prompt in self._prompts:
            if value := prompt.rule.answer.reveal():
                shown = shown.replace(value, repr(prompt.rule.answer).encode())
        return shown
