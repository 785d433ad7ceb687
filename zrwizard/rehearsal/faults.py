"""Faults after which a restored machine would not start, or not stay as it should be.

Each is put in behind the wizard's back: into the backup before anything begins, or onto the
target when all is written and only the proofs are left.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from zrwizard.rehearsal.geli import BOOT
from zrwizard.rehearsal.hardware import Content, Partition
from zrwizard.rehearsal.machine import Machine, Mount, Where
from zrwizard.rehearsal.medium import MEDIUM, boot_file
from zrwizard.rehearsal.zfsstate import Dataset, Pool


@dataclass(frozen=True, slots=True)
class Fault:
    """`put` changes the machine that has it: the server where `in_backup`, else the target."""

    name: str
    what: str
    put: Callable[[Machine], None]
    in_backup: bool = False


def _pool(machine: Machine) -> Pool:
    return machine.pools["zroot" if machine.live else "hostA"]


def _environments(machine: Machine) -> list[Dataset]:
    return [ds for ds in _pool(machine).ordered() if ds.rel.startswith("ROOT/")]


def _started(machine: Machine) -> Dataset:
    pool = _pool(machine)
    return pool.datasets[pool.props["bootfs"].partition("/")[2]]


def _partitions(machine: Machine, kind: str) -> list[Where]:
    """Those of a type, the last disk's first: a fault there is the easiest to overlook."""
    return [
        where
        for where in machine.places()
        if where.part is not None and where.part.kind == kind and not where.disk.other_owner
    ][::-1]


def _row(machine: Machine, kind: str) -> Partition:
    part = _partitions(machine, kind)[0].part
    assert part is not None  # noqa: S101 - only partitions are listed
    return part


# --- in the backup --------------------------------------------------------------------------------


def _files(machine: Machine, change: Callable[[dict[str, bytes | None]], None]) -> None:
    """Change the files of every boot environment, in each of its snapshots."""
    for ds in _environments(machine):
        for tree in (ds.files, *(snap.files for snap in ds.snapshots)):
            change(tree)


def _no_kernel(machine: Machine) -> None:
    _files(machine, lambda tree: _without(tree, "boot/kernel/kernel"))


def _no_loader(machine: Machine) -> None:
    _files(machine, lambda tree: _without(tree, "boot/loader", "boot/zfsloader"))


def _without(tree: dict[str, bytes | None], *paths: str) -> None:
    for path in paths:
        tree.pop(path, None)


def _other_kernel(machine: Machine) -> None:
    line = b'kernel="kernel.GENERIC-NODEBUG"\n'

    def name_it(tree: dict[str, bytes | None]) -> None:
        if not (tree.get("boot/loader.conf") or b"").endswith(line):
            tree["boot/loader.conf"] = (tree.get("boot/loader.conf") or b"") + line

    _files(machine, name_it)


# --- on the target --------------------------------------------------------------------------------


def _no_pmbr(machine: Machine) -> None:
    table = _partitions(machine, "freebsd-boot")[0].disk.table
    assert table is not None  # noqa: S101 - it has partitions
    table.pmbr = bytes(510) + b"\x55\xaa"


def _boot_code_damaged(machine: Machine) -> None:
    where = _partitions(machine, "freebsd-boot")[0]
    head = bytearray(where.content.head)
    head[70000] ^= 1
    where.disk.overwrite(where.offset, Content(where.size, head=bytes(head)))


def _wrong_index(machine: Machine) -> None:
    boot, swap = (_partitions(machine, kind)[0] for kind in ("freebsd-boot", "freebsd-swap"))
    swap.disk.overwrite(swap.offset, Content(boot.size, head=boot.content.head))
    boot.disk.overwrite(boot.offset, Content(boot.size))


def _other_index(machine: Machine) -> None:
    part = _row(machine, "freebsd-boot")
    table = _partitions(machine, "freebsd-boot")[0].disk.table
    assert table is not None  # noqa: S101 - it has partitions
    del table.parts[part.index]
    part.index = 9
    table.parts[9] = part


def _no_boot_partition(machine: Machine) -> None:
    table = _partitions(machine, "freebsd-boot")[0].disk.table
    assert table is not None  # noqa: S101 - it has partitions
    del table.parts[_row(machine, "freebsd-boot").index]


def _fat(machine: Machine) -> dict[str, bytes | None]:
    fat = _partitions(machine, "efi")[0].content.fat
    assert fat is not None  # noqa: S101 - it was formatted
    return fat


