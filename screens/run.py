"""The run: steps, the present command and its answer, the transfer, and what comes next."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from textual.containers import Vertical
from textual.widget import Widget
from textual.widgets import Static

from screens.commands import Command
from screens.desk import News
from screens.page import Page
from screens.peek import Peek
from screens.review import BESIDE
from screens.style import printable
from screens.widgets.lines import Lines, Row
from screens.widgets.meter import bar, spark
from screens.words import percent, size, span, worry
from zrwizard.plan import Danger, Leave, Plan, Transfer
from zrwizard.run.events import (
    Answered,
    Note,
    Progress,
    RunStarted,
    StepDone,
    StepFailed,
    StepStarted,
    Typed,
)
from zrwizard.transfer.remaining import told

DRAW_EVERY = 0.5
TYPED_ROWS = 3
CONSOLE_ROWS = 4
PART_BAR = 16
_STALLED = 30.0
_ROLES = {"look": "looks", "guard": "checks", "act": "types", "proof": "proves"}


class Mark(StrEnum):
    """A step's state, as text."""

    WAITS = "[  ]"
    NOW = "[>>]"
    DONE = "[ok]"
    SKIPPED = "[--]"
    FAILED = "[!!]"


_LOOK = {Mark.NOW: "strong", Mark.DONE: "good", Mark.SKIPPED: "dim", Mark.FAILED: "danger"}


@dataclass(slots=True)
class _Shown:
    """One row of the list of steps."""

    title: str
    mark: Mark = Mark.WAITS
    seconds: float = 0.0
    danger: str = ""


