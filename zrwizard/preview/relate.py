"""What is new on one machine against its copy on another: by the guids of snapshots, not names.

A snapshot keeps its guid when it is received or renamed; a dataset does not. So a dataset's copy is
the one that holds the newest of its snapshots, whatever it is called there.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from zrwizard.freebsd import tree, zfs_send
from zrwizard.freebsd.zfs_inspect import Dataset, Snapshot

from .known import Inventory


@dataclass(frozen=True, slots=True)
class Relation:
    """One dataset on both machines (`here`, `there`: its names; None where it is lacking).

    `common` are the names of the newest snapshot that both have, here and there. `only_here` and
    `only_there` are snapshots, oldest first. `next_send` is the estimate to ask here for what
    would bring the copy up to date (argv, for `zfs_send.parse_estimate`), None where nothing is to
    be sent; `why` is a sentence on what stands in the way, or what to know.
    """

    here: str | None
    there: str | None
    common: tuple[str, str] | None
    only_here: tuple[Snapshot, ...]
    only_there: tuple[Snapshot, ...]
    next_send: tuple[str, ...] | None
    why: str = ""


def relate(
    here: Inventory, there: Inventory, here_root: str, there_root: str
) -> tuple[Relation, ...]:
    """Every dataset of both trees: those here in their order, then those that only there has.

    Raises LookupError with a sentence where a root does not exist.
    """
    for inventory, root, side in ((here, here_root, "here"), (there, there_root, "there")):
        if inventory.dataset(root) is None:
            raise LookupError(f"There is no dataset {root} {side}.")
    copies = _copies(here, there, here_root, there_root)
    found = [
        _relation(here, there, dataset, copies.get(dataset.name))
        for dataset in here.below(here_root)
    ]
    taken = set(copies.values())
    found += [
        Relation(
            here=None,
            there=dataset.name,
            common=None,
            only_here=(),
            only_there=there.snapshots_of(dataset.name),
            next_send=None,
            why="Only the copy has it: it was destroyed here, or never was.",
        )
        for dataset in there.below(there_root)
        if dataset.name not in taken
    ]
    return tuple(found)


def _copies(here: Inventory, there: Inventory, here_root: str, there_root: str) -> dict[str, str]:
    """The copy of each dataset here that has one; no copy belongs to two.

    Who shares the newest snapshot comes first. Of several copies the one with the same place in
    the tree is taken. What shares none is matched by its place.
    """
    holders: dict[int, list[str]] = defaultdict(list)
    for dataset in there.below(there_root):
        for snapshot in there.snapshots_of(dataset.name):
            holders[snapshot.guid].append(dataset.name)
    offers: list[tuple[int, bool, str, str]] = []
    for dataset in here.below(here_root):
        place = tree.renamed(dataset.name, here_root, there_root)
        seen: set[str] = set()
        for snapshot in reversed(here.snapshots_of(dataset.name)):
            for holder in holders.get(snapshot.guid, ()):
                if holder not in seen:
                    seen.add(holder)
                    offers.append((-snapshot.createtxg, holder != place, dataset.name, holder))
    copies: dict[str, str] = {}
    taken: set[str] = set()
    for _, _, name, holder in sorted(offers):
        if name not in copies and holder not in taken:
            copies[name] = holder
            taken.add(holder)
    for dataset in here.below(here_root):
        place = tree.renamed(dataset.name, here_root, there_root)
        if dataset.name not in copies and there.dataset(place) and place not in taken:
            copies[dataset.name] = place
    return copies


def _relation(here: Inventory, there: Inventory, dataset: Dataset, copy: str | None) -> Relation:
    ours = here.snapshots_of(dataset.name)
    theirs = there.snapshots_of(copy) if copy is not None else ()
    names = {snapshot.guid: snapshot.name for snapshot in theirs}
    shared = [snapshot for snapshot in ours if snapshot.guid in names]
    common = shared[-1] if shared else None
    known = {snapshot.guid for snapshot in ours}
    only_there = tuple(snapshot for snapshot in theirs if snapshot.guid not in known)
    return Relation(
        here=dataset.name,
        there=copy,
        common=(common.name, names[common.guid]) if common else None,
        only_here=tuple(snapshot for snapshot in ours if snapshot.guid not in names),
        only_there=only_there,
        next_send=_next_send(dataset, ours, common),
        why=_why(ours, copy, common, _after(theirs, common)),
    )


def _next_send(
    dataset: Dataset, ours: tuple[Snapshot, ...], common: Snapshot | None
) -> tuple[str, ...] | None:
    if not ours or (common is not None and ours[-1].guid == common.guid):
        return None
    return zfs_send.estimate_between(
        common.name if common else None,
        ours[-1].name,
        every=common is not None,
        # Without its key zfs can only send the blocks as they are.
        raw=dataset.keystatus == "unavailable",
    )


def _after(theirs: tuple[Snapshot, ...], common: Snapshot | None) -> tuple[Snapshot, ...]:
    """The copy's snapshots that are newer than the common one; all of them where there is none."""
    if common is None:
        return theirs
    at = next(at for at, snapshot in enumerate(theirs) if snapshot.guid == common.guid)
    return theirs[at + 1 :]


def _why(
    ours: tuple[Snapshot, ...],
    copy: str | None,
    common: Snapshot | None,
    ahead: tuple[Snapshot, ...],
) -> str:
    if copy is None:
        return (
            "The copy does not have it: it has to be sent in full."
            if ours
            else "The copy does not have it, and without a snapshot it cannot be sent."
        )
    if not ours:
        return "It has no snapshot here, so nothing can be sent."
    if common is None:
        return (
            "The two have no snapshot in common, so it has to be sent in full, and to another "
            "place or over what is there."
        )
    if not ahead:
        return ""
    if ours[-1].guid == common.guid:
        return f"The copy is ahead by {_count(ahead)}: nothing is to be sent from here."
    return (
        f"The copy has {_count(ahead)} behind the common one that is not here: receiving needs a "
        "rollback there (zfs receive -F), which destroys that."
        if len(ahead) == 1
        else f"The copy has {_count(ahead)} behind the common one that are not here: receiving "
        "needs a rollback there (zfs receive -F), which destroys them."
    )


def _count(snapshots: tuple[Snapshot, ...]) -> str:
    return "1 snapshot" if len(snapshots) == 1 else f"{len(snapshots)} snapshots"
