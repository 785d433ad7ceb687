"""Pools over several devices: what they are made of, how they stand, how zpool prints them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from zrwizard.rehearsal.errors import Fail
from zrwizard.rehearsal.zfsstate import Group, Member, Pool

if TYPE_CHECKING:
    from zrwizard.rehearsal.machine import Machine

_KINDS = {"mirror": 1, "raidz": 1, "raidz1": 1, "raidz2": 2, "raidz3": 3}
"""How many devices beside the first (mirror), or of parity (raidz), each kind has at least."""
FUZZ = 16 << 20


def parse(words: list[str]) -> tuple[list[tuple[str, list[str]]], list[str]]:
    """What follows the pool's name in `zpool create`: (kind, devices) each, and the spares."""
    groups: list[tuple[str, list[str]]] = []
    spares: list[str] = []
    into: list[str] | None = None
    for word in words:
        if word in _KINDS:
            into = []
            groups.append(("raidz1" if word == "raidz" else word, into))
        elif word == "spare":
            into = spares
        elif word in ("log", "cache", "special", "dedup") or word.startswith("draid"):
            raise Fail(f"the rehearsal's pools have no {word} devices\n", 2)
        elif into is None:
            groups.append(("", [word]))
        else:
            into.append(word)
    for kind, devices in groups:
        least = _KINDS[kind] + 1 if kind else 1
        if len(devices) < least:
            raise Fail(f"invalid vdev specification: {kind} requires at least {least} devices\n")
    return groups, spares


def uneven(groups: list[tuple[str, list[tuple[str, int]]]]) -> str:
    """Why `zpool create` wants -f: sizes in bytes that differ, or groups of different kinds."""
    for kind, devices in groups:
        sizes = [size for _, size in devices]
        if kind and max(sizes) - min(sizes) > FUZZ:
            return f"{kind.rstrip('123')} contains devices of different sizes\n"
    first = groups[0]
    for kind, devices in groups[1:]:
        if kind != first[0]:
            names = [name.rstrip("123") or "disk" for name in (first[0], kind)]
            return (
                f"mismatched replication level: both {names[0]} and {names[1]} vdevs are present\n"
            )
        if len(devices) != len(first[1]):
            return (
                f"mismatched replication level: both {len(first[1])}-way and {len(devices)}-way "
                f"{kind.rstrip('123')} vdevs are present\n"
            )
    return ""


def ratio(groups: list[tuple[str, int]]) -> float:
    """What of a byte on its devices is data, for (kind, devices): raidz in blocks of 128 KiB."""
    kind, count = groups[0]
    if not kind.startswith("raidz"):
        return 1.0
    parity = _KINDS[kind]
    rows = -(-32 // (count - parity))
    sectors = 32 + rows * parity
    padded = -(-sectors // (parity + 1)) * (parity + 1)
    return 32 / padded


def there(m: Machine, pool: Pool, member: Member) -> bool:
    """Is the device in the machine, with the pool's label on it? A pool's only one always is."""
    if len(pool.devices) == 1:
        return True
    inner = next((a.geli.inner for a in m.attached if a.name == member.disk), None)
    disk = inner or m.disk(member.disk)
    content = disk.contents.get(member.offset) if disk is not None else None
    return content is not None and content.pool is pool


def _group_state(m: Machine, pool: Pool, group: Group) -> str:
    missing = sum(not there(m, pool, member) for member in group.members)
    if not missing:
        return "ONLINE"
    kind = group.kind
    spare = len(group.members) - 1 if kind == "mirror" else _KINDS[kind] if kind else 0
    return "DEGRADED" if missing <= spare else "UNAVAIL"


def health(m: Machine, pool: Pool) -> str:
    """ONLINE, DEGRADED, or UNAVAIL where too many devices are missing."""
    states = {_group_state(m, pool, group) for group in pool.groups}
    return next((s for s in ("UNAVAIL", "DEGRADED") if s in states), "ONLINE")


def rows(m: Machine, pool: Pool, *, full: bool = False) -> Iterator[tuple[int, str, str]]:
    """(depth, name, state) of the pool, its vdevs and its spares; a heading has no state."""
    head = "/dev/" if full else ""
    yield 0, pool.name, health(m, pool)
    for number, group in enumerate(pool.groups):
        depth = 1
        if group.kind:
            yield 1, f"{group.kind}-{number}", _group_state(m, pool, group)
            depth = 2
        for member in group.members:
            state = "ONLINE" if there(m, pool, member) else "UNAVAIL"
            yield depth, f"{head}{member.device}", state
    if pool.spares:
        yield 0, "spares", ""
        for member in pool.spares:
            state = "AVAIL" if there(m, pool, member) else "UNAVAIL"
            yield 1, f"{head}{member.device}", state


def width(found: list[tuple[int, str, str]]) -> int:
    """How wide zpool makes the column of names."""
    return max(10, *(2 * depth + len(name) for depth, name, _ in found))


def at(pool: Pool, disk: str, offset: int, *, whole: bool) -> bool:
    """Is one of the pool's devices the partition, or the `whole` disk, that begins there?"""
    return any(
        member.disk == disk and member.offset == offset and whole == (member.device == disk)
        for member in pool.devices
    )
