"""A console opened for looking: a read-only shell for everybody, and agreed plans beside it.

What a plan mounted is unmounted again when the session ends, or when the next one begins on that
console: the journal knows of it before the first mount.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from zrwizard.console.errors import ConsoleError
from zrwizard.flows import preview as plans
from zrwizard.freebsd import sh
from zrwizard.plan import Plan
from zrwizard.run import journal, state
from zrwizard.run.events import Event, Exit, Note
from zrwizard.run.executor import Run
from zrwizard.run.journal import Journal, Unfinished
from zrwizard.run.outcome import Outcome
from zrwizard.run.telling import Emit
from zrwizard.secrets import Secrets
from zrwizard.shell.connect import Watch, open_shell
from zrwizard.shell.readonly import ReadOnly
from zrwizard.shell.session import ShellSession

_MOUNT, _UNDO, _COPY = "mount", "undo", "copy"
PATIENCE = 120.0
_TIDY_SECONDS = 15.0
_UNDO_SECONDS = 180.0
_UNDO_RECONNECT = 30.0
_STOP_SECONDS = 3.0
_GRACE = 20.0
_POLL = 0.2
_INTERRUPT = b"\x11\x03"


def _unheard(_event: Event) -> None:
    return None


@dataclass(frozen=True, slots=True)
class Door:
    """A console, and what is needed to open it.

    `url` is where it really is, `name` what the operator calls it: under that its journals are
    found again. `locks` is None on simulated machines, `log` the transcript's path or None.
    `cancel` is the operator's: it stops the way to the shell at once, and whatever runs there
    later if that does not heed it within 20 s. A line that is cut is opened again for `patience`
    seconds.
    """

    url: str
    name: str
    secrets: Secrets
    state_dir: Path
    cancel: threading.Event
    locks: Path | None = None
    log: Path | None = None
    watch: Watch | None = None
    patience: float = PATIENCE


class Session:
    """One console in a preview's hands; of its shell, others get the `read_only` kind.

    `emit` hears what agreed plans do, event by event.
    """

    def __init__(self, inner: ShellSession, door: Door, emit: Emit = _unheard) -> None:
        self.home = inner.home
        self.token = inner.token
        self.__inner = inner
        self._door = door
        self._emit = emit
        self._journal: Journal | None = None
        self._offered: dict[str, tuple[int, Plan]] = {}
        self._mounted: list[tuple[str, Plan]] = []
        self._turns = 0
        self._closed = threading.Event()
        inner.reconnect_for = door.patience
        # The engine heeds the operator's cancel by itself, and leaves the shell in good order.
        inner.console.cancel = self._hard = threading.Event()
        threading.Thread(target=self._insist, daemon=True).start()

    def read_only(self, *, allow_temporary_snapshot: bool = False) -> ReadOnly:
        """Return a shell that can only look; the operator's word is needed for the live files."""
        return ReadOnly(self.__inner, allow_temporary_snapshot=allow_temporary_snapshot)

    def _insist(self) -> None:
        while not self._closed.is_set():
            if self._door.cancel.wait(_POLL):
                if not self._closed.wait(_GRACE):
                    self._hard.set()
                return

    def trouble(self) -> ConsoleError | None:
        """Return what is wrong with the console now, None where it answers."""
        # Whoever asks has seen an error already, and waited for the line to come back.
        self.__inner.reconnect_for = min(self._door.patience, 1.0)
        try:
            self.__inner.run(":", timeout=_TIDY_SECONDS)
        except ConsoleError as error:
            return error
        return None

    # -- agreed plans -----------------------------------------------------------------------------

    def mount_plan(self, datasets: Sequence[str]) -> Plan:
        """Return the plan that mounts `datasets` read-only; `carry` runs it, `close` undoes it."""
        self._turns += 1
        plan = plans.mount_plan(self.token, self.home, datasets, self._turns)
        undo = plans.undo_plan(self.token, self.home, datasets, self._turns)
        self._offered[plan.to_json()] = (self._turns, undo)
        return plan

    def carry(self, plan: Plan, cancel: threading.Event | None = None) -> Outcome:
        """Run a plan that the operator agreed to; return how it ended.

        What a mount plan did is undone by `close`, however far it came. Raises OSError where the
        journal cannot be written; nothing was typed then.
        """
        kept = self._keep()
        offered = self._offered.pop(plan.to_json(), None)
        if offered is None:
            self._turns += 1
            part = f"{_COPY}-{self._turns}"
        else:
            turn, undo = offered
            part = f"{_MOUNT}-{turn}"
            # Before anything is mounted: of a killed process the journal is all that stays.
            kept.plan(f"{_UNDO}-{turn}", undo)
            self._mounted.append((f"{_UNDO}-{turn}", undo))
        kept.plan(part, plan)
        return self._run(plan, part, cancel or self._door.cancel)

    def _keep(self) -> Journal:
        if self._journal is None:
            self._journal = Journal.create(
                self._door.state_dir,
                self.token,
                console=self._door.name,
                flow=plans.FLOW,
                secrets=self._door.secrets,
            )
        return self._journal

    def _run(self, plan: Plan, part: str, cancel: threading.Event) -> Outcome:
        kept = self._keep()

        def emit(event: Event) -> None:
            kept.event(event)
            self._emit(event)

        return Run(plan, self.__inner, kept.part(part), self._door.secrets, emit, cancel).execute()

    # -- the end ----------------------------------------------------------------------------------

    def close(self) -> tuple[str, ...]:
        """Undo the mounts, remove our directory, hand the console back; return what went wrong.

        Never raises. What could not be undone is undone by the next session on this console.
        """
        wrong: list[str] = []
        self._closed.set()
        with self._last_words(_UNDO_SECONDS if self._mounted else _TIDY_SECONDS):
            self._stop()
            while self._mounted:
                outcome = self._undo(self._mounted.pop())
                if outcome.exit is not Exit.DONE:
                    wrong.append(f"{outcome.what} {outcome.now}".strip())
            self._tidy(self.home)
        self.__inner.close()
        self._close_journal(Exit.FAILED if wrong else Exit.DONE)
        return tuple(wrong)

    def undo_left(self, left: Sequence[Unfinished]) -> tuple[str, ...]:
        """Undo what earlier sessions on this console left mounted; return what went wrong."""
        wrong: list[str] = []
        for run in left:
            self._emit(
                Note(f"An earlier preview ({run.token}) was stopped; what it mounted is unmounted.")
            )
            kept = Journal.reopen(self._door.state_dir, run, self._door.secrets)
            ours, self._journal = self._journal, kept
            try:
                outcomes = [
                    self._run(plan, part, self._door.cancel)
                    for part, plan in reversed(undoing(run))
                ]
                failed = [one for one in outcomes if one.exit is not Exit.DONE]
                wrong += [f"{one.what} {one.now}".strip() for one in failed]
                if not failed:
                    self._tidy(f"/tmp/zr-{run.token}")  # noqa: S108 - where sessions live
                    kept.end(Exit.DONE)
            finally:
                self._journal = ours
                kept.close()
        return tuple(wrong)

    def _undo(self, undo: tuple[str, Plan]) -> Outcome:
        part, plan = undo
        return self._run(plan, part, threading.Event())

    @contextmanager
    def _last_words(self, seconds: float) -> Iterator[None]:
        """Give the console `seconds` more, whatever the operator's cancel says."""
        limit = threading.Event()
        self.__inner.console.cancel = limit
        again = min(_UNDO_RECONNECT, self._door.patience)
        self.__inner.reconnect_for = again if self._mounted else 0.0
        timer = threading.Timer(seconds, limit.set)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def _stop(self) -> None:
        """Interrupt what did not heed the operator's cancel."""
        if not self._hard.is_set():
            return
        with suppress(ConsoleError):
            self.__inner.console.write(_INTERRUPT)
            self.__inner.console.read_until_quiet(0.3, _STOP_SECONDS)

    def _tidy(self, home: str) -> None:
        """Remove `home` from the target, unless a mount point is in it still."""
        place = sh.quote(home)
        text = f'for d in {place}/mounts-*\ndo\n  [ ! -e "$d" ] || exit 1\ndone\nrm -rf {place}'
        try:
            result = self.__inner.run(text, timeout=_TIDY_SECONDS)
        except ConsoleError as error:
            self.__inner.console.transcript.mark(f"{home} was left there: {error.what}")
            return
        if result.status:
            self.__inner.console.transcript.mark(f"{home} was left there: it holds mount points")

    def _close_journal(self, code: Exit) -> None:
        if self._journal is None:
            return
        with suppress(OSError):
            self._journal.end(code)
        self._journal.close()
        self._journal = None


