"""zpool create (facts/freebsd.md C4)."""

from __future__ import annotations

from zrwizard.rehearsal import vdevs
from zrwizard.rehearsal.cmd_disk import watched
from zrwizard.rehearsal.commands import Call
from zrwizard.rehearsal.errors import Fail
from zrwizard.rehearsal.hardware import Content
from zrwizard.rehearsal.machine import Machine, Where
from zrwizard.rehearsal.poolimport import activate, options
from zrwizard.rehearsal.zfsmount import mount_dataset
from zrwizard.rehearsal.zfsprops import COMPATIBILITY_FILES, POOL_DEFAULTS, features_of
from zrwizard.rehearsal.zfsreport import mounts_by_itself
from zrwizard.rehearsal.zfsstate import Dataset, Group, Member, Pool, usable_size

_Built = list[tuple[str, list[Where]]]


def create_pool(call: Call, args: list[str]) -> str:
    found, many, names = options(args, "mRt", "oO")
    if len(names) < 2:
        raise Fail("missing vdev specification\n" if names else "missing pool name argument\n", 2)
    m, name = call.machine, names[0]
    words, spare_words = vdevs.parse(names[1:])
    props = dict(item.partition("=")[::2] for item in many["o"])
    fsprops = dict(item.partition("=")[::2] for item in many["O"])
    _check_props(name, props)
    force = "f" in found
    built = [(kind, [_vdev(m, one, force=force) for one in devices]) for kind, devices in words]
    spares = [_vdev(m, one, force=force) for one in spare_words]
    every = [where for _, devices in built for where in devices] + spares
    _check_devices(name, built, every, force=force)
    if name in m.pools:
        raise Fail(f"cannot create '{name}': pool already exists\n")
    if any(where.size < 64 << 20 for where in every):
        raise Fail(
            f"cannot create '{name}': one or more devices is less than the minimum size (64M)\n"
        )
    if "n" in found:
        return _would_be(name, built)
    for where in every:
        watched(m, where.disk, "zpool create")
    pool = _new_pool(m, name, built, spares, props, found)
    if "m" in found:
        fsprops["mountpoint"] = found["m"]
    root = Dataset("", m.rng.getrandbits(63), 1, int(m.clock.now()), local=fsprops)
    pool.datasets[""] = root
    for where in every:
        where.disk.overwrite(where.offset, Content(where.size, pool=pool))
    activate(m, pool)
    if mounts_by_itself(pool, root):
        mount_dataset(m, pool, root)
    return ""


def _would_be(name: str, built: _Built) -> str:
    text = f"would create '{name}' with the following layout:\n\n\t{name}\n"
    for kind, devices in built:
        text += f"\t  {kind}\n" if kind else ""
        text += "".join(f"\t{'    ' if kind else '  '}{where.name}\n" for where in devices)
    return text


def _check_devices(name: str, built: _Built, every: list[Where], *, force: bool) -> None:
    if len({(where.disk.name, where.offset) for where in every}) < len(every):
        raise Fail(
            f"cannot create '{name}': one or more vdevs refer to the same device, or one of\n"
            "the devices is part of an active md or lvm device\n"
        )
    sized = [(kind, [(where.name, where.size) for where in devices]) for kind, devices in built]
    uneven = vdevs.uneven(sized)
    if uneven and not force:
        raise Fail(
            "invalid vdev specification\nuse '-f' to override the following errors:\n" + uneven
        )


def _check_props(name: str, props: dict[str, str]) -> None:
    for key, value in props.items():
        if key == "compatibility" and value not in (*COMPATIBILITY_FILES, "off", "legacy"):
            raise Fail(
                f"cannot create '{name}': property 'compatibility' could not be set: "
                f"error reading file '/usr/share/zfs/compatibility.d/{value}'\n"
            )
        if key not in POOL_DEFAULTS and not key.startswith("feature@"):
            raise Fail(f"property '{key}' is not a valid pool or vdev property\n")


def _new_pool(  # noqa: PLR0917 - what a new pool is made of
    m: Machine,
    name: str,
    built: _Built,
    spares: list[Where],
    props: dict[str, str],
    found: dict[str, str],
) -> Pool:
    altroot = found.get("R") or props.pop("altroot", "")
    ashift = int(props.get("ashift", "0"))
    coarse = any(4096 in (w.disk.stripe, w.disk.sector) for _, devices in built for w in devices)
    ashift = ashift or (12 if coarse else 9)
    kept = {k: v for k, v in props.items() if not k.startswith("feature@")}
    if altroot:
        kept["cachefile"] = "none"
    features = features_of(props.get("compatibility", "off"))
    if "d" in found:
        features = dict.fromkeys(features, "disabled")
    first = built[0][1][0]
    size = 0
    for kind, devices in built:
        each = usable_size(min(where.size for where in devices))
        size += each * (len(devices) if kind.startswith("raidz") else 1)
    return Pool(
        name,
        m.rng.getrandbits(63),
        first.name,
        first.disk.name,
        first.offset,
        size,
        ashift,
        props=kept,
        features=features,
        altroot=altroot,
        groups=[Group(kind, [_member(where) for where in devices]) for kind, devices in built],
        spares=[_member(where) for where in spares],
        ratio=vdevs.ratio([(kind, len(devices)) for kind, devices in built]),
    )


def _member(where: Where) -> Member:
    return Member(where.name, where.disk.name, where.offset)


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
