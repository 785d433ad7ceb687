"""The words in which a flow and its driver speak: questions, and what to do next.

A flow is a pure function: `next_move(facts, answers)` returns one `Move`. The driver
(`zrwizard.wizard`) asks the question, looks at the machine, or runs the preparation that the
flow wants, and calls it again with more facts or more answers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from zrwizard.plan import Plan, Problem


@dataclass(frozen=True, slots=True)
class Option:
    """One thing to choose. `locked` says why it cannot be chosen; `cells` fill the columns."""

    value: str
    label: str
    cells: tuple[str, ...] = ()
    detail: str = ""
    locked: str | None = None
    recommended: bool = False


@dataclass(frozen=True, slots=True)
class Choose:
    """Pick one of `options` (a table with `columns` where they have cells)."""

    key: str
    page: str
    title: str
    help: str
    options: tuple[Option, ...]
    columns: tuple[str, ...] = ()
    default: str | None = None


@dataclass(frozen=True, slots=True)
class ChooseMany:
    """Mark `least` or more of `options`; the answer is their values, joined by commas.

    An option whose value is in `alone` is an answer by itself.
    """

    key: str
    page: str
    title: str
    help: str
    options: tuple[Option, ...]
    columns: tuple[str, ...] = ()
    least: int = 1
    alone: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Enter:
    """Type a text; an empty one means `default`."""

    key: str
    page: str
    title: str
    help: str
    default: str = ""
    example: str = ""


@dataclass(frozen=True, slots=True)
class EnterSecret:
    """Type a secret without echo, or name a file that holds it (`from_file`, a private key).

    `twice` is for a new secret: it is typed twice, since nothing else would tell a slip.
    """

    key: str
    page: str
    title: str
    help: str
    secret: str
    from_file: bool = False
    twice: bool = False


@dataclass(frozen=True, slots=True)
class Agree:
    """Read `text` and say yes; `value` is what the answer becomes (a fingerprint, say)."""

    key: str
    page: str
    title: str
    help: str
    text: str
    value: str


Question = Choose | ChooseMany | Enter | EnterSecret | Agree


@dataclass(frozen=True, slots=True)
class Ask:
    """Ask the operator; `problem` says why the last answer to it would not do."""

    question: Question
    problem: Problem | None = None


@dataclass(frozen=True, slots=True)
class Look:
    """Survey the machine for `what`; `detail` is its argument, `text` says it to people."""

    what: str
    detail: tuple[str, ...]
    text: str


@dataclass(frozen=True, slots=True)
class Prepare:
    """Run this harmless plan now (network, login); then `Facts.prepared` holds `mark`."""

    plan: Plan
    mark: str


@dataclass(frozen=True, slots=True)
class Review:
    """All is known: this is the plan."""

    plan: Plan


@dataclass(frozen=True, slots=True)
class Stuck:
    """No answer can help: the flow cannot go on. `exit` is the exit code it means."""

    problems: tuple[Problem, ...]
    exit: int = 2


Move = Ask | Look | Prepare | Review | Stuck


@dataclass(frozen=True, slots=True)
class Key:
    """One key of an answers file: `name` is dotted, `example` stands in the template.

    Of `many`, the value may be a list of texts. `instead` is a key that may be given in its place.
    """

    name: str
    help: str
    example: str
    default: str | None = None
    many: bool = False
    instead: str = ""


@dataclass(frozen=True, slots=True)
class Answers(Mapping[str, str]):
    """The answers given so far, by dotted key; never holds a secret's value."""

    given: Mapping[str, str] = field(default_factory=dict)

    def __getitem__(self, key: str) -> str:
        return self.given[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self.given)

    def __len__(self) -> int:
        return len(self.given)

    def put(self, key: str, value: str) -> Answers:
        """Return the answers with one more, or one changed."""
        return Answers({**self.given, key: value})

    def drop(self, *keys: str) -> Answers:
        """Return the answers without `keys`."""
        return Answers({k: v for k, v in self.given.items() if k not in keys})
