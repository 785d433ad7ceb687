"""One stream for each dataset of a tree, in an order in which everything is there when needed.

Together they bring what `zfs send -R` of the root would, but each can be resumed by itself.
"""

from __future__ import annotations

import heapq
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from zrwizard.freebsd.inventory import Inventory
from zrwizard.freebsd.tree import below, renamed

_ASIDE = "zrwizard-aside"


class History(StrEnum):
    """Which snapshots come: all up to the chosen one, or it alone with what clones build upon."""

    ALL = "all"
    CHOSEN = "chosen"


class Kind(StrEnum):
    """What a note is about."""

    LEFT_OUT = "left out"
    WHOLE = "whole"
    TREE = "tree"
    OWN_ROOT = "own encryption root"
    ASIDE = "aside"
    HOLDS = "holds"
    BOOKMARKS = "bookmarks"
    HISTORY = "history"


@dataclass(frozen=True, slots=True)
class Note:
    """What will be different, or is done in an unusual way, and why: of `dataset`, for people."""

    kind: Kind
    dataset: str
    text: str


@dataclass(frozen=True, slots=True)
class Stream:
    """Everything that one dataset needs.

    It is sent from `source` and received as `target`. `kind` is "filesystem" or "volume"; `origin`
    the full snapshot name on the sending side that a clone builds upon, received before. `points`
    are tags: the first is sent whole (or with -i from `origin`), each next one builds on the one
    before, with all snapshots between them where `every`. `raw` means -w, `tree` -R. `guid` is that
    of the last point's snapshot on the sending side, `size` an estimate in bytes (0 unknown).
    """

    source: str
    target: str
    kind: str
    origin: str | None
    points: tuple[str, ...]
    every: bool
    raw: bool
    tree: bool
    guid: int
    size: int


@dataclass(frozen=True, slots=True)
class Decomposition:
    """The streams in their order, the renames (old, new) after them, and what is to be known.

    `sent` are the datasets, each with the places of those of its snapshots that come.
    """

    streams: tuple[Stream, ...]
    renames: tuple[tuple[str, str], ...]
    notes: tuple[Note, ...]
    sent: Mapping[str, Sequence[int]]


class NothingToSend(ValueError):
    """The root has no snapshot of that tag, or is not there at all."""


def decompose(
    inventory: Inventory, root: str, tag: str, target: str, *, history: History = History.ALL
) -> Decomposition:
    """Return the streams that bring `root` as of `@tag`, with all below it, to `target`.

    Datasets without the snapshot are left out with what is below them. Raises `NothingToSend`.
    """
    return _Work(inventory, root, tag, target, history).done()


