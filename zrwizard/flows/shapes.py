"""How a pool lies over its disks: mirrors, raidz, stripes. Arithmetic and words of zpool(8)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import assert_never

_LABELS = 5 * 1024 * 1024
# zfs counts the room of raidz in blocks of 128 KiB, which are 32 sectors of 4 KiB.
_BLOCK = 32


class Shape(StrEnum):
    """The arrangements that a restore can make."""

    SINGLE = "single"
    MIRROR = "mirror"
    MIRRORS = "mirrors"
    RAIDZ1 = "raidz1"
    RAIDZ2 = "raidz2"
    RAIDZ3 = "raidz3"
    STRIPE = "stripe"


_PARITY = {Shape.RAIDZ1: 1, Shape.RAIDZ2: 2, Shape.RAIDZ3: 3}
_WORDS = {1: "one disk", 2: "any two disks", 3: "any three disks"}


@dataclass(frozen=True, slots=True)
class Group:
    """A top-level vdev: its `kind` (empty for a bare disk) and which disks, by their number."""

    kind: str
    disks: tuple[int, ...]


def why_not(shape: Shape, count: int) -> str | None:
    """Return why `count` disks cannot be arranged so, None where they can."""
    match shape:
        case Shape.SINGLE:
            return None if count == 1 else "it takes one disk"
        case Shape.MIRROR:
            return None if 2 <= count <= 4 else "a mirror takes two to four disks"
        case Shape.MIRRORS:
            even = count >= 4 and count % 2 == 0
            return None if even else "mirrors of two take an even number of disks, four at least"
        case Shape.RAIDZ1 | Shape.RAIDZ2 | Shape.RAIDZ3:
            least = _PARITY[shape] + 2
            return None if count >= least else f"{shape} takes {least} disks at least"
        case Shape.STRIPE:
            return None if count >= 2 else "a stripe takes two disks at least"
        case _:
            assert_never(shape)


def groups(shape: Shape, count: int) -> tuple[Group, ...]:
    """Return the top-level vdevs over disks 0 to `count` - 1."""
    everyone = tuple(range(count))
    match shape:
        case Shape.SINGLE | Shape.STRIPE:
            return tuple(Group("", (number,)) for number in everyone)
        case Shape.MIRRORS:
            return tuple(Group("mirror", (first, first + 1)) for first in everyone[::2])
        case Shape.MIRROR | Shape.RAIDZ1 | Shape.RAIDZ2 | Shape.RAIDZ3:
            return (Group(str(shape), everyone),)
        case _:
            assert_never(shape)


def vdev_words(shape: Shape, devices: Sequence[str], spares: Sequence[str] = ()) -> tuple[str, ...]:
    """Return the vdev specification of `zpool create`."""
    words: list[str] = []
    for group in groups(shape, len(devices)):
        words += [group.kind] if group.kind else []
        words += [devices[number] for number in group.disks]
    return (*words, *(["spare", *spares] if spares else []))


def status_rows(shape: Shape, count: int, spares: int) -> tuple[str | int, ...]:
    """Return the rows of `zpool status` below the pool's own: a name, or a disk by its number.

    Spares count on behind the other disks, below their heading.
    """
    rows: list[str | int] = []
    for number, group in enumerate(groups(shape, count)):
        rows += [f"{group.kind}-{number}"] if group.kind else []
        rows += group.disks
    return (*rows, *(["spares", *range(count, count + spares)] if spares else []))


def room(shape: Shape, count: int, each: int) -> int:
    """Return the bytes for datasets where each of `count` disks gives a partition of `each` bytes.

    ZFS keeps labels on each, and 1/32 of the whole; raidz parity is counted as zfs does, for
    blocks of 128 KiB.
    """
    usable = max(0, each - _LABELS)
    match shape:
        case Shape.SINGLE | Shape.MIRROR:
            whole = usable
        case Shape.MIRRORS:
            whole = usable * (count // 2)
        case Shape.STRIPE:
            whole = usable * count
        case Shape.RAIDZ1 | Shape.RAIDZ2 | Shape.RAIDZ3:
            parity = _PARITY[shape]
            sectors = _BLOCK + parity * -(-_BLOCK // (count - parity))
            sectors = -(-sectors // (parity + 1)) * (parity + 1)
            whole = usable * count * _BLOCK // sectors
        case _:
            assert_never(shape)
    return whole - whole // 32


def survives(shape: Shape, count: int) -> str:
    """Return the loss that the pool survives, for people."""
    match shape:
        case Shape.SINGLE | Shape.STRIPE:
            return "none"
        case Shape.MIRROR:
            return "one disk" if count == 2 else f"all but one of {count}"
        case Shape.MIRRORS:
            return "one disk of each two"
        case Shape.RAIDZ1 | Shape.RAIDZ2 | Shape.RAIDZ3:
            return _WORDS[_PARITY[shape]]
        case _:
            assert_never(shape)
