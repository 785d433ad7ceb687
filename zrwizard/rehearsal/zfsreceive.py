"""zfs receive (facts/freebsd.md B6 and C5): what a stream makes of the pool, and what is left
of it when it breaks off.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from zrwizard.rehearsal.errors import Fail
from zrwizard.rehearsal.machine import Machine
from zrwizard.rehearsal.sizes import nice_bytes, parse_bytes
from zrwizard.rehearsal.zfsfiles import FileTree, only_in
from zrwizard.rehearsal.zfslist import find
from zrwizard.rehearsal.zfsplan import FULL_STREAM, Item, StreamPlan
from zrwizard.rehearsal.zfsstate import (
    Dataset,
    Pool,
    Snapshot,
    available,
    own,
    parent_of,
    referenced,
    used,
)
from zrwizard.rehearsal.zfstoken import Token, read_token

BAD_MAGIC = "cannot receive: invalid stream (bad magic number)\n"
DAMAGED = "cannot receive: invalid stream (checksum mismatch)\n"
NOTHING_CAME = "cannot receive: failed to read from stream\n"


@dataclass(slots=True)
class Before:
    """The properties of a dataset before a receive touched them."""

    local: dict[str, str]
    received: dict[str, str]
    hidden: set[str]


@dataclass(slots=True)
class Receiver:
    """The state of one `zfs receive`: it is told how many bytes came, and makes of them
    datasets and snapshots. `Fail` in the words of zfs."""

    machine: Machine
    target: str
    found: dict[str, str]
    overrides: dict[str, str] = field(default_factory=dict)
    excluded: set[str] = field(default_factory=set)
    plan: StreamPlan | None = None
    index: int = 0
    got: int = 0
    """Bytes of the current snapshot that have come, in this receive and those before."""
    pool: Pool | None = None
    current: Dataset | None = None
    made: bool = False
    skips: bool = False
    before: Before | None = None
    started: float = 0.0

    def open(self, ident: str) -> None:
        """The head of a stream has come; `Fail` where it is none."""
        plan = self.machine.streams.get(ident)
        if plan is None:
            raise Fail(BAD_MAGIC)
        self.plan, self.got = plan, plan.start

    @property
    def item(self) -> Item | None:
        """The snapshot that is to come; None when all are there or nothing has come yet."""
        items = self.plan.items if self.plan is not None else []
        return items[self.index] if self.index < len(items) else None

    @property
    def head(self) -> str:
        """What an error begins with."""
        item = self.item
        if self.plan is not None and self.plan.resumed:
            return "cannot receive resume stream: "
        if item is not None and not item.fresh:
            return "cannot receive incremental stream: "
        return "cannot receive new filesystem stream: "

    @property
    def name(self) -> str:
        """The dataset that the current snapshot goes to."""
        item = self.item
        return f"{self.target}/{item.rel}" if item is not None and item.rel else self.target

    def take(self, size: int) -> str:
        """`size` bytes of the current snapshot have come, at most what was left of it; what -v
        prints of it."""
        item = self.item
        if item is None or size > item.size - self.got:
            raise Fail(DAMAGED)
        told = ""
        if self.current is None and not self.skips:
            told = self._begin(item)
        self.got += size
        if self.current is not None and not self.current.origin:
            self.current.pending = max(1, self.got - FULL_STREAM)
        if self.got == item.size:
            told += self._end(item)
            self.index, self.got = self.index + 1, 0
        return told if "v" in self.found else ""

    # Checks

    def _begin(self, item: Item) -> str:
        m, name = self.machine, self.name
        self.started, self.made = m.clock.now(), False
        pool_name, _, rel = name.partition("/")
        pool = m.pools.get(pool_name)
        if pool is None:
            raise Fail(f"{self.head}destination '{name}' does not exist\n")
        self.pool = pool
        ds = pool.datasets.get(rel)
        shown = f"{name}@{item.snap.name}"
        if self.plan is not None and self.plan.resumed:
            ds = self._continued(name, ds, item)
        elif ds is not None and ds.token:
            raise Fail(
                f"{self.head}destination {name} contains partially-complete state from "
                '"zfs receive -s".\n'
            )
        elif item.fresh:
            ds = self._new(pool, rel, name, ds, item)
        elif ds is not None and (there := ds.snapshot(item.snap.name)) is not None:
            if there.guid != item.snap.guid:
                raise Fail(f"cannot restore to {shown}: destination already exists\n")
            self.skips = True
            return f"snap {shown} already exists; ignoring\n"
        else:
            ds = self._next(name, ds, item)
        self._fits(pool, ds, name, item)
        self.current = ds
        ds.busy = True
        self._properties(ds, item)
        kind = "incremental" if item.base else "full"
        return f"receiving {kind} stream of {item.name} into {shown}\n"

    def _continued(self, name: str, ds: Dataset | None, item: Item) -> Dataset:
        if ds is None:
            raise Fail(f"{self.head}destination '{name}' does not exist\n")
        token = read_token(ds.token) if ds.token else None
        if token is None or (token.toguid, token.bytes) != (item.snap.guid, self.got):
            raise Fail(f"{self.head}invalid backup stream\n")
        if ds.busy:
            raise Fail(f"{self.head}dataset is busy\n")
        self.made = not ds.snapshots and bool(ds.rel)
        return ds

    def _new(self, pool: Pool, rel: str, name: str, ds: Dataset | None, item: Item) -> Dataset:
        head = self.head
        if ds is not None:
            if ds.busy:
                raise Fail(f"{head}dataset is busy\n")
            if "F" not in self.found:
                raise Fail(f"{head}destination '{name}' exists\nmust specify -F to overwrite it\n")
            if ds.snapshots:
                raise Fail(
                    f"{head}destination has snapshots (eg. {name}@{ds.snapshots[0].name})\n"
                    "must destroy them to overwrite it\n"
                )
            if ds.key or item.raw:
                raise Fail(
                    f"{head}zfs receive -F cannot be used to destroy an encrypted filesystem or "
                    "overwrite an unencrypted one with an encrypted one\n"
                )
            return ds
        above = pool.datasets.get(rel.rpartition("/")[0])
        if above is None:
            raise Fail(f"{head}destination '{name.rpartition('/')[0]}' does not exist\n")
        if above.kind != "filesystem":
            raise Fail(f"{head}parent '{pool.full(above)}' is not a filesystem\n")
        if above.key == "unavailable" and not item.raw:
            raise Fail(f"{head}inherited key must be loaded\n")
        origin = self._origin(pool, item) if item.clone else ""
        m = self.machine
        self.made = True
        ds = Dataset(rel, m.rng.getrandbits(63), pool.next_txg(), int(m.clock.now()))
        ds.origin, ds.kind, ds.local = origin, item.kind, dict(item.fixed)
        if item.raw:
            ds.key, ds.inherits_key = "unavailable", item.shared_key
        elif above.key:
            ds.key, ds.inherits_key = "available", True
        pool.datasets[rel] = ds
        return ds

    def _origin(self, pool: Pool, item: Item) -> str:
        """The local snapshot that a clone builds upon, wherever it is in the pool."""
        near = sorted(pool.ordered(), key=lambda d: not pool.full(d).startswith(self.target))
        for ds in near:
            for snap in ds.snapshots:
                if snap.guid == item.base_guid:
                    return f"{pool.full(ds)}@{snap.name}"
        raise Fail(
            f"{self.head}local origin for clone {self.name}@{item.snap.name} does not exist\n"
        )

    def _next(self, name: str, ds: Dataset | None, item: Item) -> Dataset:
        if ds is None:
            raise Fail(f"{self.head}destination '{name}' does not exist\n")
        if ds.busy:
            raise Fail(f"{self.head}dataset is busy\n")
        guids = [s.guid for s in ds.snapshots]
        newest = guids[-1:] == [item.base_guid]
        if not newest and ("F" not in self.found or item.base_guid not in guids):
            raise Fail(
                f"{self.head}most recent snapshot of {name} does not\nmatch incremental source\n"
            )
        if "F" not in self.found and _modified(ds):
            raise Fail(
                f"{self.head}destination {name} has been modified\nsince most recent snapshot\n"
            )
        return ds

    def _fits(self, pool: Pool, ds: Dataset, name: str, item: Item) -> None:
        need = item.size - self.got - FULL_STREAM
        above: Dataset | None = ds
        words = ""
        while above is not None and not words:
            quota = own(above, "quota")[0] or "none"
            limit = parse_bytes(quota)
            if limit and used(pool, above) + need > limit:
                words = f"destination {name} space quota exceeded."
            above = parent_of(pool, above)
        if not words and need > available(pool):
            words = "out of space"
        if words:
            if self.made and not ds.token:
                del pool.datasets[ds.rel]
            raise Fail(f"{self.head}{words}\n")

    def _properties(self, ds: Dataset, item: Item) -> None:
        """Properties are there before the data: they say how it is written."""
        self.before = Before(dict(ds.local), dict(ds.received), set(ds.hidden))
        if self.plan is not None and self.plan.properties and not self.plan.resumed:
            if not ds.received and not self.made:
                # The first receive of properties puts them in the place of local ones.
                ds.local.clear()
            ds.received = dict(item.props)
            ds.hidden |= self.excluded
        ds.local |= self.overrides

    # Ends

    def _end(self, item: Item) -> str:
        """The snapshot is complete; the line that -v prints."""
        ds, pool, m = self.current, self.pool, self.machine
        self.skips, self.current, self.before = False, None, None
        if ds is None or pool is None:
            return ""
        if item.base and not item.clone:
            # -F takes away what is newer than the snapshot that this one builds upon.
            at = [s.guid for s in ds.snapshots].index(item.base_guid)
            del ds.snapshots[at + 1 :]
        ds.busy, ds.pending, ds.bulk, ds.token = False, 0, item.snap.bulk, ""
        ds.files = dict(item.snap.files)
        snap = Snapshot(
            item.snap.name,
            item.snap.guid,
            pool.next_txg(),
            item.snap.creation,
            0,
            0,
            dict(item.snap.files),
            item.snap.bulk,
            item.snap.fresh,
        )
        snap.referenced = referenced(pool, ds)
        ds.snapshots.append(snap)
        for disk in m.disks:
            if any(disk.name == member.disk for member in pool.devices):
                disk.writes += 1
        seconds = max(0.01, m.clock.now() - self.started)
        return (
            f"received {nice_bytes(item.size)} stream in {seconds:.2f} seconds "
            f"({nice_bytes(int(item.size / seconds))}/sec)\n"
        )

    def finish(self, *, complete: bool) -> None:
        """The input has ended: `Fail` unless all was there."""
        if complete and self.plan is not None and self.item is None:
            return
        busy, head = self.current is not None, self.head
        token = self.interrupted()
        if token:
            raise Fail(
                f"{head}checksum mismatch or incomplete stream.\n"
                "Partially received snapshot is saved.\n"
                "A resuming stream can be generated on the sending system by running:\n"
                f"    zfs send -t {token}\n"
            )
        raise Fail(f"{head}incomplete stream\n" if busy else NOTHING_CAME)

    def interrupted(self) -> str:
        """It was cut off or killed: with -s the state is kept; the token that goes on with it."""
        ds, pool, item = self.current, self.pool, self.item
        self.current = None
        if ds is None or pool is None or item is None:
            return ""
        ds.busy = False
        if self.before is not None and not self.made:
            ds.local, ds.received = self.before.local, self.before.received
            ds.hidden = self.before.hidden
        if "s" not in self.found or not self.got:
            ds.pending, ds.token = 0, ""
            if self.made:
                pool.datasets.pop(ds.rel, None)
            return ""
        token = Token(item.name, item.snap.guid, item.base_guid, self.got, raw=item.raw)
        ds.token = token.text()
        return ds.token


def _modified(ds: Dataset) -> bool:
    """Has the live dataset changed since its newest snapshot?"""
    if not ds.snapshots:
        return False
    last = ds.snapshots[-1]
    if ds.tree is not None and last.tree is not None:
        return changed_tree(ds.tree, last.tree)
    return (ds.files, ds.bulk) != (last.files, last.bulk)


def changed_tree(tree: FileTree, older: FileTree) -> bool:
    """Holds one of two trees what the other does not?"""
    return any(only_in(tree, older)) or any(only_in(older, tree))


def abandon(m: Machine, name: str) -> None:
    """zfs receive -A: what was half received goes."""
    pool, ds, _ = find(m, name)
    if not ds.token:
        raise Fail(f"'{name}' does not have any resumable receive state to abort\n")
    ds.token, ds.pending = "", 0
    if not ds.snapshots and ds.rel:
        del pool.datasets[ds.rel]
