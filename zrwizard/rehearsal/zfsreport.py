"""Values of pool and dataset properties, as the tools print them."""

from __future__ import annotations

from zrwizard.rehearsal.clock import short_date
from zrwizard.rehearsal.sizes import nice, nice_bytes
from zrwizard.rehearsal.zfsprops import NUMBERS, POOL_DEFAULTS
from zrwizard.rehearsal.zfsstate import (
    Dataset,
    Pool,
    Snapshot,
    allocated,
    available,
    canmount,
    lookup,
    mountpoint,
    referenced,
    used,
    used_by_children,
    used_by_dataset,
    used_by_snapshots,
)


def dataset_value(pool: Pool, ds: Dataset, prop: str, *, exact: bool) -> tuple[str, str]:
    """Value and source of any property of a file system; ("", "") where there is none such."""
    simple: dict[str, object] = {
        "name": pool.full(ds),
        "type": "filesystem",
        "guid": ds.guid,
        "createtxg": ds.createtxg,
        "creation": ds.creation if exact else short_date(ds.creation),
        "used": used(pool, ds),
        "available": available(pool),
        "referenced": referenced(pool, ds),
        "usedbydataset": used_by_dataset(pool, ds),
        "usedbysnapshots": used_by_snapshots(ds),
        "usedbychildren": used_by_children(pool, ds),
        "usedbyrefreservation": 0,
        "written": max(
            0, referenced(pool, ds) - (ds.snapshots[-1].referenced if ds.snapshots else 0)
        ),
        "logicalused": used(pool, ds),
        "logicalreferenced": referenced(pool, ds) // 2,
        "compressratio": "1.00" if exact else "1.00x",
        "refcompressratio": "1.00" if exact else "1.00x",
        "mounted": "yes" if ds.mounted_at else "no",
        "version": "5",
        "utf8only": "off",
        "normalization": "none",
        "casesensitivity": "sensitive",
        "objsetid": 54,
        "origin": ds.origin or "-",
        "receive_resume_token": "-",
        "encryptionroot": "-",
        "keystatus": "-",
    }
    if prop in simple:
        value = simple[prop]
        if prop in NUMBERS and isinstance(value, int) and not exact:
            return nice_bytes(value), "-"
        return str(value), "-"
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
    simple: dict[str, object] = {
        "name": f"{pool.full(ds)}@{snap.name}",
        "type": "snapshot",
        "guid": snap.guid,
        "createtxg": snap.createtxg,
        "used": snap.used,
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
    }
    if prop in simple:
        value = simple[prop]
        if prop in NUMBERS and isinstance(value, int) and not exact:
            return nice_bytes(value), "-"
        return str(value), "-"
    value, source = lookup(pool, ds, prop)
    if value is None:
        return ("-", "-") if ":" in prop else ("", "")
    return value, f"inherited from {pool.full(ds)}" if source in ("local", "received") else source


def pool_value(pool: Pool, prop: str, *, exact: bool) -> tuple[str, str]:
    """Value and source of a pool property; ("", "") where there is none such."""
    alloc = allocated(pool)
    free = pool.size - alloc
    cap = 100 * alloc // pool.size if pool.size else 0
    simple: dict[str, object] = {
        "name": pool.name,
        "size": pool.size,
        "allocated": alloc,
        "free": free,
        "capacity": cap if exact else f"{cap}%",
        "health": "ONLINE",
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