def _no_efi_loader(machine: Machine) -> None:
    fat = _fat(machine)
    for name in [name for name in fat if name.upper().startswith("EFI/BOOT/")]:
        del fat[name]


def _old_efi_loader(machine: Machine) -> None:
    fat = _fat(machine)
    for name in [name for name in fat if name.upper() == "EFI/BOOT/BOOTX64.EFI"]:
        fat[name] = boot_file("loader.efi", MEDIUM, len(fat[name] or b""))


def _no_bootfs(machine: Machine) -> None:
    _pool(machine).props["bootfs"] = "-"


def _bootfs_of_another(machine: Machine) -> None:
    _pool(machine).props["bootfs"] = "zroot/usr/src"


def _unread_feature(machine: Machine) -> None:
    _pool(machine).features["edonr"] = "active"


def _lost_snapshot(machine: Machine) -> None:
    del max(_pool(machine).ordered(), key=lambda ds: len(ds.snapshots)).snapshots[0]


def _a_second_root(machine: Machine) -> None:
    _pool(machine).datasets["usr/src"].local |= {"mountpoint": "/", "canmount": "on"}


def _other_mountpoint(machine: Machine) -> None:
    _started(machine).local["mountpoint"] = "/old"


def _over_the_live_system(machine: Machine) -> None:
    machine.mounts.append(Mount("zroot/home", "/var/home", "zfs", "rw,nfsv4acls"))


def _missing_disk(machine: Machine) -> None:
    last = _partitions(machine, "freebsd-zfs")[0].disk
    machine.disks[:] = [disk for disk in machine.disks if disk is not last]


def _not_asked_for(machine: Machine) -> None:
    lock = _partitions(machine, "freebsd-zfs")[0].content.geli
    assert lock is not None  # noqa: S101 - the pool is encrypted
    lock.flags &= ~BOOT


def _geli_not_loaded(machine: Machine) -> None:
    ds = _started(machine)
    conf = (ds.files.get("boot/loader.conf") or b"").replace(b"geom_eli_load", b"#geom_eli_load")
    ds.files["boot/loader.conf"] = conf
    if ds.mounted_at:
        machine.lay(ds.mounted_at, dict(ds.files))


FAULTS = {
    fault.name: fault
    for fault in (
        Fault("no-kernel", "The backup has no kernel.", _no_kernel, in_backup=True),
        Fault("no-loader", "The backup has no /boot/loader.", _no_loader, in_backup=True),
        Fault("other-kernel", "loader.conf names a kernel that is not there.", _other_kernel, True),
        Fault("no-pmbr", "The code in the first sector is gone.", _no_pmbr),
        Fault("boot-code", "One bit of gptzfsboot is wrong.", _boot_code_damaged),
        Fault("wrong-index", "gptzfsboot was written into the swap partition.", _wrong_index),
        Fault("other-index", "The boot partition has another index.", _other_index),
        Fault("no-boot-partition", "The boot partition is gone.", _no_boot_partition),
        Fault("no-efi-loader", "The EFI partition has no loader.", _no_efi_loader),
        Fault("old-efi-loader", "The EFI partition has the medium's loader.", _old_efi_loader),
        Fault("no-bootfs", "The pool has no bootfs.", _no_bootfs),
        Fault("other-bootfs", "The pool's bootfs holds no system.", _bootfs_of_another),
        Fault("feature", "The pool uses what no loader can read.", _unread_feature),
        Fault("lost-snapshot", "A snapshot is gone.", _lost_snapshot),
        Fault("second-root", "Another file system wants to be at /.", _a_second_root),
        Fault("mountpoint", "The boot environment is to be mounted elsewhere.", _other_mountpoint),
        Fault("mounted", "A file system lies over the live system.", _over_the_live_system),
        Fault("missing-disk", "A disk of the pool is gone.", _missing_disk),
        Fault("geli-flags", "The disk's passphrase is not asked for.", _not_asked_for),
        Fault("geli-module", "The kernel is started without geli.", _geli_not_loaded),
    )
}


def at_the_proof(fault: Fault) -> Callable[[Machine, str, list[str]], None]:
    """What `Machine.on_command` is to be: the fault comes when the target plans its next backup.

    That is the first of the proofs; nothing before it has the target send anything.
    """

    def on_command(machine: Machine, name: str, args: list[str]) -> None:
        if name == "zfs" and args[:2] == ["send", "-n"]:
            machine.on_command = None
            fault.put(machine)

    return on_command
