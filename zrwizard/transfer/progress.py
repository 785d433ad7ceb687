"""How far a transfer is, honestly: a pure fold of samples into `Progress`.

The rules are those of facts/restore-pitfalls.md, 21: an estimate is called an estimate, the
fraction is never above 1, never negative and never taken from a counter that wrapped.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from zrwizard.run.events import Doubt, Progress
from zrwizard.transfer import crosscheck
from zrwizard.transfer.crosscheck import NETWORK, POOL, STREAM
from zrwizard.transfer.remaining import Remaining, remaining

HOLD = 0.99
"""The fraction stays here while bytes beyond the estimate arrive, until the job has ended."""
NOISE = 1024.0
"""Bytes a second that keep-alives and strangers cause; a growth below it counts as idle."""
NOW = 5.0
"""Seconds over which the present rate is taken: the counters themselves move once a second."""
SMOOTHING = 8.0
"""Seconds over which the rate that the ETA is made from is smoothed."""
BLINK = 0.01
"""Two looks that are fewer seconds apart make no rate."""
PATIENCE = 5.0
"""Seconds of a transfer before an ETA is worth telling."""
STOOD = 10.0
"""Seconds without a byte after which a rate is marked as standing still."""
SPARKS = 60
"""How many rates are kept for a sparkline."""


@dataclass(frozen=True, slots=True)
class Part:
    """The dataset that is received: `number` from 1, its own bytes so far and as estimated."""

    name: str
    number: int
    received: int
    estimate: int


@dataclass(frozen=True, slots=True)
class Sample:
    """One look at a running transfer.

    `at` is the wizard's monotonic clock in seconds. `net` is the number of bytes that the NIC has
    received since the start, `used` the bytes that the pool holds, `sent` the bytes of the stream
    since the start as zfs itself counts them; None where it could not be read. `finished` counts
    the streams that are complete, `current` names what is received now, in the dataset `part`.
    `estimate` is a better one than that of the beginning, for the whole, in bytes; `paused` says
    that it stands still because the operator wants it so.
    """

    at: float
    net: int | None = None
    used: int | None = None
    sent: int | None = None
    finished: int = 0
    current: str = ""
    part: Part | None = None
    estimate: int | None = None
    paused: bool = False


@dataclass(frozen=True, slots=True)
class Meter:
    """What is known so far about one transfer.

    `before` are the seconds that it had already run when the watching began (a transfer that was
    found again). `estimate` is in bytes, None where nobody could guess it. `streams` and `parts`
    are the numbers of streams and of datasets that are expected.
    """

    step: str
    estimate: int | None
    streams: int
    parts: int = 0
    before: float = 0.0
    started: float | None = None
    at: float = 0.0
    net: int | None = None
    used: int | None = None
    sent: int | None = None
    used_first: int | None = None
    fitting: tuple[int, int] | None = None
    """Bytes of the pool, and of the stream at a moment before: growth is checked from here on."""
    received: int = 0
    recent: tuple[tuple[float, int], ...] = ()
    moved_at: float = 0.0
    smooth: float | None = None
    rate: float = 0.0
    fastest: float = 0.0
    rates: tuple[float | None, ...] = ()
    finished: int = 0
    current: str = ""
    part: Part | None = None
    paused: bool = False
    ended: bool = False

    @property
    def counted(self) -> str:
        """By what the bytes are counted: the most exact of the counters that are there."""
        if self.sent is not None:
            return STREAM
        if self.net is not None:
            return NETWORK
        return POOL if self.used is not None else ""

    def add(self, sample: Sample) -> Meter:
        """Return the meter with one more look; counters that went backwards are ignored."""
        first = self.started is None
        later = replace(
            self,
            started=sample.at if self.started is None else self.started,
            at=sample.at if first else max(self.at, sample.at),
            estimate=self.estimate if sample.estimate is None else sample.estimate,
            net=_forward(self.net, sample.net),
            used=_forward(self.used, sample.used),
            sent=_forward(self.sent, sample.sent),
            finished=max(self.finished, sample.finished),
            current=sample.current or self.current,
            part=_further(self.part, sample.part),
            paused=sample.paused,
        )
        if later.used_first is None and later.used is not None:
            later = replace(later, used_first=later.used)
        # A look reads the pool before the stream, and much may come in between: the stream's
        # count that is surely no higher than it was at the pool's is that of the look before.
        if later.fitting is None and sample.used is not None and self.sent is not None:
            later = replace(later, fitting=(sample.used, self.sent))
        later = replace(later, received=max(self.received, later._bytes()))
        # A counter that shows up late brings a jump that is nobody's rate.
        if first or later.counted != self.counted:
            return replace(later, recent=((later.at, later.received),), moved_at=later.at, rate=0.0)
        return later._paced(self)

    def end(self) -> Meter:
        """Return the meter of a transfer that has ended well."""
        return replace(self, ended=True, rate=0.0)

    def _bytes(self) -> int:
        counters = {STREAM: self.sent, NETWORK: self.net, POOL: self._grown()}
        return counters.get(self.counted) or 0

    def _grown(self) -> int | None:
        if self.used is None or self.used_first is None:
            return None
        return max(0, self.used - self.used_first)

    def _paced(self, earlier: Meter) -> Meter:
        seconds = self.at - earlier.at
        if seconds < BLINK:
            return self
        grown = (self.received - earlier.received) / seconds
        weight = 1.0 - math.exp(-seconds / SMOOTHING)
        smooth = (
            grown if earlier.smooth is None else earlier.smooth + weight * (grown - earlier.smooth)
        )
        moved_at = self.at if self.paused or self._moved(earlier, grown) else earlier.moved_at
        recent = _since(earlier.recent, self.at - NOW)
        begun, had = recent[0]
        rate = (self.received - had) / (self.at - begun)
        stood = self.at - moved_at >= STOOD
        return replace(
            self,
            rate=rate,
            smooth=smooth,
            fastest=max(self.fastest, rate),
            rates=(*self.rates, None if stood else rate)[-SPARKS:],
            recent=(*recent, (self.at, self.received)),
            moved_at=moved_at,
        )

    def _moved(self, earlier: Meter, grown: float) -> bool:
        """Whether anything came since; what the stream's own count says is free of noise."""
        noise = 0.0 if self.counted == STREAM else NOISE
        return (
            grown > noise
            or _grew(earlier.sent, self.sent)
            or _grew(earlier.used, self.used)
            or self.finished > earlier.finished
        )

    def show(self) -> Progress:
        """Return what the operator sees."""
        watched = 0.0 if self.started is None else self.at - self.started
        elapsed = self.before + watched
        # The pool's growth is known since the watching began, the other counters since the start.
        counted_for = watched if self.counted == POOL else elapsed
        left = self._remaining(watched)
        part = self.part or Part("", 0, 0, 0)
        return Progress(
            step=self.step,
            received=self.received,
            estimate=self.estimate,
            used=self.used,
            fraction=self._fraction(),
            rate=self.rate,
            average=self.received / counted_for if counted_for >= BLINK else 0.0,
            eta=left.likely if left else None,
            idle=0.0 if self.ended or self.started is None else self.at - self.moved_at,
            current=self.current,
            finished=_at_most(self.finished, self.streams),
            streams=self.streams,
            elapsed=elapsed,
            rates=self.rates,
            soonest=left.soonest if left else None,
            latest=left.latest if left else None,
            counted=self.counted,
            sent=self.sent,
            network=self.net,
            part=part.name,
            part_number=_at_most(part.number, self.parts),
            parts=self.parts,
            part_received=part.received,
            part_estimate=part.estimate,
            doubts=self._doubts(),
            paused=self.paused,
        )

    def _fraction(self) -> float | None:
        if self.ended:
            return 1.0
        if not self.estimate or self.estimate < 0:
            return None
        return min(self.received / self.estimate, HOLD)

    def _remaining(self, watched: float) -> Remaining | None:
        if self.ended:
            return Remaining(0.0, 0.0, 0.0)
        if not self.estimate or watched < PATIENCE or not self.smooth or self.smooth <= NOISE:
            return None
        return remaining(self.received, self.estimate, self.rates, self.smooth)

    def _doubts(self) -> tuple[Doubt, ...]:
        # Without a rate nobody knows how much may be on its way.
        if not self.rates:
            return ()
        grown, meanwhile = None, 0
        if self.fitting is not None and self.used is not None and self.sent is not None:
            grown = self.used - self.fitting[0]
            meanwhile = self.sent - self.fitting[1]
        return crosscheck.doubts(
            sent=self.sent,
            network=self.net,
            grown=grown,
            sent_meanwhile=meanwhile,
            fastest=self.fastest,
        )


def _forward(old: int | None, new: int | None) -> int | None:
    if new is None or new < 0:
        return old
    return new if old is None else max(old, new)


def _further(old: Part | None, new: Part | None) -> Part | None:
    if old is None or new is None or new.name != old.name:
        return new or old
    return replace(new, received=max(old.received, new.received))


def _grew(old: int | None, new: int | None) -> bool:
    return old is not None and new is not None and new > old


def _since(points: tuple[tuple[float, int], ...], at: float) -> tuple[tuple[float, int], ...]:
    """Return the points from the last one before `at` on."""
    older = sum(1 for when, _ in points if when <= at)
    return points[max(0, older - 1) :]


def _at_most(count: int, total: int) -> int:
    return max(0, count if total <= 0 else min(count, total))
