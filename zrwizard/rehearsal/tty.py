"""The terminal driver of a simulated machine's serial console (facts/freebsd.md A1, A9).

Input comes as bytes from the line, output goes as bytes to it. Everything happens on the
rehearsal's event loop.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable

END = 256
"""Stands in the input queue for ^D."""
QUEUE = 23040
"""Bytes that wait unread at 115200 baud; what comes after them is dropped with a BEL."""
BEL = b"\x07"
TYPICAL = 60
"""Bytes of output into which a kernel message falls with the chance `noise`."""
ERASE, KILL, WERASE, REPRINT = (0x08, 0x7F), 0x15, 0x17, 0x12
INTR, EOF, START, STOP, STATUS, QUIT = 0x03, 0x04, 0x11, 0x13, 0x14, 0x1C


class Tty:
    """One serial port. `send` takes what goes out; `interrupted` is called on ^C."""

    def __init__(
        self,
        send: Callable[[bytes], None],
        *,
        noise: float = 0.0,
        rng: random.Random | None = None,
        queue: int = QUEUE,
    ) -> None:
        self._send = send
        self.limit = queue
        self.noise = noise
        self.noise_lines: tuple[str, ...] = ()
        self._rng = rng or random.Random(1)  # noqa: S311 - a simulation
        self.interrupted: Callable[[], None] = lambda: None
        self.status_line: Callable[[], str] = lambda: (
            "load: 0.00  cmd: sh 726 [ttyin] 1.00r 0.00u 0.00s 0% 2480k"
        )
        self.quiet: Callable[[], bool] = lambda: False
        self.cols = self.rows = 0
        self._queue: list[int] = []
        self._wake = asyncio.Event()
        self._stopped: bytearray | None = None
        self._column = 0
        self.reset()

    def reset(self) -> None:
        """The driver's settings after boot and at every getty."""
        self.echo = self.canonical = self.signals = self.opost = True
        self.editing = False
        self._stopped = None

    # Input

    def feed(self, data: bytes) -> None:
        """Bytes arrive from the line."""
        for byte in data:
            self._input(byte)
        self._wake.set()

    def _input(self, byte: int) -> None:
        if byte == STOP and self.canonical:
            self._stopped = bytearray() if self._stopped is None else self._stopped
            return
        if self._stopped is not None:
            held, self._stopped = bytes(self._stopped), None
            self._send(held)
        if byte == START and self.canonical:
            return
        if self.signals and byte in (INTR, QUIT):
            self._queue.clear()
            self._show(b"^C" if byte == INTR else b"^\\")
            self.interrupted()
            return
        if self.canonical and self._edit(byte):
            return
        if len(self._queue) >= self.limit:
            self._send(BEL)
            return
        byte = 0x0A if byte == 0x0D else byte
        if byte == EOF and self.canonical:
            self._queue.append(END)
            return
        self._queue.append(byte)
        if byte == 0x0A:
            self._show(b"\n")
        elif byte < 0x20 and byte != 0x09:
            self._show(bytes([0x5E, byte + 64]))
        else:
            self._show(bytes([byte]))

    def _edit(self, byte: int) -> bool:
        """Erase, kill, reprint, status: keys that edit the unfinished line."""
        if byte in ERASE:
            self._rub()
        elif byte == KILL:
            gone = len(self._unfinished())
            del self._queue[len(self._queue) - gone :]
            self._show(b"\b \b" * gone)
        elif byte == WERASE:
            while self._queue and self._queue[-1] == 0x20 and self._rub():
                pass
            while self._queue and self._queue[-1] != 0x20 and self._rub():
                pass
        elif byte == REPRINT:
            self._show(b"^R\n" + bytes(b for b in self._unfinished() if b < END))
        elif byte == STATUS:
            self.write(self.status_line().encode() + b"\n")
        else:
            return False
        return True

    def _unfinished(self) -> list[int]:
        at = len(self._queue)
        while at and self._queue[at - 1] not in (0x0A, END):
            at -= 1
        return self._queue[at:]

    def _rub(self) -> bool:
        if not self._unfinished():
            return False
        self._queue.pop()
        self._show(b"\b \b")
        return True

    def _show(self, data: bytes) -> None:
        if not self.echo:
            return
        self.write(data)
        width = self.cols or 80
        if self.editing and not data.startswith(b"\b \b") and self._column >= width:
            # libedit steps over the right margin of a terminal with automatic margins.
            self._send(b" \b")
            self._column = 0

    def pending(self) -> int:
        """Bytes that nobody has read yet."""
        return len(self._queue)

    def flush(self) -> None:
        """Throw typed-ahead input away."""
        self._queue.clear()

    async def readline(self) -> bytes:
        """A line with its newline; empty at ^D. In raw mode: what is there."""
        while True:
            stop = next((i for i, b in enumerate(self._queue) if b in (0x0A, END)), None)
            if stop is not None:
                taken, self._queue = self._queue[: stop + 1], self._queue[stop + 1 :]
                return bytes(b for b in taken if b != END)
            await self._changed()

    async def key(self, timeout: float | None = None) -> int | None:
        """One byte in raw mode; None when `timeout` seconds (real ones) pass."""
        try:
            async with asyncio.timeout(timeout):
                while not self._queue:
                    await self._changed()
        except TimeoutError:
            return None
        return self._queue.pop(0)

    async def _changed(self) -> None:
        self._wake.clear()
        await self._wake.wait()

    async def secret(self, prompt: str) -> bytes:
        """readpassphrase(3): prompt, no echo, newline afterwards; flushes typed-ahead input."""
        before, self.echo = self.echo, False
        self.flush()
        try:
            self.write(prompt.encode())
            line = await self.readline()
        finally:
            self.echo = before
        self.write(b"\n")
        return line.rstrip(b"\n")

    # Output

    def write(self, data: bytes) -> None:
        """A program writes: newlines go out as CR LF, kernel messages may fall in between."""
        if not data:
            return
        if (
            self.noise
            and self.noise_lines
            and not self.quiet()
            and self._rng.random() < self.noise * len(data) / TYPICAL
        ):
            cut = self._rng.randrange(len(data) + 1)
            self._plain(data[:cut])
            self.kernel(self._rng.choice(self.noise_lines))
            data = data[cut:]
        self._plain(data)

    def _plain(self, data: bytes) -> None:
        tail = data.replace(b"\r", b"\n").rpartition(b"\n")
        shown = sum(1 for b in tail[2] if b >= 0x20)
        self._column = shown if tail[1] else self._column + shown
        self.raw(data.replace(b"\n", b"\r\n") if self.opost else data)

    def raw(self, data: bytes) -> None:
        """Bytes to the line as they are."""
        if self._stopped is not None:
            self._stopped += data
        else:
            self._send(data)

    def kernel(self, line: str) -> None:
        """A kernel message: it passes the terminal driver by."""
        self._send(line.encode() + b"\r\n")
