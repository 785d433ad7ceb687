"""ttys(5): the terminals of a machine, and where root may come in."""

from __future__ import annotations

import re
from dataclasses import dataclass

from .errors import ParseError

TOOL = "ttys"
PATH = "/etc/ttys"
_CELL = re.compile(r'"(?:[^"\\\n]|\\.)*"|[^ \t\r"]+')
_BLANK = re.compile(r"[ \t\r]*")


@dataclass(frozen=True, slots=True)
class Terminal:
    """One line: its name, its program, its type and its words (`on`, `off`, `secure` …)."""

    name: str
    program: str
    type: str
    words: tuple[str, ...]

    @property
    def secure(self) -> bool:
        """Whether root may log in there; for `console`: single user mode without a password."""
        return "secure" in self.words


@dataclass(frozen=True, slots=True)
class _Placed:
    """A terminal, and where its words stand in the text."""

    terminal: Terminal
    words: tuple[tuple[str, int, int], ...]


def parse(text: str) -> tuple[Terminal, ...]:
    """The terminals in order. Raises ParseError for a line that cannot be read."""
    return tuple(placed.terminal for placed in _placed(text))


def _placed(text: str) -> list[_Placed]:
    found: list[_Placed] = []
    start = 0
    for line in text.split("\n"):
        cells = _cells(text, start, start + len(line))
        if cells:
            name, program, type, *words = [cell for cell, _, _ in [*cells, *_PAD]]
            kept = tuple(word for word in words if word)
            found.append(_Placed(Terminal(name, program.strip('"'), type, kept), cells[3:]))
        start += len(line) + 1
    return found


_PAD = (("", 0, 0), ("", 0, 0))


def _cells(text: str, start: int, end: int) -> tuple[tuple[str, int, int], ...]:
    found: list[tuple[str, int, int]] = []
    at = _skip(text, start, end)
    while at < end and text[at] != "#":
        cell = _CELL.match(text, at, end)
        if cell is None:
            raise ParseError(TOOL, "has a line whose quote is not closed", text[start:end])
        found.append((cell[0], cell.start(), cell.end()))
        at = _skip(text, cell.end(), end)
    return tuple(found)


def _skip(text: str, at: int, end: int) -> int:
    blank = _BLANK.match(text, at, end)
    return blank.end() if blank else at


def lock_console(text: str) -> str:
    """`text` with an insecure `console`: single user mode asks for root's password.

    No terminal is switched off, and root may still log in wherever that was so. Raises ParseError.
    """
    placed = _placed(text)
    consoles = [each for each in placed if each.terminal.name == "console"]
    if not consoles:
        joint = "" if not text or text.endswith("\n") else "\n"
        return f"{text}{joint}console\tnone\t\t\t\tunknown\toff insecure\n"
    for each in reversed(consoles):
        for word, start, end in reversed(each.words):
            if word == "secure":
                text = text[:start] + "insecure" + text[end:]
    return text
