"""The `config:` part of zpool status and zpool import: a tree of vdevs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from . import size
from .errors import ParseError

_STATES = "ONLINE|DEGRADED|FAULTED|OFFLINE|UNAVAIL|REMOVED|AVAIL|INUSE|SUSPENDED|SPLIT"
_ROW = re.compile(r"\t( *)(\S.*?) *")
_STATED = re.compile(
    rf"(?P<name>.+?) +(?P<state>{_STATES})"
    r"(?: +(?P<read>\d\S*) +(?P<write>\d\S*) +(?P<cksum>\d\S*))?(?: +(?P<note>.*))?"
)


@dataclass(frozen=True, slots=True)
class Vdev:
    """One row with its children. `note` is what follows the counters (`(resilvering)`, `was …`).

    `state` is None for a heading such as `logs`, `cache` or `spares`. The error counters are None
    where none are printed (zpool import), and rounded where zpool abbreviates them.
    """

    name: str
    state: str | None
    read: int | None = None
    write: int | None = None
    cksum: int | None = None
    note: str = ""
    children: tuple[Vdev, ...] = ()

    def leaves(self) -> Iterator[Vdev]:
        """The rows without children: devices and files, from top to bottom."""
        if not self.children:
            yield self
        for child in self.children:
            yield from child.leaves()


def parse_tree(tool: str, rows: list[str]) -> tuple[Vdev, ...]:
    """The pool's row and, beside it, headings such as `logs`, each with its children.

    `rows` are the lines between the blank ones after `config:`; the column heading is skipped.
    Raises ParseError.
    """
    flat: list[tuple[int, Vdev]] = []
    for line in rows:
        found = _ROW.fullmatch(line)
        if not found:
            raise ParseError(tool, "not a row of the pool's configuration", line)
        if found[2].split() == ["NAME", "STATE", "READ", "WRITE", "CKSUM"]:
            continue
        flat.append((len(found[1]), _vdev(tool, found[2])))
    return _nest(flat)


def _vdev(tool: str, row: str) -> Vdev:
    stated = _STATED.fullmatch(row)
    if not stated:
        return Vdev(row, None)
    return Vdev(
        name=stated["name"],
        state=stated["state"],
        read=_count(tool, stated["read"]),
        write=_count(tool, stated["write"]),
        cksum=_count(tool, stated["cksum"]),
        note=stated["note"] or "",
    )


def _count(tool: str, cell: str | None) -> int | None:
    if cell is None:
        return None
    try:
        return size.parse_zfs(cell)
    except ParseError:
        raise ParseError(tool, "not an error counter", cell) from None


def _nest(flat: list[tuple[int, Vdev]]) -> tuple[Vdev, ...]:
    # Rows are closed from the bottom up, so that each meets its children complete; no recursion,
    # because indentation from a broken terminal may be of any depth.
    waiting: list[tuple[int, Vdev]] = []
    for depth, row in reversed(flat):
        children: list[Vdev] = []
        while waiting and waiting[-1][0] > depth:
            children.append(waiting.pop()[1])
        waiting.append((depth, replace(row, children=tuple(children))))
    return tuple(row for _, row in reversed(waiting))
