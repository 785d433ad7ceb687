"""What a thief of a single-purpose key could do: everything is tried, and what worked is told."""

from __future__ import annotations

import contextlib
import re
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Protocol

from zrwizard.freebsd import sh
from zrwizard.keyring.channel import DialError, Reply, Who
from zrwizard.keyring.sshchannel import SshChannel
from zrwizard.run.events import Exit

_SECONDS = 20.0
_ANSWER = 5.0
_MINE = re.compile(rb"\buid=\d+")
"""id(1) was run: nothing else prints this."""
REQUESTS = {
    "deliver": ("id", "key; id", "key $(id >&2)", "key\nid", "'; id; '"),
    "receive": ("id", "inventory; id", "inventory\nid", "receive x$(id >&2)", "receive `id >&2`"),
}
"""What is asked of a force-command that a careless one would run."""
_SFTP_HELLO = b"\0\0\0\5\1\0\0\0\3"
_SFTP_VERSION = 2
_VERDICT = r"{} request (accepted|failed) on channel"
_PTY = re.compile(_VERDICT.format("PTY allocation"))
_X11 = re.compile(_VERDICT.format("X11 forwarding"))
_REFUSED = re.compile(r"administratively prohibited|remote port forwarding failed|disabled")
_REACHED = re.compile(r"open failed: connect failed")
_ALLOCATED = re.compile(r"Allocated port (\d+) for remote forward|remote port forwarding failed")
# Where sshd makes the sockets of forwarded agents: /tmp, and from OpenSSH 10.1 on ~/.ssh/agent.
_SOCKETS = sh.command(
    "/bin/sh",
    "-c",
    "find /tmp /root/.ssh ~/.ssh -maxdepth 3 -type s 2>/dev/null; true",
)
_AGENT = re.compile(rb"/tmp/ssh-[^/]+/agent\.|/\.ssh/agent/")
_NO_XAUTH = "/nonexistent"
_OF = {"deliver": "the key that delivers", "receive": "the key that receives"}


class Starter(Protocol):
    """What of `SshDial` the thief needs."""

    def start(
        self,
        who: Who,
        port: int,
        options: tuple[str, ...],
        words: list[str],
        extra: Mapping[str, str] | None = None,
    ) -> SshChannel:
        """Start ssh with further options."""
        ...

    def run(
        self, who: Who, command: str, port: int, *, stdin: bytes = b"", timeout: float = 60.0
    ) -> Reply:
        """Run one command."""
        ...


