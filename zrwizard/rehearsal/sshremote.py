"""The far end of an ssh connection, and what the client says when the network fails."""

from __future__ import annotations

import asyncio

from zrwizard.rehearsal.cmd_net import route_to
from zrwizard.rehearsal.commands import Call
from zrwizard.rehearsal.errors import Fail
from zrwizard.rehearsal.process import HELPERS, Session, Sink, new_session
from zrwizard.rehearsal.sshconfig import REFUSED, Target
from zrwizard.rehearsal.sshstate import Door
from zrwizard.rehearsal.wire import Wire


async def remote(call: Call, target: Target, door: Door, command: str) -> int:
    """Run a command on the server; its bytes are counted on the card that they come in by."""
    m = call.machine
    server = m.far_ends.get(door.hostname)
    card = route_to(m, door.addresses[0])
    if server is None or card is None:
        raise Fail("client_loop: send disconnect: Broken pipe\r\n", REFUSED)
    session = new_session(server, f"sh -c {command}", cwd=server.home)
    wire = Wire(m, card)

    async def out(data: bytes) -> None:
        while m.cable_cut and not wire.carries:
            await asyncio.sleep(0.05)
        card.receive(len(data))
        await call.out(data)

    session.carry = wire.carry
    work = asyncio.ensure_future(_far(session, command, out, call.err))
    try:
        while not (await asyncio.wait({work}, timeout=0.1))[0] or m.cable_cut:
            if wire.broken:
                raise Fail("client_loop: send disconnect: Broken pipe\r\n", REFUSED)
            if m.cable_cut:
                await _silence(call, target)
        status, complaint = work.result()
        if complaint and "pipe reader closed" not in complaint:
            await call.err(f"sh: {complaint}\n")
        return status
    except Fail:
        drop_master(call, target)
        raise
    finally:
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)
        session.ended = True
        server.processes.pop(session.process.pid, None)
        session.interrupt()


async def _far(session: Session, command: str, out: Sink, err: Sink) -> tuple[int, str]:
    await session.run(HELPERS, err)
    return await session.run(command, out, err)


def drop_master(call: Call, target: Target) -> None:
    """The connection is lost, and the master that held it ends."""
    path = call.path(target.control) if target.control else ""
    master = call.machine.masters.pop(path, None)
    if master is not None:
        call.machine.processes.pop(master.pid, None)
        if call.exists(path):
            call.io.fs.remove(path)


async def _silence(call: Call, target: Target) -> None:
    """The wire is dead: wait as long as ServerAliveInterval says, then give up."""
    patience = 3 * float(target.get("serveraliveinterval", "15"))
    waited = 0.0
    while call.machine.cable_cut and waited < patience:
        await call.machine.clock.sleep(1)
        waited += 1
    if call.machine.cable_cut:
        raise Fail(f"Timeout, server {target.host} not responding.\r\n", REFUSED)
