"""zpool(8) (facts/freebsd.md B4 and C4, and the recorded session)."""

from __future__ import annotations

from collections.abc import Callable

from zrwizard.rehearsal.cmd_disk import watched
from zrwizard.rehearsal.commands import Call, tool
from zrwizard.rehearsal.errors import Fail
from zrwizard.rehearsal.hardware import Content
from zrwizard.rehearsal.machine import Machine, Where
from zrwizard.rehearsal.poolimport import activate, import_pool, options
from zrwizard.rehearsal.zfsmount import mount_dataset, unmount_all
from zrwizard.rehearsal.zfsprops import (
    COMPATIBILITY_FILES,
    POOL_DEFAULTS,
    POOL_ORDER,
    POOL_READ_ONLY,
    features_of,
)
from zrwizard.rehearsal.zfsreport import mounts_by_itself, pool_value, table
from zrwizard.rehearsal.zfsstate import Dataset, Pool, usable_size


@tool("zpool", "/sbin")
def zpool(call: Call) -> str:
    """zpool(8)."""
    verbs: dict[str, Callable[[Call, list[str]], str]] = {
        "list": _list,
        "status": _status,
        "import": import_pool,
        "create": _create,
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
    return "\n".join(_one_status(p, full="P" in found) for p in pools)


def _one_status(pool: Pool, *, full: bool) -> str:
    device = f"/dev/{pool.device}" if full else pool.device
    wide = max(10, len(pool.name), len(device) + 2)
    scan = f"  scan: {pool.scan}\n" if pool.scan else ""
    checkpoint = f"checkpoint: {pool.checkpoint}\n" if pool.checkpoint else ""
    return (
        f"  pool: {pool.name}\n state: ONLINE\n{scan}{checkpoint}config:\n\n"
        f"\t{'NAME':<{wide}s}  STATE     READ WRITE CKSUM\n"
        f"\t{pool.name:<{wide}s}  ONLINE       0     0     0\n"
        f"\t{'  ' + device:<{wide}s}  ONLINE       0     0     0\n\n"
        "errors: No known data errors\n"
    )


def _create(call: Call, args: list[str]) -> str:
    found, many, names = options(args, "mRt", "oO")
    if len(names) < 2:
        raise Fail("missing vdev specification\n" if names else "missing pool name argument\n", 2)
    m, (name, device) = call.machine, names[:2]
    if device in ("mirror", "raidz", "raidz1", "raidz2", "raidz3", "draid") or len(names) > 2:
        raise Fail("the rehearsal's pools have one disk\n", 2)
    props = dict(item.partition("=")[::2] for item in many["o"])
    fsprops = dict(item.partition("=")[::2] for item in many["O"])
    _check_props(name, props)
    where = _vdev(m, device, force="f" in found)
    if name in m.pools:
        raise Fail(f"cannot create '{name}': pool already exists\n")
    if where.size < 64 << 20:
        raise Fail(
            f"cannot create '{name}': one or more devices is less than the minimum size (64M)\n"
        )
    if "n" in found:
        return f"would create '{name}' with the following layout:\n\n\t{name}\n\t  {device}\n"
    watched(m, where.disk, "zpool create")
    pool = _new_pool(m, name, where, props, found)
    if "m" in found:
        fsprops["mountpoint"] = found["m"]
    root = Dataset("", m.rng.getrandbits(63), 1, int(m.clock.now()), local=fsprops)
    pool.datasets[""] = root
    where.disk.overwrite(where.offset, Content(where.size, pool=pool))
    activate(m, pool)
    if mounts_by_itself(pool, root):
        mount_dataset(m, pool, root)
    return ""


def _check_props(name: str, props: dict[str, str]) -> None:
    for key, value in props.items():
        if key == "compatibility" and value not in (*COMPATIBILITY_FILES, "off", "legacy"):
            raise Fail(
                f"cannot create '{name}': property 'compatibility' could not be set: "
                f"error reading file '/usr/share/zfs/compatibility.d/{value}'\n"
            )
        if key not in POOL_DEFAULTS and not key.startswith("feature@"):
            raise Fail(f"property '{key}' is not a valid pool or vdev property\n")


def _new_pool(
    m: Machine, name: str, where: Where, props: dict[str, str], found: dict[str, str]
) -> Pool:
    altroot = found.get("R") or props.pop("altroot", "")
    ashift = int(props.get("ashift", "0"))
    ashift = ashift or (12 if 4096 in (where.disk.stripe, where.disk.sector) else 9)
    kept = {k: v for k, v in props.items() if not k.startswith("feature@")}
    if altroot:
        kept["cachefile"] = "none"
    features = features_of(props.get("compatibility", "off"))
    if "d" in found:
        features = dict.fromkeys(features, "disabled")
    return Pool(
        name,
        m.rng.getrandbits(63),
        where.name,
        where.disk.name,
        where.offset,
        usable_size(where.size),
        ashift,
        props=kept,
        features=features,
        altroot=altroot,
    )


def _vdev(m: Machine, device: str, *, force: bool) -> Where:
    where = m.place(device)
    if where is None:
        if device.startswith("/"):
            raise Fail(
                f"cannot open '{device}': no such device in /dev\n"
                if device.startswith("/dev/")
                else f"cannot use '{device}': must be a block device or regular file\n"
            )
        raise Fail(
            f"cannot open '{device}': no such device in /dev\n"
            "must be a full path or shorthand device name\n"
        )
    shown = f"/dev/{where.name}"
    pool = where.content.pool
    if pool is not None and not pool.destroyed:
        active = pool.active_on == m.name
        state = "active" if active else "exported" if pool.exported else "potentially active"
        text = f"{shown} is part of {state} pool '{pool.name}'\n"
        if active and force:
            raise Fail(
                "invalid vdev specification\nthe following errors must be manually "
                f"repaired:\n{text}"
            )
        if not force:
            raise Fail(
                "invalid vdev specification\nuse '-f' to override the following errors:\n" + text
            )
    elif m.users(where) or (
        where.part is None and where.disk.table is not None and where.disk.table.parts
    ):
        raise Fail(
            "cannot create: one or more vdevs refer to the same device, or one of\n"
            "the devices is part of an active md or lvm device\n".replace(
                "cannot create:", f"cannot create '{device}':"
            )
        )
    if where.disk.read_only:
        raise Fail(f"cannot open '{device}': Permission denied\n")
    return where


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
    if pool is None or (where.part is None and pool.device != where.disk.name):
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
