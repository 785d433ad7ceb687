"""Sizes: as people type them, as gpart(8) takes them, as zfs prints them, as people read them."""

from __future__ import annotations

import re

import humanize

from .errors import ParseError

_POWERS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4, "p": 5, "e": 6}
_TYPED = re.compile(r"\s*([0-9]{1,20})(?:\.([0-9]{1,6}))?\s*([kmgtpe]?)(?:i?b)?\s*", re.I | re.A)
_GPART = re.compile(r"([0-9]{1,20})([kmgtpe]?)([bs]?)", re.I | re.A)
_ZFS = re.compile(r"([0-9]{1,20})(?:\.([0-9]{1,6}))?([KMGTPEZ]?)B?", re.A)


def _scaled(units: str, fraction: str | None, power: int) -> int:
    factor = 1 << 10 * power
    part = int(fraction) * factor // 10 ** len(fraction) if fraction else 0
    return int(units) * factor + part


def parse(text: str) -> int:
    """Bytes from what a person types: `2g`, `512 MiB`, `1.5T`, `2147483648`; factors of 1024.

    Raises ParseError. A fraction needs a unit.
    """
    found = _TYPED.fullmatch(text)
    if not found or (found[2] and not found[3]):
        raise ParseError("size", "not a size such as 512k, 260m, 2g or a number of bytes", text)
    return _scaled(found[1], found[2], _POWERS[found[3].lower()])


def parse_gpart(text: str, sectorsize: int) -> int:
    """Sectors from an argument of gpart's -s, -a or -b (gpart(8)).

    A bare number or the suffix `s` means sectors, `k m g t p e` and `b` bytes, as g_parse_lba
    reads them. Raises ParseError where the bytes are no whole number of sectors.
    """
    found = _GPART.fullmatch(text)
    if not found:
        raise ParseError("gpart", "not a size", text)
    number = int(found[1]) * (1 << 10 * _POWERS[found[2].lower()])
    unit = found[3].lower() or ("b" if found[2] else "s")
    if unit == "s":
        return number
    if number % sectorsize:
        raise ParseError("gpart", f"not a multiple of the sector size {sectorsize}", text)
    return number // sectorsize


def for_gpart(count: int) -> str:
    """`count` bytes as gpart(8) accepts them, exact and short: `512k`, `2g`, `1000b`."""
    if count < 0:
        raise ValueError("a size is not negative")
    for suffix, power in (("t", 4), ("g", 3), ("m", 2), ("k", 1)):
        if count and count % (1 << 10 * power) == 0:
            return f"{count >> 10 * power}{suffix}"
    return f"{count}b"


def parse_zfs(text: str) -> int:
    """Bytes from zfs's short numbers (`312B`, `46.0K`, `1.20G`): right to the digits printed.

    Raises ParseError.
    """
    found = _ZFS.fullmatch(text.strip())
    if not found:
        raise ParseError("zfs", "not a size as zfs prints it", text)
    return _scaled(found[1], found[2], 7 if found[3] == "Z" else _POWERS[found[3].lower()])


def human(count: int) -> str:
    """`count` bytes for people, in binary units: `4.0 GiB`, `512.0 KiB`, `40 Bytes`."""
    return str(humanize.naturalsize(count, binary=True))
