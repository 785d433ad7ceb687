"""ssh from the operator's machine to the simulated one, as an object that speaks of sessions.

It fits the protocol of the keyring's dial without knowing it: errors are made by who asks.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import shlex
import threading
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from zrwizard.rehearsal.door import PATH, answer, installed
from zrwizard.rehearsal.process import helpers, new_session
from zrwizard.rehearsal.sshauth import Admitted, Client, Refused, admit, loot

if TYPE_CHECKING:
    from zrwizard.rehearsal.machine import Machine

Complain = Callable[[str, str, str, int], Exception]
"""Makes the error to raise: kind ("" where `words` are ssh's own), words, whose key, port."""
OUT_LIMIT = 64 << 20
START = 15.0
"""Real seconds in which a session must have begun or been refused."""


R = TypeVar("R")
T = TypeVar("T")


class SimChannel(Generic[R]):
    """One session. The machines' loop feeds it, the caller's thread uses it.

    `fail` makes errors of a kind and a sentence, `reply` the answer of exit status, output and
    complaints.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        fail: Callable[[str, str], Exception],
        reply: Callable[[int, bytes, str], R],
    ) -> None:
        self._loop, self._fail, self._reply = loop, fail, reply
        self._input: asyncio.Queue[bytes] = asyncio.Queue()
        self._news = threading.Condition()
        self._out = bytearray()
        self._err = ""
        self._status: int | None = None
        self._ended = self._was_cut = self._lost = False
        self._task: asyncio.Task[None] | None = None

    # The machine's side, on its loop

    def begin(
        self,
        machine: Machine,
        work: Callable[[SimChannel[R]], Coroutine[Any, Any, tuple[int, str]]],
    ) -> None:
        """Run `work`, which returns exit status and complaints, until it ends or the line does."""

        async def live() -> None:
            status, err = 255, ""
            try:
                status, err = await work(self)
            except asyncio.CancelledError:
                self._lost = True
                raise
            finally:
                with self._news:
                    self._err += err
                    self._status = status
                    self._news.notify_all()

        self._task = self._loop.create_task(live())
        machine.detached.add(self._task)
        self._task.add_done_callback(machine.detached.discard)

    async def read(self) -> bytes:
        """The next piece of what the caller sends, empty at its end."""
        return await self._input.get()

    def write(self, data: bytes) -> None:
        """The command writes."""
        with self._news:
            self._out += data
            self._news.notify_all()

    # The caller's side

    def send(self, data: bytes) -> None:
        """See the keyring's Channel."""
        if self._status is not None or self._ended:
            raise self._early()
        if data:
            self._loop.call_soon_threadsafe(self._input.put_nowait, bytes(data))

    def end(self) -> None:
        """See the keyring's Channel."""
        if not self._ended:
            self._ended = True
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._input.put_nowait, b"")

    def line(self, timeout: float) -> bytes:
        """See the keyring's Channel."""
        with self._news:
            self._news.wait_for(lambda: b"\n" in self._out or self._status is not None, timeout)
            at = self._out.find(b"\n")
            if at >= 0:
                row = bytes(self._out[:at])
                del self._out[: at + 1]
                return row
        if self._status is not None:
            raise self._early()
        raise self._fail("silent", f"The server has not answered within {timeout:.0f} seconds.")

    def finish(self, timeout: float) -> R:
        """See the keyring's Channel."""
        self.end()
        with self._news:
            done = self._news.wait_for(lambda: self._status is not None, timeout)
        if not done:
            self.cut()
            raise self._fail(
                "silent", f"The command on the server has not ended within {timeout:.0f} seconds."
            )
        if self._was_cut:
            raise self._fail("closed", "The line was cut here.")
        if self._lost:
            raise self._fail("", "Connection to the server closed by remote host.\r\n")
        status = self._status
        assert status is not None  # noqa: S101 - it was waited for
        with self._news:
            return self._reply(status, bytes(self._out), self._err)

    def cut(self) -> None:
        """See the keyring's Channel."""
        if self._status is None:
            self._was_cut = True
            task = self._task
            if task is not None:
                with contextlib.suppress(RuntimeError):
                    self._loop.call_soon_threadsafe(task.cancel)
                with self._news:
                    self._news.wait_for(lambda: self._status is not None, START)
        self._ended = True

    def _early(self) -> Exception:
        if self._was_cut:
            return self._fail("closed", "The line was cut here.")
        if self._lost:
            return self._fail("", "Connection to the server closed by remote host.\r\n")
        last = self._err.strip().splitlines()[-1:] or ["nothing"]
        return self._fail(
            "ended",
            f"The command on the server ended with status {self._status} and said: {last[0]}",
        )


