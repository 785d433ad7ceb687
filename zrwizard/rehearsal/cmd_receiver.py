"""The receiver where it is called on the server itself, as a plan does to see that it refuses."""

from __future__ import annotations

from zrwizard.rehearsal.commands import Call, file_program
from zrwizard.rehearsal.daemonfiles import place
from zrwizard.rehearsal.door import PATH, USAGE, answer, installed
from zrwizard.rehearsal.errors import Fail


class Streams:
    """A command's own standard streams as a session's."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self.out = bytearray()

    async def read(self) -> bytes:
        """The next piece of input, empty at its end."""
        return await self._call.chunk() or b""

    def write(self, data: bytes) -> None:
        """Kept until the command ends."""
        self.out += data


@file_program("zr-receiver", PATH.rpartition("/")[0])
async def zr_receiver(call: Call) -> int:
    """zr-receiver NAME deliver|receive, with the request in SSH_ORIGINAL_COMMAND."""
    if call.called != PATH or place(call.machine, PATH) is None:
        raise Fail(f"sh: {call.called}: not found\n", 127)
    if problem := installed(call.machine):
        raise Fail(f"sh: {problem}\n", 126)
    if len(call.args) != 2:
        raise Fail("zr-receiver: usage: zr-receiver NAME deliver|receive\n", USAGE)
    streams = Streams(call)
    request = dict(call.io.env).get("SSH_ORIGINAL_COMMAND", "")
    status, err = await answer(call.machine, call.args[0], call.args[1], request, streams)
    await call.out(bytes(streams.out))
    await call.err(err)
    return status
