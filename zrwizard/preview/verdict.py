"""What a comparison comes to: differences or none, and whether all is known. Pure."""

from __future__ import annotations

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

SAME, DIFFERENT, TROUBLE = 0, 1, 2
"""Exit codes, those of diff(1)."""
_ONLY_ONE_SIDE = (Fate.CREATED, Fate.DESTROYED)
_DIFFERENT = (*_ONLY_ONE_SIDE, Fate.RENAMED)


class Verdict:
    """Listens to a comparison, and judges it when it is over."""

    def __init__(self) -> None:
        self.changes = 0
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
        fates = (pair.fate in _DIFFERENT for pair in self._pairs.values())
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
        return (self._over.reason or "The list is partial.") if self._over.partial else ""

    def gaps(self) -> list[tuple[str, str]]:
        """Return the datasets that were not compared whole, each with the reason."""
        found = []
        for name, pair in self._pairs.items():
            if pair.fate in _ONLY_ONE_SIDE:
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


def _sentence(text: str) -> str:
    return text if text.endswith((".", "!", "?")) else f"{text}."
