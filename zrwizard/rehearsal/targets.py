"""The target: its disks and cards, its files, and what a power cycle leaves of them."""

from __future__ import annotations

import random

from zrwizard.rehearsal import gpt
from zrwizard.rehearsal.clock import Clock
from zrwizard.rehearsal.cmd_efi import old_firmware
from zrwizard.rehearsal.geli import rename
from zrwizard.rehearsal.hardware import Content, Disk, Nic
from zrwizard.rehearsal.machine import Machine, Mount, make_dirs, new_files
from zrwizard.rehearsal.medium import BOOT_SIZES, live_tree
from zrwizard.rehearsal.scenario import Scenario, Start
from zrwizard.rehearsal.zfsprops import features_of
from zrwizard.rehearsal.zfsstate import Dataset, Pool, usable_size

GIB = 1 << 30
ROOT_DEVICE = "/dev/iso9660/14_0_CURRENT_AMD64_CD"


def make_target(scenario: Scenario, clock: Clock, rng: random.Random) -> Machine:
    """hostC, as the scenario wants it."""
    sizes = [(scenario.disk_size, scenario.disk_serial), *scenario.more_disks]
    disks = [
        Disk(f"vtbd{n}", size, serial, rotation=scenario.disk_rotation)
        for n, (size, serial) in enumerate(sizes)
    ]
    nics = [Nic("em0", "02:49:be:ad:ba:be", link=scenario.link)]
    cd = Disk(
        "cd0",
        107241472,
        "",
        "QEMU QEMU DVD-ROM",
        sector=2048,
        heads=0,
        track=0,
        vendor="QEMU QEMU DVD-ROM 2.5+",
        bus=1,
        read_only=True,
        opened=1,
    )
    da0 = Disk(
        "da0",
        GIB,
        "SCSI0001",
        "WD MyPassport",
        stripe=4096,
        heads=64,
        track=32,
        attachment="vtscsi0",
        vendor="WD MyPassport 2.5+",
        bus=2,
        zoned=True,
    )
    if scenario.recorded_machine:
        disks[0].size = 4 * GIB
        ada0 = Disk(
            "ada0",
            GIB,
            "SATA0001",
            "QEMU HARDDISK",
            rotation="5400",
            vendor="QEMU HARDDISK 2.5+",
            bus=3,
        )
        disks += [Disk("vtbd1", 4 * GIB, "ZRDISK0002"), cd, ada0, da0]
        nics.append(
            Nic(
                "vtnet0",
                "52:54:00:99:00:01",
                options="80028<VLAN_MTU,JUMBO_MTU,LINKSTATE>",
                media="Ethernet autoselect (10Gbase-T <full-duplex>)",
            )
        )
    else:
        disks.append(cd)
        if scenario.trap_disk:
            old_pool(da0, "photos", rng, clock)
            da0.other_owner = True
            disks.append(da0)
    machine = Machine("hostC", clock, rng, disks, nics, dhcp=scenario.dhcp)
    machine.kenv = {
        "smbios.system.maker": "QEMU",
        "smbios.system.product": "Standard PC (i440FX + PIIX, 1996)",
        "smbios.bios.vendor": "SeaBIOS",
        "comconsole_speed": "115200",
    }
    machine.sysctls = {"machdep.bootmethod": scenario.firmware}
    if scenario.firmware == "UEFI":
        machine.firmware = old_firmware()
    else:
        machine.lacks = frozenset({"efibootmgr"})  # as on the medium of the transcripts
    if scenario.old_pool_on_disk:
        old_pool(disks[0], "zroot", rng, clock, host="hostA", hostid=0x4B2FCD83)
    if scenario.old_marks_on_disk:
        old_marks(disks[0], rng)
    if scenario.disk_in_use:
        old_pool(disks[0], "zroot", rng, clock)
        pool = next(c.pool for c in disks[0].contents.values() if c.pool is not None)
        pool.active_on, pool.exported, pool.altroot = machine.name, False, "/mnt"
        machine.pools[pool.name] = pool
        machine.modules.insert(1, "zfs")
    if scenario.start is Start.PASSWORD_LOGIN:
        machine.hostname = "hostA"
    machine.booted = clock.now()
    return machine


OLD_ROWS = (
    ("freebsd-boot", 40, 1024, b""),
    ("efi", 2048, 532480, b""),
    ("freebsd-swap", 534528, 4194304, b"GEOM::MIRROR\0\0\0\0\x04\0\0\0swap".ljust(36, b"\0")),
    ("freebsd-zfs", 4728832, 12046336, b"GEOM::ELI\0\0\0\0\0\0\0\x07\0\0\0"),
)
"""What the installer makes on 8 GiB, swap mirrored and the pool encrypted."""


def old_marks(disk: Disk, rng: random.Random) -> None:
    """A table like the one that is to be made, with metadata in the last sectors."""
    disk.table = gpt.new_table(disk)
    for index, (kind, start, count, tail) in enumerate(OLD_ROWS, 1):
        where = (start, count)
        part = gpt.place(
            disk, disk.table, where, kind=kind, index=index, label=f"old{index}", rng=rng
        )
        size = part.count * disk.sector
        disk.contents[part.start * disk.sector] = Content(size, tail=tail)
    disk.writes = 0


