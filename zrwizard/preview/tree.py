"""A million changes of many datasets as one tree by path: counts, filter, search, rows.

One thread owns a tree. Node ids are ints that stay valid while changes arrive; 0 is `/`.
"""

from __future__ import annotations

from collections.abc import Collection, Generator, Iterator, Sequence
from itertools import islice
from typing import TypeVar, assert_never
from weakref import WeakSet

from zrwizard.preview.events import (
    Began,
    Change,
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
from zrwizard.preview.records import LEFT, RENAMED, Counts, Fact, Note, Row, Shown, word
from zrwizard.preview.shelves import Shelves
from zrwizard.preview.sieve import Matcher, Sieve
from zrwizard.preview.store import Store

ROOT = 0
T = TypeVar("T")
_CHANGED = 15
# Every mask's letters, as zfs-diff(8) writes them: what was there before comes first.
_LETTERS = tuple(
    "".join(letter for bit, letter in ((2, "-"), (1, "+"), (4, "M"), (8, "R")) if mask & bit)
    for mask in range(32)
)
_WORDS = tuple(word(mask) for mask in range(32))


class Tree:
    """The merged tree. Nothing here does I/O or raises for what a name holds."""

    def __init__(self) -> None:
        self._store = Store()
        self._shelves = Shelves(self._store)
        self._following: WeakSet[Sieve] = WeakSet()
        self._hunt: tuple[str, Sieve | None, int, Sieve] | None = None
        self._marked: set[bytes] = set()
        self._unended: dict[str, None] = {}
        self._notes: dict[str, Note] = {}
        self._over: Note | None = None
        self._is_over = False

    # --- what is told

    def tell(self, told: Told) -> None:
        """Take one event of a comparison; everything below follows from these."""
        match told:
            case Began(pairs=pairs):
                for pair in pairs:
                    self.mark(pair)
            case Found(pair=pair, changes=changes):
                self.add(pair, changes)
            case Sized(pair=pair, sizes=sizes):
                self.size(pair, sizes)
            case DatasetEnded(pair=pair, coverage=coverage, reason=reason):
                self.end(pair, coverage, reason)
            case Ended(partial=partial, reason=reason):
                self.finish(partial, reason)
            case DatasetBegan() | Estimated():
                pass
            case _:
                assert_never(told)

    def mark(self, pair: Pair) -> None:
        """Show a dataset at its mountpoint, also where nothing in it changed.

        The first one is opened, and what leads to it.
        """
        self._unended.setdefault(pair.dataset)
        if pair.mount is None or pair.mount in self._marked:
            return
        node = self._store.mark(pair.dataset, pair.mount)
        if not self._marked:
            self._shelves.open(self._store.become(node))
            self.open_to(node)
        self._marked.add(pair.mount)
        self._follow()

    def add(self, pair: Pair, changes: Sequence[Change]) -> None:
        """Put changes of a dataset into the tree; batches of some hundreds are cheapest."""
        if pair.mount not in self._marked:
            self.mark(pair)
        self._store.add(pair.dataset, changes)
        self._follow()

    def size(self, pair: Pair, sizes: Sequence[tuple[bytes, int | None, int | None]]) -> None:
        """Take bytes (before, after) of paths; a renamed one goes by its old or its new path."""
        del pair  # A path tells enough.
        self._store.size(sizes)
        self._follow()

    def _follow(self) -> None:
        """Let the filter in force, and one that is being made, see what is new."""
        touched = self._store.touched
        for sieve in self._following:
            if touched:
                sieve.again(touched)
        touched.clear()
        if self._shelves.sieve is not None:
            while not self._shelves.sieve.step():
                pass

    def end(self, pair: Pair, coverage: Coverage, reason: str = "") -> None:
        """Note that nothing more comes of a dataset, and why something is missing."""
        self._unended.pop(pair.dataset, None)
        if coverage is not Coverage.WHOLE:
            self._notes[pair.dataset] = Note(pair.dataset, coverage, reason or pair.why)

    def finish(self, partial: bool, reason: str = "") -> None:
        """Note that the whole comparison is over."""
        self._is_over = True
        self._over = Note(None, Coverage.PARTIAL, reason) if partial else None

    @property
    def notes(self) -> tuple[Note, ...]:
        """Why the tree does not hold everything; empty where it does."""
        notes = list(self._notes.values())
        if self._over is not None:
            notes.append(self._over)
        if not self._is_over:
            said = "The comparison of this dataset was not over yet."
            notes += [Note(dataset, Coverage.PARTIAL, said) for dataset in self._unended]
        return tuple(notes)

    @property
    def partial(self) -> bool:
        """Whether changes may be missing: a list broke off, or the comparison is not over."""
        return any(note.coverage is Coverage.PARTIAL for note in self.notes)

    # --- one node

    @property
    def changes(self) -> int:
        """How many changes were told."""
        return self._store.counts(ROOT).changes

    def counts(self, node: int = ROOT) -> Counts:
        """Return the counts of a node and everything below it."""
        return self._store.counts(node)

    def path(self, node: int) -> bytes:
        """Return a node's absolute path."""
        return self._store.path(node)

    def node(self, path: bytes) -> int | None:
        """Return the node of a path, None where it is not in the tree."""
        return self._store.find(path)

    def parent(self, node: int) -> int | None:
        """Return the directory that a node is in; None of the root."""
        return self._store.nodes[self._store.home[node]] if node else None

    def facts(self, node: int) -> tuple[Fact, ...]:
        """Return what zfs told of a path, in its order."""
        return self._store.facts(node)

    def sizes(self, node: int) -> tuple[int | None, int | None]:
        """Return a path's own bytes before and after, None where there is none or not known."""
        return self._store.sizes(node)

    def dataset(self, node: int) -> str | None:
        """Return the dataset that a path belongs to: of its change, else of the mount above."""
        return self._store.dataset(node)

    def entries(self) -> Iterator[tuple[int, bytes]]:
        """Yield (node, path) of every changed path, in the tree's order, whatever is shown."""
        store = self._store
        stack = [(b"/", iter(sorted(store.kids(0))), 0)]
        if store.masks[ROOT] & _CHANGED:
            yield ROOT, b"/"
        while stack:
            prefix, names, at = stack[-1]
            name = next(names, None)
            if name is None:
                stack.pop()
                continue
            node = store.kids(at)[name]
            if store.masks[node] & _CHANGED:
                yield node, prefix + name
            inside = store.number[node]
            if inside >= 0:
                stack.append((prefix + name + b"/", iter(sorted(store.kids(inside))), inside))

    def directories(self, node: int) -> list[int]:
        """Return the directories right inside one, sorted by name."""
        store = self._store
        at = store.number[node]
        inside = (
            [] if at < 0 else [kid for kid in store.kids(at).values() if store.number[kid] >= 0]
        )
        return sorted(inside, key=store.names.__getitem__)

    # --- what is shown

    @property
    def row_count(self) -> int:
        """How many rows there are with the present filter and open directories."""
        return self._shelves.count

    def rows(self, first: int, count: int) -> list[Row]:
        """Return up to `count` rows from row `first` on; row 0 is the root."""
        walk = self._shelves.walk(first)
        return [self._row(node, depth) for node, depth in islice(walk, max(count, 0))]

    def row(self, node: int) -> Row:
        """Return one node's row, whether it is shown or not."""
        return self._row(node, sum(1 for _ in self._store.above(node)))

    def _row(self, node: int, depth: int) -> Row:
        store, sieve = self._store, self._shelves.sieve
        mask, at = store.masks[node], store.number[node]
        before, after = store.sizes(node)
        counts = store.counts(node)
        return Row(
            node=node,
            depth=depth,
            name=store.names[node],
            type=chr(store.types[node]),
            kinds=_LETTERS[mask],
            word=_WORDS[mask],
            dataset=store.mounts.get(node),
            came_from=store.path(store.came[node]) if mask & RENAMED else None,
            went_to=store.path(store.went[node]) if mask & LEFT else None,
            has_children=at >= 0 and bool(store.kids(at)),
            is_open=at >= 0 and bool(store.opened[at]),
            before=before,
            after=after,
            counts=counts,
            shown=counts.paths if sieve is None else sieve.count(node),
        )

    def index(self, node: int) -> int | None:
        """Return in which row a node is shown; None where a closed directory or filter hides it."""
        return self._shelves.index(node)

    def node_at(self, index: int) -> int | None:
        """Return the node in a row; None behind the last."""
        return next((node for node, _ in self._shelves.walk(index)), None)

    def toggle(self, node: int) -> bool:
        """Open or close a directory; return whether it is open now."""
        at = self._store.number[node]
        if at < 0:
            return False
        if self._store.opened[at]:
            self._shelves.close(at)
        else:
            self._shelves.open(at)
        return bool(self._store.opened[at])

    def open_to(self, node: int) -> None:
        """Open every directory above a node, so that it is shown if the filter lets it."""
        for at in self._store.above(node):
            if not self._store.opened[at]:
                self._shelves.open(at)

    def open_all_below(self, node: int, limit: int = 100_000) -> bool:
        """Open a directory and those below, upper ones first, to at most `limit` more rows.

        Return whether all of them are open now.
        """
        at = self._store.number[node]
        return at < 0 or self._shelves.open_all(at, limit)

    def close_all_below(self, node: int) -> None:
        """Close a directory and all below it."""
        at = self._store.number[node]
        if at >= 0:
            self._shelves.close_all(at)

    # --- filter and search

    def filter(self, kinds: Collection[str] = (), name: str = "", min_size: int = 0) -> Shown:
        """Show only matching paths and the directories above them; return what is left.

        `kinds` are letters of `Change.kind` (none: all). `name` is a glob where it has `*`, `?` or
        `[`, else a part of the name, both without regard to case; with a `/` in it, it is held
        against the whole path. `min_size` is in bytes, of the larger of before and after; a file
        of unknown size is then hidden. Changes that arrive later are filtered as well.
        """
        return _run(self.filter_steps(kinds, name, min_size))

    def filter_steps(
        self, kinds: Collection[str] = (), name: str = "", min_size: int = 0
    ) -> Generator[float, None, Shown]:
        """Do `filter` in slices of some milliseconds; yield how far it is (0 to 1).

        The filter takes effect with the last step; one that is not run to its end has none.
        """
        sieve = None
        if kinds or name or min_size > 0:
            sieve = Sieve(self._store, Matcher(kinds, name, min_size, every=False))
            self._following.add(sieve)
            while not sieve.step():
                yield sieve.progress
        self._shelves.put(sieve)
        self._hunt = None
        return self.shown

    @property
    def shown(self) -> Shown:
        """How many changed paths the present filter leaves, of how many."""
        total = self._store.counts(ROOT).paths
        sieve = self._shelves.sieve
        return Shown(total if sieve is None else sieve.count(ROOT), total)

    def find(self, text: str, after: int | None = None) -> int | None:
        """Return the next node in the tree's order whose name has `text`, from behind `after` on.

        It goes round at the end, looks into closed directories, keeps to the filter, and takes
        `text` as `filter` takes `name`. None where there is none.
        """
        return _run(self.find_steps(text, after))

    def find_steps(self, text: str, after: int | None = None) -> Generator[float, None, int | None]:
        """Do `find` in slices of some milliseconds; yield how far it is (0 to 1)."""
        if not text:
            return None
        within = self._shelves.sieve
        stamp = within.stamp if within is not None else 0
        if self._hunt is None or self._hunt[:3] != (text, within, stamp):
            matcher = Matcher((), text, 0, every=True)
            self._hunt = (text, within, stamp, Sieve(self._store, matcher, within))
        sieve = self._hunt[3]
        while not sieve.step():
            yield sieve.progress
        return sieve.next_hit(after)


def _run(steps: Generator[float, None, T]) -> T:
    while True:
        try:
            next(steps)
        except StopIteration as stop:
            result: T = stop.value
            return result
