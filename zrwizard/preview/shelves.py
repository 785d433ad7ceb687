"""The visible rows: which node stands in which row, without a list of them all.

Each open directory has a shelf: its shown entries sorted by name, and which of them are open and
how many rows those take. To find a row, one goes down from the root by bisection. So opening half a
million entries costs one sort of that directory, and a change costs the shelves above it.

Entries are sorted by the bytes of their names, directories among the files: it is the order of
`LC_ALL=C sort` and of the exports, and an entry keeps its place when something below it changes too
and makes it a directory.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from itertools import compress, islice

from zrwizard.preview.sieve import Sieve
from zrwizard.preview.store import Store

# Most have none open in them; two lists for each would be twice as much to collect.
_NONE: list[int] = []


class _Shelf:
    """One open directory: its sorted entries, those shown of them, and the open ones' places."""

    __slots__ = ("entries", "rows", "shown", "sieve", "spots", "stamp", "starts")

    def __init__(self) -> None:
        self.entries = array("I")
        self.shown = self.entries
        self.sieve: Sieve | None = None
        self.stamp = -1
        self.spots = _NONE
        self.starts = _NONE
        self.rows = 0


class Shelves:
    """The rows of a store; `sieve` is the filter in force."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.sieve: Sieve | None = None
        self._shelves: dict[int, _Shelf] = {}
        self._open_below: dict[int, set[int]] = {}
        self.open(0)

    def put(self, sieve: Sieve | None) -> None:
        """Let a filter, or none, take effect."""
        self.sieve = sieve
        self._store.fresh[:] = bytes(len(self._store.fresh))

    # --- opening and closing

    def is_open(self, node: int) -> bool:
        """Whether a node is a directory whose entries are shown."""
        at = self._store.number[node]
        return at >= 0 and bool(self._store.opened[at])

    def open(self, at: int) -> None:
        """Show a directory's entries."""
        store = self._store
        if not store.opened[at] or not at:
            store.opened[at] = 1
            if at:
                self._open_below.setdefault(store.up[at], set()).add(at)
            store.stale(at)

    def close(self, at: int) -> None:
        """Hide a directory's entries; what is open below stays so."""
        store = self._store
        if store.opened[at]:
            store.opened[at] = 0
            if at:
                self._open_below[store.up[at]].discard(at)
            store.stale(at)

    def open_all(self, at: int, limit: int) -> bool:
        """Open a directory and those below, the upper ones first; False where `limit` ended it."""
        store = self._store
        level = [at]
        while level:
            below: list[int] = []
            for directory in level:
                if not store.opened[directory]:
                    limit -= self._size(directory)
                    if limit < 0:
                        return False
                    self.open(directory)
                below += self._directories(directory)
            level = below
        return True

    def close_all(self, at: int) -> None:
        """Close a directory and all below it."""
        todo = [at]
        while todo:
            directory = todo.pop()
            todo += self._open_below.get(directory, ())
            self.close(directory)

    def _size(self, at: int) -> int:
        kids, sieve = self._store.kids(at), self.sieve
        return len(kids) if sieve is None else sum(map(sieve.shown, kids.values()))

    def _directories(self, at: int) -> list[int]:
        number, sieve = self._store.number, self.sieve
        return [
            number[node]
            for node in self._store.kids(at).values()
            if number[node] >= 0 and (sieve is None or sieve.shown(node))
        ]

    # --- rows

    @property
    def count(self) -> int:
        """How many rows there are, with the root's."""
        return 1 + (self._shelf(0).rows if self._store.opened[0] else 0)

    def index(self, node: int) -> int | None:
        """Return a node's row."""
        store, row = self._store, 0
        while node:
            at = store.home[node]
            if not store.opened[at]:
                return None
            shelf = self._shelf(at)
            place = bisect_left(shelf.shown, store.names[node], key=store.names.__getitem__)
            if place == len(shelf.shown) or shelf.shown[place] != node:
                return None
            row += 1 + place
            before = bisect_left(shelf.spots, place)
            if before:
                last = shelf.spots[before - 1]
                row += shelf.starts[before - 1] - last + self._rows_at(shelf, last)
            node = store.nodes[at]
        return row

    def walk(self, first: int) -> Iterator[tuple[int, int]]:
        """Yield (node, depth) of the rows from `first` on."""
        if first <= 0:
            yield 0, 0
        if not self._store.opened[0]:
            return
        stack = self._locate(max(first - 1, 0))
        while stack:
            shelf, place = stack[-1]
            if place >= len(shelf.shown):
                stack.pop()
                continue
            node = shelf.shown[place]
            stack[-1] = (shelf, place + 1)
            yield node, len(stack)
            if self.is_open(node):
                stack.append((self._shelf(self._store.number[node]), 0))

    def _locate(self, row: int) -> list[tuple[_Shelf, int]]:
        """The shelves down to a row (0: the first below the root), and the next place on each."""
        stack: list[tuple[_Shelf, int]] = []
        shelf = self._shelf(0)
        while True:
            before = bisect_right(shelf.starts, row) - 1
            if before < 0:
                return [*stack, (shelf, row)]
            place, row = shelf.spots[before], row - shelf.starts[before]
            rows = self._rows_at(shelf, place)
            if row == 0:
                return [*stack, (shelf, place)]
            if row > rows:
                return [*stack, (shelf, place + row - rows)]
            stack.append((shelf, place + 1))
            shelf = self._shelf(self._store.number[shelf.shown[place]])
            row -= 1

    def _rows_at(self, shelf: _Shelf, place: int) -> int:
        return self._shelves[self._store.number[shelf.shown[place]]].rows

    # --- keeping the shelves

    def _shelf(self, at: int) -> _Shelf:
        fresh = self._store.fresh
        if not fresh[at]:
            stale, todo = [], [at]
            while todo:
                directory = todo.pop()
                if not fresh[directory]:
                    stale.append(directory)
                    todo += self._open_below.get(directory, ())
            # A directory's number is above that of the one it is in, so this goes from below.
            for directory in sorted(stale, reverse=True):
                self._renew(directory)
                fresh[directory] = 1
        return self._shelves[at]

    def _renew(self, at: int) -> None:
        shelf = self._shelves.get(at)
        if shelf is None:
            shelf = self._shelves[at] = _Shelf()
        if len(shelf.entries) < len(self._store.kids(at)):
            self._sort(shelf, at)
            shelf.stamp = -1
        self._sift(shelf)
        self._place(shelf, self._open_below.get(at))

    def _sort(self, shelf: _Shelf, at: int) -> None:
        """Put what came into a directory since the last time among its sorted entries."""
        names, kids = self._store.names, self._store.kids(at)
        known = shelf.entries
        fresh = sorted(islice(kids, len(known), None))
        if not known:
            shelf.entries = array("I", map(kids.__getitem__, fresh))
            return
        entries = array("I")
        copied = 0
        for name in fresh:
            place = bisect_left(known, name, copied, key=names.__getitem__)
            entries += known[copied:place]
            entries.append(kids[name])
            copied = place
        entries += known[copied:]
        shelf.entries = entries

    def _sift(self, shelf: _Shelf) -> None:
        sieve = self.sieve
        if sieve is None:
            shelf.shown, shelf.sieve = shelf.entries, None
        elif shelf.sieve is not sieve or shelf.stamp != sieve.stamp:
            shelf.shown = array(
                "I", compress(shelf.entries, map(sieve.marks.__getitem__, shelf.entries))
            )
            shelf.sieve, shelf.stamp = sieve, sieve.stamp

    def _place(self, shelf: _Shelf, open_below: set[int] | None) -> None:
        """Note where the open ones stand, and how many rows there are."""
        shelf.spots = shelf.starts = _NONE
        shelf.rows = len(shelf.shown)
        if not open_below:
            return
        shelf.spots, shelf.starts = [], []
        extra = 0
        nodes = {self._store.nodes[at]: at for at in open_below}
        for place, at in enumerate(map(nodes.get, shelf.shown)):
            if at is not None:
                shelf.spots.append(place)
                shelf.starts.append(place + extra)
                extra += self._shelves[at].rows
        shelf.rows += extra
