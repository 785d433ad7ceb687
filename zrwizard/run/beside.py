"""The operator's side of a run that has no keys: what is fetched lies beside its journal."""

from __future__ import annotations

from pathlib import Path

from zrwizard.facts import Facts
from zrwizard.plan import Local
from zrwizard.run.events import Exit
from zrwizard.run.operator import OperatorError, Say
from zrwizard.secrets import Secret


class Beside:
    """An `Operator` that only keeps files, in the run's own private directory."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def look(self, facts: Facts, name: str) -> Facts:
        """Raise `OperatorError`: there are no keys called `name`."""
        raise _no_keys()

    def do(self, local: Local, say: Say) -> str:
        """Raise `OperatorError`: an act needs keys."""
        raise _no_keys()

    def place(self, name: str) -> Path:
        """Return where a file that is fetched as `name` belongs."""
        return self._directory / name

    def secret(self, name: str) -> Secret | None:
        """Return None: no secret rests here."""
        return None

    def close(self) -> None:
        """Do nothing: nothing runs."""


def _no_keys() -> OperatorError:
    return OperatorError(
        "This is done with the keys on the operator's machine, and none are known here.",
        "Run the plan with `zrwizard server`.",
        Exit.USAGE,
    )
