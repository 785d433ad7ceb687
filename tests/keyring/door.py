"""A real sshd on a high port of this machine, with a CA, certificates and stand-in commands.

The keys are made by ssh-keygen, so that these tests trust nothing of what they test.
"""

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
from dataclasses import dataclass, field
from pathlib import Path

from zrwizard.keyring import sshconfig
from zrwizard.keyring.store import Issued, Keyring, Record

PASSPHRASE = "correct-horse-7f3a-battery"
SSHD = shutil.which("sshd") or "/usr/sbin/sshd"
USER = getpass.getuser()
HOST = "127.0.0.1"

LOCKED = """\
AllowTcpForwarding no
AllowStreamLocalForwarding no
AllowAgentForwarding no
X11Forwarding no
PermitTunnel no
PermitUserRC no
"""
OPEN = """\
AllowTcpForwarding yes
AllowAgentForwarding yes
X11Forwarding yes
X11UseLocalhost yes
PermitTTY yes
"""


def keygen(*words: str) -> str:
    """Run ssh-keygen; what it printed."""
    done = subprocess.run(
        ["ssh-keygen", "-q", *words],
        check=True,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
    )
    return done.stdout


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody listens on, below those of outgoing connections.

    One of those could be taken while sshd restarts, even by whoever waits for it (a connection
    to oneself).
    """
    while True:
        port = random.randrange(20000, 30000)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind((HOST, port))
            return port


@dataclass
class Keys:
    """A keyring whose keys and certificates ssh-keygen makes; its other files are the product's."""

    keyring: Keyring
    commands: dict[str, str] = field(default_factory=dict)
    serial: int = 0

    @property
    def name(self) -> str:
        return self.keyring.name

    def path(self, file: str) -> Path:
        return self.keyring.path(file)

    def make(self) -> None:
        """All keys, certificates, known_hosts and ssh_config."""
        for key in ("ca", "login", "deliver", "receive", "host"):
            phrase = PASSPHRASE if key in ("ca", "login") else ""
            keygen("-t", "ed25519", "-N", phrase, "-C", key, "-f", str(self.path(key)))
        # The CA is opened once: ssh-keygen would ask for its passphrase at every signature.
        shutil.copy(self.path("ca"), self.path("ca-open"))
        keygen("-p", "-P", PASSPHRASE, "-N", "", "-f", str(self.path("ca-open")))
        for key in ("host", "login", "deliver", "receive"):
            self.certify(key)
        self.keyring.write("geli.key", os.urandom(64).hex().encode() + b"\n")
        for public in self.keyring.directory.glob("*.pub"):
            public.chmod(0o600)
        sshconfig.write(self.keyring)

    def certify(
        self,
        key: str,
        *,
        valid: str = "-5m:+1d",
        ca: str = "ca-open",
        principal: str = "",
        clear: bool = True,
    ) -> int:
        """(Re-)issue the certificate of `key`; its serial number."""
        self.serial += 1
        words = ["-s", str(self.path(ca)), "-I", f"{self.name}-{key}", "-z", str(self.serial)]
        words += ["-V", valid, "-n", principal or (self.name if key == "host" else USER)]
        if key == "host":
            words.append("-h")
        if clear and key != "host":
            words += ["-O", "clear"]
        if key == "login":
            words += ["-O", "permit-pty"]
        elif key != "host":
            words += ["-O", f"force-command={self.commands[key]}"]
        keygen(*words, str(self.path(f"{key}.pub")))
        self.path(f"{key}-cert.pub").chmod(0o600)
        return self.serial

    def revoke(self, serial: int) -> None:
        """Have the ledger say that `serial` was revoked."""
        self.keyring.enter(Issued(serial, "receive", "x", (USER,), 0, 1, 1, "x", revoked=1))


@dataclass
class Door:
    """The sshd: `start` and `stop` it, change its configuration between."""

    directory: Path
    keys: Keys
    port: int
    rules: str = LOCKED
    environment: dict[str, str] = field(default_factory=dict)
    certified: bool = True
    path: str = "/usr/sbin:/usr/bin:/sbin:/bin"
    process: subprocess.Popen[bytes] | None = None

    def write(self, rules: str | None = None) -> Path:
        """sshd_config; the host key and its certificate are those of the keyring."""
        self.rules = self.rules if rules is None else rules
        k = self.keys
        certificate = f"HostCertificate {k.path('host-cert.pub')}" if self.certified else ""
        text = (
            f"ListenAddress {HOST}:{self.port}\nHostKey {k.path('host')}\n"
            f"{certificate}\n"
            f"TrustedUserCAKeys {k.path('ca.pub')}\nAuthorizedKeysFile none\n"
            f"RevokedKeys {self.directory / 'revoked'}\n"
            "PasswordAuthentication no\nKbdInteractiveAuthentication no\nUsePAM no\n"
            f"PermitRootLogin prohibit-password\nAllowUsers {USER}\nUseDNS no\n"
            f"StrictModes no\nPidFile {self.directory / 'pid'}\nLogLevel VERBOSE\n"
            f"Subsystem sftp internal-sftp\nMaxStartups 50\n{self.rules}"
            # No first shell, so that bash leaves the .bashrc of whoever runs the tests alone.
            f"SetEnv SHLVL=5 PATH={self.path}\n"
        )
        (self.directory / "revoked").touch()
        path = self.directory / "sshd_config"
        path.write_text(text)
        return path

    def start(self) -> None:
        """Start it and wait until it listens."""
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
        log = (self.directory / "log").open("ab")
        environment = {"PATH": os.environ["PATH"], **self.environment}
        self.process = subprocess.Popen(
            [SSHD, "-D", "-e", "-f", str(self.write())],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=environment,
        )
        until = time.monotonic() + 20
        while time.monotonic() < until:
            with contextlib.suppress(OSError), socket.create_connection((HOST, self.port), 1) as it:
                it.settimeout(5)
                if it.recv(4) == b"SSH-":
                    return
            assert self.process.poll() is None, self.log()
            time.sleep(0.05)
        raise AssertionError(f"sshd does not listen: {self.log()}")

    def stop(self) -> None:
        """End it; sessions that run stay."""
        if self.process:
            self.process.terminate()
            self.process.wait(10)
            self.process = None

    def again(self, rules: str | None = None) -> None:
        """Restart it with other rules."""
        self.stop()
        self.write(rules)
        self.start()

    def log(self) -> str:
        """What sshd has logged."""
        return (self.directory / "log").read_text(errors="replace")


@contextlib.contextmanager
def door(
    directory: Path, commands: dict[str, str], rules: str = LOCKED, shape: str = "vault"
) -> Iterator[Door]:
    """A running sshd with a fresh keyring; both are gone afterwards."""
    port = free_port()
    record = Record(
        "knox", shape, 1, serial="WX31", size=1 << 40, host=HOST, port=port, user=USER, pool="wd"
    )
    keys = Keys(Keyring.create(directory / "keys", record), dict(commands))
    keys.make()
    (directory / "sshd").mkdir(parents=True)
    it = Door(directory / "sshd", keys, port, rules)
    it.start()
    try:
        yield it
    finally:
        it.stop()


def command_lines() -> Iterator[bytes]:
    """The arguments and environments of all processes that this user may read."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            for part in ("cmdline", "environ"):
                with contextlib.suppress(OSError):
                    yield (entry / part).read_bytes()
