"""zfs send and zfs receive. A stream in a pipe is a few words that name data in memory.

ZRS1 <id>         a stream begins
S <n>             snapshot n of it begins
D <bytes>         that many bytes went by
E <n>             snapshot n is complete
END               the stream is complete
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from zrwizard.rehearsal.commands import Call
from zrwizard.rehearsal.errors import Fail
from zrwizard.rehearsal.machine import Machine
from zrwizard.rehearsal.sizes import nice_bytes
from zrwizard.rehearsal.zfsfiles import only_in
from zrwizard.rehearsal.zfsmount import refresh
from zrwizard.rehearsal.zfsstate import Dataset, Pool, Snapshot, available, referenced

FULL_ESTIMATE, STEP_ESTIMATE = 12912, 624
FULL_STREAM, STEP_STREAM = 47128, 312
CHUNK_SECONDS = 0.02


@dataclass(slots=True)
class Item:
    """One snapshot of a stream. `base` is the guid of what it is incremental to."""

    source: str
    rel: str
    snap: Snapshot
    base: str
    base_guid: int
    origin: str
    props: dict[str, str]
    created: int
    data: int
    """Bytes of files in it, before compression."""

    @property
    def estimate(self) -> int:
        """What `zfs send -n` says about it."""
        return self.data + (STEP_ESTIMATE if self.base else FULL_ESTIMATE)

    @property
    def size(self) -> int:
        """What really goes over the wire."""
        return self.data + (STEP_STREAM if self.base else FULL_STREAM)


@dataclass(slots=True)
class StreamPlan:
    """All snapshots of a stream in order; `missing` has warnings about children."""

    items: list[Item] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    replicate: bool = False


def plan_stream(m: Machine, name: str, found: dict[str, str]) -> StreamPlan:
    """What `zfs send [-R] [-i|-I from] name` would send."""
    full, _, snap_name = name.partition("@")
    known = m.dataset(full)
    if known is None or known[1].snapshot(snap_name) is None:
        raise Fail(f"cannot open '{name}': dataset does not exist\n")
    pool, top = known
    plan = StreamPlan(replicate="R" in found)
    wanted = [top, *pool.children(top)] if plan.replicate else [top]
    skipped = [w for w in found.get("X", "").split(",") if w]
    for ds in _origins_first(pool, [d for d in wanted if pool.full(d) not in skipped]):
        snap = ds.snapshot(snap_name)
        if snap is None:
            if "s" not in found:
                plan.missing.append(
                    f"WARNING: could not send {pool.full(ds)}@{snap_name}: does not exist\n"
                )
            continue
        _items(plan, pool, (top, ds), snap, found)
    return plan


def _origins_first(pool: Pool, datasets: list[Dataset]) -> list[Dataset]:
    left = sorted(datasets, key=lambda d: d.rel.split("/") if d.rel else [])
    done: list[Dataset] = []
    while left:
        for ds in left:
            origin = ds.origin.partition("@")[0]
            if not any(pool.full(o) == origin for o in left if o is not ds):
                break
        left.remove(ds)
        done.append(ds)
    return done


def _items(
    plan: StreamPlan,
    pool: Pool,
    pair: tuple[Dataset, Dataset],
    last: Snapshot,
    found: dict[str, str],
) -> None:
    top, ds = pair
    every = plan.replicate or "I" in found
    chain = ds.snapshots[: ds.snapshots.index(last) + 1] if every else [last]
    start = (found.get("i") or found.get("I") or "").rpartition("@")[2]
    base: Snapshot | None = None
    if start:
        base = ds.snapshot(start)
        if base is None and not plan.replicate:
            raise Fail(f"incremental source (@{start}) does not exist\n")
        if base is not None:
            chain = [s for s in chain if s.createtxg > base.createtxg]
            if not chain:
                raise Fail("not an earlier snapshot from the same fs\n")
    props = (dict(ds.received) | dict(ds.local)) if plan.replicate or "p" in found else {}
    rel = ds.rel[len(top.rel) :].lstrip("/")
    for snap in chain:
        origin = ds.origin if base is None and plan.replicate else ""
        source = pool.full(ds)
        base_name = base.name if base else origin
        plan.items.append(
            Item(
                source,
                rel,
                snap,
                base_name,
                base.guid if base else 0,
                origin,
                props,
                ds.creation,
                snap.fresh
                if snap.tree is None
                else only_in(snap.tree, base.tree if base else ds.origin_tree if origin else None)[
                    1
                ],
            )
        )
        base = snap


def describe(plan: StreamPlan, found: dict[str, str]) -> str:
    """The lines of -v and -vP before anything is sent."""
    text = ""
    total = sum(i.estimate for i in plan.items)
    for item in plan.items:
        name = f"{item.source}@{item.snap.name}"
        base = item.base
        if base and "i" in found and not plan.replicate:
            base = f"{item.source}@{base}"
        if "P" in found:
            text += (
                f"incremental\t{base}\t{name}\t{item.estimate}\n"
                if base
                else f"full\t{name}\t{item.estimate}\n"
            )
        elif base:
            shown = base if "@" in base else f"@{base}"
            text += f"send from {shown} to {name} estimated size is {nice_bytes(item.estimate)}\n"
        else:
            text += f"full send of {name} estimated size is {nice_bytes(item.estimate)}\n"
    return text + (
        f"size\t{total}\n" if "P" in found else f"total estimated size is {nice_bytes(total)}\n"
    )


async def send(call: Call, name: str, found: dict[str, str]) -> int:
    """zfs send: text on standard output with -n, else the stream, paced by the wire."""
    m = call.machine
    full = name.partition("@")[0]
    if (known := m.dataset(full)) is not None:
        refresh(m, known[1])
    plan = plan_stream(m, name, found)
    await call.err("".join(plan.missing))
    status = 1 if plan.missing else 0
    if "n" in found:
        await call.out(describe(plan, found) if "v" in found or "P" in found else "")
        return status
    if "v" in found:
        await call.err(describe(plan, found))
    ident = f"{m.rng.getrandbits(64):016x}"
    m.streams[ident] = plan
    await call.out(f"ZRS1 {ident}\n")
    for number, item in enumerate(plan.items):
        if "v" in found and "P" not in found:
            await call.err(f"TIME        SENT   SNAPSHOT {item.source}@{item.snap.name}\n")
        await _send_one(call, number, item)
    if not plan.missing:
        await call.out("END\n")
    return status


async def _send_one(call: Call, number: int, item: Item) -> None:
    clock = call.machine.clock
    await call.out(f"S {number}\n")
    left = item.size
    step = max(65536, int(call.machine.send_rate * clock.speed * CHUNK_SECONDS))
    while left > 0:
        size = min(left, step)
        # A real wire is never quite even.
        pace = size / call.machine.send_rate * call.machine.rng.uniform(0.8, 1.25)
        await clock.sleep(pace + 0.05)
        left -= size
        await call.out(f"D {size}\n")
        if call.session.carry is not None:
            call.session.carry(size)
    await call.out(f"E {number}\n")


@dataclass(slots=True)
class Receiver:
    """The state of one `zfs receive`."""

    machine: Machine
    target: str
    found: dict[str, str]
    plan: StreamPlan
    overrides: dict[str, str] = field(default_factory=dict)
    excluded: set[str] = field(default_factory=set)
    pool: Pool | None = None
    current: Dataset | None = None
    made: bool = False
    started: float = 0.0
    got: int = 0

    def begin(self, item: Item) -> str:
        """Check and prepare; the line that -v prints."""
        m = self.machine
        name = f"{self.target}/{item.rel}" if item.rel else self.target
        pool_name, _, rel = name.partition("/")
        pool = m.pools.get(pool_name)
        kind = "incremental" if item.base else "full"
        action = "incremental" if item.base and not item.origin else "new filesystem"
        self.started, self.got, self.made = m.clock.now(), 0, False
        if pool is None:
            raise Fail(f"cannot receive {action} stream: destination '{name}' does not exist\n")
        self.pool = pool
        ds = pool.datasets.get(rel)
        if not item.base or item.origin:
            ds = self._fresh(pool, rel, name, ds, item)
        else:
            ds = self._next(name, ds, item)
        if item.size - FULL_STREAM > available(pool):
            raise Fail(f"cannot receive {action} stream: out of space\n")
        self.current = ds
        ds.busy, ds.pending = True, 0
        return (
            f"receiving {kind} stream of {item.source}@{item.snap.name} into "
            f"{name}@{item.snap.name}\n"
        )

    def _fresh(self, pool: Pool, rel: str, name: str, ds: Dataset | None, item: Item) -> Dataset:
        head = "cannot receive new filesystem stream: "
        if ds is not None:
            if "F" not in self.found:
                raise Fail(f"{head}destination '{name}' exists\nmust specify -F to overwrite it\n")
            if ds.snapshots:
                raise Fail(
                    f"{head}destination has snapshots (eg. {name}@{ds.snapshots[0].name})\n"
                    "must destroy them to overwrite it\n"
                )
            if ds.busy:
                raise Fail(f"{head}dataset is busy\n")
            return ds
        if rel and rel.rpartition("/")[0] not in pool.datasets:
            raise Fail(f"{head}destination '{name.rpartition('/')[0]}' does not exist\n")
        m = self.machine
        self.made = True
        ds = Dataset(rel, m.rng.getrandbits(63), pool.next_txg(), int(m.clock.now()))
        pool.datasets[rel] = ds
        if item.origin:
            source_top = self.plan.items[0].source
            ds.origin = self.target + item.origin.removeprefix(source_top)
        return ds

    def _next(self, name: str, ds: Dataset | None, item: Item) -> Dataset:
        head = "cannot receive incremental stream: "
        if ds is None:
            raise Fail(f"{head}destination '{name}' does not exist\n")
        if ds.snapshot(item.snap.name) is not None:
            raise Fail(f"cannot restore to {name}@{item.snap.name}: destination already exists\n")
        if not ds.snapshots or ds.snapshots[-1].guid != item.base_guid:
            raise Fail(f"{head}most recent snapshot of {name} does not\nmatch incremental source\n")
        return ds

    def data(self, size: int) -> None:
        """Bytes have arrived."""
        self.got += size
        if self.current is not None and not self.current.origin:
            self.current.pending = max(0, self.got - FULL_STREAM)

    def end(self, item: Item) -> str:
        """The snapshot is complete; the line that -v prints."""
        ds, pool, m = self.current, self.pool, self.machine
        if ds is None or pool is None:
            return ""
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
        if item.props or self.plan.replicate:
            if not ds.received:
                # The first receive of properties puts them in the place of local ones.
                ds.local.clear()
            ds.received = {k: v for k, v in item.props.items()}
            ds.hidden |= self.excluded
        ds.local |= self.overrides
        self.current = None
        for disk in m.disks:
            if disk.name == pool.disk:
                disk.writes += 1
        seconds = max(0.01, m.clock.now() - self.started)
        return (
            f"received {nice_bytes(item.size)} stream in {seconds:.2f} seconds "
            f"({nice_bytes(int(item.size / seconds))}/sec)\n"
        )

    def give_up(self) -> None:
        """A receive that was cut off leaves nothing of its snapshot."""
        ds, pool = self.current, self.pool
        if ds is not None and pool is not None:
            ds.busy, ds.pending = False, 0
            if self.made:
                pool.datasets.pop(ds.rel, None)


async def receive(
    call: Call, target: str, found: dict[str, str], overrides: dict[str, str], excluded: set[str]
) -> int:
    """zfs receive: reads a stream, says what it receives with -v."""
    buffer = b""
    receiver: Receiver | None = None
    complete = False
    try:
        while (piece := await call.chunk()) is not None:
            buffer += piece
            while b"\n" in buffer and not complete:
                line, _, buffer = buffer.partition(b"\n")
                if receiver is None:
                    receiver = _open(call, line, target, found)
                    receiver.overrides, receiver.excluded = overrides, excluded
                    continue
                complete = await _take(call, receiver, line, "v" in found)
            if receiver is None and len(buffer) > 4096:
                raise Fail("cannot receive: invalid stream (bad magic number)\n")
    except asyncio.CancelledError:
        if receiver is not None:
            receiver.give_up()
        raise
    except Fail:
        if receiver is not None:
            receiver.give_up()
        raise
    if receiver is None:
        raise Fail("cannot receive: failed to read from stream\n")
    if not complete:
        busy = receiver.current is not None
        receiver.give_up()
        raise Fail(
            "cannot receive new filesystem stream: incomplete stream\n"
            if busy
            else "cannot receive: failed to read from stream\n"
        )
    return 0


def _open(call: Call, line: bytes, target: str, found: dict[str, str]) -> Receiver:
    words = line.split()
    if len(words) != 2 or words[0] != b"ZRS1" or words[1].decode() not in call.machine.streams:
        raise Fail(
            "cannot receive: invalid stream (bad magic number)\n"
            if len(line) > 312
            else "cannot receive: failed to read from stream\n"
        )
    return Receiver(call.machine, target, found, call.machine.streams[words[1].decode()])


async def _take(call: Call, receiver: Receiver, line: bytes, verbose: bool) -> bool:
    word, _, rest = line.partition(b" ")
    text = ""
    if word == b"END":
        return True
    if word == b"S":
        text = receiver.begin(receiver.plan.items[int(rest)])
    elif word == b"D":
        receiver.data(int(rest))
    elif word == b"E":
        text = receiver.end(receiver.plan.items[int(rest)])
    if text and verbose:
        await call.out(text)
    return False
