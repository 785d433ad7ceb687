"""What a send between the two moments would carry, and what a dataset of one moment holds."""

from __future__ import annotations

import threading
from dataclasses import dataclass

from zrwizard.console.errors import NoAnswer
from zrwizard.freebsd import zfs_inspect, zfs_send
from zrwizard.freebsd.errors import ParseError
from zrwizard.freebsd.zfs_inspect import Dataset, Snapshot
from zrwizard.preview.asking import ask
from zrwizard.preview.events import Estimated, Fate, Pair
from zrwizard.preview.inventory import Inventory
from zrwizard.preview.reach import is_snapshot
from zrwizard.shell.readonly import ReadOnly


@dataclass(frozen=True, slots=True)
class _Asking:
    """How questions are put."""

    shell: ReadOnly
    stop: threading.Event
    timeout: float

    def answer(self, argv: tuple[str, ...]) -> str | None:
        """What the command printed; None where it failed or did not come to an end in time."""
        try:
            result = ask(self.shell, argv, timeout=self.timeout, stop=self.stop)
        except NoAnswer:
            return None
        return result.text if result.status == 0 else None


def estimate(
    shell: ReadOnly, inv: Inventory, pair: Pair, *, stop: threading.Event, timeout: float = 60.0
) -> Estimated | None:
    """The estimates of a pair; of one with one side only, all that this side refers to.

    None where there is nothing to tell: a dataset that only the history knows. Where zfs cannot
    answer, or not within `timeout` seconds, a figure is None. Raises `ConsoleError`.
    """
    asking = _Asking(shell, stop, timeout)
    if pair.older is not None and pair.newer is not None:
        written = _written(asking, pair.older, pair.newer)
        logical = _grown(_side(inv, pair.older), _side(inv, pair.newer), written)
        return Estimated(pair, written, logical, _stream(asking, inv, pair))
    name = pair.newer or pair.older
    side = _side(inv, name) if name is not None else None
    if side is None and pair.fate is not Fate.DESTROYED:
        side = inv.dataset(pair.dataset)
    if side is None:
        return None
    stream = _stream(asking, inv, pair) if pair.newer else None
    return Estimated(pair, side.referenced, side.logical_referenced, stream)


def _side(inv: Inventory, name: str) -> Dataset | Snapshot | None:
    return inv.snapshot(name) if is_snapshot(name) else inv.dataset(name)


def _grown(
    older: Dataset | Snapshot | None, newer: Dataset | Snapshot | None, written: int | None
) -> int | None:
    """What was written, before compression; known only where nothing was freed meanwhile.

    Else what went away would be taken off what came.
    """
    if older is None or newer is None or written is None:
        return None
    if newer.referenced - older.referenced != written:
        return None
    return max(0, newer.logical_referenced - older.logical_referenced)


def _written(asking: _Asking, older: str, newer: str) -> int | None:
    out = asking.answer(zfs_inspect.written(newer, older))
    try:
        return zfs_inspect.parse_bytes(out) if out is not None else None
    except ParseError:
        return None


def _stream(asking: _Asking, inv: Inventory, pair: Pair) -> int | None:
    if pair.newer is None or not is_snapshot(pair.newer):
        return None
    dataset = inv.dataset(pair.newer.partition("@")[0])
    locked = dataset is not None and dataset.keystatus == "unavailable"
    out = asking.answer(zfs_send.estimate_between(pair.older, pair.newer, raw=locked))
    try:
        return zfs_send.parse_estimate(out).total if out is not None else None
    except ParseError:
        return None
