"""The tree of changes, drawn by lines: a million of them cost what fits on the screen."""

from __future__ import annotations

from typing import ClassVar

from rich.cells import cell_len, set_cell_size
from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.geometry import Region
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget

from screens.style import printable
from zrwizard.flows.preview import shown
from zrwizard.preview.records import Counts, Row
from zrwizard.preview.tree import ROOT, Tree

LOOKS = {"+": "added", "-": "removed", "M": "modified", "R": "renamed"}
_SUFFIX = {"/": "/", "@": "@", "|": "|", "=": "="}
COUNTS = 20
BYTES = 14
DEEPEST = 12
"""Levels that are indented; what lies deeper stays there, so that a name is left to read."""


class ChangeTree(Widget, can_focus=True):
    """A window on the rows of a `Tree`. `>` at the left is the cursor, which stays on its node.

    Only rows that differ are drawn again, so a tree that grows out of sight costs nothing.
    """

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "changetree--cursor",
        "changetree--dim",
        *(f"changetree--{name}" for name in LOOKS.values()),
    }
    DEFAULT_CSS = """
    ChangeTree { height: 1fr; width: 1fr; }
    ChangeTree > .changetree--cursor { text-style: reverse; }
    ChangeTree > .changetree--dim { color: $text-muted; }
    ChangeTree > .changetree--added { color: $success; }
    ChangeTree > .changetree--removed { color: $error; }
    ChangeTree > .changetree--modified { color: $warning; }
    ChangeTree > .changetree--renamed { color: $primary; }
    ChangeTree:ansi > .changetree--dim { color: ansi_default; }
    """

    class Moved(Message):
        """The cursor stands on another row."""

    class Chosen(Message):
        """Enter on what cannot be opened."""

    def __init__(self, tree: Tree, at: int | None = None, id: str | None = None) -> None:
        super().__init__(id=id)
        self._tree = tree
        self._node = at if at is not None else ROOT
        self._cursor = 0
        self._top = 0
        self._rows: list[Row] = []

    @property
    def node(self) -> int:
        """The node under the cursor."""
        return self._node

    @property
    def row(self) -> Row | None:
        """The row under the cursor, where it is in sight."""
        at = self._cursor - self._top
        return self._rows[at] if 0 <= at < len(self._rows) else None

    @property
    def position(self) -> str:
        """Return `3 of 120`."""
        return f"{self._cursor + 1} of {self._tree.row_count}"

    @property
    def _height(self) -> int:
        return max(1, self.size.height)

    def on_mount(self) -> None:
        """Fetch the first rows."""
        self.sync()

    def on_resize(self) -> None:
        """Fetch as many rows as there is room for."""
        self._rows = []
        self.sync()
        self.refresh()

    def sync(self) -> None:
        """Draw what the tree has become; the cursor stays with its node where that is shown."""
        index = self._tree.index(self._node)
        node: int | None = self._node
        while index is None and node is not None:
            # Its directory was closed, or the filter hides it: the next one above that is shown.
            node = self._tree.parent(node)
            index = self._tree.index(node) if node is not None else None
        if index is None:
            index = min(self._cursor, max(0, self._tree.row_count - 1))
            found = self._tree.node_at(index)
            node = found if found is not None else ROOT
        held = self._cursor - self._top
        self._top = max(0, index - held)
        self._place(index, node if node is not None else ROOT)

    def go(self, node: int) -> None:
        """Put the cursor on a node, whose directories are opened."""
        self._tree.open_to(node)
        index = self._tree.index(node)
        if index is not None:
            self._place(index, node)

    def move_to(self, index: int) -> None:
        """Put the cursor on a row, cut to what there is."""
        index = max(0, min(self._tree.row_count - 1, index))
        node = self._tree.node_at(index)
        if node is not None:
            self._place(index, node)

    def _place(self, index: int, node: int) -> None:
        """Make row `index` the cursor's, fetch the window, draw the rows that differ."""
        before, at, held = self._rows, self._cursor - self._top, self._node
        height = self._height
        top = min(self._top, max(0, self._tree.row_count - height))
        top = min(max(top, index - height + 1), index)
        old_top, self._top = self._top, max(0, top)
        self._cursor, self._node = index, node
        self._rows = self._tree.rows(self._top, height)
        here = index - self._top
        for y in range(height):
            old = before[y] if y < len(before) else None
            new = self._rows[y] if y < len(self._rows) else None
            if old != new or (y in (at, here) and (at != here or old_top != self._top)):
                self.refresh(Region(0, y, self.size.width, 1))
        if node != held or at != here:
            self.post_message(self.Moved())

    # Drawing

    def render_line(self, y: int) -> Strip:
        """Draw row `y` of the window."""
        width = self.size.width
        if y >= len(self._rows):
            return Strip.blank(width, self.rich_style)
        row = self._rows[y]
        here = self._top + y == self._cursor
        look = self._look(LOOKS.get(row.kinds[-1:], "dim"))
        kinds = Segment(f"{'>' if here else ' '}{row.kinds:2} ", look)
        room = max(12, width - 4 - COUNTS - BYTES)
        name = Segment(_fit(_name(row, self._tree.path(row.node)), room), look)
        plain = self.rich_style
        right = Segment(f"{_counts(row):>{COUNTS}}{_bytes(row):>{BYTES}}", plain)
        strip = Strip([kinds, name, right]).adjust_cell_length(width, plain)
        return strip.apply_style(self._look("cursor")) if here else strip

    def _look(self, name: str) -> Style:
        return self.rich_style + self.get_component_rich_style(f"changetree--{name}", partial=True)

    # Keys

    def on_key(self, event: events.Key) -> None:
        """Move, open, close; letters stand in for keys that a terminal may lack."""
        page = max(1, self._height - 1)
        moves = {
            "up": -1,
            "k": -1,
            "down": 1,
            "j": 1,
            "pageup": -page,
            "p": -page,
            "pagedown": page,
            "space": page,
        }
        match event.key:
            case key if key in moves:
                self.move_to(self._cursor + moves[key])
            case "home" | "less_than_sign":
                self.move_to(0)
            case "end" | "greater_than_sign":
                self.move_to(self._tree.row_count - 1)
            case "enter":
                self.enter()
            case "right" | "l":
                self.open()
            case "left" | "h":
                self.close()
            case _:
                return
        event.stop()

    def enter(self) -> None:
        """Open or close a directory; of anything else the page shows the detail."""
        row = self._tree.row(self._node)
        if row.has_children:
            self._tree.toggle(self._node)
            self.sync()
        else:
            self.post_message(self.Chosen())

    def open(self) -> None:
        """Open the directory, or go into it where it is open."""
        row = self._tree.row(self._node)
        if row.has_children and not row.is_open:
            self._tree.toggle(self._node)
            self.sync()
        elif row.has_children:
            self.move_to(self._cursor + 1)

    def close(self) -> None:
        """Close the directory, or go to the one above."""
        if self._tree.row(self._node).is_open:
            self._tree.toggle(self._node)
            self.sync()
            return
        parent = self._tree.parent(self._node)
        if parent is not None:
            self.go(parent)

    def on_click(self, event: events.Click) -> None:
        """A click puts the cursor there, a second one opens."""
        index = self._top + event.y
        if index == self._cursor:
            self.enter()
        elif index < self._tree.row_count:
            self.move_to(index)

    def on_mouse_scroll_down(self) -> None:
        """Three rows on."""
        self.move_to(self._cursor + 3)

    def on_mouse_scroll_up(self) -> None:
        """Three rows back."""
        self.move_to(self._cursor - 3)


