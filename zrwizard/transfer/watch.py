"""Starting, finding again and watching a detached transfer until it has ended."""

from __future__ import annotations

import codecs
import re
import threading
import time
from collections.abc import Callable

from zrwizard.console.errors import Cancelled, ConsoleError, NoAnswer
from zrwizard.freebsd import sh, size
from zrwizard.freebsd.zfs_receive import ReceiveLog
from zrwizard.freebsd.zfs_send_progress import SendLog
from zrwizard.mover import PAUSE, Phase
from zrwizard.plan import Transfer
from zrwizard.run.events import Answered, Doubt, Event, Note, Typed
from zrwizard.shell.api import Job, Shell
from zrwizard.transfer import crosscheck, poll
from zrwizard.transfer.counting import sample
from zrwizard.transfer.progress import Meter

STALL = 60.0
"""Seconds without a byte after which the operator is told."""
_DEAF = 3
"""Looks in a row without an answer after which the console counts as gone."""
_POLL_TIMEOUT = 120.0
_HEARS = 10.0
"""Seconds within which a mover has noticed that it is to pause or to go on."""
_TAIL = 4000
_AS_PLANNED = re.compile(r"(Lane \d: |Before the lanes: )?(Dataset |All \d+ datasets are there)")


class TransferLost(Exception):
    """The job is no longer on the target and left no status."""


