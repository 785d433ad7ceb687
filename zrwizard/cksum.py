"""cksum(1)'s CRC, so that both ends of a console can check what passed between them."""

from __future__ import annotations

_POLYNOMIAL = 0x04C11DB7


def _table() -> tuple[int, ...]:
    rows = []
    for byte in range(256):
        crc = byte << 24
        for _ in range(8):
            crc = (crc << 1) ^ (_POLYNOMIAL if crc & 0x80000000 else 0)
        rows.append(crc & 0xFFFFFFFF)
    return tuple(rows)


_TABLE = _table()


def cksum(data: bytes) -> int:
    """Return the number that `cksum` prints first for `data` (POSIX cksum(1), 32 bits)."""
    crc = 0
    for byte in data:
        crc = ((crc << 8) & 0xFFFFFFFF) ^ _TABLE[(crc >> 24) ^ byte]
    length = len(data)
    while length:
        crc = ((crc << 8) & 0xFFFFFFFF) ^ _TABLE[(crc >> 24) ^ (length & 0xFF)]
        length >>= 8
    return crc ^ 0xFFFFFFFF
