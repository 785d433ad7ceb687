"""One command of one ssh session: what goes in, what comes out, and how its line breaks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

from zrwizard.run.events import Exit
from zrwizard.run.operator import OperatorError

Who = Literal["login", "deliver", "receive"]
"""Which of the operator's three keys opens the door."""


@dataclass(frozen=True, slots=True)
class Reply:
    """How a command on the server ended: its exit status, what it wrote, what it complained of.

    `err` is the end of its standard error and of ssh's own words, as text.
    """

    status: int
    out: bytes
    err: str


class DialError(OperatorError):
    """The server was not reached, or did not let the key in: what happened, and what to do now.

    `kind` is stable, for code: refused, timeout, unreachable, no such host, host key, expired,
    not yet valid, revoked, permission denied, closed, silent, too much, other.
    """

    def __init__(self, kind: str, what: str, now: str, code: Exit = Exit.UNREACHABLE) -> None:
        super().__init__(what, now, code)
        self.kind = kind


class Channel(Protocol):
    """A command that runs on the server. Every method may raise `DialError`, `cut` never."""

    def send(self, data: bytes) -> None:
        """Write all of `data` to the command's standard input; waits while the server is slow."""
        ...

    def end(self) -> None:
        """Close the command's standard input; twice is once."""
        ...

    def line(self, timeout: float) -> bytes:
        """Return one line of output without its newline, within `timeout` seconds.

        DialError, also where the command ended without another line.
        """
        ...

    def finish(self, timeout: float) -> Reply:
        """Close the input and return how the command ended, within `timeout` seconds.

        `out` is what no `line` has taken. Where ssh itself failed it is a DialError.
        """
        ...

    def cut(self) -> None:
        """Break the line: the ssh process is killed and says good-bye to nobody."""
        ...
