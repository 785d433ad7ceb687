"""zpool(8) (facts/freebsd.md B4 and C4, and the recorded session)."""

from __future__ import annotations

from collections.abc import Callable

from zrwizard.rehearsal import vdevs
from zrwizard.rehearsal.cmd_disk import watched
from zrwizard.rehearsal.commands import Call, tool
from zrwizard.rehearsal.errors import Fail
from zrwizard.rehearsal.machine import Machine
from zrwizard.rehearsal.poolcreate import create_pool
from zrwizard.rehearsal.poolimport import import_pool, options
from zrwizard.rehearsal.zfsmount import unmount_all
from zrwizard.rehearsal.zfsprops import (
    POOL_DEFAULTS,
    POOL_ORDER,
    POOL_READ_ONLY,
    features_of,
)
from zrwizard.rehearsal.zfsreport import pool_value, table
from zrwizard.rehearsal.zfsstate import Pool


@tool("zpool", "/sbin")
def zpool(call: Call) -> str:
    """zpool(8)."""
    verbs: dict[str, Callable[[Call, list[str]], str]] = {
        "list": _list,
        "status": _status,
        "import": import_pool,
        "create": create_pool,
        "export": _export,
        "get": _get,
        "set": _set,
        "labelclear": _labelclear,
        "destroy": _destroy,
        "scrub": _scrub,
        "history": _history,
        "sync": _nothing,
        "wait": _nothing,
        "checkpoint": _checkpoint,
        "version": _version,
        "upgrade": _nothing,
    }
    verb = call.args[0] if call.args else ""
    if verb in ("--version", "-V"):
        verb = "version"
    if verb not in verbs:
        raise Fail(f"unrecognized command '{verb}'\nusage: zpool command args ...\n", 2)
    call.machine.load("zfs")
    before = dict(call.machine.pools)
    text = verbs[verb](call, call.args[1:])
    if verb in ("create", "export", "import", "set", "scrub", "destroy", "checkpoint"):
        stamp = call.machine.clock.utc().strftime("%Y-%m-%d.%H:%M:%S")
        pools = before | call.machine.pools
        for name in set(call.args) & set(pools):
            pools[name].history.append(f"{stamp} zpool {' '.join(call.args)}")
    return text


def one_pool(m: Machine, name: str) -> Pool:
    """An imported pool by name."""
    if name not in m.pools:
        raise Fail(f"cannot open '{name}': no such pool\n")
    return m.pools[name]


def _version(call: Call, args: list[str]) -> str:
    del args
    return zfs_version(call.machine)


def zfs_version(m: Machine) -> str:
    """What `zpool version` and `zfs version` print."""
    return f"zfs-{m.zfs_version}\nzfs-kmod-{m.zfs_version}\n"


def _nothing(call: Call, args: list[str]) -> str:
    del call, args
    return ""


HEADS = {
    "name": "NAME",
    "size": "SIZE",
    "allocated": "ALLOC",
    "free": "FREE",
    "checkpoint": "CKPOINT",
    "expandsize": "EXPANDSZ",
    "fragmentation": "FRAG",
    "capacity": "CAP",
    "dedupratio": "DEDUP",
    "health": "HEALTH",
    "altroot": "ALTROOT",
}
LEAST = {"size": 5, "allocated": 5, "free": 5, "fragmentation": 5, "capacity": 5, "health": 8}
SHORT = {
    "alloc": "allocated",
    "frag": "fragmentation",
    "cap": "capacity",
    "dedup": "dedupratio",
    "expandsz": "expandsize",
    "ckpoint": "checkpoint",
}


def _list(call: Call, args: list[str]) -> str:
    found, _, names = options(args, "oT")
    for name in names:
        one_pool(call.machine, name)
    props = [SHORT.get(p, p) for p in found.get("o", ",".join(HEADS)).split(",")]
    for prop in props:
        if prop != "name" and prop not in POOL_ORDER and not prop.startswith("feature@"):
            raise Fail(f"bad property list: invalid property '{prop}'\n", 2)
    pools = [
        p
        for p in sorted(call.machine.pools.values(), key=lambda p: p.name)
        if not names or p.name in names
    ]
    rows = [[pool_value(p, q, exact="p" in found)[0] for q in props] for p in pools]
    if "H" in found:
        return "".join("\t".join(r) + "\n" for r in rows)
    if not rows:
        raise Fail("no pools available\n", 0)
    return table(
        rows,
        [HEADS.get(p, p.upper()).rjust(LEAST.get(p, 0)) for p in props],
        {i for i, p in enumerate(props) if p not in ("name", "altroot")},
    )


