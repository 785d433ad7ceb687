"""What a run may ask of the operator's own machine, where the keys are."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from zrwizard.facts import Facts
from zrwizard.plan import Local
from zrwizard.run.events import Exit
from zrwizard.secrets import Secret

Say = Callable[[str], None]
"""Gets sentences while an act is under way: what was typed, what came back; never a secret."""


class OperatorError(Exception):
    """An act did not do what it should: what happened, what to do now, and the exit code."""

    def __init__(self, what: str, now: str, code: Exit = Exit.FAILED) -> None:
        super().__init__(what)
        self.what = what
        self.now = now
        self.code = code


class MissingSecret(OperatorError):
    """An act needs the secret `name`, which nobody has given (`wrong`: it does not open)."""

    def __init__(self, name: str, *, wrong: bool = False) -> None:
        how = "does not open what it should" if wrong else "is needed now and was not given"
        super().__init__(
            f"The secret “{name}” {how}.",
            f"Give it as --secret {name}=file:PATH, {name}=env:VARIABLE or {name}=fd:NUMBER.",
            Exit.USAGE,
        )
        self.name = name
        self.wrong = wrong


class Operator(Protocol):
    """The operator's side of one run. Every method may raise `OperatorError`, and nothing else."""

    def look(self, facts: Facts, name: str) -> Facts:
        """Return `facts` with `own` filled in for the keys called `name`; writes nothing."""
        ...

    def do(self, local: Local, say: Say) -> str:
        """Do an act, unless it was done before; return a sentence that says what is so now."""
        ...

    def place(self, name: str) -> Path:
        """Return where a file that is fetched as `name` belongs (its directory is private)."""
        ...

    def secret(self, name: str) -> Secret | None:
        """Return a secret that rests with the keys (`geli-key`), None for an unknown one."""
        ...

    def close(self) -> None:
        """End what still runs (ssh masters); never raises."""
        ...
