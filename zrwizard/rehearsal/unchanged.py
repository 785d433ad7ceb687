"""What a simulated machine was like at a moment, and what is different now, in sentences."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from zrwizard.rehearsal.machine import Machine
from zrwizard.rehearsal.rawname import printable
from zrwizard.rehearsal.zfsfiles import FileTree, Node
from zrwizard.rehearsal.zfsstate import Dataset, Pool

MOST = 20
"""Sentences about one data set's files; more of them say nothing new."""
_FIELDS = {
    "data": "contents",
    "mode": "mode",
    "uid": "owner",
    "gid": "group",
    "flags": "flags",
    "links": "number of links",
    "atime": "access time",
    "mtime": "modification time",
    "ctime": "change time",
    "birth": "birth time",
}


@dataclass(frozen=True, slots=True)
class DatasetWas:
    """A data set as it was. Snapshots by name: guid, transaction group, holds."""

    guid: int
    props: tuple[tuple[str, str], ...]
    received: tuple[tuple[str, str], ...]
    mounted_at: str
    origin: str
    snapshots: dict[str, tuple[int, int, tuple[str, ...]]]
    bookmarks: tuple[str, ...]
    tree: FileTree | None


@dataclass(frozen=True, slots=True)
class PoolWas:
    """A pool as it was."""

    guid: int
    props: tuple[tuple[str, str], ...]
    features: tuple[tuple[str, str], ...]
    history: tuple[str, ...]
    datasets: dict[str, DatasetWas]


@dataclass(frozen=True, slots=True)
class MachineWas:
    """Everything of a machine that a read-only look must leave alone."""

    pools: dict[str, PoolWas]
    mounts: tuple[str, ...]
    writes: tuple[tuple[str, int], ...]


def _dataset(ds: Dataset) -> DatasetWas:
    return DatasetWas(
        ds.guid,
        tuple(sorted(ds.local.items())),
        tuple(sorted(ds.received.items())),
        ds.mounted_at,
        ds.origin,
        {s.name: (s.guid, s.createtxg, tuple(sorted(s.holds))) for s in ds.snapshots},
        tuple(sorted(ds.bookmarks)),
        ds.tree.copy() if ds.tree else None,
    )


def _pool(pool: Pool) -> PoolWas:
    return PoolWas(
        pool.guid,
        tuple(sorted(pool.props.items())),
        tuple(sorted(pool.features.items())),
        tuple(pool.history),
        {pool.full(ds): _dataset(ds) for ds in pool.ordered()},
    )


def remember(m: Machine) -> MachineWas:
    """The machine as it is now."""
    if m.space is not None:
        m.space.sync()
    return MachineWas(
        {name: _pool(pool) for name, pool in m.pools.items()},
        tuple(f"{x.special} on {x.path} ({x.options})" for x in m.mounts),
        tuple((d.name, d.writes) for d in m.disks),
    )


def changed(m: Machine, was: MachineWas) -> list[str]:
    """What is not as it was; empty: everything is."""
    now = remember(m)
    found = [f"The pool {n} is not there any more." for n in was.pools.keys() - now.pools.keys()]
    found += [f"The pool {n} was not there before." for n in now.pools.keys() - was.pools.keys()]
    for name in sorted(was.pools.keys() & now.pools.keys()):
        found += _pool_sentences(name, was.pools[name], now.pools[name])
    found += [f"Mounted before and not now: {x}." for x in was.mounts if x not in now.mounts]
    found += [f"Mounted now and not before: {x}." for x in now.mounts if x not in was.mounts]
    if not found and now.mounts != was.mounts:
        found.append("File systems are mounted in another order than before.")
    found += [
        f"The disk {name} was written to."
        for (name, count), (_, before) in zip(now.writes, was.writes, strict=False)
        if count != before
    ]
    return found


def _pool_sentences(name: str, was: PoolWas, now: PoolWas) -> Iterator[str]:
    if was.guid != now.guid:
        yield f"The pool {name} is another one."
    if (was.props, was.features) != (now.props, now.features):
        yield f"Properties of the pool {name} changed."
    for line in now.history[len(was.history) :]:
        yield f"zpool history has a new command: {line.partition(' ')[2]}."
    for full in sorted(was.datasets.keys() - now.datasets.keys()):
        yield f"The dataset {full} is not there any more."
    for full in sorted(now.datasets.keys() - was.datasets.keys()):
        yield f"The dataset {full} was not there before."
    for full in sorted(was.datasets.keys() & now.datasets.keys()):
        yield from _dataset_sentences(full, was.datasets[full], now.datasets[full])


def _dataset_sentences(full: str, was: DatasetWas, now: DatasetWas) -> Iterator[str]:
    if was.guid != now.guid or was.origin != now.origin:
        yield f"The dataset {full} is another one."
    for key, value in sorted(set(now.props + now.received) ^ set(was.props + was.received)):
        yield f"A property of {full} changed: {key}={value} was there at one time only."
    if was.mounted_at != now.mounted_at:
        where = f"is mounted on {now.mounted_at}" if now.mounted_at else "is not mounted"
        yield f"{full} {where} now; before: {was.mounted_at or 'not mounted'}."
    for tag in sorted(was.snapshots.keys() - now.snapshots.keys()):
        yield f"The snapshot {full}@{tag} is not there any more."
    for tag in sorted(now.snapshots.keys() - was.snapshots.keys()):
        yield f"The snapshot {full}@{tag} was not there before."
    for tag in sorted(was.snapshots.keys() & now.snapshots.keys()):
        if was.snapshots[tag] != now.snapshots[tag]:
            yield f"The snapshot {full}@{tag} or its holds changed."
    if was.bookmarks != now.bookmarks:
        yield f"The bookmarks of {full} changed."
    if was.tree is not None and now.tree is not None:
        told = list(_file_sentences(full, was.tree, now.tree))
        yield from told[:MOST]
        if len(told) > MOST:
            yield f"In {full}, {len(told) - MOST} more things about files changed."


def _file_sentences(full: str, was: FileTree, now: FileTree) -> Iterator[str]:
    for number in sorted(was.nodes.keys() | now.nodes.keys()):
        old, new = was.nodes.get(number), now.nodes.get(number)
        if old is new:
            continue
        path = printable((now if new else was).path(number)) or "/"
        if old is None or new is None or old.gen != new.gen:
            state = "is new" if old is None else "is gone" if new is None else "is another file"
            yield f"In {full}, {path} {state}."
            continue
        if old.names != new.names:
            yield f"In {full}, {path} had other names."
        fields = _different(old, new)
        if fields:
            yield f"In {full}, {path} changed: {', '.join(fields)}."


def _different(old: Node, new: Node) -> list[str]:
    return [word for name, word in _FIELDS.items() if getattr(old, name) != getattr(new, name)]
