"""geom, diskinfo, newfs_msdos, mounting a FAT, dd on devices."""

from __future__ import annotations

from zrwizard.rehearsal.commands import Call, flags, tool
from zrwizard.rehearsal.errors import Fail
from zrwizard.rehearsal.hardware import Content, Disk
from zrwizard.rehearsal.machine import Machine, Mount, Where
from zrwizard.rehearsal.sizes import geom_size, parse_sectors


def disk_mode(machine: Machine, disk: Disk) -> str:
    """`r0w0e0`: readers, writers, exclusive holders."""
    if disk.opened:
        return "r1w0e1"
    users = [
        u
        for w in machine.places()
        if w.disk is disk and w.part is not None
        for u in machine.users(w)
    ]
    if users:
        n = len(users)
        return f"r{n}w{n}e{2 * n + 1}"
    held = machine.users(Where(disk, None, disk.name))
    return "r1w1e1" if held else "r0w0e0"


def _disk_block(machine: Machine, disk: Disk) -> str:
    lines = [
        f"Geom name: {disk.name}",
        "Providers:",
        f"1. Name: {disk.name}",
        f"   Mediasize: {disk.size} ({geom_size(disk.size)})",
        f"   Sectorsize: {disk.sector}",
    ]
    if disk.stripe:
        lines += [f"   Stripesize: {disk.stripe}", "   Stripeoffset: 0"]
    return (
        "\n".join(
            [
                *lines,
                f"   Mode: {disk_mode(machine, disk)}",
                f"   descr: {disk.descr or '(null)'}",
                f"   ident: {disk.serial or '(null)'}",
                f"   rotationrate: {disk.rotation}",
                f"   fwsectors: {disk.track}",
                f"   fwheads: {disk.heads}",
            ]
        )
        + "\n\n"
    )


@tool("geom", "/sbin")
def geom(call: Call) -> str:
    """geom disk list, geom disk status, geom part …"""
    a = call.args
    if a[:1] == ["part"]:
        from zrwizard.rehearsal.cmd_gpart import run_gpart  # noqa: PLC0415 - both ways

        return run_gpart(call, a[1:])
    if a[:2] != ["disk", "list"]:
        raise Fail(f"geom: Invalid class name: {a[0] if a else ''}\n")
    wanted = [n.removeprefix("/dev/") for n in a[2:]]
    text = ""
    for name in wanted:
        if call.machine.disk(name) is None:
            raise Fail(f"geom: Class 'DISK' does not have an instance named '{name}'.\n")
    for disk in call.machine.disks:
        if not wanted or disk.name in wanted:
            text += _disk_block(call.machine, disk)
    return text


@tool("diskinfo", "/usr/sbin")
def diskinfo(call: Call) -> str:
    """diskinfo(8): the short line, -v and -s."""
    found, names = flags(call.args)
    text = ""
    for name in names:
        where = call.machine.place(name)
        if where is None:
            raise Fail(f"diskinfo: {name}: No such file or directory\n", out=text)
        disk = where.disk
        if "s" in found:
            text += f"{disk.serial}\n"
            continue
        sectors = where.size // disk.sector
        cylinders = sectors // (disk.heads * disk.track) if disk.heads and disk.track else 0
        shown = name.removeprefix("/dev/") if "v" in found else name
        stripe_offset = where.offset % disk.stripe if disk.stripe else 0
        if "v" not in found:
            text += (
                "\t".join(
                    map(
                        str,
                        (
                            shown,
                            disk.sector,
                            where.size,
                            sectors,
                            disk.stripe,
                            stripe_offset,
                            cylinders,
                            disk.heads,
                            disk.track,
                        ),
                    )
                )
                + "\n"
            )
            continue
        rows: list[tuple[object, str]] = [
            (disk.sector, "sectorsize"),
            (where.size, f"mediasize in bytes ({geom_size(where.size)})"),
            (sectors, "mediasize in sectors"),
            (disk.stripe, "stripesize"),
            (stripe_offset, "stripeoffset"),
            (cylinders, "Cylinders according to firmware."),
            (disk.heads, "Heads according to firmware."),
            (disk.track, "Sectors according to firmware."),
            (disk.descr, "Disk descr."),
            (disk.serial, "Disk ident."),
            (disk.attachment, "Attachment"),
            ("Yes", "TRIM/UNMAP support"),
            ("Unknown" if disk.rotation == "unknown" else disk.rotation, "Rotation rate in RPM"),
        ]
        if disk.zoned:
            rows.append(("Not_Zoned", "Zone Mode"))
        text += shown + "\n" + "".join(f"\t{v!s:<12s}\t# {what}\n" for v, what in rows) + "\n"
    return text


