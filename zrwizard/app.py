"""Starts the screens: the only module here that knows Textual and `screens`."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from zrwizard.flows.moves import Answers
from zrwizard.run import journal, state
from zrwizard.run.events import Event, Exit, Note, RunFinished
from zrwizard.secrets import Secret, Secrets

if TYPE_CHECKING:
    from screens.app import Desk, Entry, Intent
    from zrwizard.cli import Request
    from zrwizard.run.operator import Operator
    from zrwizard.shell.api import Shell

FULL, CONSOLE = "full", "console"
_CONSOLE_TERMS = ("vt1", "vt2", "vt3", "cons", "linux", "ansi", "pcvt", "wsvt", "syscons")
_CONSOLE_TTYS = ("/dev/ttyv", "/dev/ttyu", "/dev/ttyS", "/dev/ttyd", "/dev/cua", "/dev/console")
_NEWEST = 3
REHEARSAL = "rehearsal://"
PREVIEW = "preview"
SWITCH = 0.001
_TIDY_WAIT = 25.0


def run(request: Request | None, *, secrets: Secrets, state_dir: Path, style: str = "auto") -> int:
    """Run the screens until they are left; return the exit code of the last run.

    Without a `request` they begin with the question what to do; with one that has no console,
    with the question where the console is. `style` is auto, full or console.
    """
    problem = terminal_problem(os.environ.get("TERM", ""), _tty_name())
    if problem:
        print(f"zrwizard: {problem}", file=sys.stderr)
        return Exit.USAGE
    look = pick(style, os.environ.get("TERM", ""), _tty_name())
    if look == CONSOLE:
        # Read when Textual is imported; a plain terminal may print the question it stands for.
        os.environ.setdefault("TEXTUAL_DISABLE_KITTY_KEY", "1")
    from screens.app import Style, ZrApp  # noqa: PLC0415 - slow, and after the line above

    # The worker's thread reads a million lines while the screens must still answer keys.
    sys.setswitchinterval(SWITCH)
    worker = Worker(secrets, state_dir, None if request is None else request.keys)
    app = ZrApp(
        lambda: entries(state_dir),
        worker,
        secrets=secrets,
        state_dir=state_dir,
        style=Style(look),
        start=None if request is None else _intent(request),
    )
    code = app.run(mouse=look == FULL)
    for text in worker.last_words:
        print(f"zrwizard: {text}", file=sys.stderr)
    if app.crash_text:
        print(f"zrwizard: {app.crash_text}", file=sys.stderr)
        return Exit.FAILED
    return Exit.INTERRUPTED if code is None else code


def pick(wanted: str, term: str, tty: str) -> str:
    """Return full or console for `--style` `wanted` (auto, full, console) on terminal `term`.

    `tty` is the terminal's device: xterm on /dev/ttyv0 is FreeBSD's vt(4), which calls itself
    xterm; ttyu, ttyS and cuau are serial lines.
    """
    if wanted in {FULL, CONSOLE}:
        return wanted
    plain = term.startswith(_CONSOLE_TERMS) or tty.startswith(_CONSOLE_TTYS)
    return CONSOLE if plain else FULL


def terminal_problem(term: str, tty: str) -> str:
    """Return why the screens cannot be drawn here and what to do instead; empty where they can."""
    if not tty:
        return "The screens need a terminal. Without one, say --headless."
    if term in {"", "dumb", "unknown"}:
        return (
            f"The terminal calls itself {term or 'nothing'!r}, on which no screen can be drawn. "
            "Set TERM (vt100 fits nearly all), or say --headless."
        )
    return ""


def _tty_name() -> str:
    try:
        if not sys.stdin.isatty():
            return ""
        return os.ttyname(sys.stdout.fileno())
    except (OSError, ValueError, AttributeError):
        return ""


def entries(state_dir: Path) -> tuple[Entry, ...]:
    """Return what the first page offers; unfinished runs come first."""
    from screens.app import Entry, Intent  # noqa: PLC0415
    from zrwizard.cli import flow_named  # noqa: PLC0415

    restore, preview, server = map(flow_named, ("restore", "preview", "server"))
    return (
        *_unfinished(state_dir),
        Entry(
            "restore",
            "Restore a machine",
            "From a blank disk to a booted machine: the machine is reached through its console "
            "(telnet, ssh, a serial cable), the data comes from your backup server. You see "
            "every command, and confirm, before anything is erased.",
            Intent(restore.name, restore.title),
        ),
        Entry(
            "rehearse",
            "Rehearse a restore (safe practice)",
            "The same restore on simulated machines inside this program. Nothing of this "
            "computer, and nothing of any other, is touched.",
            Intent(restore.name, "Rehearsal", console="rehearsal://restore"),
        ),
        Entry(
            server.name,
            "Set up a backup server",
            "An old computer and a disk become a locked-down backup server for another house: the "
            "disk encrypted with a key that only you have, ssh keys that can do one thing each. "
            "The bad day is rehearsed at once: cut lines, a thief, a restore.",
            Intent(server.name, server.title),
        ),
        Entry(
            "rehearse-server",
            "Rehearse a set-up (safe practice)",
            "The same set-up of a simulated computer inside this program, with keys that are "
            "thrown away afterwards. Nothing real is touched.",
            Intent(server.name, "Rehearsal", console="rehearsal://server"),
        ),
        Entry(
            preview.name,
            "Look at what changed (read-only)",
            "What changed between two snapshots of a tree, or since one: every dataset below it, "
            "as one tree by path, with sizes, and with both versions of each file side by side. "
            "Commands that could change anything are refused before they are typed.",
            Intent(preview.name, preview.title),
        ),
        Entry(
            "rehearse-preview",
            "Rehearse it",
            "The same look at a simulated machine with snapshots in which all kinds of things "
            "changed. Nothing real is touched.",
            Intent(preview.name, "Rehearsal", console="rehearsal://preview"),
        ),
    )


def _unfinished(state_dir: Path) -> list[Entry]:
    """Return an entry for each of the newest runs that were begun and have not ended well."""
    from screens.app import Entry, Intent  # noqa: PLC0415

    paths = sorted(
        state.runs_dir(state_dir).glob(f"*/{journal.NAME}"), key=_when_changed, reverse=True
    )
    found: dict[tuple[str, str], Entry] = {}
    for path in paths[:50]:
        told = journal.load(path)
        if told is None or not told.console or (told.console, told.flow) in found:
            continue
        run = journal.find_unfinished(state_dir, told.console, told.flow)
        if run is None or run.plan is None:
            continue
        when = time.strftime("%Y-%m-%d %H:%M", time.localtime(run.when))
        found[told.console, told.flow] = Entry(
            f"continue-{run.token}",
            f"Continue: {run.plan.title} ({when})",
            f"This run on {run.console} was begun and has not ended well. Going on looks at the "
            "machine first, skips what is proven, and does the rest.",
            Intent(run.flow, run.plan.title, run.console, Answers(run.answers)),
        )
        if len(found) == _NEWEST:
            break
    return list(found.values())


def _when_changed(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def _intent(request: Request) -> Intent:
    from screens.app import Intent  # noqa: PLC0415

    return Intent(
        request.flow.name, request.flow.title, request.console, request.answers, request.fresh
    )


class Worker:
    """Does an intent from the console to the report, in the thread that calls it.

    `keys` is where the directories of keys are, None for the usual place. `last_words` are
    warnings that came when no screen was there any more to show them.
    """

    def __init__(self, secrets: Secrets, state_dir: Path, keys: Path | None = None) -> None:
        self._secrets = secrets
        self._state_dir = state_dir
        self._keys = keys
        self._used: set[str] = set()
        self.last_words: list[str] = []

    def __call__(self, desk: Desk) -> RunFinished:
        """Run the wizard with `desk` as its front; return how it ended."""
        console = desk.intent.console
        if console.startswith(REHEARSAL):
            name = console.removeprefix(REHEARSAL).strip("/")
            if desk.intent.flow == PREVIEW:
                return self._rehearse_look(desk, name or PREVIEW)
            return self._rehearse(desk, name or "restore")
        if desk.intent.flow == PREVIEW:
            return self._look(desk, console, self._state_dir)
        from zrwizard.cli import operator_of  # noqa: PLC0415

        operator = operator_of(desk.intent.flow, self._keys, self._secrets)
        return self._run(desk, console, self._state_dir, operator, fresh=desk.intent.fresh)

    def _rehearse(self, desk: Desk, name: str) -> RunFinished:
        """Run it on simulated machines: new ones once a restore on them had begun."""
        from zrwizard import rehearse  # noqa: PLC0415 - the simulated machines load slowly
        from zrwizard.cli import REHEARSALS  # noqa: PLC0415
        from zrwizard.rehearsal import Rehearsal, RehearsalUnavailable  # noqa: PLC0415

        try:
            with contextlib.ExitStack() as stack:
                made = (
                    stack.enter_context(Rehearsal(rehearse.SCREEN_SPEED, scenario=name))
                    if name in self._used
                    else rehearse.machines(name)
                )
                told = ", ".join(f"{what} {value}" for what, value in rehearse.words(made))
                desk.card = f"Rehearsal, nothing is real: {told}."
                # The machines print this password on every page, so it is no secret here; the
                # console's own one is given so that it is never asked for.
                self._secrets.add(Secret("console", made.scenario.root_password))
                kept = self._state_dir / "practice"
                operator = rehearse.operator(made, self._secrets, kept)
                finished = self._run(desk, made.url, kept, operator, fresh=True, interval=0.5)
                if finished.report:
                    self._used.add(name)
                return rehearse.judged(made, finished)
        except (RehearsalUnavailable, ValueError) as error:
            return RunFinished(Exit.USAGE, str(error), REHEARSALS, "", 0.0)

    def _run(
        self,
        desk: Desk,
        console: str,
        state_dir: Path,
        operator: Operator | None,
        *,
        fresh: bool,
        interval: float = 2.0,
    ) -> RunFinished:
        from zrwizard.cli import flow_named  # noqa: PLC0415
        from zrwizard.wizard import Wizard  # noqa: PLC0415

        return Wizard(
            flow_named(desk.intent.flow),
            lambda token: self._open(desk, console, state_dir, token),
            desk.intent.answers,
            self._secrets,
            desk,
            state_dir,
            desk.cancel,
            console=console,
            fresh=fresh,
            interval=interval,
            operator=operator,
            hold=desk.hold,
        ).run()

    def _rehearse_look(self, desk: Desk, name: str) -> RunFinished:
        """Preview a simulated machine."""
        from zrwizard import rehearse  # noqa: PLC0415 - the simulated machines load slowly
        from zrwizard.rehearsal import RehearsalUnavailable  # noqa: PLC0415

        try:
            made = rehearse.machines(name)
        except (RehearsalUnavailable, ValueError) as error:
            return RunFinished(Exit.USAGE, str(error), f"Rehearsals: {REHEARSAL}preview.", "", 0.0)
        desk.card = "Rehearsal, nothing is real: a simulated machine inside this program."
        self._secrets.add(Secret("console", made.scenario.root_password))
        return self._look(desk, made.url, self._state_dir / "practice", simulated=True)

    def _look(
        self, desk: Desk, url: str, state_dir: Path, *, simulated: bool = False
    ) -> RunFinished:
        """Open the console for looking only, and do what the screens ask until they leave."""
        from zrwizard.preview.desk import PreviewDesk  # noqa: PLC0415
        from zrwizard.preview.hand import SessionHand  # noqa: PLC0415 - pexpect is slow
        from zrwizard.preview.session import Door, opened  # noqa: PLC0415
        from zrwizard.shell.connect import Watch  # noqa: PLC0415

        log = state.make_private(state.run_dir(state_dir, state.new_token())) / "console.log"
        desk.transcript = log
        desk.last_wait = _TIDY_WAIT
        door = Door(
            url,
            desk.intent.console,
            self._secrets,
            state_dir,
            desk.cancel,
            locks=None if simulated else state.locks_dir(self._state_dir),
            log=log,
            watch=Watch(on_state=desk.on_state),
        )

        def emit(event: Event) -> None:
            if desk.cancel.is_set() and isinstance(event, Note) and event.level != "info":
                self.last_words.append(event.text)
            desk.emit(event)

        with opened(door, emit) as session:
            preview = PreviewDesk(desk.cancel)
            desk.serving(preview)
            preview.serve(SessionHand(session, emit))
        return RunFinished(Exit.DONE, "", "", "", 0.0)

    def _open(self, desk: Desk, console: str, state_dir: Path, token: str) -> Shell:
        """Open the console; the screens may follow its transcript, and take it over later."""
        from zrwizard.shell.connect import Watch, open_shell  # noqa: PLC0415 - pexpect is slow

        log = state.make_private(state.run_dir(state_dir, token)) / "console.log"
        desk.transcript = log
        shell = open_shell(
            console,
            token=token,
            secrets=self._secrets,
            cancel=desk.cancel,
            log=log,
            memory=state_dir / "consoles.json",
            locks=state.locks_dir(self._state_dir),
            purpose=desk.intent.flow,
            watch=Watch(on_state=desk.on_state),
        )
        desk.take = shell.hands_on
        return shell