class _Work:
    """One decomposition. A unit is what one stream brings: a dataset, or an encrypted subtree."""

    def __init__(
        self, inventory: Inventory, root: str, tag: str, target: str, history: History
    ) -> None:
        self._all, self._root, self._tag, self._target = inventory, root, tag, target
        self._history = history
        self._notes: list[Note] = []
        self._sent = self._chosen()
        self._origins = self._built_upon()
        self._trees = self._whole_trees()
        self._units = self._all_units()
        self._aside: dict[str, str] = {}

    def done(self) -> Decomposition:
        order = self._order()
        points = self._points()
        streams = tuple(self._stream(name, sorted(points[name])) for name in order)
        renames = [(aside, self._final(name)) for name, aside in self._aside.items()]
        # A name can be taken once what it lies in has its own.
        renames.sort(key=lambda pair: pair[1].count("/"))
        self._told()
        return Decomposition(streams, tuple(renames), tuple(self._notes), self._arriving(points))

    def _note(self, kind: Kind, dataset: str, text: str) -> None:
        self._notes.append(Note(kind, dataset, text))

    # -- what is sent -----------------------------------------------------------------------------

    def _chosen(self) -> dict[str, int]:
        """The place of the chosen snapshot in each dataset that is sent, parents first."""
        sent: dict[str, int] = {}
        for name in sorted(self._all, key=_by_name):
            holding = self._all[name]
            if not below(name, self._root):
                continue
            at = holding.snapshots.find(self._tag)
            if at is not None and (name == self._root or holding.parent in sent):
                sent[name] = at
            elif self._root in sent:
                why = f"has no @{self._tag}" if at is None else f"lies below {holding.parent}"
                self._note(Kind.LEFT_OUT, name, f"{name} {why} and is not sent.")
        if self._root not in sent:
            raise NothingToSend(f"{self._root} has no snapshot @{self._tag}")
        return sent

    def _built_upon(self) -> dict[str, tuple[str, int]]:
        """The origin of each clone as dataset and place, where that snapshot is sent too."""
        found: dict[str, tuple[str, int]] = {}
        for name in self._sent:
            origin = self._all[name].origin
            if origin is None:
                continue
            dataset, _, tag = origin.partition("@")
            at = self._all[dataset].snapshots.find(tag) if dataset in self._sent else None
            if name != self._root and at is not None and at <= self._sent[dataset]:
                found[name] = dataset, at
            else:
                self._note(
                    Kind.WHOLE,
                    name,
                    f"{name} is a clone of {origin}, which is not there to build upon: it comes "
                    "whole and shares no space with it.",
                )
        return found

    def _whole_trees(self) -> set[str]:
        """The datasets that come with all below them in one stream.

        Received one by one, datasets that inherit a key become encryption roots of their own, and
        `zfs change-key -i` takes that back only where the keys are loaded (zfs-change-key(8)).
        """
        trees: set[str] = set()
        for name in self._sent:
            holding = self._all[name]
            above = self._all.get(holding.parent) if holding.parent in self._sent else None
            heads = holding.root is not None and (above is None or above.root != holding.root)
            if not heads or any(below(name, tree) for tree in trees):
                continue
            inside = [other for other in self._all if below(other, name)]
            heirs = any(self._all[other].root == holding.root for other in inside if other != name)
            if heirs and self._in_one(inside, name):
                trees.add(name)
            elif heirs:
                self._note(
                    Kind.OWN_ROOT,
                    name,
                    f"What inherits the key of {name} comes one by one, and each becomes an "
                    "encryption root of its own, with the same key (undone by zfs load-key and "
                    "zfs change-key -i).",
                )
        return trees

    def _in_one(self, inside: list[str], tree: str) -> bool:
        """Whether one stream can bring what lies in `tree`.

        It fails on a dataset without the snapshot, or whose origin is not there, and on those that
        wait for each other; one that needed others before it could wait for what waits for it.
        """
        if not all(name in self._sent and self._within(name, tree) for name in inside):
            return False
        parents = {name: self._all[name].parent for name in inside if name != tree}
        origins = {name: _one(self._origins.get(name, (None, 0))[0]) for name in inside}
        return len(_sorted(inside, parents, origins)) == len(inside)

    def _within(self, name: str, tree: str) -> bool:
        """Whether `name` builds upon nothing, or upon what lies in `tree` and is sent."""
        origin = self._origins.get(name)
        if origin is None:
            return self._all[name].origin is None
        return below(origin[0], tree)

    def _all_units(self) -> dict[str, str]:
        """The dataset whose stream brings it, for each that is sent."""
        units: dict[str, str] = {}
        for name in self._sent:
            above = units.get(self._all[name].parent)
            units[name] = above if above in self._trees else name
        return units

    # -- the order --------------------------------------------------------------------------------

    def _order(self) -> list[str]:
        """The units in an order in which parents and origins come first.

        After `zfs promote` a parent may be a clone of what lies below it: one of them is received
        aside then, and gets its name in the end. (`zfs send -R` cannot send such a tree at all.)
        """
        units = list(dict.fromkeys(self._units.values()))
        origins: dict[str, set[str]] = {unit: set() for unit in units}
        for name, (dataset, _) in self._origins.items():
            if self._units[name] != self._units[dataset]:
                origins[self._units[name]].add(self._units[dataset])
        while True:
            parents = {
                unit: self._units[self._all[unit].parent]
                for unit in units
                if unit != self._root and unit not in self._aside
            }
            order = _sorted(units, parents, origins)
            if len(order) == len(units):
                return order
            self._untie(set(units) - set(order), parents, origins)

    def _untie(self, left: set[str], parents: dict[str, str], origins: dict[str, set[str]]) -> None:
        """Take one knot out of what is left, which all waits for each other."""
        path = [min(left, key=_by_name)]
        while True:
            waits = origins[path[-1]] & left
            following = min(waits, key=_by_name) if waits else parents[path[-1]]
            if following in path:
                break
            path.append(following)
        circle = path[path.index(following) :]
        # Origins alone make no circle: each is older than what was cloned from it.
        child = next(unit for unit in circle if not origins[unit] & left)
        taken = {*self._aside.values(), *map(self._final, self._sent)}
        number = 1
        while (aside := f"{self._target}/{_ASIDE}-{number}") in taken:
            number += 1
        self._aside[child] = aside
        self._note(
            Kind.ASIDE,
            child,
            f"{child} and what it lies in wait for each other, as after zfs promote: it is "
            f"received as {aside} and gets its name in the end.",
        )

    def _final(self, name: str) -> str:
        return renamed(name, self._root, self._target)

    def _place(self, name: str) -> str:
        """Where `name` is received: below what was put aside, it lies there too."""
        above = name
        while above != self._root:
            if above in self._aside:
                return self._aside[above] + name[len(above) :]
            above = self._all[above].parent
        return self._final(name)

    # -- the streams ------------------------------------------------------------------------------

    def _points(self) -> dict[str, set[int]]:
        """The places of the snapshots at which the streams of each unit begin and end."""
        points: dict[str, set[int]] = defaultdict(set)
        for name, at in self._sent.items():
            points[name].add(at)
            if self._history is History.ALL and name not in self._trees:
                points[name].add(0)
        if self._history is History.CHOSEN:
            for dataset, at in self._origins.values():
                if self._units[dataset] not in self._trees:
                    points[dataset].add(at)
        return points

    def _stream(self, name: str, places: list[int]) -> Stream:
        holding, tree = self._all[name], name in self._trees
        snapshots, last = holding.snapshots, places[-1]
        origin = self._origins.get(name)
        inside = [holding]
        if tree:
            inside = [self._all[other] for other in self._sent if below(other, name)]
        size = sum(one.size for one in inside)
        if self._history is History.CHOSEN and origin is None and not tree:
            size = snapshots.referenced[last]
        return Stream(
            source=name,
            target=self._place(name),
            kind=holding.kind,
            origin=None if origin is None else holding.origin,
            points=tuple(snapshots.tags[at] for at in places),
            every=self._history is History.ALL,
            raw=holding.root is not None,
            tree=tree,
            guid=snapshots.guids[last],
            size=size,
        )

    def _arriving(self, points: Mapping[str, set[int]]) -> dict[str, Sequence[int]]:
        """The places of the snapshots that come: all up to the chosen one, or it alone."""
        alone = self._history is History.CHOSEN
        return {
            name: sorted(points[name])
            if alone and self._units[name] not in self._trees
            else range(at + 1)
            for name, at in self._sent.items()
        }

    # -- what is said -----------------------------------------------------------------------------

    def _told(self) -> None:
        for tree in sorted(self._trees, key=_by_name):
            self._note(
                Kind.TREE,
                tree,
                f"{tree} comes with all below it and all its history in one stream, so that its "
                "datasets go on inheriting its key. A cut begins that stream anew.",
            )
        if self._history is History.CHOSEN:
            self._note(
                Kind.HISTORY,
                self._root,
                "Older snapshots stay behind: ZFS cannot put them beneath newer ones later.",
            )
        sent = [self._all[name] for name in self._sent]
        count = Counter(
            {
                Kind.HOLDS: sum(holding.snapshots.held for holding in sent),
                Kind.BOOKMARKS: sum(holding.bookmarks for holding in sent),
            }
        )
        for kind, number in (+count).items():
            self._note(kind, self._root, f"{kind.capitalize()} do not travel: {number} stay there.")


def _by_name(name: str) -> list[str]:
    return name.split("/")


def _sorted(units: list[str], parents: dict[str, str], origins: dict[str, set[str]]) -> list[str]:
    """Return `units` by name, each behind what it waits for; what waits in a circle is left out."""
    waits = {unit: origins[unit] | _one(parents.get(unit)) for unit in units}
    behind: dict[str, list[str]] = defaultdict(list)
    for unit in units:
        for other in waits[unit]:
            behind[other].append(unit)
    ready = [(_by_name(unit), unit) for unit in units if not waits[unit]]
    heapq.heapify(ready)
    order: list[str] = []
    while ready:
        _, unit = heapq.heappop(ready)
        order.append(unit)
        for other in behind[unit]:
            waits[other].discard(unit)
            if not waits[other]:
                heapq.heappush(ready, (_by_name(other), other))
    return order


def _one(name: str | None) -> set[str]:
    return set() if name is None else {name}
