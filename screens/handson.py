"""The console in the operator's own hands: every key goes there, but ^]."""

from __future__ import annotations

from typing import ClassVar

from rich.segment import Segment
from textual import events
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.geometry import Region
from textual.screen import ModalScreen
from textual.strip import Strip
from textual.widget import Widget
from textual.widgets import Static

from screens.desk import HandsOn, TakeOver
from screens.style import printable
from zrwizard.console.errors import ConsoleError

GIVE_BACK = "ctrl+right_square_bracket"
_KEYS = {
    "enter": b"\r",
    "tab": b"\t",
    "backspace": b"\x7f",
    "escape": b"\x1b",
    "up": b"\x1b[A",
    "down": b"\x1b[B",
    "right": b"\x1b[C",
    "left": b"\x1b[D",
    "home": b"\x1b[H",
    "end": b"\x1b[F",
    "insert": b"\x1b[2~",
    "delete": b"\x1b[3~",
    "pageup": b"\x1b[5~",
    "pagedown": b"\x1b[6~",
    "shift+tab": b"\x1b[Z",
    "ctrl+at": b"\x00",
    "ctrl+backslash": b"\x1c",
    "ctrl+circumflex_accent": b"\x1e",
    "ctrl+underscore": b"\x1f",
    "ctrl+space": b"\x00",
}


def key_bytes(key: str, character: str | None) -> bytes:
    """Return what a terminal sends for a key; empty for keys that have no bytes."""
    if key in _KEYS:
        return _KEYS[key]
    if key.startswith("ctrl+") and len(key) == 6 and key[5].isalpha():
        return bytes([ord(key[5].lower()) & 0x1F])
    return character.encode() if character else b""


class Terminal(Widget):
    """The console's screen; only the rows that changed are drawn."""

    DEFAULT_CSS = "Terminal { height: 1fr; width: 1fr; }"

    def __init__(self, id: str | None = None) -> None:
        super().__init__(id=id)
        self._rows: list[str] = []
        self._cursor = (0, 0)

    def place(self, lines: list[str], cursor: tuple[int, int]) -> None:
        """Show the screen; a taller one is cut so that the cursor stays in sight."""
        height = max(1, self.size.height)
        x, y = cursor
        first = max(0, min(y - height + 1, len(lines) - height))
        rows = [printable(line).replace("\n", " ") for line in lines[first : first + height]]
        place = (x, y - first)
        for index in range(height):
            old = self._rows[index] if index < len(self._rows) else ""
            new = rows[index] if index < len(rows) else ""
            moved = place != self._cursor and index in {place[1], self._cursor[1]}
            if old != new or moved:
                self.refresh(Region(0, index, self.size.width, 1))
        self._rows, self._cursor = rows, place

    def render_line(self, y: int) -> Strip:
        """Draw one row, the cursor's cell in reverse."""
        width = self.size.width
        style = self.rich_style
        text = (self._rows[y] if y < len(self._rows) else "").ljust(width)
        x, row = self._cursor
        if y != row or x >= width:
            return Strip([Segment(text, style)]).adjust_cell_length(width, style)
        marked = style + style.__class__(reverse=True)
        parts = [(text[:x], style), (text[x : x + 1], marked), (text[x + 1 :], style)]
        return Strip([Segment(*part) for part in parts if part[0]]).adjust_cell_length(width, style)


class HandsOnScreen(ModalScreen[str], inherit_bindings=False):
    """Dismissed when the console was given back; with a sentence where it could not be taken."""

    CSS_PATH = "handson.tcss"
    BINDINGS: ClassVar = []

    def __init__(self, request: TakeOver) -> None:
        super().__init__()
        self._request = request
        self._shown = ""

    def compose(self) -> ComposeResult:
        """One row of words, the console, one row of keys."""
        with Vertical():
            yield Static("", id="hands-head", markup=False)
            yield Terminal(id="terminal")
            yield Static(
                "^] (Ctrl and ]) gives the console back to the wizard; all else goes to it.",
                id="hands-keys",
            )

    def on_mount(self) -> None:
        """Look ten times a second; only changed rows cost bytes."""
        self.set_interval(0.1, self.look)
        self.look()

    def look(self) -> None:
        """Draw what the console shows now."""
        if self._request.over:
            self.dismiss(self._request.problem)
            return
        held = self._request.held
        if self._request.leaving:
            self._head("Giving the console back; the wizard looks at what it shows.")
            return
        if held is None:
            self._head("Waiting for the running command to end; the console is yours then.")
            return
        self._head("The console is yours. The wizard waits.")
        self.query_one("#terminal", Terminal).place(held.lines(), held.cursor)

    def _head(self, text: str) -> None:
        if text != self._shown:
            self._shown = text
            self.query_one("#hands-head", Static).update(text, layout=False)

    def on_key(self, event: events.Key) -> None:
        """Send the key to the console."""
        event.stop()
        event.prevent_default()
        held = self._request.held
        if event.key == GIVE_BACK or (held is None and event.key == "escape"):
            self._request.give_back()
            self.look()
        elif held is not None:
            self._send(held, key_bytes(event.key, event.character))

    def on_paste(self, event: events.Paste) -> None:
        """Type what was pasted."""
        event.stop()
        if self._request.held is not None:
            self._send(self._request.held, event.text.replace("\n", "\r").encode())

    def _send(self, held: HandsOn, data: bytes) -> None:
        if not data:
            return
        try:
            held.write(data)
        except ConsoleError as error:
            self._request.give_back()
            self._request.problem = f"{error.what} {error.now}".strip()
        self.look()
