"""What the stream of a simulated `zfs send` goes over, with the scenario's accidents."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from zrwizard.rehearsal.hardware import Nic
from zrwizard.rehearsal.machine import Machine
from zrwizard.rehearsal.scenario import Cut

SETTLES = 0.05
"""Real seconds in which what has passed before an accident still arrives."""


@dataclass(slots=True)
class Wire:
    """One ssh session's share of the network, at the card that the stream comes in by."""

    machine: Machine
    card: Nic
    broken: bool = False
    """The connection was reset: the client ends."""
    stopped: bool = False
    """Nothing passes any more."""
    carries: bool = False
    """A stream goes over it: what the card has counted of that has arrived."""

    async def carry(self, size: int) -> int:
        """How many of `size` bytes pass, once some can; after a reset none ever can."""
        m = self.machine
        self.carries = True
        while self.stopped or m.cable_cut:
            await asyncio.sleep(0.02)
        passed = size
        if m.cuts and m.carried + size >= m.cuts[0].after:
            cut = m.cuts.pop(0)
            passed, m.carried = max(0, cut.after - m.carried), 0
            self.stopped = True
            asyncio.get_running_loop().call_later(SETTLES, self._fail, cut)
        else:
            m.carried += size
        if passed:
            self.card.receive(passed)
        return passed

    def _fail(self, cut: Cut) -> None:
        m = self.machine
        if not cut.hang:
            self.broken = True
            return
        m.cable_cut, self.stopped = True, False
        asyncio.get_running_loop().call_later(
            cut.hang / m.clock.speed, lambda: setattr(m, "cable_cut", False)
        )
