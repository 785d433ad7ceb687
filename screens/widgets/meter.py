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


def spark(rates: Sequence[float], width: int, *, plain: bool) -> str:
    """Return the last rates as a line of `width` cells, the newest at the right."""
    glyphs = _PLAIN if plain else _FULL
    last = list(rates[-width:]) if width > 0 else []
    top = max(last, default=0.0)
    steps = len(glyphs) - 1
    marks = [glyphs[max(1, round(rate / top * steps)) if rate > 0 else 0] for rate in last]
    return "".join(marks).rjust(width)
