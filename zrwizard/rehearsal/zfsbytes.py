"""Streams of the box: as many bytes as ZFS would send, with the files' own in them.

They can be cut anywhere and resumed with a token, as `zfs receive -s` leaves it.
"""

from __future__ import annotations

import asyncio
import json
import struct
from collections.abc import Iterator

from zrwizard.rehearsal.commands import Call
from zrwizard.rehearsal.errors import Fail
from zrwizard.rehearsal.machine import Machine
from zrwizard.rehearsal.zfslist import find
from zrwizard.rehearsal.zfsmount import refresh
from zrwizard.rehearsal.zfsstream import Item, Receiver, StreamPlan, plan_stream

MAGIC = b"ZRS2"
END = b"\0END"
CHUNK = 65536
BAD_MAGIC = "cannot receive: invalid stream (bad magic number)\n"


def payload(item: Item) -> bytes:
    """The bytes that stand for one snapshot: its files, then zeros up to its size."""
    held = b"".join(data for _, data in sorted(item.snap.files.items()) if data)
    return held[: item.size].ljust(item.size, b"\0")


def pieces(m: Machine, plan: StreamPlan, ident: str, item: int, got: int) -> Iterator[bytes]:
    """The stream from byte `got` of an item on."""
    head = json.dumps({"ident": ident, "item": item, "got": got}).encode()
    yield MAGIC + struct.pack(">I", len(head)) + head
    for one in plan.items[item:]:
        data, got = payload(one)[got:], 0
        for at in range(0, len(data), CHUNK):
            yield data[at : at + CHUNK]
    yield END


async def send_bytes(call: Call, name: str, found: dict[str, str]) -> int:
    """zfs send."""
    m = call.machine
    known = m.dataset(name.partition("@")[0])
    if known is not None:
        refresh(m, known[1])
    plan = plan_stream(m, name, found)
    await call.err("".join(plan.missing))
    ident = f"{m.rng.getrandbits(64):016x}"
    m.streams[ident] = plan
    for piece in pieces(m, plan, ident, 0, 0):
        await m.clock.sleep(len(piece) / m.send_rate)
        await call.io.stdout.write(piece)
    return 1 if plan.missing else 0


async def resume(call: Call, token: str) -> int:
    """zfs send -t TOKEN."""
    m = call.machine
    if token not in m.tokens:
        raise Fail("cannot resume send: resume token is corrupt (invalid format)\n", 255)
    ident, item, got = m.tokens[token]
    for piece in pieces(m, m.streams[ident], ident, item, got):
        await m.clock.sleep(len(piece) / m.send_rate)
        await call.io.stdout.write(piece)
    return 0


def abandon(m: Machine, name: str) -> None:
    """zfs receive -A: what was half received goes."""
    pool, ds, _ = find(m, name)
    if not ds.token:
        raise Fail(f"'{name}' does not have any resumable receive state to abort\n")
    ds.token, ds.pending = "", 0
    if not ds.snapshots and ds.rel:
        del pool.datasets[ds.rel]


