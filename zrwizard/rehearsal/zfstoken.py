"""Resume tokens: what `zfs receive -s` leaves, and how `zfs send -t` reads it (libzfs).

A token is `1-CHECKSUM-LENGTH-PAYLOAD`, all hexadecimal; the payload is deflated. On the real
machine it holds a packed nvlist, here the same names and numbers as JSON.
"""

from __future__ import annotations

import json
import re
import zlib
from dataclasses import asdict, dataclass

from zrwizard.rehearsal.errors import Fail

REFUSED = 255
"""The status of `zfs send -t` that cannot begin: libzfs returns -1."""
_TOKEN = re.compile(r"([0-9a-f]+)-([0-9a-f]+)-([0-9a-f]+)-(.*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Token:
    """Where a receive was interrupted. `bytes` had come of the snapshot `toname`."""

    toname: str
    toguid: int
    fromguid: int
    bytes: int
    object: int = 2
    offset: int = 0
    raw: bool = False

    def text(self) -> str:
        """The property `receive_resume_token`."""
        plain = json.dumps(asdict(self)).encode()
        packed = zlib.compress(plain)
        return f"1-{zlib.crc32(packed):x}-{len(plain):x}-{packed.hex()}"

    def shown(self) -> str:
        """What `zfs send -v -t` prints of it before anything else."""
        rows = [("object", self.object), ("offset", self.offset), ("bytes", self.bytes)]
        rows += [("fromguid", self.fromguid)] if self.fromguid else []
        rows += [("toguid", self.toguid)]
        numbers = "".join(f"\t{name} = {value:#x}\n" for name, value in rows)
        raw = "\trawok = 1\n" if self.raw else ""
        return (
            f"resume token contents:\nnvlist version: 0\n{numbers}\ttoname = {self.toname}\n{raw}"
        )


def read_token(text: str) -> Token:
    """The token that `text` is; `Fail` in libzfs's words where it is none."""
    match = _TOKEN.fullmatch(text)
    if match is None:
        raise corrupt("invalid format")
    version, checksum, length, payload = match.groups()
    if version != "1":
        raise corrupt(f"invalid version {int(version, 16)}")
    try:
        packed = bytes.fromhex(payload)
    except ValueError:
        raise corrupt("payload is not hex-encoded") from None
    if f"{zlib.crc32(packed):x}" != checksum:
        raise corrupt("incorrect checksum")
    try:
        plain = zlib.decompress(packed)
        if len(plain) != int(length, 16):
            raise corrupt("decompression failed")
        return Token(**json.loads(plain))
    except zlib.error:
        raise corrupt("decompression failed") from None
    except (ValueError, TypeError):
        raise corrupt("nvlist_unpack failed") from None


def corrupt(why: str) -> Fail:
    """A token that cannot be read."""
    return Fail(f"cannot resume send: resume token is corrupt ({why})\n", REFUSED)
