"""Frames: what the helpers on the target answer, parsed; damaged ones are simply not frames."""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass, field

from zrwizard.cksum import cksum

LONGEST = 2400
"""Bytes that a frame may have: small outputs come whole in one."""
PRIME, FACTOR = 2147483647, 435928517
"""Of an end's check, in which every number is multiplied on: two lost digits, one of a number and
one of the check, do not make up for each other."""
FRAME = re.compile(rb"\x1e([A-Z])([^\x1e\x1f]{1,%d})\x1f" % LONGEST)
_END = re.compile(rb"([0-9a-z]+):(\d{3}):(\d{3}):(\d+):(\d+):(\d+):(\d+):(\d+):\1")
_LINE = re.compile(rb"([oezd]):(\d+):(\d+):(\d+):([A-Za-z0-9+/]+={0,2})")
_CHUNK = re.compile(rb"([oezd]):(\d+):\d+:(\d+) (\d+)")
_WHOLE = re.compile(rb"([oe]):([A-Za-z0-9+/=\r\n]*)")
_LINE_OUT = re.compile(rb"([oe]):([ -~]*)")
_NOT_BASE64 = re.compile(rb"[^A-Za-z0-9+/=]+")


@dataclass(frozen=True, slots=True)
class Sum:
    """How many bytes something has, and their cksum(1)."""

    size: int = 0
    crc: int = 0

    def fits(self, data: bytes) -> bool:
        """Whether `data` is what the sum was taken of."""
        return len(data) == self.size and (not data or cksum(data) == self.crc)


@dataclass(frozen=True, slots=True)
class End:
    """A command's end: its id, its exit status, and the sums of both outputs."""

    id: str
    status: int
    out: Sum
    err: Sum


def end_check(*numbers: int) -> int:
    """Return the check that an end frame has of its numbers; never above 2**63 in sh on its way."""
    check = 0
    for number in numbers:
        check = (check + number) % PRIME * FACTOR % PRIME
    return check


def parse_end(body: bytes) -> End | None:
    """Return the end frame in `body`; None where anything in it disagrees."""
    match = _END.fullmatch(body)
    if not match:
        return None
    status, inverse, out, out_crc, err, err_crc, check = (int(match[n]) for n in range(2, 9))
    if status + inverse != 255:
        return None
    if end_check(status, out, out_crc, err, err_crc) != check:
        return None
    return End(match[1].decode(), status, Sum(out, out_crc), Sum(err, err_crc))


def checked(body: bytes) -> bytes:
    """Return what a frame says before its own checksum; nothing where that disagrees."""
    said, _, check = body.rpartition(b":")
    return said if check == b"%d %d" % (cksum(said), len(said)) else b""


def parse_whole(body: bytes) -> tuple[str, bytes] | None:
    """Return (file, its bytes) from the frame of a small output."""
    match = _WHOLE.fullmatch(body)
    data = decoded(match[2]) if match else None
    return (match[1].decode(), data) if match and data is not None else None


def decoded(text: bytes) -> bytes | None:
    """Return the bytes of base64 `text`, line ends or not; None where it is none."""
    try:
        return base64.b64decode(_NOT_BASE64.sub(b"", text), validate=True)
    except binascii.Error:
        return None


@dataclass(slots=True)
class Chunk:
    """One block of an output file on its way: lines by number, until the checksum agrees."""

    lines: dict[int, bytes] = field(default_factory=dict)
    claimed: tuple[int, int] | None = None

    def data(self) -> bytes | None:
        """Return the block's bytes once they are whole and their checksum agrees."""
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
    """What arrives of the output files of one command: small ones whole, others in lines."""

    chunks: dict[tuple[str, int], Chunk] = field(default_factory=dict)
    whole: dict[str, bytes] = field(default_factory=dict)

    def chunk(self, name: str, number: int) -> Chunk:
        """Return the block `number` of file `name`, made when it is new."""
        return self.chunks.setdefault((name, number), Chunk())

    def take(self, kind: bytes, body: bytes) -> None:
        """Add an A, B, D or C frame."""
        if kind == b"A" and (match := _LINE_OUT.fullmatch(body)):
            self.whole[match[1].decode()] = match[2]
        elif kind == b"B" and (found := parse_whole(body)):
            self.whole[found[0]] = found[1]
        elif kind == b"D" and (match := _LINE.fullmatch(body)):
            encoded = match[5]
            if len(encoded) == int(match[4]) and (data := decoded(encoded)) is not None:
                self.chunk(match[1].decode(), int(match[2])).lines[int(match[3])] = data
        elif kind == b"C" and (match := _CHUNK.fullmatch(body)):
            self.chunk(match[1].decode(), int(match[2])).claimed = (int(match[3]), int(match[4]))