class SimDial(Generic[R]):
    """The way to the simulated server with the keys of one directory."""

    def __init__(
        self,
        machine: Machine,
        loop: asyncio.AbstractEventLoop,
        directory: Path,
        complain: Complain,
        reply: Callable[[int, bytes, str], R],
    ) -> None:
        self._m, self._loop, self._directory = machine, loop, directory
        self._complain, self._reply = complain, reply
        self._open: list[SimChannel[R]] = []

    def open(self, who: str, command: str, port: int) -> SimChannel[R]:
        """See the keyring's Dial."""
        admitted = self._admit(who, port)
        channel = SimChannel(
            self._loop,
            lambda kind, words: self._complain(kind, words, who, port),
            self._reply,
        )
        self._open.append(channel)
        started = threading.Event()

        def start() -> None:
            channel.begin(self._m, lambda pipe: serve(self._m, admitted, command, pipe))
            started.set()

        self._loop.call_soon_threadsafe(start)
        started.wait(START)
        return channel

    def run(
        self, who: str, command: str, port: int, *, stdin: bytes = b"", timeout: float = 60.0
    ) -> R:
        """See the keyring's Dial."""
        channel = self.open(who, command, port)
        try:
            with contextlib.suppress(Exception):
                # A command that has ended already takes nothing more, and its status tells why.
                channel.send(stdin)
            return channel.finish(timeout)
        finally:
            self._open.remove(channel)

    def tries(self, who: str, port: int) -> tuple[str, ...]:
        """See the keyring's Dial: what the certificate and the sshd's file would allow."""
        admitted = self._admit(who, port)
        ours = admitted.forced.startswith(f"{PATH} ") and not self._inside(
            lambda: installed(self._m)
        )
        return loot(admitted, who, ours)

    def close(self) -> None:
        """See the keyring's Dial."""
        for channel in list(self._open):
            channel.cut()
        self._open.clear()

    def _admit(self, who: str, port: int) -> Admitted:
        try:
            record = json.loads((self._directory / "keyring.json").read_bytes())
            host, user = str(record.get("host", "")), str(record.get("user", "root"))
        except (OSError, ValueError, AttributeError):
            host, user = "", "root"
        client = Client(self._directory, host, port, user)
        try:
            return self._inside(lambda: admit(self._m, client, who))
        except Refused as refused:
            raise self._complain("", str(refused), who, port) from None

    def _inside(self, action: Callable[[], T]) -> T:
        """Run `action` on the machines' loop."""

        async def run() -> T:
            return action()

        return asyncio.run_coroutine_threadsafe(run(), self._loop).result(START)


async def serve(
    m: Machine, admitted: Admitted, command: str, pipe: SimChannel[R]
) -> tuple[int, str]:
    """What runs in a session: the forced command, else what was asked for."""
    if admitted.forced:
        words = shlex.split(admitted.forced)
        if words[:1] != [PATH] or len(words) != 3:
            return await _shell(m, admitted.forced, pipe)
        problem = installed(m)
        if problem:
            status = 126 if "run" in problem else 127
            return status, f"sh: {PATH}: not found\n" if status == 127 else f"{problem}\n"
        process = m.new_process(shlex.join(["/bin/sh", *words]))
        try:
            return await answer(m, words[1], words[2], command, pipe)
        finally:
            m.processes.pop(process.pid, None)
    return await _shell(m, command, pipe)


async def _shell(m: Machine, command: str, pipe: SimChannel[R]) -> tuple[int, str]:
    """root's login shell with a command, fed with what comes over the line."""
    session = new_session(m, f"sh -c {command}", cwd=m.home)
    complaints = bytearray()
    over = asyncio.Event()

    async def out(data: bytes) -> None:
        pipe.write(data)

    async def err(data: bytes) -> None:
        complaints.extend(data)

    async def feed(io: Any) -> int:
        # A command that has ended takes nothing more, whether the line goes on or not.
        gone = asyncio.ensure_future(over.wait())
        try:
            while True:
                more = asyncio.ensure_future(pipe.read())
                await asyncio.wait({more, gone}, return_when=asyncio.FIRST_COMPLETED)
                if not more.done():
                    more.cancel()
                    return 0
                if not (piece := more.result()):
                    return 0
                await io.stdout.write(piece)
        except BrokenPipeError:
            return 0
        finally:
            gone.cancel()

    async def ended(io: Any) -> int:
        over.set()
        return int(str(io.argv[0]))

    session.bash.add_command("__line", feed)
    session.bash.add_command("__over", ended)
    try:
        await session.run(helpers(m), err)
        script = f"__line | (\n(\n{command}\n)\n__over $?\n)"
        status, complaint = await session.run(script, out, err)
        if complaint and "pipe reader closed" not in complaint:
            complaints.extend(f"sh: {complaint}\n".encode())
        return status, complaints.decode("utf-8", "replace")
    finally:
        session.ended = True
        session.interrupt()
        m.processes.pop(session.process.pid, None)
