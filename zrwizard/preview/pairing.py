"""Which two things zfs diff is to compare for each dataset of a tree, or why it cannot."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from zrwizard.freebsd import tree
from zrwizard.freebsd.zfs_inspect import Dataset, Snapshot

from . import past
from .events import Fate, Pair
from .known import Inventory


def pairs(
    inventory: Inventory, root: str, older: str, newer: str | None, *, recursive: bool
) -> tuple[Pair, ...]:
    """What there is to compare between the tags `older` and `newer` (None: what is there now).

    One pair for each dataset of the tree, parents before children, then what was destroyed or
    moved out of the tree since `older`, as far as zpool history tells. A pair that cannot be
    compared says why. Raises LookupError with a sentence where `root` is not there, or where
    nothing in question has a tag.
    """
    if inventory.dataset(root) is None:
        raise LookupError(f"There is no dataset {root}.")
    datasets = sorted(inventory.below(root), key=lambda found: found.name.split("/"))
    if not recursive:
        datasets = [found for found in datasets if found.name == root]
    moment = _Moments(
        inventory,
        older,
        newer,
        _taken(inventory, root, datasets, older),
        None if newer is None else _taken(inventory, root, datasets, newer),
    )
    events = past.since(inventory.history, moment.first)
    then = past.before(events, (found.name for found in inventory.datasets))
    found = [_pair(moment, dataset, then) for dataset in datasets]
    if recursive:
        found += _gone(inventory, root, then)
    return tuple(found)


@dataclass(frozen=True, slots=True)
class _Moments:
    inventory: Inventory
    older: str
    newer: str | None
    first: Snapshot
    last: Snapshot | None


def _taken(inventory: Inventory, root: str, datasets: list[Dataset], tag: str) -> Snapshot:
    """The snapshot that stands for the moment: the root's, else the newest of the tag.

    After a promotion the root's may belong to the dataset that was promoted.
    """
    own = _held(inventory, root, tag)
    if own is not None:
        return own
    having = [found for dataset in datasets if (found := _held(inventory, dataset.name, tag))]
    if not having:
        raise LookupError(f"Nothing in {root} has a snapshot @{tag}.")
    return max(having, key=lambda snapshot: snapshot.createtxg)


def _held(inventory: Inventory, name: str, tag: str) -> Snapshot | None:
    """A dataset's snapshot of a tag, also where a promotion took it over to another dataset.

    The origin's snapshots up to the one that the dataset hangs on are its own past too. They are
    its own snapshots of old if it was there already when they were taken.
    """
    own = inventory.snapshot(f"{name}@{tag}")
    dataset = inventory.dataset(name)
    if own is not None or dataset is None:
        return own
    seen = {name}
    at = dataset
    while at.origin is not None:
        root = inventory.snapshot(at.origin)
        holder = inventory.dataset(at.origin.partition("@")[0])
        if root is None or holder is None or holder.name in seen:
            return None
        seen.add(holder.name)
        found = inventory.snapshot(f"{holder.name}@{tag}")
        if found is not None and found.createtxg <= root.createtxg:
            return found if dataset.createtxg <= found.createtxg else None
        at = holder
    return None


def _pair(moments: _Moments, dataset: Dataset, then: past.Past) -> Pair:
    inventory = moments.inventory
    first = _held(inventory, dataset.name, moments.older)
    last = None if moments.newer is None else _held(inventory, dataset.name, moments.newer)
    newer = dataset.name if moments.newer is None else last.name if last else None
    was = then.was.get(dataset.name)
    # A promoted clone holds snapshots that are older than itself: they were another dataset's.
    young = dataset.createtxg > (first or moments.first).createtxg
    if young:
        fate = Fate.CREATED
        was = None
    elif first is None:
        fate = Fate.LACKS_OLDER
    elif newer is None:
        fate = Fate.LACKS_NEWER
    elif first.dataset != dataset.name or (last and last.dataset != dataset.name):
        fate = Fate.PROMOTED
    else:
        fate = Fate.BOTH if was is None else Fate.RENAMED
    if dataset.kind == "volume":
        fate = Fate.VOLUME
    reader = dataset.name if last is None else last.dataset
    return Pair(
        dataset=dataset.name,
        fate=fate,
        older=first.name if first else None,
        newer=newer,
        mount=inventory.mounts.get(reader),
        was=was,
        why=_why(moments, dataset, first, last, young=young),
    )


def _why(
    moments: _Moments,
    dataset: Dataset,
    first: Snapshot | None,
    last: Snapshot | None,
    *,
    young: bool,
) -> str:
    """A sentence on why zfs diff cannot be asked; empty where it can."""
    older, newer = moments.older, moments.newer
    if dataset.kind == "volume":
        return "A volume has no files; how much was written to it is told in bytes."
    if newer == older:
        return f"@{older} was chosen for both moments."
    if first is None:
        return _lacking(moments, dataset, young=young)
    if newer is not None and last is None:
        after = moments.last is not None and dataset.createtxg > moments.last.createtxg
        return f"It was made after @{newer}." if after else f"It has no snapshot @{newer}."
    if last is not None and first.createtxg >= last.createtxg:
        return (
            f"Here @{older} ({_when(first.creation)}) is not older than @{newer} "
            f"({_when(last.creation)}): choose them the other way round."
        )
    if last is None and first.dataset == dataset.name:
        reading = [dataset.name]
    else:
        reading = [(last.dataset if last else dataset.name), first.dataset]
    refused = _refused(moments.inventory, reading[0], first)
    if refused:
        return refused
    for name in reading:
        why = _unreadable(moments.inventory, name)
        if why:
            return why if name == dataset.name else f"{name} is needed too. {why}"
    return ""


def _lacking(moments: _Moments, dataset: Dataset, *, young: bool) -> str:
    if not young:
        return f"It has no snapshot @{moments.older}, though it was there already."
    if moments.last is not None and dataset.createtxg > moments.last.createtxg:
        return f"It was made after @{moments.newer}."
    clone = f", as a clone of {dataset.origin}" if dataset.origin else ""
    return f"It was made after @{moments.older}{clone}: all of it is new."


def _refused(inventory: Inventory, newer: str, older: Snapshot) -> str:
    """Why libzfs would not compare across two datasets.

    It looks only at the newer one's own origin, and compares as many of its characters with the
    older snapshot's name as that has from the @ on (libzfs_diff.c, get_snapshot_names).
    """
    dataset = inventory.dataset(newer)
    if older.dataset == newer or dataset is None:
        return ""
    length = len(older.name) - len(older.dataset)
    if dataset.origin is not None and dataset.origin[:length] == older.name[:length]:
        return ""
    return (
        f"@{older.tag} went over to {older.dataset} with a promotion, and zfs diff does not find "
        f"the way there from {newer}."
    )


def _unreadable(inventory: Inventory, name: str) -> str:
    """Why files of a dataset cannot be reached now, and what would help; empty where they can."""
    if name in inventory.mounts:
        return ""
    dataset = inventory.dataset(name)
    if dataset is None:
        return f"{name} was not listed."
    if dataset.mounted:
        return "It is mounted, but it cannot be told for certain where: unmount and mount it again."
    if dataset.keystatus == "unavailable":
        return "It is encrypted and its key is not loaded: zfs load-key, then zfs mount."
    if dataset.canmount == "off":
        return "It is not meant to be mounted (canmount=off); as a rule it holds no files itself."
    if dataset.mountpoint in {b"none", b"legacy"}:
        kind = dataset.mountpoint.decode()
        return f"It is not mounted (mountpoint={kind}): mount it read-only for the while."
    noauto = " (canmount=noauto)" if dataset.canmount == "noauto" else ""
    return f"It is not mounted{noauto}: agree to a read-only mount for the while."


def _gone(inventory: Inventory, root: str, then: past.Past) -> list[Pair]:
    """Datasets that were in the tree then and are not now."""
    tree_then = then.name(root)
    found: list[Pair] = []
    for name in sorted(then.gone, key=lambda gone: gone.was.split("/")):
        if not tree.below(name.was, tree_then):
            continue
        if name.destroyed is not None:
            all_below = ", with all below it" if name.whole else ""
            why = f"It was destroyed on {_when(name.destroyed)}{all_below}, as zpool history tells."
            found.append(Pair(name.was, Fate.DESTROYED, None, None, None, why=why))
        elif tree.below(name.now, root):
            why = f"It was renamed to {name.now}, which is not there any more."
            found.append(Pair(name.was, Fate.DESTROYED, None, None, None, why=why))
        else:
            found.append(_moved(name.now, name.was))
    for dataset in inventory.datasets:
        was = then.name(dataset.name)
        if tree.below(was, tree_then) and not tree.below(dataset.name, root):
            found.append(_moved(dataset.name, was))
    return found


def _moved(name: str, was: str) -> Pair:
    # Its name is the same where it stayed and the tree went away from it.
    why = f"It does not belong to the tree any more; it is called {name} now."
    earlier = None if was == name else was
    return Pair(name, Fate.RENAMED, None, None, None, was=earlier, why=why)


def _when(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
