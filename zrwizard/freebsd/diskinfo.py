"""diskinfo(8): one disk looked at again, right before something is written to it."""

from __future__ import annotations

from dataclasses import dataclass

from . import sh, text
from .errors import ParseError

TOOL = "diskinfo"


@dataclass(frozen=True, slots=True)
class DiskInfo:
    """Sizes in bytes, `sectors` in sectors of `sectorsize`."""

    name: str
    sectorsize: int
    mediasize: int
    sectors: int
    stripesize: int
    stripeoffset: int


def info(disk: str) -> str:
    """Command: the sizes of one disk on one line."""
    return sh.command("diskinfo", disk)


def ident(disk: str) -> str:
    """Command: the serial number of one disk; an empty line where it has none."""
    return sh.command("diskinfo", "-s", disk)


def parse(output: str) -> DiskInfo:
    """The first six tab separated columns; a geometry may follow. Raises ParseError. Facts B1."""
    row = text.one_line(TOOL, output).split("\t")
    if len(row) < 6 or not row[0]:
        raise ParseError(TOOL, "six columns were expected", output)
    keys = ("sector size", "media size", "sectors", "stripe size", "stripe offset")
    numbers = [text.whole(TOOL, key, cell) for key, cell in zip(keys, row[1:6], strict=True)]
    return DiskInfo(row[0], *numbers)


def parse_ident(output: str) -> str | None:
    """The serial number that `diskinfo -s` printed, None where the disk has none."""
    found = text.lines(output)
    if len(found) > 1:
        raise ParseError(TOOL, "one serial number was expected", output)
    return found[0].strip() if found else None
