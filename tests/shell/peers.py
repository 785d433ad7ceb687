"""Real servers that a console may be behind: telnetd, telnetlib3, raw TCP; each with a root sh.

A peer accepts any number of connections on 127.0.0.1, each with a shell of its own, and ends what
it started.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from noise import SHELLS, root_in_name, spawn_shell
from pexpect import EOF, TIMEOUT

TELNETD = shutil.which("telnetd", path="/usr/sbin:/sbin:/usr/libexec") or shutil.which(
    "in.telnetd", path="/usr/sbin:/sbin"
)


def shell_script(directory: Path) -> Path:
    """An executable that is a root sh at its prompt, for servers that start a login program."""
    root = root_in_name(directory / "bin")
    program, args = SHELLS["dash"]
    script = directory / "shell"
    script.write_text(
        f"#!/bin/sh\nPATH={root}:$PATH PS1='# ' TERM=vt100\nexport PATH PS1 TERM\n"
        f"exec {' '.join([program, *args])} -i\n"
    )
    script.chmod(0o755)
    return script


@contextmanager
def listener(serve: Callable[[socket.socket], None]) -> Iterator[int]:
    """Give every connection to `serve`, which returns when it is through with it."""
    sock = socket.create_server(("127.0.0.1", 0))

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                peer, _ = sock.accept()
                threading.Thread(target=serve, args=(peer,), daemon=True).start()

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    try:
        yield sock.getsockname()[1]
    finally:
        sock.shutdown(socket.SHUT_RDWR)
        sock.close()
        thread.join(5)


@contextmanager
def telnetd(directory: Path) -> Iterator[str]:
    """inetutils' telnetd, started for each connection as inetd(8) does."""
    assert TELNETD
    script, started = shell_script(directory), []

    def serve(peer: socket.socket) -> None:
        with peer:
            started.append(
                subprocess.Popen(
                    [TELNETD, "-h", "-E", str(script)], stdin=peer, stdout=peer, stderr=peer
                )
            )

    with listener(serve) as port:
        yield f"telnet://127.0.0.1:{port}"
    for process in started:
        process.terminate()
        process.wait(5)


@contextmanager
def _pumped(send: Callable[[bytes], object]) -> Iterator[Any]:
    """A shell whose output is passed on; its descriptor is closed when nobody reads it any more."""
    spawn, over = spawn_shell("dash"), threading.Event()
    pump = threading.Thread(target=_pump, args=(spawn, send, over), daemon=True)
    pump.start()
    try:
        yield spawn
    finally:
        over.set()
        pump.join()
        spawn.close(force=True)


def _pump(spawn: Any, send: Callable[[bytes], object], over: threading.Event) -> None:
    """Pass on what the shell prints until either end is gone."""
    with contextlib.suppress(EOF, OSError, ValueError):
        while not over.is_set():
            try:
                data = spawn.read_nonblocking(65536, 0.2)
            except TIMEOUT:
                continue
            send(data)


@contextmanager
def raw_tcp(directory: Path) -> Iterator[str]:
    """A terminal server's raw port: bytes and nothing else."""

    def serve(peer: socket.socket) -> None:
        with peer, _pumped(peer.sendall) as spawn, contextlib.suppress(OSError):
            while data := peer.recv(65536):
                os.write(spawn.child_fd, data)

    with listener(serve) as port:
        yield f"telnet://127.0.0.1:{port}?raw=1"


@contextmanager
def chopped_telnet(directory: Path) -> Iterator[str]:
    """A server of our own by RFC 854 that never is in BINARY, asks for two dozen options, sends
    every byte of the negotiation, and each IAC of the data, in a packet of its own, and puts a
    subnegotiation and a NOP between the bytes now and then."""
    asked = bytes(byte for option in range(24, 48) for byte in (255, 253, option))
    terminal_type = bytes([255, 250, 24, 1, 255, 240])

    def serve(peer: socket.socket) -> None:
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for number in range(len(asked)):
            peer.sendall(asked[number : number + 1])
        peer.sendall(bytes([255, 251, 1, 255, 251, 3]))
        count = 0

        def send(data: bytes) -> None:
            nonlocal count
            wire = (
                data.replace(b"\xff", b"\xff\xff")
                .replace(b"\r", b"\r\0")
                .replace(b"\r\0\n", b"\r\n")
            )
            while wire:
                cut = wire.find(b"\xff") + 1 or len(wire)
                peer.sendall(wire[:cut])
                count += 1
                if count % 3 == 0 and wire[cut - 1] != 255:
                    peer.sendall(terminal_type + b"\xff\xf1")
                wire = wire[cut:]

        with peer, _pumped(send) as spawn, contextlib.suppress(OSError):
            for byte in _typed(peer):
                os.write(spawn.child_fd, byte)

    with listener(serve) as port:
        yield f"telnet://127.0.0.1:{port}"


def _typed(peer: socket.socket) -> Iterator[bytes]:
    """What a client that is not in BINARY types: CR NUL is CR, IAC IAC is 0xFF, the rest of IAC
    is answers. Written for this peer by itself, not with the product's filter."""
    stream = peer.makefile("rb")
    while byte := stream.read(1):
        if byte == b"\r":
            after = stream.read(1)
            if after != b"\0":
                raise AssertionError(f"a bare CR outside of BINARY, then {after!r}")
        elif byte == b"\xff":
            byte = stream.read(1)
            if byte in (b"\xfb", b"\xfc", b"\xfd", b"\xfe"):
                stream.read(1)
                continue
            if byte != b"\xff":
                raise AssertionError(f"an unknown command of telnet: {byte!r}")
        yield byte


@contextmanager
def telnetlib3_server(directory: Path) -> Iterator[str]:
    """telnetlib3's server, in BINARY, with its bytes passed to and from a shell's pty."""
    import telnetlib3
    from telnetlib3.telopt import BINARY, DO, WILL

    loop, ready, stop = asyncio.new_event_loop(), threading.Event(), asyncio.Event()
    port = 0

    async def shell(reader: Any, writer: Any) -> None:
        writer.iac(WILL, BINARY)
        writer.iac(DO, BINARY)
        await asyncio.wait_for(writer.wait_for(local={"BINARY": True}, remote={"BINARY": True}), 5)
        queue: asyncio.Queue[bytes] = asyncio.Queue()

        def give(data: bytes) -> None:
            loop.call_soon_threadsafe(queue.put_nowait, data)

        async def forward() -> None:
            while True:
                writer.write(await queue.get())
                await writer.drain()

        with _pumped(give) as spawn:
            task = loop.create_task(forward())
            while data := await reader.read(4096):
                os.write(spawn.child_fd, data)
            task.cancel()

    async def serve() -> None:
        nonlocal port
        server = await telnetlib3.create_server(
            host="127.0.0.1", port=0, shell=shell, encoding=False, connect_maxwait=0.5, timeout=0
        )
        port = server.sockets[0].getsockname()[1]
        ready.set()
        await stop.wait()
        server.close()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),), daemon=True)
    thread.start()
    assert ready.wait(10)
    try:
        yield f"telnet://127.0.0.1:{port}"
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(5)


PEERS = {
    "telnetd": telnetd,
    "telnetlib3": telnetlib3_server,
    "raw": raw_tcp,
    "chopped": chopped_telnet,
}
