"""cksum(1): the POSIX checksum, computed here to be compared with the target's own."""

from __future__ import annotations

import re
from dataclasses import dataclass

from . import text
from .errors import ParseError

_POLYNOMIAL = 0x04C11DB7
_TOP = 0x80000000
_MASK = 0xFFFFFFFF
_ROW = re.compile(r"(\d{1,10}) (\d{1,20})(?: .*)?", re.ASCII)


def _table() -> tuple[int, ...]:
    rows: list[int] = []
    for byte in range(256):
        crc = byte << 24
        for _ in range(8):
            crc = ((crc << 1) ^ _POLYNOMIAL if crc & _TOP else crc << 1) & _MASK
        rows.append(crc)
    return tuple(rows)


_TABLE = _table()


@dataclass(frozen=True, slots=True)
class Checksum:
    """The CRC and the number of bytes; its text is what cksum(1) prints for standard input."""

    crc: int
    length: int

    def __str__(self) -> str:
        return f"{self.crc} {self.length}"


def of(data: bytes) -> Checksum:
    """The POSIX checksum of `data`: the CRC over the bytes, then over their count."""
    crc = 0
    length = len(data)
    for byte in data:
        crc = ((crc << 8) & _MASK) ^ _TABLE[(crc >> 24) ^ byte]
    while length:
        crc = ((crc << 8) & _MASK) ^ _TABLE[(crc >> 24) ^ (length & 0xFF)]
        length >>= 8
    return Checksum(crc ^ _MASK, len(data))


def parse(output: str) -> Checksum:
    """What cksum(1) printed for one input, with or without a file name. Raises ParseError."""
    found = _ROW.fullmatch(text.one_line("cksum", output))
    if not found or int(found[1]) > _MASK:
        raise ParseError("cksum", "not a checksum", output)
    return Checksum(int(found[1]), int(found[2]))
