"""A million changes in some thirty lines: the directories where most of them are."""

from __future__ import annotations

from dataclasses import dataclass
from heapq import heapify, heappop, heappush

from zrwizard.preview.records import Counts
from zrwizard.preview.tree import ROOT, Tree


@dataclass(frozen=True, slots=True)
class Line:
    """A directory and the changes in it. Lines overlap nowhere, so they add up to all changes.

    A `path` that ends in `/…` stands for what is in other lines neither: the directory's own change
    and its entries that are no directories with changes below.
    """

    path: bytes
    counts: Counts


def summarise(tree: Tree, lines: int = 30) -> list[Line]:
    """Return at most about `lines` directories, sorted by path, that add up to the whole tree.

    It begins at the root and divides the directory with the most changes as long as there is room.
    """
    found: list[Line] = []
    # Those that may still be divided, the largest first; what cannot be divided goes to `found`.
    open_now = [(-tree.counts(ROOT).changes, ROOT)]
    heapify(open_now)
    while open_now:
        _, node = heappop(open_now)
        inside = tree.directories(node)
        room = lines - len(found) - len(open_now)
        counts = tree.counts(node)
        if not inside or len(inside) + 1 > room:
            found.append(Line(tree.path(node), counts))
            continue
        for directory in inside:
            below = tree.counts(directory)
            counts = _less(counts, below)
            heappush(open_now, (-below.changes, directory))
        if counts.changes:
            found.append(Line(tree.path(node).rstrip(b"/") + "/…".encode(), counts))
    return sorted((line for line in found if line.counts.changes), key=lambda line: line.path)


def _less(counts: Counts, below: Counts) -> Counts:
    return Counts(*(all_of_it - part for all_of_it, part in zip(counts, below, strict=True)))
