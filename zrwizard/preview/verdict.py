"""What a comparison comes to: differences or none, and whether all is known. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

from zrwizard.preview.events import (
    Began,
    Coverage,
    DatasetBegan,
    DatasetEnded,
    Ended,
    Estimated,
    Fate,
    Found,
    Pair,
    Sized,
    Told,
)
from zrwizard.preview.known import Inventory

SAME, DIFFERENT, TROUBLE = 0, 1, 2
"""Exit codes, those of diff(1)."""
_ONLY_ONE_SIDE = (Fate.CREATED, Fate.DESTROYED)
_TOLD_OTHERWISE = (*_ONLY_ONE_SIDE, Fate.VOLUME)
_DIFFERENT = (*_ONLY_ONE_SIDE, Fate.RENAMED)


class Verdict:
    """Listens to a comparison, and judges it when it is over.

    `settled` are datasets of which nothing need be read: see `settled`.
    """

    def __init__(self, settled: frozenset[str] = frozenset()) -> None:
        self.changes = 0
        self._settled = settled
        self._pairs: dict[str, Pair] = {}
        self._ended: dict[str, DatasetEnded] = {}
        self._written: dict[str, int | None] = {}
        self._over: Ended | None = None

    def hear(self, told: Told) -> None:
        """Take one piece of news into account."""
        match told:
            case Began(pairs=pairs):
                self._pairs = {pair.dataset: pair for pair in pairs}
            case Found(changes=changes):
                self.changes += len(changes)
            case DatasetEnded():
                self._ended[told.pair.dataset] = told
            case Estimated():
                self._written[told.pair.dataset] = told.written
            case Ended():
                self._over = told
            case DatasetBegan() | Sized():
                pass

    @property
    def code(self) -> int:
        """0 where nothing differs and all is known, 1 where something does, 2 otherwise."""
        if self.reason:
            return TROUBLE
        written = (
            self._written.get(name)
            for name, pair in self._pairs.items()
            if pair.fate is Fate.VOLUME
        )
        fates = (
            pair.fate in _DIFFERENT
            for name, pair in self._pairs.items()
            if name not in self._settled or pair.fate is Fate.RENAMED
        )
        return DIFFERENT if self.changes or any(fates) or any(written) else SAME

    @property
    def reason(self) -> str:
        """A sentence on what is not known, "" where everything is."""
        if self._over is None:
            return "The comparison did not come to its end."
        gaps = self.gaps()
        if gaps:
            more = f" So are {len(gaps) - 1} more." if len(gaps) > 1 else ""
            return f"{gaps[0][0]} is not known whole: {_sentence(gaps[0][1])}{more}"
        told = any(one.coverage is not Coverage.WHOLE for one in self._ended.values())
        if self._over.partial and not told:
            return self._over.reason or "The list is partial."
        return ""

    @property
    def aside(self) -> str:
        """What else is to be said, though no change is missing: sizes that were not looked at."""
        over = self._over
        return over.reason if over is not None and not over.partial else ""

    def gaps(self) -> list[tuple[str, str]]:
        """Return the datasets that were not compared whole, each with the reason."""
        found = []
        for name, pair in self._pairs.items():
            if pair.fate in _ONLY_ONE_SIDE or name in self._settled or _left(pair):
                continue
            if pair.fate is Fate.VOLUME:
                if self._written.get(name) is None:
                    found.append((name, "a volume has no files, and what was written is unknown"))
                continue
            ended = self._ended.get(name)
            if ended is None:
                found.append((name, pair.why or "it was not reached"))
            elif ended.coverage is not Coverage.WHOLE:
                found.append((name, ended.reason or pair.why or str(ended.coverage)))
        return found


def settling(same: frozenset[str], tell: Callable[[Told], None]) -> Callable[[Told], None]:
    """Return what passes news on to `tell`; of the datasets `same` all is known without a list."""
    gaps = False

    def pass_on(told: Told) -> None:
        nonlocal gaps
        match told:
            case DatasetEnded(pair=pair, coverage=coverage, count=0) if (
                coverage is not Coverage.WHOLE and pair.dataset in same
            ):
                tell(DatasetEnded(pair, Coverage.WHOLE, 0, "Nothing was written to it."))
                return
            case DatasetEnded(pair=pair, coverage=coverage):
                whole = coverage is Coverage.WHOLE or pair.fate in _TOLD_OTHERWISE
                gaps = gaps or not whole
            case Ended(partial=True) if same and not gaps:
                tell(replace(told, partial=False, reason=""))
                return
            case _:
                pass
        tell(told)

    return pass_on


def settled(inv: Inventory, pairs: Iterable[Pair], newer: str | None) -> frozenset[str]:
    """Return the datasets that are known to be the same at both moments without a look inside.

    Those that were made after the newer one, and those to which not a block was written between
    the two (`written` of zfsprops(7) counts every change, a deletion too).
    """
    return frozenset(
        pair.dataset
        for pair in pairs
        if _made_later(inv, pair.dataset, newer) or _untouched(inv, pair)
    )


def _made_later(inv: Inventory, name: str, newer: str | None) -> bool:
    dataset = inv.dataset(name)
    taken = [one.createtxg for one in inv.snapshots if newer is not None and one.tag == newer]
    return dataset is not None and bool(taken) and dataset.createtxg > max(taken)


def _untouched(inv: Inventory, pair: Pair) -> bool:
    if pair.older is None or pair.newer is None:
        return False
    first, last = inv.snapshot(pair.older), inv.snapshot(pair.newer)
    name = pair.newer.partition("@")[0]
    dataset = inv.dataset(name)
    if first is None or first.dataset != name or dataset is None:
        return False
    if dataset.keystatus == "unavailable":
        # Without its key zfs may say nothing of what was written, which looks like nothing.
        return False
    since = [one for one in inv.snapshots_of(name) if one.createtxg > first.createtxg]
    if last is not None:
        since = [one for one in since if one.createtxg <= last.createtxg]
        return bool(since) and not any(one.written for one in since)
    return not dataset.written and not any(one.written for one in since)


def _left(pair: Pair) -> bool:
    """Whether the dataset went elsewhere: that is the difference, and nothing is to be read."""
    return pair.fate is Fate.RENAMED and pair.older is None and pair.newer is None


def _sentence(text: str) -> str:
    return text if text.endswith((".", "!", "?")) else f"{text}."
