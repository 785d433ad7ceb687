"""Values of pool and dataset properties, as the tools print them."""

from __future__ import annotations

from zrwizard.rehearsal.clock import short_date
from zrwizard.rehearsal.sizes import nice, nice_bytes
from zrwizard.rehearsal.zfsfiles import FileTree, blocks, only_in
from zrwizard.rehearsal.zfsprops import NUMBERS, POOL_DEFAULTS
from zrwizard.rehearsal.zfsstate import (
    Dataset,
    Pool,
    Snapshot,
    allocated,
    available,
    canmount,
    encryption_root,
    logical,
    lookup,
    mountpoint,
    neighbours,
    referenced,
    snapshot_used,
    used,
    used_by_children,
    used_by_dataset,
    used_by_snapshots,
    written_since,
)

NOT_OF_VOLUMES = {
    "mounted",
    "mountpoint",
    "canmount",
    "atime",
    "quota",
    "recordsize",
    "exec",
    "setuid",
    "devices",
    "version",
    "utf8only",
    "normalization",
    "casesensitivity",
}
NOT_OF_SNAPSHOTS = {
    "mounted",
    "mountpoint",
    "canmount",
    "atime",
    "quota",
    "recordsize",
    "available",
    "usedbydataset",
    "usedbysnapshots",
    "usedbychildren",
    "usedbyrefreservation",
    "logicalused",
    "readonly",
    "compression",
    "origin",
    "receive_resume_token",
}


def _ratio(pool: Pool, tree: FileTree | None, *, exact: bool) -> str:
    disk = sum(size for size, _ in blocks(tree).values()) + pool.base
    value = f"{max(1.0, (logical(tree) + pool.base) / disk):.2f}"
    return value if exact else f"{value}x"


def _tree_value(pool: Pool, ds: Dataset, prop: str, *, exact: bool) -> object:
    """A property of a dataset whose files are known; None: it has nothing to do with them."""
    match prop:
        case "written":
            return only_in(ds.tree, ds.snapshots[-1].tree if ds.snapshots else ds.origin_tree)[0]
        case "logicalreferenced":
            return logical(ds.tree) + pool.base // 2
        case "logicalused":
            held = {k: v for s in ds.snapshots for k, v in blocks(s.tree).items()}
            whole = held | blocks(ds.tree)
            below = sum(logical(c.tree) for c in pool.children(ds))
            return sum(plain for _, plain in whole.values()) + below + pool.base // 2
        case "compressratio" | "refcompressratio":
            return _ratio(pool, ds.tree, exact=exact)
        case _:
            return None


def _snapshot_value(pool: Pool, ds: Dataset, snap: Snapshot, prop: str, *, exact: bool) -> object:
    """The same of a snapshot."""
    match prop:
        case "written":
            return only_in(snap.tree, neighbours(ds, snap)[0])[0]
        case "logicalreferenced":
            return logical(snap.tree) + pool.base // 2
        case "compressratio" | "refcompressratio":
            return _ratio(pool, snap.tree, exact=exact)
        case _:
            return None


def _chosen(simple: dict[str, object], prop: str, *, exact: bool) -> str:
    """The value of `prop`, worked out only now where it costs something."""
    value = simple[prop]
    value = value() if callable(value) else value
    if prop in NUMBERS and isinstance(value, int) and not exact:
        return nice_bytes(value)
    return str(value)


def dataset_value(pool: Pool, ds: Dataset, prop: str, *, exact: bool) -> tuple[str, str]:
    """Value and source of any property of a file system; ("", "") where there is none such."""
    if prop.startswith("written@"):
        since = written_since(pool, ds, None, prop.partition("@")[2])
        return ("-" if since is None else str(since) if exact else nice_bytes(since)), "-"
    if ds.kind == "volume":
        if prop in NOT_OF_VOLUMES:
            return "-", "-"
        if prop == "volsize":
            size = int(ds.local["volsize"])
            return (str(size) if exact else nice(size)), "local"
    simple: dict[str, object] = {
        "name": pool.full(ds),
        "type": ds.kind,
        "guid": ds.guid,
        "createtxg": ds.createtxg,
        "creation": ds.creation if exact else short_date(ds.creation),
        "used": lambda: used(pool, ds),
        "available": lambda: available(pool),
        "referenced": lambda: referenced(pool, ds),
        "usedbydataset": lambda: used_by_dataset(pool, ds),
        "usedbysnapshots": lambda: used_by_snapshots(ds),
        "usedbychildren": lambda: used_by_children(pool, ds),
        "usedbyrefreservation": 0,
        "written": lambda: max(
            0, referenced(pool, ds) - (ds.snapshots[-1].referenced if ds.snapshots else 0)
        ),
        "logicalused": lambda: used(pool, ds),
        "logicalreferenced": lambda: referenced(pool, ds) // 2,
        "compressratio": "1.00" if exact else "1.00x",
        "refcompressratio": "1.00" if exact else "1.00x",
        "mounted": "yes" if ds.mounted_at else "no",
        "version": "5",
        "utf8only": "off",
        "normalization": "none",
        "casesensitivity": "sensitive",
        "objsetid": 54,
        "origin": ds.origin or "-",
        "receive_resume_token": ds.token or "-",
        "encryptionroot": encryption_root(pool, ds),
        "keystatus": ds.key or "-",
    }
    if ds.tree is not None:
        known = _tree_value(pool, ds, prop, exact=exact)
        simple |= {} if known is None else {prop: known}
    if prop in simple:
        return _chosen(simple, prop, exact=exact), "-"
    if prop == "volsize":
        return "-", "-"
    if prop == "mountpoint":
        return mountpoint(pool, ds), lookup(pool, ds, prop)[1]
    value, source = lookup(pool, ds, prop)
    if value is None:
        return ("-", "-") if ":" in prop else ("", "")
    if prop == "recordsize" and not exact:
        value = nice(int(value))
    if exact and prop in ("quota", "reservation", "refquota", "refreservation") and value == "none":
        value = "0"
    return value, source


