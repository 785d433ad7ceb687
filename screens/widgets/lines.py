"""Rows of text that scroll: review, traffic, help and report are all made of it."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from rich.segment import Segment
from textual import events
from textual.geometry import Region, Size
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget


@dataclass(frozen=True, slots=True)
class Row:
    """One line of text; `kind` picks its look, `indent` is where its continuation starts."""

    text: str
    kind: str = ""
    indent: int = 0


KINDS = ("dim", "strong", "danger", "good", "typed", "added", "removed")


def wrap(row: Row, width: int) -> list[Row]:
    """Return the row broken to `width` cells, its own blanks kept."""
    if len(row.text) <= width:
        return [row]
    widest = max(0, width - 20)
    indent = min(row.indent, widest)
    text = row.text.lstrip()
    parts = textwrap.wrap(
        text,
        max(width, indent + 8),
        # As an indent they stand before the first word even where that fills the row.
        initial_indent=row.text[: min(len(row.text) - len(text), widest)],
        subsequent_indent=" " * indent,
        replace_whitespace=False,
        drop_whitespace=True,
        break_on_hyphens=False,
    )
    return [Row(part, row.kind) for part in parts]


class Lines(Widget, can_focus=True):
    """Wrapped rows with a window on them; it keeps at most `limit` source rows.

    It is drawn by lines and never laid out again when rows come, so a new row costs the bytes of
    this widget's own region and no more.
    """

    COMPONENT_CLASSES: ClassVar[set[str]] = {f"lines--{kind}" for kind in KINDS}
    DEFAULT_CSS = """
    Lines { height: 1fr; width: 1fr; }
    Lines > .lines--dim { text-style: none; color: $text-muted; }
    Lines > .lines--strong { text-style: bold; }
    Lines > .lines--danger { color: $error; text-style: bold; }
    Lines > .lines--good { color: $success; }
    Lines > .lines--typed { color: $primary; }
    Lines > .lines--added { color: $success; }
    Lines > .lines--removed { color: $error; }
    Lines:ansi > .lines--dim { color: ansi_default; }
    Lines:ansi > .lines--added { color: ansi_default; }
    Lines:ansi > .lines--removed { color: ansi_default; }
    """

    def __init__(self, *, limit: int = 20000, follow: bool = False, id: str | None = None) -> None:
        super().__init__(id=id)
        self._source: list[Row] = []
        self._rows: list[Row] = []
        self._limit = limit
        self._follow = follow
        self._width = 0
        self._held = False
        self.top = 0

    def show(self, rows: Iterable[Row], *, keep: bool = False) -> None:
        """Show these rows instead; `keep` leaves the window where it is."""
        self._source = list(rows)[-self._limit :]
        self._rewrap()
        if self._follow:
            self.top = self._last
        elif not keep:
            self.top = 0
        self.top = min(self.top, self._last)
        self.refresh()

    def add(self, rows: Sequence[Row]) -> None:
        """Append rows; the window follows when it showed the end."""
        if not rows:
            return
        at_end = self.top >= self._last
        self._source.extend(rows)
        if len(self._source) > self._limit:
            del self._source[: len(self._source) - self._limit]
        for row in rows[-self._limit :]:
            self._rows.extend(wrap(row, self._width or 80))
        if len(self._rows) > 2 * self._limit:
            del self._rows[: len(self._rows) - 2 * self._limit]
        self.top = self._last if at_end and self._follow else min(self.top, self._last)
        self.refresh()

    def replace(self, rows: Sequence[Row], at: int) -> None:
        """Show these rows with row `at` in sight; only rows that differ are drawn.

        The rows are cut, not wrapped; unless the focus is here, the window follows `at`.
        """
        old, old_top = self._rows, self.top
        self._source = self._rows = list(rows)
        self._width = 0
        height = max(1, self.size.height)
        if not self.has_focus or not self._held:
            self.top = max(0, min(at - height // 2, self._last))
        self.top = min(self.top, self._last)
        if self.top != old_top or len(old) != len(rows):
            self.refresh()
            return
        for y in range(height):
            index = self.top + y
            if index < len(rows) and rows[index] != old[index]:
                self.refresh(Region(0, y, self.size.width, 1))

    @property
    def _last(self) -> int:
        return max(0, len(self._rows) - max(1, self.size.height))

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        """Return how many rows the text takes at `width`, for a height of `auto`."""
        return sum(len(wrap(row, width)) for row in self._source)

    @property
    def position(self) -> str:
        """Return `lines 1-12 of 80`, or nothing where all is in sight."""
        height = self.size.height
        if len(self._rows) <= height:
            return ""
        total = len(self._rows)
        return f"lines {self.top + 1}-{min(total, self.top + height)} of {total}"

    def _rewrap(self) -> None:
        self._width = self.size.width
        width = self._width or 80
        self._rows = [part for row in self._source for part in wrap(row, width)]

    def on_resize(self) -> None:
        """Break the rows anew for the new width."""
        if self.size.width != self._width:
            self._rewrap()
        self.top = self._last if self._follow else min(self.top, self._last)
        self.refresh()

    def render_line(self, y: int) -> Strip:
        """Draw row `y` of the window."""
        width = self.size.width
        index = self.top + y
        if not 0 <= index < len(self._rows):
            return Strip.blank(width, self.rich_style)
        row = self._rows[index]
        style = self.rich_style
        if row.kind:
            style = style + self.get_component_rich_style(f"lines--{row.kind}", partial=True)
        return Strip([Segment(row.text, style)]).adjust_cell_length(width, style)

    def move(self, rows: int) -> None:
        """Scroll by `rows`."""
        top = max(0, min(self._last, self.top + rows))
        self._held = top < self._last
        if top != self.top:
            self.top = top
            self.refresh()
            self.post_message(self.Moved())

    def next_of(self, kind: str) -> None:
        """Scroll so that the next block of rows of this kind is at the top; round at the end."""
        rows = self._rows
        starts = [
            index
            for index, row in enumerate(rows)
            if row.kind == kind and (index == 0 or rows[index - 1].kind != kind)
        ]
        if starts:
            after = [index for index in starts if index > self.top]
            self.move((after or starts)[0] - self.top)

    class Moved(Message):
        """The window moved."""

    def on_key(self, event: events.Key) -> None:
        """Scroll by keys; Space and `p` stand in for keys that a terminal may lack."""
        page = max(1, self.size.height - 1)
        steps = {
            "up": -1,
            "down": 1,
            "pageup": -page,
            "pagedown": page,
            "space": page,
            "p": -page,
            "home": -len(self._rows),
            "end": len(self._rows),
        }
        if event.key in steps:
            event.stop()
            self.move(steps[event.key])

    def on_mouse_scroll_down(self) -> None:
        """Scroll three rows on."""
        self.move(3)

    def on_mouse_scroll_up(self) -> None:
        """Scroll three rows back."""
        self.move(-3)
