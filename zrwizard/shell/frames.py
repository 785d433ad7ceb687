"""Frames: what the helpers on the target answer, parsed; damaged ones are simply not frames."""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass, field

from zrwizard.cksum import cksum

FRAME = re.compile(rb"\x1e([A-Z])([^\x1e\x1f]{1,160})\x1f")
_END = re.compile(rb"([0-9a-z]+):(\d{3}):(\d{3}):(\d+):(\d+):(\d+):\1")
_LINE = re.compile(rb"([oez]):(\d+):(\d+):(\d+):([A-Za-z0-9+/]+={0,2})")
_CHUNK = re.compile(rb"([oez]):(\d+):(\d+) (\d+)")


@dataclass(frozen=True, slots=True)
class End:
    """A command's end: its id, exit status, and how many bytes each output has."""

    id: str
    status: int
    out: int
    err: int


def parse_end(body: bytes) -> End | None:
    """Return the end frame in `body`; None where anything in it disagrees."""
    match = _END.fullmatch(body)
    if not match:
        return None
    status, inverse, out, err, total = (int(match[n]) for n in range(2, 7))
    if status + inverse != 255 or out + err != total:
        return None
    return End(match[1].decode(), status, out, err)


@dataclass(slots=True)
class Chunk:
    """One chunk of an output file on its way: lines by number, until the checksum agrees."""

    lines: dict[int, bytes] = field(default_factory=dict)
    claimed: tuple[int, int] | None = None

    def data(self) -> bytes | None:
        """Return the chunk's bytes once they are whole and their checksum agrees."""
        if self.claimed is None:
            return None
        crc, size = self.claimed
        if set(self.lines) != set(range(1, len(self.lines) + 1)):
            return None
        data = b"".join(self.lines[n] for n in range(1, len(self.lines) + 1))
        return data if len(data) == size and cksum(data) == crc else None

    def stale(self) -> bool:
        """Whether as many bytes as claimed are here and yet disagree: one of them lies."""
        return (
            self.claimed is not None
            and sum(map(len, self.lines.values())) >= self.claimed[1]
            and self.data() is None
        )


@dataclass(slots=True)
class Gathering:
    """The chunks of the output files `o`, `e`, `z` of one command."""

    chunks: dict[tuple[str, int], Chunk] = field(default_factory=dict)

    def chunk(self, name: str, number: int) -> Chunk:
        """Return the chunk `number` of file `name`, made when it is new."""
        return self.chunks.setdefault((name, number), Chunk())

    def take(self, kind: bytes, body: bytes) -> None:
        """Add a D or C frame."""
        if kind == b"D" and (match := _LINE.fullmatch(body)):
            encoded = match[5]
            if len(encoded) == int(match[4]):
                try:
                    data = base64.b64decode(encoded, validate=True)
                except binascii.Error:
                    return
                self.chunk(match[1].decode(), int(match[2])).lines[int(match[3])] = data
        elif kind == b"C" and (match := _CHUNK.fullmatch(body)):
            self.chunk(match[1].decode(), int(match[2])).claimed = (int(match[3]), int(match[4]))