def snapshot_value(
    pool: Pool, ds: Dataset, snap: Snapshot, prop: str, *, exact: bool
) -> tuple[str, str]:
    """Value and source of any property of a snapshot."""
    if prop.startswith("written@"):
        since = written_since(pool, ds, snap, prop.partition("@")[2])
        return ("-" if since is None else str(since) if exact else nice_bytes(since)), "-"
    if prop in NOT_OF_SNAPSHOTS:
        return "-", "-"
    simple: dict[str, object] = {
        "name": f"{pool.full(ds)}@{snap.name}",
        "type": "snapshot",
        "guid": snap.guid,
        "createtxg": snap.createtxg,
        "used": lambda: snapshot_used(ds, snap),
        "referenced": snap.referenced,
        "creation": snap.creation if exact else short_date(snap.creation),
        "available": "-",
        "mountpoint": "-",
        "origin": "-",
        "mounted": "-",
        "canmount": "-",
        "written": snap.referenced,
        "compressratio": "1.00" if exact else "1.00x",
        "refcompressratio": "1.00" if exact else "1.00x",
        "defer_destroy": "off",
        "userrefs": len(snap.holds),
        "logicalreferenced": snap.referenced // 2,
        "objsetid": 55,
        "version": "5",
        "utf8only": "off",
        "normalization": "none",
        "casesensitivity": "sensitive",
        "receive_resume_token": "-",
        "encryptionroot": encryption_root(pool, ds),
        "keystatus": ds.key or "-",
        "volsize": ds.local.get("volsize", "-"),
    }
    if snap.tree is not None:
        known = _snapshot_value(pool, ds, snap, prop, exact=exact)
        simple |= {} if known is None else {prop: known}
    if prop in simple:
        return _chosen(simple, prop, exact=exact), "-"
    value, source = lookup(pool, ds, prop)
    if value is None:
        return ("-", "-") if ":" in prop else ("", "")
    return value, f"inherited from {pool.full(ds)}" if source in ("local", "received") else source


def pool_value(pool: Pool, prop: str, *, exact: bool) -> tuple[str, str]:
    """Value and source of a pool property; ("", "") where there is none such."""
    alloc = int(allocated(pool) / pool.ratio)
    free = pool.size - alloc
    cap = 100 * alloc // pool.size if pool.size else 0
    simple: dict[str, object] = {
        "name": pool.name,
        "size": pool.size,
        "allocated": alloc,
        "free": free,
        "capacity": cap if exact else f"{cap}%",
        "health": pool.health,
        "guid": pool.guid,
        "dedupratio": "1.00" if exact else "1.00x",
        "expandsize": "-",
        "freeing": "0",
        "fragmentation": "0" if exact else "0%",
        "leaked": "0",
        "load_guid": pool.load_guid,
        "checkpoint": "-",
        "readonly": "on" if pool.readonly else "off",
    }
    if prop in simple:
        value = simple[prop]
        if prop in ("size", "allocated", "free") and isinstance(value, int):
            return str(value) if exact else nice(value), "-"
        return str(value), "-"
    if prop == "altroot":
        return (pool.altroot, "local") if pool.altroot else ("-", "default")
    if prop.startswith("feature@"):
        state = pool.features.get(prop.removeprefix("feature@"))
        return (state, "local") if state else ("", "")
    if prop in pool.props and pool.props[prop] != "":
        return pool.props[prop], "local"
    if prop in POOL_DEFAULTS:
        return POOL_DEFAULTS[prop], "default"
    return "", ""


def table(rows: list[list[str]], heads: list[str], right: set[int]) -> str:
    """Columns two blanks apart, as zfs list prints them; the last one is not padded."""
    wide = [
        max(len(h), *(len(r[i]) for r in rows)) if rows else len(h) for i, h in enumerate(heads)
    ]
    text = ""
    for row in [heads, *rows]:
        cells = [
            c.rjust(wide[i]) if i in right else (c if i == len(row) - 1 else c.ljust(wide[i]))
            for i, c in enumerate(row)
        ]
        text += "  ".join(cells) + "\n"
    return text


def mounts_by_itself(pool: Pool, ds: Dataset) -> bool:
    """Would `zfs mount -a` mount it?"""
    return canmount(pool, ds) == "on" and mountpoint(pool, ds).startswith("/")
