"""The console: one thread reads the line, everybody else reads what it has put aside.

The reader never stops, so that a question on our screen cannot block the target (a QEMU console
whose client does not read stops the whole guest). What it has read is offered to pexpect again
as a spawn object of its own, so that `expect` works on it with all its care for partial matches.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from pexpect import EOF, TIMEOUT
from pexpect.spawnbase import SpawnBase

from zrwizard.console.errors import Cancelled, LineCut
from zrwizard.console.transcript import Transcript
from zrwizard.secrets import Secret

_SLICE = 0.2
_KEEP = 8 * 1024 * 1024


class _Inbox(SpawnBase):  # type: ignore[misc]
    """The bytes that the reader has put aside, as a pexpect spawn."""

    def __init__(self) -> None:
        # A match must lie within the window's end, so each piece is smaller than the window.
        super().__init__(timeout=30, maxread=2048, searchwindowsize=8192)
        self.delayafterread = None
        self.changed = threading.Condition()
        self.waiting = bytearray()
        self.ended: str | None = None

    def put(self, data: bytes) -> None:
        with self.changed:
            self.waiting += data
            if len(self.waiting) > _KEEP:
                del self.waiting[: len(self.waiting) - _KEEP]
            self.changed.notify_all()

    def end(self, reason: str) -> None:
        with self.changed:
            self.ended = self.ended or reason
            self.changed.notify_all()

    def restart(self) -> None:
        """Begin anew, for a line that was opened again."""
        with self.changed:
            self.waiting.clear()
            self.buffer = b""
            self.ended = None

    def read_nonblocking(self, size: int = 1, timeout: float | None = -1) -> bytes:
        """Return up to `size` bytes within `timeout` seconds; raise TIMEOUT or EOF."""
        seconds = self.timeout if timeout in (-1, None) else timeout
        with self.changed:
            self.changed.wait_for(lambda: self.waiting or self.ended is not None, seconds)
            if self.waiting:
                data = bytes(self.waiting[:size])
                del self.waiting[:size]
                return data
            if self.ended is not None:
                raise EOF(self.ended)
            raise TIMEOUT("nothing to read")


class Stream(Protocol):
    """Takes one command's output out of what arrives, however much it is."""

    def take(self, data: bytes) -> bytes:
        """Take what is its own of `data`; return the rest of it, which goes the usual way."""
        ...

    def check(self) -> None:
        """Raise what ends the waiting for it; asked several times a second."""
        ...


