"""Would the disks of a machine boot, and what comes up when the first one does?"""

from __future__ import annotations

import re
from dataclasses import dataclass

from zrwizard.rehearsal.cmd_disk import tail_of
from zrwizard.rehearsal.cmd_efi import started
from zrwizard.rehearsal.geli import BOOT, GELIBOOT, Geli
from zrwizard.rehearsal.hardware import Disk
from zrwizard.rehearsal.machine import Machine, Mount, Where
from zrwizard.rehearsal.medium import HOST_ID, KNOWN_CODE
from zrwizard.rehearsal.vdevs import health
from zrwizard.rehearsal.zfsstate import Dataset, Pool, canmount, lookup

BIOS, UEFI = "BIOS", "UEFI"


@dataclass(frozen=True, slots=True)
class BootPlan:
    """How far a boot from disk gets: `no code`, `no loader`, `no system` or `boots`."""

    stage: str
    pool: Pool | None = None
    bootfs: str = ""
    hostname: str = ""
    version: str = ""
    silent: bool = False
    """It says nothing on the serial line."""

    def take_over(self, machine: Machine) -> None:
        """The machine now runs the restored system instead of the live medium."""
        if self.pool is None:
            return
        machine.hostname, machine.live, machine.home = self.hostname, False, "/root"
        machine.kernel_id = self.version
        pool = self.pool
        pool.active_on, pool.exported, pool.altroot = machine.name, False, ""
        pool.health = health(machine, pool)
        machine.pools[pool.name] = pool
        machine.modules[:] = ["kernel", "zfs", "xdr", "crypto", "zlib"]
        machine.sysctls["kern.hostid"] = "1234567"
        machine.mounts = [
            Mount(self.bootfs, "/", "zfs", "rw,noatime,nfsv4acls"),
            Mount("devfs", "/dev", "devfs", "rw"),
        ]
        for ds in pool.ordered():
            where, _ = lookup(pool, ds, "mountpoint")
            name = pool.full(ds)
            if name == self.bootfs:
                ds.mounted_at = "/"
            elif where and where.startswith("/") and canmount(pool, ds) == "on":
                ds.mounted_at = where
                machine.mounts.append(Mount(name, where, "zfs", "rw,noatime,nfsv4acls"))


def boot_disk(machine: Machine) -> Disk | None:
    """The first hard disk, in the firmware's order."""
    return next((d for d in machine.disks if not d.name.startswith("cd")), None)


def _pool_on(machine: Machine, disk: Disk) -> Pool | None:
    for where in machine.places():
        if where.disk is disk and where.part is not None and where.part.kind == "freebsd-zfs":
            lock = where.content.geli
            inner = lock.inner.contents.get(0) if lock is not None else where.content
            pool = inner.pool if inner is not None else None
            if pool is not None and not pool.destroyed:
                return pool
    return None


def lock_on(machine: Machine, disk: Disk) -> tuple[Where, Geli] | None:
    """The encrypted partition for the pool on a disk, with its metadata; None where it is plain."""
    for where in machine.places():
        if where.disk is disk and where.part is not None and where.part.kind == "freebsd-zfs":
            geli = where.content.geli
            if geli is not None:
                return where, geli
    return None


def _lock_reasons(machine: Machine, disk: Disk, pool: Pool) -> list[str]:
    """What stops loader and kernel from asking for the passphrase of an encrypted disk."""
    found = lock_on(machine, disk)
    if found is None:
        return []
    where, geli = found
    reasons = [
        f"{where.name} is encrypted without the flag {word}"
        for bit, word in ((BOOT, "BOOT"), (GELIBOOT, "GELIBOOT"))
        if not geli.flags & bit
    ]
    ds = pool.datasets.get(pool.props.get("bootfs", "").partition("/")[2])
    conf = (ds.files.get("boot/loader.conf") or b"") if ds is not None else b""
    if not re.search(rb'^geom_eli_load="?YES"?', conf, re.MULTILINE | re.IGNORECASE):
        reasons.append("/boot/loader.conf does not load geom_eli")
    return reasons


def firmware_reasons(machine: Machine, disk: Disk) -> tuple[list[str], list[str]]:
    """What stops BIOS, and what stops UEFI, from finding FreeBSD's first code."""
    if disk.table is None:
        text = [f"{disk.name} has no GUID partition table"]
        return text, text
    bios, uefi = [], []
    if disk.table.pmbr not in KNOWN_CODE["pmbr"]:
        bios.append(f"{disk.name} has no known pmbr")
    boot = [
        w
        for w in machine.places()
        if w.disk is disk and w.part is not None and w.part.kind == "freebsd-boot"
    ]
    if not boot:
        bios.append(f"{disk.name} has no freebsd-boot partition")
    elif not any(_holds(w, KNOWN_CODE["gptzfsboot"]) for w in boot):
        bios.append(f"{boot[0].name} does not hold a known gptzfsboot")
    esps = [
        w
        for w in machine.places()
        if w.disk is disk and w.part is not None and w.part.kind == "efi"
    ]
    if not esps:
        uefi.append(f"{disk.name} has no EFI system partition")
    elif not any(_efi_loader(w) in KNOWN_CODE["loader.efi"] for w in esps):
        uefi.append(f"{esps[0].name} has no known EFI/BOOT/BOOTX64.EFI")
    return bios, uefi


