"""A simulated machine: disks, cards, pools, files, processes; no behaviour of any one tool."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from zrwizard.rehearsal.clock import Clock
from zrwizard.rehearsal.hardware import Content, Disk, Nic, Partition
from zrwizard.rehearsal.process import Process
from zrwizard.rehearsal.scenario import Cut
from zrwizard.rehearsal.sshstate import Door, Master
from zrwizard.rehearsal.zfsstate import Dataset, Pool, Tree

if TYPE_CHECKING:
    from zrwizard.rehearsal.cmd_efi import Firmware
    from zrwizard.rehearsal.door import Hold
    from zrwizard.rehearsal.filespace import FileSpace
    from zrwizard.rehearsal.geli import Attached
    from zrwizard.rehearsal.process import Session
    from zrwizard.rehearsal.sshdstate import Sshd
    from zrwizard.rehearsal.tty import Tty
    from zrwizard.rehearsal.zfsplan import StreamPlan


LONG = 64
"""Characters of a command line below which no key can stand in it."""


@dataclass(slots=True)
class Mount:
    """A line of the mount table."""

    special: str
    path: str
    kind: str
    options: str
    listed: str = ""


@dataclass(slots=True)
class Where:
    """A disk or a partition: the place that a /dev name stands for."""

    disk: Disk
    part: Partition | None
    name: str

    @property
    def offset(self) -> int:
        """First byte on the disk."""
        return self.part.start * self.disk.sector if self.part else 0

    @property
    def size(self) -> int:
        """Size in bytes."""
        return self.part.count * self.disk.sector if self.part else self.disk.size

    @property
    def content(self) -> Content:
        """What is written there."""
        return self.disk.content(self.offset)


SSH_WINDOW = 2 << 20


@dataclass(eq=False)
class Machine:
    """The whole state of a machine. Only the rehearsal's own loop touches it."""

    name: str
    clock: Clock
    rng: random.Random
    disks: list[Disk]
    nics: list[Nic]
    hostname: str = ""
    home: str = "/"
    live: bool = True
    dhcp: bool = True
    network: dict[str, Door] = field(default_factory=dict)
    door: Door | None = None
    far_ends: dict[str, Machine] = field(default_factory=dict)
    cable_cut: bool = False
    tty: Tty | None = None
    files: dict[str, Any] = field(default_factory=dict)
    pools: dict[str, Pool] = field(default_factory=dict)
    modules: list[str] = field(default_factory=lambda: ["kernel"])
    sysctls: dict[str, str] = field(default_factory=dict)
    kenv: dict[str, str] = field(default_factory=dict)
    mounts: list[Mount] = field(default_factory=list)
    swaps: list[str] = field(default_factory=list)
    gateway: str = ""
    route_nic: str = ""
    masters: dict[str, Master] = field(default_factory=dict)
    processes: dict[int, Process] = field(default_factory=dict)
    attached: list[Attached] = field(default_factory=list)
    """GELI providers that are attached, in the order in which they were."""
    detached: set[asyncio.Future[Any]] = field(default_factory=set)
    shells: WeakSet[Session] = field(default_factory=WeakSet)
    next_pid: int = 700
    nodes: set[str] = field(default_factory=set)
    fifos: set[str] = field(default_factory=set)
    promises: dict[str, bytes] = field(default_factory=dict)
    """What went through a fifo that somebody reads in the background; see `pipes`."""
    shadowed: bool = False
    going_down: str = ""
    down: asyncio.Event = field(default_factory=asyncio.Event)
    booted: float = 0.0
    accidents: list[str] = field(default_factory=list)
    on_command: Callable[[Machine, str, list[str]], None] | None = None
    """Is told of each program right before it runs, with its arguments."""
    send_rate: float = 60e6
    """Bytes a second that the network brings, of all streams together."""
    round_trip: float = 0.0005
    """Seconds over the network and back."""
    streams: dict[str, StreamPlan] = field(default_factory=dict)
    cuts: list[Cut] = field(default_factory=list)
    """Accidents of the network that are still to come, the next one first."""
    carried: int = 0
    """Bytes of streams that went over the network since the last of them."""
    space: FileSpace | None = None
    """The files of an installed host, where they are known with all that they are."""
    ufs: dict[str, Dataset] = field(default_factory=dict)
    """The files of UFS file systems by their device, as if each were a data set."""
    temporary: list[str] = field(default_factory=list)
    """Snapshots that zfs diff made for itself and took away again."""
    read_only: set[str] = field(default_factory=set)
    """Virtual file systems that nothing can write to."""
    openssh: str = "OpenSSH_9.0p1"
    openssl: str = "OpenSSL 1.1.1q-freebsd  5 Jul 2022"
    zfs_version: str = "2.1.99-FreeBSD_gcb01da680"
    sshds: list[Sshd] = field(default_factory=list)
    sshd_refuses: str = ""
    """What sshd says of every configuration, empty where it reads them."""
    listening: dict[int, int] = field(default_factory=dict)
    """Who listens: process by TCP port."""
    holds: dict[str, Hold] = field(default_factory=dict)
    """Sessions of the receiver that have their disk, by the name of the configuration."""
    foreign_ports: dict[int, str] = field(default_factory=dict)
    addresses: tuple[str, ...] = ()
    """Where the operator's machine reaches it."""
    clock_skew: float = 0.0
    """By how many seconds its own clock is ahead."""
    tmp_size: int = 20 << 20
    umask: int = 0o022
    """That of the shell which ran last: what it made has it."""
    replug: bool = False
    """Its USB disks come back in another order once one was detached."""
    lacks: frozenset[str] = frozenset()
    """Programs that its medium does not bring."""
    firmware: Firmware | None = None
    """Its variables, where it was started by UEFI."""
    pull_usb: Callable[[], None] = lambda: None
    long_commands: list[str] = field(default_factory=list)
    """Argument lists in which a key could be hidden, as ps would have shown them."""
    kernel_id: str = "FreeBSD 14.0-CURRENT #0: Sat Nov 21 19:17:32 UTC 2026"

    @property
    def stream_rate(self) -> float:
        """Bytes a second that one stream of ssh brings: at most its window in a round trip."""
        return min(self.send_rate, SSH_WINDOW / self.round_trip)

    def now(self) -> float:
        """Seconds since the epoch by the machine's own clock.

        Where certificates are looked at it goes as fast as the operator's, whatever the speed.
        """
        return (time.time() if self.ufs else self.clock.now()) + self.clock_skew

    def new_process(self, command: str, parent: int = 1) -> Process:
        """A fresh entry of the process table."""
        self.next_pid += 1
        if len(command) > LONG:
            self.long_commands.append(command)
        process = Process(self.next_pid, parent, command, group=self.next_pid)
        self.processes[process.pid] = process
        return process

    def mounted_files(self) -> Iterator[tuple[str, Any, bool]]:
        """Virtual file systems by mount point, outermost first; the live root is read-only."""
        for path in sorted(self.files):
            yield path, self.files[path], (path == "/" and self.live) or path in self.read_only

    def kernel(self, *lines: str) -> None:
        """The kernel prints lines on the console, unless it is muted."""
        if self.tty is not None and self.sysctls.get("kern.consmute", "0") == "0":
            for line in lines:
                self.tty.kernel(line)

    def load(self, module: str) -> None:
        """Load a kernel module with what it depends on; silent where it is loaded."""
        if module in self.modules:
            return
        self.modules.append(module)
        needs = {
            "zfs": ("xdr", "crypto", "zlib"),
            "aesni": ("crypto", "zlib"),
            "cryptodev": ("crypto", "zlib"),
            "geom_eli": ("crypto", "zlib"),
        }
        self.modules += [n for n in needs.get(module, ()) if n not in self.modules]
        if module == "zfs":
            self.kernel(
                "ZFS filesystem version: 5", "ZFS storage pool version: features support (5000)"
            )

    def disk(self, name: str) -> Disk | None:
        """The disk called `name` (with or without /dev/)."""
        name = name.removeprefix("/dev/")
        return next((d for d in self.disks if d.name == name), None)

    def places(self) -> Iterator[Where]:
        """Every disk and partition of the machine."""
        for disk in self.disks:
            yield Where(disk, None, disk.name)
            if disk.table is not None:
                for part in sorted(disk.table.parts.values(), key=lambda p: p.index):
                    yield Where(disk, part, f"{disk.name}p{part.index}")
        for made in self.attached:
            yield Where(made.geli.inner, None, made.name)

    def place(self, name: str) -> Where | None:
        """The disk or partition behind a device name: `vtbd0`, `vtbd0p4`, `gpt/zfs0`."""
        name = name.removeprefix("/dev/")
        for where in self.places():
            if where.name == name:
                return where
            if where.part is not None and where.part.label and name == f"gpt/{where.part.label}":
                return Where(where.disk, where.part, name)
        return None

    def refresh_nodes(self) -> None:
        """Make /dev show the disks and partitions that there are."""
        root = self.files.get("/")
        if root is None:
            return
        wanted = {f"/dev/{w.name}" for w in self.places()} | {
            f"/dev/gpt/{w.part.label}" for w in self.places() if w.part and w.part.label
        }
        for path in self.nodes - wanted:
            if root.exists(path):
                root.remove(path)
        for path in wanted:
            make_dirs(root, path.rpartition("/")[0])
            root.write_file(path, b"")
        if not any(p.startswith("/dev/gpt/") for p in wanted) and root.exists("/dev/gpt"):
            root.remove("/dev/gpt", recursive=True)
        self.nodes = wanted

    def users(self, where: Where) -> list[str]:
        """What holds a place open: pools, mounts, swap; for a disk also its partitions."""
        names = {where.name}
        if where.part is not None:
            names |= {f"{where.disk.name}p{where.part.index}", f"gpt/{where.part.label}"}
        found = [
            f"pool {p.name}"
            for p in self.pools.values()
            for one in p.devices
            if one.disk == where.disk.name
            and one.offset == where.offset
            and (where.part is not None) == (one.device != where.disk.name)
        ]
        found += [
            f"mount {m.path}" for m in self.mounts if m.special.removeprefix("/dev/") in names
        ]
        found += [f"swap {s}" for s in self.swaps if s.removeprefix("/dev/") in names]
        found += [
            f"geli {a.name}"
            for a in self.attached
            if a.disk is where.disk and a.offset == where.offset and a.provider in names
        ]
        if where.part is None:
            for inner in self.places():
                if inner.disk is where.disk and inner.part is not None:
                    found += self.users(inner)
            found += ["medium"] * where.disk.opened
        return found

    def dataset(self, full: str) -> tuple[Pool, Dataset] | None:
        """Pool and dataset of an imported `pool/path`."""
        pool_name, _, rel = full.partition("/")
        pool = self.pools.get(pool_name)
        ds = pool.datasets.get(rel) if pool else None
        return (pool, ds) if pool is not None and ds is not None else None

    def fs_for(self, path: str) -> tuple[Any, str]:
        """The virtual file system that holds `path`, and the path inside it."""
        best = max((p for p in self.files if p in ("/", path) or path.startswith(p + "/")), key=len)
        return self.files[best], path if best == "/" else path[len(best) :] or "/"

    def lay(self, path: str, tree: Tree) -> None:
        """Make `tree` visible below `path` (mounting something)."""
        make_dirs(*self.fs_for(path))
        for rel, data in sorted(tree.items()):
            fs, inner = self.fs_for(f"{path.rstrip('/')}/{rel}")
            if data is None:
                make_dirs(fs, inner)
            else:
                make_dirs(fs, inner.rpartition("/")[0] or "/")
                fs.write_file(inner, data)

    def gather(self, path: str) -> Tree:
        """What is below `path` now, other mounts left out."""
        inner = {m.path for m in self.mounts if m.path.startswith(path.rstrip("/") + "/")}
        fs, start = self.fs_for(path)
        tree: Tree = {}

        def walk(at: str, rel: str) -> None:
            for entry in fs.read_dir(at):
                child = f"{rel}/{entry['name']}" if rel else str(entry["name"])
                if f"{path.rstrip('/')}/{child}" in inner:
                    continue
                full = f"{at.rstrip('/')}/{entry['name']}"
                kind = entry["metadata"]["file_type"]
                if kind == "directory":
                    tree[child] = None
                    walk(full, child)
                elif kind == "symlink":
                    tree[child] = b""
                else:
                    tree[child] = bytes(fs.read_file(full))

        if fs.exists(start):
            walk(start, "")
        return tree

    def clear(self, path: str, tree: Tree) -> None:
        """Take what `gather` found away again (unmounting something)."""
        for rel in sorted(tree, reverse=True):
            fs, inner = self.fs_for(f"{path.rstrip('/')}/{rel}")
            if fs.exists(inner):
                fs.remove(inner, recursive=False)

    def accident(self, what: str) -> None:
        """Something happened that must never happen to a real machine."""
        if what not in self.accidents:
            self.accidents.append(what)

    def go_down(self, how: str) -> None:
        """Begin a shutdown: `reboot` or `poweroff`."""
        self.going_down = how
        self.down.set()


def make_dirs(fs: Any, path: str) -> None:
    """mkdir -p inside one virtual file system."""
    if path not in ("", "/") and not fs.exists(path):
        fs.mkdir(path, recursive=True)


def new_files() -> Any:
    """An empty virtual file system (bashkit's begins with a few directories)."""
    from bashkit import FileSystem  # noqa: PLC0415 - see process.interpreter

    fs = FileSystem()
    for entry in fs.read_dir("/"):
        fs.remove(f"/{entry['name']}", recursive=True)
    return fs
