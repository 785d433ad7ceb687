"""The dialect of FreeBSD's tools: one module a tool, pure.

Each module builds sh text for its commands (quoted in `sh` alone) and parses what the real tools
print into frozen records. Sizes are bytes and times seconds unless a field says sectors. A parser
raises `ParseError` on nonsense and nothing else; `explain` functions turn known complaints of a
tool into a `Diagnosis`: what happened and what to do now.

No module here touches a process, a socket, a file or a thread: callers run the commands.
"""

from . import (
    cksum,
    compatibility,
    dhclient,
    diskinfo,
    geli,
    geom,
    gpart,
    host,
    ifconfig,
    kld,
    layout,
    mount,
    netstat,
    route,
    sh,
    size,
    ssh,
    ssh_dialogue,
    stat,
    swapinfo,
    sysctl,
    tree,
    uname,
    vdev,
    zfs,
    zfs_diff,
    zfs_inspect,
    zfs_receive,
    zfs_send,
    zpool,
    zpool_errors,
    zpool_history,
    zpool_import,
)
from .errors import Diagnosis, ParseError

__all__ = [
    "Diagnosis",
    "ParseError",
    "cksum",
    "compatibility",
    "dhclient",
    "diskinfo",
    "geli",
    "geom",
    "gpart",
    "host",
    "ifconfig",
    "kld",
    "layout",
    "mount",
    "netstat",
    "route",
    "sh",
    "size",
    "ssh",
    "ssh_dialogue",
    "stat",
    "swapinfo",
    "sysctl",
    "tree",
    "uname",
    "vdev",
    "zfs",
    "zfs_diff",
    "zfs_inspect",
    "zfs_receive",
    "zfs_send",
    "zpool",
    "zpool_errors",
    "zpool_history",
    "zpool_import",
]
