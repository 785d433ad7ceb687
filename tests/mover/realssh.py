"""A real sshd on a port of this machine and a client's configuration for it, by key only."""

from __future__ import annotations

import contextlib
import getpass
import os
import random
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

SSHD = shutil.which("sshd") or "/usr/sbin/sshd"
HOST = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Server:
    """Where it listens, and the ssh_config of its client, in which it is called `backup`."""

    port: int
    config: Path
    directory: Path

    @property
    def logins(self) -> int:
        """How many times somebody was let in."""
        return (self.directory / "log").read_text(errors="replace").count("Accepted publickey")

    def ciphers(self) -> list[str]:
        """The ciphers towards the client, one for each connection, as sshd negotiated them."""
        log = (self.directory / "log").read_text(errors="replace").splitlines()
        word = "kex: server->client cipher: "
        return [line.split(word)[1].split()[0] for line in log if word in line]


def _keygen(path: Path) -> None:
    subprocess.run(
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)],
        check=True,
        stdin=subprocess.DEVNULL,
    )


def _free() -> int:
    """A port that nobody has; those below the range from which clients get theirs."""
    while True:
        port = random.randrange(20000, 32000)
        with socket.socket() as it, contextlib.suppress(OSError):
            it.bind((HOST, port))
            return port


def _wait(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    until = time.monotonic() + 30
    while time.monotonic() < until:
        with contextlib.suppress(OSError), socket.create_connection((HOST, port), 1) as it:
            it.settimeout(5)
            if it.recv(4) == b"SSH-":
                return
        assert process.poll() is None, log.read_text()
        time.sleep(0.05)
    raise AssertionError(f"sshd does not listen: {log.read_text()}")


@contextlib.contextmanager
def server(directory: Path, rules: str = "") -> Iterator[Server]:
    """A running sshd with further `rules`; it and its connections are gone afterwards."""
    directory.mkdir()
    for name in ("host", "user"):
        _keygen(directory / name)
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    port = _free()
    (directory / "sshd_config").write_text(
        f"ListenAddress {HOST}:{port}\nHostKey {directory / 'host'}\nUsePAM no\nUseDNS no\n"
        f"AuthorizedKeysFile {directory / 'user.pub'}\nStrictModes no\nPidFile none\n"
        "PasswordAuthentication no\nKbdInteractiveAuthentication no\n"
        "PermitRootLogin prohibit-password\nMaxStartups 50\nLogLevel DEBUG1\nSetEnv SHLVL=5\n"
        f"{rules}"
    )
    kind, blob = (directory / "host.pub").read_text().split()[:2]
    (directory / "known_hosts").write_text(f"[{HOST}]:{port} {kind} {blob}\n")
    config = directory / "ssh_config"
    config.write_text(
        f"Host backup\n HostName {HOST}\n Port {port}\n User {getpass.getuser()}\n"
        f" IdentityFile {directory / 'user'}\n IdentitiesOnly yes\n"
        f" UserKnownHostsFile {directory / 'known_hosts'}\n GlobalKnownHostsFile /dev/null\n"
        f" StrictHostKeyChecking yes\n ControlPath {directory / 'cm'}\n ConnectTimeout 10\n"
    )
    log = directory / "log"
    with log.open("ab") as out:
        process = subprocess.Popen(
            [SSHD, "-D", "-e", "-f", str(directory / "sshd_config")],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
        )
    try:
        _wait(process, port, log)
        yield Server(port, config, directory)
    finally:
        process.terminate()
        process.wait(30)
