"""`sh mover.sh DIR`, `sh lanes.sh DIR` and `sh measure.sh DIR streams`: see `rehearsal.mover`."""

from __future__ import annotations

import shlex

from zrwizard.rehearsal.commands import Call, program
from zrwizard.rehearsal.errors import Fail
from zrwizard.rehearsal.lanes import Lanes
from zrwizard.rehearsal.mover import Mover
from zrwizard.rehearsal.moverlist import UNUSABLE, settings
from zrwizard.rehearsal.process import nested

TRIPS, SECONDS = 10, 1.5


@program("__mover")
async def mover(call: Call) -> int:
    """mover.sh DIR."""
    if not call.args or not call.exists(call.args[0]):
        raise Fail(f"sh: cannot open {call.args[0] if call.args else ''}\n", 2)
    if len(call.args) != 2:
        raise Fail("", UNUSABLE)
    return await Mover(call, call.args[1]).run()


@program("__lanes")
async def lanes(call: Call) -> int:
    """lanes.sh DIR."""
    if len(call.args) != 2 or not call.exists(call.args[0]):
        raise Fail("", UNUSABLE)
    return await Lanes(call, call.args[1]).run()


async def _unheard(_: bytes) -> None:
    """Drop what ssh says."""


@program("__measure")
async def measure(call: Call) -> int:
    """measure.sh DIR streams: what the network between the machines would bring."""
    if len(call.args) != 3 or call.args[2] != "streams":
        raise Fail("", UNUSABLE)
    there = settings(call.read(f"{call.args[1]}/settings").decode())
    words = shlex.split(f"{there['ssh']} {there['host']} true")
    if await nested(call, words, out=_unheard, err=_unheard):
        return 0
    m = call.machine
    await m.clock.sleep(TRIPS * m.round_trip + 2 * SECONDS)
    await call.out(f"trip {TRIPS} {TRIPS * m.round_trip * m.rng.uniform(1, 1.1):.6f}\n")
    two = min(m.stream_rate, m.send_rate / 2)
    for name, rate in (("one", m.stream_rate), ("two", two), ("two", two)):
        brought = int(rate * SECONDS * m.rng.uniform(0.97, 1.03))
        await call.out(f"{name} {brought} {SECONDS:.6f}\n")
    return 0