def _status(call: Call, args: list[str]) -> str:
    found, _, names = options(args, "cT")
    for name in names:
        one_pool(call.machine, name)
    pools = [
        p
        for p in sorted(call.machine.pools.values(), key=lambda p: p.name)
        if not names or p.name in names
    ]
    if not pools:
        raise Fail("no pools available\n", 0)
    if "x" in found:
        return "all pools are healthy\n"
    return "\n".join(_one_status(call.machine, p, full="P" in found) for p in pools)


_MISSING = (
    "status: One or more devices could not be opened.  Sufficient replicas exist for\n"
    "\tthe pool to continue functioning in a degraded state.\n"
    "action: Attach the missing device and online it using 'zpool online'.\n"
    "   see: https://openzfs.github.io/openzfs-docs/msg/ZFS-8000-2Q\n"
)


def _one_status(m: Machine, pool: Pool, *, full: bool) -> str:
    found = list(vdevs.rows(m, pool, full=full))
    wide = vdevs.width(found)
    state = found[0][2]
    scan = f"  scan: {pool.scan}\n" if pool.scan else ""
    checkpoint = f"checkpoint: {pool.checkpoint}\n" if pool.checkpoint else ""
    text = (
        f"  pool: {pool.name}\n state: {state}\n{'' if state == 'ONLINE' else _MISSING}"
        f"{scan}{checkpoint}config:\n\n\t{'NAME':<{wide}s}  STATE     READ WRITE CKSUM\n"
    )
    for depth, name, shown in found:
        if not shown:
            text += f"\t{name}\n"
        elif shown == "AVAIL":
            text += f"\t{'  ' * depth + name:<{wide}s}  {shown:<8s}\n"
        else:
            why = "  cannot open" if shown == "UNAVAIL" and depth else ""
            text += f"\t{'  ' * depth + name:<{wide}s}  {shown:<8s}     0     0     0{why}\n"
    return f"{text}\nerrors: No known data errors\n"


def _export(call: Call, args: list[str]) -> str:
    _, _, names = options(args, "")
    m = call.machine
    for name in names or (list(m.pools) if "-a" in args else []):
        pool = one_pool(m, name)
        if any(ds.busy for ds in pool.datasets.values()):
            raise Fail(f"cannot export '{name}': pool is busy\n")
        unmount_all(m, pool)
        _deactivate(m, pool)
    return ""


def _deactivate(m: Machine, pool: Pool) -> None:
    pool.exported, pool.active_on, pool.altroot = True, "", ""
    pool.props.pop("cachefile", None)
    pool.last_access = m.clock.now()
    del m.pools[pool.name]


def _destroy(call: Call, args: list[str]) -> str:
    _, _, names = options(args, "")
    pool = one_pool(call.machine, names[0] if names else "")
    unmount_all(call.machine, pool)
    _deactivate(call.machine, pool)
    pool.destroyed = True
    return ""


def _get(call: Call, args: list[str]) -> str:
    found, _, rest = options(args, "o")
    if not rest:
        raise Fail("missing property argument\n", 2)
    wanted, names = rest[0].split(","), rest[1:]
    if wanted == ["all"]:
        wanted = [*POOL_ORDER, *(f"feature@{f}" for f in features_of("off"))]
    columns = found.get("o", "name,property,value,source").split(",")
    if columns == ["all"]:
        columns = ["name", "property", "value", "source"]
    rows = []
    for pool in [one_pool(call.machine, n) for n in names] or list(call.machine.pools.values()):
        for prop in wanted:
            value, source = pool_value(pool, prop, exact="p" in found)
            if not value:
                raise Fail(f"bad property list: invalid property '{prop}'\n", 2)
            cells = {"name": pool.name, "property": prop, "value": value, "source": source}
            rows.append([cells[c] for c in columns])
    if "H" in found:
        return "".join("\t".join(r) + "\n" for r in rows)
    return table(rows, [c.upper() for c in columns], set())


