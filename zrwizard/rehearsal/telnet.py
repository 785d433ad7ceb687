"""A telnet listener that behaves like QEMU's `-serial telnet:…,server=on,wait=off`.

One client at a time: the next one is connected, but hears nothing until the first has left.
Output while nobody is there is lost. A client's leaving does not hang up anything.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

GREETING = bytes.fromhex("fffb01fffb03fffb00fffd00")
"""WILL ECHO, WILL SGA, WILL BINARY, DO BINARY."""
IAC = 0xFF
ROOM = 1 << 20


class TelnetPort:
    """Listens on loopback; `feed` gets the typed bytes, `send` writes to who is connected."""

    def __init__(
        self, feed: Callable[[bytes], None], connected: Callable[[], None] = lambda: None
    ) -> None:
        self._feed = feed
        self._connected = connected
        self._turn = asyncio.Lock()
        self._writer: asyncio.StreamWriter | None = None
        self._server: asyncio.Server | None = None
        self._clients: set[asyncio.Task[None]] = set()
        self._bytes_left = 0
        self.taken = False
        self.port = 0

    async def open(self) -> None:
        """Start to listen on a free port of 127.0.0.1."""
        self._server = await asyncio.start_server(self._client, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """Hang up and listen no more."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for task in list(self._clients):
            task.cancel()
        await asyncio.gather(*self._clients, return_exceptions=True)

    def send(self, data: bytes) -> None:
        """Guest output. A 0xFF is not doubled, and lost bytes are not kept for anybody."""
        if self._writer is not None and not self._writer.is_closing():
            self._writer.write(data)

    async def drain(self) -> None:
        """Wait until a slow client has read what it was sent."""
        writer = self._writer
        if writer is not None and writer.transport.get_write_buffer_size() > ROOM:
            with contextlib.suppress(ConnectionError):
                await writer.drain()

    def drop(self) -> None:
        """Cut the connection of the present client, as a broken cable would."""
        if self._writer is not None:
            self._writer.transport.abort()

    async def _client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - a server callback always runs in a task
        self._clients.add(task)
        try:
            while self.taken:
                await asyncio.sleep(0.05)
            async with self._turn:
                await self._serve(reader, writer)
        except (ConnectionError, asyncio.CancelledError):
            pass
        finally:
            self._clients.discard(task)
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(GREETING)
        self._writer, self._bytes_left = writer, 0
        self._connected()
        try:
            while data := await reader.read(4096):
                self._feed(self._filter(data))
        finally:
            self._writer = None

    def _filter(self, data: bytes) -> bytes:
        """Take commands out: three bytes each, whatever the command (QEMU knows no others)."""
        typed = bytearray()
        for byte in data:
            if self._bytes_left == 2:
                if byte == IAC:
                    typed.append(IAC)
                    self._bytes_left = 0
                else:
                    self._bytes_left = 1
            elif self._bytes_left == 1:
                self._bytes_left = 0
            elif byte == IAC:
                self._bytes_left = 2
            else:
                typed.append(byte)
        return bytes(typed)
