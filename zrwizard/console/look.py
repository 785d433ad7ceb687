"""How a terminal's cells look, in words that a screen of any kind can draw."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from pyte.screens import Char


@dataclass(frozen=True, slots=True)
class Look:
    """How a cell looks; colours are pyte's names (`brown` is yellow) or six hexadecimal digits."""

    fg: str = "default"
    bg: str = "default"
    bold: bool = False
    underline: bool = False
    reverse: bool = False


@dataclass(frozen=True, slots=True)
class Run:
    """Neighbouring cells of one look."""

    text: str
    look: Look


Row = tuple[Run, ...]


@lru_cache(1024)
def look_of(attributes: tuple[Any, ...], reversed_screen: bool) -> Look:
    """Return the look of a cell with these attributes of pyte's; DECSCNM reverses all of them."""
    cell = Char("", *attributes)
    reverse = bool(cell.reverse) is not reversed_screen
    return Look(cell.fg, cell.bg, cell.bold, cell.underscore, reverse)
