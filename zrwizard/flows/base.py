"""What a flow is, as its drivers see it."""

from __future__ import annotations

from typing import Protocol

from zrwizard.facts import Facts
from zrwizard.flows.moves import Answers, Key, Move


class Flow(Protocol):
    """One thing that an operator can want: a pure function from facts and answers to a move."""

    @property
    def name(self) -> str:
        """The word on the command line, `restore`."""
        ...

    @property
    def title(self) -> str:
        """One line for people."""
        ...

    @property
    def keys(self) -> tuple[Key, ...]:
        """The answers that it knows, in the order in which it asks for them."""
        ...

    def next_move(self, facts: Facts, answers: Answers) -> Move:
        """Return what to do next; every answer given so far is checked again, in order."""
        ...