class Thief:
    """Holds the key of `who` and has this machine's ssh; see `Dial.tries`."""

    def __init__(self, dial: Starter, who: Who, port: int, directory: Path) -> None:
        self._dial = dial
        self._who: Who = who
        self._port = port
        self._directory = directory
        self._key = f"With {_OF[who]} one can"

    def loot(self) -> tuple[str, ...]:
        """Return a sentence for each thing that worked.

        DialError where the door does not open at all, or where ssh does not say what became of a
        try: then nothing is proven.
        """
        with _agent(self._directory / "agent") as agent, self._line(agent) as line:
            over = (*line, "-A", "-o", "ProxyCommand=false")
            before = self._sockets()
            found = [*self._commands(over), *self._shell(over), *self._files(over)]
            # sshd never says whether it forwards an agent: the login key looks for its socket,
            # which stays as long as the connection does.
            if self._sockets() - before:
                found.append("forward an agent")
        found += [*self._terminal(), *self._screen(), *self._forward(), *self._backward()]
        return tuple(f"{self._key} {what}." for what in found)

    @contextlib.contextmanager
    def _line(self, agent: Path) -> Iterator[tuple[str, ...]]:
        """A connection for many sessions; yields the options by which another ssh rides it."""
        path = self._directory / "thief"
        options = (
            *("-N", "-A", "-o", "ControlMaster=yes", "-o", f"ControlPath={path}"),
            *("-o", "IdentityAgent=SSH_AUTH_SOCK"),
        )
        with self._channel(options, [], {"SSH_AUTH_SOCK": str(agent)}) as channel:
            try:
                until = time.monotonic() + _SECONDS
                while not path.exists():
                    if channel.ended or time.monotonic() > until:
                        raise self._unproven(channel)
                    time.sleep(0.05)
                yield ("-o", f"ControlPath={path}")
            finally:
                path.unlink(missing_ok=True)

    # --- commands and files ---------------------------------------------------------------------

    def _commands(self, over: tuple[str, ...]) -> Iterator[str]:
        for request in REQUESTS[self._who]:
            if _MINE.search(self._ask(over, [request])):
                yield f"run any command: the request {request!r} ran id"

    def _shell(self, over: tuple[str, ...]) -> Iterator[str]:
        if _MINE.search(self._ask(over, [], b"id\nexit\n")):
            yield "have a shell"

    def _files(self, over: tuple[str, ...]) -> Iterator[str]:
        with self._channel((*over, "-s"), ["sftp"]) as channel:
            with contextlib.suppress(DialError):
                channel.send(_SFTP_HELLO)
            # A server that sees the end of its input does not answer any more.
            answer = channel.output(5, _ANSWER)
        if len(answer) > 4 and answer[4] == _SFTP_VERSION:
            yield "copy files with sftp"
        if self._ask(over, ["scp -f /etc/passwd"], b"\0\0\0").startswith(b"C0"):
            yield "copy files with scp"

    def _ask(self, options: tuple[str, ...], words: list[str], stdin: bytes = b"") -> bytes:
        """What came out of a session; one that is still open after a while is broken off."""
        with self._channel(options, words) as channel:
            try:
                channel.send(stdin)
                reply = channel.finish(_SECONDS)
            except DialError as error:
                if error.kind in ("silent", "ended"):
                    return channel.output()
                raise
            return reply.out + reply.err.encode()

    # --- terminal and screen --------------------------------------------------------------------

    def _terminal(self) -> Iterator[str]:
        if self._granted(("-tt", "-vv"), _PTY):
            yield "have a terminal (pty)"

    def _screen(self) -> Iterator[str]:
        options = ("-Y", "-vv", "-o", f"XAuthLocation={_NO_XAUTH}")
        if self._granted(options, _X11, {"DISPLAY": "127.0.0.1:99"}):
            yield "forward X11"

    def _granted(
        self, options: tuple[str, ...], verdict: re.Pattern[str], extra: Mapping[str, str] = {}
    ) -> bool:
        with self._channel(options, ["id"], extra) as channel:
            found = channel.heard(verdict, _SECONDS)
            if found is None:
                raise self._unproven(channel)
            return found[1] == "accepted"

    def _sockets(self) -> set[bytes]:
        rows = self._dial.run("login", _SOCKETS, self._port).out.splitlines()
        return {row for row in rows if _AGENT.search(row)}

    # --- ports ----------------------------------------------------------------------------------

    def _forward(self) -> Iterator[str]:
        with self._channel(("-W", f"127.0.0.1:{self._port}"), []) as channel:
            try:
                worked = channel.line(_SECONDS).startswith(b"SSH-")
            except DialError:
                worked = bool(channel.heard(_REACHED, 0))
                if not (worked or channel.heard(_REFUSED, 0)):
                    raise
            if worked:
                yield f"forward ports: 127.0.0.1:{self._port} was reached from the server"

    def _backward(self) -> Iterator[str]:
        options = ("-N", "-o", "ExitOnForwardFailure=yes", "-R", "127.0.0.1:0:127.0.0.1:9")
        with self._channel(options, []) as channel:
            found = channel.heard(_ALLOCATED, _SECONDS)
            if found is None:
                raise self._unproven(channel)
            if found[1]:
                yield f"bind ports of the server: 127.0.0.1:{found[1]} led to this machine"

    # --------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _channel(
        self, options: tuple[str, ...], words: list[str], extra: Mapping[str, str] = {}
    ) -> Iterator[SshChannel]:
        channel = self._dial.start(self._who, self._port, options, words, extra)
        try:
            yield channel
        finally:
            channel.cut()

    def _unproven(self, channel: SshChannel) -> DialError:
        """Why a try came to nothing, where that is no refusal."""
        try:
            channel.finish(5)
        except DialError as error:
            if error.kind not in ("silent", "other"):
                return error
        return DialError(
            "other",
            f"This machine's ssh did not say what became of a try with {_OF[self._who]}.",
            "Use OpenSSH 7.8 or newer on this machine, then try again.",
            Exit.FAILED,
        )


@contextlib.contextmanager
def _agent(path: Path) -> Iterator[Path]:
    """An ssh agent at `path` that has no keys."""
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen(4)
        # The loop ends when the socket is shut down.
        thread = threading.Thread(target=_serve, args=(server,), daemon=True)
        thread.start()
        try:
            yield path
        finally:
            with contextlib.suppress(OSError):
                server.shutdown(socket.SHUT_RDWR)
            thread.join(5)
            path.unlink(missing_ok=True)


def _serve(server: socket.socket) -> None:
    """Answer the question for keys with none, and every other one with a refusal."""
    with contextlib.suppress(OSError):
        while True:
            client, _ = server.accept()
            with client, contextlib.suppress(OSError):
                client.settimeout(5)
                while len(head := client.recv(5, socket.MSG_WAITALL)) == 5:
                    client.recv(int.from_bytes(head[:4]) - 1, socket.MSG_WAITALL)
                    none, refused = b"\0\0\0\5\x0c\0\0\0\0", b"\0\0\0\1\5"
                    client.sendall(none if head[4] == 11 else refused)
