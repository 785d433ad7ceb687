"""All of a pool that a look at it could have touched, so that before and after can be compared."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass

from .machines import Guest

ASIDE = "/run/zg/aside"
PATIENCE = 60.0
_LIST = "find . -print0 >../all"
_STAT = "xargs -0 busybox stat -c '%x %Y %Z' <../all >../times"


@dataclass(frozen=True)
class State:
    """History with internal events, datasets and snapshots, every property of every one of them,
    mounts, and of every file its three times."""

    history: list[str]
    datasets: list[str]
    properties: set[str]
    mounts: set[str]
    times: dict[bytes, str]

    def differences(self, other: State) -> list[str]:
        """What is not equal, a line each."""
        found = [f"history: {line}" for line in self.history if line not in other.history]
        found += [f"history: {line}" for line in other.history if line not in self.history]
        for name in ("datasets", "properties", "mounts"):
            one, two = set(getattr(self, name)), set(getattr(other, name))
            found += [f"{name}, before: {line}" for line in sorted(one - two)]
            found += [f"{name}, after: {line}" for line in sorted(two - one)]
        for path in self.times.keys() | other.times.keys():
            if self.times.get(path) != other.times.get(path):
                found.append(f"{path!r}: {self.times.get(path)} {other.times.get(path)}")
        return found


def state(guest: Guest, pool: str) -> State:
    """Looks without touching anything: files are listed through mounts that keep no access times.

    Snapshots that were looked at in .zfs/snapshot are mounted by the kernel, which unmounts them
    again by itself (zfs_expire_snapshot seconds later); that is waited for.
    """
    deadline = time.monotonic() + PATIENCE
    while "/.zfs/snapshot/" in (mounts := guest.out("cat /proc/mounts")):
        if time.monotonic() > deadline:
            raise AssertionError(f"the kernel keeps snapshots mounted: {mounts}")
        time.sleep(0.5)
    points = [line.split(" ")[1] for line in mounts.splitlines() if line.startswith(pool)]
    _through(guest, points, _LIST)
    _through(guest, points, _STAT)
    names = guest.run("cat /run/zg/all").stdout.split(b"\0")[:-1]
    return State(
        guest.lines(f"zpool history -il {pool}"),
        guest.lines(f"zfs list -Hp -t all -o name,guid,createtxg,type -r {pool}"),
        set(guest.lines(f"zfs get -Hp -r all {pool}; zpool get -Hp all {pool}")),
        set(mounts.splitlines()),
        dict(zip(names, guest.lines("cat /run/zg/times"), strict=True)),
    )


def _through(guest: Guest, points: list[str], command: str) -> None:
    """Run a command over all mount points, each bound to a directory 0, 1, ... without atime."""
    lines = [f"set -e; mkdir -p {ASIDE}; cd {ASIDE}"]
    for number, point in enumerate(points):
        plain = re.sub(r"\\(\d{3})", lambda octal: chr(int(octal[1], 8)), point)
        lines += [f"mkdir -p {number}; busybox mount -o bind '{plain}' {number}"]
        lines += [f"busybox mount -o remount,bind,noatime {number}"]
    lines += [command, *(f"busybox umount {number}" for number in range(len(points)))]
    guest.run("\n".join(lines), timeout=120)
