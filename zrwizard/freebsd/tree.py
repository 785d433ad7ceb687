"""Reasoning over a listed tree: complete snapshots, boot environments, what a stream will bring."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from . import cksum, zfs


@dataclass(frozen=True, slots=True)
class SnapshotSet:
    """All snapshots of one tag over a tree.

    `creation` is that of the root's snapshot (seconds since 1970), or the newest where the root
    lacks it. `missing` are the datasets without it, `later` those of them that were made after it.
    `zfs send -R` of the root fails unless nothing is missing (facts C5).
    """

    tag: str
    creation: int
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
    canmount: str | None


def below(name: str, root: str) -> bool:
    """Whether `name` is `root` itself or one of its descendants."""
    return name == root or name.startswith(root + "/")


def renamed(name: str, source: str, target: str) -> str:
    """`name` as it is called after its root `source` became `target`; ValueError if outside."""
    head, at, tag = name.partition("@")
    if not below(head, source):
        raise ValueError(f"{name} does not lie in {source}")
    return target + head[len(source) :] + at + tag


def snapshot_sets(listing: zfs.Listing, root: str) -> tuple[SnapshotSet, ...]:
    """Every tag that occurs in the tree of `root`, newest first."""
    datasets = [dataset for dataset in listing.datasets if below(dataset.name, root)]
    by_tag: dict[str, dict[str, zfs.Snapshot]] = defaultdict(dict)
    for snapshot in listing.snapshots:
        if below(snapshot.dataset, root):
            by_tag[snapshot.tag][snapshot.dataset] = snapshot
    sets = [_set(tag, having, datasets, root) for tag, having in by_tag.items()]
    return tuple(sorted(sets, key=lambda found: (found.creation, found.tag), reverse=True))


def _set(
    tag: str, having: dict[str, zfs.Snapshot], datasets: list[zfs.Dataset], root: str
) -> SnapshotSet:
    newest = max(having.values(), key=lambda snapshot: snapshot.createtxg)
    chosen = having.get(root, newest)
    missing = [dataset for dataset in datasets if dataset.name not in having]
    return SnapshotSet(
        tag=tag,
        creation=chosen.creation,
        datasets=tuple(dataset.name for dataset in datasets if dataset.name in having),
        missing=tuple(dataset.name for dataset in missing),
        later=tuple(d.name for d in missing if d.createtxg > chosen.createtxg),
    )


def newest_complete(listing: zfs.Listing, root: str) -> SnapshotSet | None:
    """The newest tag that every dataset of the tree has; None where there is none."""
    return next((found for found in snapshot_sets(listing, root) if found.complete), None)


def boot_environments(listing: zfs.Listing, root: str, tag: str) -> tuple[BootEnvironment, ...]:
    """File systems right below `<root>/ROOT` that have the snapshot, in the listing's order."""
    parent = f"{root}/ROOT"
    guids = {snapshot.name: snapshot.guid for snapshot in listing.snapshots}
    found: list[BootEnvironment] = []
    for dataset in listing.datasets:
        head, _, name = dataset.name.rpartition("/")
        guid = guids.get(f"{dataset.name}@{tag}")
        if head == parent and dataset.kind == "filesystem" and guid is not None:
            found.append(
                BootEnvironment(
                    name=name,
                    dataset=dataset.name,
                    creation=dataset.creation,
                    guid=guid,
                    origin=dataset.origin,
                    mountpoint=dataset.mountpoint,
                    canmount=dataset.canmount,
                )
            )
    return tuple(found)


def sent_datasets(listing: zfs.Listing, root: str, tag: str) -> tuple[zfs.Dataset, ...]:
    """The datasets that `zfs send -R root@tag` carries, in the listing's order.

    Those without the snapshot are left out with all that is below them.
    """
    having = {snapshot.dataset for snapshot in listing.snapshots if snapshot.tag == tag}
    sent: list[zfs.Dataset] = []
    names: set[str] = set()
    for dataset in sorted(listing.datasets, key=lambda row: row.name.split("/")):
        parent = dataset.name.rpartition("/")[0]
        if dataset.name in having and (dataset.name == root or parent in names):
            names.add(dataset.name)
    sent.extend(dataset for dataset in listing.datasets if dataset.name in names)
    return tuple(sent)


def sent_snapshots(listing: zfs.Listing, root: str, tag: str) -> tuple[zfs.Snapshot, ...]:
    """The snapshots that `zfs send -R root@tag` carries: each dataset's, up to the chosen one."""
    names = {dataset.name for dataset in sent_datasets(listing, root, tag)}
    until = {
        snapshot.dataset: snapshot.createtxg
        for snapshot in listing.snapshots
        if snapshot.tag == tag
    }
    return tuple(
        snapshot
        for snapshot in listing.snapshots
        if snapshot.dataset in names and snapshot.createtxg <= until[snapshot.dataset]
    )


def expected_guids(
    listing: zfs.Listing, root: str, tag: str, target: str
) -> tuple[tuple[str, int], ...]:
    """(name, guid) of every snapshot that must be there after the restore, in the C locale's order.

    Names are those on the target, where `root` is called `target`.
    """
    pairs = [
        (renamed(snapshot.name, root, target), snapshot.guid)
        for snapshot in sent_snapshots(listing, root, tag)
    ]
    return tuple(sorted(pairs, key=_line))


def expected_names(listing: zfs.Listing, root: str, tag: str, target: str) -> tuple[str, ...]:
    """Names on the target of the file systems and volumes that must be there, sorted."""
    sent = sent_datasets(listing, root, tag)
    return tuple(sorted(renamed(dataset.name, root, target) for dataset in sent))


def _line(pair: tuple[str, int]) -> bytes:
    return f"{pair[0]}\t{pair[1]}\n".encode("utf-8", "surrogateescape")


def guid_text(pairs: tuple[tuple[str, int], ...]) -> bytes:
    """The bytes that `zfs list -Hp -t snapshot -o name,guid | LC_ALL=C sort` prints for `pairs`."""
    return b"".join(sorted(map(_line, pairs)))


def expected_checksum(listing: zfs.Listing, root: str, tag: str, target: str) -> cksum.Checksum:
    """What `zfs.guid_checksum(target)` must print after the restore."""
    return cksum.of(guid_text(expected_guids(listing, root, tag, target)))
