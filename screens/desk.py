"""Where the wizard's thread and the screens meet: queues and locks, no Textual.

The wizard runs in a thread of its own and talks to a `Desk`. The screens drain its queue a few
times a second, and put the operator's replies where the thread waits for them. The thread never
waits for a screen to draw.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Protocol

from screens.style import printable
from zrwizard.console.errors import Cancelled, ConsoleError
from zrwizard.console.vtstream import View
from zrwizard.flows.moves import Answers, Question
from zrwizard.plan import Plan, Problem
from zrwizard.preview.desk import PreviewDesk
from zrwizard.run.events import Answered, Event, Progress, RunFinished, Typed
from zrwizard.secrets import Secret
from zrwizard.wizard import Back, Confirmed

TRAFFIC_LINES = 4000
OUTPUT_LINES = 200
WIDEST = 2000
POLL = 0.2
MOST = 20_000
LAST_WAIT = 3.0


class HandsOn(Protocol):
    """The console in the operator's hands: raw bytes in, a screen out."""

    @property
    def problem(self) -> str:
        """Why nothing can be typed any more, "" where it can."""
        ...

    def write(self, data: bytes) -> None:
        """Type one key, or a paste; returns at once."""
        ...

    def view(self) -> View:
        """Return what the console's screen shows."""
        ...

    def resize(self, rows: int, columns: int) -> None:
        """Tell the machine the pane's size, where the line can."""
        ...

    def give_back(self, *, force: bool, keep: threading.Event) -> str:
        """Hand the console back to the wizard; return "", or why it stays where it is."""
        ...


Take = Callable[[int, int], HandsOn]
"""Gives the console, its screen of so many rows and columns, to the operator."""


@dataclass(frozen=True, slots=True)
class Intent:
    """What the operator wants: a flow on the machine behind `console`.

    `answers` are given beforehand (an answers file, an unfinished run); `fresh` begins a new run
    although there is an unfinished one.
    """

    flow: str
    title: str
    console: str = ""
    answers: Answers = field(default_factory=Answers)
    fresh: bool = False


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the home page."""

    value: str
    label: str
    detail: str
    intent: Intent


@dataclass(frozen=True, slots=True)
class Asked:
    """The wizard waits for an answer."""

    question: Question
    problem: Problem | None


@dataclass(frozen=True, slots=True)
class Reviewing:
    """The wizard waits for the plan to be confirmed; `refused` counts the wrong tries before."""

    plan: Plan
    refused: int


@dataclass(frozen=True, slots=True)
class StateSeen:
    """The console was recognised as showing `state`."""

    state: str


@dataclass(frozen=True, slots=True)
class Ended:
    """The wizard's thread is over."""

    result: RunFinished


@dataclass(frozen=True, slots=True)
class Serving:
    """A preview's worker has its console, and does what is asked of it over `preview`."""

    preview: PreviewDesk


News = Event | Asked | Reviewing | StateSeen | Serving | Ended


class Kind(StrEnum):
    """What a line of the traffic pane is."""

    TYPED = "typed"
    OUT = "out"
    BAD = "bad"


@dataclass(frozen=True, slots=True)
class Line:
    """One line of traffic."""

    kind: Kind
    text: str


