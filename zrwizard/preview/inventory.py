"""What there is to compare: datasets, snapshots, mounts, and how they were called before.

Pure: `look_commands` says what to ask, `parse` reads the answers; the engine runs them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from zrwizard.freebsd import zpool_history
from zrwizard.freebsd.zfs_inspect import Dataset, Snapshot
from zrwizard.shell.api import Result

from .events import Pair


@dataclass(frozen=True, slots=True)
class Ask:
    """One look: its `name`, the command, and whether nothing can be said without its answer.

    Where it is not `needed`, a failure or a missing answer becomes a sentence in
    `Inventory.problems`.
    """

    name: str
    argv: tuple[str, ...]
    needed: bool = True


@dataclass(frozen=True, slots=True)
class Inventory:
    """What zfs knows of a tree (`root`, None for every pool), in the order of zfs list.

    `mounts` tells where a file system is reached at the moment. `history` holds the events of
    zpool history, oldest first; `release` is what `uname -r` says. `problems` are sentences about
    what could not be learnt.
    """

    root: str | None
    datasets: tuple[Dataset, ...]
    snapshots: tuple[Snapshot, ...]
    mounts: Mapping[str, bytes]
    history: tuple[zpool_history.Event, ...] = ()
    release: str = ""
    problems: tuple[str, ...] = ()

    def dataset(self, name: str) -> Dataset | None:
        """The dataset of that name."""
        raise NotImplementedError

    def snapshot(self, name: str) -> Snapshot | None:
        """The snapshot of that full name."""
        raise NotImplementedError

    def below(self, root: str) -> tuple[Dataset, ...]:
        """`root` and its descendants, in the order of zfs list."""
        raise NotImplementedError

    def snapshots_of(self, dataset: str) -> tuple[Snapshot, ...]:
        """A dataset's snapshots, oldest first (by createtxg)."""
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class Moment:
    """All snapshots of one tag over a tree.

    `creation` (seconds since 1970) and `createtxg` are those of the root's snapshot, or the newest
    where the root lacks it. `count` of the `total` datasets have it. `used`, `referenced` and
    `written` are sums in bytes over them; `at_once` says whether they were all taken in one
    transaction (`zfs snapshot -r`).
    """

    tag: str
    creation: int
    createtxg: int
    count: int
    total: int
    used: int
    referenced: int
    written: int
    at_once: bool

    @property
    def complete(self) -> bool:
        """Whether every dataset of the tree has it."""
        return self.count == self.total


def look_commands(root: str | None) -> tuple[Ask, ...]:
    """What to ask about `root` and all below it, or about every pool; then `parse` the answers."""
    raise NotImplementedError


def more_commands(inventory: Inventory) -> tuple[Ask, ...]:
    """What to ask besides: origins outside of the tree; empty where nothing is missing.

    Ask, `parse` with `known=inventory`, and again until it is empty (each round is one clone
    further).
    """
    raise NotImplementedError


def parse(
    root: str | None, answers: Mapping[str, Result], *, known: Inventory | None = None
) -> Inventory:
    """The inventory from the answers by the names of their `Ask`.

    With `known`, what it holds is kept and the answers are added. Raises ParseError for output
    that cannot be read or contradicts itself, and `LookupError` with a sentence where something
    needed failed (no such dataset, no ZFS).
    """
    raise NotImplementedError


def timeline(inventory: Inventory, root: str) -> tuple[Moment, ...]:
    """The moments of the tree of `root`, oldest first (by createtxg)."""
    raise NotImplementedError


def pairs(
    inventory: Inventory, root: str, older: str, newer: str | None, *, recursive: bool
) -> tuple[Pair, ...]:
    """What there is to compare between the tags `older` and `newer` (None: what is there now).

    One pair for each dataset of the tree, parents before children, then what was destroyed or
    moved out of the tree meanwhile. A pair that cannot be compared says why. Raises LookupError
    with a sentence where `root` does not exist or nothing in the tree has a tag.
    """
    raise NotImplementedError
