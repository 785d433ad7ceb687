"""What went wrong, in words: nonsense from a tool, and known complaints of the tools."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

_EXCERPT = 160


class ParseError(ValueError):
    """A tool printed something that its parser does not understand.

    `tool` is the program (`gpart show`), `what` the sentence about it, `excerpt` the start of the
    text in question with control characters made visible.
    """

    def __init__(self, tool: str, what: str, text: str = "") -> None:
        self.tool = tool
        self.what = what
        self.excerpt = _visible(text)
        super().__init__(f"{tool}: {what}" + (f": {self.excerpt}" if self.excerpt else ""))


def _visible(text: str) -> str:
    short = text if len(text) <= _EXCERPT else text[:_EXCERPT] + "…"
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in short)


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """A known failure: a stable `kind` for code; `what` happened, what to do `now`, for people."""

    kind: str
    what: str
    now: str


@dataclass(frozen=True, slots=True)
class Rule:
    """One known complaint: where `pattern` is found, its groups fill `what` and `now`."""

    kind: str
    pattern: re.Pattern[str]
    what: str
    now: str


def rule(kind: str, pattern: str, what: str, now: str) -> Rule:
    """A `Rule` whose pattern is searched for in every line (`^` and `$` match at line ends)."""
    return Rule(kind, re.compile(pattern, re.MULTILINE), what, now)


def diagnose(rules: Iterable[Rule], text: str) -> Diagnosis | None:
    """The first rule that fits `text` (a tool's stderr or log), or None where none does.

    The rules are tried in their order, so a specific one stands before a general one.
    """
    clean = text.replace("\r", "")
    for known in rules:
        found = known.pattern.search(clean)
        if found:
            words = {name: value or "" for name, value in found.groupdict().items()}
            return Diagnosis(known.kind, known.what.format(**words), known.now.format(**words))
    return None
