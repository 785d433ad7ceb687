"""Streams side by side: which may run together, how many, and the script that runs them.

One ssh stream brings at most its window of 2 MiB in a round trip, so a long way leaves a fast link
idle; further streams over the same connection have windows of their own. On one spindle they only
make its head move, so one after the other is what happens unless something was measured.
"""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Collection, Sequence
from importlib import resources

from zrwizard.mover.measure import Link
from zrwizard.transfer.forest import Stream

SCRIPT = resources.files(__package__).joinpath("lanes.sh").read_text(encoding="utf-8")
"""POSIX sh for FreeBSD's base system, called as `sh lanes.sh DIR`, with mover.sh beside it."""
LANES = "lanes"
"""The name of the file, in the mover's directory, that gives each stream its lane."""
MOST = 4
"""The most lanes: sshd allows ten sessions in a connection, and a lane takes two of them."""

_EACH = 4 * 2**20
_GAIN = 0.9
_FAR = 0.005
_CLEAR = 1.25
_NEARLY_TWICE = 1.75


def number(link: Link, *, data_vdevs: int, rotating: bool | None) -> int:
    """Return how many streams run side by side, 1 to `MOST`.

    More than one only where a round trip takes 5 ms or more, two streams bring at least a quarter
    more than one, and the receiving pool's disks do not turn, or it has more than one data vdev
    (`data_vdevs`; then as many streams at most). `rotating` is None where that is not known, which
    counts as turning. Four only where two brought nearly twice as much, so that more is to be had.
    """
    turning = rotating is not False
    if link.one <= 0 or link.round_trip < _FAR or (turning and data_vdevs < 2):
        return 1
    gain = link.two / link.one
    if gain < _CLEAR:
        return 1
    wanted = MOST if gain >= _NEARLY_TWICE else 2
    return min(wanted, data_vdevs) if turning else wanted


def assign(
    streams: Sequence[Stream], renames: Collection[tuple[str, str]], lanes: int
) -> tuple[int, ...] | None:
    """Return the lane of each stream, from 1; 0 for those that come before all lanes.

    A stream waits for that of its parent and that of its origin: they are in its lane, earlier in
    the list, or come before the lanes. None where side by side is not possible or would save less
    than a tenth by the sizes, and where datasets are renamed in the end: mover.sh alone does it.
    Raises ValueError for a number of lanes that is not from 1 to `MOST`.
    """
    if not 1 <= lanes <= MOST:
        raise ValueError(f"not a number of lanes: {lanes}")
    if lanes == 1 or renames:
        return None
    waits = _waits(streams)
    sizes = [stream.size + _EACH for stream in streams]
    total, before = sum(sizes), 0
    first: set[int] = set()
    groups = _heap(_connected(range(len(streams)), waits, first), sizes)
    least, best = _GAIN * total, None
    while groups and before < least:
        largest = -groups[0][0]
        share = (total - before) / lanes
        if before + max(largest, share) < least:
            spread = _spread(groups, lanes)
            taken = before + max(sum(sizes[n] for n in lane) for lane in spread)
            if taken < least:
                least, best = taken, spread
        if largest <= share:
            break
        # The largest group sets the time; without its first stream it may come apart.
        head, *rest = heapq.heappop(groups)[1]
        first.add(head)
        before += sizes[head]
        for group in _heap(_connected(rest, waits, first), sizes):
            heapq.heappush(groups, group)
    if best is None:
        return None
    lane_of = {n: lane for lane, members in enumerate(best, 1) for n in members}
    return tuple(lane_of.get(n, 0) for n in range(len(streams)))


def text(lane_of: Sequence[int]) -> str:
    """Return the file `LANES`: a line for each stream of the list, in its order."""
    return "".join(f"{lane}\n" for lane in lane_of)


def _waits(streams: Sequence[Stream]) -> list[list[int]]:
    """For each stream the places of those before it that it waits for."""
    targets = {stream.target: n for n, stream in enumerate(streams)}
    sources = {stream.source: n for n, stream in enumerate(streams)}
    found = []
    for n, stream in enumerate(streams):
        above = _nearest(targets, stream.target.rpartition("/")[0])
        origin = None
        if stream.origin is not None:
            origin = _nearest(sources, stream.origin.partition("@")[0])
        found.append([other for other in (above, origin) if other is not None and other < n])
    return found


def _nearest(places: dict[str, int], name: str) -> int | None:
    """The place of the dataset `name`, or of the nearest above it: a tree stream may bring it."""
    while name:
        if name in places:
            return places[name]
        name = name.rpartition("/")[0]
    return None


def _connected(
    members: Sequence[int], waits: list[list[int]], first: Collection[int]
) -> list[list[int]]:
    """`members` in groups, in their order, of which none waits for another but through `first`."""
    head = {n: n for n in members}

    def find(n: int) -> int:
        while head[n] != n:
            head[n] = head[head[n]]
            n = head[n]
        return n

    for n in members:
        for other in waits[n]:
            if other not in first:
                head[find(n)] = find(other)
    groups: dict[int, list[int]] = defaultdict(list)
    for n in members:
        groups[find(n)].append(n)
    return list(groups.values())


def _heap(groups: list[list[int]], sizes: list[int]) -> list[tuple[int, list[int]]]:
    """`groups` as a heap with the largest on top, each behind its size below nought."""
    heap = [(-sum(sizes[n] for n in group), group) for group in groups]
    heapq.heapify(heap)
    return heap


def _spread(heap: list[tuple[int, list[int]]], lanes: int) -> list[list[int]]:
    """The groups in at most so many lanes, the largest first, each into the one that has least."""
    spread: list[list[int]] = [[] for _ in range(min(lanes, len(heap)))]
    held = [0] * len(spread)
    for below_nought, group in sorted(heap):
        lane = held.index(min(held))
        held[lane] -= below_nought
        spread[lane] += group
    return spread