class RunPage(Page):
    """Follows a run by its events; it draws at most twice a second."""

    CSS_PATH = "run.tcss"
    CRUMB = "Run"
    TABLE = (
        Command(
            "steps",
            ("l",),
            "steps",
            "Look through all steps",
            "Moves the focus to the list of steps, which then scrolls with Up and Down.",
        ),
    )
    PAUSE = Command(
        "pause",
        ("w",),
        "pause",
        "Pause the transfer, or let it go on",
        "Nothing is sent until it is pressed again; what has come is kept, and is not sent again.",
    )
    ABOUT = (
        "The plan is being run. [ok] is done and proven, [--] was found done already, [>>] runs "
        "now, [!!] did not work, [  ] waits.\n"
        "Bytes are those of the stream as zfs counts them; the network card and the pool are "
        "compared with them, and a difference is said. The total is zfs send's own guess, so it "
        "is called an estimate, and the time left is a range. An x in the line of rates is a "
        "moment without a byte.\n"
        "Leaving is safe: a transfer goes on on the machine itself, and the next start finds it "
        "and goes on. When something fails the run stops, says what happened, and what to do.\n"
        "The journal on disk is written by the run, not by this screen."
    )

    def __init__(self, plan: Plan | None, title: str) -> None:
        actions = [step.action for step in plan.steps] if plan else []
        self._pausable = any(isinstance(act, Transfer) and act.mover for act in actions)
        super().__init__()
        self._title = plan.title if plan else title
        self._flow = plan.flow if plan else ""
        steps = plan.steps if plan else ()
        self._steps = {step.id: _Shown(step.title, danger=step.danger) for step in steps}
        self._now = ""
        self._index = 0
        self._why = ""
        self._phase = ""
        self._typed = ""
        self._answer = ""
        self._bad = False
        self._progress: Progress | None = None
        self._peek: Peek | None = None
        self._leaving = {step.id for step in steps if isinstance(step.action, Leave)}
        self._done = {step.id for step in steps if isinstance(step.action, BESIDE)}
        self._note = ""
        self._since = time.monotonic()
        self._drawn = 0.0
        self._changed = True

    def body(self) -> Iterable[Widget]:
        """Yield the parts; each has a fixed height, so nothing is ever laid out again."""
        yield Static("", id="head", markup=False)
        yield Lines(id="steps")
        yield Static("", id="why", markup=False)
        yield Static("", id="typed", markup=False)
        yield Static("", id="answer", markup=False)
        with Vertical(id="transfer"):
            yield Static("", id="bar", markup=False)
            yield Static("", id="bytes", markup=False)
            yield Static("", id="rate", markup=False)
            yield Static("", id="part", markup=False)
            yield Static("", id="current", markup=False)
        with Vertical(id="console"):
            for row in range(CONSOLE_ROWS):
                yield Static("", id=f"row{row}", markup=False)
        yield Static("", id="note", markup=False)
        yield Static("", id="next", markup=False)

    def mounted(self) -> None:
        """Draw the first state."""
        self.query_one("#transfer").display = False
        self.query_one("#console").display = False
        self.query_one("#steps").focus()
        self.draw()

    @property
    def commands(self) -> tuple[Command, ...]:
        """The page's commands; a pause is there where the plan has a transfer that can."""
        return (*((self.PAUSE,) if self._pausable else ()), *super().commands)

    # Events

    @property
    def fraction(self) -> float:
        """How far the present transfer is, from 0 to 1; 0 where there is none."""
        return (self._progress.fraction or 0.0) if self._progress is not None else 0.0

    def hear(self, item: News) -> None:
        """Take an event; drawing waits for the beat."""
        self._changed = True
        match item:
            case RunStarted(title=title, resumed=resumed):
                self._title = title
                if resumed:
                    self._note = "An earlier run was found; what is proven is skipped."
            case StepStarted():
                self._start(item)
            case Typed(text=text, step=step, role=role):
                if step in {self._now, ""}:
                    self._typed = f"{self._role(role)}: {text.strip()}"
                    self._answer, self._bad = "", False
            case Answered(output=output, status=status, step=step):
                if step in {self._now, ""}:
                    self._answer = output.strip() or f"(no output, status {status})"
                    self._bad = status != 0
            case StepDone(step=step, seconds=seconds, skipped=skipped):
                self._end(step, Mark.SKIPPED if skipped else Mark.DONE, seconds)
            case StepFailed(step=step, what=what, now=now):
                self._end(step, Mark.FAILED, 0.0)
                self._note = f"{what} {now}"
            case Progress():
                self._progress = item
            case Note(text=text):
                self._note = text
            case _:
                pass

    def _role(self, role: str) -> str:
        """Return what is done now; what is done by files, or on this machine, is not typed."""
        return "does" if role == "act" and self._now in self._done else _ROLES.get(role, role)

    def _start(self, event: StepStarted) -> None:
        shown = self._steps.setdefault(event.step, _Shown(event.title, danger=event.danger))
        shown.mark = Mark.NOW
        self._now, self._why, self._phase = event.step, event.why, event.phase
        self._index = event.index
        self._typed = self._answer = ""
        self._bad = False
        self._progress = None
        self._peek = None
        desk = self.zr.desk
        if event.step in self._leaving and desk is not None and desk.transcript is not None:
            self._peek = Peek(desk.transcript, from_now=True)

    def _end(self, step: str, mark: Mark, seconds: float) -> None:
        if step in self._steps:
            self._steps[step].mark = mark
            self._steps[step].seconds = seconds

    # Drawing

    def beat(self) -> None:
        """Draw when something changed, or when the clock moves, twice a second at most."""
        now = time.monotonic()
        if now - self._drawn >= DRAW_EVERY:
            self._drawn = now
            self.draw()

    def draw(self) -> None:
        """Put the state into the widgets; only what differs reaches the wire."""
        elapsed = span(time.monotonic() - self._since)
        total = len(self._steps)
        count = f"step {self._index} of {total}" if self._index else "starting"
        self._put("#head", f"{self._title}: {count}, {elapsed}")
        if self._changed:
            self._changed = False
            self._draw_steps()
            self._draw_present()
            self._draw_transfer()
        self._draw_console()

    def _put(self, selector: str, text: str) -> None:
        self.zr.put_text(self.query_one(selector, Static), printable(text))

    def _draw_steps(self) -> None:
        pane = self.query_one("#steps", Lines)
        rows, at = [], 0
        for index, (key, shown) in enumerate(self._steps.items()):
            if key == self._now:
                at = index
            took = f"  ({span(shown.seconds)})" if shown.seconds >= 1 else ""
            erases = shown.danger == Danger.ERASES and shown.mark in {Mark.WAITS, Mark.NOW}
            text = f"{shown.mark} {'ERASES: ' if erases else ''}{printable(shown.title)}{took}"
            rows.append(Row(text[: max(20, pane.size.width)], _LOOK.get(shown.mark, "")))
        pane.replace(rows, at)

    def _draw_present(self) -> None:
        self._put("#why", self._why)
        self._put("#typed", _head(self._typed, self.size.width - 2))
        answer = self._answer.strip().split("\n")[-1]
        self._put("#answer", ("!! " if self._bad and answer else "   ") + answer[:400])
        self._put("#note", self._note)
        following = [s.title for s in self._steps.values() if s.mark is Mark.WAITS]
        after = f"Next: {following[0]}." if following else "This is the last step."
        self._put("#next", f"{after} {worry(self._flow, self._phase)}".strip())

    def _draw_transfer(self) -> None:
        box = self.query_one("#transfer")
        progress = self._progress
        if box.display != (progress is not None):
            box.display = progress is not None
        if progress is None:
            return
        plain = self.zr.plain
        # Not the box's own width: it has none before it is drawn for the first time.
        width = max(10, self.size.width - 10)
        self._put(
            "#bar", f"{bar(progress.fraction, width, plain=plain)} {percent(progress.fraction)}"
        )
        self._put("#bytes", _bytes_line(progress))
        rate = f"{size(progress.rate)}/s, average {size(progress.average)}/s "
        self._put("#rate", rate + spark(progress.rates, width + 6 - len(rate), plain=plain))
        self._put("#part", _part_line(progress, self.size.width - 2, plain=plain))
        held = self.zr.desk is not None and self.zr.desk.hold.is_set()
        self._put("#current", _current_line(progress, held=held))

    def _draw_console(self) -> None:
        """While the machine goes away and comes back: the last rows that its console shows."""
        box = self.query_one("#console")
        if box.display != (self._peek is not None):
            box.display = self._peek is not None
        if self._peek is None:
            return
        rows = [row for row in self._peek.lines() if row][-CONSOLE_ROWS:]
        for index in range(CONSOLE_ROWS):
            self._put(f"#row{index}", f"| {rows[index]}" if index < len(rows) else "")

    def do_pause(self) -> None:
        """Have the transfer pause, or go on; the run tells the machine with its next look."""
        desk = self.zr.desk
        if desk is None:
            return
        if desk.hold.is_set():
            desk.hold.clear()
        elif self._progress is not None:
            desk.hold.set()
        else:
            self._note = "Nothing is transferred now."
        self._changed = True
        self.draw()

    def do_steps(self) -> None:
        """Put the focus on the steps."""
        self.query_one("#steps").focus()


