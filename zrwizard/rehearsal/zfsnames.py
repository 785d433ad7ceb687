"""zfs destroy and zfs rename: what happens to the clones of what goes or gets another name."""

from __future__ import annotations

from zrwizard.rehearsal.commands import Call
from zrwizard.rehearsal.errors import Fail
from zrwizard.rehearsal.machine import Machine
from zrwizard.rehearsal.poolimport import options
from zrwizard.rehearsal.zfslist import find
from zrwizard.rehearsal.zfsmount import unmount_dataset
from zrwizard.rehearsal.zfsstate import Dataset, Pool


def destroy(call: Call, args: list[str]) -> str:
    """zfs destroy of datasets and snapshots; -r with what is below, -R with clones too."""
    found, _, names = options(args, "")
    m, name = call.machine, names[0] if names else ""
    pool, ds, snap = find(m, name)
    if snap is not None:
        if snap.holds:
            raise Fail(f"cannot destroy snapshot {name}: dataset is busy\n")
        targets = [ds, *(pool.children(ds) if "r" in found else [])]
        clones = _clones(pool, {f"{pool.full(each)}@{snap.name}" for each in targets})
        if clones and "R" not in found:
            raise Fail(
                f"cannot destroy '{name}': snapshot has dependent clones\n"
                f"use '-R' to destroy the following datasets:\n{_lines(pool, clones)}"
            )
        for each in clones:
            _remove(m, pool, each)
        for each in targets:
            each.snapshots = [s for s in each.snapshots if s.name != snap.name]
        return ""
    below = pool.children(ds)
    if not ds.rel:
        raise Fail(
            f"cannot destroy '{name}': operation does not apply to pools\nuse 'zfs destroy "
            f"-r {name}' to destroy all datasets in the pool\nuse 'zpool destroy {name}' to "
            "destroy the pool itself\n"
        )
    if (below or ds.snapshots) and not {"r", "R"} & set(found):
        kids = "".join(f"{pool.full(d)}\n" for d in below) + "".join(
            f"{name}@{s.name}\n" for s in ds.snapshots
        )
        raise Fail(
            f"cannot destroy '{name}': filesystem has children\nuse '-r' to destroy the "
            f"following datasets:\n{kids}"
        )
    outside = [d for d in _clones(pool, _snapshots([ds, *below], pool)) if d not in [ds, *below]]
    if outside and "R" not in found:
        raise Fail(
            f"cannot destroy '{name}': filesystem has dependent clones\n"
            f"use '-R' to destroy the following datasets:\n{_lines(pool, outside)}"
        )
    _remove(m, pool, ds)
    return ""


def _lines(pool: Pool, datasets: list[Dataset]) -> str:
    return "".join(f"{pool.full(d)}\n" for d in datasets)


def _snapshots(datasets: list[Dataset], pool: Pool) -> set[str]:
    return {f"{pool.full(d)}@{s.name}" for d in datasets for s in d.snapshots}


def _clones(pool: Pool, snapshots: set[str]) -> list[Dataset]:
    return [d for d in pool.ordered() if d.origin in snapshots]


def _remove(m: Machine, pool: Pool, ds: Dataset) -> None:
    """Destroy a dataset with all that is below it or was cloned from it."""
    for each in [*_clones(pool, _snapshots([ds], pool)), *reversed(pool.children(ds))]:
        if each.rel in pool.datasets:
            _remove(m, pool, each)
    unmount_dataset(m, pool, ds, force=True)
    pool.datasets.pop(ds.rel, None)


def rename(call: Call, args: list[str]) -> str:
    """zfs rename of datasets and snapshots."""
    _, _, names = options(args, "")
    old, new = (*names, "", "")[:2]
    m = call.machine
    pool, ds, snap = find(m, old)
    if snap is not None:
        tag = new.rpartition("@")[2]
        if ds.snapshot(tag) is not None:
            raise Fail(f"cannot rename '{old}': dataset already exists\n")
        _origins_follow(pool, f"{pool.full(ds)}@{snap.name}", f"{pool.full(ds)}@{tag}")
        snap.name = tag
        return ""
    rel = new.partition("/")[2]
    if new.partition("/")[0] != pool.name or not rel or not ds.rel:
        raise Fail(f"cannot rename '{old}': datasets must be within same pool\n")
    if rel in pool.datasets:
        raise Fail(f"cannot rename '{old}': dataset already exists\n")
    if rel.rpartition("/")[0] not in pool.datasets:
        raise Fail(f"cannot create '{new}': parent does not exist\n")
    was = ds.rel
    for each in [ds, *pool.children(ds)]:
        before = pool.full(each)
        del pool.datasets[each.rel]
        each.rel = rel + each.rel[len(was) :]
        pool.datasets[each.rel] = each
        for held in each.snapshots:
            _origins_follow(pool, f"{before}@{held.name}", f"{pool.full(each)}@{held.name}")
    return ""


def _origins_follow(pool: Pool, old: str, new: str) -> None:
    """Clones of a snapshot that is renamed stay clones of it."""
    for ds in pool.datasets.values():
        if ds.origin == old:
            ds.origin = new
