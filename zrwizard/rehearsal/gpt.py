"""GPT arithmetic as FreeBSD does it (facts/freebsd.md C1; sys/geom/part/g_part_gpt.c)."""

from __future__ import annotations

import random

from zrwizard.rehearsal.errors import Fail
from zrwizard.rehearsal.hardware import Disk, Gpt, Partition, make_uuid

RAW_TYPES = {
    "freebsd-boot": "83bd6b9d-7f41-11dc-be0b-001560b84f0f",
    "efi": "c12a7328-f81f-11d2-ba4b-00a0c93ec93b",
    "freebsd-swap": "516e7cb5-6ecf-11d6-8ff8-00022d09712b",
    "freebsd-zfs": "516e7cba-6ecf-11d6-8ff8-00022d09712b",
    "freebsd-ufs": "516e7cb6-6ecf-11d6-8ff8-00022d09712b",
    "freebsd": "516e7cb4-6ecf-11d6-8ff8-00022d09712b",
    "freebsd-vinum": "516e7cb8-6ecf-11d6-8ff8-00022d09712b",
    "freebsd-nandfs": "74ba7dd9-a689-11e1-bd04-00e081286acf",
    "bios-boot": "21686148-6449-6e6f-744e-656564454649",
    "ms-basic-data": "ebd0a0a2-b9e5-4433-87c0-68b6b72699c7",
    "ms-reserved": "e3c9e316-0b5c-4db8-817d-f92df00215ae",
    "linux-data": "0fc63daf-8483-4772-8e79-3d69d8477de4",
    "linux-swap": "0657fd6d-a4ab-43c4-84e5-0933c84b4f4f",
    "apple-zfs": "6a898cc3-1dd2-11b2-99a6-080020736631",
    "mbr": "024dee41-33e7-11d3-9d69-0008c781f39f",
}


def up(value: int, step: int) -> int:
    """The next multiple of `step` at or above `value`."""
    return -(-value // step) * step


def down(value: int, step: int) -> int:
    """The last multiple of `step` at or below `value`."""
    return value // step * step


def new_table(disk: Disk) -> Gpt:
    """An empty table: both ends of the usable range on 4 KiB boundaries."""
    step = max(1, 4096 // disk.sector)
    entries = 128 * 128 // disk.sector
    first = up(2 + entries, step)
    last = down(disk.sectors - 1 - entries, step) - 1
    return Gpt(first, last)


def gaps(table: Gpt) -> list[tuple[int, int]]:
    """Free ranges (first and last sector), in order."""
    found, at = [], table.first
    for part in sorted(table.parts.values(), key=lambda p: p.start):
        if at < part.start:
            found.append((at, part.start - 1))
        at = part.end + 1
    if at <= table.last:
        found.append((at, table.last))
    return found


def autofill(table: Gpt, start: int | None, size: int | None, align: int) -> tuple[int, int]:
    """Start and count for a new entry: best fit for a given size, else the largest gap."""
    if size is not None and align > 1:
        size = down(size, align)
    best: tuple[int, int, int] | None = None
    for low, high in gaps(table):
        begin = up(low if start is None else start, align)
        if start is not None and not low <= begin <= high:
            continue
        room = down(high + 1, align) - begin
        if room <= 0 or (size is not None and (room < size or size == 0)):
            continue
        grade = room - size if size is not None else -room
        if best is None or grade < best[0]:
            best = (grade, begin, room if size is None else size)
    if best is None:
        raise Fail("gpart: autofill: No space left on device\n")
    return best[1], best[2]


def place(
    disk: Disk,
    table: Gpt,
    where: tuple[int, int],
    *,
    kind: str,
    index: int | None,
    label: str,
    rng: random.Random,
) -> Partition:
    """Enter a partition at `where` (start, count), with the refusals of the kernel's `add`."""
    start, count = where
    if kind not in RAW_TYPES and not kind.startswith("!"):
        raise Fail(f"gpart: type '{kind}': Invalid argument\n")
    if start < table.first or start > table.last:
        raise Fail(f"gpart: start '{start}': No space left on device\n")
    if start + count - 1 > table.last:
        raise Fail(f"gpart: size '{count}': No space left on device\n")
    if index is not None and index in table.parts:
        raise Fail(f"gpart: index '{index}': File exists\n")
    if index is None:
        index = next(i for i in range(1, 129) if i not in table.parts)
    part = Partition(index, start, count, kind, label, make_uuid(rng))
    table.parts[index] = part
    disk.writes += 1
    return part
