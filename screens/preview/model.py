"""What the screens of a preview know: filled from the worker's queue, in small bites."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass
from typing import assert_never

from screens.preview.filter import Filter
from zrwizard.preview.desk import (
    Carried,
    Compare,
    Failed,
    Fetched,
    Inspected,
    Looked,
    Offered,
    Passed,
    PreviewDesk,
    Request,
    Said,
    Summed,
    Working,
)
from zrwizard.preview.events import (
    Began,
    Coverage,
    DatasetBegan,
    DatasetEnded,
    Ended,
    Estimated,
    Found,
    Pair,
    Sized,
    Told,
)
from zrwizard.preview.inventory import Inventory
from zrwizard.preview.tree import Tree

BITE = 512
"""Changes or sizes that are put into the tree between two looks at the clock."""

News = Looked | Inspected | Summed | Fetched | Offered | Carried | Failed
"""What a page must act on; everything else only changes numbers."""


@dataclass(slots=True)
class Progress:
    """What became of one pair so far."""

    pair: Pair
    coverage: Coverage | None = None
    count: int = 0
    reason: str = ""
    estimate: Estimated | None = None


class Comparison:
    """One comparison: its tree, and how far it has come."""

    def __init__(self, request: Compare) -> None:
        self.request = request
        self.tree = Tree()
        self.pairs: dict[str, Progress] = {}
        self.command = ""
        self.now = ""
        self.changes = 0
        self.ended: Ended | None = None
        self.failed = ""
        self.began = time.monotonic()
        self.at: int | None = None
        self.filter = Filter()
        self.asked = False
        self._opened = False
        self._seconds = 0.0

    @property
    def seconds(self) -> float:
        """How long it has run, or ran."""
        if self.ended is not None:
            return self.ended.seconds
        return self._seconds if self.over else time.monotonic() - self.began

    @property
    def over(self) -> bool:
        """Whether nothing more comes."""
        return self.ended is not None or bool(self.failed)

    @property
    def partial(self) -> str:
        """Why not all changes are known, "" where they are."""
        if self.failed:
            return self.failed
        if self.ended is None or not self.ended.partial:
            return ""
        return self.ended.reason or "not all of it came"

    @property
    def rate(self) -> float:
        """Changes a second."""
        return self.changes / max(self.seconds, 0.001)

    def fail(self, why: str) -> None:
        """It broke off: what came stays, and is marked partial."""
        self._seconds = time.monotonic() - self.began
        self.failed = why

    def take(self, told: Told) -> None:
        """Take one of the engine's words."""
        match told:
            case Began(pairs=pairs):
                self.pairs = {pair.dataset: Progress(pair) for pair in pairs}
            case DatasetBegan(pair=pair, command=command):
                self.now, self.command = pair.dataset, command
            case Found(pair=pair, changes=changes):
                self.changes += len(changes)
                self._of(pair).count += len(changes)
            case Sized():
                pass
            case DatasetEnded(pair=pair, coverage=coverage, reason=reason):
                progress = self._of(pair)
                progress.coverage, progress.reason = coverage, reason
            case Estimated(pair=pair):
                self._of(pair).estimate = told
            case Ended():
                self.ended = told
                self.now = ""
            case _:
                assert_never(told)
        self.tree.tell(told)
        if isinstance(told, Found) and not self._opened:
            self._open_first(told.pair)

    def _open_first(self, pair: Pair) -> None:
        """Open what leads to the first dataset that has changes; the cursor goes there."""
        self._opened = True
        node = self.tree.node(pair.mount) if pair.mount is not None else None
        if node is not None:
            self.tree.open_to(node)
            if not self.tree.row(node).is_open:
                self.tree.toggle(node)
            self.at = node

    def _of(self, pair: Pair) -> Progress:
        return self.pairs.setdefault(pair.dataset, Progress(pair))


class Model:
    """Drains the worker's queue; the pages read what is here."""

    def __init__(self, desk: PreviewDesk) -> None:
        self.desk = desk
        self.inventory: Inventory | None = None
        self.comparison: Comparison | None = None
        self.working: Request | None = None
        self.passed: Passed | None = None
        self.news: deque[News] = deque()
        self.root = ""
        self._said: deque[Said] = deque()
        self._taken = 0

    def ask_comparison(self) -> None:
        """Have the worker begin the comparison, once: what it says is taken from then on."""
        if self.comparison is not None and not self.comparison.asked:
            self.comparison.asked = True
            self.desk.ask(self.comparison.request)

    def pump(self, seconds: float) -> bool:
        """Take what was said, for about so many seconds; return whether anything was."""
        until = time.monotonic() + seconds
        some = False
        while time.monotonic() < until:
            if not self._said:
                self._said.extend(self.desk.drain())
            if not self._said:
                break
            some = True
            self._take(self._bite())
        return some

    def _bite(self) -> Said:
        """Return the next piece of what was said, of a large one so much as is quickly done."""
        said, at = self._said[0], self._taken
        self._taken += BITE
        match said:
            case Found(pair=pair, changes=changes) if len(changes) > self._taken:
                return Found(pair, changes[at : self._taken])
            case Sized(pair=pair, sizes=sizes) if len(sizes) > self._taken:
                return Sized(pair, sizes[at : self._taken])
            case Found(pair=pair, changes=changes) if at:
                said = Found(pair, changes[at:])
            case Sized(pair=pair, sizes=sizes) if at:
                said = Sized(pair, sizes[at:])
            case _:
                pass
        self._said.popleft()
        self._taken = 0
        return said

    def _take(self, said: Said) -> None:
        match said:
            case Working(request=request):
                self.working = request
                if isinstance(request, Compare) and self.comparison is not None:
                    self.comparison.began = time.monotonic()
            case Passed():
                self.passed = said
            case Looked(inventory=inventory):
                self.inventory = inventory
                self.news.append(said)
            case Failed(request=Compare() as request, what=what):
                if self.comparison is not None and self.comparison.request is request:
                    self.comparison.fail(what)
                self.news.append(said)
            case Inspected() | Summed() | Fetched() | Offered() | Carried() | Failed():
                self.news.append(said)
            case _:
                if self.comparison is not None and self._is_ours():
                    self.comparison.take(said)

    def _is_ours(self) -> bool:
        """Whether the worker speaks of the comparison that is shown, and not of an older one."""
        return self.comparison is not None and self.working is self.comparison.request
