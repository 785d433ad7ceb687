"""geom(8): the disks with size, model and serial number."""

from __future__ import annotations

import re
from dataclasses import dataclass

from . import sh, text
from .errors import ParseError

TOOL = "geom disk list"
_NAME = re.compile(r"\d+\. Name: (\S.*)")
_PAIR = re.compile(r"\s+([A-Za-z]+):(?: (.*))?")
_MODE = re.compile(r"r(\d{1,9})w(\d{1,9})e(\d{1,9})", re.ASCII)
_SIZE = re.compile(r"(\d+)(?: \(.*\))?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Mode:
    """How often a provider is open for reading, writing and exclusively."""

    read: int
    write: int
    exclusive: int

    @property
    def open(self) -> bool:
        """Whether anybody has it open: mounted, in a pool, swap, a geli layer."""
        return bool(self.read or self.write or self.exclusive)


@dataclass(frozen=True, slots=True)
class Disk:
    """One disk. Sizes in bytes; `descr` is the model, `ident` the serial number, None if absent.

    `rotationrate` is `unknown`, `0` (SSD) or revolutions a minute, as printed.
    """

    name: str
    mediasize: int
    sectorsize: int
    stripesize: int = 0
    stripeoffset: int = 0
    descr: str | None = None
    ident: str | None = None
    mode: Mode = Mode(0, 0, 0)
    rotationrate: str = "unknown"


def disks() -> str:
    """Command: every disk in long form."""
    return sh.command("geom", "disk", "list")


def parse_disks(output: str) -> tuple[Disk, ...]:
    """The disks in the order printed. Keys come in any order (facts B1). Raises ParseError."""
    found: list[Disk] = []
    pairs: dict[str, str] | None = None
    name = ""
    for line in text.lines(output):
        start = _NAME.match(line)
        if line.startswith("Geom name:"):
            if pairs is not None:
                found.append(_disk(name, pairs))
            pairs = None
        elif start:
            if pairs is not None:
                found.append(_disk(name, pairs))
            name, pairs = start[1].strip(), {}
        elif pairs is not None:
            pair = _PAIR.fullmatch(line)
            if pair:
                pairs[pair[1].lower()] = (pair[2] or "").strip()
        elif line.strip() != "Providers:":
            raise ParseError(TOOL, "a line stands outside of a provider", line)
    if pairs is not None:
        found.append(_disk(name, pairs))
    return tuple(found)


def _disk(name: str, pairs: dict[str, str]) -> Disk:
    return Disk(
        name=name,
        mediasize=_size(name, pairs, "mediasize"),
        sectorsize=_size(name, pairs, "sectorsize"),
        stripesize=_size(name, pairs, "stripesize", "0"),
        stripeoffset=_size(name, pairs, "stripeoffset", "0"),
        descr=_word(pairs, "descr"),
        ident=_word(pairs, "ident"),
        mode=_mode(name, pairs.get("mode", "")),
        rotationrate=pairs.get("rotationrate") or "unknown",
    )


def _size(name: str, pairs: dict[str, str], key: str, default: str = "") -> int:
    found = _SIZE.fullmatch(pairs.get(key, default))
    if not found:
        raise ParseError(TOOL, f"{name} has no {key}", pairs.get(key, ""))
    return text.whole(TOOL, key, found[1])


def _word(pairs: dict[str, str], key: str) -> str | None:
    value = pairs.get(key, "")
    return None if value in ("", "(null)") else value


def _mode(name: str, value: str) -> Mode:
    found = _MODE.fullmatch(value)
    if not found:
        raise ParseError(TOOL, f"{name} has no mode", value)
    return Mode(int(found[1]), int(found[2]), int(found[3]))
