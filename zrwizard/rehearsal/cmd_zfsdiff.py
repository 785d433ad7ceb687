"""zfs diff: which snapshots, whether they are reachable, and the lines as they come (B5)."""

from __future__ import annotations

import asyncio

from zrwizard.rehearsal.commands import Call
from zrwizard.rehearsal.errors import Fail
from zrwizard.rehearsal.machine import Machine
from zrwizard.rehearsal.rawname import narrow
from zrwizard.rehearsal.zfsdiff import Writer, lines
from zrwizard.rehearsal.zfsfiles import FileTree
from zrwizard.rehearsal.zfsstate import Dataset, Pool, Snapshot, referenced

USAGE = """usage:
	diff [-FHth] <snapshot> [snapshot|filesystem]

For the property list, run: zfs set|get

For the delegated permission list, run: zfs allow|unallow
"""
SETUP_SECONDS = 0.25
CHANGE_SECONDS = 0.02
BURST = 24
"""Lines that come together, as a buffer of stdio holds about as many."""
_NOT_EARLIER = "Not an earlier snapshot from the same fs"


async def diff(call: Call, args: list[str]) -> int:
    """zfs diff [-FHth] snapshot [snapshot|filesystem]; a live end costs a temporary snapshot."""
    letters, names = _options(args)
    top = (names[0] if not names[0].startswith("@") else names[-1]).partition("@")[0]
    _open(call.machine, top)
    older, newer = _ends(call.machine, names)
    temporary = None
    if "@" not in newer:
        temporary = _temporary(call, newer)
        newer = f"{newer}@{temporary.name}"
    try:
        await _print(call, older, newer, letters)
    finally:
        if temporary is not None:
            _forget(call.machine, newer, temporary)
    return 0


def _options(args: list[str]) -> tuple[str, list[str]]:
    """getopt(3) with -F, -H, -t and -h."""
    letters, rest = "", list(args)
    while rest and rest[0].startswith("-") and rest[0] != "-":
        word = rest.pop(0)
        if word == "--":
            break
        for letter in word[1:]:
            if letter not in "FHth":
                raise Fail(f"invalid option '{letter}'\n{USAGE}", 2)
            letters += letter
    if not rest:
        raise Fail(f"must provide at least one snapshot name\n{USAGE}", 2)
    if len(rest) > 2:
        raise Fail(f"too many arguments\n{USAGE}", 2)
    if rest == [rest[0]] and rest[0].startswith("@"):
        raise Fail(USAGE, 2)
    return letters, rest


def _open(m: Machine, name: str) -> tuple[Pool, Dataset]:
    known = m.dataset(name)
    if known is None:
        raise Fail(f"cannot open '{name}': dataset does not exist\n")
    if known[1].kind != "filesystem":
        raise Fail(f"cannot open '{name}': operation not applicable to datasets of this type\n")
    return known


def _ends(m: Machine, names: list[str]) -> tuple[str, str]:
    """The two full names; the second has no snapshot where the live files are meant."""
    first, sign, tag = names[0].partition("@")
    if len(names) == 1:
        if not sign or not tag:
            why = "empty component or misplaced '@'" if sign else "missing '@' delimiter"
            raise Fail(f"Badly formed snapshot name {names[0]}: {why} in snapshot name\n")
        return names[0], first
    second, sign2, tag2 = names[1].partition("@")
    if not sign or not tag or (sign2 and not tag2) or not (first or second):
        raise Fail("Unable to determine which snapshots to compare: invalid name\n")
    if first and second and first != second and not _descends(m, second, first):
        raise Fail(f"{_NOT_EARLIER}: invalid name\n")
    older = names[0] if first else f"{second}{names[0]}"
    return older, (names[1] if second else f"{first}{names[1]}")


def _descends(m: Machine, name: str, ancestor: str) -> bool:
    """Is `ancestor` the file system that the origin of `name` belongs to, however far up?"""
    seen: set[str] = set()
    while (known := m.dataset(name)) is not None and known[1].origin and name not in seen:
        seen.add(name)
        name = known[1].origin.partition("@")[0]
        if name == ancestor:
            return True
    return False


def _temporary(call: Call, name: str) -> Snapshot:
    m = call.machine
    pool, ds = _open(m, name)
    if m.space is not None:
        m.space.sync()
    snap = Snapshot(
        f"zfs-diff-{call.proc.pid}",
        m.rng.getrandbits(63),
        pool.next_txg(),
        int(m.clock.now()),
        referenced(pool, ds),
        0,
        dict(ds.files),
        ds.bulk,
        tree=ds.tree.copy() if ds.tree else None,
    )
    ds.snapshots.append(snap)
    m.temporary.append(f"{name}@{snap.name}")
    _log(m, pool, "snapshot", f"{name}@{snap.name}", snap.createtxg)
    return snap


def _forget(m: Machine, full: str, snap: Snapshot) -> None:
    known = m.dataset(full.partition("@")[0])
    if known is not None and snap in known[1].snapshots:
        known[1].snapshots.remove(snap)
        _log(m, known[0], "destroy", full, known[0].next_txg())


def _log(m: Machine, pool: Pool, what: str, name: str, txg: int) -> None:
    stamp = m.clock.utc().strftime("%Y-%m-%d.%H:%M:%S")
    pool.internal.append((stamp, f"[txg:{txg}] {what} {name} ({txg % 4096 + 64}) "))


def _mounted(m: Machine, name: str) -> bytes:
    _, ds = _open(m, name)
    if not ds.mounted_at:
        raise Fail(
            "Cannot diff an unmounted snapshot: operation not applicable to datasets of this type\n"
        )
    return narrow(ds.mounted_at)


def _trees(m: Machine, older: str, newer: str) -> tuple[FileTree, FileTree]:
    name, _, tag = newer.partition("@")
    source, _, base = older.partition("@")
    mine, theirs = _open(m, name)[1], _open(m, source)[1]
    new, old = mine.snapshot(tag), theirs.snapshot(base)
    if new is None or old is None:
        raise Fail("Unable to obtain diffs: No such file or directory\n")
    if old.createtxg >= new.createtxg:
        raise Fail(f"Unable to obtain diffs: \n   {_NOT_EARLIER}\n")
    return old.tree or FileTree(), new.tree or FileTree()


async def _print(call: Call, older: str, newer: str, letters: str) -> None:
    m = call.machine
    mount = _mounted(m, newer.partition("@")[0])
    if older.partition("@")[0] != newer.partition("@")[0]:
        _mounted(m, older.partition("@")[0])
    old, new = _trees(m, older, newer)
    await m.clock.sleep(SETUP_SECONDS)
    waiting: list[bytes] = []
    for line in lines(old, new, Writer(mount, letters)):
        waiting.append(line)
        if len(waiting) == BURST:
            await m.clock.sleep(CHANGE_SECONDS * BURST)
            await call.out(b"".join(waiting))
            waiting.clear()
    await asyncio.sleep(0)
    await call.out(b"".join(waiting))
