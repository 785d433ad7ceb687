"""mount(8), df(1), newfs_msdos(8): what is mounted, how much room is left, the EFI partition."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass

from . import sh, text
from .errors import ParseError

_MOUNT = re.compile(r"(\S.*?)\s+(/.*?)\s+(\S+)\s+(\S+)\s+\d+\s+\d+\s*")
_ANY_ROW = re.compile(rb"(\S.*?)[ \t]+([a-z0-9_.]+)\t\S+[ \t]+[0-9]+ [0-9]+")
_POINT = re.compile(rb"[ \t]+(/.*)")
_ROOM = re.compile(r"(\S.*?)\s+(\d+)\s+(\d+)\s+(-?\d+)\s+(?:\d+%|-)\s+(/.*)", re.ASCII)


@dataclass(frozen=True, slots=True)
class Mount:
    """One mounted file system: its device, where it is, its type and options."""

    device: str
    point: str
    type: str
    options: tuple[str, ...]

    @property
    def read_only(self) -> bool:
        """Whether it cannot be written to."""
        return "ro" in self.options


@dataclass(frozen=True, slots=True)
class Room:
    """Bytes of one file system; `available` can be negative on UFS."""

    device: str
    total: int
    used: int
    available: int
    point: str


@dataclass(frozen=True, slots=True)
class ZfsMounts:
    """Where datasets are mounted, and which of them lie hidden below a later mount."""

    points: dict[str, bytes]
    hidden: frozenset[str]


# --- commands ---------------------------------------------------------------------------------


def mounted() -> str:
    """Command: what is mounted, in the form of fstab(5)."""
    return sh.command("mount", "-p")


def room(path: str) -> str:
    """Command: the room on the file system of `path`."""
    return sh.command("df", "-k", path)


def newfs_efi(device: str) -> str:
    """Command: an empty FAT32 file system for EFI system partitions (facts C2)."""
    return sh.command("newfs_msdos", "-F", "32", "-c", "1", "-L", "EFISYS", device)


def mount_efi(device: str, point: str) -> str:
    """Command: mount an EFI system partition."""
    return sh.command("mount", "-t", "msdosfs", device, point)


def unmount(point: str) -> str:
    """Command: unmount."""
    return sh.command("umount", point)


# --- parsers ----------------------------------------------------------------------------------


def parse_mounted(output: str) -> tuple[Mount, ...]:
    """The rows of `mount -p`. Raises ParseError."""
    found: list[Mount] = []
    for line in text.lines(output):
        row = _MOUNT.fullmatch(line)
        if not row:
            raise ParseError("mount -p", "not a mounted file system", line)
        options = tuple(word for word in row[4].split(",") if word)
        found.append(Mount(row[1], row[2], row[3], options))
    return tuple(found)


def parse_zfs(output: bytes, datasets: Collection[str]) -> ZfsMounts:
    """The mounts of `datasets`, of `mount -p`. Lines that cannot be read are passed over.

    Blanks part the columns of `mount -p` and may stand in names too, so a row belongs to the
    longest dataset's name with which it begins. One with two rows is left out: a mountpoint may
    hold a newline, and what follows it could look like a row.
    """
    found: list[tuple[str | None, bytes]] = []
    for line in output.split(b"\n"):
        row = _ANY_ROW.fullmatch(line)
        if not row:
            continue
        head = os.fsdecode(row[1])
        names = [name for name in _beginnings(head) if name in datasets]
        point = _POINT.fullmatch(row[1], len(os.fsencode(names[0]))) if names else None
        if point and row[2] == b"zfs":
            found.append((names[0], point[1]))
        elif other := re.fullmatch(rb"\S.*?[ \t]+(/.*)", row[1]):
            found.append((None, other[1]))
    rows = Counter(name for name, _ in found)
    hidden: set[str] = set()
    later: set[bytes] = set()
    for name, where in reversed(found):
        if name and not later.isdisjoint(_way(where)):
            hidden.add(name)
        later.add(where)
    points = {name: where for name, where in found if name and rows[name] == 1}
    return ZfsMounts(points, frozenset(hidden))


def _beginnings(head: str) -> list[str]:
    """What stands before each run of blanks, the longest first."""
    return [head[: match.start()] for match in re.finditer(r"[ \t]+(?=/)", head)][::-1]


def _way(point: bytes) -> list[bytes]:
    """A directory and all above it."""
    parts = point.rstrip(b"/").split(b"/")
    return [b"/".join(parts[:count]) or b"/" for count in range(1, len(parts) + 1)]


def parse_room(output: str) -> tuple[Room, ...]:
    """The rows of `df -k` in bytes. Raises ParseError."""
    rows = text.lines(output)
    if not rows or "blocks" not in rows[0]:
        raise ParseError("df", "no heading", output)
    found: list[Room] = []
    for line in rows[1:]:
        row = _ROOM.fullmatch(line)
        if not row:
            raise ParseError("df", "not a file system", line)
        total, used, left = (_bytes(row[n]) for n in (2, 3, 4))
        found.append(Room(row[1], total, used, left, row[5]))
    return tuple(found)


def _bytes(cell: str) -> int:
    sign = -1 if cell.startswith("-") else 1
    return sign * 1024 * text.whole("df", "a size", cell.removeprefix("-"))
