"""A target for the engine and the content reader: a real sh, stand-ins for FreeBSD's programs.

`zfs diff` and the like print what a test has laid down; stat(1), sha256(1) and mount(8) follow
what FreeBSD's print, over real files. Snapshots are directories below `.zfs/snapshot`.
"""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.shell import standins
from tests.shell.noise import Faults
from zrwizard.freebsd.zfs_inspect import Dataset, Snapshot
from zrwizard.preview.inventory import Inventory
from zrwizard.shell.readonly import ReadOnly
from zrwizard.shell.session import ShellSession

ZFS = """#!/bin/sh
echo "zfs $*" >> {here}/log
name=$(echo "$*" | tr '/@ ,' '____')
echo $$ > {here}/pid
[ -x "{here}/zfs/$name" ] && exec "{here}/zfs/$name"
case "$1" in
get) echo -;;
*) echo "cannot open '$name': dataset does not exist" >&2; exit 1;;
esac
"""
STAT = """#!{python} -IS
import os, stat, sys
flag, form, *paths = sys.argv[1:]
assert (flag, form, paths[0]) == ("-f", {form!r}, "--"), sys.argv
paths = paths[1:]
open({log!r}, "a").write("stat %d\\n" % len(paths))
status = 0
for number, path in enumerate(paths, 1):
    try:
        s = os.lstat(path)
    except OSError as error:
        sys.stdout.flush()
        name = os.fsencode(path)
        os.write(2, b"stat: " + name + b": lstat: " + error.strerror.encode() + b"\\n")
        status = 1
        continue
    times = ("%d.%09d" % divmod(t, 10**9) for t in (s.st_atime_ns, s.st_mtime_ns, s.st_ctime_ns))
    cells = (number, "%o" % s.st_mode, s.st_nlink, s.st_uid, s.st_gid, "root", "(wheel)", s.st_size)
    print(*cells, s.st_ino, "-", *times, "-1.000000000", sep="\\t")
sys.exit(status)
"""
SHA256 = """#!/bin/sh
[ $# = 2 ] && [ "$1" = -q ] || exit 64
echo sha256 >> {here}/log
sha256sum < "$2" | cut -c 1-64
"""
FORMAT = "%@%t%p%t%l%t%u%t%g%t%Su%t%Sg%t%z%t%i%t%Sf%t%Fa%t%Fm%t%Fc%t%FB"


class Target:
    """What a test lays down in `here`: answers of zfs, files of datasets and their snapshots."""

    def __init__(self, here: Path) -> None:
        self.here = here
        for name in ("zfs", "mnt"):
            shutil.rmtree(here / name, ignore_errors=True)
            (here / name).mkdir(parents=True)
        (here / "log").write_text("")
        (here / "mounts").write_text("")
        stat = STAT.format(python=sys.executable, form=FORMAT, log=str(here / "log"))
        self.programs = standins.write(
            here / "bin",
            {
                "zfs": ZFS.format(here=here),
                "zpool": f"#!/bin/sh\necho \"History for 'tank':\"\necho zpool >> {here}/log\n",
                "stat": stat,
                "sha256": SHA256.format(here=here),
                "mount": f'#!/bin/sh\n[ "$*" = -p ] || exit 64\ncat {here}/mounts\n',
            },
        )
        self.datasets: list[Dataset] = []
        self.snapshots: list[Snapshot] = []
        self.mounts: dict[str, bytes] = {}

    def zfs(self, words: str, script: str) -> None:
        """Let `zfs WORDS` run the sh `script`."""
        path = self.here / "zfs" / words.translate(str.maketrans("/@ ,", "____"))
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)

    def diff(self, older: str, newer: str, script: str) -> None:
        """Let the comparison of both run the sh `script`."""
        self.zfs(f"diff -FHt {older} {newer}", script)

    def lines(self, older: str, newer: str, *lines: str) -> None:
        """Let the comparison print `lines`, as zfs escapes them."""
        text = self.here / f"lines-{len(list(self.here.iterdir()))}"
        text.write_text("".join(f"{line}\n" for line in lines))
        self.diff(older, newer, f"exec cat {text}")

    def dataset(self, name: str, *tags: str, kind: str = "filesystem", born: int = 1) -> Path:
        """Have a dataset, mounted, with snapshots whose files may be put below `.zfs/snapshot`."""
        mount = self.here / "mnt" / name.replace("/", "-")
        number = len(self.datasets) + 1
        self.datasets.append(
            Dataset(
                name=name,
                kind=kind,
                guid=number,
                creation=1_000_000_000,
                createtxg=born,
                used=1000,
                referenced=700,
                written=70,
                logical_used=2000,
                logical_referenced=1400,
                origin=None,
                canmount="on",
                mounted=kind == "filesystem",
                atime=False,
                encryption=None,
                keystatus=None,
                mountpoint=os.fsencode(mount),
            )
        )
        if kind == "filesystem":
            mount.mkdir(parents=True)
            self.mounts[name] = os.fsencode(mount)
            with (self.here / "mounts").open("a") as stream:
                stream.write(f"{name}\t\t{mount}\tzfs\trw\t0\t0\n")
        for tag in tags:
            self.snapshot(name, tag)
            if kind == "filesystem":
                (mount / ".zfs" / "snapshot" / tag).mkdir(parents=True)
        return mount

    def snapshot(self, name: str, tag: str) -> None:
        """Have a snapshot: `a` is older than `b`."""
        txg = 100 * (1 + ord(tag[0]) - ord("a"))
        self.snapshots.append(
            Snapshot(
                name=f"{name}@{tag}",
                guid=len(self.snapshots) + 100,
                creation=1_000_000_000 + txg,
                createtxg=txg,
                used=10,
                referenced=100 * txg,
                written=50,
                logical_referenced=200 * txg,
            )
        )

    def inventory(self) -> Inventory:
        """What `look` would find."""
        return Inventory("tank", tuple(self.datasets), tuple(self.snapshots), self.mounts)

    @property
    def log(self) -> list[str]:
        """What was run, one a line."""
        return (self.here / "log").read_text().splitlines()

    @property
    def pid(self) -> int:
        """The process of the last zfs."""
        return int((self.here / "pid").read_text())

    @contextmanager
    def session(self, faults: Faults | None = None) -> Iterator[ShellSession]:
        """Yield a session on it."""
        with standins.opened(self.programs, token="e", faults=faults) as session:
            yield session

    @contextmanager
    def shell(self, faults: Faults | None = None, *, live: bool = False) -> Iterator[ReadOnly]:
        """Yield a shell that only looks at it."""
        with self.session(faults) as session:
            yield ReadOnly(session, allow_temporary_snapshot=live)


def escaped(path: bytes) -> str:
    """`path` as zfs diff writes it (facts B5)."""
    return "".join(
        chr(byte) if 0x20 < byte < 0x7F and byte != 0x5C else f"\\{byte:04o}" for byte in path
    )


def line(kind: str, type: str, path: bytes, new: bytes | None = None, extra: str = "") -> str:
    """One line of zfs diff -FHt."""
    cells = ["1700000000.000000001", kind, type, escaped(path)]
    if new is not None:
        cells.append(escaped(new))
    if extra:
        cells.append(extra)
    return "\t".join(cells)


def quoted(path: Path) -> str:
    """`path` for a script."""
    return shlex.quote(str(path))
