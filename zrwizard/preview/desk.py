"""Where a preview's worker thread and the screens meet: requests in, answers out. No Textual.

The worker owns the shell and the engine and serves one request after the other; the screens never
wait for it, and it never waits for them.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Protocol, assert_never

from zrwizard.console.errors import Cancelled, ConsoleError, MachineLost
from zrwizard.plan import Plan
from zrwizard.preview.events import Pair, Told

if TYPE_CHECKING:
    from zrwizard.preview.content import DirectorySums, Versions
    from zrwizard.preview.inventory import Inventory

POLL = 0.2
MOST = 500


@dataclass(frozen=True, slots=True)
class Look:
    """List the datasets, snapshots and mounts anew."""


@dataclass(frozen=True, slots=True)
class Compare:
    """Compare two moments of the tree below `root`; `newer` None is what is there now.

    `limit` is in seconds, None without one; `sizes` is how many paths may be looked at.
    """

    root: str
    older: str
    newer: str | None
    recursive: bool
    limit: float | None
    sizes: int
    estimates: bool


@dataclass(frozen=True, slots=True)
class Inspect:
    """Look at both versions of one path; `new_path` only of a renamed one."""

    pair: Pair
    path: bytes
    new_path: bytes | None


@dataclass(frozen=True, slots=True)
class Sum:
    """Add up what is below a directory, on both sides."""

    pair: Pair
    path: bytes
    new_path: bytes | None


@dataclass(frozen=True, slots=True)
class Fetch:
    """Copy the old version of a file to `to` on this computer, where nothing may be yet."""

    pair: Pair
    path: bytes
    to: Path


@dataclass(frozen=True, slots=True)
class OfferCopy:
    """Make the plan that puts the old version beside the file on the target."""

    pair: Pair
    path: bytes


@dataclass(frozen=True, slots=True)
class OfferMount:
    """Make the plan that mounts what `compare` could not look into, until the end."""

    compare: Compare


@dataclass(frozen=True, slots=True)
class Carry:
    """Run a plan that the operator agreed to."""

    plan: Plan


Request = Look | Compare | Inspect | Sum | Fetch | OfferCopy | OfferMount | Carry


@dataclass(frozen=True, slots=True)
class Looked:
    """What is there."""

    inventory: Inventory


@dataclass(frozen=True, slots=True)
class Inspected:
    """Both versions of a path."""

    request: Inspect
    versions: Versions


@dataclass(frozen=True, slots=True)
class Summed:
    """What is below a directory, on both sides."""

    request: Sum
    sums: DirectorySums


@dataclass(frozen=True, slots=True)
class Passed:
    """So many bytes of a file that is fetched have passed."""

    request: Fetch
    done: int
    total: int


@dataclass(frozen=True, slots=True)
class Fetched:
    """An old version lies on this computer; `text` says where, and what proves it."""

    request: Fetch
    text: str


@dataclass(frozen=True, slots=True)
class Offered:
    """A plan to agree to; nothing has been done."""

    request: OfferCopy | OfferMount
    plan: Plan


@dataclass(frozen=True, slots=True)
class Carried:
    """An agreed plan ran; `well` says whether all of it was proven, `text` what came out."""

    plan: Plan
    well: bool
    text: str


@dataclass(frozen=True, slots=True)
class Failed:
    """A request came to nothing: what happened, and what to do now."""

    request: Request
    what: str
    now: str


@dataclass(frozen=True, slots=True)
class Working:
    """A request is being done now; None: the worker is at rest."""

    request: Request | None


Said = Told | Looked | Inspected | Summed | Passed | Fetched | Offered | Carried | Failed | Working


class Hand(Protocol):
    """What the worker can do on the machine; each may raise a `ConsoleError` or an `OSError`.

    `stop` ends what runs: the call then returns what it has, or raises `Cancelled`.
    """

    def look(self, stop: threading.Event) -> Inventory:
        """Return the datasets, snapshots and mounts as they are now."""
        ...

    def compare(self, wanted: Compare, tell: Callable[[Told], None], stop: threading.Event) -> None:
        """Compare, telling what is found as it comes."""
        ...

    def inspect(self, wanted: Inspect, stop: threading.Event) -> Versions:
        """Return both versions of a path."""
        ...

    def sums(self, wanted: Sum, stop: threading.Event) -> DirectorySums:
        """Return what is below a directory on both sides."""
        ...

    def fetch(self, wanted: Fetch, done: Callable[[int, int], None], stop: threading.Event) -> str:
        """Copy an old version to this computer; return a sentence that says what was proven."""
        ...

    def copy_plan(self, wanted: OfferCopy) -> Plan:
        """Return the plan that puts an old version beside the file."""
        ...

    def mount_plan(self, wanted: OfferMount) -> Plan:
        """Return the plan that mounts what is not mounted."""
        ...

    def carry(self, plan: Plan, stop: threading.Event) -> tuple[bool, str]:
        """Run an agreed plan; return whether all of it was proven, and a sentence."""
        ...


class PreviewDesk:
    """Requests from the screens on one queue, what became of them on another.

    `leave` ends the worker. `cancel` ends the request that runs, and those that wait behind it.
    """

    def __init__(self, leave: threading.Event) -> None:
        self.leave = leave
        self._lock = threading.Lock()
        self._stops: list[threading.Event] = []
        self._asked: SimpleQueue[tuple[Request, threading.Event]] = SimpleQueue()
        self._said: SimpleQueue[Said] = SimpleQueue()

    # The screens' side.

    def ask(self, request: Request) -> None:
        """Have a request done after those that wait already; returns at once."""
        stop = threading.Event()
        with self._lock:
            self._stops.append(stop)
        self._asked.put((request, stop))

    def cancel(self) -> None:
        """End what runs and what waits; returns at once."""
        with self._lock:
            for stop in self._stops:
                stop.set()

    def drain(self, most: int = MOST) -> list[Said]:
        """Return what was said so far, oldest first, at most `most` pieces."""
        said: list[Said] = []
        with suppress(Empty):
            while len(said) < most:
                said.append(self._said.get_nowait())
        return said

    # The worker's side.

    def say(self, said: Said) -> None:
        """Queue a piece of news; never waits."""
        self._said.put(said)

    def serve(self, hand: Hand) -> None:
        """Do one request after the other until `leave` is set. Raises `MachineLost`."""
        while not self.leave.is_set():
            try:
                request, stop = self._asked.get(timeout=POLL)
            except Empty:
                continue
            if not stop.is_set():
                self.say(Working(request))
                self._serve(hand, request, stop)
            with self._lock:
                self._stops.remove(stop)
            self.say(Working(None))

    def _serve(self, hand: Hand, request: Request, stop: threading.Event) -> None:
        try:
            self._do(hand, request, stop)
        except MachineLost:
            raise
        except Cancelled as error:
            if not self.leave.is_set():
                self.say(Failed(request, error.what, error.now))
        except ConsoleError as error:
            self.say(Failed(request, error.what, error.now))
        except OSError as error:
            where = f" {error.filename}" if error.filename else ""
            self.say(
                Failed(
                    request,
                    f"This computer said no:{where}: {error.strerror or error}.",
                    "Choose another name or directory.",
                )
            )

    def _do(self, hand: Hand, request: Request, stop: threading.Event) -> None:
        match request:
            case Look():
                self.say(Looked(hand.look(stop)))
            case Compare():
                hand.compare(request, self.say, stop)
            case Inspect():
                self.say(Inspected(request, hand.inspect(request, stop)))
            case Sum():
                self.say(Summed(request, hand.sums(request, stop)))
            case Fetch():
                text = hand.fetch(
                    request, lambda done, total: self.say(Passed(request, done, total)), stop
                )
                self.say(Fetched(request, text))
            case OfferCopy():
                self.say(Offered(request, hand.copy_plan(request)))
            case OfferMount():
                self.say(Offered(request, hand.mount_plan(request)))
            case Carry(plan=plan):
                well, text = hand.carry(plan, stop)
                self.say(Carried(plan, well, text))
            case _:
                assert_never(request)
