"""A million changes of many datasets as one tree by path: counts, filter, search, rows.

One thread owns a tree. Node ids are ints that stay valid while changes arrive; 0 is `/`.
"""

from __future__ import annotations

from collections.abc import Collection, Generator, Sequence

from zrwizard.preview.events import Change, Coverage, Pair, Told
from zrwizard.preview.records import Counts, Fact, Note, Row, Shown

ROOT = 0


class Tree:
    """The merged tree. Nothing here does I/O or raises for what a name holds."""

    def __init__(self) -> None:
        raise NotImplementedError

    # --- what is told

    def tell(self, told: Told) -> None:
        """Take one event of a comparison: everything below follows from these."""

    def mark(self, pair: Pair) -> None:
        """Show a dataset at its mountpoint, also where nothing in it changed."""

    def add(self, pair: Pair, changes: Sequence[Change]) -> None:
        """Put changes of a dataset into the tree; batches of some hundreds are cheapest."""

    def size(self, pair: Pair, sizes: Sequence[tuple[bytes, int | None, int | None]]) -> None:
        """Take bytes (before, after) of paths; a renamed one goes by its old or its new path."""

    def end(self, pair: Pair, coverage: Coverage, reason: str = "") -> None:
        """Note that nothing more comes of a dataset, and why something is missing."""

    def finish(self, partial: bool, reason: str = "") -> None:
        """Note that the whole comparison is over."""

    @property
    def notes(self) -> tuple[Note, ...]:
        """Why the tree does not hold everything; empty where it does."""
        raise NotImplementedError

    @property
    def partial(self) -> bool:
        """Whether changes may be missing: a list broke off, or the comparison is not over."""
        raise NotImplementedError

    # --- one node

    @property
    def changes(self) -> int:
        """How many changes were told."""
        raise NotImplementedError

    def counts(self, node: int = ROOT) -> Counts:
        """Return the counts of a node and everything below it."""
        raise NotImplementedError

    def path(self, node: int) -> bytes:
        """Return a node's absolute path."""
        raise NotImplementedError

    def node(self, path: bytes) -> int | None:
        """Return the node of a path, None where it is not in the tree."""
        raise NotImplementedError

    def parent(self, node: int) -> int | None:
        """Return the directory that a node is in; None of the root."""
        raise NotImplementedError

    def facts(self, node: int) -> tuple[Fact, ...]:
        """Return what zfs told of a path, in its order."""
        raise NotImplementedError

    def dataset(self, node: int) -> str | None:
        """Return the dataset that a path belongs to: of its change, else of the mount above."""
        raise NotImplementedError

    # --- what is shown

    @property
    def row_count(self) -> int:
        """How many rows there are with the present filter and open directories."""
        raise NotImplementedError

    def rows(self, first: int, count: int) -> list[Row]:
        """Return up to `count` rows from row `first` on; row 0 is the root."""
        raise NotImplementedError

    def row(self, node: int) -> Row:
        """Return one node's row, whether it is shown or not."""
        raise NotImplementedError

    def index(self, node: int) -> int | None:
        """Return in which row a node is shown; None where a closed directory or filter hides it."""
        raise NotImplementedError

    def node_at(self, index: int) -> int | None:
        """Return the node in a row; None behind the last."""
        raise NotImplementedError

    def toggle(self, node: int) -> bool:
        """Open or close a directory; return whether it is open now."""
        raise NotImplementedError

    def open_to(self, node: int) -> None:
        """Open every directory above a node, so that it is shown if the filter lets it."""

    def open_all_below(self, node: int, limit: int = 100_000) -> bool:
        """Open a directory and those below, upper ones first, to about `limit` more rows.

        Return whether all of them are open now.
        """
        raise NotImplementedError

    def close_all_below(self, node: int) -> None:
        """Close a directory and all below it."""

    # --- filter and search

    def filter(self, kinds: Collection[str] = (), name: str = "", min_size: int = 0) -> Shown:
        """Show only matching paths and the directories above them; return what is left.

        `kinds` are letters of `Change.kind` (none: all). `name` is a glob where it has `*`, `?` or
        `[`, else a part of the name, both without regard to case; with a `/` in it, it is held
        against the whole path. `min_size` is in bytes, of the larger of before and after; a file
        of unknown size is then hidden. Changes that arrive later are filtered as well.
        """
        raise NotImplementedError

    def filter_steps(
        self, kinds: Collection[str] = (), name: str = "", min_size: int = 0
    ) -> Generator[float, None, Shown]:
        """Do `filter` in slices of some milliseconds; yield how far it is (0 to 1).

        The filter takes effect with the last step; one that is not run to its end has none.
        """
        raise NotImplementedError

    @property
    def shown(self) -> Shown:
        """How many changed paths the present filter leaves, of how many."""
        raise NotImplementedError

    def find(self, text: str, after: int | None = None) -> int | None:
        """Return the next node in the tree's order whose name has `text`, from behind `after` on.

        It goes round at the end, looks into closed directories, keeps to the filter, and takes
        `text` as `filter` takes `name`. None where there is none.
        """
        raise NotImplementedError

    def find_steps(self, text: str, after: int | None = None) -> Generator[float, None, int | None]:
        """Do `find` in slices of some milliseconds; yield how far it is (0 to 1)."""
        raise NotImplementedError
