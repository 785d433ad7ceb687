"""The ways in which a console can fail, each with what to do now.

None of them is a command's exit status: a status is only ever returned where it was read whole.
"""

from __future__ import annotations


class ConsoleError(Exception):
    """The console failed; `what` happened, and `now` says what the operator can do."""

    def __init__(self, what: str, now: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.now = now


class Unreachable(ConsoleError):
    """Nobody answers at the console's address."""


class Taken(ConsoleError):
    """Somebody else holds the console."""


class MachineLost(ConsoleError):
    """The line ended or the machine went away; whether a running command finished is unknown."""


class Restarted(MachineLost):
    """The machine has shown that it starts anew, or goes down: what ran on it is gone."""


class LineCut(MachineLost):
    """The line ended: the machine may be well. A console that can be opened again is looked at."""


class NoAnswer(ConsoleError):
    """The deadline passed without a whole answer; the command's outcome is unknown."""


class Unidentified(ConsoleError):
    """The console shows something that is not known; nothing was sent. `screen` holds it."""

    def __init__(self, what: str, now: str, screen: str) -> None:
        super().__init__(what, now)
        self.screen = screen


class LoginRefused(ConsoleError):
    """The console's login did not accept the account or its password."""


class NotRoot(ConsoleError):
    """A shell was reached, but not root's."""


class Refused(ConsoleError):
    """A dialogue showed a prompt that has no (more) answer, or an answer was refused."""


class Cancelled(ConsoleError):
    """The operator stopped it."""
