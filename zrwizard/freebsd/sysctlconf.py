"""sysctl.conf(5): `name=value` lines that are set at boot."""

from __future__ import annotations

import re
from collections.abc import Mapping

from . import settings

PATH = "/etc/sysctl.conf"
_NAME = r"[ \t]*(?P<name>[A-Za-z_][A-Za-z0-9_.%-]*)[ \t]*="


def _write(value: str) -> str:
    if not value or set(value) & set("\"'#"):
        raise ValueError("a value of sysctl.conf is plain text without quotes")
    return settings.plain(value)


FORM = settings.Form(
    tool="sysctl.conf",
    starts=re.compile(_NAME, re.ASCII),
    line=re.compile(
        _NAME
        + r"[ \t]*(?P<value>\"[^\"\n]*\"|'[^'\n]*'|[^\s\"'#](?:[^\"'#\n]*[^\s\"'#])?|)"
        + r"[ \t]*(?:#[^\n]*)?\r?",
        re.ASCII,
    ),
    read=settings.unquoted,
    write=_write,
)


def values(text: str) -> dict[str, str]:
    """What the text sets; of several lines for a name the last counts. Raises ParseError."""
    return settings.values(FORM, text)


def edit(text: str, changes: Mapping[str, str | None]) -> str:
    """`text` with the settings of `changes` set, or taken out where None; see `settings.edit`."""
    return settings.edit(FORM, text, changes)
