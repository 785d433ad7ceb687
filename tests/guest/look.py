"""Looks at a guest's pools and disks by other means than the product: beside the console, with
Linux' own tools, and by snapshot rather than by mount point."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from .machines import Guest

FREEBSD_TYPES = {
    "83BD6B9D-7F41-11DC-BE0B-001560B84F0F": "freebsd-boot",
    "516E7CBA-6ECF-11D6-8FF8-00022D09712B": "freebsd-zfs",
    "516E7CB5-6ECF-11D6-8FF8-00022D09712B": "freebsd-swap",
    "C12A7328-F81F-11D2-BA4B-00A0C93EC93B": "efi",
}


@dataclass(frozen=True, slots=True)
class Partition:
    """One row of a GPT; start and size in sectors of 512 bytes."""

    index: int
    start: int
    size: int
    type: str
    label: str


def _relative(name: str, pool: str) -> str:
    return name.removeprefix(pool).removeprefix("/")


def datasets(guest: Guest, pool: str) -> list[str]:
    """Every file system and volume, relative to the pool; the pool's own is ''."""
    names = guest.lines(f"zfs list -H -o name -t filesystem,volume -r {pool}")
    return [_relative(name, pool) for name in names]


def snapshots(guest: Guest, pool: str) -> dict[str, str]:
    """`dataset@snapshot`, relative to the pool, to guid."""
    rows = guest.lines(f"zfs list -Hp -o name,guid -t snapshot -r {pool}")
    return {_relative(name, pool): guid for name, guid in (row.split("\t") for row in rows)}


def origins(guest: Guest, pool: str) -> dict[str, str]:
    """Clones to their origin, both relative to the pool."""
    rows = guest.lines(f"zfs list -H -o name,origin -t filesystem,volume -r {pool}")
    pairs = (row.split("\t") for row in rows)
    return {_relative(a, pool): _relative(b, pool) for a, b in pairs if b != "-"}


def vdevs(guest: Guest, pool: str) -> list[tuple[str, str]]:
    """The rows of an imported pool's `zpool status`: its own name, its vdevs, their devices, each
    with its state. A device that is missing has the path that it had."""
    listed = guest.out(f"zpool status -P {pool}").partition("config:")[2].partition("errors:")[0]
    rows = [line.split() for line in listed.strip().splitlines()[1:]]
    return [(row[-1] if "was" in row else row[0], row[1]) for row in rows]


def settings(guest: Guest, pool: str) -> dict[tuple[str, str], tuple[str, str]]:
    """(dataset, property) to (value, source) for each property that was set or received there."""
    rows = guest.out(
        "zfs get -Hp -r -t filesystem,volume -s local,received -o name,property,value,source "
        f"all {pool}"
    )
    found = {}
    for row in rows.splitlines():
        name, key, value, source = row.split("\t")
        found[_relative(name, pool), key] = (value, source)
    return found


def contents(guest: Guest, pool: str, snapshot: str) -> dict[str, dict[str, str]]:
    """Dataset to {path: sha256} as of a snapshot. The path '.' has the sha256 of a tar archive of
    it all: names, types, owners, modes, times and links as well."""
    script = f"""
    look=/run/zg/look; mkdir -p $look
    zfs list -H -o name -t filesystem -r {pool} | while read -r name; do
      mount -t zfs "$name@{snapshot}" $look || exit 1
      printf 'dataset %s\\n' "$name"
      (cd $look && tar -c . | sha256sum | sed 's/-$/./' &&
        find . -type f -print0 | xargs -0 -r sha256sum)
      umount $look || exit 1
    done"""
    found: dict[str, dict[str, str]] = {}
    current: dict[str, str] = {}
    for line in guest.lines(script, timeout=180):
        if line.startswith("dataset "):
            current = found[_relative(line.removeprefix("dataset "), pool)] = {}
        else:
            digest, path = re.split(r"  ", line, maxsplit=1)
            current[path] = digest
    return found


def partitions(guest: Guest, disk: str = "vda") -> list[Partition]:
    """The GPT as sfdisk(8) reads it, by start."""
    found = []
    for line in guest.lines(f"sfdisk -d /dev/{disk}"):
        if row := re.match(r"/dev/\D+(\d+) : start= *(\d+), size= *(\d+), type=([-\w]+)", line):
            label = re.search(r'name="([^"]*)"', line)
            kind = FREEBSD_TYPES.get(row[4].upper(), row[4])
            name = label[1] if label else ""
            found.append(Partition(int(row[1]), int(row[2]), int(row[3]), kind, name))
    return sorted(found, key=lambda partition: partition.start)


def digest(guest: Guest, device: str, size: int) -> str:
    """sha256 of the first `size` bytes of a device or file."""
    return guest.out(f"head -c {size} '{device}' | sha256sum").split()[0]


def boot_digests(guest: Guest, sizes: Mapping[str, int], disk: str = "vda") -> dict[str, str]:
    """What boots from a disk, as sha256: the MBR's 440 bytes of code (`pmbr`), as many bytes of the
    boot partition as `gptzfsboot` has by `sizes`, and the ESP's BOOTX64.EFI (`loader.efi`)."""
    number = {partition.type: partition.index for partition in partitions(guest, disk)}
    script = f"""
    mkdir -p /run/zg/esp && mount -t vfat -o ro /dev/{disk}{number["efi"]} /run/zg/esp || exit 1
    head -c 440 /dev/{disk} | sha256sum
    head -c {sizes["gptzfsboot"]} /dev/{disk}{number["freebsd-boot"]} | sha256sum
    sha256sum < /run/zg/esp/EFI/BOOT/BOOTX64.EFI
    umount /run/zg/esp"""
    pmbr, partition, loader = (line.split()[0] for line in guest.lines(script))
    return {"pmbr": pmbr, "gptzfsboot": partition, "loader.efi": loader}


def boot_files(guest: Guest, directory: str = "/boot") -> tuple[dict[str, int], dict[str, str]]:
    """Sizes and sha256 of the boot files in a directory, under the names of `boot_digests`."""
    sizes, digests = {}, {}
    for name in ("pmbr", "gptzfsboot", "loader.efi"):
        size = int(guest.out(f"stat -c %s {directory}/{name}"))
        sizes[name] = size
        digests[name] = digest(guest, f"{directory}/{name}", 440 if name == "pmbr" else size)
    return sizes, digests


def snapshot_boot_files(guest: Guest, snapshot: str) -> tuple[dict[str, int], dict[str, str]]:
    """`boot_files` of a boot environment as of a snapshot (`pool/ROOT/x@y`)."""
    with mounted(guest, snapshot) as point:
        return boot_files(guest, f"{point}/boot")


def beginning(guest: Guest, snapshot: str, path: str, size: int = 64) -> bytes:
    """The first bytes of a file as of a snapshot."""
    with mounted(guest, snapshot) as point:
        return guest.run(f"head -c {size} {point}/{path}").stdout


@contextmanager
def mounted(guest: Guest, snapshot: str) -> Iterator[str]:
    """The directory where a snapshot lies for the length of a with block."""
    guest.run(f"mkdir -p /run/zg/look && mount -t zfs {snapshot} /run/zg/look")
    try:
        yield "/run/zg/look"
    finally:
        guest.run("umount /run/zg/look")
