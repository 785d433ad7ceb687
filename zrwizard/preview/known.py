"""What is known of the datasets of a machine, at one look: frozen, and quick to ask."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field

from zrwizard.freebsd import tree, zpool_history
from zrwizard.freebsd.zfs_inspect import Dataset, Snapshot


@dataclass(frozen=True, slots=True)
class Inventory:
    """What zfs knows of a tree (`root`, None for every pool), in the order of zfs list.

    `mounts` tells where a file system is reached at the moment, `hidden` which of them lie below a
    later mount, so that their directory shows other files. `history` holds the events of zpool
    history, oldest first; `release` is what `uname -r` says. `problems` are sentences about what
    could not be learnt. Datasets outside of the tree are in it where its clones come from them;
    `unlisted` are those of them that could not be listed.
    """

    root: str | None
    datasets: tuple[Dataset, ...]
    snapshots: tuple[Snapshot, ...]
    mounts: Mapping[str, bytes]
    hidden: frozenset[str] = frozenset()
    history: tuple[zpool_history.Event, ...] = ()
    release: str = ""
    problems: tuple[str, ...] = ()
    unlisted: frozenset[str] = frozenset()
    _datasets: dict[str, Dataset] = field(init=False, repr=False, compare=False)
    _snapshots: dict[str, tuple[Snapshot, ...]] = field(init=False, repr=False, compare=False)
    _named: dict[str, Snapshot] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        held: dict[str, list[Snapshot]] = defaultdict(list)
        for snapshot in self.snapshots:
            held[snapshot.dataset].append(snapshot)
        ordered = {
            name: tuple(sorted(found, key=lambda snapshot: snapshot.createtxg))
            for name, found in held.items()
        }
        object.__setattr__(self, "_datasets", {found.name: found for found in self.datasets})
        object.__setattr__(self, "_snapshots", ordered)
        object.__setattr__(self, "_named", {found.name: found for found in self.snapshots})

    def dataset(self, name: str) -> Dataset | None:
        """The dataset of that name."""
        return self._datasets.get(name)

    def snapshot(self, name: str) -> Snapshot | None:
        """The snapshot of that full name."""
        return self._named.get(name)

    def below(self, root: str) -> tuple[Dataset, ...]:
        """`root` and its descendants, in the order of zfs list."""
        return tuple(found for found in self.datasets if tree.below(found.name, root))

    def snapshots_of(self, dataset: str) -> tuple[Snapshot, ...]:
        """A dataset's snapshots, oldest first (by createtxg)."""
        return self._snapshots.get(dataset, ())


@dataclass(frozen=True, slots=True)
class Moment:
    """All snapshots of one tag over a tree.

    `creation` (seconds since 1970) and `createtxg` are those of the root's snapshot, or the newest
    where the root lacks it. `count` of the `total` datasets have it. `used`, `referenced` and
    `written` are sums in bytes over them; `at_once` says whether they were all taken in one
    transaction, as `zfs snapshot -r` does. A received copy keeps `creation`, not transactions.
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


def timeline(inventory: Inventory, root: str) -> tuple[Moment, ...]:
    """The moments of the tree of `root`, oldest first (by createtxg)."""
    datasets = inventory.below(root)
    by_tag: dict[str, list[Snapshot]] = defaultdict(list)
    for dataset in datasets:
        for snapshot in inventory.snapshots_of(dataset.name):
            by_tag[snapshot.tag].append(snapshot)
    moments = [_moment(inventory, root, tag, len(datasets), by_tag[tag]) for tag in by_tag]
    return tuple(sorted(moments, key=lambda moment: (moment.createtxg, moment.tag)))


def _moment(
    inventory: Inventory, root: str, tag: str, total: int, having: list[Snapshot]
) -> Moment:
    newest = max(having, key=lambda snapshot: snapshot.createtxg)
    chosen = inventory.snapshot(f"{root}@{tag}") or newest
    return Moment(
        tag=tag,
        creation=chosen.creation,
        createtxg=chosen.createtxg,
        count=len(having),
        total=total,
        used=sum(snapshot.used for snapshot in having),
        referenced=sum(snapshot.referenced for snapshot in having),
        written=sum(snapshot.written for snapshot in having),
        at_once=len({snapshot.createtxg for snapshot in having}) == 1,
    )
