"""Variables that a file of sh assigns: enough of sh's grammar to find them and never to guess.

A plain assignment at the top level is known to the character. What stands in a condition, a loop,
a function, behind `&&`, or is an argument (`export a=1`) may or may not happen; such a name is
`uncertain` from there on.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from .errors import ParseError

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
ANY = "*"
"""The uncertain name of a command that can assign anything (`.`, `eval`)."""

_ENDS = " \t\n;&|<>()"
_OPENS = {"if": "fi", "case": "esac", "for": "done", "while": "done", "until": "done", "{": "}"}
_CLOSES = frozenset(_OPENS.values())
_GOES_ON = frozenset({"then", "else", "elif", "do", "!"})
_ANYTHING = frozenset({".", "eval", "source"})
_BY_NAME = frozenset({"for", "getopts", "read", "unset"})


@dataclass(frozen=True, slots=True)
class Assignment:
    """`name=value` from `start` to `end` in the text, its value beginning at `value_at`.

    `value` is what sh makes of it, None where it expands something that only sh knows.
    """

    name: str
    value: str | None
    start: int
    value_at: int
    end: int


@dataclass(frozen=True, slots=True)
class Found:
    """The certain assignments in order, and where which name is uncertain (`ANY`: all)."""

    assignments: tuple[Assignment, ...]
    uncertain: tuple[tuple[str, int], ...]

    def last(self, name: str) -> Assignment | None:
        """The assignment of `name` that counts, None where there is none."""
        return next((each for each in reversed(self.assignments) if each.name == name), None)

    def doubtful(self, name: str, since: int = -1) -> bool:
        """Whether `name` may be assigned in an uncertain way behind `since`."""
        return any(at > since and which in (name, ANY) for which, at in self.uncertain)


def scan(tool: str, text: str) -> Found:
    """What `text` assigns. Raises ParseError, naming `tool`, for what is no whole sh text."""
    return _Scanner(tool, text).run()


@dataclass(slots=True)
class _Scanner:
    """One pass over a text.

    `pending` are the assignments that the simple command began with, `words` how many words it has
    so far. It is `plain` while nothing but assignments was seen, `chained` behind an operator,
    `target` where the next word is a file, `naming` where a word may be a variable to be set.
    """

    tool: str
    text: str
    at: int = 0
    assigned: list[Assignment] = field(default_factory=list)
    uncertain: list[tuple[str, int]] = field(default_factory=list)
    pending: list[Assignment] = field(default_factory=list)
    open: list[str] = field(default_factory=list)
    words: int = 0
    plain: bool = True
    chained: bool = False
    target: bool = False
    naming: bool = False

    def run(self) -> Found:
        if "\0" in self.text:
            raise self.failure("holds a NUL character", 0)
        while self.at < len(self.text):
            self._token()
        if self.target or (self.chained and not self.words):
            raise self.failure("ends in the middle of a command", len(self.text))
        self._end()
        if self.open:
            raise self.failure(f"ends before the closing {self.open[-1]}", len(self.text))
        return Found(tuple(self.assigned), tuple(self.uncertain))

    def failure(self, what: str, at: int) -> ParseError:
        begin = self.text.rfind("\n", 0, at) + 1
        return ParseError(self.tool, what, self.text[begin : begin + 120].split("\n")[0])

    def _token(self) -> None:
        text, at = self.text, self.at
        match text[at]:
            case " " | "\t":
                self.at += 1
            case "\\" if text.startswith("\\\n", at):
                self.at += 2
            case "#":
                line = text.find("\n", at)
                self.at = len(text) if line < 0 else line
            case "\n" | ";":
                self._end()
                self.at += 1
            case "&" | "|":
                self._end(chained=True)
                self.at += 2 if text[at : at + 2] in ("&&", "||") else 1
                # What runs in the background leaves what follows alone.
                self.chained = text[at : self.at] != "&"
            case "(" | ")":
                self._parenthesis(text[at])
            case "<" | ">":
                self._redirection()
            case _:
                self._word()

    def _end(self, *, chained: bool = False) -> None:
        """A simple command ends; `chained` by an operator that joins it with the next one."""
        if self.target:
            raise self.failure("has a redirection without a file", self.at)
        certain = self.plain and not self.open and not chained and not self.chained
        if certain:
            self.assigned += self.pending
        else:
            self.uncertain += [(each.name, each.start) for each in self.pending]
        # A line may end after `&&`; the chain goes on below.
        self.chained = chained or (self.chained and not self.words)
        self.pending, self.words, self.plain, self.naming = [], 0, True, False

    def _parenthesis(self, which: str) -> None:
        if which == "(":
            self.plain = False
            self._end()
            self.open.append(")")
        else:
            self._end()
            if self.open and self.open[-1] == ")":
                self.open.pop()
            elif "esac" not in self.open:
                raise self.failure("closes a parenthesis that was not opened", self.at)
            # What follows is part of the same command (`f() {`, `(a) && b`).
        self.at += 1

    def _redirection(self) -> None:
        if self.text.startswith("<<", self.at):
            raise self.failure("has a here-document, which is not edited", self.at)
        if self.target:
            raise self.failure("has a redirection without a file", self.at)
        while self.text[self.at : self.at + 1] in ("<", ">", "&", "|"):
            self.at += 1
        self.target, self.plain = True, False

    def _word(self) -> None:
        start = self.at
        value, self.at = _Word(self, start).read()
        raw = self.text[start : self.at]
        if self.target:
            self.target = False
            return
        self.words += 1
        name = NAME.match(raw)
        if self.words == 1 and (raw in _OPENS or raw in _CLOSES or raw in _GOES_ON):
            self._reserved(raw)
        elif name is None or raw[name.end() : name.end() + 1] != "=":
            self._command_word(raw, start)
        elif self.plain and len(self.pending) == self.words - 1:
            at = start + name.end() + 1
            inner = None if value is None else value[name.end() + 1 :]
            self.pending.append(Assignment(name[0], inner, start, at, self.at))
        else:
            self.uncertain.append((name[0], start))

    def _reserved(self, word: str) -> None:
        if word in _OPENS:
            self.open.append(_OPENS[word])
        elif word in _CLOSES:
            if not self.open or self.open[-1] != word:
                raise self.failure(f"has a {word} that closes nothing", self.at)
            self.open.pop()
            self.plain = False
            return
        self.naming = word == "for"
        if word not in ("for", "case"):
            self.words = 0

    def _command_word(self, word: str, start: int) -> None:
        if self.naming and NAME.fullmatch(word):
            self.uncertain.append((word, start))
        if self.words == len(self.pending) + 1:
            # Assignments before a command are that command's alone.
            self.uncertain += [(each.name, each.start) for each in self.pending]
            if word in _ANYTHING:
                self.uncertain.append((ANY, start))
            self.naming = word in _BY_NAME
            self.pending, self.plain = [], False


@dataclass(slots=True)
class _Word:
    """Reads one word of sh: what it stands for, None where something in it is expanded."""

    scanner: _Scanner
    at: int
    known: bool = True
    parts: list[str] = field(default_factory=list)

    def read(self) -> tuple[str | None, int]:
        text = self.scanner.text
        while self.at < len(text) and text[self.at] not in _ENDS:
            match text[self.at]:
                case "\\":
                    self._escaped()
                case "'":
                    end = self._closing("'", self.at + 1)
                    self.parts.append(text[self.at + 1 : end])
                    self.at = end + 1
                case '"':
                    self._double()
                case "$" | "`":
                    self._expansion()
                case "~" | "*" | "?" | "[":
                    # An assignment does not look for files, but ~ is a home directory.
                    self.known = self.known and text[self.at] != "~"
                    self._plain()
                case _:
                    self._plain()
        return ("".join(self.parts) if self.known else None), self.at

    def _plain(self) -> None:
        self.parts.append(self.scanner.text[self.at])
        self.at += 1

    def _escaped(self) -> None:
        text = self.scanner.text
        if self.at + 1 >= len(text):
            raise self.scanner.failure("ends with a backslash", self.at)
        if text[self.at + 1] != "\n":
            self.parts.append(text[self.at + 1])
        self.at += 2

    def _closing(self, mark: str, at: int) -> int:
        end = self.scanner.text.find(mark, at)
        if end < 0:
            raise self.scanner.failure(f"a {mark} is not closed", at)
        return end

    def _double(self) -> None:
        text, start = self.scanner.text, self.at
        self.at += 1
        while self.at < len(text):
            match text[self.at]:
                case '"':
                    self.at += 1
                    return
                case "\\" if self.at + 1 < len(text):
                    following = text[self.at + 1]
                    if following in '$`"\\':
                        self.parts.append(following)
                    elif following != "\n":
                        self.parts.append("\\" + following)
                    self.at += 2
                case "$" | "`":
                    self._expansion()
                case _:
                    self._plain()
        raise self.scanner.failure('a " is not closed', start)

    def _expansion(self) -> None:
        """Pass over `$name`, `${…}`, `$(…)` or a command in backquotes."""
        text = self.scanner.text
        if text[self.at] == "`":
            self.known = False
            self.at = self._nested(self.at + 1, "`")
        elif text.startswith("$(", self.at) or text.startswith("${", self.at):
            self.known = False
            self.at = self._nested(self.at + 2, ")" if text[self.at + 1] == "(" else "}")
        elif re.match(r"[A-Za-z0-9_@*#?$!'-]", text[self.at + 1 : self.at + 2]):
            self.known = False
            self.at += 1
        else:
            self._plain()

    def _nested(self, at: int, closing: str) -> int:
        """The position behind `closing`, past quotes and whatever is opened on the way."""
        text, start = self.scanner.text, at
        expected = [closing]
        while at < len(text):
            char = text[at]
            if char == "\\":
                at += 1
            elif char == expected[-1]:
                expected.pop()
                if not expected:
                    return at + 1
            elif expected[-1] == '"':
                if text.startswith(("$(", "${"), at):
                    expected.append(")" if text[at + 1] == "(" else "}")
                    at += 1
                elif char == "`":
                    expected.append("`")
            elif char == "'":
                at = self._closing("'", at + 1)
            elif char in '"`':
                expected.append(char)
            elif char in "({":
                expected.append(")" if char == "(" else "}")
            at += 1
        raise self.scanner.failure(f"a {closing} is missing", start)
