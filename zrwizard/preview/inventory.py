"""What to ask a machine about its datasets before a preview, and the answers read.

Pure: `look_commands` says what to ask, `parse` reads the answers; the engine runs them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from zrwizard.freebsd import ParseError, mount, zfs_inspect, zpool_history
from zrwizard.freebsd.zfs_inspect import Dataset, Snapshot
from zrwizard.shell.api import Result

from .known import Inventory, Moment, timeline
from .pairing import pairs

__all__ = [
    "Ask",
    "Dataset",
    "Inventory",
    "Moment",
    "NotThere",
    "Snapshot",
    "look_commands",
    "more_commands",
    "pairs",
    "parse",
    "timeline",
]

_ORIGIN = "origin of "


@dataclass(frozen=True, slots=True)
class Ask:
    """One look: its `name`, the command, and whether nothing can be said without its answer.

    Where it is not `needed`, a failure or a missing answer becomes a sentence in
    `Inventory.problems`. The history of an old pool can be long: it may be given up.
    """

    name: str
    argv: tuple[str, ...]
    needed: bool = True


class NotThere(LookupError):
    """Something needed could not be listed: `what` happened, and what to do `now`."""

    def __init__(self, what: str, now: str) -> None:
        super().__init__(what)
        self.what = what
        self.now = now


def look_commands(root: str | None) -> tuple[Ask, ...]:
    """What to ask about `root` and all below it, or about every pool; then `parse` the answers."""
    pool = None if root is None else root.partition("/")[0]
    return (
        Ask("list", zfs_inspect.list_all(root)),
        Ask("mountpoints", zfs_inspect.list_mountpoints(root), needed=False),
        Ask("mounts", ("mount", "-p")),
        Ask("history", zpool_history.history(pool), needed=False),
        Ask("release", ("uname", "-r"), needed=False),
    )


def more_commands(inventory: Inventory) -> tuple[Ask, ...]:
    """What to ask besides: datasets outside of the tree that its clones come from.

    Ask, `parse` with `known=inventory`, and again until this is empty: each round follows the
    clones one step further, and asks about no dataset twice.
    """
    origins = dict.fromkeys(
        found.origin.partition("@")[0] for found in inventory.datasets if found.origin
    )
    missing = [
        name
        for name in origins
        if inventory.dataset(name) is None and name not in inventory.unlisted
    ]
    if not missing:
        return ()
    asks = [
        Ask(_ORIGIN + name, zfs_inspect.list_all(name, depth=1), needed=False) for name in missing
    ]
    return (*asks, Ask("mounts", ("mount", "-p")))


def parse(
    root: str | None, answers: Mapping[str, Result], *, known: Inventory | None = None
) -> Inventory:
    """The inventory from the answers by the names of their `Ask`.

    With `known`, what it holds is kept and the answers to `more_commands` are added. Raises
    ParseError for output that cannot be read or contradicts itself, and `NotThere` where something
    needed failed.
    """
    if known is not None:
        return _with_origins(known, answers)
    _needed(answers, "list")
    listed = zfs_inspect.parse(answers["list"].text)
    if root is not None and not any(found.name == root for found in listed.datasets):
        raise ParseError("zfs list", "the dataset that was asked for is missing", root)
    problems: list[str] = []
    names = {found.name for found in listed.datasets if found.kind == "filesystem"}
    points: dict[str, bytes] = {}
    if _came(answers, "mountpoints", "The mountpoints are not known", problems):
        points = zfs_inspect.parse_mountpoints(answers["mountpoints"].out, names)
        problems += [
            f"The mountpoint of {name} cannot be told for certain."
            for name in sorted(names - points.keys())
        ]
    datasets = tuple(replace(found, mountpoint=points.get(found.name)) for found in listed.datasets)
    history: tuple[zpool_history.Event, ...] = ()
    lost = "zpool history was not read, so renamed and destroyed datasets are not known"
    if _came(answers, "history", lost, problems):
        try:
            history = zpool_history.parse(answers["history"].text)
        except ParseError as failure:
            problems.append(f"{lost}: {failure}")
    release = answers["release"].text.strip() if "release" in answers else ""
    inventory = Inventory(root, datasets, listed.snapshots, {}, history=history, release=release)
    return _mounted(inventory, answers, problems)


def _with_origins(known: Inventory, answers: Mapping[str, Result]) -> Inventory:
    datasets, snapshots = list(known.datasets), list(known.snapshots)
    unlisted, problems = set(known.unlisted), list[str]()
    for ask in more_commands(known):
        if not ask.name.startswith(_ORIGIN):
            continue
        wanted = ask.name.removeprefix(_ORIGIN)
        if not _came(
            answers, ask.name, f"{wanted}, which a clone comes from, is lacking", problems
        ):
            unlisted.add(wanted)
            continue
        listed = zfs_inspect.parse(answers[ask.name].text)
        found = [row for row in listed.datasets if row.name == wanted]
        if not found:
            raise ParseError("zfs list", "the dataset that was asked for is missing", wanted)
        # Listing one level shows the children too, but not their snapshots.
        datasets += found
        snapshots += [row for row in listed.snapshots if row.dataset == wanted]
    more = replace(
        known,
        datasets=tuple(datasets),
        snapshots=tuple(snapshots),
        unlisted=frozenset(unlisted),
    )
    return _mounted(more, answers, problems)


def _mounted(inventory: Inventory, answers: Mapping[str, Result], more: list[str]) -> Inventory:
    """The inventory with its mounts: the property where the table cannot be exact."""
    _needed(answers, "mounts")
    systems = {found.name: found for found in inventory.datasets if found.kind == "filesystem"}
    table = mount.parse_zfs(answers["mounts"].out, systems)
    mounts: dict[str, bytes] = {}
    problems = [*inventory.problems, *more]
    for name, found in systems.items():
        if not found.mounted:
            continue
        point = _point(table.points.get(name), found.mountpoint)
        if point is not None:
            mounts[name] = point
        else:
            problems.append(f"{name} is mounted, but it cannot be told for certain where.")
    hidden = table.hidden & mounts.keys()
    return replace(inventory, mounts=mounts, hidden=hidden, problems=tuple(problems))


def _point(table: bytes | None, prop: bytes | None) -> bytes | None:
    """Where a file system is mounted, by mount(8) and by its property.

    The table is right where the two differ (legacy, a property set with -u), but libxo, through
    which mount(8) prints, damages what is not ASCII in the C locale, and others escape blanks.
    """
    exact = table is not None and table.isascii() and not any(c in table for c in b"?\\")
    if not exact and prop is not None and prop.startswith(b"/"):
        return prop
    return table


def _needed(answers: Mapping[str, Result], name: str) -> None:
    answer = answers.get(name)
    if answer is None or answer.status != 0:
        reason = answer.errors.strip() if answer else "it was not asked"
        raise NotThere(
            f"What is there could not be listed: {reason or 'no reason was given'}",
            "Choose again from the list; it may have been destroyed or renamed meanwhile.",
        )


def _came(answers: Mapping[str, Result], name: str, lost: str, problems: list[str]) -> bool:
    answer = answers.get(name)
    if answer is not None and answer.status == 0:
        return True
    reason = (answer.errors.strip() or f"status {answer.status}") if answer else ""
    problems.append(f"{lost}: {reason}" if reason else f"{lost}.")
    return False
