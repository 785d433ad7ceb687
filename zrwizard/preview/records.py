"""What the tree of changes hands out: counts, facts of one path, rows for a screen. All frozen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from zrwizard.preview.events import Coverage

ADDED, REMOVED, MODIFIED, RENAMED, LEFT = 1, 2, 4, 8, 16
"""Bits of what became of a path. `LEFT` is no change: a file went from here to another name."""

BITS = {"+": ADDED, "-": REMOVED, "M": MODIFIED, "R": RENAMED}

WORDS = ("added", "removed", "modified", "renamed", "replaced", "moved away", "")
"""Every word that `word` returns."""


def word(mask: int) -> str:
    """Return what became of a path in one word; "" of one that only leads to others.

    `replaced`: something was removed there and something else is there now.
    """
    if mask & REMOVED and mask & (ADDED | RENAMED | MODIFIED):
        return "replaced"
    for bit, name in ((RENAMED, "renamed"), (ADDED, "added"), (MODIFIED, "modified")):
        if mask & bit:
            return name
    if mask & REMOVED:
        return "removed"
    return "moved away" if mask & LEFT else ""


class Counts(NamedTuple):
    """How many changes there are of each kind, and bytes before and after where they are known.

    A replaced file counts twice, as zfs told of it twice. `sized` says of how many paths the bytes
    are known; `paths` how many paths there are with at least one change.
    """

    added: int = 0
    removed: int = 0
    modified: int = 0
    renamed: int = 0
    paths: int = 0
    before: int = 0
    after: int = 0
    sized: int = 0

    @property
    def changes(self) -> int:
        """All changes."""
        return self.added + self.removed + self.modified + self.renamed


@dataclass(frozen=True, slots=True)
class Fact:
    """One change as zfs told it: `Change`'s words with the dataset. `old_path` of a renamed one."""

    kind: str
    type: str
    dataset: str
    links: int
    when: int
    old_path: bytes | None = None


class Row(NamedTuple):
    """One line of the shown tree.

    `kinds` holds the letters of `Change.kind` in the order `-+MR` (two of a replaced file, none of
    a directory that only leads to changes); `word` says the same for people. `dataset` is named
    where its mountpoint is. `came_from` is the old path of a renamed one, `went_to` where what had
    been here is now. `before` and `after` are the file's own bytes, None where there is none or it
    is not known; `counts` are those of everything below and of itself, and `shown` of how many
    paths of it the filter leaves.
    """

    node: int
    depth: int
    name: bytes
    type: str
    kinds: str
    word: str
    dataset: str | None
    came_from: bytes | None
    went_to: bytes | None
    has_children: bool
    is_open: bool
    before: int | None
    after: int | None
    counts: Counts
    shown: int


class Shown(NamedTuple):
    """How many changed paths the filter leaves, of how many."""

    shown: int
    total: int


@dataclass(frozen=True, slots=True)
class Note:
    """Why something is missing: of one dataset, or of all of it (`dataset` is None)."""

    dataset: str | None
    coverage: Coverage
    reason: str
