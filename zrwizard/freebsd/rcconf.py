"""rc.conf(5): variables read by sh, where the last assignment counts."""

from __future__ import annotations

import re
from collections.abc import Mapping

from . import shvars
from .errors import ParseError

TOOL = "rc.conf"
PATH = "/etc/rc.conf"
LOCAL = "/etc/rc.conf.local"
_ALONE_BEFORE = re.compile(r"[ \t]*")
_ALONE_BEHIND = re.compile(r"[ \t]*;?[ \t]*(?:#[^\n]*)?(?:\n|\Z)")
_REST = re.compile(r"[ \t]*(?:;(?!;))?[ \t]*")


def values(text: str) -> dict[str, str | None]:
    """What the text sets, the last assignment of each name; None where only sh could tell.

    Raises ParseError for what is no whole sh text.
    """
    found = shvars.scan(TOOL, text)
    doubtful = {name for name, _ in found.uncertain if name != shvars.ANY}
    known: dict[str, str | None] = dict.fromkeys(sorted(doubtful))
    for each in found.assignments:
        known[each.name] = None if found.doubtful(each.name, each.start) else each.value
    return known


def edit(text: str, changes: Mapping[str, str | None]) -> str:
    """`text` with the variables of `changes` set, or taken out where the value is None.

    Comments, order and every other line stay as they are; what has its value already is left
    alone. A new variable goes to the end, and so does one that a later line may set again.
    Raises ParseError for what is no whole sh text, or sets a name that is to go in a way that
    cannot be taken out; ValueError for a name or a value that rc.conf cannot hold.
    """
    for name, value in changes.items():
        if not shvars.NAME.fullmatch(name):
            raise ValueError(f"{name!r} is no variable's name")
        text = _without(text, name) if value is None else _with(text, name, value)
    return text


def quoted(value: str) -> str:
    """`value` in double quotes, as is usual in rc.conf. ValueError for control characters."""
    if not value.isprintable():
        raise ValueError("a value of rc.conf is one line of printable text")
    return '"' + re.sub(r'(["$`\\])', r"\\\1", value) + '"'


def _with(text: str, name: str, value: str) -> str:
    found = shvars.scan(TOOL, text)
    last = found.last(name)
    new = quoted(value)
    if last is None or found.doubtful(name, last.start):
        return f"{text}{_line_end(text)}{name}={new}\n"
    if last.value == value:
        return text
    return text[: last.value_at] + new + text[last.end :]


def _line_end(text: str) -> str:
    """What must follow `text` so that a new line begins there, also behind a backslash."""
    if not text:
        return ""
    if text.endswith("\\\n"):
        return "\n"
    return "" if text.endswith("\n") else "\n"


def _without(text: str, name: str) -> str:
    found = shvars.scan(TOOL, text)
    if any(which == name for which, _ in found.uncertain):
        raise ParseError(TOOL, f"sets {name} in a way that cannot be taken out", name)
    for each in reversed(found.assignments):
        if each.name != name:
            continue
        begin = text.rfind("\n", 0, each.start) + 1
        behind = _ALONE_BEHIND.match(text, each.end)
        if behind and _ALONE_BEFORE.fullmatch(text, begin, each.start):
            text = text[:begin] + text[behind.end() :]
        else:
            rest = _REST.match(text, each.end)
            text = text[: each.start] + text[rest.end() if rest else each.end :]
    return text