class Desk:
    """The wizard's `Front`, and the screens' end of it.

    `cancel` is set when the operator leaves: whatever waits here then raises `Cancelled`. While
    `hold` is set a transfer pauses. The wizard's thread sets `transcript` (the console's, while
    connecting), `take` (how to take the console over) and `card` (what the operator of a rehearsal
    must know), once it has them. `last_wait` is how many seconds it may need to end in good order
    once it is told to.
    """

    def __init__(self, intent: Intent) -> None:
        self.intent = intent
        self.cancel = threading.Event()
        self.hold = threading.Event()
        self.traffic: deque[Line] = deque(maxlen=TRAFFIC_LINES)
        self.traffic_count = 0
        self.transcript: Path | None = None
        self.card = ""
        self.take: Take | None = None
        self.last_wait = LAST_WAIT
        self._news: SimpleQueue[News] = SimpleQueue()
        self._replies: SimpleQueue[str | Secret | Back | Confirmed] = SimpleQueue()
        self._refused = 0

    # The wizard's side: these are called in its thread.

    def ask(self, question: Question, problem: Problem | None) -> str | Secret | Back:
        """Show the question, return the operator's answer. Raises `Cancelled`."""
        self._refused = 0
        self._news.put(Asked(question, problem))
        reply = self._wait()
        if isinstance(reply, Confirmed):
            raise TypeError("a question was answered with a confirmation")
        return reply

    def review(self, plan: Plan) -> Confirmed | Back:
        """Show the plan, return what was typed to confirm it. Raises `Cancelled`.

        The wizard calls it again when what was typed is wrong.
        """
        self._news.put(Reviewing(plan, self._refused))
        self._refused += 1
        reply = self._wait()
        if isinstance(reply, Back):
            self._refused = 0
            return reply
        if not isinstance(reply, Confirmed):
            raise TypeError("a review was answered with a text")
        return reply

    def emit(self, event: Event) -> None:
        """Queue an event for the screens; never waits."""
        self._news.put(event)

    def on_state(self, state: str) -> None:
        """Tell the screens what the console was recognised to show."""
        self._news.put(StateSeen(state))

    def serving(self, preview: PreviewDesk) -> None:
        """Tell the screens where a preview's worker takes requests."""
        self._news.put(Serving(preview))

    def ended(self, result: RunFinished) -> None:
        """Say that the thread is over; the last thing that it does."""
        self._news.put(Ended(result))

    def _wait(self) -> str | Secret | Back | Confirmed:
        while not self.cancel.is_set():
            try:
                return self._replies.get(timeout=POLL)
            except Empty:
                continue
        raise Cancelled("You stopped it.", "Start it again to go on from here.")

    # The screens' side.

    def reply(self, value: str | Secret | Back | Confirmed) -> None:
        """Answer what the wizard waits for."""
        self._replies.put(value)

    def drain(self) -> list[News]:
        """Return the news so far, at most `MOST` of them; that takes some hundredths of a second.

        Traffic goes to its own bounded store, and only what fits in there is looked at. Of
        progress, commands and answers in a row only the newest is returned.
        """
        items = self._pull()
        told = [item for item in items if isinstance(item, Typed | Answered)]
        for one in told[-TRAFFIC_LINES:]:
            if isinstance(one, Typed):
                self._put(Kind.TYPED, f"$ {one.text}")
            else:
                self._answered(one)
        news: list[News] = []
        for item in items:
            fleeting = isinstance(item, Progress | Typed | Answered)
            if news and fleeting and type(news[-1]) is type(item):
                news[-1] = item
            else:
                news.append(item)
        return news

    def _pull(self) -> list[News]:
        items: list[News] = []
        with suppress(Empty):
            while len(items) < MOST:
                items.append(self._news.get_nowait())
        return items

    def _answered(self, item: Answered) -> None:
        kind = Kind.OUT if item.status == 0 else Kind.BAD
        rows = item.output.rstrip("\n").split("\n") if item.output.strip() else []
        for row in rows[:OUTPUT_LINES]:
            self._put(kind, f"  {row}")
        if len(rows) > OUTPUT_LINES:
            self._put(kind, f"  ({len(rows) - OUTPUT_LINES} more lines)")
        if item.status != 0:
            self._put(kind, f"  status {item.status} after {item.seconds:.1f} s ({item.role})")

    def _put(self, kind: Kind, text: str) -> None:
        for row in printable(text).split("\n"):
            self.traffic.append(Line(kind, row[:WIDEST]))
            self.traffic_count += 1


class TakeOver:
    """The console in the operator's hands, from the request until it is given back.

    All of it happens in one thread of its own: it waits there until the running command ends,
    and the same thread must give the console back, which takes a moment and may fail. The
    screens read `held`, `leaving`, `refusal` (why the wizard cannot have the console as it is
    now), `problem` and `over`.
    """

    def __init__(self, take: Take, rows: int, columns: int) -> None:
        self._take = take
        self._size = rows, columns
        self._asked: SimpleQueue[bool] = SimpleQueue()
        self._keep = threading.Event()
        self.held: HandsOn | None = None
        self.leaving = False
        self.refusal = ""
        self.problem = ""
        self.over = False
        threading.Thread(target=self._hold, name="take-over", daemon=True).start()

    def _hold(self) -> None:
        try:
            held = self._take(*self._size)
            if not self.leaving:
                self.held = held
            while refusal := held.give_back(force=self._asked.get(), keep=self._keep):
                self._refuse(held, refusal)
        except ConsoleError as error:
            self.problem = f"{error.what} {error.now}".strip()
        except Exception as error:
            self.problem = f"The console could not be taken over ({type(error).__name__})."
        finally:
            self.held = None
            self.over = True

    def _refuse(self, held: HandsOn, refusal: str) -> None:
        self.held = held
        self.refusal = refusal
        self._keep.clear()
        self.leaving = False

    def give_back(self, *, force: bool = False) -> None:
        """Give the console back, now or as soon as it is got; `over` or `refusal` tell when."""
        if not self.leaving:
            self.leaving = True
            self.refusal = ""
            self._asked.put(force)

    def keep(self) -> None:
        """Stop giving it back; the console stays in the operator's hands where it still can."""
        self._keep.set()
