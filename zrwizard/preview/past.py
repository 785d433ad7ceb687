"""How datasets were called at an earlier moment, and which are gone: zpool history read backwards.

Where the command that took the snapshot stands in the history, its place there says what came
after it. Else the time decides: the history's is UTC like a snapshot's creation, but both are
whole seconds, so what happened in the very second of the snapshot counts as before it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from zrwizard.freebsd import tree
from zrwizard.freebsd.zfs_inspect import Snapshot
from zrwizard.freebsd.zpool_history import Event, What

# zfs logs a command once it is done, and the history's times are taken then.
_SLOW = 120


@dataclass(frozen=True, slots=True)
class Gone:
    """A dataset of the earlier moment that is not there: its name then, and what became of it.

    `destroyed` in seconds since 1970, with all below it if `whole`; None where the history only
    tells that it was renamed, to `now`.
    """

    was: str
    now: str
    destroyed: int | None
    whole: bool = False


@dataclass(frozen=True, slots=True)
class Past:
    """Names at an earlier moment.

    `was` tells those of datasets that are there, by their present names, where they differ; `gone`
    are datasets that are not.
    """

    was: dict[str, str]
    gone: tuple[Gone, ...]

    def name(self, dataset: str) -> str:
        """What a present dataset was called then."""
        return self.was.get(dataset, dataset)


def since(history: Sequence[Event], snapshot: Snapshot) -> tuple[Event, ...]:
    """The events of its pool after a snapshot was taken, oldest first."""
    pool = _pool(snapshot.dataset)
    events = [event for event in history if _pool(event.names[0]) == pool]
    # Its dataset may have been renamed since, so that the command shows a name of then.
    for same in (lambda name: name == snapshot.name, lambda name: _tag(name) == snapshot.tag):
        for at in range(len(events) - 1, -1, -1):
            event = events[at]
            if (
                event.what is What.SNAPSHOT
                and snapshot.creation <= event.when <= snapshot.creation + _SLOW
                and any(same(name) for name in event.names)
            ):
                return tuple(events[at + 1 :])
    return tuple(
        event
        for event in events
        if (event.txg > snapshot.createtxg if event.txg else event.when > snapshot.creation)
    )


def _pool(name: str) -> str:
    return name.partition("@")[0].partition("/")[0]


def _tag(name: str) -> str:
    return name.partition("@")[2]


def before(events: Iterable[Event], present: Iterable[str]) -> Past:
    """The names before `events` (oldest first) of the datasets `present` and of those gone."""
    names: dict[str, str] = {name: name for name in present}
    gone: dict[str, Gone] = {}
    for event in reversed(tuple(events)):
        match event.what:
            case What.RENAME:
                old, new = event.names
                if "@" not in old and "#" not in old:
                    _undo_rename(names, gone, old, new)
            case What.DESTROY:
                (name,) = event.names
                if "@" not in name and "#" not in name and name not in names:
                    gone[name] = Gone(name, name, event.when, event.recursive)
            case What.CREATE | What.CLONE:
                # Before that, the name was free, or another dataset's.
                gone.pop(event.names[-1], None)
                names.pop(event.names[-1], None)
            case What.RECEIVE | What.PROMOTE | What.ROLLBACK | What.SNAPSHOT:
                pass
    return Past(
        was={now: then for then, now in names.items() if now != then},
        gone=tuple(replace(found, was=then) for then, found in gone.items()),
    )


def _undo_rename(names: dict[str, str], gone: dict[str, Gone], old: str, new: str) -> None:
    moved = [name for name in names if tree.below(name, new)]
    lost = [name for name in gone if tree.below(name, new)]
    if new not in names and new not in gone:
        gone[new] = Gone(new, new, None)
        lost.append(new)
    now = {old + name[len(new) :]: names.pop(name) for name in moved}
    then = {old + name[len(new) :]: gone.pop(name) for name in lost}
    names.update(now)
    gone.update(then)
