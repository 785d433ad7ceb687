"""How the app looks: the full style, and the console style (16 colours, ASCII, few bytes).

The console style is for serial terminals and FreeBSD's own console, whose font lacks most of
what Textual draws with; every line passes `AsciiFilter` there, so that nothing can slip through.
"""

from __future__ import annotations

import unicodedata
from enum import StrEnum
from functools import lru_cache

from rich.cells import cell_len
from rich.segment import Segment
from textual.color import Color
from textual.filter import LineFilter
from textual.theme import Theme


class Style(StrEnum):
    """The two looks of the app."""

    FULL = "full"
    CONSOLE = "console"


CONSOLE_THEME = Theme(
    name="zrwizard-console",
    ansi=True,
    dark=True,
    primary="ansi_cyan",
    secondary="ansi_cyan",
    warning="ansi_yellow",
    error="ansi_red",
    success="ansi_green",
    accent="ansi_yellow",
    foreground="ansi_default",
    background="ansi_default",
    surface="ansi_default",
    panel="ansi_default",
    boost="ansi_default",
    variables={
        "ansi-background": "ansi_black",
        "ansi-foreground": "ansi_white",
        "border-blurred": "ansi_default",
        "input-selection-background": "ansi_white",
        "input-selection-foreground": "ansi_black",
        "screen-selection-background": "ansi_white",
        "screen-selection-foreground": "ansi_black",
        "input-cursor-background": "ansi_white",
        "input-cursor-foreground": "ansi_black",
        "input-cursor-text-style": "none",
        "block-cursor-foreground": "ansi_black",
        "block-cursor-background": "ansi_white",
    },
)

FULL_THEME = Theme(
    name="zrwizard-full",
    dark=True,
    primary="#7fb4ca",
    secondary="#957fb8",
    warning="#e6c384",
    error="#ff6b6b",
    success="#98bb6c",
    accent="#e6c384",
    foreground="#d6d6d6",
    background="#16181d",
    surface="#1d2026",
    panel="#262a32",
)

_ASCII = {
    "–": "-",
    "—": "-",
    "−": "-",
    "‘": "'",
    "’": "'",
    "“": '"',
    "”": '"',
    "…": "~",
    "•": "*",
    "·": ".",
    "→": ">",
    "←": "<",
    "ß": "s",
    "×": "x",
    "─": "-",
    "│": "|",
    "█": "#",
    "░": ".",
}


@lru_cache(4096)
def to_ascii(text: str) -> str:
    """Return `text` in printable ASCII with the same width in cells."""
    if text.isascii():
        return text
    return "".join(char if char.isascii() else _fold(char) for char in text)


def _fold(char: str) -> str:
    width = cell_len(char)
    plain = _ASCII.get(char) or unicodedata.normalize("NFKD", char).encode("ascii", "ignore")
    known = plain if isinstance(plain, str) else plain.decode()
    return (known or "?" * width)[:width].ljust(width, "?")


class AsciiFilter(LineFilter):
    """Turn every glyph of a rendered line into ASCII."""

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:
        """Return the segments with ASCII text and the same widths and styles."""
        return [Segment(to_ascii(text), style, control) for text, style, control in segments]


_CONTROL = {code: "·" for code in (*range(32), *range(127, 160)) if code not in (9, 10)}
_CONTROL |= {code: "·" for code in (0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A))}


def printable(text: str) -> str:
    """Return a machine's text without control characters that could move the cursor.

    Newlines stay, tabs become spaces, a carriage return before a newline goes.
    """
    return text.replace("\r\n", "\n").translate(_CONTROL).expandtabs(8)
