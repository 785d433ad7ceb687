"""zfs(8) (facts/freebsd.md B4, B6, C5, and the recorded session)."""

from __future__ import annotations

import re
from collections.abc import Callable

from zrwizard.rehearsal.cmd_zfsdiff import diff
from zrwizard.rehearsal.cmd_zpool import zfs_version
from zrwizard.rehearsal.commands import Call, program
from zrwizard.rehearsal.errors import Fail
from zrwizard.rehearsal.machine import Machine
from zrwizard.rehearsal.poolimport import options
from zrwizard.rehearsal.zfslist import find, get_properties, list_datasets
from zrwizard.rehearsal.zfsmount import mount_all, mount_dataset, refresh, unmount_dataset
from zrwizard.rehearsal.zfsnames import destroy, rename
from zrwizard.rehearsal.zfsprops import ALIASES, DEFAULTS, READ_ONLY
from zrwizard.rehearsal.zfsreaders import receive
from zrwizard.rehearsal.zfsreport import mounts_by_itself, table
from zrwizard.rehearsal.zfssend import send
from zrwizard.rehearsal.zfsstate import Dataset, Pool, Snapshot, mountpoint, referenced


@program("zfs", "/sbin")
async def zfs(call: Call) -> int:
    """zfs(8)."""
    verb = call.args[0] if call.args else ""
    verbs: dict[str, Callable[[Call, list[str]], str]] = {
        "list": list_datasets,
        "get": get_properties,
        "set": _set,
        "inherit": _inherit,
        "create": _create,
        "destroy": destroy,
        "snapshot": _snapshot,
        "snap": _snapshot,
        "mount": _mount,
        "unmount": _unmount,
        "umount": _unmount,
        "rename": rename,
        "rollback": _rollback,
        "hold": _hold,
        "release": _hold,
        "holds": _holds,
        "bookmark": _bookmark,
    }
    if verb == "version" or verb in ("--version", "-V"):
        call.machine.load("zfs")
        await call.out(zfs_version(call.machine))
        return 0
    call.machine.load("zfs")
    if verb == "send":
        return await send(call, call.args[1:])
    if verb in ("receive", "recv"):
        return await receive(call, call.args[1:])
    if verb == "diff":
        return await diff(call, call.args[1:])
    if verb not in verbs:
        raise Fail(f"unrecognized command '{verb}'\nusage: zfs command args ...\n", 2)
    await call.out(verbs[verb](call, call.args[1:]))
    if verb in ("set", "inherit", "create", "destroy", "snapshot", "rename", "rollback", "hold"):
        stamp = call.machine.clock.utc().strftime("%Y-%m-%d.%H:%M:%S")
        for name in {re.split("[/@]", a)[0] for a in call.args[1:]} & set(call.machine.pools):
            call.machine.pools[name].history.append(f"{stamp} zfs {' '.join(call.args)}")
    return 0


def _checked(ds_name: str, key: str) -> None:
    head = f"cannot set property for '{ds_name}': "
    if key in READ_ONLY:
        raise Fail(f"{head}'{key}' is readonly\n")
    if key not in DEFAULTS and ":" not in key:
        raise Fail(f"{head}invalid property '{key}'\n")


def _set(call: Call, args: list[str]) -> str:
    found, _, words = options(args, "")
    pairs = [w for w in words if "=" in w]
    names = [w for w in words if "=" not in w]
    if not pairs or not names:
        raise Fail(
            "missing property=value argument(s)\n" if not pairs else "missing dataset name(s)\n", 2
        )
    m = call.machine
    for name in names:
        pool, ds, _ = find(m, name)
        for pair in pairs:
            key, _, value = pair.partition("=")
            _checked(name, key)
            _valid(name, key, value)
            moving = key in ("mountpoint", "canmount") and "u" not in found
            was = ds.mounted_at
            if moving and was:
                unmount_dataset(m, pool, ds)
            ds.local[key] = value
            ds.hidden.discard(key)
            if moving and mounts_by_itself(pool, ds) and (was or key == "mountpoint"):
                mount_dataset(m, pool, ds)
    return ""


