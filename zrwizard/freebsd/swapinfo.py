"""swapinfo(8): which devices swap."""

from __future__ import annotations

import re
from dataclasses import dataclass

from . import sh, text
from .errors import ParseError

_ROW = re.compile(r"(\S+)\s+(\d+)\s+(\d+)\s+(-?\d+)\s+\S+", re.ASCII)


@dataclass(frozen=True, slots=True)
class Swap:
    """One swap device with its size and use in bytes."""

    device: str
    size: int
    used: int


def devices() -> str:
    """Command: the swap devices in blocks of 1 KiB."""
    return sh.command("swapinfo", "-k")


def parse(output: str) -> tuple[Swap, ...]:
    """The swap devices; none for a bare heading. Raises ParseError. Facts B1."""
    rows = text.lines(output)
    if not rows or not rows[0].startswith("Device"):
        raise ParseError("swapinfo", "no heading", output)
    found: list[Swap] = []
    for line in rows[1:]:
        row = _ROW.fullmatch(line.rstrip())
        if not row:
            raise ParseError("swapinfo", "not a swap device", line)
        if row[1] != "Total":
            size, used = (1024 * text.whole("swapinfo", "a size", row[n]) for n in (2, 3))
            found.append(Swap(row[1], size, used))
    return tuple(found)
