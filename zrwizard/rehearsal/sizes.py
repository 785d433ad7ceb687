"""How the simulated tools write and read sizes (humanize_number(3), zfs_nicenum, gpart sizes)."""

from __future__ import annotations

import math
import re

UNITS = "BKMGTPE"


def words(text: str) -> list[str]:
    """The words of a long literal list, so that it stays readable."""
    return text.split()


def geom_size(size: int) -> str:
    """At most four characters, binary, one decimal below ten: `512K`, `2.0G`, `1.0M`."""
    if size < 1000:
        return f"{size}B"
    value, unit = float(size), 0
    while value >= 999.5:
        value /= 1024
        unit += 1
    if value < 9.95:
        return f"{value:.1f}{UNITS[unit]}"
    return f"{value:.0f}{UNITS[unit]}"


def nice(size: int, zero: str = "") -> str:
    """zfs_nicenum: five characters at most, exact multiples without decimals."""
    if size < 1024:
        return f"{size}{zero}"
    unit = min(int(math.log2(size)) // 10, len(UNITS) - 1)
    while size >= 1024 ** (unit + 1):
        unit += 1
    scale = 1024**unit
    if size % scale == 0:
        return f"{size // scale}{UNITS[unit]}"
    for digits in (2, 1, 0):
        text = f"{size / scale:.{digits}f}{UNITS[unit]}"
        if len(text) <= 5:
            return text
    return f"{size // scale}{UNITS[unit]}"


def nice_bytes(size: int) -> str:
    """zfs_nicebytes: as `nice`, with a B below one kilobyte."""
    return nice(size, "B")


def parse_sectors(text: str, sector: int) -> int | None:
    """A gpart(8) size or alignment in sectors; None where gpart says `Invalid argument`."""
    match = re.fullmatch(r"(\d+)([kmgtpe])?([bs])?", text.strip(), re.IGNORECASE)
    if match is None:
        return None
    number, factor, kind = int(match[1]), match[2], match[3]
    if factor:
        number *= 1024 ** ("kmgtpe".index(factor.lower()) + 1)
    if (kind or "").lower() == "s" or not (factor or kind):
        return number
    return None if number % sector else number // sector


def parse_bytes(text: str) -> int | None:
    """A dd(1) or zpool size in bytes: `64k`, `1m`, `2G`; None where it is none."""
    match = re.fullmatch(r"(\d+)([bkmgtpe])?[bB]?", text.strip(), re.IGNORECASE)
    if match is None:
        return None
    letter = (match[2] or "").lower()
    return int(match[1]) * (
        1024 ** ("kmgtpe".index(letter) + 1) if letter in "kmgtpe" and letter else 1
    )
