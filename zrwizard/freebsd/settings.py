"""Files of `name = value` lines, each with a form of its own: read and edited line by line."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from .errors import ParseError


@dataclass(frozen=True, slots=True)
class Form:
    """How a file writes a setting.

    `starts` fits where a line sets something, with the group `name`; `line` fits all of such a
    line, with the groups `name` and `value`. `read` turns what the file holds into the value,
    `write` the other way round (ValueError for what the file cannot hold).
    """

    tool: str
    starts: re.Pattern[str]
    line: re.Pattern[str]
    read: Callable[[str], str]
    write: Callable[[str], str]


@dataclass(frozen=True, slots=True)
class Setting:
    """A setting, with the span of its line (and line end) and of its value in the text."""

    name: str
    value: str
    start: int
    end: int
    value_at: int
    value_end: int


def unquoted(raw: str) -> str:
    """`raw` without a pair of quotes around it."""
    if len(raw) >= 2 and raw[0] in "\"'" and raw[-1] == raw[0]:
        return raw[1:-1]
    return raw


def read(form: Form, text: str) -> tuple[Setting, ...]:
    """The settings of `text` in order. Raises ParseError for one that cannot be read."""
    if "\0" in text:
        raise ParseError(form.tool, "holds a NUL character")
    found: list[Setting] = []
    start = 0
    for line in text.split("\n"):
        end = start + len(line)
        if form.starts.match(text, start, end):
            row = form.line.fullmatch(text, start, end)
            if row is None:
                raise ParseError(form.tool, "has a line whose value cannot be read", line)
            found.append(
                Setting(
                    name=row["name"],
                    value=form.read(row["value"]),
                    start=start,
                    end=min(end + 1, len(text)),
                    value_at=row.start("value"),
                    value_end=row.end("value"),
                )
            )
        start = end + 1
    return tuple(found)


def values(form: Form, text: str) -> dict[str, str]:
    """What the text sets; of several lines for a name the last counts. Raises ParseError."""
    return {each.name: each.value for each in read(form, text)}


def edit(form: Form, text: str, changes: Mapping[str, str | None]) -> str:
    """`text` with the settings of `changes` set, or taken out where the value is None.

    Every other line stays as it is; what is set already is left alone; new lines go to the end.
    Raises ParseError, and ValueError for a name or a value that the file cannot hold.
    """
    for name, value in changes.items():
        line = None if value is None else f"{name}={form.write(value)}"
        if not form.line.fullmatch(line or f"{name}={form.write('0')}"):
            raise ValueError(f"{form.tool} cannot hold {name!r} with that value")
        ours = [each for each in read(form, text) if each.name == name]
        if value is None or line is None:
            for each in reversed(ours):
                text = text[: each.start] + text[each.end :]
        elif not ours:
            text += f"{'' if not text or text.endswith(chr(10)) else chr(10)}{line}\n"
        elif ours[-1].value != value:
            last = ours[-1]
            text = text[: last.value_at] + form.write(value) + text[last.value_end :]
    return text


def plain(value: str) -> str:
    """`value`, which must be printable and without blanks at its ends. Raises ValueError."""
    if not value.isprintable() or value != value.strip():
        raise ValueError("a value is one line of printable text")
    return value