# --- a row as text --------------------------------------------------------------------------------


def _name(row: Row, here: bytes) -> str:
    indent = "  " * min(row.depth, DEEPEST)
    mark = ("v " if row.is_open else "> ") if row.has_children else "  "
    name = printable(shown(row.name))
    name += "" if name.endswith("/") else _SUFFIX.get(row.type, "/" if row.has_children else "")
    if row.dataset is not None:
        name += f"  [{printable(row.dataset)}]"
    if row.came_from is not None:
        name += f"  (was {other_name(row.came_from, here)})"
    elif row.went_to is not None:
        name += f"  (now {other_name(row.went_to, here)})"
    return f"{indent}{mark}{name}"


def other_name(path: bytes, here: bytes) -> str:
    """Return what a path is called from `here`: its last part where it is in the same directory."""
    above, _, last = path.rpartition(b"/")
    return printable(shown(last if above == here.rpartition(b"/")[0] else path))


def _fit(text: str, width: int) -> str:
    return (
        set_cell_size(text, width - 1) + "~"
        if cell_len(text) > width
        else set_cell_size(text, width)
    )


def _counts(row: Row) -> str:
    """Return `+12 -3 M4 R1` of a directory; a file's own letter says enough."""
    return counted(row.counts) if row.has_children else ""


def counted(counts: Counts) -> str:
    """Return the counts that are not zero, each with its letter."""
    numbers = zip("+-MR", counts[:4], strict=True)
    return " ".join(f"{letter}{few(number)}" for letter, number in numbers if number)


def _bytes(row: Row) -> str:
    if row.has_children:
        before: int | None = row.counts.before
        after: int | None = row.counts.after
        if not row.counts.sized:
            return ""
    else:
        before, after = row.before, row.after
    if before is None and after is None:
        return ""
    return f"{_size(before)}>{_size(after)}"


def _size(count: int | None) -> str:
    return "-" if count is None else brief(count)


def brief(count: int) -> str:
    """Return bytes in at most five characters: `999`, `1.2K`, `340M`."""
    if count < 1000:
        return str(count)
    value = float(count)
    for unit in "KMGTPE":
        value /= 1024
        if value < 9.95:
            return f"{value:.1f}{unit}"
        if value < 999.5:
            return f"{value:.0f}{unit}"
    return f"{value:.0f}E"


def few(count: int) -> str:
    """Return a number in at most four characters: `9999`, `12k`, `3m`."""
    if count < 10_000:
        return str(count)
    return f"{count // 1000}k" if count < 1_000_000 else f"{count // 1_000_000}m"
