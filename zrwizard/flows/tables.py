"""The partition table that each disk of the pool gets: alike on all of them, labels numbered."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

from zrwizard.facts import DiskFacts, TargetFacts
from zrwizard.flows.choices import Place
from zrwizard.flows.disk_steps import ALIGN, ALIGN_BOOT
from zrwizard.freebsd import layout
from zrwizard.freebsd.layout import Layout, LayoutProblem, Request
from zrwizard.plan import Identity

BOOT_BYTES = 512 * 1024
EFI_BYTES = 260 * 1024 * 1024
# zpool(8) refuses devices below 64 MiB; a pool that small would hold next to nothing.
SMALLEST_POOL = 128 * 1024 * 1024
_WORDS = ("gptboot", "efiboot", "swap", "zfs")


class Firmware(StrEnum):
    """By which firmware the disks can be started."""

    BOTH = "both"
    BIOS = "bios"
    UEFI = "uefi"


def lay_out(
    disk: DiskFacts,
    swap: int,
    firmware: Firmware = Firmware.BOTH,
    suffix: int = 0,
    pool: int | None = None,
) -> Layout | LayoutProblem:
    """Return the table with `swap` bytes of swap and `pool` bytes for the pool, None for the rest.

    `suffix` is the number in the labels.
    """
    return layout.lay_out(
        disk.disk.mediasize,
        disk.disk.sectorsize,
        _requests(swap, firmware, suffix, pool),
        stripeoffset=disk.disk.stripeoffset,
    )


def _requests(swap: int, firmware: Firmware, suffix: int, pool: int | None) -> tuple[Request, ...]:
    wanted: list[tuple[str, str, int | None]] = [("freebsd-zfs", "zfs", pool)]
    if swap:
        wanted.insert(0, ("freebsd-swap", "swap", swap))
    if firmware is not Firmware.BIOS:
        wanted.insert(0, ("efi", "efiboot", EFI_BYTES))
    if firmware is not Firmware.UEFI:
        wanted.insert(0, ("freebsd-boot", "gptboot", BOOT_BYTES))
    return tuple(
        Request(
            index,
            kind,
            f"{label}{suffix}",
            count,
            ALIGN_BOOT if kind == "freebsd-boot" else ALIGN,
            SMALLEST_POOL if kind == "freebsd-zfs" else 0,
        )
        for index, (kind, label, count) in enumerate(wanted, 1)
    )


def pool_bytes(planned: Layout) -> int:
    """Return the size in bytes of the partition for the pool, which is the last one."""
    return planned.bytes_of(max(entry.index for entry in planned.table.entries))


def smallest(
    disks: Sequence[DiskFacts], swap: int, firmware: Firmware = Firmware.BOTH
) -> int | LayoutProblem:
    """Return the bytes that every one of `disks` can give the pool: what the smallest one can."""
    found = []
    for disk in disks:
        planned = lay_out(disk, swap, firmware)
        if isinstance(planned, LayoutProblem):
            return planned
        found.append(pool_bytes(planned))
    return min(found)


def places(
    target: TargetFacts,
    disks: Sequence[tuple[DiskFacts, Identity]],
    swap: int,
    firmware: Firmware,
) -> tuple[Place, ...] | LayoutProblem:
    """Return each disk with its table; the part for the pool is equally large on all of them."""
    each = smallest([disk for disk, _ in disks], swap, firmware)
    if isinstance(each, LayoutProblem):
        return each
    made = []
    numbers = _suffixes(target, [disk for disk, _ in disks])
    for (disk, identity), number in zip(disks, numbers, strict=True):
        planned = lay_out(disk, swap, firmware, number)
        pool = None
        if isinstance(planned, Layout) and pool_bytes(planned) != each:
            pool = each
            planned = lay_out(disk, swap, firmware, number, pool)
        if isinstance(planned, LayoutProblem):
            return planned
        sizes = tuple(request.bytes for request in _requests(swap, firmware, number, pool))
        made.append(Place(disk, identity, planned, sizes))
    return tuple(made)


def _suffixes(target: TargetFacts, disks: Sequence[DiskFacts]) -> list[int]:
    """The first numbers whose labels no other disk has: /dev/gpt/… must mean these disks."""
    ours = {disk.name for disk in disks}
    taken = {
        entry.label
        for other in target.disks
        if other.name not in ours and other.table is not None
        for entry in other.table.entries
    }
    numbers: list[int] = []
    number = 0
    while len(numbers) < len(disks):
        if not any(f"{word}{number}" in taken for word in _WORDS):
            numbers.append(number)
        number += 1
    return numbers
