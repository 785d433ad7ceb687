"""What `zfs send` would send: its snapshots in order, their sizes, and how -v and -P tell them."""

from __future__ import annotations

from dataclasses import dataclass, field

from zrwizard.rehearsal.errors import Fail
from zrwizard.rehearsal.machine import Machine
from zrwizard.rehearsal.sizes import nice_bytes
from zrwizard.rehearsal.zfsfiles import only_in
from zrwizard.rehearsal.zfsstate import Dataset, Pool, Snapshot, referenced
from zrwizard.rehearsal.zfstoken import REFUSED, Token

FULL_ESTIMATE, STEP_ESTIMATE = 12912, 624
FULL_STREAM, STEP_STREAM = 47128, 312
OF_VOLUMES = ("volsize", "volblocksize")
OF_KEYS = ("encryption", "keyformat", "keylocation", "pbkdf2iters")


@dataclass(slots=True)
class Item:
    """One snapshot of a stream. `base` is the name of what it is incremental to."""

    source: str
    rel: str
    snap: Snapshot
    base: str
    base_guid: int
    clone: bool
    """The base belongs to another dataset: a new clone of it is made."""
    props: dict[str, str]
    created: int
    data: int
    """Bytes of files in it, before compression."""
    kind: str
    fixed: dict[str, str]
    """Properties that come with the data, whatever the flags."""
    raw: bool
    """It stays encrypted as it is."""
    shared_key: bool
    """Its key is that of the dataset above, which comes in the same stream."""

    @property
    def estimate(self) -> int:
        """What `zfs send -n` says about it."""
        return self.data + (STEP_ESTIMATE if self.base else FULL_ESTIMATE)

    @property
    def size(self) -> int:
        """What really goes over the wire."""
        return self.data + (STEP_STREAM if self.base else FULL_STREAM)

    @property
    def fresh(self) -> bool:
        """It makes a new dataset."""
        return self.clone or not self.base

    @property
    def name(self) -> str:
        """The snapshot's full name on the sending side."""
        return f"{self.source}@{self.snap.name}"


@dataclass(slots=True)
class StreamPlan:
    """All snapshots of a stream in order; `missing` has warnings about children."""

    items: list[Item] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    replicate: bool = False
    start: int = 0
    """Bytes of the first snapshot that the receiver has already; above 0 the stream resumes."""
    resumed: bool = False

    @property
    def properties(self) -> bool:
        """It carries properties."""
        return self.replicate or any(i.props for i in self.items)


def plan_stream(m: Machine, name: str, found: dict[str, str]) -> StreamPlan:
    """What `zfs send [-R] [-i|-I from] name` would send."""
    full, _, snap_name = name.partition("@")
    known = m.dataset(full)
    if known is not None and not snap_name:
        return _of_head(known, found)
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


def _of_head(known: tuple[Pool, Dataset], found: dict[str, str]) -> StreamPlan:
    """What the dataset holds now, as if it were its newest snapshot."""
    pool, ds = known
    if {"R", "I", "p", "b"} & set(found):
        raise Fail("Error: Unsupported flag with filesystem or bookmark.\n")
    now = Snapshot(
        name="--head--",
        guid=0,
        createtxg=1 << 62,
        creation=ds.creation,
        referenced=referenced(pool, ds),
        used=0,
        files=ds.files,
        bulk=0,
        tree=ds.tree,
    )
    base = _base(pool, ds, now, found)
    _readable(pool, ds, now, found)
    plan = StreamPlan()
    plan.items.append(_item(pool, (ds, ds), now, base, found, replicate=False))
    return plan


def plan_resume(m: Machine, token: Token) -> StreamPlan:
    """What is left of the one snapshot of a token; `Fail` where the source has changed."""
    head = "cannot resume send: "
    full, _, tag = token.toname.partition("@")
    known = m.dataset(full)
    pool = m.pools.get(full.partition("/")[0])
    at = _by_guid(pool, token.toguid, full)
    if pool is None or at is None:
        if known is not None and known[1].snapshot(tag) is not None:
            why = f"'{token.toname}' is no longer the same snapshot used in the initial send\n"
        else:
            why = f"'{token.toname}' used in the initial send no longer exists\n"
        raise Fail(head + why, REFUSED)
    base = _by_guid(pool, token.fromguid, full) if token.fromguid else None
    if token.fromguid and base is None:
        raise Fail(f"{head}incremental source {token.fromguid:#x} no longer exists\n", REFUSED)
    ds, snap = at
    flags = {"w": ""} if token.raw else {}
    item = _item(pool, (ds, ds), snap, base, flags, replicate=False)
    return StreamPlan([item], start=min(token.bytes, item.size), resumed=True)


def _by_guid(pool: Pool | None, guid: int, near: str) -> tuple[Dataset, Snapshot] | None:
    """A snapshot by its guid, looked for in the dataset `near` first."""
    for ds in sorted(pool.ordered(), key=lambda d: pool.full(d) != near) if pool else ():
        for snap in ds.snapshots:
            if snap.guid == guid:
                return ds, snap
    return None


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


def _within(pool: Pool, name: str) -> Dataset | None:
    """A dataset of this pool by its full name."""
    first, _, rel = name.partition("/")
    return pool.datasets.get(rel) if first == pool.name else None


def _origin(pool: Pool, ds: Dataset) -> tuple[Dataset, Snapshot] | None:
    """The dataset and snapshot that a clone was made of."""
    name, _, tag = ds.origin.partition("@")
    above = _within(pool, name)
    snap = above.snapshot(tag) if above else None
    return (above, snap) if above is not None and snap is not None else None


