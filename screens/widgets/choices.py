"""A list of things to choose from, with columns, locked rows and a cursor."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from rich.cells import cell_len, set_cell_size
from rich.segment import Segment
from textual import events
from textual.geometry import Region
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget

from screens.style import printable
from zrwizard.flows.moves import Option

GAP = 2
MARKS = 3
NARROWEST = 6


class Choices(Widget, can_focus=True):
    """Options as rows. `>` is the cursor, `*` is proposed, `x` locked, `+` marked.

    Drawn by lines: a step of the cursor costs two rows on the wire.
    """

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "choices--cursor",
        "choices--locked",
        "choices--head",
        "choices--proposed",
    }
    DEFAULT_CSS = """
    Choices { height: 1fr; width: 1fr; }
    Choices > .choices--cursor { text-style: reverse; }
    Choices > .choices--locked { color: $text-muted; }
    Choices > .choices--head { text-style: bold underline; }
    Choices > .choices--proposed { color: $success; }
    Choices:ansi > .choices--locked { color: ansi_default; }
    """

    class Highlighted(Message):
        """The cursor stands on `option`."""

        def __init__(self, option: Option) -> None:
            super().__init__()
            self.option = option

    class Chosen(Message):
        """Enter was pressed on `option`, which may be locked."""

        def __init__(self, option: Option) -> None:
            super().__init__()
            self.option = option

    def __init__(
        self,
        options: Sequence[Option] = (),
        columns: Sequence[str] = (),
        start: str | None = None,
        id: str | None = None,
    ) -> None:
        super().__init__(id=id)
        self.options: tuple[Option, ...] = tuple(options)
        self._columns = tuple(columns)
        self._cells = [self._texts(option) for option in self.options]
        self._widths: list[int] = []
        self.marked: list[str] = []
        self.cursor = self._start(start)
        self._top = 0

    def _start(self, value: str | None) -> int:
        for index, option in enumerate(self.options):
            if option.value == value:
                return index
        for index, option in enumerate(self.options):
            if option.recommended and not option.locked:
                return index
        return next((i for i, option in enumerate(self.options) if not option.locked), 0)

    def _texts(self, option: Option) -> tuple[str, ...]:
        cells = option.cells
        if not cells or len(self._columns) != len(cells):
            cells = (option.label, *cells)
        return tuple(printable(cell).replace("\n", " ") for cell in cells)

    def put(self, options: Sequence[Option]) -> None:
        """Show these options instead; the cursor stays with its option's value where it can."""
        value = self.current.value if self.current is not None else None
        self.options = tuple(options)
        self._cells = [self._texts(option) for option in self.options]
        self.cursor = self._start(value)
        self._fit()
        self._follow()
        self.refresh()
        self._tell()

    @property
    def current(self) -> Option | None:
        """The option under the cursor."""
        return self.options[self.cursor] if self.options else None

    @property
    def position(self) -> str:
        """Return `3 of 120`, or nothing where all rows are in sight."""
        if len(self.options) <= self._room:
            return ""
        return f"{self.cursor + 1} of {len(self.options)}"

    @property
    def _head(self) -> int:
        return 1 if self._columns else 0

    @property
    def _room(self) -> int:
        return max(1, self.size.height - self._head)

    def on_mount(self) -> None:
        """Tell the page what stands under the cursor."""
        self._tell()

    def on_resize(self) -> None:
        """Fit the columns into the new width."""
        self._fit()
        self._follow()
        self.refresh()

    def _fit(self) -> None:
        """Give each column its longest cell; the widest gives way until the row fits."""
        rows = [self._columns, *self._cells] if self._columns else self._cells
        count = max((len(row) for row in rows), default=0)
        widths = [max(cell_len(row[i]) for row in rows if i < len(row)) for i in range(count)]
        room = self.size.width - MARKS - GAP * max(0, count - 1)
        while sum(widths) > room and max(widths, default=0) > NARROWEST:
            widest = widths.index(max(widths))
            widths[widest] -= 1
        self._widths = widths

    def _follow(self) -> bool:
        """Keep the cursor in the window; return whether the window moved."""
        top = min(self._top, max(0, len(self.options) - self._room))
        if self.cursor < top:
            top = self.cursor
        elif self.cursor >= top + self._room:
            top = self.cursor - self._room + 1
        moved = top != self._top
        self._top = top
        return moved

    def render_line(self, y: int) -> Strip:
        """Draw the head or one option."""
        width = self.size.width
        if y < self._head:
            style = self.rich_style + self.get_component_rich_style("choices--head", partial=True)
            return self._strip("   ", self._columns, width, style)
        index = self._top + y - self._head
        if index >= len(self.options):
            return Strip.blank(width, self.rich_style)
        option = self.options[index]
        style = self.rich_style
        if option.locked:
            style = style + self.get_component_rich_style("choices--locked", partial=True)
        elif option.recommended:
            style = style + self.get_component_rich_style("choices--proposed", partial=True)
        here = index == self.cursor
        if here:
            style = style + self.get_component_rich_style("choices--cursor", partial=True)
        mark = "x" if option.locked else "*" if option.recommended else " "
        mark = "+" if option.value in self.marked else mark
        return self._strip(f"{'>' if here else ' '}{mark} ", self._cells[index], width, style)

    def _strip(self, marks: str, cells: Sequence[str], width: int, style: object) -> Strip:
        parts = []
        for cell, size in zip(cells, self._widths, strict=False):
            cut = cell if cell_len(cell) <= size else set_cell_size(cell, max(1, size - 1)) + "~"
            parts.append(set_cell_size(cut, size))
        text = marks + (" " * GAP).join(parts)
        return Strip([Segment(text, style)]).adjust_cell_length(width, style)  # type: ignore[arg-type]

    def _tell(self) -> None:
        if self.current is not None:
            self.post_message(self.Highlighted(self.current))

    def move_to(self, index: int) -> None:
        """Put the cursor on option `index`, cut to what there is."""
        index = max(0, min(len(self.options) - 1, index))
        if not self.options or index == self.cursor:
            return
        old, self.cursor = self.cursor, index
        if self._follow():
            self.refresh()
        else:
            for row in (old, index):
                y = row - self._top + self._head
                self.refresh(Region(0, y, self.size.width, 1))
        self._tell()

    def mark(self, values: Sequence[str]) -> None:
        """Mark the options with these values, in this order, and no others."""
        self.marked = list(values)
        self.refresh()

    def on_key(self, event: events.Key) -> None:
        """Move the cursor, or choose."""
        page = max(1, self._room - 1)
        moves = {
            "up": -1,
            "down": 1,
            "k": -1,
            "j": 1,
            "pageup": -page,
            "pagedown": page,
            "home": -len(self.options),
            "end": len(self.options),
        }
        if event.key in moves:
            event.stop()
            self.move_to(self.cursor + moves[event.key])
        elif event.key == "enter" and self.current is not None:
            event.stop()
            self.post_message(self.Chosen(self.current))

    def on_click(self, event: events.Click) -> None:
        """A click marks a row, a second one chooses it."""
        index = self._top + event.y - self._head
        if 0 <= index < len(self.options) and event.y >= self._head:
            if index == self.cursor:
                self.post_message(self.Chosen(self.options[index]))
            else:
                self.move_to(index)
