"""Reasoning over a listed tree: complete snapshots, boot environments, what a stream will bring."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from .inventory import Inventory, Snapshots


@dataclass(frozen=True, slots=True)
class SnapshotSet:
    """All snapshots of one tag over a tree.

    `creation` is that of the root's snapshot (seconds since 1970), or the newest where the root
    lacks it; `referenced` is in bytes, blocks that clones share once for each. `missing` are the
    datasets without it, `later` those of them that were made after it. `zfs send -R` of the root
    fails unless nothing is missing (facts C5).
    """

    tag: str
    creation: int
    referenced: int
    datasets: tuple[str, ...]
    missing: tuple[str, ...]
    later: tuple[str, ...]

    @property
    def complete(self) -> bool:
        """Whether every dataset of the tree has it."""
        return not self.missing


@dataclass(frozen=True, slots=True)
class BootEnvironment:
    """A file system right below ROOT. `name` is its last part; `guid` the chosen snapshot's."""

    name: str
    dataset: str
    creation: int
    guid: int
    origin: str | None
    mountpoint: str | None
    encrypted: bool


def below(name: str, root: str) -> bool:
    """Whether `name` is `root` itself or one of its descendants."""
    return name == root or name.startswith(root + "/")


def renamed(name: str, source: str, target: str) -> str:
    """`name` as it is called after its root `source` became `target`; ValueError if outside."""
    head, at, tag = name.partition("@")
    if not below(head, source):
        raise ValueError(f"{name} does not lie in {source}")
    return target + head[len(source) :] + at + tag


def snapshot_sets(inventory: Inventory, root: str) -> tuple[SnapshotSet, ...]:
    """Every tag that occurs in the tree of `root`, newest first."""
    inside = [name for name in inventory if below(name, root)]
    having: dict[str, dict[str, int]] = defaultdict(dict)
    for name in inside:
        for at, tag in enumerate(inventory[name].snapshots.tags):
            having[tag][name] = at
    sets = [_set(inventory, tag, places, inside, root) for tag, places in having.items()]
    return tuple(sorted(sets, key=lambda found: (found.creation, found.tag), reverse=True))


def _set(
    inventory: Inventory, tag: str, places: Mapping[str, int], inside: list[str], root: str
) -> SnapshotSet:
    def snapshots(name: str) -> Snapshots:
        return inventory[name].snapshots

    newest = max(places, key=lambda name: snapshots(name).txgs[places[name]])
    chosen = root if root in places else newest
    missing = [name for name in inside if name not in places]
    txg = snapshots(chosen).txgs[places[chosen]]
    return SnapshotSet(
        tag=tag,
        creation=snapshots(chosen).made[places[chosen]],
        referenced=sum(snapshots(name).referenced[at] for name, at in places.items()),
        datasets=tuple(name for name in inside if name in places),
        missing=tuple(missing),
        later=tuple(name for name in missing if inventory[name].txg > txg),
    )


def newest_complete(sets: Iterable[SnapshotSet]) -> SnapshotSet | None:
    """The newest set that every dataset of the tree has; None where there is none."""
    return next((found for found in sets if found.complete), None)


def boot_environments(inventory: Inventory, root: str, tag: str) -> tuple[BootEnvironment, ...]:
    """File systems right below `<root>/ROOT` that have the snapshot, in the listing's order."""
    found: list[BootEnvironment] = []
    for dataset, holding in inventory.items():
        head, _, name = dataset.rpartition("/")
        at = holding.snapshots.find(tag)
        if head == f"{root}/ROOT" and holding.kind == "filesystem" and at is not None:
            found.append(
                BootEnvironment(
                    name=name,
                    dataset=dataset,
                    creation=holding.made,
                    guid=holding.snapshots.guids[at],
                    origin=holding.origin,
                    mountpoint=holding.mountpoint,
                    encrypted=holding.root is not None,
                )
            )
    return tuple(found)


Sent = Mapping[str, Iterable[int]]
"""What goes: each dataset, with the places of its snapshots in the inventory."""


def expected_guids(
    inventory: Inventory, sent: Sent, root: str, target: str
) -> tuple[tuple[str, int], ...]:
    """(name, guid) of every snapshot that must be there after the restore, in the C locale's order.

    Names are those on the target, where `root` is called `target`.
    """
    pairs = [
        (f"{renamed(name, root, target)}@{snapshots.tags[at]}", snapshots.guids[at])
        for name, places in sent.items()
        for snapshots in (inventory[name].snapshots,)
        for at in places
    ]
    return tuple(sorted(pairs, key=_line))


def expected_names(sent: Sent, root: str, target: str) -> tuple[str, ...]:
    """Names on the target of the file systems and volumes that must be there, sorted."""
    return tuple(sorted(renamed(name, root, target) for name in sent))


def _line(pair: tuple[str, int]) -> bytes:
    return f"{pair[0]}\t{pair[1]}\n".encode("utf-8", "surrogateescape")


def guid_text(pairs: tuple[tuple[str, int], ...]) -> bytes:
    """The bytes that `zfs list -Hp -t snapshot -o name,guid | LC_ALL=C sort` prints for `pairs`."""
    return b"".join(sorted(map(_line, pairs)))
