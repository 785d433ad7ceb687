"""Somebody has a copy of a single-purpose key and its certificate, and OpenSSH's own client.

Nothing of the product is used here: the key is tried as a thief would.
"""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from .knox import Vault
from .machines import free_port

CANARY = "/tmp/pwned"
INJECTIONS = (
    "sh",
    "/bin/sh -i",
    f"touch {CANARY}",
    f"inventory; touch {CANARY}",
    f"inventory && touch {CANARY}",
    f"inventory | touch {CANARY}",
    f"inventory\ntouch {CANARY}",
    f"inventory $(touch {CANARY})",
    f"inventory `touch {CANARY}`",
    f"token $(touch {CANARY})",
    f"token ${{IFS}}touch{{IFS}}{CANARY}",
    f"token x;touch {CANARY}",
    f'token "$(touch {CANARY})"',
    f"receive x > {CANARY}",
    f"receive x -o mountpoint={CANARY}",
    "receive -F x",
    "receive ../x",
    "receive x/../../y",
    "receive /x",
    "receive *",
    "abandon -r x",
    "destroy x",
    "hold hold",
    "key",
    "HOLD",
    "-v",
    "%s%s%n",
    "\\",
    "receive x\\\ny",
    "é" * 40,
    "a" * 60_000,
)
AS_DELIVERER = (
    "hold",
    "inventory",
    "receive x",
    "token x",
    "sh",
    f"key; touch {CANARY}",
    "key key",
)


class Thief:
    """Holds the key of `role` and speaks to the server over one connection of his own."""

    def __init__(self, vault: Vault, role: str, directory: Path) -> None:
        self._vault = vault
        keys = directory / role
        keys.mkdir()
        for file in (role, f"{role}-cert.pub"):
            shutil.copy(vault.keyring.path(file), keys / file)
        self._identity = keys / role
        self._socket = keys / "m"

    def ssh(self, *words: str, ride: bool = True) -> list[str]:
        """The command line of ssh; over the shared connection if `ride`."""
        shared = ("-o", f"ControlPath={self._socket}") if ride else ("-o", "ControlPath=none")
        return [
            *("ssh", "-F", "none", "-i", str(self._identity), "-p", str(self._vault.port)),
            *("-o", f"CertificateFile={self._identity}-cert.pub", "-o", "IdentitiesOnly=yes"),
            *("-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null"),
            *("-o", "BatchMode=yes", "-o", "LogLevel=ERROR", *shared, *words),
        ]

    @contextlib.contextmanager
    def connected(self) -> Iterator[None]:
        """The shared connection, for the length of a with block."""
        command = self.ssh("-M", "-N", "root@127.0.0.1")
        master = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        try:
            until = time.monotonic() + 30
            while not self._socket.exists() and master.poll() is None:
                assert time.monotonic() < until
                time.sleep(0.1)
            assert master.poll() is None, "the stolen key does not open the door at all"
            yield
        finally:
            master.terminate()
            master.wait(10)

    def run(
        self, *words: str, stdin: bytes = b"", seconds: float = 40, ride: bool = True
    ) -> tuple[int, bytes]:
        """Exit status and all output of an ssh command; 124 when it has to be ended."""
        try:
            done = subprocess.run(
                self.ssh(*words, ride=ride),
                input=stdin,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                timeout=seconds,
                check=False,
            )
        except subprocess.TimeoutExpired as late:
            return 124, late.stdout or b""
        return done.returncode, done.stdout

    def asks(self, request: str, stdin: bytes = b"") -> tuple[int, bytes]:
        """Exit status and output of a request."""
        return self.run("-T", "root@127.0.0.1", request, stdin=stdin)

    # --- ways out of the one purpose, each really used -------------------------------------------

    def through_local_forward(self) -> bytes:
        """What comes out of `-L` to the server's own first sshd, which greets everybody."""
        here = free_port()
        with self._forwarding("-L", f"127.0.0.1:{here}:127.0.0.1:22"):
            return heard(here, b"")

    def through_socks(self) -> bytes:
        """What comes out of `-D` by SOCKS5: the greeting of the server's first sshd, or less."""
        here = free_port()
        with self._forwarding("-D", f"127.0.0.1:{here}"):
            return heard(here, b"\5\1\0", b"\5\1\0\1\x7f\0\0\1\0\x16")

    def through_stdio_forward(self) -> bytes:
        """What comes out of `-W`."""
        return self.run("-W", "127.0.0.1:22", "root@127.0.0.1", seconds=20)[1]

    def remote_forward(self) -> int:
        """The exit status of an ssh that insists on `-R`; 124 where it got and kept its port."""
        return self.run(
            *("-N", "-o", "ExitOnForwardFailure=yes", "-R", "127.0.0.1:4999:127.0.0.1:9"),
            "root@127.0.0.1",
            seconds=20,
            ride=False,
        )[0]

    @contextlib.contextmanager
    def _forwarding(self, *words: str) -> Iterator[None]:
        process = subprocess.Popen(
            self.ssh("-N", *words, "root@127.0.0.1", ride=False), stderr=subprocess.DEVNULL
        )
        try:
            port = int(words[-1].split(":")[1])
            until = time.monotonic() + 30
            while time.monotonic() < until and process.poll() is None:
                with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                    break
                time.sleep(0.1)
            yield
        finally:
            process.terminate()
            process.wait(10)

    def copies(self, tool: str, directory: Path) -> bool:
        """Whether scp (-O: the old way) or sftp brought a file of the server's."""
        got = directory / f"got-{tool}"
        options = self.ssh()[1:]
        options[options.index("-p")] = "-P"
        command = {
            "scp": ["scp", *options, "root@127.0.0.1:/etc/passwd", str(got)],
            "scp -O": ["scp", "-O", *options, "root@127.0.0.1:/etc/passwd", str(got)],
            "sftp": ["sftp", *options, "root@127.0.0.1:/etc/passwd", str(got)],
        }[tool]
        subprocess.run(command, capture_output=True, timeout=60, check=False)
        return got.exists()


def heard(port: int, *said: bytes) -> bytes:
    """What a connection to a port here brings within some seconds, after saying `said`."""
    answer = b""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 10) as line:
        line.settimeout(5)
        for words in said:
            line.sendall(words)
            if words:
                answer = line.recv(64)
        answer += line.recv(64)
    return answer
