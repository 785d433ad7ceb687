"""loader.conf(5): `name="value"` lines for the loader and the kernel's tunables."""

from __future__ import annotations

import re
from collections.abc import Mapping

from . import settings

PATH = "/boot/loader.conf"
_NAME = r"[ \t]*(?P<name>[A-Za-z_][A-Za-z0-9_.-]*)[ \t]*="


def _write(value: str) -> str:
    if '"' in value or "\\" in value:
        raise ValueError("loader.conf has no way to write a quote or a backslash")
    return f'"{settings.plain(value)}"'


FORM = settings.Form(
    tool="loader.conf",
    starts=re.compile(_NAME, re.ASCII),
    line=re.compile(_NAME + r'[ \t]*(?P<value>"[^"\n]*"|[^\s"#]+|)[ \t]*(?:#[^\n]*)?\r?', re.ASCII),
    read=settings.unquoted,
    write=_write,
)


def values(text: str) -> dict[str, str]:
    """What the text sets; of several lines for a name the last counts. Raises ParseError."""
    return settings.values(FORM, text)


def edit(text: str, changes: Mapping[str, str | None]) -> str:
    """`text` with the settings of `changes` set, or taken out where None; see `settings.edit`."""
    return settings.edit(FORM, text, changes)