@contextmanager
def opened(door: Door, emit: Emit = _unheard) -> Iterator[Session]:
    """Yield a session on the console of `door`; end it whatever happens. Raises `ConsoleError`.

    What an earlier, killed session left mounted there is unmounted first. What goes wrong while
    it is undone is told to `emit` as a warning.
    """
    session = Session(
        open_shell(
            door.url,
            token=state.new_token(),
            secrets=door.secrets,
            cancel=door.cancel,
            log=door.log,
            memory=door.state_dir / "consoles.json",
            watch=door.watch,
            locks=door.locks,
            purpose=plans.FLOW,
        ),
        door,
        emit,
    )
    try:
        _warn(emit, session.undo_left(unfinished(door.state_dir, door.name)))
        yield session
    finally:
        _warn(emit, session.close())


def unfinished(state_dir: Path, console: str) -> tuple[Unfinished, ...]:
    """Return the sessions on `console` that mounted something and did not undo it, oldest first.

    Those on simulated machines ended with their process, and are not found.
    """
    if console.startswith("rehearsal:"):
        return ()
    found = [
        run
        for path in state.runs_dir(state_dir).glob(f"*/{journal.NAME}")
        if (run := journal.load(path)) is not None
        and (run.console, run.flow) == (console, plans.FLOW)
        and run.exit != Exit.DONE
        and re.fullmatch(r"[0-9a-f]+", run.token)
        and any(part.startswith(_MOUNT) for part, _ in run.begun)
    ]
    return tuple(sorted(found, key=lambda run: run.when))


def undoing(run: Unfinished) -> list[tuple[str, Plan]]:
    """Return the parts of a session's journal that undo its mounts, in the order of the mounts."""
    return [(part, plan) for part, plan in run.preparations if part.startswith(_UNDO)]


def _warn(emit: Callable[[Event], None], texts: Sequence[str]) -> None:
    for text in texts:
        emit(Note(text, "warning"))