class ByteReader:
    """`zfs receive`, fed as the bytes come; `Fail` in its words. `finish` when they end."""

    def __init__(self, machine: Machine, target: str, found: dict[str, str]) -> None:
        self._machine, self._target, self._found = machine, target, found
        self._buffer = bytearray()
        self._receiver: Receiver | None = None
        self._ident = ""
        self._item = self._got = 0
        self._due = b""
        self._complete = False

    def feed(self, data: bytes) -> str:
        """Take what came; what -v prints of it."""
        self._buffer += data
        if self._receiver is None and not self._open():
            return ""
        told = ""
        while self._buffer and not self._complete:
            told += self._take()
        return told if "v" in self._found else ""

    def _open(self) -> bool:
        """Read the head of the stream; False while it is not there in full."""
        if self._buffer[: len(MAGIC)] != MAGIC[: len(self._buffer)]:
            raise Fail(BAD_MAGIC)
        if len(self._buffer) < 8:
            return False
        size = struct.unpack_from(">I", self._buffer, 4)[0]
        if len(self._buffer) < 8 + size:
            return False
        try:
            head = json.loads(self._buffer[8 : 8 + size])
            plan = self._machine.streams[head["ident"]]
        except (ValueError, KeyError):
            raise Fail(BAD_MAGIC) from None
        del self._buffer[: 8 + size]
        self._ident, self._item, self._got = head["ident"], head["item"], head["got"]
        self._receiver = Receiver(self._machine, self._target, self._found, plan)
        if self._got:
            self._continue(self._receiver, plan)
        return True

    def _continue(self, receiver: Receiver, plan: StreamPlan) -> None:
        """Go on where a receive was interrupted."""
        pool, ds, _ = find(self._machine, self._target)
        known = self._machine.tokens.get(ds.token)
        if known != (self._ident, self._item, self._got):
            raise Fail(
                f"cannot receive resume stream: destination '{self._target}' has no state of it\n"
            )
        receiver.pool, receiver.current = pool, ds
        receiver.made = not ds.snapshots
        receiver.got = self._got
        ds.busy = True
        self._due = payload(plan.items[self._item])

    def _take(self) -> str:
        receiver = self._receiver
        assert receiver is not None  # noqa: S101 - `feed` has opened it
        if self._item == len(receiver.plan.items):
            if len(self._buffer) >= len(END):
                self._complete = bytes(self._buffer[: len(END)]) == END
            if not self._complete and len(self._buffer) >= len(END):
                raise Fail("cannot receive: invalid stream (checksum mismatch)\n")
            self._buffer.clear()
            return ""
        item = receiver.plan.items[self._item]
        told = ""
        if receiver.current is None:
            name = self._target + (f"/{item.rel}" if item.rel else "")
            known = self._machine.dataset(name)
            if known is not None and known[1].token:
                raise Fail(
                    f"cannot receive new filesystem stream: destination {name} contains "
                    'partially-complete state from "zfs receive -s".\n'
                )
            told = receiver.begin(item)
            self._due = payload(item)
        size = min(len(self._buffer), item.size - self._got)
        if bytes(self._buffer[:size]) != self._due[self._got : self._got + size]:
            self.interrupted()
            raise Fail("cannot receive: invalid stream (checksum mismatch)\n")
        del self._buffer[:size]
        self._got += size
        receiver.data(size)
        if self._got == item.size:
            told += receiver.end(item)
            self._item, self._got = self._item + 1, 0
        return told

    def finish(self) -> None:
        """The input has ended: `Fail` unless all was there."""
        if self._complete:
            return
        receiver = self._receiver
        busy = receiver is not None and receiver.current is not None
        token = self.interrupted()
        if token:
            raise Fail(
                "cannot receive new filesystem stream: checksum mismatch or incomplete stream.\n"
                "Partially received snapshot is saved.\n"
                "A resuming stream can be generated on the sending system by running:\n"
                f"    zfs send -t {token}\n"
            )
        raise Fail(
            "cannot receive new filesystem stream: incomplete stream\n"
            if busy
            else "cannot receive: failed to read from stream\n"
        )

    def interrupted(self) -> str:
        """It was cut off or killed: with -s the state is kept; the token that goes on with it."""
        receiver = self._receiver
        if receiver is None or receiver.current is None:
            return ""
        if "s" not in self._found or not self._got:
            receiver.give_up()
            return ""
        ds, receiver.current = receiver.current, None
        ds.busy, ds.pending = False, max(ds.pending, 1)
        first, rest = self._machine.rng.getrandbits(40), self._machine.rng.getrandbits(640)
        ds.token = f"1-{first:x}-e0-{rest:x}"
        self._machine.tokens[ds.token] = (self._ident, self._item, self._got)
        return ds.token


async def receive_bytes(call: Call, reader: ByteReader) -> int:
    """zfs receive at a shell."""
    try:
        while (piece := await call.chunk()) is not None:
            await call.out(reader.feed(piece))
            await call.machine.clock.sleep(len(piece) / call.machine.send_rate)
        reader.finish()
    except asyncio.CancelledError:
        reader.interrupted()
        raise
    return 0
