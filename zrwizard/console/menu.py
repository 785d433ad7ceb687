"""The loader's menu, read from the screen (facts on FreeBSD, A5; stand/lua/menu.lua).

Items are known by their text, never by a number: 5 is `Cons` from 13 on and `Kernel` in 12.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_ITEM = re.compile(r"^[^A-Za-z0-9]{0,8}(\w)\. (\S.*)$")
_END = re.compile(r"\s{2,}|\s*[|\u2551\u2502\ufffd]")
_KNOWN = re.compile(
    r"Boot (Multi|Single|Installer)|^Single user|Escape to loader|^Reboot|\[Backspace\]"
)
_COUNTDOWN = re.compile(r"Autoboot in \d+ seconds")
_CONSOLES = re.compile(r"Cons: (Video|Dual \(Serial primary\)|Dual \(Video primary\)|Serial)")
_FRAME = 44
_BELOW = 22
"""The row, from 0, from which on the cursor rests once the menu is drawn (stand/lua/screen.lua)."""


@dataclass(frozen=True, slots=True)
class Menu:
    """The menu that stands on the screen: its items by key, and whether it counts down."""

    items: dict[str, str]
    counting: bool

    @property
    def consoles(self) -> tuple[str, str] | None:
        """The key and the value of the item `Cons`, None where there is none (12 and older)."""
        for key, text in self.items.items():
            if match := _CONSOLES.match(text):
                return key, match[1]
        return None

    @property
    def inner(self) -> bool:
        """Whether it is a submenu, which Backspace leaves."""
        return any("[Backspace]" in text for text in self.items.values())


def read_menu(lines: list[str], row: int) -> Menu | None:
    """Return the loader's menu on a screen of `lines` with the cursor in `row`.

    None where there is none, where it is still being drawn, or where something was printed below
    it: the menu is left on the screen when the kernel is loaded.
    """
    items: dict[str, str] = {}
    last = -1
    for number, line in enumerate(lines):
        if match := _ITEM.match(line):
            items[match[1]] = _END.split(match[2])[0]
            last = number
    if not any(_KNOWN.search(text) for text in items.values()) or row < max(last, _BELOW):
        return None
    counting = False
    for line in lines[last + 1 :]:
        if _COUNTDOWN.search(line):
            counting = True
        elif re.search(r"[A-Za-z]", line[:_FRAME]):
            return None
    return Menu(items, counting)
