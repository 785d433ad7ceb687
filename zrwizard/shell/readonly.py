"""A shell that can only look: argument lists that were parsed and are on a list, nothing else."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Protocol

from zrwizard.console.errors import Refused
from zrwizard.shell.api import Result


class NotReadOnly(Refused):
    """A command is not one of those that only look; nothing was typed."""


class Streams(Protocol):
    """What a shell must be able to do under a `ReadOnly`: `ShellSession` can."""

    def run(self, text: str, *, timeout: float = 30.0) -> Result:
        """See `Shell.run`."""
        ...

    def stream(
        self,
        text: str,
        sink: Callable[[bytes], None],
        *,
        timeout: float = 3600.0,
        stop: threading.Event | None = None,
    ) -> Result:
        """See `ShellSession.stream`."""
        ...


class ReadOnly:
    """Runs argument lists that are on the list of commands that only look.

    Every other one raises `NotReadOnly`, with a sentence, before a byte is typed. It has no way to
    upload, to start a job, to answer prompts, or to hand the console over. With
    `allow_temporary_snapshot` (the operator's word) `zfs diff` may compare with the live file
    system, for which zfs makes a snapshot `zfs-diff-…` and destroys it again.
    """

    __slots__ = ("__run", "__stream", "__temporary")

    def __init__(self, shell: Streams, *, allow_temporary_snapshot: bool = False) -> None:
        self.__run = shell.run
        self.__stream = shell.stream
        self.__temporary = allow_temporary_snapshot

    @property
    def allows_temporary_snapshot(self) -> bool:
        """Whether `zfs diff` may compare with the live file system."""
        return self.__temporary

    def text(self, argv: Sequence[str]) -> str:
        """The sh text that `run` and `stream` would type. Raises `NotReadOnly`."""
        raise NotImplementedError

    def run(self, argv: Sequence[str], *, timeout: float = 60.0) -> Result:
        """Run `argv`; see `Shell.run`. Raises `NotReadOnly`, `ConsoleError`."""
        return self.__run(self.text(argv), timeout=timeout)

    def stream(
        self,
        argv: Sequence[str],
        sink: Callable[[bytes], None],
        *,
        timeout: float = 3600.0,
        stop: threading.Event | None = None,
    ) -> Result:
        """Run `argv` and give its output to `sink` as it comes; see `ShellSession.stream`.

        Setting `stop` ends the command on the target within about a second; `Cancelled` is
        raised then, and the shell can be used further.
        """
        return self.__stream(self.text(argv), sink, timeout=timeout, stop=stop)
