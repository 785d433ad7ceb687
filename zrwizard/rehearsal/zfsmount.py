"""Mounting and unmounting datasets in the simulated file tree."""

from __future__ import annotations

from zrwizard.rehearsal.cmd_disk import unmount
from zrwizard.rehearsal.commands import Call
from zrwizard.rehearsal.errors import Fail
from zrwizard.rehearsal.machine import Machine, Mount
from zrwizard.rehearsal.zfsreport import mounts_by_itself
from zrwizard.rehearsal.zfsstate import Dataset, Pool, canmount, lookup, mountpoint


def mount_dataset(m: Machine, pool: Pool, ds: Dataset, *, read_only: bool = False) -> None:
    """Mount a dataset at its mount point; `Fail` with zfs mount's words."""
    name, path = pool.full(ds), mountpoint(pool, ds)
    if ds.kind != "filesystem":
        raise Fail(f"cannot open '{name}': operation not applicable to datasets of this type\n")
    if ds.key == "unavailable":
        raise Fail(f"cannot mount '{name}': encryption key not loaded\n")
    if ds.mounted_at:
        raise Fail(f"cannot mount '{name}': filesystem already mounted\n")
    if not path.startswith("/"):
        raise Fail(
            f"cannot mount '{name}': no mountpoint set\n"
            if path == "none"
            else f"cannot mount '{name}': legacy mountpoint\nuse mount(8) to mount this "
            "filesystem\n"
        )
    if canmount(pool, ds) == "off":
        raise Fail(f"cannot mount '{name}': 'canmount' property is set to 'off'\n")
    if not reachable(m, path):
        raise Fail(f"cannot mount '{path}': failed to create mountpoint: Read-only file system\n")
    if path == "/" and m.live:
        m.shadowed = True
        m.accident(f"{name} was mounted over the live system's root")
        ds.mounted_at = "/"
        return
    read_only = read_only or lookup(pool, ds, "readonly")[0] == "on" or pool.readonly
    if ds.tree is None or m.space is None:
        m.lay(path, dict(ds.files))
    else:
        m.space.make_mountpoint(path)
    m.mounts.append(Mount(name, path, "zfs", mount_options(pool, ds, read_only=read_only)))
    ds.mounted_at = path
    if ds.tree is not None and m.space is not None:
        m.space.lay(m.space.views()[-1])


def mount_options(pool: Pool, ds: Dataset, *, read_only: bool = False) -> str:
    """The options as the mount table has them."""
    names = ["ro" if read_only else "rw"]
    names += ["noatime"] if lookup(pool, ds, "atime")[0] != "on" else []
    names += [f"no{p}" for p in ("exec",) if lookup(pool, ds, p)[0] == "off"]
    names += ["nosuid"] if lookup(pool, ds, "setuid")[0] == "off" else []
    return ",".join([*names, "nfsv4acls"])


def reachable(m: Machine, path: str) -> bool:
    """Can the mount point exist? On a live medium only below /mnt, /tmp, /var and /media."""
    if not m.live:
        return True
    return path == "/" or path.startswith(("/mnt", "/tmp", "/var", "/media"))  # noqa: S108


def unmount_dataset(m: Machine, pool: Pool, ds: Dataset, *, force: bool = False) -> None:
    """Unmount; a mount below keeps it busy."""
    found = next((x for x in reversed(m.mounts) if x.special == pool.full(ds)), None)
    if found is None:
        ds.mounted_at = ""
        return
    above = [
        x
        for x in m.mounts[m.mounts.index(found) + 1 :]
        if x.path == found.path or x.path.startswith(found.path.rstrip("/") + "/")
    ]
    if above and not force:
        raise Fail(f"cannot unmount '{found.path}': pool or dataset is busy\n")
    unmount(m, found)


def unmount_all(m: Machine, pool: Pool) -> None:
    """Unmount every dataset of a pool, the last mounted first."""
    for found in [x for x in reversed(m.mounts) if x.kind == "zfs"]:
        if found.special == pool.name or found.special.startswith(pool.name + "/"):
            unmount(m, found)
    for ds in pool.datasets.values():
        ds.mounted_at = ""


def mount_all(m: Machine, pool: Pool) -> list[str]:
    """Mount what mounts by itself; the complaints."""
    complaints = []
    for ds in sorted(pool.datasets.values(), key=lambda d: mountpoint(pool, d)):
        if mounts_by_itself(pool, ds) and not ds.mounted_at:
            try:
                mount_dataset(m, pool, ds)
            except Fail as refusal:
                complaints.append(refusal.err)
    return complaints


def refresh(m: Machine, ds: Dataset) -> None:
    """Bring the dataset's files up to what its mount holds now."""
    if ds.tree is None and ds.mounted_at and ds.mounted_at != "/":
        ds.files = m.gather(ds.mounted_at)


def mount_zfs(call: Call, names: list[str], text: str, *, read_only: bool) -> str:
    """mount(8) -t zfs: a data set or a snapshot on a directory that is there."""
    m, (special, path) = call.machine, names[:2]
    name, sign, tag = special.partition("@")
    known = m.dataset(name)
    if known is None or (sign and known[1].snapshot(tag) is None):
        raise Fail(f"mount: {special}: No such file or directory\n")
    pool, ds = known
    if not call.is_dir(path):
        words = "Not a directory" if call.exists(path) else "No such file or directory"
        raise Fail(f"mount: {path}: {words}\n")
    if ds.kind != "filesystem" or ds.tree is None or m.space is None:
        raise Fail(f"mount: {special}: Invalid argument\n")
    if ds.key == "unavailable":
        raise Fail(f"mount: {special}: Permission denied\n")
    if ds.mounted_at and not sign:
        raise Fail(f"mount: {special}: Device busy\n")
    read_only = read_only or bool(sign) or "ro" in text.split(",")
    at = call.path(path)
    m.mounts.append(Mount(special, at, "zfs", mount_options(pool, ds, read_only=read_only)))
    if not sign:
        ds.mounted_at = at
        m.space.lay(m.space.views()[-1])
    return ""
