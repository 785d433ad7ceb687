"""What is new on one machine against its copy on another: by the guids of snapshots, not names."""

from __future__ import annotations

from dataclasses import dataclass

from zrwizard.freebsd.zfs_inspect import Snapshot

from .inventory import Inventory


@dataclass(frozen=True, slots=True)
class Relation:
    """One dataset on both machines (`here`, `there`: its names; None where it is lacking).

    `common` are the names of the newest snapshot that both have, here and there. `only_here` and
    `only_there` are snapshots, oldest first. `next_send` is the estimate to ask here for what
    would bring the copy up to date (argv, for `zfs_send.parse_estimate`), None where nothing is to
    be sent; `why` is a sentence on what stands in the way, or what to know.
    """

    here: str | None
    there: str | None
    common: tuple[str, str] | None
    only_here: tuple[Snapshot, ...]
    only_there: tuple[Snapshot, ...]
    next_send: tuple[str, ...] | None
    why: str = ""


def relate(
    here: Inventory, there: Inventory, here_root: str, there_root: str
) -> tuple[Relation, ...]:
    """Every dataset of both trees, those here in their order, then those that only there has.

    Raises LookupError with a sentence where a root does not exist.
    """
    raise NotImplementedError
