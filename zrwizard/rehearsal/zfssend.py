"""zfs send (facts/freebsd.md B6 and C5): the stream paced by the wire, its progress told.

A stream is a few words that name data in memory, or on the box as many bytes as ZFS would send:

ZRS1 <id>         a stream begins
D <bytes>         that many bytes went by
END               the stream is complete
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator

from zrwizard.rehearsal.commands import Call
from zrwizard.rehearsal.errors import Fail
from zrwizard.rehearsal.poolimport import options
from zrwizard.rehearsal.sizes import nice_bytes
from zrwizard.rehearsal.zfsmount import refresh
from zrwizard.rehearsal.zfsplan import Item, StreamPlan, describe, plan_resume, plan_stream
from zrwizard.rehearsal.zfstoken import read_token

CHUNK_SECONDS = 0.02
CHUNK = 65536
MAGIC = b"ZRS2"
END = b"\0END"
LETTERS = "nvPVRpbLcewhDsdiItX"
USAGE = (
    "usage:\n\tsend [-DLPbcehnpsVvw] [-i|-I snapshot] [-R [-X dataset[,dataset]...]]\n"
    "\t    <snapshot>\n"
)
PIPE = 64 << 10
"""Bytes that a pipe of FreeBSD holds."""


def payload(item: Item) -> bytes:
    """The bytes that stand for one snapshot: its files, then zeros up to its size."""
    held = b"".join(data for _, data in sorted(item.snap.files.items()) if data)
    return held[: item.size].ljust(item.size, b"\0")


async def send(call: Call, args: list[str]) -> int:
    """zfs send: text on standard output with -n, else the stream."""
    found, _, names = options(args, "iItX")
    if unknown := [letter for letter in found if letter not in LETTERS]:
        raise Fail(f"invalid option '{unknown[0]}'\n{USAGE}", 2)
    plan, shown = _planned(call, found, names[0] if names else "")
    await call.err("".join(plan.missing))
    status = 1 if plan.missing else 0
    told = shown + describe(plan, found) if "v" in found or "P" in found else ""
    if "n" in found:
        await call.out(told)
        return status
    if "v" in found:
        await call.err(told)
    sending = Sending(call, plan, found)
    try:
        await sending.run()
    except BrokenPipeError:
        # So little lies in the pipe before its reader can be gone.
        if sum(item.size for item in plan.items) <= PIPE:
            return status
        await call.err(f"warning: cannot send '{sending.name}': Broken pipe\n")
        return 1
    return status


def _planned(call: Call, found: dict[str, str], name: str) -> tuple[StreamPlan, str]:
    """What to send, and what -v tells of a token."""
    m = call.machine
    if "t" in found:
        token = read_token(found["t"])
        try:
            return plan_resume(m, token), token.shown() if "v" in found else ""
        except Fail as refusal:
            if "v" in found:
                raise Fail(token.shown() + refusal.err, refusal.status) from None
            raise
    if not name:
        raise Fail(f"missing snapshot argument\n{USAGE}", 2)
    known = m.dataset(name.partition("@")[0])
    if known is not None:
        refresh(m, known[1])
    return plan_stream(m, name, found), ""


class Sending:
    """One stream on its way."""

    def __init__(self, call: Call, plan: StreamPlan, found: dict[str, str]) -> None:
        self._call, self._plan, self._found = call, plan, found
        self._bytes = bool(call.machine.ufs)
        self._untold = 0.0
        """Simulated seconds of sending since the last row of progress."""
        self.name = plan.items[0].name if plan.items else ""

    async def run(self) -> None:
        """Send all of it; BrokenPipeError where nobody reads any more."""
        m, plan = self._call.machine, self._plan
        ident = f"{m.rng.getrandbits(64):016x}"
        m.streams[ident] = plan
        head = json.dumps({"ident": ident}).encode()
        await self._write(
            MAGIC + struct.pack(">I", len(head)) + head
            if self._bytes
            else f"ZRS1 {ident}\n".encode()
        )
        got = plan.start
        for item in plan.items:
            self.name = item.name
            if "v" in self._found and "P" not in self._found:
                await self._call.err(f"TIME        SENT   SNAPSHOT {item.name}\n")
            await self._item(item, got)
            got = 0
        if not plan.missing:
            await self._write(END if self._bytes else b"END\n")

    async def _write(self, data: bytes) -> None:
        await self._call.io.stdout.write(data)

    async def _item(self, item: Item, got: int) -> None:
        carry = self._call.session.carry
        data = payload(item) if self._bytes else b""
        at = got
        for piece in self._pieces(item, got):
            await self._pace(piece)
            end = at + piece
            while at < end:
                passed = await carry(end - at) if carry is not None else end - at
                if passed:
                    at += passed
                    await self._write(data[at - passed : at] or f"D {passed}\n".encode())
            await self._tell(item, at - got)

    def _pieces(self, item: Item, got: int) -> Iterator[int]:
        """Sizes of what goes out at once."""
        m = self._call.machine
        step = max(CHUNK, int(m.send_rate * m.clock.speed * CHUNK_SECONDS))
        if self._bytes:
            step = CHUNK
        for at in range(got, item.size, step):
            yield min(step, item.size - at)

    async def _pace(self, size: int) -> None:
        m = self._call.machine
        # A real wire is never quite even.
        uneven = 1.0 if self._bytes else m.rng.uniform(0.8, 1.25)
        pause = size / m.stream_rate * uneven + (0 if self._bytes else 0.05)
        self._untold += pause
        await m.clock.sleep(pause)

    async def _tell(self, item: Item, sent: int) -> None:
        """A row of progress, if a second has passed since the last."""
        if "v" not in self._found or self._untold < 1:
            return
        self._untold = 0.0
        stamp = f"{self._call.machine.clock.utc():%H:%M:%S}"
        await self._call.err(
            f"{stamp}\t{sent}\t{item.name}\n"
            if "P" in self._found
            else f"{stamp}   {nice_bytes(sent):>5s}   {item.name}\n"
        )