def _holds(where: Where, known: set[bytes]) -> bool:
    return any(where.content.head[: len(code)] == code for code in known)


def _efi_loader(where: Where) -> bytes:
    for name, data in (where.content.fat or {}).items():
        if name.upper() == "EFI/BOOT/BOOTX64.EFI":
            return data or b""
    return b""


READ_BY_ALL = {
    *("async_destroy", "empty_bpobj", "spacemap_histogram", "enabled_txg", "bookmarks"),
    *("filesystem_limits", "userobj_accounting", "project_quota", "obsolete_counts"),
    *("zpool_checkpoint", "spacemap_v2", "allocation_classes", "resilver_defer", "log_spacemap"),
    *("livelist", "device_rebuild", "zilsaxattr", "block_cloning"),
}
"""Features that only who writes must know."""


def unread(pool: Pool, code: bytes) -> list[str]:
    """The features in use that a boot program does not know."""
    known = {word.rpartition(b":")[2].decode() for word in code.split(b"\0") if b":" in word[:40]}
    active = {name for name, state in pool.features.items() if state == "active"}
    return sorted(active - READ_BY_ALL - known)


def feature_reasons(machine: Machine, disk: Disk, pool: Pool) -> tuple[list[str], list[str]]:
    """What stops BIOS, and what stops UEFI, from reading the pool."""
    codes: dict[str, bytes] = {}
    for where in machine.places():
        if where.disk is disk and where.part is not None:
            if where.part.kind == "freebsd-boot":
                codes[where.name] = where.content.head
            elif where.part.kind == "efi":
                codes[f"the loader of {where.name}"] = _efi_loader(where)
    ds = pool.datasets.get(pool.props.get("bootfs", "").partition("/")[2])
    loader = (ds.files.get("boot/loader") or b"") if ds is not None else b""
    bios: list[str] = []
    uefi: list[str] = []
    for name, code in [*codes.items(), ("/boot/loader", loader)]:
        found = [f"{name} cannot read a pool with {word}" for word in unread(pool, code) if code]
        (uefi if name.startswith("the loader") else bios).extend(found)
    return bios, uefi


def system_reasons(pool: Pool) -> list[str]:
    """What stops the loader from starting the boot environment that the pool names."""
    name = pool.props.get("bootfs", "-")
    if name in ("-", ""):
        return [f"pool {pool.name} has no bootfs"]
    if not name.startswith(pool.name + "/"):
        return [f"bootfs {name} is not in pool {pool.name}"]
    ds = pool.datasets.get(name.partition("/")[2])
    if ds is None:
        return [f"bootfs {name} does not exist"]
    conf = (ds.files.get("boot/loader.conf") or b"").decode()
    named = re.findall(r'^kernel="?([^"\s]+)', conf, re.MULTILINE)
    reasons = [
        f"{name} has no /{path}"
        for path in ("boot/loader", f"boot/{named[-1] if named else 'kernel'}/kernel")
        if not ds.files.get(path)
    ]
    mountpoint, _ = lookup(pool, ds, "mountpoint")
    if mountpoint != "/":
        reasons.append(f"{name} has mountpoint={mountpoint}, not /")
    if ds.pending or ds.busy:
        reasons.append(f"{name} was not received completely")
    return reasons + _rivals(pool, ds)


def settings_reasons(machine: Machine) -> list[str]:
    """What in the settings of the system on the first disk is of another machine."""
    first = boot_disk(machine)
    pool = _pool_on(machine, first) if first is not None else None
    if pool is None:
        return []
    name = pool.props.get("bootfs", "")
    rel = name.partition("/")[2]
    ds = pool.datasets.get(rel)
    if ds is None or not rel:
        return []
    here = {f"/dev/{w.name}" for w in machine.places()} | {
        f"/dev/gpt/{w.part.label}" for w in machine.places() if w.part is not None and w.part.label
    }
    reasons = []
    if lookup(pool, ds, "readonly")[0] == "on":
        reasons.append(f"{name} is read-only: nothing can be written at the start")
    for line in (ds.files.get("etc/fstab") or b"").decode().splitlines():
        words = line.split()
        if len(words) < 4 or words[0].startswith("#") or not words[0].startswith("/dev/"):
            continue
        if words[0].removesuffix(".eli") not in here:
            stops = (
                "there is no swap" if words[2] == "swap" else "the start stops in single-user mode"
            )
            reasons.append(f"/etc/fstab names {words[0]}, which is not there: {stops}")
    conf = (ds.files.get("etc/rc.conf") or b"").decode()
    cards = set(re.findall(r"^ifconfig_([a-z]+\d+)=", conf, re.MULTILINE))
    if cards and not cards & {nic.name for nic in machine.nics}:
        reasons.append(f"/etc/rc.conf configures {', '.join(sorted(cards))} only: no network")
    dump = re.search(r'^dumpdev="?(/dev/[^"\s]+)', conf, re.MULTILINE)
    if dump is not None and dump[1] not in here:
        reasons.append(f"/etc/rc.conf dumps to {dump[1]}, which is not there")
    loader = (ds.files.get("boot/loader.conf") or b"").decode()
    root = re.search(r'^vfs\.root\.mountfrom="?zfs:([^"\s]+)', loader, re.MULTILINE)
    if root is not None and root[1] != name:
        reasons.append(f"/boot/loader.conf mounts {root[1]}, not {name}")
    if _is_silent(ds):
        reasons.append("/boot/loader.conf leaves the serial console silent")
    if ds.files.get("etc/zfs/zpool.cache") is not None:
        reasons.append("/etc/zfs/zpool.cache is that of the old machine")
    return reasons


