"""The sshds of a machine: their host keys, where they listen, and with which configuration."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from zrwizard.rehearsal.daemonfiles import place, remove, write
from zrwizard.rehearsal.daemonfiles import read as contents
from zrwizard.rehearsal.errors import Fail
from zrwizard.rehearsal.sshdconfig import Config, read, release
from zrwizard.rehearsal.sshstate import key_blob, private_key

if TYPE_CHECKING:
    from zrwizard.rehearsal.machine import Machine

MAIN = "/etc/ssh/sshd_config"
PROGRAM = "/usr/sbin/sshd"


@dataclass(frozen=True, slots=True)
class HostKeys:
    """Host keys as files: names in /etc/ssh and contents."""

    files: dict[str, bytes]


def new_key(machine: Machine, comment: str) -> tuple[bytes, bytes]:
    """A real ed25519 key pair in OpenSSH's form: the private file and the public line."""
    from cryptography.hazmat.primitives import serialization as s  # noqa: PLC0415 - loads slowly
    from cryptography.hazmat.primitives.asymmetric.ed25519 import (  # noqa: PLC0415
        Ed25519PrivateKey,
    )

    key = Ed25519PrivateKey.from_private_bytes(machine.rng.randbytes(32))
    private = key.private_bytes(s.Encoding.PEM, s.PrivateFormat.OpenSSH, s.NoEncryption())
    public = key.public_key().public_bytes(s.Encoding.OpenSSH, s.PublicFormat.OpenSSH)
    return private, public + b" " + comment.encode() + b"\n"


def host_keys(machine: Machine) -> HostKeys:
    """The host keys that the first start of sshd made."""
    comment = f"root@{machine.hostname}"
    private, public = new_key(machine, comment)
    files = {"ssh_host_ed25519_key": private, "ssh_host_ed25519_key.pub": public}
    for kind, name in (("rsa", "ssh-rsa"), ("ecdsa", "ecdsa-sha2-nistp256")):
        blob = base64.b64encode(key_blob(name, machine.rng)).decode()
        files[f"ssh_host_{kind}_key"] = private_key(machine.rng)[0].encode()
        files[f"ssh_host_{kind}_key.pub"] = f"{name} {blob} {comment}\n".encode()
    return HostKeys(files)


def log(machine: Machine, pid: int, text: str) -> None:
    """A line of /var/log/auth.log."""
    line = f"{machine.clock.stamp()} {machine.hostname} sshd[{pid}]: {text}\n"
    write(machine, "/var/log/auth.log", line.encode(), append=True)


@dataclass(eq=False, slots=True)
class Sshd:
    """One listening sshd. `ports` are those that it got."""

    pid: int
    path: str
    config: Config
    ports: tuple[int, ...]
    pid_file: str
    overrides: tuple[str, ...] = field(default=())

    @classmethod
    def start(
        cls, m: Machine, path: str, overrides: Sequence[str], ports: Sequence[int] = ()
    ) -> Sshd | None:
        """Start one in the background, None where it got no port; `Fail` where it does not even.

        The ports are bound after it has gone to the background, as sshd does it: whoever started
        it is not told.
        """
        config = checked(m, path, overrides)
        wanted = tuple(ports) or config.ports
        process = m.new_process(f"sshd: {PROGRAM} -f {path} [listener] 0 of 10-100 startups")
        free = tuple(p for p in wanted if p not in m.listening)
        for port in wanted:
            if port not in free:
                log(
                    m,
                    process.pid,
                    f"error: Bind to port {port} on 0.0.0.0 failed: Address already in use.",
                )
        if not free:
            log(m, process.pid, "fatal: Cannot bind any address.")
            m.processes.pop(process.pid, None)
            return None
        made = cls(process.pid, path, config, free, config.one("pidfile"), tuple(overrides))
        m.sshds.append(made)
        m.listening |= dict.fromkeys(free, process.pid)
        process.signalled = lambda number: made.signal(m, number)
        write(m, made.pid_file, f"{made.pid}\n".encode())
        for port in free:
            log(m, made.pid, f"Server listening on 0.0.0.0 port {port}.")
        return made

    def signal(self, m: Machine, number: int) -> None:
        """HUP reads the configuration again, TERM and KILL end it; sessions go on."""
        if number == 1:
            try:
                self.config = checked(m, self.path, self.overrides)
            except Fail:
                self.stop(m)
        elif number in (2, 9, 15):
            log(m, self.pid, "Received signal 15; terminating.")
            self.stop(m)

    def stop(self, m: Machine) -> None:
        """It is gone, and its ports are free."""
        if self in m.sshds:
            m.sshds.remove(self)
        m.processes.pop(self.pid, None)
        for port in [p for p, pid in m.listening.items() if pid == self.pid]:
            del m.listening[port]
        remove(m, self.pid_file)

    def certificate(self, m: Machine) -> bytes | None:
        """The host certificate that it shows: one that belongs to a host key of its own."""
        keys = [k for p in self.config.all("hostkey") if (k := contents(m, f"{p}.pub"))]
        for path in self.config.all("hostcertificate"):
            text = contents(m, path)
            if text is not None and any(_certifies(text, key) for key in keys):
                return text
        return None


def _certifies(text: bytes, key: bytes) -> bool:
    """Does a certificate speak of this public key?"""
    try:
        inner = base64.b64decode(text.split()[1])
        wanted = base64.b64decode(key.split()[1])
    except (ValueError, IndexError):
        return False
    # A certificate: its type, a nonce, then the bare key, whose last 32 bytes are the point.
    return wanted[-32:] in inner


def checked(m: Machine, path: str, overrides: Sequence[str] = ()) -> Config:
    """What `sshd -t` looks at: the words, the values, the host keys. `Fail` as sshd says it."""
    if m.sshd_refuses:
        raise Fail(f"{m.sshd_refuses}\r\n", 255)
    data = contents(m, path)
    if data is None:
        raise Fail(f"{path}: No such file or directory\n", 1)
    extra = "".join(f"{o}\n" for o in overrides)
    config = read(extra, "command-line", release(m.openssh))
    text = data.decode("utf-8", "replace")
    below = read(text, path, release(m.openssh))
    for key, values in below.values.items():
        config.values.setdefault(key, values)
    usual = [f"/etc/ssh/ssh_host_{kind}_key" for kind in ("rsa", "ecdsa", "ed25519")]
    if not config.all("hostkey"):
        config.values["hostkey"] = [p for p in usual if contents(m, p) is not None]
        if not config.all("hostkey"):
            raise Fail("No host key files found\r\n", 255)
    usable = [p for p in config.all("hostkey") if contents(m, p) is not None]
    if not usable:
        missing = "".join(
            f'Unable to load host key "{p}": No such file or directory\r\n'
            for p in config.all("hostkey")
        )
        raise Fail(f"{missing}sshd: no hostkeys available -- exiting.\r\n", 1)
    for p in usable:
        found = place(m, p)
        if found is not None and (loose := found.node.mode & 0o077):
            box = "@" * 59
            raise Fail(
                f"{box}\r\n@         WARNING: UNPROTECTED PRIVATE KEY FILE!          @\r\n{box}\r\n"
                f"Permissions 0{loose | 0o600:o} for '{p}' are too open.\r\n"
                "sshd: no hostkeys available -- exiting.\r\n",
                1,
            )
    return config
