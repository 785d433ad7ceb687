"""Who holds a disk: mounts, pools, swap and geli traced back to the disk that they lie on."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from zrwizard.facts import DiskFacts, Hold, Use
from zrwizard.freebsd.geli import Attached
from zrwizard.freebsd.mount import Mount
from zrwizard.freebsd.swapinfo import Swap
from zrwizard.freebsd.zpool import PoolStatus
from zrwizard.freebsd.zpool_import import Candidate

_GONE = frozenset({"UNAVAIL", "REMOVED"})
_MEMORY = frozenset({"tmpfs", "devfs", "fdescfs", "procfs", "nullfs", "unionfs"})


@dataclass(frozen=True, slots=True)
class Claims:
    """Everything on the target that can claim a disk."""

    mounts: tuple[Mount, ...] = ()
    pools: tuple[PoolStatus, ...] = ()
    importable: tuple[Candidate, ...] = ()
    geli: tuple[Attached, ...] = ()
    swap: tuple[Swap, ...] = ()


def is_live(mounts: tuple[Mount, ...]) -> bool:
    """Return whether the running system is an install medium: its root cannot be written to."""
    root = next((row for row in mounts if row.point == "/"), None)
    if root is None or root.read_only or root.type in ("cd9660", "tmpfs"):
        return True
    return root.device.startswith("/dev/md")


def provider_on(disk: DiskFacts, device: str) -> str | None:
    """Return the provider (below /dev) that `device` names on `disk`, None where it is elsewhere.

    `device` may be `vtbd0p4`, `/dev/gpt/zfs0`, `diskid/DISK-…p2` or one of them with `.eli`.
    """
    name = device.removeprefix("/dev/").removesuffix(".eli")
    if re.fullmatch(rf"{re.escape(disk.name)}(?:[ps]\d+[a-h]?)*", name):
        return name
    for entry in disk.table.entries if disk.table else ():
        if entry.label and name == f"gpt/{entry.label}":
            return f"{disk.name}p{entry.index}"
    alias = f"diskid/DISK-{disk.disk.ident}"
    if disk.disk.ident and name.startswith(alias):
        rest = name.removeprefix(alias)
        return disk.name + rest if re.fullmatch(r"(?:[ps]\d+[a-h]?)*", rest) else None
    return None


def on(disk: DiskFacts, claims: Claims) -> tuple[Hold, ...]:
    """Return every claim on `disk`, the hardest first."""
    found = sorted(set(_claims(disk, claims)), key=_rank)
    hard = [hold for hold in found if hold.use is not Use.IMPORTABLE]
    if disk.disk.mode.open and not hard:
        root_known = any(
            row.point == "/" and provider_on(disk, row.device) for row in claims.mounts
        )
        use = Use.OPEN if root_known else _unexplained(claims)
        found.insert(0, Hold(use, "something that the survey cannot name", disk.name))
    return tuple(found)


def _rank(hold: Hold) -> tuple[int, str, str]:
    return list(Use).index(hold.use), hold.provider, hold.what


def _unexplained(claims: Claims) -> Use:
    """What an open disk is that nobody claims: the medium, where its root is named by a label."""
    root = next((row for row in claims.mounts if row.point == "/"), None)
    labelled = root is not None and root.device.startswith("/dev/") and root.type != "zfs"
    return Use.MEDIUM if labelled else Use.OPEN


def _claims(disk: DiskFacts, claims: Claims) -> Iterator[Hold]:
    for row in claims.mounts:
        provider = provider_on(disk, row.device) if row.type not in _MEMORY else None
        if provider:
            yield Hold(Use.MEDIUM if row.point == "/" else Use.MOUNTED, row.point, provider)
    for pool in claims.pools:
        for member in pool.members():
            if provider := provider_on(disk, member):
                yield Hold(Use.POOL, pool.name, provider)
    for swap in claims.swap:
        if provider := provider_on(disk, swap.device):
            yield Hold(Use.SWAP, swap.device, provider)
    for attached in claims.geli:
        if provider := provider_on(disk, attached.component):
            yield Hold(Use.GELI, attached.name, provider)
    for candidate in claims.importable:
        for top in candidate.vdevs:
            for leaf in top.leaves():
                # A missing member is listed under the name that it had once, maybe on this disk.
                provider = provider_on(disk, leaf.name) if leaf.state not in _GONE else None
                if provider and leaf.state is not None:
                    yield Hold(Use.IMPORTABLE, candidate.name, provider)
