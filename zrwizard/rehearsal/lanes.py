"""Streams side by side, as the head of lanes.sh describes them: a played mover for each lane."""

from __future__ import annotations

import asyncio

from zrwizard.rehearsal.commands import Call
from zrwizard.rehearsal.errors import Fail
from zrwizard.rehearsal.mover import Mover
from zrwizard.rehearsal.moverlist import UNUSABLE

_ORDER = ("ended", "paused", "renaming", "looking", "waiting", "sending")
"""What a lane is about; what comes later here is what all of them are said to be about."""


class _Lane(Mover):
    """The mover of one lane; its state is a part of the sum."""

    def __init__(self, whole: Lanes, call: Call, where: str, number: int) -> None:
        members = [n for n, lane in enumerate(whole.lane_of) if lane == number]
        super().__init__(call, where, members)
        # One of them cares for the connection that all use.
        self._set["shared"] = self._set["shared"] if number < 2 else "no"
        self._whole = whole
        self._name = f"Lane {number}: " if number else "Before the lanes: "
        self.target = "-"

    def _say(self, text: str) -> None:
        super()._say(self._name + text)

    def _show(self, now: int, target: str) -> None:
        self.target = target
        self._whole.show(now)

    @property
    def phase(self) -> str:
        return self._phase

    @property
    def there(self) -> int:
        """How many of its datasets are there."""
        return self._number if self._phase == "ended" else max(0, self._number - 1)

    @property
    def counts(self) -> tuple[int, ...]:
        """SENT SIZE HAD DONE RETRIES of its state."""
        return self._sent, self._size, self._had, self._finished, self._retries

    @property
    def event(self) -> str:
        return self._event


class Lanes:
    """One run over the list of a directory, its streams in the lanes of the file `lanes`."""

    def __init__(self, call: Call, where: str) -> None:
        self._call, self._where = call, where
        try:
            self.lane_of = [int(row) for row in call.read(f"{where}/lanes").split()]
        except (Fail, ValueError) as exc:
            raise Fail(f"lanes.sh: {where}: {exc}\n", UNUSABLE) from None
        self._lanes: list[_Lane] = []
        self._phase, self._since = "", 0

    async def run(self) -> int:
        """The exit status: that of the first lane that fails, which ends the others."""
        for side in ([0], sorted(set(self.lane_of) - {0})):
            lanes = [_Lane(self, self._call, self._where, n) for n in side if n in self.lane_of]
            self._lanes += lanes
            status, event = await self._together(lanes)
            if status:
                return self._end(status, event)
        return self._end(0, f"All {len(self.lane_of)} datasets are there.")

    async def _together(self, lanes: list[_Lane]) -> tuple[int, str]:
        """The first status that is not 0, and the words of that lane."""
        work = {asyncio.ensure_future(lane.run()): lane for lane in lanes}
        running = set(work)
        try:
            while running:
                done, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
                for one in done:
                    if status := one.result():
                        return status, work[one].event
        finally:
            for one in running:
                one.cancel()
            await asyncio.gather(*running, return_exceptions=True)
        return 0, ""

    def _end(self, status: int, event: str) -> int:
        stamp = f"{self._call.machine.clock.utc():%H:%M:%S}"
        self._call.write(f"{self._where}/log", f"{stamp} {event}\n".encode(), append=True)
        self._write(int(self._call.machine.clock.now()), "ended", "-", event)
        return status

    def show(self, now: int) -> None:
        """Write the sum of the lanes' states."""
        leading = max(self._lanes, key=lambda lane: _ORDER.index(lane.phase or "ended"))
        phase = "looking" if leading.phase == "ended" else leading.phase
        self._write(now, phase, leading.target, leading.event)

    def _write(self, now: int, phase: str, target: str, event: str) -> None:
        if phase != self._phase:
            self._phase, self._since = phase, now
        count = len(self.lane_of)
        number = min(count, 1 + sum(lane.there for lane in self._lanes))
        sums = [sum(column) for column in zip(*(lane.counts for lane in self._lanes), strict=True)]
        row = " ".join(str(n) for n in (number, count, self._since, now, *sums))
        state = f"{phase} {row}\n{target}\n{event}\n"
        self._call.write(f"{self._where}/state", state.encode())
