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
class Doubt:
    """Two counters differ by more than they may: `more` is `excess` bytes above `less`.

    What is known to lie between the two is taken off already. Each is stream, network or pool.
    """

    more: str
    less: str
    excess: int


@dataclass(frozen=True, slots=True)
class Progress:
    """A transfer's state. Bytes and seconds are raw; `fraction` is None while unknown, never > 1.

    `received` never falls; `counted` says by what it was counted: the sender's own count of the
    stream, the network card (which holds ssh's overhead) or the growth of the pool. `estimate` is
    the size that `zfs send -nvP` guessed, `used` what the pool holds, `rate` bytes a second now,
    `average` since the start, `eta` seconds or None, between `soonest` and `latest` (None: nobody
    can say), `idle` seconds without a byte. `finished`/`streams` count streams, `current` is the
    snapshot that is received. `part` is its dataset, number `part_number` of `parts`, with its own
    bytes. `rates` are the last rates for a sparkline, None where it stood still. `sent` and
    `network` are those two counters, `doubts` where they do not fit together. `paused` says that
    it stands still because the operator wants it so.
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
    rates: tuple[float | None, ...] = ()
    soonest: float | None = None
    latest: float | None = None
    counted: str = ""
    sent: int | None = None
    network: int | None = None
    part: str = ""
    part_number: int = 0
    parts: int = 0
    part_received: int = 0
    part_estimate: int = 0
    doubts: tuple[Doubt, ...] = ()
    paused: bool = False


@dataclass(frozen=True, slots=True)
class Note:
    """A sentence for the operator; `level` is info, warning or error."""

    text: str
    level: str = "info"


@dataclass(frozen=True, slots=True)
class RunFinished:
    """The run is over. `report` and `page` are the paths of the report as Markdown and as HTML.

    Both are empty where there is none.
    """

    exit: int
    summary: str
    now: str
    report: str
    seconds: float
    page: str = ""


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
