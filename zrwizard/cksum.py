"""cksum(1)'s CRC, so that both ends of a console can check what passed between them."""

from __future__ import annotations

import zlib

_ALL = 0xFFFFFFFF
_MIRRORED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


class Cksum:
    """The CRC of a stream that is fed piece by piece (POSIX cksum(1), 32 bits).

    POSIX shifts bits the other way round than zlib does, with the same polynomial: the CRC of
    the mirrored bytes is the mirrored CRC, so that zlib can do the work.
    """

    __slots__ = ("_crc", "size")

    def __init__(self) -> None:
        self._crc = _ALL
        self.size = 0

    def feed(self, data: bytes) -> None:
        """Take the next bytes."""
        self._crc = zlib.crc32(data.translate(_MIRRORED), self._crc)
        self.size += len(data)

    def value(self) -> int:
        """Return the number that `cksum` prints first for everything that was fed."""
        length = self.size.to_bytes((self.size.bit_length() + 7) // 8, "little")
        crc = zlib.crc32(length.translate(_MIRRORED), self._crc) ^ _ALL
        return int(f"{crc:032b}"[::-1], 2) ^ _ALL


def cksum(data: bytes) -> int:
    """Return the number that `cksum` prints first for `data`."""
    whole = Cksum()
    whole.feed(data)
    return whole.value()
