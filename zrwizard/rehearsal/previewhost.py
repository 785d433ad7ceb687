"""hostA alive: an installed machine with root on ZFS, whose last weeks are worth a look."""

from __future__ import annotations

import random

from zrwizard.rehearsal import gpt
from zrwizard.rehearsal.clock import Clock
from zrwizard.rehearsal.filespace import FileSpace
from zrwizard.rehearsal.hardware import Content, Disk, Nic
from zrwizard.rehearsal.machine import Machine, Mount, make_dirs, new_files
from zrwizard.rehearsal.medium import HOST_ID, host_tree
from zrwizard.rehearsal.previewpool import GIB, INSTALLED, NEWER, OLDER, TREE, tell_all
from zrwizard.rehearsal.scenario import Scenario
from zrwizard.rehearsal.shellcopy import adopt
from zrwizard.rehearsal.zfsfiles import FileTree
from zrwizard.rehearsal.zfsmount import mount_options
from zrwizard.rehearsal.zfsprops import features_of
from zrwizard.rehearsal.zfsstate import Dataset, Pool, mountpoint, usable_size

__all__ = ["NEWER", "OLDER", "TREE", "host_files", "make_host"]

PROGRAM_FILES = (
    "/bin/cat",
    "/bin/cp",
    "/bin/ls",
    "/bin/rm",
    "/bin/sh",
    "/sbin/mount",
    "/sbin/zfs",
    "/sbin/zpool",
    "/usr/bin/env",
    "/usr/bin/stat",
    "/usr/sbin/daemon",
)


def make_host(scenario: Scenario, clock: Clock, rng: random.Random) -> Machine:
    """hostA, up and running."""
    disk = Disk("vtbd0", max(scenario.disk_size, 32 * GIB), scenario.disk_serial)
    machine = Machine(
        "hostA",
        clock,
        rng,
        [disk],
        [Nic("em0", "02:49:be:ad:ba:be", up=True, address="10.0.2.20")],
        hostname="hostA",
        home="/root",
        live=False,
        kernel_id=HOST_ID,
    )
    machine.modules.append("zfs")
    machine.sysctls = {"machdep.bootmethod": scenario.firmware, "kern.hostid": "1261424515"}
    _partitions(disk, rng)
    return machine


def _partitions(disk: Disk, rng: random.Random) -> None:
    disk.table = gpt.new_table(disk)
    sector = disk.sector
    for index, kind, label, size in (
        (1, "freebsd-boot", "gptboot0", 512 << 10),
        (2, "efi", "efiboot0", 260 << 20),
        (3, "freebsd-swap", "swap0", 2 * GIB),
        (4, "freebsd-zfs", "zfs0", 0),
    ):
        room = gpt.autofill(disk.table, None, size // sector or None, 4096 // sector)
        gpt.place(disk, disk.table, room, kind=kind, index=index, label=label, rng=rng)


def host_files(machine: Machine) -> None:
    """The files of the running host: its pool, what is mounted of it, /tmp and /dev."""
    files = new_files()
    machine.files = {"/": files, "/tmp": new_files()}  # noqa: S108 - the simulated machine's
    machine.mounts = [Mount("devfs", "/dev", "devfs", "rw")]
    machine.lay("/", host_tree("hostA"))
    for path in ("/dev", "/etc/ssh", "/usr/sbin", "/sbin", "/mnt", "/media"):
        make_dirs(files, path)
    for name in PROGRAM_FILES:
        make_dirs(files, name.rpartition("/")[0])
        files.write_file(name, b"\x7fELF\2\1\1\t" + name.encode())
        files.chmod(name, 0o555)
    base = FileTree()
    base.begin(INSTALLED * 10**9, 128)
    adopt(files, base, {"/dev", "/tmp"})  # noqa: S108
    _devices(files)
    disk = machine.disks[0]
    where = next(w for w in machine.places() if w.part and w.part.label == "zfs0")
    pool = Pool(
        TREE,
        machine.rng.getrandbits(63),
        "gpt/zfs0",
        disk.name,
        where.offset,
        usable_size(where.size),
        12,
        props={"bootfs": f"{TREE}/ROOT/default"},
        features=features_of("off"),
        active_on=machine.name,
        last_host="hostA",
        last_access=machine.clock.now(),
    )
    tell_all(pool, base)
    disk.overwrite(where.offset, Content(where.size, pool=pool))
    machine.pools = {pool.name: pool}
    machine.space = FileSpace(machine)
    _mount(machine, pool)
    machine.nodes.clear()
    machine.refresh_nodes()


def _devices(files: object) -> None:
    fs = files
    fs.write_file("/dev/tty", b"\x01TTY\n" * 4000)  # type: ignore[attr-defined]
    for node in ("null", "console", "zero", "random", "urandom", "ttyu0"):
        fs.write_file(f"/dev/{node}", b"")  # type: ignore[attr-defined]


def _mount(machine: Machine, pool: Pool) -> None:
    """What a boot mounts, root first; the snapshots are laid where nothing can be written."""
    space = machine.space
    assert space is not None  # noqa: S101 - `host_files` has made it
    mounts = []
    for ds in pool.ordered():
        path = mountpoint(pool, ds)
        wanted = ds.rel == "ROOT/default" or ds.local.get("canmount", "on") == "on"
        if not path.startswith("/") or not wanted or ds.key or ds.kind == "volume":
            continue
        ds.mounted_at = path
        mounts.append(Mount(pool.full(ds), path, "zfs", mount_options(pool, ds)))
    mounts.sort(key=lambda m: m.path)
    tmp = Mount("tmpfs", "/tmp", "tmpfs", "rw", "local")  # noqa: S108
    machine.mounts = [mounts[0], *machine.mounts, tmp, *mounts[1:]]
    for view in space.views():
        space.lay(view)
        _lay_snapshots(machine, view.path.decode(), view.ds)


def _lay_snapshots(machine: Machine, path: str, ds: Dataset) -> None:
    files = new_files()
    for snap in ds.snapshots:
        if snap.tree is not None and machine.space is not None:
            make_dirs(files, f"/snapshot/{snap.name}")
            machine.space.lay_tree(snap.tree, files, f"/snapshot/{snap.name}")
    point = f"{path.rstrip('/')}/.zfs"
    machine.files[point] = files
    machine.read_only.add(point)
