"""The console in the operator's own hands: every key goes there, but ^]."""

from __future__ import annotations

import re
import time
from functools import lru_cache
from typing import ClassVar

from rich.color import Color, ColorSystem
from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.geometry import Region
from textual.strip import Strip
from textual.widget import Widget
from textual.widgets import Static

from screens.desk import HandsOn, Take, TakeOver
from screens.keys import key_bytes, paste_bytes
from screens.pane import Pane
from screens.style import printable
from zrwizard.console.look import Look, Row
from zrwizard.console.vtstream import View

GIVE_BACK = "ctrl+right_square_bracket"
_TICK = 0.04
_CALM = 0.12
"""Seconds between two drawings while much changes; three times as long in the console style."""
_MUCH = 6
_LINES = str.maketrans(
    "┌┐└┘├┤┬┴┼─│═║╔╗╚╝╠╣╦╩╬▒█▄▀■◆°±·≤≥π≠£⎺⎻⎼⎽→←↑↓",
    "+++++++++-|=|+++++++++#####*o+.<>p#L---_><^v",
)
_NAMES = {"brown": "yellow", "bfightmagenta": "brightmagenta"}


@lru_cache(512)
def cell_style(look: Look, plain: bool) -> Style:
    """Return a cell's style; `plain` keeps to the sixteen colours that every terminal has."""
    return Style(
        color=_colour(look.fg, plain),
        bgcolor=_colour(look.bg, plain),
        bold=look.bold,
        underline=look.underline,
        reverse=look.reverse,
    )


def _colour(name: str, plain: bool) -> Color | None:
    name = _NAMES.get(name, name)
    if name == "default":
        return None
    if re.fullmatch("[0-9a-f]{6}", name):
        full = Color.parse(f"#{name}")
        return full.downgrade(ColorSystem.STANDARD) if plain else full
    name = name.replace("bright", "bright_").replace("brown", "yellow")
    return Color.parse(name) if re.fullmatch("(bright_)?[a-z]+", name) else None


class Terminal(Widget):
    """The console's screen; only the rows that changed are drawn."""

    DEFAULT_CSS = "Terminal { height: 1fr; width: 1fr; }"

    def __init__(self, id: str | None = None) -> None:
        super().__init__(id=id)
        self._rows: tuple[Row, ...] = ()
        self._cursor: tuple[int, int] | None = None
        self._left = 0
        self.hidden_rows = 0
        self.hidden_columns = 0

    def place(self, view: View) -> int:
        """Show the screen, of a larger one the part with the cursor; return the rows redrawn."""
        height, width = max(1, self.size.height), max(1, self.size.width)
        x, y = view.cursor
        first = max(0, min(y - height + 1, len(view.rows) - height))
        left = max(0, min(x - width + 1, view.columns - width))
        rows = view.rows[first : first + height]
        place = (x - left, y - first) if view.cursor_shown else None
        changed = {
            index
            for index in range(height)
            if self._row(self._rows, index) is not self._row(rows, index)
        }
        if place != self._cursor:
            changed |= {spot[1] for spot in (place, self._cursor) if spot is not None}
        if left != self._left:
            changed = set(range(height))
        self._rows, self._cursor, self._left = rows, place, left
        self.hidden_rows = max(0, len(view.rows) - height)
        self.hidden_columns = max(0, view.columns - width)
        for index in changed:
            self.refresh(Region(0, index, width, 1))
        return len(changed)

    @staticmethod
    def _row(rows: tuple[Row, ...], index: int) -> Row:
        return rows[index] if index < len(rows) else ()

    def render_line(self, y: int) -> Strip:
        """Draw one row, the cursor's cell in reverse."""
        width = self.size.width
        plain = self.app.has_class("-console")
        base = self.rich_style
        segments = []
        for run in self._row(self._rows, y):
            text = printable(run.text).replace("\n", " ")
            text = text.translate(_LINES) if plain else text
            segments.append(Segment(text, base + cell_style(run.look, plain)))
        whole = Strip(segments).extend_cell_length(self._left + width, base)
        strip = whole.crop(self._left, self._left + width)
        if self._cursor is None or self._cursor[1] != y or not 0 <= self._cursor[0] < width:
            return strip
        x = self._cursor[0]
        before, cell, after = strip.divide([x, x + 1, width])
        marked = [
            Segment(text, (style or base) + Style(reverse=not (style and style.reverse)))
            for text, style, _ in cell
        ]
        return Strip.join([before, Strip(marked), after]).adjust_cell_length(width, base)


