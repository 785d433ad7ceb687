"""What was measured on the link: the script that does it, and the reading of its lines."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from importlib import resources

from zrwizard.freebsd import text
from zrwizard.freebsd.errors import ParseError

SCRIPT = resources.files(__package__).joinpath("measure.sh").read_text(encoding="utf-8")
"""POSIX sh for FreeBSD's base system: `sh measure.sh DIR ciphers|streams`, DIR as the mover's."""
SECONDS = 4 * (15 + 3)
"""How long it takes at most: four logins and measurements; about 7 where logins are quick."""

_TOOL = "measure.sh"


@dataclass(frozen=True, slots=True)
class Link:
    """What was measured: a round trip in seconds; bytes a second of one stream, of two together."""

    round_trip: float
    one: float
    two: float


def rows(output: str) -> dict[str, list[tuple[int, float]]]:
    """Return the number and the seconds of each line, by its first word.

    Raises ParseError for what the script does not print.
    """
    found: dict[str, list[tuple[int, float]]] = defaultdict(list)
    for line in text.lines(output):
        match line.split(" "):
            case [name, count, seconds]:
                row = text.whole(_TOOL, "what was counted", count), _seconds(seconds)
                found[name].append(row)
            case _:
                raise ParseError(_TOOL, "not a measurement", line)
    return found


def link(output: str) -> Link | None:
    """Return what `measure.sh DIR streams` has found; None where a part of it is missing.

    Raises ParseError for what the script does not print.
    """
    found = rows(output)
    if set(found) - {"trip", "one", "two"}:
        raise ParseError(_TOOL, "not a measurement of streams", output)
    match found.get("trip"), found.get("one"), found.get("two"):
        case [(trips, taken)], [single], [first, second] if trips:
            return Link(taken / trips, _rate(single), _rate(first) + _rate(second))
        case _:
            return None


def _rate(row: tuple[int, float]) -> float:
    return row[0] / row[1]


def _seconds(cell: str) -> float:
    whole, _, part = cell.partition(".")
    number = text.whole(_TOOL, "the seconds", whole)
    number += text.whole(_TOOL, "the seconds", part) / 10 ** len(part) if part else 0
    # dd(1) of busybox rounds a moment to nought.
    return max(number, 0.001)
