"""A progress bar and a sparkline as text: few glyphs, ASCII in the console style."""

from __future__ import annotations

from collections.abc import Sequence

_FULL = (" ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█")
_PLAIN = (" ", ".", ":", "-", "=", "+", "*", "#", "@")


def bar(fraction: float | None, width: int, *, plain: bool) -> str:
    """Return a bar of `width` cells; an unknown fraction is drawn as dots."""
    done, rest = ("#", ".") if plain else ("█", "░")
    if fraction is None:
        return rest * width
    filled = int(max(0.0, min(1.0, fraction)) * width)
    return done * filled + rest * (width - filled)


def spark(rates: Sequence[float | None], width: int, *, plain: bool) -> str:
    """Return the last rates as a line of `width` cells, the newest at the right.

    None is a moment of a stall, and drawn as an `x`.
    """
    glyphs = _PLAIN if plain else _FULL
    last = list(rates[-width:]) if width > 0 else []
    top = max((rate for rate in last if rate is not None), default=0.0)
    return "".join(_cell(rate, top, glyphs) for rate in last).rjust(width)


def _cell(rate: float | None, top: float, glyphs: Sequence[str]) -> str:
    if rate is None:
        return "x"
    return glyphs[max(1, round(rate / top * (len(glyphs) - 1)))] if rate > 0 else glyphs[0]
