"""knox: an old laptop with FreeBSD on its own disk, and two USB disks, one of them to be used."""

from __future__ import annotations

import random

from zrwizard.rehearsal import gpt
from zrwizard.rehearsal.boxtext import EXECUTABLE, IDENT, PRIVATE, box_tree
from zrwizard.rehearsal.clock import Clock
from zrwizard.rehearsal.filespace import FileSpace
from zrwizard.rehearsal.geli import Keys, detach, make, rename
from zrwizard.rehearsal.hardware import Content, Disk, Nic
from zrwizard.rehearsal.machine import Machine, Mount, Where, make_dirs, new_files
from zrwizard.rehearsal.rawname import narrow
from zrwizard.rehearsal.scenario import Scenario
from zrwizard.rehearsal.shellcopy import adopt
from zrwizard.rehearsal.sshdstate import Sshd, host_keys
from zrwizard.rehearsal.targets import old_pool
from zrwizard.rehearsal.zfsfiles import FileTree
from zrwizard.rehearsal.zfsprops import COMPATIBILITY_FILES
from zrwizard.rehearsal.zfsstate import Dataset

GIB = 1 << 30
PASSPORT = 1_000_170_586_112
"""Bytes of a 1 TB WD My Passport."""
TRAP_SERIAL = "WX61A65P3K0T"
ROOT, SWAP = "/dev/ada0p2", "/dev/ada0p3"
ADDRESS = "192.168.7.20"
NAMES = ("knox", "knox.example.net")


def make_box(scenario: Scenario, clock: Clock, rng: random.Random) -> Machine:
    """The machine as it was when it came up: nothing of ours on it yet."""
    disks = [_own_disk(rng), _passport("da0", scenario.disk_serial, 1)]
    if scenario.trap_disk:
        trap = _passport("da1", TRAP_SERIAL, 2)
        old_pool(trap, "photos", rng, clock)
        trap.other_owner = True
        disks.append(trap)
    nics = [Nic("em0", "08:00:27:3b:7a:11", up=True, address=ADDRESS, dhclient=412)]
    machine = Machine(
        "knox",
        clock,
        rng,
        disks,
        nics,
        hostname="knox",
        home="/root",
        live=False,
        kernel_id=IDENT,
        openssh=scenario.openssh,
        openssl="OpenSSL 3.0.12 24 Oct 2023",
        zfs_version="2.2.0-FreeBSD_g95785196f",
        addresses=(ADDRESS, *NAMES),
    )
    machine.clock_skew = scenario.clock_skew
    machine.gateway, machine.route_nic = "192.168.7.1", "em0"
    machine.sysctls = {
        "machdep.bootmethod": scenario.firmware,
        "kern.hostid": "2803476521",
        "kern.hostuuid": "1f6d2a60-86ab-11ee-9a3c-0800273b7a11",
        "hw.physmem": "4184350720",
        "hw.realmem": "4294967296",
        "hw.model": "Intel(R) Core(TM)2 Duo CPU     P8600  @ 2.40GHz",
        "kern.osreldate": "1400097",
        "kern.random.initial_seeding.bypass_before_seeding": "1",
        "dev.cpu.0.freq": "2401",
        "dev.cpu.0.freq_levels": "2401/35000 2400/35000 1600/15000 800/12000",
        "hw.usb.no_pf": "0",
        "kern.boottime": "{ sec = 1700000000, usec = 0 } Tue Nov 14 22:13:20 2023",
    }
    machine.kenv = {
        "smbios.system.maker": "LENOVO",
        "smbios.system.product": "2767WB7",
        "smbios.system.version": "ThinkPad T400",
        "smbios.system.serial": "L3AB1C2",
        "smbios.bios.vendor": "LENOVO",
        "smbios.bios.version": "7UET94WW (3.24 )",
    }
    machine.foreign_ports = {scenario.busy_port: "pyhttpd"} if scenario.busy_port else {}
    machine.replug = scenario.replug
    machine.pull_usb = lambda: replug(machine)
    _what_was_there(scenario, machine)
    machine.booted = clock.now()
    return machine


