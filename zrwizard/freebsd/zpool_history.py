"""zpool-history(8): what became of datasets: renamed, destroyed, promoted, made, received.

The command is given `TZ=UTC0`, so its times are UTC whatever the target's zone is, and no change to
summer time blurs them; `UTC0` is POSIX and needs no zone files on a rescue medium. (Where that is
not possible, `parse` takes the zone as `date +%z` prints it.) zfs joins the words of a command by
blanks and quotes nothing, so a name with a blank is found by what names can be, not by the words.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum

TOOL = "zpool history"


class What(StrEnum):
    """What a command did to a dataset."""

    CREATE = "create"
    CLONE = "clone"
    RECEIVE = "receive"
    RENAME = "rename"
    PROMOTE = "promote"
    DESTROY = "destroy"
    ROLLBACK = "rollback"
    SNAPSHOT = "snapshot"


@dataclass(frozen=True, slots=True)
class Event:
    """One command of the history that succeeded: `when` in seconds since 1970.

    `names` are the datasets and snapshots it names, in its order (rename: old, new; clone:
    snapshot, new). `recursive` says that it took the children too. `txg` is known of internal
    events only (`-i`).
    """

    when: int
    what: What
    names: tuple[str, ...]
    recursive: bool = False
    txg: int | None = None


def history(pool: str) -> tuple[str, ...]:
    """Command: the commands that changed a pool, oldest first, times in UTC, for `parse`."""
    return ("env", "TZ=UTC0", "zpool", "history", pool)


def parse(output: str, *, zone: str = "+0000") -> tuple[Event, ...]:
    """What became of datasets, in the order of the history; `zone` is that of its times.

    Lines of other commands and of what internal events add are passed over. Raises ParseError
    where there is no heading (`History for 'POOL':`).
    """
    raise NotImplementedError
