"""Asking and checking: each stage of a flow returns a value, or the move that is due before it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Never

from zrwizard.facts import Facts
from zrwizard.flows.moves import Answers, Ask, Choose, ChooseMany, Enter, Move, Option, Prepare
from zrwizard.plan import Plan, Problem, Step


class Due(Exception):
    """Raised inside a flow to say that `move` comes first; never leaves the flow."""

    def __init__(self, move: Move) -> None:
        super().__init__()
        self.move = move


@dataclass(frozen=True, slots=True)
class Talk:
    """The facts and answers that one `next_move` of the flow `flow` works with."""

    facts: Facts
    answers: Answers
    flow: str

    def pick(self, question: Choose) -> Option:
        """Return the option that was answered. Raises `Due` where none, or none that will do."""
        value = self.answers.get(question.key)
        if value is None:
            raise Due(Ask(question))
        found = next((option for option in question.options if option.value == value), None)
        if found is None:
            self.refuse(question, f"{value!r} is not one of the choices.", _choices(question))
        if found.locked:
            what = f"{found.label} cannot be chosen: {found.locked}."
            self.refuse(question, what, _free(question))
        return found

    def preset(self, question: Choose, otherwise: str) -> str:
        """Return the answer to a question that is put to nobody, `otherwise` where there is none.

        Raises `Due` for an unknown word.
        """
        return self.pick(question).value if question.key in self.answers else otherwise

    def prepare(self, title: str, steps: tuple[Step, ...], what: str, for_whom: object) -> None:
        """Have harmless steps done before the plan; with other answers they are done again.

        Raises `Due` until they are done.
        """
        mark = f"{what} {for_whom!r}"
        if mark not in self.facts.prepared:
            raise Due(Prepare(Plan(self.flow, self.facts.token, title, steps), mark))

    def enter(self, question: Enter, check: Callable[[str], str | None]) -> str:
        """Return the text that was answered, the default for an empty one.

        `check` returns what is wrong with a text, or None. Raises `Due`.
        """
        value = self.answers.get(question.key)
        if value is None:
            raise Due(Ask(question))
        value = value.strip() or question.default
        wrong = check(value)
        if wrong:
            example = question.example or question.default
            now = f"Give one like {example}." if example else "Give another one."
            self.refuse(question, wrong, now)
        return value

    def refuse(self, question: Choose | ChooseMany | Enter, what: str, now: str) -> Never:
        """Ask again, saying why the answer that was given will not do."""
        raise Due(Ask(question, Problem(question.key, what, now)))


def _choices(question: Choose) -> str:
    values = [option.value for option in question.options if not option.locked]
    shown = ", ".join(values[:12]) + (", …" if len(values) > 12 else "")
    return f"Choose one of: {shown}." if values else "Nothing can be chosen here now."


def _free(question: Choose) -> str:
    free = any(not option.locked for option in question.options)
    return _choices(question) if free else "Free one of them, then look again."
