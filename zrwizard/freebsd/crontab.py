"""crontab(5): the variables of a table, which count for the entries below them."""

from __future__ import annotations

import re

from . import settings

PATH = "/etc/crontab"
_NAME = r"[ \t]*(?P<quote>[\"']?)(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?P=quote)[ \t]*="
_ENTRY = re.compile(r"^[ \t]*[^\s#]", re.MULTILINE)


def _write(value: str) -> str:
    if '"' in value:
        raise ValueError("a value of a crontab stands in quotes and holds none")
    return f'"{settings.plain(value)}"'


FORM = settings.Form(
    tool="crontab",
    starts=re.compile(_NAME, re.ASCII),
    line=re.compile(
        _NAME + r"[ \t]*(?P<value>\"[^\"\n]*\"|'[^'\n]*'|[^\s\"'](?:[^\n]*[^\s])?|)[ \t]*\r?",
        re.ASCII,
    ),
    read=settings.unquoted,
    write=_write,
)


def values(text: str) -> dict[str, str]:
    """What the text sets; of several lines for a name the last is given. Raises ParseError."""
    return settings.values(FORM, text)


def edit(text: str, name: str, value: str) -> str:
    """`text` with the variable `name` set to `value` for every entry.

    Each line that sets it otherwise is changed; where an entry stands before the first such line,
    a new one goes above it, below the variables there. Raises ParseError, and ValueError for what
    a crontab cannot hold.
    """
    line = f"{name}={_write(value)}"
    if not FORM.line.fullmatch(line):
        raise ValueError(f"{name!r} is no variable's name")
    found = settings.read(FORM, text)
    lines = {each.start for each in found}
    entry = next((at.start() for at in _ENTRY.finditer(text) if at.start() not in lines), None)
    ours = [each for each in found if each.name == name]
    for each in reversed(ours):
        if each.value != value:
            text = text[: each.value_at] + _write(value) + text[each.value_end :]
    if ours and (entry is None or ours[0].start < entry):
        return text
    if entry is None:
        return f"{text}{'' if not text or text.endswith(chr(10)) else chr(10)}{line}\n"
    at = max((each.end for each in found if each.start < entry), default=entry)
    return f"{text[:at]}{line}\n{text[at:]}"


def no_mail(text: str) -> str:
    """`text` with `MAILTO=""`: cron mails nobody, so that nothing piles up unread."""
    return edit(text, "MAILTO", "")
