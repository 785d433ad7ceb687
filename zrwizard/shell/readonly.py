"""A shell that can only look: argument lists that were parsed and are on a list, nothing else."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Protocol

from zrwizard.console.errors import Cancelled, Refused
from zrwizard.freebsd import sh
from zrwizard.shell.api import Result
from zrwizard.shell.readonly_grammar import complaint
from zrwizard.shell.readonly_words import words


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
        # What is checked must be what is typed, whatever becomes of the caller's list meanwhile.
        given = tuple(argv)
        said = complaint(given, temporary=self.__temporary)
        if said:
            raise _refusal(f"A preview only looks, and this command could do more: {said}.")
        text = sh.join(given)
        # Two readings by different code: what the shell will see is exactly what was checked.
        if words(text) != given:
            raise _refusal(f"A preview's command would be read otherwise by a shell: {text!r}.")
        return text

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
        text = self.text(argv)
        if stop is not None and stop.is_set():
            raise Cancelled("Stopped by the operator.", "Start it again to go on.")
        return self.__stream(text, sink, timeout=timeout, stop=stop)


def _refusal(what: str) -> NotReadOnly:
    return NotReadOnly(what, "Nothing was typed. This is a fault of zrwizard: please report it.")
