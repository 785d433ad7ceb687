"""Bytes to and from files on the target, over the line: in blocks, checked, and resumable."""

from __future__ import annotations

import gzip
import math
import re
import secrets
import zlib
from collections.abc import Callable
from contextlib import nullcontext

from zrwizard.cksum import cksum
from zrwizard.console.errors import NoAnswer
from zrwizard.shell.frames import End, Gathering, Sum, checked, decoded
from zrwizard.shell.helpers import BLOCK
from zrwizard.shell.protocol import Frames, starting

_GZIP_FROM = 4096
_MOST_BLOCKS = 32
_UPLOAD = 8064
_TRIES = 60
_WHOLE_TRIES = 3


class Files:
    """Fetches output files of the shell's home and writes uploads into it."""

    def __init__(self, frames: Frames) -> None:
        self._frames = frames

    # -- from the target --------------------------------------------------------------------------

    def outputs(self, end: End, gathering: Gathering) -> tuple[bytes, bytes]:
        """Return both outputs of the command that has just ended, byte for byte."""
        wanted = [(name, sum) for name, sum in (("o", end.out), ("e", end.err)) if sum.size]
        self._await_inline(wanted, gathering)
        found = {name: self._output(name, sum, gathering) for name, sum in wanted}
        return found.get("o", b""), found.get("e", b"")

    def _await_inline(self, wanted: list[tuple[str, Sum]], gathering: Gathering) -> None:
        """Take the frames of small outputs, which follow the end frame by themselves."""
        if sum(total.size for _, total in wanted) > 1200:
            return
        while any(name not in gathering.whole for name, _ in wanted):
            frame = self._frames.next(self._frames.pace.patience())
            if frame is None:
                return
            gathering.take(frame[0], frame[1])

    def _output(self, name: str, total: Sum, gathering: Gathering) -> bytes:
        whole = gathering.whole.get(name)
        if whole is not None:
            # One line as it is comes without its newline.
            for data in (whole, whole + b"\n"):
                if total.fits(data):
                    return data
        if total.size > _GZIP_FROM:
            packed = self._packed(name)
            if packed is not None:
                try:
                    data = gzip.decompress(self.fetch("z", packed))
                except (NoAnswer, OSError, EOFError, zlib.error):
                    # The packed file's checksum may have been damaged itself; the end frame's
                    # cannot be, unnoticed.
                    data = b""
                if total.fits(data):
                    return data
        return self.fetch(name, total)

    def _packed(self, name: str) -> Sum | None:
        """Compress the file on the target; return its sum, None where gzip is not there."""
        pattern = re.compile(rb"%s:(\d+) (\d+)" % name.encode())
        _, body = self._frames.ask(
            f"zz {name}", lambda kind, body: kind == b"Z" and pattern.fullmatch(body) is not None
        )
        match = pattern.fullmatch(body)
        return Sum(int(match[2]), int(match[1])) if match and int(match[2]) else None

    def fetch(
        self,
        name: str,
        total: Sum,
        sink: Callable[[bytes], None] | None = None,
        skip: int = 0,
    ) -> bytes:
        """Return the file `name` of the shell's home; with `sink` it goes there, block by block.

        `skip` blocks at its beginning are here already. Raises `NoAnswer` where what arrived is
        not what the target has.
        """
        for _ in range(_WHOLE_TRIES):
            whole = self._fetched(name, total, sink, skip)
            if sink is not None or total.fits(whole):
                return whole
            # What is asked for twice is answered twice, and a late answer may have been to the
            # command before: let the line fall silent first.
            self._frames.console.read_until_quiet(0.3, 3.0)
            self._frames.console.unread()
        raise NoAnswer("An output does not agree with its checksum.", "Try again.")

    def _fetched(
        self, name: str, total: Sum, sink: Callable[[bytes], None] | None, skip: int
    ) -> bytes:
        count = -(-total.size // BLOCK)
        kept: list[bytes] = []
        number = skip
        while number < count:
            some = min(max(1, self._frames.blocks), count - number)
            data = self._blocks(name, number, some)
            (sink or kept.append)(data)
            number += some
            if len(data) < some * BLOCK and number < count:
                break
        return b"".join(kept)

    def _blocks(self, name: str, number: int, some: int) -> bytes:
        """Return `some` blocks: together where the line is good, in numbered lines where not."""
        frames = self._frames
        while frames.blocks:
            data = self._plain(name, number, some)
            if data is not None:
                frames.blocks = min(_MOST_BLOCKS, frames.blocks * 2)
                return data
            frames.blocks //= 2
            if some > 1:
                return b"".join(self._blocks(name, number + index, 1) for index in range(some))
        return b"".join(self._lines(name, number + index) for index in range(some))

    def _plain(self, name: str, number: int, some: int) -> bytes | None:
        """Ask for blocks as they are; None where they did not arrive whole."""
        head = f"{name}:{number}:{some}:".encode()
        _, body = self._frames.ask(f"zg {name} {number} {some}", starting(b"G", head), tries=8)
        claimed = body.split(b":")
        if len(claimed) != 5 or not (claimed[3].isdigit() and claimed[4].isdigit()):
            return None
        total = Sum(int(claimed[4]), int(claimed[3]))
        frame, damaged = self._while_it_comes(), False
        while frame is not None and frame[:2] != (b"H", body):
            # Noise made a frame of a part of it. The rest is waited for: on a slow line it comes
            # for seconds, and what is asked for meanwhile only makes more of it.
            frame, damaged = self._while_it_comes(), True
        if frame is None or damaged:
            return None
        data = decoded(frame[2])
        return data if data is not None and total.fits(data) else None

    def _while_it_comes(self) -> tuple[bytes, bytes, bytes] | None:
        """Return the next frame; waits as long as bytes keep coming, on however slow a line."""
        return self._frames.heard(4 * self._frames.pace.patience(), longest=math.inf)

    def _lines(self, name: str, number: int) -> bytes:
        """Gather one block from numbered lines; those of several tries are put together."""
        gathering = Gathering()
        chunk = gathering.chunk(name, number)
        for attempt in range(_TRIES):
            self._ask_lines(gathering, f"{name} {number} {attempt}")
            data = chunk.data()
            if data is not None:
                if attempt == 0:
                    self._frames.blocks = 1
                return data
            if chunk.stale():
                chunk.lines.clear()
                chunk.claimed = None
        raise NoAnswer("An output cannot be read whole over this line.", "Check the line.")

    def _ask_lines(self, gathering: Gathering, which: str) -> None:
        head = which.replace(" ", ":").encode() + b":"

        def taken(kind: bytes, body: bytes) -> bool:
            gathering.take(kind, body)
            return kind == b"C" and body.startswith(head)

        self._frames.ask(f"zd {which}", taken)

    # -- to the target ----------------------------------------------------------------------------

    def store(
        self,
        name: str,
        data: bytes,
        at: int,
        *,
        secret: str | None = None,
        done: Callable[[int], None],
    ) -> None:
        """Add what `data` has behind offset `at` to the file `up-NAME` in the shell's home.

        `done` gets the size that the file has after each block.
        """
        failed = 0
        while at < len(data):
            block = data[at : at + _UPLOAD]
            # An echo of a secret's parts would hold it; after the answer none can come.
            hidden = self._frames.console.transcript.withheld(secret) if secret else nullcontext()
            with hidden:
                size = self._append(name, block, at, secret)
            if size == at + len(block):
                at, failed = size, 0
                done(at)
                continue
            failed += 1
            if size != at or failed > 8:
                raise NoAnswer(
                    f"A file on the target has {size} bytes where {at} were written.",
                    "Is /tmp full there? See `df /tmp`; then start again.",
                )

    def _append(self, name: str, block: bytes, at: int, secret: str | None) -> int:
        """Carry one block over; return the size that the file has then."""
        id = secrets.token_hex(3)
        count = self._frames.send_parts(id, block, secret)
        head = f"{name}:{at}:".encode()
        size = re.compile(re.escape(head) + rb"(\d+)")
        # A checksum lets guesses at a secret be tried.
        shown = None if secret is None else f"zw {name} {count} {at} {secret}\r"
        crc = cksum(block)
        check = cksum(f"{name}:{count}:{at}:{crc}".encode())
        _, body = self._frames.ask(
            f"zw {name} {count} {at} {crc} {check}",
            lambda kind, body: kind == b"U" and size.fullmatch(checked(body)) is not None,
            shown=shown,
        )
        return int(checked(body).rpartition(b":")[2])
