"""What changed between two snapshots, found without zfs diff: every file of both is looked at.

Each snapshot is mounted aside by Linux' own mount and read with find, stat and sha256sum; zdb adds
the generation of every object, which tells a file from a later one with the same inode number. What
the preview must then say follows from these rules, which are those of zfs-diff(8) and of
lib/libzfs/libzfs_diff.c:

* An object is the same on both sides if inode number, generation and type are. Otherwise the old
  one is `-` and the new one `+`: a replaced file is both.
* The same object is listed if its change time differs: content, size, mode, owner, times, number of
  links, a rename, or what is in a directory. Where only the access time differs, it is not.
* It is `M` under an unchanged path and `R` under another one; the objects below a renamed directory
  are listed only if they changed themselves, and are `R` then.
* Where the number of links of a file changed, it is `M` with the difference, under one of its older
  names if links were added, under one of its newer ones if they were dropped.
* Of a file with several names zfs knows one, on either side whichever it finds first.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from zrwizard.preview.events import Change

from .machines import Guest

POOL = "seeds"
ROOT = 0
LOOK = "/run/zg/compare"
AWAY = f"for n in {LOOK}/*; do busybox umount $n; rmdir $n || exit; done"
TYPES = {0o10: "F", 0o04: "/", 0o12: "@", 0o06: "B", 0o02: "C", 0o01: "|", 0o14: "="}
NANOSECONDS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class File:
    """One object of a snapshot; `names` are its paths in it, b'' is the root directory."""

    inode: int
    generation: int
    type: str
    mode: int
    owner: tuple[int, int]
    size: int
    links: int
    device: tuple[str, str]
    mtime: int
    ctime: int
    digest: str
    names: list[bytes] = field(default_factory=list)

    @property
    def said(self) -> tuple[object, ...]:
        """All that a reader could notice, the names and the change time excepted."""
        links = 0 if self.type == "/" else self.links
        return (self.mode, self.owner, self.size, links, self.device, self.mtime, self.digest)


Files = Mapping[int, File]
"""The files of one snapshot by inode number."""


def quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


def snapshots(guest: Guest, wanted: Iterable[str]) -> dict[str, Files]:
    """Everything in the snapshots `wanted`, by the snapshot."""
    names = sorted(set(wanted))
    # The helper mount.zfs takes longer than all the rest.
    mount = "busybox mount -i -t zfs -o ro"
    mounts = [f"mkdir {n} && {mount} {quoted(name)} {n}" for n, name in enumerate(names)]
    generation = generations(guest, POOL)
    try:
        guest.run("\n".join([f"set -e; mkdir -p {LOOK}; cd {LOOK}", *mounts]))
        found = list(trees(guest, len(names)))
    finally:
        guest.run(AWAY)
    return {name: gathered(rows, generation[name]) for name, rows in zip(names, found, strict=True)}


def live(guest: Guest, dataset: str, mount: str) -> Files:
    """Everything in a dataset as it is now, also below the mount points in it."""
    try:
        guest.run(f"sync; mkdir -p {LOOK}/0 && busybox mount -o bind {quoted(mount)} {LOOK}/0")
        rows = next(iter(trees(guest, 1)))
    finally:
        guest.run(AWAY)
    return gathered(rows, generations(guest, dataset)[dataset])


Row = tuple[bytes, str, str]
"""A path, what stat(1) says of it, and the sha256 of its content if it is a file."""


def trees(guest: Guest, count: int) -> Iterator[list[Row]]:
    """The rows of each of the directories 0, 1, ... below `LOOK`."""
    script = f"""cd {LOOK}; export TZ=UTC
    find . -mindepth 1 -print0 >../names; find . -type f -print0 >../files
    xargs -0 busybox stat -c '%i %f %u %g %s %h %t %T %y|%z' <../names >../stats
    xargs -0 /usr/bin/sha256sum -z <../files >../sums"""
    guest.run(script, timeout=300)
    names = guest.run(f"cat {LOOK}/../names").stdout.split(b"\0")[:-1]
    stats = guest.lines(f"cat {LOOK}/../stats")
    sums = guest.run(f"cat {LOOK}/../sums").stdout.split(b"\0")[:-1]
    digests = {row[66:]: row[:64].decode() for row in sums}
    found: list[list[Row]] = [[] for _ in range(count)]
    for name, said in zip(names, stats, strict=True):
        _, number, *path = name.split(b"/", 2)
        found[int(number)].append((path[0] if path else b"", said, digests.get(name, "")))
    return iter(found)


def gathered(rows: Iterable[Row], generation: Mapping[int, int]) -> Files:
    """The rows of one tree as files: those with one inode number are one."""
    found: dict[int, File] = {}
    for name, said, digest in rows:
        cells, _, changed = said.partition("|")
        inode, mode, uid, gid, size, links, major, minor, modified = cells.split(" ", 8)
        bits = int(mode, 16)
        number = int(inode) if name else generation[ROOT]
        file = File(
            number,
            generation[number],
            TYPES[bits >> 12],
            bits & 0o7777,
            (int(uid), int(gid)),
            int(size),
            int(links),
            (major, minor),
            nanoseconds(modified),
            nanoseconds(changed),
            digest,
        )
        found.setdefault(file.inode, file).names.append(name)
    return found


def nanoseconds(text: str) -> int:
    """`2026-11-22 05:33:29.163098637 +0000` since 1970."""
    seconds, _, fraction = text.removesuffix(" +0000").partition(".")
    moment = datetime.fromisoformat(seconds).replace(tzinfo=UTC)
    return int(moment.timestamp()) * NANOSECONDS + int(fraction)


def generations(guest: Guest, where: str) -> dict[str, dict[int, int]]:
    """Of a dataset, or of each dataset and snapshot of a pool: inode number to generation.

    The root directory's inode number is under `ROOT`: for a snapshot's root stat has another one.
    """
    found: dict[str, dict[int, int]] = {}
    current: dict[int, int] = {}
    number = 0
    for line in guest.run(f"zdb -dddd {where}", timeout=120).stdout.split(b"\n"):
        if row := re.match(rb"Dataset (.+) \[ZPL\], ID \d+, cr_txg ", line):
            current = found[row[1].decode()] = {}
        elif row := re.match(rb" +(\d+) +\d+ +\S+ +\S+ +\S+ +\S+ +\S+ +[\d.]+  ZFS ", line):
            number = int(row[1])
        elif line.startswith(b"\t\tROOT = "):
            current[ROOT] = int(line[9:])
        elif line.startswith(b"\tgen\t"):
            current[number] = int(line[5:])
    return found


def expected(mount: bytes, older: Files, newer: Files) -> list[set[Change]]:
    """For each line that the preview must have, the ways in which it may say it."""

    def at(name: bytes) -> bytes:
        return mount + b"/" + name  # the root directory has a slash at its end, as zfs prints it

    found: list[set[Change]] = []
    for inode in sorted({*older, *newer}):
        a, b = older.get(inode), newer.get(inode)
        if a and b and (a.generation, a.type) == (b.generation, b.type):
            if a.ctime != b.ctime:
                found.append(set(same(at, a, b)))
            else:
                assert a.said == b.said, f"changed without a change time: {a} {b}"
            continue
        if a:
            found.append({Change("-", a.type, at(name), None, 0, a.ctime) for name in a.names})
        if b:
            found.append({Change("+", b.type, at(name), None, 0, b.ctime) for name in b.names})
    return found


def same(at, a: File, b: File) -> Iterator[Change]:  # type: ignore[no-untyped-def]
    """The ways to tell of an object that was changed."""
    more = 0 if a.type == "/" else b.links - a.links
    if more:
        for name in a.names if more > 0 else b.names:
            yield Change("M", b.type, at(name), None, more, b.ctime)
    elif set(a.names) == set(b.names):
        for name in b.names:
            yield Change("M", b.type, at(name), None, 0, b.ctime)
    else:
        for old in a.names:
            for new in b.names:
                if old == new:
                    yield Change("M", b.type, at(new), None, 0, b.ctime)
                else:
                    yield Change("R", b.type, at(old), at(new), 0, b.ctime)


def disagreement(told: Iterable[Change], wanted: Sequence[set[Change]]) -> list[str]:
    """What is said too much or not at all, as lines; empty where all agree.

    Each line must be one of the ways to tell one thing, and each thing is told once.
    """
    ways = {way: number for number, ways in enumerate(wanted) for way in ways}
    wrong: list[str] = []
    heard: set[int] = set()
    for change in told:
        number = ways.get(change)
        if number is None:
            wrong.append(f"said, but it is not so: {change}")
        elif number in heard:
            wrong.append(f"said twice: {change}")
        else:
            heard.add(number)
    missing = [ways for number, ways in enumerate(wanted) if number not in heard]
    return wrong + [f"not said: {sorted(ways, key=repr)}" for ways in missing]
