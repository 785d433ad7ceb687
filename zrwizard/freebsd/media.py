"""Which disk is the one that the system runs from, and which disk a device lies on.

Reasons over what mount(8), geom(8) and gpart(8) said; nothing here asks the target.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from .geom import Disk
from .gpart import Table
from .mount import Mount

_PART = re.compile(r"(?:p\d+|s\d+[a-h]?|[a-h])", re.ASCII)
_LABELS = ("iso9660/", "ufs/", "ufsid/", "msdosfs/", "gptid/", "diskid/", "label/", "ext2fs/")


@dataclass(frozen=True, slots=True)
class Medium:
    """Whether this is install media, which disks may hold it, and how that was found out.

    Where the device cannot be traced to one disk, every disk that is open is listed: none of
    those may be offered for erasing.
    """

    live: bool
    root_device: str
    root_type: str
    disks: tuple[str, ...]
    reason: str


def find_medium(
    mounts: Iterable[Mount], disks: Iterable[Disk], tables: Mapping[str, Table]
) -> Medium:
    """The medium that / is mounted from; `tables` maps disk names to `gpart backup`."""
    root = next((mount for mount in mounts if mount.point == "/"), None)
    if root is None:
        return Medium(False, "", "", _open(disks), "no root file system was listed")
    live = root.type == "cd9660" or (root.type == "ufs" and root.read_only)
    if root.type == "cd9660":
        kind = "a CD image"
    elif live:
        kind = "a read-only memory stick image"
    else:
        kind = "an installed system"
    disk = disk_of(root.device, disks, tables)
    if disk is not None:
        reason = f"/ is {kind} on {disk} ({root.device})"
        return Medium(live, root.device, root.type, (disk,), reason)
    reason = f"/ is {kind} ({root.device}); any disk that is open may hold it"
    return Medium(live, root.device, root.type, _open(disks), reason)


def _open(disks: Iterable[Disk]) -> tuple[str, ...]:
    return tuple(disk.name for disk in disks if disk.mode.open)


def disk_of(device: str, disks: Iterable[Disk], tables: Mapping[str, Table]) -> str | None:
    """The disk that `device` lies on: `/dev/vtbd0p3`, `gpt/zfs0`, `da0.eli`, `diskid/DISK-X`.

    None where it cannot be told, or where a label stands on more than one disk.
    """
    every = list(disks)
    name = device.removeprefix("/dev/")
    while name.endswith(".eli"):
        name = name.removesuffix(".eli")
    if name.startswith("gpt/"):
        return _by_label(name.removeprefix("gpt/"), tables)
    if name.startswith("diskid/DISK-"):
        return _by_ident(name.removeprefix("diskid/DISK-"), every)
    if name.startswith("iso9660/"):
        # Only a CD has an ISO file system on the whole disk; a hybrid image on a stick has not
        # to be one, so more than one open candidate stays undecided.
        discs = [disk.name for disk in every if disk.name.startswith("cd") and disk.mode.open]
        return discs[0] if len(discs) == 1 else None
    if name.startswith(_LABELS):
        return None
    for disk in sorted((disk.name for disk in every), key=len, reverse=True):
        if name == disk or (name.startswith(disk) and _is_part(name[len(disk) :])):
            return disk
    return None


def _is_part(rest: str) -> bool:
    return _PART.fullmatch(rest) is not None


def _by_label(label: str, tables: Mapping[str, Table]) -> str | None:
    found = [
        disk
        for disk, table in tables.items()
        if any(entry.label == label for entry in table.entries)
    ]
    return found[0] if len(found) == 1 else None


def _by_ident(name: str, disks: list[Disk]) -> str | None:
    for disk in disks:
        if disk.ident and name.startswith(disk.ident):
            rest = name[len(disk.ident) :]
            if not rest or _is_part(rest):
                return disk.name
    return None