def _set(call: Call, args: list[str]) -> str:
    _, _, names = options(args, "")
    key, sign, value = (names[0] if names else "").partition("=")
    if not sign or len(names) < 2:
        raise Fail("missing property=value argument\n" if not sign else "missing pool name\n", 2)
    pool = one_pool(call.machine, names[1])
    head = f"cannot set property for '{pool.name}': "
    if key in POOL_READ_ONLY:
        raise Fail(f"{head}'{key}' is readonly\n")
    if key not in POOL_DEFAULTS and not key.startswith("feature@"):
        raise Fail(f"{head}invalid property '{key}'\n")
    if key == "bootfs" and value:
        if value.partition("/")[0] != pool.name:
            raise Fail(f"{head}'{value}' is an invalid name\n")
        if value.partition("/")[2] not in pool.datasets:
            raise Fail(f"{head}no such pool or dataset\n")
    if key == "comment" and len(value) > 32:
        raise Fail(f"{head}comment must not exceed 32 characters\n")
    if value:
        pool.props[key] = value
    else:
        pool.props.pop(key, None)
    return ""


def _labelclear(call: Call, args: list[str]) -> str:
    found, _, names = options(args, "")
    device = names[0] if names else ""
    m, where = call.machine, call.machine.place(device)
    shown = device if device.startswith("/dev/") else f"/dev/{device}"
    if where is None:
        raise Fail(f"failed to open {shown}: No such file or directory\n")
    pool = where.content.pool
    if m.users(where):
        raise Fail(f"failed to open {shown}: Operation not permitted\n")
    if pool is None or not vdevs.at(pool, where.disk.name, where.offset, whole=where.part is None):
        raise Fail(f"failed to read label from {shown}\n")
    if "f" not in found:
        state = "exported" if pool.exported else "potentially active"
        raise Fail(
            "use '-f' to override the following error:\n"
            f'{shown} is a member of {state} pool "{pool.name}"\n'
        )
    watched(m, where.disk, "zpool labelclear")
    where.content.pool = None
    where.disk.writes += 1
    return ""


def _scrub(call: Call, args: list[str]) -> str:
    found, _, names = options(args, "")
    pool = one_pool(call.machine, names[0] if names else "")
    if "s" in found:
        raise Fail(f"cannot cancel scrubbing {pool.name}: there is no active scrub\n")
    pool.scan = f"scrub repaired 0B in 00:00:00 with 0 errors on {call.machine.clock.ctime()}"
    return ""


def _checkpoint(call: Call, args: list[str]) -> str:
    found, _, names = options(args, "")
    pool = one_pool(call.machine, names[0] if names else "")
    if "d" in found:
        if not pool.checkpoint:
            raise Fail(f"cannot discard checkpoint on '{pool.name}': checkpoint does not exist\n")
        pool.checkpoint = ""
    elif pool.checkpoint:
        raise Fail(f"cannot checkpoint '{pool.name}': checkpoint exists\n")
    else:
        pool.checkpoint = f"created {call.machine.clock.ctime()}, consumes 69K"
    return ""


def _history(call: Call, args: list[str]) -> str:
    found, _, names = options(args, "")
    if set(found) - {"i", "l"}:
        bad = min(set(found) - {"i", "l"})
        raise Fail(f"invalid option '{bad}'\nusage:\n\thistory [-il] [<pool>] ...\n", 2)
    m = call.machine
    pools = [one_pool(m, n) for n in names] or list(m.pools.values())
    return "".join(_one_history(m, p, found) for p in pools)


def _one_history(m: Machine, pool: Pool, found: dict[str, str]) -> str:
    """What was typed, with -i what it did; a command is written down when it is over."""
    who = f" [user 0 (root) on {m.hostname}]" if "l" in found else ""
    host = f" [on {m.hostname}]" if "l" in found else ""
    rows = [(line.partition(" ")[0], 1, f"{line}{who}\n") for line in pool.history]
    if "i" in found:
        rows += [(stamp, 0, f"{stamp} {text}{host}\n") for stamp, text in pool.internal]
    rows.sort(key=lambda row: row[:2])
    return f"History for '{pool.name}':\n" + "".join(text for _, _, text in rows) + "\n"