def old_pool(
    disk: Disk, name: str, rng: random.Random, clock: Clock, *, host: str = "", hostid: int = 0
) -> None:
    """A GPT with one partition and a pool in it, exported unless a host still owns it."""
    disk.table = gpt.new_table(disk)
    room = gpt.autofill(disk.table, None, None, 2048)
    part = gpt.place(disk, disk.table, room, kind="freebsd-zfs", index=1, label=f"{name}0", rng=rng)
    size = part.count * disk.sector
    offset = part.start * disk.sector
    when = int(clock.now()) - 40 * 86400
    pool = Pool(
        name,
        rng.getrandbits(63),
        f"gpt/{part.label}",
        disk.name,
        offset,
        usable_size(size),
        12,
        features=features_of("off"),
        exported=not hostid,
        last_host=host,
        last_hostid=hostid,
        last_access=when,
    )
    pool.datasets[""] = Dataset("", rng.getrandbits(63), 1, when, bulk=300 << 20)
    pool.datasets["2024"] = Dataset("2024", rng.getrandbits(63), 12, when + 60, bulk=120 << 20)
    disk.overwrite(offset, Content(size, pool=pool))
    disk.writes = 0


def swap(machine: Machine, one: str, other: str) -> None:
    """Two disks come back under each other's names; KeyError where there are none such."""
    named = {disk.name: disk for disk in machine.disks}
    first, second = named[one], named[other]
    rename(first, "-")
    rename(second, one)
    rename(first, other)
    at, to = machine.disks.index(first), machine.disks.index(second)
    machine.disks[at], machine.disks[to] = second, first


def live_files(machine: Machine) -> None:
    """Fresh file systems as after a boot: read-only root and RAM disks on a live medium."""
    machine.files = {"/": new_files()}
    for path in ("/tmp", "/var", "/mnt", "/media"):  # noqa: S108 - the simulated machine's
        machine.files[path] = new_files()
    machine.lay("/", live_tree())
    root = machine.files["/"]
    for name in BOOT_SIZES:
        if root.exists(f"/boot/{name}"):
            root.chmod(f"/boot/{name}", 0o555 if name == "loader" else 0o444)
    make_dirs(root, "/dev")
    root.write_file("/dev/tty", b"\x01TTY\n" * 4000)
    for node in ("console", "zero", "random", "urandom", "ttyu0"):
        root.write_file(f"/dev/{node}", b"")
    for path in ("/var/run", "/var/log", "/var/tmp", "/var/backups"):  # noqa: S108
        machine.lay(path, {})
    if machine.live:
        machine.lay("/tmp/bsdinstall_etc", {})  # noqa: S108
        if not root.exists("/etc/resolv.conf"):
            root.symlink("/tmp/bsdinstall_etc/resolv.conf", "/etc/resolv.conf")  # noqa: S108
        machine.mounts = [
            Mount(ROOT_DEVICE, "/", "cd9660", "ro", "local, read-only"),
            Mount("devfs", "/dev", "devfs", "rw"),
            Mount("tmpfs", "/tmp", "tmpfs", "rw", "local"),  # noqa: S108
            Mount("tmpfs", "/var", "tmpfs", "rw", "local"),
        ]
    else:
        machine.mounts = [
            Mount("zroot/ROOT/default", "/", "zfs", "rw,noatime,nfsv4acls"),
            Mount("devfs", "/dev", "devfs", "rw"),
        ]
    machine.nodes.clear()
    machine.refresh_nodes()


def power_cycle(machine: Machine) -> None:
    """Everything that a restart loses: processes, mounts, RAM disks, addresses, imports."""
    for task in list(machine.detached):
        task.cancel()
    for pool in machine.pools.values():
        # Not exported: the label still names the last system, as after any reboot.
        pool.active_on, pool.altroot = "", ""
        pool.props.pop("cachefile", None)
        for ds in pool.datasets.values():
            ds.mounted_at, ds.busy, ds.pending = "", False, 0
    machine.pools.clear()
    machine.processes.clear()
    machine.masters.clear()
    machine.fifos.clear()
    machine.swaps.clear()
    machine.attached.clear()
    machine.modules[:] = ["kernel"]
    machine.gateway = machine.route_nic = ""
    for card in machine.nics:
        card.up, card.address, card.dhclient = False, "", 0
        card.ipackets = card.ibytes = card.opackets = card.obytes = 0
    machine.sysctls.pop("kern.consmute", None)
    machine.sysctls.pop("kern.hostid", None)
    machine.live, machine.hostname, machine.home = True, "", "/"
    machine.kernel_id = "FreeBSD 14.0-CURRENT #0: Sat Nov 21 19:17:32 UTC 2026"
    machine.shadowed, machine.going_down = False, ""
    machine.down.clear()
    if machine.tty is not None:
        machine.tty.rows = machine.tty.cols = 0
    live_files(machine)
    machine.booted = machine.clock.now()
