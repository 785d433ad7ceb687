"""What the played mover reads: its list, its settings, and what both sides' listings say."""

from __future__ import annotations

import shlex
from dataclasses import dataclass

CHANGED, PRUNED, UNFIT, FULL, REFUSED = 10, 11, 12, 13, 14
UNREACHABLE, HOST_KEY, LOGIN, UNUSABLE = 15, 16, 17, 19


@dataclass(frozen=True, slots=True)
class Row:
    """A dataset of the list."""

    source: str
    target: str
    origin: str
    points: tuple[str, ...]
    every: bool
    raw: bool
    tree: bool
    guid: str
    size: int


@dataclass(frozen=True, slots=True)
class Next:
    """What a dataset needs: nothing more, to be cleared away (a tree cannot be resumed), the rest
    of a stream, or the words of a new one."""

    done: bool = False
    clear: bool = False
    token: str = ""
    words: tuple[str, ...] = ()


class Leave(Exception):
    """The mover ends: exit status and its last sentence."""

    def __init__(self, status: int, words: str) -> None:
        super().__init__(words)
        self.status = status


def settings(text: str) -> dict[str, str]:
    """The assignments of the file `settings`."""
    return {k: v for k, _, v in (word.partition("=") for word in shlex.split(text))}


def read_row(row: list[str]) -> Row:
    """A line `stream` of the file `list`; ValueError where it is none."""
    source, target, origin, points, every, raw, tree, guid, size = row[1:]
    return Row(
        source,
        target,
        "" if origin == "-" else origin,
        tuple(points.split(",")),
        every == "every",
        raw == "raw",
        tree == "tree",
        guid,
        int(size),
    )


def guids(rows: list[list[str]]) -> list[str]:
    """Of the snapshots of a listing, in its order."""
    return [row[1] for row in rows if "@" in row[0]]


def decide(row: Row, here: list[list[str]], there: list[list[str]]) -> Next:
    """What a dataset needs, by the listings of both sides; `Leave` where nothing helps."""
    last = row.points[-1]
    own = [r for r in there if r[0].startswith(f"{row.source}@")]
    tags = {r[0].rpartition("@")[2]: r[1] for r in own}
    if tags.get(last) != row.guid:
        changed = last in tags or row.guid in tags.values()
        raise Leave(CHANGED if changed else PRUNED, f"{row.source}@{last} is not what was planned.")
    if row.tree:
        wanted = [r[1] for r in there if r[0].endswith(f"@{last}")]
        done = set(wanted) <= set(guids(here))
        if here and not done and "/" in row.target:
            return Next(clear=True)
        return Next(done=True) if done else Next(words=(f"{row.source}@{last}",))
    token = next((r[2] for r in here if r[0] == row.target), "-")
    if token != "-":  # noqa: S105 - a resume token, no secret
        return Next(token=token)
    order = list(tags)
    if not (there_already := guids(here)):
        if here and "/" in row.target:
            raise Leave(UNFIT, f"{row.target} exists and has no snapshot.")
        first = row.points[0]
        if first not in tags:
            raise Leave(PRUNED, f"{row.source}@{first} is gone.")
        clone = ("-i", row.origin) if row.origin else ()
        return Next(words=(*clone, f"{row.source}@{first}"))
    base = next((tag for tag, guid in tags.items() if guid == there_already[-1]), None)
    if base is None or order.index(base) > order.index(last):
        raise Leave(UNFIT, f"{row.target} has a newest snapshot that does not fit.")
    to = next(t for t in row.points if t in tags and order.index(t) > order.index(base))
    return Next(words=("-I" if row.every else "-i", f"@{base}", f"{row.source}@{to}"))