def _head(text: str, width: int) -> str:
    """Return the first rows of a command, each cut to `width`, with a mark where there is more."""
    rows = text.split("\n")
    shown = [row if len(row) < width else row[: width - 1] + "~" for row in rows[:TYPED_ROWS]]
    if len(rows) > TYPED_ROWS:
        more = f"  (+{len(rows) - TYPED_ROWS} lines)"
        shown[-1] = shown[-1][: width - len(more)] + more
    return "\n".join(shown)


def _bytes_line(progress: Progress) -> str:
    got = size(progress.received)
    of = f" of {size(progress.estimate)} (estimate)" if progress.estimate else ", size not known"
    return f"{got}{of}, {told(progress.soonest, progress.latest, span)}"


def _part_line(progress: Progress, width: int, *, plain: bool) -> str:
    """Return the line of the dataset that is received, with a small bar of its own.

    Of a name that is too long the end is shown.
    """
    if not progress.part:
        return ""
    got, guess = progress.part_received, progress.part_estimate
    fraction = min(1.0, got / guess) if guess else None
    of = f"{size(got)} of about {size(guess)}" if guess else size(got)
    count = f"{progress.part_number} of {progress.parts}"
    head = f"{bar(fraction, PART_BAR, plain=plain)} dataset {count}, {of}: "
    room = max(2, width - len(head))
    name = progress.part
    return head + (name if len(name) <= room else "~" + name[1 - room :])


def _current_line(progress: Progress, *, held: bool) -> str:
    if held:
        return "Paused; w lets it go on." if progress.paused else "It is told to pause."
    if progress.paused:
        return "It is told to go on."
    if progress.idle >= _STALLED:
        return (
            f"No byte for {span(progress.idle)}. It waits and tries; look at the network and at "
            "the server."
        )
    of = f" of {progress.streams}" if progress.streams else ""
    what = "datasets" if progress.streams == progress.parts else "snapshots"
    done = f"{progress.finished}{of} {what} in {span(progress.elapsed)}"
    return f"{done}, now {progress.current}" if progress.current else done
