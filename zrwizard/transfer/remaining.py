"""How long the rest of a transfer takes: a range, as neither rate nor size is certain."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

DOUBT = 0.1
"""How far zfs send's guess is taken to be off, as a part of it, to either side."""
_RECENT = 30


@dataclass(frozen=True, slots=True)
class Remaining:
    """Seconds: the likely ones, the fewest, and the most (None where nobody can say)."""

    likely: float
    soonest: float
    latest: float | None


def remaining(
    received: int, estimate: int, rates: Sequence[float | None], smooth: float
) -> Remaining | None:
    """Return how long the bytes from `received` to `estimate` take; None where nothing is known.

    `smooth` is the present rate in bytes a second, above 0, and `rates` are the last ones, None
    where it stood still. The range goes from the fast quarter of them with a guess that was too
    high to the slow quarter with one that was too low.
    """
    left = estimate - received
    if left <= 0:
        return None
    spread = sorted(rate or 0.0 for rate in rates[-_RECENT:])
    quarter = len(spread) // 4
    slow = min(smooth, spread[quarter]) if spread else smooth
    fast = max(smooth, spread[-1 - quarter]) if spread else smooth
    doubt = DOUBT * estimate
    return Remaining(
        likely=left / smooth,
        soonest=max(0.0, left - doubt) / fast,
        # A quarter of standing still leaves no slowest rate to reckon with.
        latest=(left + doubt) / slow if slow >= 1.0 else None,
    )


def told(soonest: float | None, latest: float | None, span: Callable[[float], str]) -> str:
    """Return a range of seconds for people; `span` writes one number of seconds."""
    if soonest is None:
        return "time left unknown"
    if latest is None:
        return f"at least {span(soonest)} left"
    few, many = span(soonest), span(latest)
    return f"about {few} left" if few == many else f"{few} to {many} left"