def _base(
    pool: Pool, ds: Dataset, last: Snapshot, found: dict[str, str]
) -> tuple[Dataset, Snapshot] | None:
    """What -i or -I names; `Fail` where the stream cannot begin there."""
    given = found.get("i") or found.get("I") or ""
    if not given:
        return None
    full = pool.full(ds)
    name, _, tag = given.rpartition("@")
    head = f"{'cannot' if 'I' in found else 'warning: cannot'} send '{full}@{last.name}': "
    if name and given == ds.origin:
        return _origin(pool, ds)
    there = _within(pool, name) if name else ds
    base = there.snapshot(tag) if there is not None else None
    if there is None or base is None:
        raise Fail(f"{head}incremental source (@{tag}) does not exist\n")
    if there is not ds or base.createtxg >= last.createtxg:
        raise Fail(f"{head}not an earlier snapshot from the same fs\n")
    return there, base


def _items(
    plan: StreamPlan,
    pool: Pool,
    pair: tuple[Dataset, Dataset],
    last: Snapshot,
    found: dict[str, str],
) -> None:
    ds = pair[1]
    every = plan.replicate or "I" in found
    chain = ds.snapshots[: ds.snapshots.index(last) + 1] if every else [last]
    start = (found.get("i") or found.get("I") or "").rpartition("@")[2]
    base: tuple[Dataset, Snapshot] | None
    if not plan.replicate:
        base = _base(pool, ds, last, found)
    elif start and (older := ds.snapshot(start)) is not None:
        base = ds, older
    else:
        base = _origin(pool, ds)
    if base is not None and base[0] is ds:
        chain = chain[chain.index(base[1]) + 1 :] if base[1] in chain else chain
    _readable(pool, ds, last, found)
    for snap in chain:
        plan.items.append(_item(pool, pair, snap, base, found, replicate=plan.replicate))
        base = ds, snap


def _readable(pool: Pool, ds: Dataset, last: Snapshot, found: dict[str, str]) -> None:
    """An encrypted dataset goes raw, or with its key loaded and without properties."""
    if not ds.key or "w" in found:
        return
    name = f"{pool.full(ds)}@{last.name}"
    if {"R", "p", "b"} & set(found):
        raise Fail(
            f"cannot send '{name}': encrypted dataset {pool.full(ds)} may not be sent with "
            "properties without the raw flag\n"
        )
    if ds.key != "available":
        raise Fail(f"warning: cannot send '{name}': dataset key must be loaded\n")


def _item(
    pool: Pool,
    pair: tuple[Dataset, Dataset],
    snap: Snapshot,
    base: tuple[Dataset, Snapshot] | None,
    found: dict[str, str],
    *,
    replicate: bool,
) -> Item:
    top, ds = pair
    clone = base is not None and base[0] is not ds
    older = base[1] if base else None
    raw = bool(ds.key) and "w" in found
    fixed = OF_VOLUMES + (OF_KEYS if raw else ())
    shown = "" if older is None else pool.full(base[0]) + f"@{older.name}" if base and clone else ""
    return Item(
        source=pool.full(ds),
        rel=ds.rel[len(top.rel) :].lstrip("/"),
        snap=snap,
        base=shown or (older.name if older else ""),
        base_guid=older.guid if older else 0,
        clone=clone,
        props=_properties(ds, found, replicate=replicate),
        created=ds.creation,
        data=_fresh_bytes(ds, snap, older),
        kind=ds.kind,
        fixed={k: v for k, v in (ds.received | ds.local).items() if k in fixed},
        raw=raw,
        shared_key=raw and ds.inherits_key and ds is not top,
    )


def _properties(ds: Dataset, found: dict[str, str], *, replicate: bool) -> dict[str, str]:
    """-b sends what was received, -p and -R what is in force and not inherited."""
    if "b" in found:
        return dict(ds.received)
    if not (replicate or "p" in found):
        return {}
    seen = {k: v for k, v in ds.received.items() if k not in ds.hidden}
    return {k: v for k, v in (seen | ds.local).items() if k not in OF_VOLUMES}


def _fresh_bytes(ds: Dataset, snap: Snapshot, base: Snapshot | None) -> int:
    """Bytes that a stream from `base` carries."""
    if snap.tree is not None:
        return only_in(snap.tree, base.tree if base else None)[1]
    if base is None and ds.origin:
        return snap.bulk + sum(len(data) for data in snap.files.values() if data)
    at = ds.snapshots.index(snap) if snap in ds.snapshots else len(ds.snapshots)
    since = ds.snapshots.index(base) + 1 if base in ds.snapshots else 0
    written = 0 if snap in ds.snapshots else max(0, snap.referenced - ds.snapshots[-1].referenced)
    return written + sum(s.fresh for s in ds.snapshots[since : at + 1])


def describe(plan: StreamPlan, found: dict[str, str]) -> str:
    """The lines of -v and -vP before anything is sent."""
    text = ""
    total = 0
    for number, item in enumerate(plan.items):
        estimate = max(0, item.estimate - (plan.start if not number else 0))
        total += estimate
        base = item.base
        if base and "@" not in base and (plan.resumed or ("i" in found and not plan.replicate)):
            base = f"{item.source}@{base}"
        if "P" in found:
            text += (
                f"incremental\t{base}\t{item.name}\t{estimate}\n"
                if base
                else f"full\t{item.name}\t{estimate}\n"
            )
        elif base:
            shown = base if "@" in base else f"@{base}"
            text += f"send from {shown} to {item.name} estimated size is {nice_bytes(estimate)}\n"
        else:
            text += f"full send of {item.name} estimated size is {nice_bytes(estimate)}\n"
    return text + (
        f"size\t{total}\n" if "P" in found else f"total estimated size is {nice_bytes(total)}\n"
    )
