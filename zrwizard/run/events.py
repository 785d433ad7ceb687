"""What a run tells the world: a small closed union, consumed by screens, headless and journal."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import IntEnum
from typing import Any


class Exit(IntEnum):
    """How a run, and the command line, ends."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    REFUSED = 3
    UNREACHABLE = 4
    INTERRUPTED = 130


@dataclass(frozen=True, slots=True)
class RunStarted:
    """A plan of `total` steps begins; `resumed` when an earlier run of it was found."""

    title: str
    total: int
    resumed: bool


@dataclass(frozen=True, slots=True)
class StepStarted:
    """Step number `index` (from 1) of `total` begins."""

    step: str
    phase: str
    title: str
    why: str
    danger: str
    index: int
    total: int


@dataclass(frozen=True, slots=True)
class Typed:
    """A command as typed on the target; `role` is look, guard, act, proof, or survey."""

    step: str
    role: str
    text: str


@dataclass(frozen=True, slots=True)
class Answered:
    """What came back: exit status, output (cut to a readable size), seconds."""

    step: str
    role: str
    status: int
    output: str
    seconds: float


@dataclass(frozen=True, slots=True)
class StepDone:
    """The step is finished and proven; `skipped` when it was found done already."""

    step: str
    seconds: float
    skipped: bool


@dataclass(frozen=True, slots=True)
class StepFailed:
    """The step did not do what it should: what happened, and what to do now."""

    step: str
    what: str
    now: str


@dataclass(frozen=True, slots=True)
class Progress:
    """A transfer's state. Bytes are raw; `fraction` is None while unknown, never above 1.

    `received` is what the NIC has counted since the start (it holds ssh's overhead), `estimate`
    the size that `zfs send -nvP` guessed, `used` the pool's growth, `rate` bytes a second now,
    `average` bytes a second since the start, `eta` seconds or None, `idle` seconds without a
    byte, `finished`/`streams` count streams, `rates` the last rates for a sparkline.
    """

    step: str
    received: int
    estimate: int | None
    used: int | None
    fraction: float | None
    rate: float
    average: float
    eta: float | None
    idle: float
    current: str
    finished: int
    streams: int
    elapsed: float
    rates: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Note:
    """A sentence for the operator; `level` is info, warning or error."""

    text: str
    level: str = "info"


@dataclass(frozen=True, slots=True)
class RunFinished:
    """The run is over. `report` is the path of the Markdown report, empty where none."""

    exit: int
    summary: str
    now: str
    report: str
    seconds: float


Event = (
    RunStarted
    | StepStarted
    | Typed
    | Answered
    | StepDone
    | StepFailed
    | Progress
    | Note
    | RunFinished
)


def to_dict(event: Event) -> dict[str, Any]:
    """Return the event as a JSON-able dict whose first key is `event`, its type's name."""
    return {"event": type(event).__name__, **asdict(event)}