class Watcher:
    """One transfer on the target.

    `emit` gets its events, `sleep` waits between two looks and returns True when the operator
    wants to stop (`threading.Event.wait`). While `hold` is set the mover is to pause.
    """

    def __init__(  # noqa: PLR0917 (the parts of one run)
        self,
        shell: Shell,
        step: str,
        action: Transfer,
        emit: Callable[[Event], None],
        cancel: threading.Event,
        interval: float = 2.0,
        *,
        hold: threading.Event | None = None,
    ) -> None:
        self._shell = shell
        self._step = step
        self._action = action
        self._emit = emit
        self._cancel = cancel
        self._interval = interval
        self._hold = hold
        self._held = False
        self._heard_at = 0.0
        self._meter_job = action.job + poll.METER_SUFFIX
        self._doubted: set[tuple[str, str]] = set()
        self._event = ""
        self.log = ""

    def begin(self, begun_before: bool) -> None:
        """Have the job running or ended well on the target: attach to it, or start it.

        An earlier try of this run that failed or was lost is cleared by the action's `reset`
        first. Raises ConsoleError, or `TransferLost` where the reset did not succeed.
        """
        job = self._shell.job(self._action.job)
        if job.running:
            self._note("The transfer was found running on the target; the watching goes on.")
            self._ensure_meter()
            return
        if begun_before and job.status == 0:
            self._note("The transfer had ended on the target while nobody watched.")
            return
        if begun_before and self._action.mover:
            self._note(f"{_why_again(job)} It goes on where it was.", "warning")
            self._clear()
        elif begun_before:
            self._note(f"{_why_again(job)} It is cleared and sent again from the start.", "warning")
            self._reset()
        self._start_meter()
        self._emit(Typed(self._step, "act", self._action.text))
        self._shell.start_job(self._action.job, self._action.text)

    def wait(self) -> int:
        """Watch until the job has ended; return its exit status.

        Raises `Cancelled` and other ConsoleErrors (the job goes on by itself) and `TransferLost`.
        """
        started = time.monotonic()
        self._place()
        meter: Meter | None = None
        sent, received = SendLog(), ReceiveLog()
        # A piece of the log may end in the middle of a letter.
        decode = codecs.getincrementaldecoder("utf-8")("replace").decode
        offset = 0
        stalled = False
        while True:
            look = self._look(offset)
            # A log that was not read to its end says nothing yet about now.
            more = look.end - offset >= poll.LOG_PIECE
            offset = max(offset, look.end)
            sent = sent.feed(decode(look.log))
            received = received.feed(sent.said)
            self.log = (self.log + sent.said)[-_TAIL:]
            if more:
                self._pause(0)
                continue
            status = self._ended(look)
            meter = meter or self._meter(look)
            seen = time.monotonic()
            meter = meter.add(sample(seen, look, sent, received, self._action))
            if status is not None:
                self.log = (self.log + sent.partial)[-_TAIL:]
                meter = meter.end() if status == 0 else meter
                self._emit(meter.show())
                self._finish(status, time.monotonic() - started)
                return status
            view = meter.show()
            self._emit(view)
            self._told(look)
            self._obey(look)
            stalled = self._stall(view.idle, stalled)
            self._doubt(view.doubts)
            self._pause(self._interval)

    def _meter(self, look: poll.Look) -> Meter:
        action = self._action
        return Meter(
            self._step,
            action.estimate,
            action.streams,
            parts=len(action.shares),
            before=float(look.seconds or 0),
        )

    def _pause(self, seconds: float) -> None:
        if self._cancel.wait(seconds):
            raise Cancelled(
                "Stopped watching; the transfer goes on on the target by itself.",
                "Start the same command again: it finds the transfer and goes on watching.",
            )

    def _obey(self, look: poll.Look) -> None:
        """Have the mover pause, or go on, as the operator wants it."""
        if self._hold is None or look.state is None:
            return
        # A wizard that was ended may have left it paused; but it hears of us only after a moment.
        if look.state.phase is Phase.PAUSED and time.monotonic() >= self._heard_at:
            self._held = True
        wanted = self._hold.is_set()
        if wanted == self._held:
            return
        name = sh.quote(f"{self._action.mover}/{PAUSE}")
        command = f": >{name}" if wanted else f"rm -f {name}"
        self._emit(Typed(self._step, "act", command))
        self._shell.run(command, timeout=_POLL_TIMEOUT)
        self._held = wanted
        self._heard_at = time.monotonic() + _HEARS

    def _place(self) -> None:
        """Put the text of a look into a file on the target."""
        home, job = self._shell.home, self._action.job
        text = poll.poll_script(home, job, self._action.pool, self._action.mover)
        try:
            self._shell.upload(poll.poll_path(home, job), text.encode())
        except Cancelled:
            raise
        except ConsoleError as error:
            raise _goes_on(error) from error

    def _look(self, offset: int) -> poll.Look:
        command = poll.poll_command(self._shell.home, self._action.job, offset)
        for deaf in range(1, _DEAF + 1):
            try:
                return poll.parse_poll(self._shell.run(command, timeout=_POLL_TIMEOUT).out)
            except NoAnswer as error:
                if deaf == _DEAF:
                    raise _goes_on(error) from error
                self._note("The console gave no answer to a look; looking again.", "warning")
            except Cancelled:
                raise
            except ConsoleError as error:
                raise _goes_on(error) from error
        raise AssertionError("unreachable")

    def _ended(self, look: poll.Look) -> int | None:
        if look.rc is not None:
            return look.rc
        if look.alive:
            return None
        # The process is gone without a status, or it just ended: the shell knows which.
        job = self._shell.job(self._action.job)
        if job.status is not None:
            return job.status
        if job.running:
            return None
        raise TransferLost

    def _finish(self, status: int, seconds: float) -> None:
        self._shell.stop_job(self._meter_job)
        self._emit(Answered(self._step, "act", status, self.log[-_TAIL:].strip(), seconds))

    def _clear(self) -> None:
        self._shell.stop_job(self._action.job)
        self._shell.stop_job(self._meter_job)

    def _reset(self) -> None:
        self._clear()
        if not self._action.reset:
            return
        self._emit(Typed(self._step, "act", self._action.reset))
        result = self._shell.run(self._action.reset, timeout=600.0)
        self._emit(Answered(self._step, "act", result.status, result.both, result.seconds))
        if result.status != 0:
            raise TransferLost(result.both)

    def _ensure_meter(self) -> None:
        if self._shell.job(self._meter_job).running:
            return
        self._place()
        look = self._look(0)
        self._start_meter(look.net or 0, look.seconds or 0)

    def _start_meter(self, base: int = 0, seconds: int = 0) -> None:
        total = poll.total_path(self._shell.home, self._action.job)
        script = poll.meter_script(self._action.nic, total, base, seconds)
        if not base:
            self._shell.run(f"rm -f {total}", timeout=_POLL_TIMEOUT)
        self._emit(Typed(self._step, "watch", script.strip()))
        self._shell.start_job(self._meter_job, script)

    def _stall(self, idle: float, told: bool) -> bool:
        if idle < STALL:
            return False
        if not told:
            self._note(
                f"No byte has arrived for {idle:.0f} seconds. The transfer waits on; if it stays "
                "so, look at the server and at the network between.",
                "warning",
            )
        return True

    def _told(self, look: poll.Look) -> None:
        """Say what went wrong with a stream, and that it goes on; each only once."""
        event = look.state.event if look.state is not None else ""
        if event != self._event and not _AS_PLANNED.match(event):
            self._note(event, "warning")
        self._event = event

    def _doubt(self, doubts: tuple[Doubt, ...]) -> None:
        for doubt in doubts:
            pair = (doubt.more, doubt.less)
            if pair not in self._doubted:
                self._doubted.add(pair)
                self._note(crosscheck.sentence(doubt, size.human(doubt.excess)), "warning")

    def _note(self, text: str, level: str = "info") -> None:
        self._emit(Note(text, level))


def _why_again(job: Job) -> str:
    if job.status is not None:
        return f"An earlier try of this transfer had failed with status {job.status}."
    if job.lost:
        return "An earlier try of this transfer was broken off."
    return "An earlier try of this transfer is not on the target any more; it was restarted."


def _goes_on(error: ConsoleError) -> ConsoleError:
    """Return `error` saying that the transfer does not need us."""
    error.what = f"{error.what.rstrip('.')}. The transfer goes on on the target by itself."
    error.now = (
        f"{error.now} Start the same command again: it finds the transfer and goes on watching."
    ).strip()
    return error
