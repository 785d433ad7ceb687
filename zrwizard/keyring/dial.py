"""ssh from the operator's own machine to the server, with each of its three keys."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol, get_args

from zrwizard.keyring import ca, refusals
from zrwizard.keyring.channel import Channel, DialError, Reply, Who
from zrwizard.keyring.files import KeyringError
from zrwizard.keyring.master import PASSPHRASE, Master
from zrwizard.keyring.sshchannel import SshChannel
from zrwizard.keyring.sshconfig import alias
from zrwizard.keyring.store import SSH_CONFIG, Keyring
from zrwizard.keyring.thief import Thief
from zrwizard.run.events import Exit
from zrwizard.secrets import Secrets

__all__ = ["Channel", "Dial", "DialError", "Reply", "SshDial", "Who"]

SOCKET_LIMIT = 100
"""Bytes that the path of a master's socket may have; FreeBSD's sun_path has 104 (facts E)."""
# While ssh makes the socket its name is longer by this.
_SUFFIX = 17
_SOCKET = "cm-65535"
_KEPT = ("PATH", "HOME", "USER", "LOGNAME", "TMPDIR")


class Dial(Protocol):
    """The way to the server. Every method may raise an `OperatorError`, `close` never."""

    def open(self, who: Who, command: str, port: int) -> Channel:
        """Start `command` on the server's TCP port `port`, let in by the key of `who`.

        For `deliver` and `receive` the certificate decides what runs; `command` is the request.
        """
        ...

    def run(
        self, who: Who, command: str, port: int, *, stdin: bytes = b"", timeout: float = 60.0
    ) -> Reply:
        """`open`, send `stdin`, `finish` within `timeout` seconds."""
        ...

    def tries(self, who: Who, port: int) -> tuple[str, ...]:
        """Return what a thief of the key of `who` could do besides its purpose, in sentences.

        Everything is really tried; an empty tuple means that all was refused.
        """
        ...

    def close(self) -> None:
        """End every session and remove what was made for them."""
        ...


class SshDial:
    """`Dial` by the operator's own ssh(1) and the keyring's ssh_config.

    The single-purpose keys get a connection for each command, so that a cut really breaks it. The
    login key's passphrase is answered once for each port; what follows rides that connection.
    """

    def __init__(
        self,
        keyring: Keyring,
        secrets: Secrets,
        *,
        environ: Mapping[str, str] = os.environ,
        connect_timeout: int = 15,
    ) -> None:
        self._keyring = keyring
        self._secrets = secrets
        self._environment = environment(environ)
        self._connect_timeout = connect_timeout
        self._masters: dict[int, Master] = {}
        self._channels: list[SshChannel] = []
        self._directory: Path | None = None

    # --- Dial -----------------------------------------------------------------------------------

    def open(self, who: Who, command: str, port: int) -> Channel:
        """See `Dial`. MissingSecret where the login key's passphrase is missing or wrong."""
        words = [command] if command else []
        return self.start(who, port, (), words)

    def run(
        self, who: Who, command: str, port: int, *, stdin: bytes = b"", timeout: float = 60.0
    ) -> Reply:
        """See `Dial`; what is not sent and done within `timeout` seconds is cut."""
        channel = self.open(who, command, port)
        until = time.monotonic() + timeout
        try:
            try:
                channel.send(stdin)
            except DialError as error:
                # A command may end without reading its input; how it ended says more than that.
                if error.kind == "silent":
                    raise
            return channel.finish(until - time.monotonic())
        finally:
            channel.cut()

    def tries(self, who: Who, port: int) -> tuple[str, ...]:
        """See `Dial`. ValueError for the login key, which is no single-purpose one."""
        if who == "login":
            raise ValueError("the login key may do what root may do")
        return Thief(self, who, port, self._private()).loot()

    def close(self) -> None:
        """See `Dial`."""
        for channel in self._channels:
            channel.cut()
        self._channels.clear()
        for master in self._masters.values():
            master.close()
        self._masters.clear()
        if self._directory is not None:
            shutil.rmtree(self._directory, ignore_errors=True)
            self._directory = None

    # --- ssh ------------------------------------------------------------------------------------

    def start(
        self,
        who: Who,
        port: int,
        options: tuple[str, ...],
        words: list[str],
        extra: Mapping[str, str] | None = None,
    ) -> SshChannel:
        """Start ssh with further `options` and `words` for the server, and return its channel.

        `extra` is added to its environment. Raises what `open` raises.
        """
        check_who(who)
        over = self._over(port) if who == "login" else ("-o", "ControlPath=none")
        argv = [
            *("ssh", "-T"),
            # Of a value that is given twice ssh keeps the first; -tt after -T counts.
            *options,
            *self._ssh(port),
            *over,
            *("-o", "BatchMode=yes", "-o", "ControlMaster=no"),
            alias(self._keyring.name, who),
            *words,
        ]
        try:
            channel = SshChannel(
                argv,
                {**self._environment, **(extra or {})},
                lambda said: self.explain(who, port, said),
            )
        except OSError as error:
            raise _no_ssh(error) from None
        self._channels = [one for one in self._channels if not one.ended]
        self._channels.append(channel)
        return channel

    def explain(self, who: Who, port: int, said: str) -> DialError:
        """Return why ssh failed, from its own words `said`."""
        certificate, revoked = None, False
        with contextlib.suppress(KeyringError, ca.KeyFormatError):
            certificate = ca.read_certificate(self._keyring.text(f"{who}-cert.pub"))
            serials = {one.serial for one in self._keyring.record.revoked()}
            revoked = certificate.serial in serials
        return refusals.explain(
            said, who, port, certificate=certificate, revoked=revoked, now=time.time()
        )

    def _ssh(self, port: int) -> list[str]:
        options = {
            "ConnectTimeout": str(self._connect_timeout),
            "ServerAliveInterval": "15",
            "ServerAliveCountMax": "3",
            "IdentityAgent": "none",
            "LogLevel": "INFO",
            "ControlPersist": "no",
        }
        words = [word for key, value in options.items() for word in ("-o", f"{key}={value}")]
        return ["-F", str(self._keyring.path(SSH_CONFIG)), "-p", str(port), *words]

    def _over(self, port: int) -> tuple[str, ...]:
        """The options by which a command rides the master of `port`, which is opened if need be."""
        master = self._masters.get(port)
        if master is not None and not master.alive():
            master.close()
            del self._masters[port]
            master = None
        if master is None:
            master = self._login(port)
            self._masters[port] = master
        # Should the master die just now, ssh must not make a connection of its own.
        return "-o", f"ControlPath={master.socket}", "-o", "ProxyCommand=false"

    def _login(self, port: int) -> Master:
        socket = self._private() / f"cm-{port}"
        argv = [
            "ssh",
            *self._ssh(port),
            *("-o", "ControlMaster=yes", "-o", f"ControlPath={socket}"),
            # Only the passphrase may be asked for, and a wrong one is noticed at the next prompt.
            *("-o", "StrictHostKeyChecking=yes", "-o", "PreferredAuthentications=publickey"),
            *("-o", "NumberOfPasswordPrompts=3", "-N"),
            alias(self._keyring.name, "login"),
        ]
        try:
            return Master.open(
                argv,
                self._environment,
                socket,
                secret=self._secrets.get(PASSPHRASE),
                explain=lambda said: self.explain("login", port, said),
                timeout=self._connect_timeout + 30.0,
            )
        except OSError as error:
            raise _no_ssh(error) from None

    def _private(self) -> Path:
        """The private directory of this dial, made when it is needed first; DialError."""
        if self._directory is None:
            for base in (self._environment.get("TMPDIR", ""), "/tmp"):  # noqa: S108 - made private
                longest = os.fsencode(f"{base}/zr-xxxxxxxx/{_SOCKET}")
                if base.startswith("/") and len(longest) + _SUFFIX <= SOCKET_LIMIT:
                    with contextlib.suppress(OSError):
                        self._directory = Path(tempfile.mkdtemp(prefix="zr-", dir=base))
                        return self._directory
            raise DialError(
                "other",
                "There is no place for a private directory with a short path on this machine.",
                "Make room in /tmp, or set TMPDIR to a short path that can be written.",
                Exit.FAILED,
            )
        return self._directory


def environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of ssh: no agent answers in a key's place, nothing asks on a screen.

    The language is C, as what ssh says is read.
    """
    kept = {name: environ[name] for name in _KEPT if name in environ}
    return {"PATH": "/usr/bin:/bin:/usr/local/bin", **kept, "LC_ALL": "C"}


def check_who(who: str) -> None:
    """Raise ValueError unless `who` is one of the three keys."""
    if who not in get_args(Who):
        raise ValueError(f"no key is called {who!r}")


def _no_ssh(error: OSError) -> DialError:
    return DialError(
        "other",
        f"ssh could not be started on this machine: {error.strerror}.",
        "Install OpenSSH's client.",
        Exit.FAILED,
    )
