"""The login key's connection: its passphrase is answered once, and commands ride it (ssh -M)."""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pexpect

from zrwizard.freebsd import ssh_dialogue
from zrwizard.keyring.channel import DialError
from zrwizard.run.operator import MissingSecret
from zrwizard.secrets import Secret

PASSPHRASE = "ca-passphrase"  # noqa: S105 - a name, no secret
_LOOK = 0.1
_SAID = 4096
_CONTROL = re.compile(rb"([\x00-\x1f\x7f])")


class Master:
    """An ssh -M in the foreground of a terminal of its own, which ends with this process."""

    def __init__(self, spawn: Any, socket: Path) -> None:
        self._spawn = spawn
        self.socket = socket

    @classmethod
    def open(
        cls,
        argv: Sequence[str],
        environment: Mapping[str, str],
        socket: Path,
        *,
        secret: Secret | None,
        explain: Callable[[str], DialError],
        timeout: float,
    ) -> Master:
        """Start `argv`, answer its passphrase prompt, and return when `socket` is there.

        MissingSecret where there is no `secret` or it does not open the key; DialError as
        `explain` makes it of what ssh said; OSError where ssh cannot be started.
        """
        try:
            spawn = pexpect.spawn(
                argv[0], list(argv[1:]), env=dict(environment), timeout=timeout, echo=False
            )
        except pexpect.ExceptionPexpect:
            raise FileNotFoundError(2, "there is no such program") from None
        master = cls(spawn, socket)
        try:
            master._log_in(secret, explain, time.monotonic() + timeout)
        except BaseException:
            master.close()
            raise
        return master

    def _log_in(
        self, secret: Secret | None, explain: Callable[[str], DialError], until: float
    ) -> None:
        said, answered = "", False
        while not self.socket.exists():
            if time.monotonic() > until:
                raise explain(f"{said}\nConnection timed out")
            try:
                said += self._spawn.read_nonblocking(_SAID, _LOOK).decode("utf-8", "replace")
            except pexpect.TIMEOUT:
                continue
            except pexpect.EOF:
                raise explain(said) from None
            said = said[-_SAID:]
            if ssh_dialogue.prompt_at_end(said) is ssh_dialogue.Prompt.PASSPHRASE:
                if secret is None or answered:
                    raise MissingSecret(PASSPHRASE, wrong=answered)
                self._answer(secret)
                said, answered = "", True

    def _answer(self, secret: Secret) -> None:
        # ssh has turned the echo off before it prompts; what is typed is shown to nobody.
        self._spawn.waitnoecho(5)
        # A control character would be an order to the terminal, were it not quoted by ^V.
        self._spawn.send(_CONTROL.sub(b"\x16\\1", secret.reveal()) + b"\n")

    def alive(self) -> bool:
        """Whether the connection is still there."""
        return bool(self._spawn.isalive()) and self.socket.exists()

    def close(self) -> None:
        """End the connection; never raises."""
        with contextlib.suppress(pexpect.ExceptionPexpect, OSError):
            self._spawn.close(force=True)
        with contextlib.suppress(OSError):
            self.socket.unlink(missing_ok=True)