class Console:
    """A line with a reader thread and a transcript. Reading is for one thread at a time."""

    def __init__(self, spawn: Any, transcript: Transcript, cancel: threading.Event) -> None:
        self.transcript = transcript
        self.cancel = cancel
        self._inbox = _Inbox()
        self._write_lock = threading.Lock()
        self._stream: Stream | None = None
        self.on_output: Callable[[bytes], None] | None = None
        self.on_close: Callable[[], None] = lambda: None
        self._begin(spawn)

    def _begin(self, spawn: Any) -> None:
        self._spawn = spawn
        self._closing = threading.Event()
        self._reader = threading.Thread(
            target=self._pump, args=(spawn, self._closing), name="console-reader", daemon=True
        )
        self._reader.start()

    def _pump(self, spawn: Any, closing: threading.Event) -> None:
        while not closing.is_set():
            try:
                data = spawn.read_nonblocking(65536, _SLICE)
            except TIMEOUT:
                continue
            except (EOF, OSError, ValueError) as error:
                self._inbox.end(_reason(error))
                return
            stream = self._stream
            if stream is not None:
                data = stream.take(data)
                if not data:
                    continue
            self._shown(data)
        self._inbox.end("the line was closed")

    def _shown(self, data: bytes) -> None:
        self.transcript.output(data)
        tap = self.on_output
        if tap is not None:
            tap(data)
        self._inbox.put(data)

    def reopen(self, spawn: Any) -> None:
        """Go on with a line that was opened anew; what the old one had left is forgotten."""
        self._end_line()
        self.transcript.mark("the line was opened again")
        self._inbox.restart()
        self._begin(spawn)

    def write(self, data: bytes) -> None:
        """Type `data`. Raises `LineCut` when the line is gone."""
        self.transcript.input(data)
        self._write(data)

    def write_secret(self, secret: Secret, after: bytes = b"\r") -> None:
        """Type a secret, which stands in the transcript by its name only."""
        self.transcript.input(repr(secret).encode() + after)
        self._write(secret.reveal() + after)

    def write_masked(self, data: bytes, shown: str) -> None:
        """Type `data` that holds a secret in some other form; the transcript has `shown`."""
        self.transcript.input(shown.encode())
        self._write(data)

    def _write(self, data: bytes) -> None:
        try:
            with self._write_lock:
                self._spawn.send(data)
        except (EOF, OSError, ValueError):
            raise self.lost() from None

    def lost(self) -> LineCut:
        """Return the error that says that the line has ended."""
        reason = self._inbox.ended or "the line was closed"
        return LineCut(
            f"The console line ended: {reason}.",
            "Check the machine and the line; then start zrwizard again: it goes on where it was.",
        )

    @property
    def spawn(self) -> Any:
        """The pexpect object of the line, for what only a line can do: a break, a window's size."""
        return self._spawn

    @property
    def ended(self) -> bool:
        """Whether the line has reached its end."""
        return self._inbox.ended is not None

    def read(self, timeout: float) -> bytes:
        """Return what arrives within `timeout` seconds, b"" for nothing. Raises on end, cancel."""
        deadline = time.monotonic() + timeout
        while True:
            self._check_cancel()
            left = deadline - time.monotonic()
            try:
                return self._inbox.read_nonblocking(65536, max(0.0, min(left, _SLICE)))
            except TIMEOUT:
                if left <= _SLICE:
                    return b""
            except EOF:
                raise self.lost() from None

    def read_until_quiet(self, quiet: float, limit: float) -> bytes:
        """Return all that arrives until nothing came for `quiet` seconds, or `limit` has passed."""
        data = b""
        deadline = time.monotonic() + limit
        while time.monotonic() < deadline:
            piece = self.read(quiet)
            if not piece:
                break
            data += piece
        return data

    def expect(self, pattern: re.Pattern[bytes], timeout: float) -> re.Match[bytes] | None:
        """Wait for `pattern`; return its match, None after `timeout` seconds.

        What stood before the match is forgotten; without a match nothing is. Patterns must be
        shorter than the search window of 4,096 bytes.
        """
        deadline = time.monotonic() + timeout
        while True:
            self._check_cancel()
            left = deadline - time.monotonic()
            try:
                self._inbox.expect_list([pattern], timeout=max(0.0, min(left, _SLICE)))
                match = self._inbox.match
                return match if isinstance(match, re.Match) else None
            except TIMEOUT:
                if left <= _SLICE:
                    return None
            except EOF:
                raise self.lost() from None

    @property
    def before(self) -> bytes:
        """What stood before the last match, or all unmatched bytes so far after a timeout."""
        before = self._inbox.before
        return before if isinstance(before, bytes) else b""

    def unread(self) -> bytes:
        """Take everything that was received and not yet matched, without waiting."""
        held: bytes = self._inbox.buffer
        self._inbox.buffer = b""
        with self._inbox.changed:
            data = held + bytes(self._inbox.waiting)
            self._inbox.waiting.clear()
        return data

    def peek(self) -> bytes:
        """Return everything that was received and not yet matched, and leave it there."""
        held: bytes = self._inbox.buffer
        with self._inbox.changed:
            return held + bytes(self._inbox.waiting)

    @contextmanager
    def streaming(self, stream: Stream) -> Iterator[None]:
        """Let everything that arrives pass through `stream`, in the reader's thread."""
        self._stream = stream
        try:
            yield
        finally:
            self._stream = None

    def _check_cancel(self) -> None:
        if self.cancel.is_set():
            raise Cancelled("Stopped by the operator.", "Start zrwizard again to go on.")
        stream = self._stream
        if stream is not None:
            stream.check()

    def close(self) -> None:
        """Stop the reader and close the line; never raises."""
        self._end_line()
        self.transcript.close()
        self.on_close()

    def _end_line(self) -> None:
        self._closing.set()
        self._reader.join(timeout=2)
        try:
            self._spawn.close(force=True)
        except (OSError, TypeError, ValueError):
            pass
        except Exception as error:
            self.transcript.mark(f"closing the line: {error}")


def _reason(error: Exception) -> str:
    """Return why the line ended; pexpect's own words tell nothing to people."""
    said = str(error).partition("\n")[0]
    return "it was closed at the other end" if said.startswith("End Of File") else said or "no word"