def _is_silent(ds: Dataset) -> bool:
    conf = (ds.files.get("boot/loader.conf") or b"").decode()
    return not re.search(
        r'^(console="?[^"\n]*comconsole|boot_(serial|multicons)="?YES)', conf, re.M
    )


def _rivals(pool: Pool, chosen: Dataset) -> list[str]:
    """Other file systems that would mount over the boot environment by themselves."""
    return [
        f"{pool.full(ds)} would mount over / (canmount=on)"
        for ds in pool.ordered()
        if ds is not chosen
        and lookup(pool, ds, "mountpoint")[0] == "/"
        and canmount(pool, ds) == "on"
    ]


def would_boot(machine: Machine) -> list[str]:
    """Reasons why the pool's disks would not boot, each alone, by BIOS or by UEFI; empty: all do.

    The pool is that on the first disk.
    """
    first = boot_disk(machine)
    if first is None:
        return ["there is no disk"]
    pool = _pool_on(machine, first)
    if pool is None:
        bios, uefi = firmware_reasons(machine, first)
        reasons = bios + [r for r in uefi if r not in bios]
        return [*reasons, f"{first.name} has no freebsd-zfs partition with a pool"]
    reasons = []
    reasons += _lock_reasons(machine, first, pool)
    inside = {w.content.geli.inner.name: w.disk.name for w in machine.places() if w.content.geli}
    members = (inside.get(member.disk, member.disk) for member in pool.devices)
    for name in dict.fromkeys([first.name, *members]):
        disk = machine.disk(name)
        if disk is None:
            reasons.append(f"{name} is not in the machine")
            continue
        bios, uefi = firmware_reasons(machine, disk)
        reasons += bios + [r for r in uefi if r not in bios]
        for unable in feature_reasons(machine, disk, pool):
            reasons += [r for r in unable if r not in reasons]
        reasons += [
            f"{w.name} is taken for a part of what was there before"
            for w in machine.places()
            if w.disk is disk and w.content.geli is None and tail_of(w)
        ]
    state = health(machine, pool)
    if state != "ONLINE":
        reasons.append(f"pool {pool.name} is {state}")
    return reasons + system_reasons(pool) + settings_reasons(machine)


def boot_plan(machine: Machine) -> BootPlan:
    """What really happens when the firmware tries the first disk."""
    disk = boot_disk(machine)
    bios, uefi = firmware_reasons(machine, disk) if disk is not None else (["no disk"], ["no"])
    if (by_list := started(machine)) is not None:
        disk, code = by_list
        uefi = [] if code in KNOWN_CODE["loader.efi"] else [f"{disk.name} has no known loader.efi"]
    stopped = uefi if machine.sysctls.get("machdep.bootmethod") == UEFI else bios
    if disk is None or disk.table is None or (stopped and stopped is uefi):
        return BootPlan("no code")
    if stopped:
        return BootPlan("no loader" if disk.table.pmbr else "no code")
    pool = _pool_on(machine, disk)
    bootfs = pool.props.get("bootfs", "") if pool else ""
    by_uefi = stopped is uefi
    fatal = list(feature_reasons(machine, disk, pool)[by_uefi]) if pool else []
    fatal += system_reasons(pool) + _lock_reasons(machine, disk, pool) if pool else ["no pool"]
    if pool is not None and health(machine, pool) == "UNAVAIL":
        fatal.append("devices of the pool are missing")
    fatal = [r for r in fatal if "mount over" not in r]
    if pool is None or fatal:
        return BootPlan("no system", pool, bootfs)
    ds = pool.datasets[bootfs.partition("/")[2]]
    found = re.search(rb'^hostname="?([^"\n]+)"?', ds.files.get("etc/rc.conf") or b"", re.MULTILINE)
    hostname = found[1].decode() if found else ""
    return BootPlan("boots", pool, bootfs, hostname, HOST_ID, _is_silent(ds))
