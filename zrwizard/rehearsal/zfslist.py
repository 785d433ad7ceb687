"""zfs list and zfs get (facts/freebsd.md B4)."""

from __future__ import annotations

from zrwizard.rehearsal.commands import Call
from zrwizard.rehearsal.errors import Fail
from zrwizard.rehearsal.machine import Machine
from zrwizard.rehearsal.poolimport import options
from zrwizard.rehearsal.zfsmount import refresh
from zrwizard.rehearsal.zfsprops import (
    ALIASES,
    DATASET_ORDER,
    DEFAULTS,
    NUMBERS,
    READ_ONLY,
    SNAPSHOT_ORDER,
)
from zrwizard.rehearsal.zfsreport import dataset_value, snapshot_value, table
from zrwizard.rehearsal.zfsstate import Dataset, Pool, Snapshot

Thing = tuple[Pool, Dataset, Snapshot | None]


def find(m: Machine, name: str) -> Thing:
    """A dataset or snapshot by its full name."""
    full, sign, snap = name.partition("@")
    known = m.dataset(full)
    found = known[1].snapshot(snap) if known and sign else None
    if known is None or (sign and found is None):
        raise Fail(f"cannot open '{name}': dataset does not exist\n")
    return known[0], known[1], found


def value_of(thing: Thing, prop: str, *, exact: bool) -> tuple[str, str]:
    """Value and source of a property of a dataset or snapshot."""
    pool, ds, snap = thing
    if snap is not None:
        return snapshot_value(pool, ds, snap, prop, exact=exact)
    return dataset_value(pool, ds, prop, exact=exact)


def full_name(thing: Thing) -> str:
    """`pool/ds` or `pool/ds@snap`."""
    pool, ds, snap = thing
    return f"{pool.full(ds)}@{snap.name}" if snap else pool.full(ds)


def _select(m: Machine, names: list[str], found: dict[str, str], kinds: set[str]) -> list[Thing]:
    recurse = "r" in found or "d" in found or not names
    depth = int(found["d"]) if found.get("d", "").isdigit() else 99
    things: list[Thing] = []
    for name in names or sorted(m.pools):
        pool, top, snap = find(m, name)
        if snap is not None:
            things.append((pool, top, snap))
            continue
        level = len(top.rel.split("/")) if top.rel else 0
        for ds in pool.ordered():
            below = ds is top or (recurse and ds in pool.children(top))
            far = (len(ds.rel.split("/")) if ds.rel else 0) - level
            if not below or far > depth:
                continue
            if ds.kind in kinds:
                things.append((pool, ds, None))
            if "snapshot" in kinds and (far < depth or depth == 99 or "d" not in found):
                things += [(pool, ds, s) for s in ds.snapshots]
    return things


def _kinds(text: str, names: list[str]) -> set[str]:
    words = (
        text.split(",")
        if text
        else (["snapshot"] if names and all("@" in n for n in names) else ["filesystem", "volume"])
    )
    full = {
        "fs": "filesystem",
        "snap": "snapshot",
        "vol": "volume",
        "filesystem": "filesystem",
        "snapshot": "snapshot",
        "volume": "volume",
        "bookmark": "bookmark",
        "all": "all",
    }
    kinds = set()
    for word in words:
        if word not in full:
            raise Fail(f"invalid type '{word}'\n", 2)
        kinds.add(full[word])
    return {"filesystem", "snapshot", "volume", "bookmark"} if "all" in kinds else kinds


LIST_HEADS = {
    "available": "AVAIL",
    "referenced": "REFER",
    "compressratio": "RATIO",
    "logicalused": "LUSED",
    "logicalreferenced": "LREFER",
    "usedbydataset": "USEDDS",
    "usedbysnapshots": "USEDSNAP",
    "usedbychildren": "USEDCHILD",
    "usedbyrefreservation": "USEDREFRESERV",
}


LIST_USAGE = (
    "usage:\n\tlist [-Hp] [-r|-d max] [-o property[,...]] [-s property]...\n"
    "\t    [-S property]... [-t type[,...]] [filesystem|volume|snapshot] ...\n"
)
GET_USAGE = (
    'usage:\n\tget [-rHp] [-d max] [-o "all" | field[,...]]\n'
    "\t    [-t type[,...]] [-s source[,...]]\n"
    '\t    <"all" | property[,...]> [filesystem|volume|snapshot|bookmark] ...\n'
)