def _valid(name: str, key: str, value: str) -> None:
    allowed = {
        "canmount": ("on", "off", "noauto"),
        "atime": ("on", "off"),
        "readonly": ("on", "off"),
        "exec": ("on", "off"),
        "setuid": ("on", "off"),
    }
    head = f"cannot set property for '{name}': "
    if key in allowed and value not in allowed[key]:
        words = "' | '".join(allowed[key])
        raise Fail(
            f"{head}'{key}' must be one of '{words.replace(chr(39), '')}'\n".replace("' | '", " | ")
        )
    if key == "mountpoint" and value not in ("none", "legacy") and not value.startswith("/"):
        raise Fail(f"{head}'mountpoint' must be an absolute path, 'none', or 'legacy'\n")


def _inherit(call: Call, args: list[str]) -> str:
    found, _, words = options(args, "")
    if len(words) < 2:
        raise Fail("missing property argument\n", 2)
    key = ALIASES.get(words[0], words[0])
    for name in words[1:]:
        pool, top, _ = find(call.machine, name)
        if key in READ_ONLY or (key not in DEFAULTS and ":" not in key):
            raise Fail(f"invalid property '{key}'\n", 2)
        for ds in [top, *(pool.children(top) if "r" in found else [])]:
            ds.local.pop(key, None)
            if "S" in found:
                ds.hidden.discard(key)
            elif key in ds.received:
                ds.hidden.add(key)
    return ""


def _create(call: Call, args: list[str]) -> str:
    found, many, names = options(args, "VbsS", "o")
    m, name = call.machine, names[0] if names else ""
    pool_name, _, rel = name.partition("/")
    pool = m.pools.get(pool_name)
    if pool is None or not rel:
        raise Fail(
            f"cannot create '{name}': missing dataset name\n"
            if pool
            else f"cannot create '{name}': no such pool '{pool_name}'\n"
        )
    if rel in pool.datasets:
        if "p" in found:
            return ""
        raise Fail(f"cannot create '{name}': dataset already exists\n")
    parents = rel.split("/")[:-1]
    for depth in range(1, len(parents) + 1):
        above = "/".join(parents[:depth])
        if above not in pool.datasets:
            if "p" not in found:
                raise Fail(f"cannot create '{name}': parent does not exist\n")
            _make(m, pool, above, {})
    props = dict(i.partition("=")[::2] for i in many["o"])
    for key, value in props.items():
        _checked(name, key)
        _valid(name, key, value)
    _make(m, pool, rel, props, mount="u" not in found)
    return ""


def _make(m: Machine, pool: Pool, rel: str, props: dict[str, str], *, mount: bool = True) -> None:
    ds = Dataset(rel, m.rng.getrandbits(63), pool.next_txg(), int(m.clock.now()), local=props)
    pool.datasets[rel] = ds
    if mount and mounts_by_itself(pool, ds):
        mount_dataset(m, pool, ds)


def take_snapshot(m: Machine, pool: Pool, ds: Dataset, name: str, txg: int) -> None:
    """Snapshot one dataset as it is now."""
    if ds.tree is not None and m.space is not None:
        m.space.sync()
    refresh(m, ds)
    last = ds.snapshots[-1] if ds.snapshots else None
    size = sum(map(len, filter(None, ds.files.values())))
    before = sum(map(len, filter(None, last.files.values()))) if last else 0
    fresh = max(0, ds.bulk - (last.bulk if last else 0)) + max(0, size - before)
    ds.snapshots.append(
        Snapshot(
            name,
            m.rng.getrandbits(63),
            txg,
            int(m.clock.now()),
            referenced(pool, ds),
            0,
            dict(ds.files),
            ds.bulk,
            fresh,
            tree=ds.tree.copy() if ds.tree else None,
        )
    )


