"""Simulated time: it runs `speed` times as fast as the wall clock."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime

MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


class Clock:
    """Epoch seconds of the simulated machines, and sleeping in their seconds."""

    def __init__(self, speed: float) -> None:
        if speed <= 0:
            raise ValueError("speed must be above zero")
        self.speed = speed
        self._epoch = time.time()
        self._start = time.monotonic()
        self.sleeps = 0
        self.asleep: set[int] = set()
        """Those of the `sleeps` begun so far, by their number, that have not ended."""

    def now(self) -> float:
        """Simulated seconds since the epoch."""
        return self._epoch + (time.monotonic() - self._start) * self.speed

    async def sleep(self, seconds: float) -> None:
        """Sleep for simulated `seconds`."""
        self.sleeps += 1
        number = self.sleeps
        self.asleep.add(number)
        try:
            await asyncio.sleep(max(0.0, seconds) / self.speed)
        finally:
            self.asleep.discard(number)

    def ctime(self, when: float | None = None) -> str:
        """`Sat Nov 21 20:49:32 2026`, as ctime(3) without its newline."""
        t = self.utc(when)
        return f"{DAYS[t.weekday()]} {MONTHS[t.month - 1]} {t.day:2d} {t:%H:%M:%S} {t.year}"

    def utc(self, when: float | None = None) -> datetime:
        """The moment as a UTC date."""
        return datetime.fromtimestamp(self.now() if when is None else when, UTC)

    def stamp(self) -> str:
        """`Nov 21 21:11:16`, the start of a syslog line."""
        t = self.utc()
        return f"{MONTHS[t.month - 1]} {t.day:2d} {t:%H:%M:%S}"


def short_date(epoch: float) -> str:
    """`Sat Nov 21 20:49 2026`, the form of `zfs list -o creation`."""
    t = datetime.fromtimestamp(epoch, UTC)
    return f"{DAYS[t.weekday()]} {MONTHS[t.month - 1]} {t.day:2d} {t:%H:%M} {t.year}"


def ls_date(epoch: float) -> str:
    """`Nov 21 20:24`, the form of `ls -l`."""
    t = datetime.fromtimestamp(epoch, UTC)
    return f"{MONTHS[t.month - 1]} {t.day:2d} {t:%H:%M}"