def _known(found: dict[str, str], letters: str, usage: str) -> None:
    for letter in found:
        if letter not in letters:
            raise Fail(f"invalid option '{letter}'\n{usage}", 2)


def list_datasets(call: Call, args: list[str]) -> str:
    found, _, names = options(args, "otdsS")
    _known(found, "HprdosSt", LIST_USAGE)
    kinds = _kinds(found.get("t", ""), names)
    if kinds == {"bookmark"}:
        return "".join(
            f"{p.full(d)}#{b}\t-\t-\t{size}\t-\n"
            for p in call.machine.pools.values()
            for d in p.ordered()
            for b, (_, size) in d.bookmarks.items()
        )
    for pool in call.machine.pools.values():
        for ds in pool.datasets.values():
            refresh(call.machine, ds)
    things = _select(call.machine, names, found, kinds)
    exact = "p" in found
    props = [
        ALIASES.get(p, p)
        for p in found.get("o", "name,used,available,referenced,mountpoint").split(",")
    ]
    rows = []
    for thing in things:
        row = [value_of(thing, p, exact=exact)[0] for p in props]
        if "" in row:
            bad = props[row.index("")]
            if bad in DEFAULTS or bad in READ_ONLY or ":" in bad:
                row = [c or "-" for c in row]
            else:
                raise Fail(f"bad property list: invalid property '{bad}'\n", 2)
        rows.append(row)
    if "s" in found or "S" in found:
        given = found.get("s", found.get("S", ""))
        prop = ALIASES.get(given, given)
        keyed = sorted(
            zip(things, rows, strict=True),
            reverse="S" in found,
            key=lambda t: _sortable(value_of(t[0], prop, exact=True)[0]),
        )
        rows = [r for _, r in keyed]
    if "H" in found:
        return "".join("\t".join(r) + "\n" for r in rows)
    if not rows:
        raise Fail("no datasets available\n", 0)
    heads = [LIST_HEADS.get(p, p.upper()) for p in props]
    right = {
        i
        for i, p in enumerate(props)
        if p in NUMBERS or p in ("guid", "createtxg", "compressratio") or "@" in p
    }
    return table(rows, heads, right)


def _sortable(text: str) -> tuple[int, str]:
    return (int(text), "") if text.isdigit() else (0, text)


def get_properties(call: Call, args: list[str]) -> str:
    found, _, rest = options(args, "otds")
    _known(found, "Hprdost", GET_USAGE)
    if not rest:
        raise Fail("missing property argument\n", 2)
    exact, names = "p" in found, rest[1:]
    columns = found.get("o", "name,property,value,source").split(",")
    if columns == ["all"]:
        columns = ["name", "property", "value", "received", "source"]
    sources = found.get("s", "").split(",") if "s" in found else []
    for name in names:
        refresh(call.machine, find(call.machine, name)[1])
    rows = []
    kinds = _kinds(found.get("t", "all" if "r" in found or not names else ""), names)
    for thing in _select(call.machine, names, found, kinds):
        for prop in _wanted(rest[0], thing):
            value, source = value_of(thing, prop, exact=exact)
            if (
                not value
                and "@" not in prop
                and prop not in READ_ONLY
                and prop not in DEFAULTS
                and ":" not in prop
            ):
                raise Fail(f"bad property list: invalid property '{prop}'\n", 2)
            if not value and rest[0] != "all":
                value, source = "-", "-"
            if not value or (sources and source.split()[0] not in sources):
                continue
            got = thing[1].received.get(prop, "-") if thing[2] is None else "-"
            cells = {
                "name": full_name(thing),
                "property": prop,
                "value": value,
                "source": source,
                "received": got,
            }
            rows.append([cells[c] for c in columns])
    if "H" in found:
        return "".join("\t".join(r) + "\n" for r in rows)
    return table(rows, [c.upper() for c in columns], set())


def _wanted(text: str, thing: Thing) -> list[str]:
    if text != "all":
        return [ALIASES.get(p, p) for p in text.split(",")]
    pool, ds, snap = thing
    if snap is not None:
        return SNAPSHOT_ORDER
    user = sorted({k for d in (ds, pool.datasets[""]) for k in (*d.local, *d.received) if ":" in k})
    known = (
        DATASET_ORDER
        if not ds.origin
        else [*DATASET_ORDER[:6], "mounted", "origin", *DATASET_ORDER[7:]]
    )
    return [*known, *user]