def _snapshot(call: Call, args: list[str]) -> str:
    found, _, names = options(args, "o")
    for full in names:
        name, sign, snap = full.partition("@")
        if not sign or not snap:
            raise Fail(f"cannot create snapshot '{full}': empty component or misplaced '@'\n")
        pool, top, _ = find(call.machine, name)
        targets = [top, *(pool.children(top) if "r" in found else [])]
        for ds in targets:
            if ds.snapshot(snap) is not None:
                raise Fail(
                    f"cannot create snapshot '{pool.full(ds)}@{snap}': dataset already exists\n"
                )
        txg = pool.next_txg()
        for ds in targets:
            take_snapshot(call.machine, pool, ds, snap, txg)
    return ""


def _mount(call: Call, args: list[str]) -> str:
    found, many, names = options(args, "", "o")
    m = call.machine
    if "a" in found:
        complaints = "".join(c for p in m.pools.values() for c in mount_all(m, p))
        if complaints:
            raise Fail(complaints)
        return ""
    if not names:
        return "".join(f"{x.special:<30s}  {x.path}\n" for x in m.mounts if x.kind == "zfs")
    pool, ds, snap = find(m, names[0])
    if snap is not None:
        raise Fail(f"cannot open '{names[0]}': operation not applicable to datasets of this type\n")
    mount_dataset(m, pool, ds, read_only="ro" in ",".join(many["o"]).split(","))
    return ""


def _unmount(call: Call, args: list[str]) -> str:
    found, _, names = options(args, "")
    m = call.machine
    if "a" in found:
        for pool in m.pools.values():
            for ds in reversed(pool.ordered()):
                if ds.mounted_at:
                    unmount_dataset(m, pool, ds, force=True)
        return ""
    name = names[0] if names else ""
    if name.startswith("/"):
        name = next((x.special for x in reversed(m.mounts) if x.path == name), name)
        if name.startswith("/"):
            raise Fail(f"cannot unmount '{name}': not a mountpoint\n")
    pool, ds, _ = find(m, name)
    if not ds.mounted_at:
        where = mountpoint(pool, ds)
        raise Fail(f"cannot unmount '{name}': not currently mounted\n" if where else "")
    unmount_dataset(m, pool, ds, force="f" in found)
    return ""


def _rollback(call: Call, args: list[str]) -> str:
    found, _, names = options(args, "")
    pool, ds, snap = find(call.machine, names[0] if names else "")
    if snap is None:
        raise Fail(f"cannot open '{names[0]}': not a snapshot\n" if names else "")
    later = ds.snapshots[ds.snapshots.index(snap) + 1 :]
    if later and "r" not in found and "R" not in found:
        raise Fail(
            f"cannot rollback to '{names[0]}': more recent snapshots or bookmarks exist\n"
            "use '-r' to force deletion of the following snapshots and bookmarks:\n"
            + "".join(f"{pool.full(ds)}@{s.name}\n" for s in later)
        )
    ds.snapshots = ds.snapshots[: ds.snapshots.index(snap) + 1]
    ds.files, ds.bulk = dict(snap.files), snap.bulk
    if snap.tree is not None:
        ds.tree = snap.tree.copy()
    return ""


def _hold(call: Call, args: list[str]) -> str:
    _, _, names = options(args, "")
    _, _, snap = find(call.machine, names[1] if len(names) > 1 else "")
    if snap is not None:
        if call.args[0] == "hold":
            snap.holds[names[0]] = int(call.machine.clock.now())
        else:
            snap.holds.pop(names[0], None)
    return ""


def _holds(call: Call, args: list[str]) -> str:
    from zrwizard.rehearsal.clock import short_date  # noqa: PLC0415

    found, _, names = options(args, "")
    rows = []
    for name in names:
        _, _, snap = find(call.machine, name)
        if snap is not None:
            rows += [[name, tag, short_date(when)] for tag, when in snap.holds.items()]
    if "H" in found:
        return "".join("\t".join(r) + "\n" for r in rows)
    return table(rows, ["NAME", "TAG", "TIMESTAMP"], set())


def _bookmark(call: Call, args: list[str]) -> str:
    _, _, names = options(args, "")
    _, ds, snap = find(call.machine, names[0] if names else "")
    if snap is None:
        raise Fail(f"cannot open '{names[0]}': not a snapshot\n" if names else "")
    ds.bookmarks[names[1].rpartition("#")[2]] = (snap.guid, snap.referenced)
    return ""
