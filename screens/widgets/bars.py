"""The first and the last row of every page: where we are, and which keys do what."""

from __future__ import annotations

from collections.abc import Sequence

from textual.content import Content
from textual.widget import Widget

from screens.commands import Command

PAGES = ("Connect", "Network", "Source", "Disk", "Review", "Run", "Report")
SERVER = ("Connect", "Purpose", "Disk", "Access", "Keys", "System", "Review", "Run", "Report")
PREVIEW = ("Connect", "Tree", "Snapshots", "Changes", "Path")


def crumbs(page: str, seen: Sequence[str] = PAGES) -> list[str]:
    """Return the pages in order, `page` among them."""
    return [*seen] if page in seen else [*seen, page]


class Breadcrumb(Widget):
    """`Connect > [Source] > Disk`: the page we are on is in brackets, and bold."""

    DEFAULT_CSS = """
    Breadcrumb { height: 1; width: 1fr; background: $panel; }
    """

    def __init__(self, page: str, where: str = "", trail: Sequence[str] = PAGES) -> None:
        super().__init__()
        self._page = page
        self._where = where
        self._trail = trail

    def place(self, page: str, where: str) -> None:
        """Show another page as the present one; `where` names the console."""
        if (page, where) != (self._page, self._where):
            self._page, self._where = page, where
            self.refresh()

    def render(self) -> Content:
        """Draw the row."""
        text = Content(" ")
        names = crumbs(self._page, self._trail) if self._page else []
        for index, name in enumerate(names):
            if index:
                text = text + Content(" > ")
            here = name == self._page
            text = text + (Content(f"[{name}]").stylize("bold") if here else Content(name))
        if not names:
            text = text + Content("zrwizard").stylize("bold")
        room = self.size.width - text.cell_length - 2
        if self._where and room > 8:
            where = self._where if len(self._where) <= room else "~" + self._where[1 - room :]
            text = text + Content(where.rjust(room + 1))
        return text


class KeyBar(Widget):
    """`Enter choose  Esc back  ? help`: the keys of the page that work right now."""

    DEFAULT_CSS = """
    KeyBar { height: 1; width: 1fr; background: $panel; }
    """

    def __init__(self) -> None:
        super().__init__()
        self._shown: tuple[tuple[str, str, str], ...] = ()

    def place(self, commands: Sequence[Command], *, typing: bool) -> None:
        """Show these commands; `typing` leaves out the keys that a text field would eat."""
        shown = tuple(
            (command.shown(typing=typing), command.footer, command.name)
            for command in commands
            if command.footer and command.shown(typing=typing)
        )
        if shown != self._shown:
            self._shown = shown
            self.refresh()

    def render(self) -> Content:
        """Draw the row; a click on a word does it too."""
        text = Content("")
        for key, word, name in self._shown:
            entry = Content(" ") + Content(key).stylize("bold") + Content(f" {word} ")
            if text.cell_length + entry.cell_length > self.size.width:
                break
            text = text + entry.stylize_before(f"@click=screen.command('{name}')")
        return text