def _own_disk(rng: random.Random) -> Disk:
    disk = Disk(
        "ada0",
        60_022_480_896,
        "0NHFTQ0A12",
        "INTEL SSDSA2M080G2GC",
        rotation="0",
        attachment="ahcich0",
        vendor="INTEL SSDSA2M080G2GC 2CV102HD",
        bus=0,
        rate=240e6,
    )
    disk.table = gpt.new_table(disk)
    for index, kind, size in (
        (1, "freebsd-boot", 512 << 10),
        (2, "freebsd-ufs", 52 * GIB),
        (3, "freebsd-swap", 2 * GIB),
    ):
        room = gpt.autofill(disk.table, None, size // disk.sector, 4096 // disk.sector)
        gpt.place(disk, disk.table, room, kind=kind, index=index, label="", rng=rng)
    disk.writes = 0
    return disk


def _passport(name: str, serial: str, bus: int) -> Disk:
    return Disk(
        name,
        PASSPORT,
        serial,
        "WD My Passport 0820",
        stripe=4096,
        heads=255,
        attachment="umass-sim0",
        vendor="WD My Passport 0820 1007",
        bus=bus,
        rate=108e6,
    )


def _what_was_there(scenario: Scenario, machine: Machine) -> None:
    """The faults of a disk that somebody used before."""
    disk = machine.disks[1]
    if scenario.old_geli_on_disk:
        where = Where(disk, None, disk.name)
        key = Keys(machine.rng.randbytes(64))
        make(machine.rng, where, sector=4096, keylen=256, flags=0x200, key=key)
    if scenario.disk_in_use or scenario.old_pool_on_disk:
        old_pool(disk, "attic", machine.rng, machine.clock)
    if scenario.disk_in_use:
        pool = next(c.pool for c in disk.contents.values() if c.pool is not None)
        pool.active_on, pool.exported = machine.name, False
        machine.pools[pool.name] = pool
        machine.load("zfs")
    disk.writes = 0


def box_files(machine: Machine, scenario: Scenario) -> None:
    """The files of the running machine: its UFS root, /tmp in memory, /dev; its daemons."""
    files = new_files()
    machine.files = {"/": files, "/tmp": new_files()}  # noqa: S108 - the simulated machine's
    machine.lay("/", box_tree())
    for name in COMPATIBILITY_FILES:
        files.write_file(f"/usr/share/zfs/compatibility.d/{name}", b"# features\n")
    keys = host_keys(machine)
    for name, data in keys.files.items():
        files.write_file(f"/etc/ssh/{name}", data)
    for name in EXECUTABLE:
        files.chmod(name, 0o555)
    base = FileTree()
    base.begin(int((machine.clock.now() - 40 * 86400) * 1e9), 128)
    adopt(files, base, {"/dev", "/tmp"})  # noqa: S108
    for path, mode in PRIVATE.items():
        base.change(narrow(path), mode=mode)
    for name in keys.files:
        base.change(narrow(f"/etc/ssh/{name}"), mode=0o644 if name.endswith(".pub") else 0o600)
    make_dirs(files, "/dev")
    files.write_file("/dev/tty", b"\x01TTY\n" * 4000)
    for node in ("null", "console", "zero", "random", "urandom", "ttyu0"):
        files.write_file(f"/dev/{node}", b"")
    root = Dataset("", 0x5F1AB2C3, 1, int(machine.booted), tree=base)
    machine.ufs = {ROOT: root}
    access = "ro" if scenario.read_only_root else "rw"
    shown = "local, read-only" if scenario.read_only_root else "local, soft-updates"
    machine.mounts = [
        Mount(ROOT, "/", "ufs", access, shown),
        Mount("devfs", "/dev", "devfs", "rw"),
        Mount("tmpfs", "/tmp", "tmpfs", "rw", "local"),  # noqa: S108
    ]
    if scenario.read_only_root:
        machine.read_only.add("/")
    machine.tmp_size = 0 if scenario.tmp_full else 64 << 20
    machine.swaps = [SWAP]
    machine.space = FileSpace(machine)
    for view in machine.space.views():
        machine.space.lay(view)
    machine.nodes.clear()
    machine.refresh_nodes()
    _daemons(machine)
    machine.sshd_refuses = scenario.sshd_refuses


def _daemons(machine: Machine) -> None:
    """What a boot of this machine starts."""
    for command in (
        "/usr/sbin/syslogd -s",
        "/usr/sbin/ntpd -p /var/db/ntp/ntpd.pid -c /etc/ntp.conf -f /var/db/ntp/ntpd.drift -g",
        "/usr/sbin/cron -s",
        "sendmail: accepting connections (sendmail)",
    ):
        machine.new_process(command)
    for port, command in machine.foreign_ports.items():
        machine.listening[port] = machine.new_process(f"{command}: {port}").pid
    Sshd.start(machine, "/etc/ssh/sshd_config", ())


def replug(machine: Machine) -> None:
    """Both USB disks are pulled out and come back in the other order, as the kernel saw them."""
    for made in list(machine.attached):
        machine.accident(f"{made.name} was still attached when its disk was pulled out")
        detach(machine, made)
    usb = [d for d in machine.disks if d.name.startswith("da")]
    lines = [f"{d.name}: <{d.vendor}>  s/n {d.serial} detached" for d in usb]
    names = [d.name for d in reversed(usb)]
    if len(usb) == 1:
        names = ["da0" if usb[0].name == "da1" else "da1"]
    for disk, new in zip(usb, names, strict=True):
        rename(disk, new)
    lines += [f"{d.name}: <{d.vendor}> Fixed Direct Access SPC-4 SCSI device" for d in usb]
    machine.kernel(*lines)
    machine.refresh_nodes()


def content_text(content: Content) -> bytes:
    """The raw bytes that a place of a disk holds: what was written, and GELI's metadata."""
    return content.head + (content.geli.block() if content.geli else b"")
