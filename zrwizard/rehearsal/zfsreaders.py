"""What `zfs receive` reads: the words or the bytes that `zfssend` writes."""

from __future__ import annotations

import asyncio
import json
import struct

from zrwizard.rehearsal.commands import TTY_TOKEN, Call
from zrwizard.rehearsal.errors import Fail
from zrwizard.rehearsal.poolimport import options
from zrwizard.rehearsal.zfsreceive import NOTHING_CAME, Receiver, abandon
from zrwizard.rehearsal.zfssend import END, MAGIC, payload

LETTERS = "vsFuMhA"
USAGE = (
    "usage:\n\treceive [-vMnsFhu] [-o <property>=<value>] ... [-x <property>] ...\n"
    "\t    <filesystem|volume|snapshot>\n\treceive -A <filesystem|volume>\n"
)
BAD_MAGIC = "cannot receive: invalid stream (bad magic number)\n"
DAMAGED = "cannot receive: invalid stream (checksum mismatch)\n"


class WordReader:
    """The words of `zfssend`, fed as they come. `finish` when they end."""

    def __init__(self, receiver: Receiver) -> None:
        self.receiver = receiver
        self._buffer = b""
        self._complete = False

    def feed(self, data: bytes) -> str:
        """Take what came; what -v prints of it."""
        self._buffer += data
        told = ""
        while b"\n" in self._buffer and not self._complete:
            line, _, self._buffer = self._buffer.partition(b"\n")
            word, _, rest = line.partition(b" ")
            if self.receiver.plan is None:
                if word != b"ZRS1":
                    raise Fail(BAD_MAGIC if len(line) > 312 else NOTHING_CAME)
                self.receiver.open(rest.decode("ascii", "replace"))
            elif word == b"D" and rest.isdigit():
                told += self.receiver.take(int(rest))
            elif line == b"END":
                self._complete = True
            else:
                raise Fail(DAMAGED)
        if self.receiver.plan is None and len(self._buffer) > 4096:
            raise Fail(BAD_MAGIC)
        return told

    def finish(self) -> None:
        """The input has ended: `Fail` unless all was there."""
        self.receiver.finish(complete=self._complete)


class ByteReader:
    """The bytes of `zfssend`, fed as they come; they must be those that were sent."""

    def __init__(self, receiver: Receiver) -> None:
        self.receiver = receiver
        self._buffer = bytearray()
        self._due = b""
        self._complete = False

    def feed(self, data: bytes) -> str:
        """Take what came; what -v prints of it."""
        self._buffer += data
        if self.receiver.plan is None and not self._open():
            return ""
        told = ""
        while self._buffer and not self._complete:
            if self.receiver.item is None and len(self._buffer) < len(END):
                break
            told += self._take()
        return told

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
            self.receiver.open(head["ident"])
        except (ValueError, KeyError, TypeError):
            raise Fail(BAD_MAGIC) from None
        del self._buffer[: 8 + size]
        return True

    def _take(self) -> str:
        receiver = self.receiver
        item = receiver.item
        if item is None:
            if not self._buffer.startswith(END):
                raise Fail(DAMAGED)
            self._complete = True
            return ""
        if not self._due:
            self._due = payload(item)
        size = min(len(self._buffer), item.size - receiver.got)
        if bytes(self._buffer[:size]) != self._due[receiver.got : receiver.got + size]:
            raise Fail(DAMAGED)
        del self._buffer[:size]
        told = receiver.take(size)
        if receiver.item is not item:
            self._due = b""
        return told

    def finish(self) -> None:
        """The input has ended: `Fail` unless all was there."""
        self.receiver.finish(complete=self._complete)


async def receive(call: Call, args: list[str]) -> int:
    """zfs receive: reads a stream, says what it receives with -v; -A abandons."""
    found, many, names = options(args, "", "ox")
    if unknown := [letter for letter in found if letter not in LETTERS]:
        raise Fail(f"invalid option '{unknown[0]}'\n{USAGE}", 2)
    if not names:
        raise Fail(f"missing snapshot argument\n{USAGE}", 2)
    m, target = call.machine, names[0]
    if "A" in found:
        abandon(m, target)
        return 0
    overrides = dict(i.partition("=")[::2] for i in many["o"])
    receiver = Receiver(m, target, found, overrides, set(many["x"]))
    reader = ByteReader(receiver) if m.ufs else WordReader(receiver)
    try:
        while (piece := await call.chunk()) is not None:
            if piece.startswith(TTY_TOKEN):
                raise Fail(
                    "Error: Backup stream can not be read from a terminal.\n"
                    "You must redirect standard input.\n"
                )
            await call.out(reader.feed(piece))
            if m.ufs:
                await m.clock.sleep(len(piece) / m.send_rate)
        reader.finish()
    except (asyncio.CancelledError, Fail):
        receiver.interrupted()
        raise
    return 0
