"""One stream for each dataset of a tree."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Stream:
    """Everything that one dataset needs.

    It is sent from `source` and received as `target`. `kind` is "filesystem" or "volume"; `origin`
    the full snapshot name on the sending side that a clone builds upon, received before. `points`
    are tags: the first is sent whole (or with -i from `origin`), each next one builds on the one
    before, with all snapshots between them where `every`. `raw` means -w, `tree` -R. `guid` is that
    of the last point's snapshot on the sending side, `size` an estimate in bytes (0 unknown).
    """

    source: str
    target: str
    kind: str
    origin: str | None
    points: tuple[str, ...]
    every: bool
    raw: bool
    tree: bool
    guid: int
    size: int
