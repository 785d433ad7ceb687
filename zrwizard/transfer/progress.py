"""How far a transfer is, honestly: a pure fold of samples into `Progress`.

The rules are those of facts/restore-pitfalls.md, 21: an estimate is called an estimate, the
fraction is never above 1, never negative and never taken from a counter that wrapped.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from zrwizard.run.events import Progress

HOLD = 0.99
"""The fraction stays here while bytes beyond the estimate arrive, until the job has ended."""
NOISE = 1024.0
"""Bytes a second that keep-alives and strangers cause; a growth below it counts as idle."""
SMOOTHING = 8.0
"""Seconds over which the rate that the ETA is made from is smoothed."""
BLINK = 0.01
"""Two looks that are fewer seconds apart make no rate."""
PATIENCE = 5.0
"""Seconds of a transfer before an ETA is worth telling."""
SPARKS = 60
"""How many rates are kept for a sparkline."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One look at a running transfer.

    `at` is the wizard's monotonic clock in seconds. `net` is the number of bytes that the NIC has
    received since the start, `used` the bytes that the pool holds; None where it could not be
    read. `finished` counts the streams that are complete, `current` names what is received now.
    """

    at: float
    net: int | None = None
    used: int | None = None
    finished: int = 0
    current: str = ""


@dataclass(frozen=True, slots=True)
class Meter:
    """What is known so far about one transfer.

    `before` are the seconds that it had already run when the watching began (a transfer that was
    found again). `estimate` is in bytes, None where nobody could guess it.
    """

    step: str
    estimate: int | None
    streams: int
    before: float = 0.0
    started: float | None = None
    at: float = 0.0
    first_received: int = 0
    net: int | None = None
    used_first: int | None = None
    used: int | None = None
    moved_at: float = 0.0
    smooth: float | None = None
    rate: float = 0.0
    rates: tuple[float, ...] = ()
    finished: int = 0
    current: str = ""
    ended: bool = False

    @property
    def received(self) -> int:
        """Bytes that arrived: by the NIC's counter, by the pool's growth where there is none."""
        if self.net is not None:
            return self.net
        if self.used is None or self.used_first is None:
            return 0
        return max(0, self.used - self.used_first)

    def add(self, sample: Sample) -> Meter:
        """Return the meter with one more look; counters that went backwards are ignored."""
        if self.started is None:
            return self._begin(sample)
        at = max(self.at, sample.at)
        later = replace(
            self,
            at=at,
            net=_forward(self.net, sample.net),
            used=_forward(self.used, sample.used),
            used_first=self.used_first if self.used_first is not None else sample.used,
            finished=max(self.finished, sample.finished),
            current=sample.current or self.current,
        )
        return later._paced(self)

    def end(self) -> Meter:
        """Return the meter of a transfer that has ended well."""
        return replace(self, ended=True, rate=0.0)

    def _begin(self, sample: Sample) -> Meter:
        first = replace(
            self,
            started=sample.at,
            at=sample.at,
            moved_at=sample.at,
            net=_forward(None, sample.net),
            used=_forward(None, sample.used),
            used_first=_forward(None, sample.used),
            finished=max(0, sample.finished),
            current=sample.current,
        )
        return replace(first, first_received=first.received)

    def _paced(self, earlier: Meter) -> Meter:
        seconds = self.at - earlier.at
        if seconds < BLINK:
            return self
        # A counter that shows up late brings a jump that is nobody's rate.
        fresh = earlier.net is None and self.net is not None
        grown = 0 if fresh else max(0, self.received - earlier.received)
        rate = grown / seconds
        weight = 1.0 - math.exp(-seconds / SMOOTHING)
        smooth = (
            rate if earlier.smooth is None else earlier.smooth + weight * (rate - earlier.smooth)
        )
        moved = rate > NOISE or self.finished > earlier.finished or _grew(earlier.used, self.used)
        return replace(
            self,
            rate=rate,
            smooth=smooth,
            rates=(*self.rates, rate)[-SPARKS:],
            moved_at=self.at if moved else earlier.moved_at,
            first_received=self.received if fresh else self.first_received,
        )

    def show(self) -> Progress:
        """Return what the operator sees."""
        watched = 0.0 if self.started is None else self.at - self.started
        elapsed = self.before + watched
        seen = self.received if self.before else self.received - self.first_received
        return Progress(
            step=self.step,
            received=self.received,
            estimate=self.estimate,
            used=self.used,
            fraction=self._fraction(),
            rate=self.rate,
            average=max(0, seen) / elapsed if elapsed >= BLINK else 0.0,
            eta=self._eta(watched),
            idle=0.0 if self.ended or self.started is None else self.at - self.moved_at,
            current=self.current,
            finished=self.finished if self.streams <= 0 else min(self.finished, self.streams),
            streams=self.streams,
            elapsed=elapsed,
            rates=self.rates,
        )

    def _fraction(self) -> float | None:
        if self.ended:
            return 1.0
        if not self.estimate or self.estimate < 0:
            return None
        return min(self.received / self.estimate, HOLD)

    def _eta(self, watched: float) -> float | None:
        if self.ended:
            return 0.0
        if not self.estimate or watched < PATIENCE or not self.smooth or self.smooth <= NOISE:
            return None
        left = self.estimate - self.received
        return left / self.smooth if left > 0 else None


def _forward(old: int | None, new: int | None) -> int | None:
    if new is None or new < 0:
        return old
    return new if old is None else max(old, new)


def _grew(old: int | None, new: int | None) -> bool:
    return old is not None and new is not None and new > old
