"""The two ways in which the rehearsal says no: for its user, and inside a simulated tool."""

from __future__ import annotations


class RehearsalUnavailable(RuntimeError):
    """The rehearsal cannot run on this machine; the text is a sentence for the operator."""


class Fail(Exception):
    """A simulated tool refuses: text for standard error and standard output, exit status."""

    def __init__(self, err: str = "", status: int = 1, out: str = "") -> None:
        super().__init__(err)
        self.err = err
        self.status = status
        self.out = out
