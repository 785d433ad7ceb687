"""Small helpers that the parsers share: lines, cells and whole numbers."""

from __future__ import annotations

import re

from .errors import ParseError

_WHOLE = re.compile(r"[0-9]{1,20}", re.ASCII)


def lines(text: str) -> list[str]:
    """The lines of `text` without their ends and without empty ones.

    Only LF ends a line (a CR before it is dropped): names may hold what `splitlines` breaks at.
    """
    return [line.rstrip("\r") for line in text.split("\n") if line.strip()]


def whole(tool: str, what: str, cell: str) -> int:
    """`cell` as a whole number that is not negative; `ParseError` names `what` otherwise."""
    if not _WHOLE.fullmatch(cell):
        raise ParseError(tool, f"{what} is no whole number", cell)
    return int(cell)


def cells(tool: str, line: str, count: int) -> list[str]:
    """Exactly `count` cells of a tab separated `line` (the -H form of zfs and zpool)."""
    found = line.split("\t")
    if len(found) != count:
        raise ParseError(tool, f"a row has {len(found)} columns instead of {count}", line)
    return found


def absent(cell: str) -> str | None:
    """None for the dash that zfs(8) and zpool(8) print where a property does not apply."""
    return None if cell == "-" else cell


def one_line(tool: str, text: str) -> str:
    """The only line of `text`, stripped; `ParseError` where there is none or more than one."""
    found = lines(text)
    if len(found) != 1:
        raise ParseError(tool, f"one line was expected, {len(found)} came", text)
    return found[0].strip()
