"""Which paths a filter or a search leaves, found in slices, and kept right while more arrive."""

from __future__ import annotations

import fnmatch
import re
from array import array
from collections.abc import Callable, Collection, Iterable
from itertools import compress, groupby

from zrwizard.preview.records import BITS, LEFT
from zrwizard.preview.store import Store

Test = Callable[[bytes], object]
_CHANGED = 15
_SLICE = 20_000
_SHOWN, _HIT, _COUNTED = 1, 2, 4


class Matcher:
    """What is looked for: kinds, a name, bytes."""

    def __init__(self, kinds: Collection[str], name: str, min_size: int, every: bool) -> None:
        """`every` lets those match as well that only lead to changes."""
        bits = sum({BITS[kind] for kind in kinds}) or _CHANGED
        # The mark where something was before its renaming goes with the renamed.
        bits |= LEFT if bits & BITS["R"] else 0
        self._kinds = bytes(1 if every or mask & bits else 0 for mask in range(256))
        self._min_size = min_size
        self._test = _test(name) if name else None
        self._paths = _Paths(name) if "/" in name else None

    def among(self, store: Store, nodes: Collection[int]) -> list[int]:
        """Return those of `nodes` that match."""
        masks = bytes(map(store.masks.__getitem__, nodes))
        left = list(compress(nodes, masks.translate(self._kinds)))
        if self._min_size:
            left = [node for node in left if store.largest(node) >= self._min_size]
        if self._test is None:
            return left
        if self._paths is None:
            test, names = self._test, store.names
            return [node for node in left if test(names[node])]
        return self._paths.among(store, left)


def _is_glob(name: str) -> bool:
    return any(letter in name for letter in "*?[")


def _test(name: str) -> Test:
    """What holds a name against a pattern: a glob if it has the letters of one, else a part."""
    if _is_glob(name):
        match = re.compile(fnmatch.translate(name), re.IGNORECASE).match
        return lambda found: match(found.decode("utf-8", "surrogateescape"))
    part = name.lower()
    if part.isascii():
        plain = part.encode()
        return lambda found: plain in found.lower()
    return lambda found: part in found.decode("utf-8", "surrogateescape").lower()


class _Paths:
    """Holds whole paths against a pattern with a slash; what it can, once a directory."""

    def __init__(self, pattern: str) -> None:
        self._test = _test(pattern)
        head, slash, last = pattern.lower().rpartition("/")
        self._head, self._last = head + slash, last
        self._is_part = not _is_glob(pattern)

    def among(self, store: Store, nodes: list[int]) -> list[int]:
        """Return those of `nodes` whose path matches."""
        names, found = store.names, list[int]()
        for at, inside in groupby(nodes, store.home.__getitem__):
            above = store.path(store.nodes[at]).rstrip(b"/") + b"/"
            if not self._is_part:
                found += [node for node in inside if self._test(above + names[node])]
            elif self._test(above):
                found += inside
            elif _lower(above).endswith(self._head):
                # A name has no slash, so a part that reaches into it reaches to its beginning.
                last = self._last
                found += [node for node in inside if _lower(names[node]).startswith(last)]
        return found


def _lower(name: bytes) -> str:
    return name.decode("utf-8", "surrogateescape").lower()


class Sieve:
    """The nodes that match, and the directories that lead to them.

    By node `shown(node)`; by directory how many changed paths below match. `within` is a filter
    that a search keeps to. `stamp` changes whenever something more is shown. A path that was shown
    stays, even if its size turns out to be smaller later: rows do not vanish under the cursor.
    """

    def __init__(self, store: Store, matcher: Matcher, within: Sieve | None = None) -> None:
        self._store = store
        self._matcher = matcher
        self._within = within
        self._upto = 1
        self._counts = array("I", [0])
        self.marks = bytearray([_SHOWN])
        self.stamp = 0

    @property
    def progress(self) -> float:
        """How much was looked at, 0 to 1."""
        return self._upto / len(self._store.names)

    def step(self) -> bool:
        """Look at the next slice; return whether all was looked at."""
        end = min(len(self._store.names), self._upto + _SLICE)
        if self._upto < end:
            nodes = range(self._upto, end)
            self._upto = end
            self._take(nodes)
        return self._upto == len(self._store.names)

    def again(self, nodes: Iterable[int]) -> None:
        """Look again at nodes of which more is known now."""
        if self._upto > 1:
            self._take(list({node for node in nodes if 0 < node < self._upto}))

    def shown(self, node: int) -> bool:
        """Whether a node matches or leads to one that does."""
        return node < len(self.marks) and bool(self.marks[node])

    def count(self, node: int) -> int:
        """Return how many changed paths match, a node and below it."""
        at = self._store.number[node]
        below = self._counts[at] if 0 <= at < len(self._counts) else 0
        own = node and node < len(self.marks) and self.marks[node] & _COUNTED
        return below + bool(own)

    def _take(self, nodes: Collection[int]) -> None:
        store, marks = self._store, self.marks
        marks.extend(bytes(len(store.names) - len(marks)))
        self._counts.frombytes(bytes(4 * (store.directories - len(self._counts))))
        hits = [node for node in self._matcher.among(store, nodes) if not self._is_done(node)]
        if self._within is not None:
            hits = [node for node in hits if self._within.shown(node)]
        if not hits:
            return
        self.stamp += 1
        home, masks = store.home, store.masks
        found: dict[int, int] = {}
        for node in hits:
            changed = 1 if masks[node] & _CHANGED else 0
            marks[node] |= _SHOWN | _HIT | _COUNTED * changed
            at = home[node]
            found[at] = found.get(at, 0) + changed
        for start, amount in found.items():
            self._lead(start, amount)

    def _is_done(self, node: int) -> bool:
        """Whether a node is shown already, and counted if it is one to be counted."""
        mark = self.marks[node]
        return bool(mark & _COUNTED or (mark & _HIT and not self._store.masks[node] & _CHANGED))

    def _lead(self, at: int, amount: int) -> None:
        """Show a directory and those above it, with so many more below."""
        store, marks, counts = self._store, self.marks, self._counts
        while True:
            marks[store.nodes[at]] |= _SHOWN
            counts[at] += amount
            store.fresh[at] = 0
            if not at:
                return
            at = store.up[at]

    # --- going from hit to hit

    def next_hit(self, after: int | None) -> int | None:
        """Return the next match in the tree's order behind `after`; round at the end."""
        store = self._store
        node = after or 0
        if node >= len(self.marks):
            node = 0
        found = self._below(node)
        while found is None and node:
            at = store.home[node]
            found = self._first(at, store.names[node])
            node = store.nodes[at]
        return self._below(0) if found is None else found

    def _below(self, node: int) -> int | None:
        at = self._store.number[node]
        return self._first(at, b"") if at >= 0 else None

    def _first(self, at: int, behind: bytes) -> int | None:
        """Return the first match in a directory behind a name, down to the bottom."""
        store, marks = self._store, self.marks
        while True:
            kids = store.kids(at)
            ahead = (
                name
                for name, node in kids.items()
                if name > behind and node < len(marks) and marks[node]
            )
            name = min(ahead, default=None)
            if name is None:
                return None
            node = kids[name]
            if marks[node] & _HIT:
                return node
            at, behind = store.number[node], b""
