"""Mounting and unmounting datasets in the simulated file tree."""

from __future__ import annotations

from zrwizard.rehearsal.cmd_disk import unmount
from zrwizard.rehearsal.errors import Fail
from zrwizard.rehearsal.machine import Machine, Mount
from zrwizard.rehearsal.zfsreport import mounts_by_itself
from zrwizard.rehearsal.zfsstate import Dataset, Pool, canmount, lookup, mountpoint


def mount_dataset(m: Machine, pool: Pool, ds: Dataset, *, read_only: bool = False) -> None:
    """Mount a dataset at its mount point; `Fail` with zfs mount's words."""
    name, path = pool.full(ds), mountpoint(pool, ds)
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
    m.lay(path, dict(ds.files))
    atime = "" if lookup(pool, ds, "atime")[0] == "on" else "noatime,"
    m.mounts.append(Mount(name, path, "zfs", f"{'ro' if read_only else 'rw'},{atime}nfsv4acls"))
    ds.mounted_at = path


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
    if ds.mounted_at and ds.mounted_at != "/":
        ds.files = m.gather(ds.mounted_at)
