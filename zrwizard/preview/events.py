"""What a preview says while it goes: frozen facts, in the order in which they become known."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple


class Kind(StrEnum):
    """What became of a path; the letters are those of zfs-diff(8)."""

    ADDED = "+"
    REMOVED = "-"
    MODIFIED = "M"
    RENAMED = "R"


class Change(NamedTuple):
    """One line of zfs diff, decoded (facts on FreeBSD, B5). A million of them must be cheap.

    `kind` is a `Kind`'s letter, `type` zfs's own: F file, / directory, @ symbolic link, B and C
    devices, | fifo, = socket, > door, P port, ? unknown. Paths are absolute, as bytes, below the
    dataset's mountpoint; `new_path` only of a renamed one. `links` is the change of the number of
    hard links, `when` the change time in nanoseconds since 1970, of the newer side where there is
    one (-1 where it is not known).
    """

    kind: str
    type: str
    path: bytes
    new_path: bytes | None
    links: int
    when: int


class Fate(StrEnum):
    """What became of a dataset between the two moments."""

    BOTH = "both"
    """It has both snapshots: it is compared."""
    PROMOTED = "promoted"
    """The older snapshot went over to another dataset with a promotion: compared across them."""
    CREATED = "created"
    """It was made after the older moment."""
    LACKS_OLDER = "lacks the older snapshot"
    LACKS_NEWER = "lacks the newer snapshot"
    RENAMED = "renamed"
    """It had another name at the older moment (told by zpool history); it is compared."""
    DESTROYED = "destroyed"
    """Only zpool history still knows it."""
    VOLUME = "volume"
    """It has no files; what was written to it is told in bytes."""


@dataclass(frozen=True, slots=True)
class Pair:
    """One dataset of the tree and what there is to compare.

    `older` and `newer` are full snapshot names; `newer` is the dataset's own name where it is
    compared with what is there now. Each is None where it is lacking. `mount` is where its files
    are reached, None where it is not mounted; `was` is an earlier name. `why` is a sentence where
    it cannot be compared.
    """

    dataset: str
    fate: Fate
    older: str | None
    newer: str | None
    mount: bytes | None
    was: str | None = None
    why: str = ""

    @property
    def comparable(self) -> bool:
        """Whether zfs diff can be asked about it."""
        return not self.why and self.older is not None and self.newer is not None


class Coverage(StrEnum):
    """How much of a dataset's answer came."""

    WHOLE = "whole"
    PARTIAL = "partial"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Began:
    """A comparison begins over `pairs`, in the order in which they are compared."""

    root: str
    older: str
    newer: str | None
    pairs: tuple[Pair, ...]


@dataclass(frozen=True, slots=True)
class DatasetBegan:
    """zfs diff was started for a pair; `command` is what was typed."""

    pair: Pair
    command: str


@dataclass(frozen=True, slots=True)
class Found:
    """Changes of one dataset, in the order in which zfs told them."""

    pair: Pair
    changes: tuple[Change, ...]


@dataclass(frozen=True, slots=True)
class Sized:
    """Bytes of files, by their path: (before, after), None where there is none or it is not known.

    They come after the changes that they belong to, as long as the limit for looking is not
    reached.
    """

    pair: Pair
    sizes: tuple[tuple[bytes, int | None, int | None], ...]


@dataclass(frozen=True, slots=True)
class DatasetEnded:
    """No more changes come of a pair, though its sizes and estimates may.

    `reason` says why its list is partial, or why there is none.
    """

    pair: Pair
    coverage: Coverage
    count: int
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Estimated:
    """What a send between the two moments would carry, in bytes, as zfs guesses it.

    `written` is what was written since `older` (`written@`), `logical` the same before
    compression where it is known, `stream` what `zfs send -nvP` says.
    """

    pair: Pair
    written: int | None
    logical: int | None
    stream: int | None


@dataclass(frozen=True, slots=True)
class Ended:
    """The comparison is over: how many changes there were, and why not all are known."""

    changes: int
    partial: bool
    reason: str
    seconds: float


Told = Began | DatasetBegan | Found | Sized | DatasetEnded | Estimated | Ended