class HandsOnScreen(Pane[str], inherit_bindings=False):
    """Dismissed when the console was given back; with a sentence where it could not be taken."""

    CSS_PATH = "handson.tcss"
    BINDINGS: ClassVar = []

    def __init__(self, take: Take) -> None:
        super().__init__()
        self._take = take
        self._request: TakeOver | None = None
        self._shown = ""
        self._read = False
        self._bells = 0
        self._next = 0.0
        self._sized = (0, 0)

    def compose(self) -> ComposeResult:
        """One row of words, the console, what to do where it cannot go back, one row of keys."""
        with Vertical():
            yield Static("", id="hands-head", markup=False)
            yield Terminal(id="terminal")
            yield Static("", id="hands-told", markup=False)
            yield Static(
                "^] (Ctrl and ]) gives the console back to the wizard; all else goes to it.",
                id="hands-keys",
            )

    def on_mount(self) -> None:
        """Ask for the console once it is known how large its screen can be."""
        self.call_after_refresh(self._begin)

    def _begin(self) -> None:
        size = self.query_one("#terminal", Terminal).size
        self._request = TakeOver(self._take, max(2, size.height), max(20, size.width))
        self.set_interval(_TICK, self.look)
        self.look()

    def look(self) -> None:
        """Draw what the console shows now; only changed rows cost bytes."""
        request = self._request
        if request is None:
            return
        if request.over:
            self.dismiss(request.problem)
            return
        held = request.held
        if held is None and not request.leaving:
            self._head("Waiting for the running command to end; the console is yours then.")
            return
        if held is not None:
            self._draw(held)
        self._head(self._words(request, held))
        self._tell("" if self._read else request.refusal)

    def _words(self, request: TakeOver, held: HandsOn | None) -> str:
        if request.leaving:
            return "Giving the console back; the wizard looks at what it shows. Esc keeps it."
        if held is not None and held.problem:
            return f"{held.problem} Press ^]."
        terminal = self.query_one("#terminal", Terminal)
        hidden = [
            f"{count} {what}"
            for count, what in (
                (terminal.hidden_rows, "rows"),
                (terminal.hidden_columns, "columns"),
            )
            if count
        ]
        if hidden:
            return f"The console is yours. It is larger than this pane: {', '.join(hidden)} hidden."
        return "The console is yours. The wizard waits."

    def _draw(self, held: HandsOn) -> None:
        now = time.monotonic()
        if now < self._next:
            return
        terminal = self.query_one("#terminal", Terminal)
        size = terminal.size.height, terminal.size.width
        if size != self._sized and not self._telling:
            self._sized = size
            held.resize(*size)
        view = held.view()
        if view.bells != self._bells:
            self._bells = view.bells
            self.app.bell()
        if terminal.place(view) >= _MUCH:
            self._next = now + _CALM * (3 if self.app.has_class("-console") else 1)

    def _head(self, text: str) -> None:
        if text != self._shown:
            self._shown = text
            self.query_one("#hands-head", Static).update(text, layout=False)

    @property
    def _telling(self) -> bool:
        return bool(self.query_one("#hands-told").display)

    def _tell(self, refusal: str) -> None:
        told = self.query_one("#hands-told", Static)
        if refusal and not told.display:
            told.update(
                f"{printable(refusal)} Then press ^] again; ^] at once gives it back as is."
            )
        if told.display is not bool(refusal):
            told.display = bool(refusal)

    def on_key(self, event: events.Key) -> None:
        """Send the key to the console."""
        event.stop()
        event.prevent_default()
        request = self._request
        if request is None:
            return
        held = request.held
        if request.leaving:
            if event.key == "escape" and held is not None:
                request.keep()
        elif event.key == GIVE_BACK or (held is None and event.key == "escape"):
            # A second time, right under the sentence that says why not, means: as it is.
            request.give_back(force=bool(request.refusal) and not self._read)
            self._read = False
            self._next = 0.0
            self.look()
        elif held is not None:
            keys = held.view().cursor_keys
            self._send(held, key_bytes(event.key, event.character, cursor_keys=keys))

    def on_paste(self, event: events.Paste) -> None:
        """Type what was pasted."""
        event.stop()
        request = self._request
        if request is not None and request.held is not None and not request.leaving:
            held = request.held
            self._send(held, paste_bytes(event.text, bracketed=held.view().paste))

    def _send(self, held: HandsOn, data: bytes) -> None:
        if data:
            self._read = True
            held.write(data)
            self._next = 0.0
