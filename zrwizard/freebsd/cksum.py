"""cksum(1): the POSIX checksum, computed here to be compared with the target's own."""

from __future__ import annotations

import re
from dataclasses import dataclass

from zrwizard.cksum import cksum

from . import text
from .errors import ParseError

_LARGEST = 0xFFFFFFFF
_ROW = re.compile(r"(\d{1,10}) (\d{1,20})(?: .*)?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Checksum:
    """The CRC and the number of bytes; its text is what cksum(1) prints for standard input."""

    crc: int
    length: int

    def __str__(self) -> str:
        return f"{self.crc} {self.length}"


def of(data: bytes) -> Checksum:
    """The POSIX checksum of `data`: the CRC over the bytes, then over their count."""
    return Checksum(cksum(data), len(data))


def parse(output: str) -> Checksum:
    """What cksum(1) printed for one input, with or without a file name. Raises ParseError."""
    found = _ROW.fullmatch(text.one_line("cksum", output))
    if not found or int(found[1]) > _LARGEST:
        raise ParseError("cksum", "not a checksum", output)
    return Checksum(int(found[1]), int(found[2]))