def writable(call: Call, name: str) -> Where:
    """The place `name`, if it may be written; `Fail` otherwise."""
    where = call.machine.place(name)
    if where is None:
        raise Fail(f"{call.name}: {name}: No such file or directory\n")
    if call.machine.users(where):
        raise Fail(f"{call.name}: {name}: Operation not permitted\n")
    return where


def watched(machine: Machine, disk: Disk, what: str) -> None:
    """Note a write to a disk that nobody was meant to touch; `Fail` where the disk fails."""
    if disk.failing:
        raise Fail(f"{what.partition(' ')[0]}: {disk.name}: Input/output error\n")
    if disk.other_owner:
        machine.accident(f"{disk.name} was not the disk to restore to, and was written ({what})")


@tool("newfs_msdos", "/sbin")
def newfs_msdos(call: Call) -> str:
    """newfs_msdos(8) for FAT32."""
    found, names = flags(call.args, "FcLSBabefhiklmnoOrsuI@C")
    if not names:
        raise Fail("usage: newfs_msdos [ -options ] special [disktype]\n")
    where = writable(call, names[0])
    watched(call.machine, where.disk, "newfs_msdos")
    sector = where.disk.sector
    sectors = where.size // sector // 63 * 63 if where.size < (1 << 20) else where.size // sector
    per_cluster = int(found.get("c", "1"))
    reserved, fats = 32, 2
    fat_sectors = -(-((sectors - reserved) // per_cluster + 2) * 4 // sector)
    fat_sectors = -(-fat_sectors // 8) * 8 if fat_sectors < 4096 else -(-fat_sectors // 4096) * 4096
    fat_sectors = min(fat_sectors, 4096) if where.size == 260 << 20 else fat_sectors
    clusters = (sectors - reserved - fats * fat_sectors) // per_cluster
    if found.get("F") == "32" and clusters < 65525:
        raise Fail(f"newfs_msdos: {clusters} clusters too few clusters for FAT32, need 65525\n")
    clusters -= clusters % 8 if where.size == 260 << 20 else 0
    where.disk.overwrite(where.offset, Content(where.size, fat={}))
    device = names[0] if names[0].startswith("/dev/") else f"/dev/{names[0]}"
    return (
        f"{device}: {clusters * per_cluster} sectors in {clusters} FAT32 clusters "
        f"({per_cluster * sector} bytes/cluster)\n"
        f"BytesPerSec={sector} SecPerClust={per_cluster} ResSectors={reserved} FATs={fats} "
        f"Media=0xf0 SecPerTrack={where.disk.track} Heads={where.disk.heads} HiddenSecs=0 "
        f"HugeSectors={sectors} FATsecs={fat_sectors} RootCluster=2 FSInfo=1 Backup=2\n"
    )


def mount_fat(call: Call, device: str, path: str, *, read_only: bool) -> None:
    """mount_msdosfs(8)."""
    m = call.machine
    where = m.place(device)
    if where is None:
        raise Fail(f"mount_msdosfs: {device}: No such file or directory\n")
    if where.content.fat is None:
        raise Fail(f"mount_msdosfs: {device}: Invalid argument\n")
    if not call.exists(path):
        raise Fail(f"mount_msdosfs: {path}: No such file or directory\n")
    if m.users(where):
        raise Fail(f"mount_msdosfs: {device}: Device busy\n")
    m.lay(path, dict(where.content.fat))
    special = device if device.startswith("/dev/") else f"/dev/{device}"
    m.mounts.append(
        Mount(
            special,
            path,
            "msdosfs",
            "ro" if read_only else "rw",
            "local, read-only" if read_only else "local",
        )
    )


@tool("umount", "/sbin")
def umount(call: Call) -> str:
    """umount(8): FAT and ZFS file systems."""
    _, names = flags(call.args, "t")
    m = call.machine
    for name in names:
        path = call.path(name) if not name.startswith("/dev/") else name
        found = next((x for x in reversed(m.mounts) if path in (x.path, x.special)), None)
        if found is None:
            kind = (
                "not a file system root directory" if call.exists(name) else ("unknown file system")
            )
            raise Fail(f"umount: {name}: {kind}\n")
        if found.kind in ("cd9660", "devfs", "tmpfs"):
            raise Fail(f"umount: unmount of {found.path} failed: Device busy\n")
        unmount(m, found)
    return ""


def unmount(m: Machine, found: Mount) -> None:
    """Take a mounted FAT or dataset away, keeping what was written."""
    if m.space is not None and m.space.unmounted(found):
        m.mounts.remove(found)
        if (known := m.dataset(found.special)) is not None:
            known[1].mounted_at = ""
        return
    m.mounts.remove(found)
    tree = m.gather(found.path)
    m.clear(found.path, tree)
    if found.kind == "msdosfs":
        where = m.place(found.special)
        if where is not None and not found.options.startswith("ro"):
            where.content.fat = tree
            where.disk.writes += 1
            watched(m, where.disk, "msdosfs")
    elif (dataset := m.dataset(found.special)) is not None:
        _, ds = dataset
        ds.mounted_at = ""
        if not found.options.startswith("ro"):
            ds.files = tree


def read_device(where: Where, start: int, size: int) -> bytes:
    """Bytes of a device: what was written as raw code, zeros elsewhere."""
    if where.part is None and where.disk.table is not None and start < 512:
        head = (where.disk.table.pmbr or bytes(510) + b"\x55\xaa").ljust(512, b"\0")
        head += b"EFI PART\x00\x00\x01\x00\x5c\x00\x00\x00".ljust(512, b"\0")
    else:
        head = where.content.head
        if where.content.fat is not None and not head:
            head = b"\xeb\x58\x90BSD4.4  ".ljust(510, b"\0") + b"\x55\xaa"
    end = min(start + size, where.size)
    last = where.size - where.disk.sector
    if (tail := tail_of(where)) and start <= last < end:
        return head[start:last].ljust(last - start, b"\0") + tail.ljust(end - last, b"\0")
    return head[start:end].ljust(max(0, end - start), b"\0")


def tail_of(where: Where) -> bytes:
    """What GEOM wrote into the last sector, if the place still ends there."""
    content = where.content
    if content.geli is not None:
        return content.geli.block()
    return content.tail if content.size == where.size else b""


def write_device(call: Call, where: Where, start: int, data: bytes) -> None:
    """Write raw bytes to a device."""
    if call.machine.users(where):
        raise Fail(f"{call.name}: /dev/{where.name}: Operation not permitted\n")
    watched(call.machine, where.disk, call.name)
    content = where.content
    if start == 0:
        content.fat = content.pool = None
        content.other = ""
    if start + len(data) > where.size - where.disk.sector:
        content.geli, content.tail = None, b""
    if start < 1 << 22:
        content.head = (
            content.head[:start].ljust(start, b"\0") + data + (content.head[start + len(data) :])
        )
    if where.part is None and start < 17408 and where.disk.table is not None:
        where.disk.table = None
    where.disk.writes += 1


def sectors_or_fail(text: str, sector: int, what: str) -> int:
    """A gpart number, or gpart's complaint about it."""
    value = parse_sectors(text, sector)
    if value is None:
        raise Fail(f"gpart: Invalid {what} param: Invalid argument\n")
    return value
