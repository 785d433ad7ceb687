"""A transfer's rates as a curve: pure numbers, for an SVG that is stretched to its place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise

WIDTH, HEIGHT = 1000, 200
MOST = 400
"""Points of a curve at most, whatever the length of the transfer."""

Counts = Sequence[tuple[float, int]]


@dataclass(frozen=True, slots=True)
class Curve:
    """`steps` are (begin, end, bytes a second), in seconds; `top` is the scale's upper end."""

    steps: tuple[tuple[float, float, float], ...]
    top: float
    seconds: float

    @property
    def line(self) -> str:
        """The `d` of the curve's path."""
        return _path(self._corners())

    @property
    def under(self) -> str:
        """The `d` of the area under it."""
        return f"{_path(self._corners())} V{HEIGHT} H{_number(self._x(self.steps[0][0]))} Z"

    @property
    def stood(self) -> tuple[tuple[float, float], ...]:
        """Where nothing came: left end and width, in units of the drawing."""
        found: list[tuple[float, float]] = []
        for nothing, steps in groupby(self.steps, key=lambda step: step[2] == 0):
            each = list(steps)
            if nothing:
                left = self._x(each[0][0])
                found.append((left, self._x(each[-1][1]) - left))
        return tuple(found)

    def _x(self, second: float) -> float:
        return second / self.seconds * WIDTH

    def _corners(self) -> list[tuple[float, float]]:
        corners = []
        for begin, end, rate in self.steps:
            height = HEIGHT - rate / self.top * HEIGHT
            corners += [(self._x(begin), height), (self._x(end), height)]
        return corners


def curve(counts: Counts) -> Curve | None:
    """Return the curve of `counts`, (second, bytes that had come by then), each in its order.

    Between two counts the rate is their mean. Bytes that became fewer count as none that came.
    None where nothing can be drawn: fewer than two moments, or no byte at all.
    """
    kept = _thinned([pair for pair in counts if pair[0] >= 0])
    steps = tuple(
        (begin, end, max(0.0, (after - before) / (end - begin)))
        for (begin, before), (end, after) in pairwise(kept)
        if end > begin
    )
    highest = max((rate for _, _, rate in steps), default=0.0)
    if not steps or highest <= 0:
        return None
    return Curve(steps, highest, steps[-1][1])


def _thinned(counts: list[tuple[float, int]]) -> list[tuple[float, int]]:
    """Return at most `MOST` of them, the last one included; what lies between is averaged."""
    every = -(-len(counts) // MOST) or 1
    kept = counts[::every]
    return kept if not counts or kept[-1] == counts[-1] else [*kept[: MOST - 1], counts[-1]]


def _path(corners: list[tuple[float, float]]) -> str:
    return "M" + " L".join(f"{_number(x)} {_number(y)}" for x, y in corners)


def _number(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")
