"""A shell session: `zrwizard.shell.api.Shell` over a console, one command at a time."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from zrwizard.console.console import Console
from zrwizard.console.errors import (
    Cancelled,
    ConsoleError,
    LineCut,
    MachineLost,
    NoAnswer,
    NotRoot,
    Refused,
    Restarted,
)
from zrwizard.console.screen import COLUMNS, ROWS, Screen
from zrwizard.console.states import SIZE_QUERY, SIZE_REPLY, State
from zrwizard.line import LineError
from zrwizard.secrets import Secret
from zrwizard.shell import carry, feeding, gone, jobs
from zrwizard.shell.api import Done, Job, Result, Rule, unheard
from zrwizard.shell.bringup import BringUp, Left
from zrwizard.shell.dialogue import Dialogue
from zrwizard.shell.files import Files
from zrwizard.shell.frames import Sum
from zrwizard.shell.handson import HandsOn
from zrwizard.shell.plainshell import PlainShell
from zrwizard.shell.protocol import Command, Frames
from zrwizard.shell.rejoin import is_there
from zrwizard.shell.stream import SinkError, Streaming

_DOWN = re.compile(
    r"Powering system off|has halted|Please press any key to reboot|reboot: Power down"
)
_MAY_BE_UP = (
    State.ROOT_SHELL,
    State.LOGIN,
    State.SILENT,
    State.UNKNOWN,
    State.MESSAGES,
    State.BURIED,
)
_NOT_UP = (*gone.DOWN, State.STARTING, State.GOING_DOWN)
_BUSY = 60.0
T = TypeVar("T")
_UPTIME = re.compile(r"Uptime: (\d+d)?(\d+h)?(\d+m)?\d+s|Rebooting\.\.\.")
# What getty prints before it asks for a login (gettytab(5), facts A7), and its question.
_GREETING = re.compile(r"(?<=\n)(FreeBSD/\w+ \([\w.-]+\) \(\w+\)|(?!Last )([\w.-]{1,64} )?login:)")


class ShellSession:
    """A root sh on the target. Threads may share it: commands run one after the other.

    `reopen` returns the line anew after a cut (raises `LineError` while nobody answers); it is
    tried for `reconnect_for` seconds.
    """

    def __init__(
        self,
        console: Console,
        token: str,
        screen: Screen | None = None,
        *,
        password: Callable[[], Secret | None],
        on_state: Callable[[str], None],
        left: Left | None = None,
        reopen: Callable[[], Any] | None = None,
        reconnect_for: float = 120.0,
    ) -> None:
        self.console = console
        self.token = token
        self.home = f"/tmp/zr-{token}"  # noqa: S108
        self.screen = screen or Screen()
        self._frames = Frames(console)
        self._password = password
        self._on_state = on_state
        self._lock = threading.RLock()
        self._reopen = reopen
        self.reconnect_for = reconnect_for
        self._boot = b""
        self._away = False
        self._adrift: ConsoleError | None = None
        self.ready = False
        self.answers_status = left.answers_status if left else True
        self.on_close: Callable[[], None] = lambda: None
        self.on_cut: Callable[[str], None] = unheard
        self._establish(left)

    def _establish(self, left: Left | None = None) -> None:
        """Bring the console to our quiet shell, whatever it shows now, and see whose it is."""
        self._go_up(left)
        self._boot = self._frames.boot_mark()[1]
        identity = self.run(f'rm -f "$_h"/up-{carry.UNNAMED}*; id -u; printf %s "$_h"')
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

    def _go_up(self, left: Left | None, patience: float = 240.0) -> None:
        """Bring the console to our quiet shell; no command is run."""
        way = BringUp(self.console, self.screen, self._password, self._on_state)
        there = left is not None and is_there(way, self._frames, left, _BUSY)
        there = there or way.to_root_prompt(patience, left=left)
        plain = PlainShell(self.console)
        if not there:
            plain.quiet(way.await_prompt)
            self.answers_status = plain.answers_status()
        if left is None or not there or left.token != self.token:
            plain.install(self.token, self.home)
            self._frames = Frames(self.console)
        else:
            # Whoever left this shell may have been cut off with a secret on its way.
            feeding.forget(self._frames)
        self.ready = True
        self._on_state("shell ready")

    # -- a line that is cut -----------------------------------------------------------------------

    @property
    def frames(self) -> Frames:
        """What speaks with the target's helpers, now."""
        return self._frames

    def files(self) -> Files:
        """Return what carries files over the line as it is now."""
        return Files(self._frames)

    def through_cuts(self, work: Callable[[], T]) -> T:
        """Do `work`, which may be done again; once more after every cut of the line."""
        while True:
            try:
                return work()
            except LineCut as cut:
                self._rejoin(cut)
                self.on_cut("The line is back, and the shell is there; it goes on.")

    def _rejoin(self, cut: LineCut) -> None:
        """Open the line again and find our shell; raises `MachineLost` where that is gone."""
        if self._reopen is None:
            raise cut
        self.on_cut("The line to the console was cut; it is opened again.")
        until = time.monotonic() + self.reconnect_for
        while True:
            try:
                self._find_again(self._reopened(cut, until), until)
                return
            except LineCut as again:
                if time.monotonic() > until:
                    raise MachineLost(
                        f"{again.what} It is cut again and again.", again.now
                    ) from None

    def _find_again(self, spawn: Any, until: float) -> None:
        self.console.reopen(spawn)
        self.screen.reset()
        self._frames = Frames(self.console)
        way = BringUp(self.console, self.screen, self._password, self._on_state)
        mine = Left(self.token, self.answers_status)
        if is_there(way, self._frames, mine, self.reconnect_for):
            self._on_state("shell ready")
            return
        state = way.look()
        if state not in _MAY_BE_UP:
            raise _went_away(f"its console shows: {state}", anew=state in _NOT_UP)
        self._go_up(None, max(10.0, until - time.monotonic()))
        last, boot = self._frames.boot_mark()
        if boot != self._boot:
            raise _went_away("it has been restarted since", anew=True)
        if last == b"-":
            raise _went_away(f"{self.home}, where the last command is noted, is gone")

    def _reopened(self, cut: LineCut, until: float) -> Any:
        assert self._reopen is not None  # noqa: S101 - asked by the caller
        while True:
            if self.console.cancel.wait(0.5):
                raise Cancelled("Stopped by the operator.", "Start zrwizard again to go on.")
            try:
                return self._reopen()
            except LineError as error:
                if time.monotonic() > until:
                    raise MachineLost(
                        f"{cut.what} It cannot be opened again: {error}", cut.now
                    ) from None

    # -- commands ---------------------------------------------------------------------------------

    def run(self, text: str, *, timeout: float = 30.0) -> Result:
        """Run sh `text` at most once in data mode; see `Shell.run`.

        A line that is cut meanwhile is opened again. Raises `MachineLost` where the machine went
        away, so that nobody knows whether the command finished.
        """
        with self._turn(text):
            began = time.monotonic()
            command = Command(text, "d")

            def whole() -> Result:
                end, gathering = self._frames.execute(command, timeout)
                out, err = self.files().outputs(end, gathering)
                return Result(end.status, out, err, time.monotonic() - began)

            return self.through_cuts(whole)

    def feed(self, text: str, secret: Secret, *, timeout: float = 120.0) -> Result:
        """Run `text` with the bytes of `secret` as its standard input; see `Shell.feed`."""
        with self._turn(f"{text} < {secret!r}"):
            return feeding.feed(self, text, secret, timeout)

    def talk(self, text: str, rules: tuple[Rule, ...] = (), *, timeout: float = 120.0) -> Result:
        """Run `text` on the terminal, answering prompts by `rules`; see `Shell.talk`."""
        with self._turn(text):
            began = time.monotonic()
            talk = Dialogue(self.console, rules)
            end, _ = self._frames.execute(Command(text, "t"), timeout, talk.seen)
            return Result(end.status, talk.transcript(), b"", time.monotonic() - began)

    def stream(
        self,
        text: str,
        sink: Callable[[bytes], None],
        *,
        timeout: float = 3600.0,
        stop: threading.Event | None = None,
    ) -> Result:
        """Run `text` and give its standard output to `sink` as it comes, any size of it.

        `sink` is called in the reader's thread; what it raises stops the command and is raised
        here, and so is `Cancelled` once `stop` is set. `Result.out` is empty, `Result.err` exact.
        Raises `NoAnswer` where size or cksum(1) of what arrived are not those that were sent.
        """
        with self._turn(text):
            began = time.monotonic()
            command = Command(text, "s")
            streaming = Streaming(command.id, sink, stop)
            try:
                with self.console.streaming(streaming):
                    end, gathering = self._frames.execute(command, timeout, moving=streaming.moving)
            except SinkError as error:
                with suppress(NoAnswer):
                    self._frames.interrupt(0.0)
                raise error.cause from None
            self.console.transcript.mark(f"{streaming.size} bytes of output are not kept here")
            if not streaming.whole(end.out):
                raise NoAnswer(
                    f"The output was damaged on the line: {end.out.size} bytes were sent, and "
                    f"{streaming.size} arrived.",
                    "Mute kernel messages (conscontrol mute on), or fetch it as a file.",
                )
            _, err = self.files().outputs(replace(end, out=Sum()), gathering)
            return Result(end.status, b"", err, time.monotonic() - began)

    # -- files ------------------------------------------------------------------------------------

    def upload(
        self, path: str, data: bytes | Secret, mode: int = 0o600, *, done: Done | None = None
    ) -> None:
        """Write a file on the target; see `Shell.upload`. `done` hears of each block.

        What was cut off is found again by the same upload, in another process too; not so a
        secret, which leaves nothing of itself behind.
        """
        with self._turn(f"upload {data!r}" if isinstance(data, Secret) else f"upload {path}"):
            carry.send(self, path, data, mode, done or _silent)

    def download(self, path: str, to: Path, *, done: Done | None = None) -> None:
        """Fetch the file `path` of the target into `to` (mode 600), checked.

        What was cut off lies in `to` with `.part` behind its name, and is gone on with. Raises
        `Refused` where `path` is no readable file, `OSError` where `to` cannot be written.
        """
        with self._turn(f"download {path}"):
            carry.fetch(self, path, to, done or _silent)

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

    def leave(self, text: str, *, until: str, timeout: float, secret: Secret | None = None) -> str:
        """Type `text`, which takes the machine away; watch until `until`; see `Shell.leave`."""
        with self._turn(text):
            self._away = True
            self.screen.reset()
            self.console.write(f"\x15zh {self.token}\r{text}\r".encode())
            return self._watch(until, timeout, secret)

    def _watch(self, until: str, timeout: float, secret: Secret | None) -> str:
        """Follow the console; a `login:` counts only after the machine went down."""
        deadline = time.monotonic() + timeout
        seen, down, greeted, asked, typed = "", False, False, True, 0
        while time.monotonic() < deadline:
            try:
                data = self.console.read(1.0)
            except MachineLost:
                if until == "down":
                    return self.screen.text()
                raise
            if data:
                # What is typed may be echoed as stars: only another line is another question.
                asked = asked or b"\n" in data
                self.screen.feed(data)
                if SIZE_QUERY in data:
                    self.console.write(SIZE_REPLY)
                seen += data.decode("utf-8", "replace")
                if not down and (last := _UPTIME.search(seen)):
                    down, seen = True, seen[last.end() :]
                # A kernel message may fall into the question itself, which is not asked again.
                greeted = greeted or (down and _GREETING.search(seen) is not None)
                if until == "down" and _DOWN.search(seen):
                    return self.screen.text()
                seen = seen[-200:]
                continue
            state = self.screen.state()
            if until == "down" and down:
                return self.screen.text()
            if secret is not None and down and asked and state is State.PASSPHRASE:
                if typed == _PASSPHRASES:
                    raise Refused(
                        f"The passphrase was typed {typed} times, and the machine asks again.",
                        "Everything is restored: type the right passphrase on its console.",
                    )
                asked, typed = False, typed + 1
                self.console.write_secret(secret)
                continue
            if until == "login" and down and (greeted or state is State.LOGIN):
                self._on_state("login prompt")
                return self.screen.text()
        raise NoAnswer(
            f"The console did not show that the machine is {_GOAL[until]} within {timeout:.0f} s.",
            "Look at its screen: it may use another console.",
        )

    def hands_on(self, rows: int = ROWS, columns: int = COLUMNS) -> HandsOn:
        """Give the console to a person; waits for the running command, holds later ones back."""
        self._lock.acquire()
        try:
            return HandsOn(self, rows, columns)
        except BaseException:
            self._lock.release()
            raise

    def take_back(self) -> None:
        """Go up again from what the console shows after `hands_on`; raises where it cannot."""
        self.ready = False
        self._adrift = None
        self._frames = Frames(self.console)
        self._establish()

    def open_again(self, fresh: Callable[[], None]) -> bool:
        """Open a line that was cut while it was lent; False where nobody knows how to.

        `fresh` is called once it is open and before its first byte is read.
        """
        if self._reopen is None:
            return False
        self.ready = False
        until = time.monotonic() + self.reconnect_for
        spawn = self._reopened(self.console.lost(), until)
        fresh()
        self.console.reopen(spawn)
        return True

    def hands_off(self, adrift: ConsoleError | None) -> None:
        """End `hands_on`. With `adrift` every later command raises it: nothing is typed then."""
        self._adrift = adrift
        self._lock.release()

    def close(self) -> None:
        """Hand the console back, echo and prompt on, and close the line; never raises."""
        try:
            if not self._away and self._adrift is None and not self.console.ended:
                self.console.cancel = threading.Event()
                self.console.write(f"\x15zh {self.token}\r".encode())
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
            try:
                yield
            except LineCut:
                # Nobody is there to get a key; the next turn opens the line again.
                raise
            except MachineLost as error:
                # Whoever has the console now, or a panic that a key would hold, gets no key of us.
                if not self.console.ended:
                    self._adrift, self.ready = error, False
                raise


def _went_away(why: str, *, anew: bool = False) -> MachineLost:
    return (Restarted if anew else MachineLost)(
        f"The machine went away in the middle of a command: {why}. Whether the command finished "
        "is unknown.",
        gone.NOW,
    )


def _silent(_done: int, _all: int) -> None:
    return None


_PASSPHRASES = 3
_GOAL = {"login": "up again", "down": "switched off"}
