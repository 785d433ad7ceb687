"""What changed, as one tree by path: it grows while the answers come."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterable
from typing import TYPE_CHECKING

from textual.widget import Widget
from textual.widgets import Static

from screens.commands import Command
from screens.preview import filter as filters
from screens.preview import saving
from screens.preview.base import PreviewPage
from screens.preview.datasets import DatasetsScreen
from screens.preview.detail import BESIDE, CANCEL, GET, copying
from screens.preview.model import Comparison
from screens.preview.target import Target
from screens.style import printable
from screens.widgets.changetree import ChangeTree, counted
from screens.words import span
from zrwizard.flows.preview import shown
from zrwizard.preview.desk import Fetch
from zrwizard.preview.events import Coverage
from zrwizard.preview.records import Shown

if TYPE_CHECKING:
    from screens.preview.guide import Guide

DRAW_EVERY = 0.25
DRAW_SELDOM = 1.0
"""In the console style: a serial line has no room for more."""
SLICE = 0.02


class ChangesPage(PreviewPage):
    """The tree of a comparison, whether it still runs or not."""

    CSS_PATH = "preview.tcss"
    CRUMB = "Changes"
    TABLE = (
        Command(
            "detail",
            ("d",),
            "detail",
            "Look at both versions",
            "Size, mode, owner and times on both sides; text side by side. Enter on a file, too.",
        ),
        Command(
            "filter",
            ("f",),
            "filter",
            "Show only some",
            "By kind (+ - M R), by least size (>10M), by name (part of it, or *.conf).",
        ),
        Command("search", ("slash",), "search", "Search a name", "Goes to the next such name."),
        Command("next", ("n",), "", "Search on", "Goes to the next one, round at the end."),
        CANCEL,
        Command(
            "export",
            ("e",),
            "export",
            "Save what was found",
            "JSON lines, CSV or Markdown, by the ending of the file name: .json .csv .md.",
        ),
        Command(
            "mount",
            ("m",),
            "mount",
            "Mount what is not mounted",
            "Shows the plan that mounts it read-only as long as the preview lasts, and asks.",
        ),
        Command(
            "datasets",
            ("i",),
            "datasets",
            "Say what came of each dataset",
            "How much of each one's answer came, why it is partial, and what a send would carry.",
        ),
    )
    LATER = (GET, BESIDE)
    ABOUT = (
        "+ was added, - removed, M modified, R renamed; a removed file with another of its name "
        "in its place is -+. At the right of a directory: how many of each lie below it, and "
        "bytes before and after where they are known.\n"
        "Enter opens and closes a directory (right and left do, l and h too); Up, Down, Page "
        "keys, Space and p move, < and > go to the first and the last row.\n"
        "It grows while the answers come. What broke off is marked partial, with the reason: "
        "then something may have changed that is not listed.\n"
        "Everything here only looks. g copies an older version to this computer."
    )

    def __init__(self, guide: Guide) -> None:
        super().__init__(guide)
        self._drawn = 0.0
        self._changed = True
        self._searched = ""
        self._job: Generator[float, None, None] | None = None

    @property
    def comparison(self) -> Comparison:
        """The comparison that is shown."""
        comparison = self.model.comparison
        assert comparison is not None  # noqa: S101 - the page is made for one
        return comparison

    def body(self) -> Iterable[Widget]:
        """Yield what runs, the tree, what is under the cursor, the line for a text."""
        yield Static("", id="head", markup=False)
        yield Static("", id="running", markup=False)
        yield ChangeTree(self.comparison.tree, self.comparison.at, id="tree")
        yield Static("", id="under", markup=False)
        yield from self.prompt()

    def mounted(self) -> None:
        """Draw what is there."""
        self.draw()
        self.refocus()
        # Only now: its first rows must not wait until this page has been laid out.
        self.model.ask_comparison()

    def refocus(self) -> None:
        """The keys are the tree's."""
        self.pane.focus()

    @property
    def pane(self) -> ChangeTree:
        """The widget."""
        return self.query_one("#tree", ChangeTree)

    # Drawing

    def changed(self) -> None:
        """Draw soon; the first rows at once."""
        self._changed = True
        every = DRAW_SELDOM if self.zr.plain else DRAW_EVERY
        first = self._drawn_changes == 0 and self.comparison.changes > 0
        if first or time.monotonic() - self._drawn >= every:
            self.draw()

    def beat(self) -> None:
        """Move the clock, draw what came since."""
        if self._changed or not self.comparison.over:
            self.changed()
        self._draw_head()

    def draw(self) -> None:
        """Put what is known into the widgets; only what differs reaches the wire."""
        self._drawn, self._changed = time.monotonic(), False
        if self.comparison.at is not None and self._drawn_changes == 0:
            self.pane.go(self.comparison.at)
        self._drawn_changes = self.comparison.changes
        self.pane.sync()
        self._draw_head()
        self._draw_under()

    _drawn_changes = 0

    def _put(self, selector: str, text: str) -> None:
        width = max(20, self.size.width - 2)
        rows = [_cut(row, width) for row in printable(text).split("\n")]
        self.zr.put_text(self.query_one(selector, Static), "\n".join(rows))

    def on_unmount(self) -> None:
        """What goes through the tree ends with the page."""
        if self._job is not None:
            self._job.close()

    def _draw_head(self) -> None:
        comparison = self.comparison
        request = comparison.request
        newer = f"@{request.newer}" if request.newer is not None else "now"
        # The clock stands at a row's end, where it costs the fewest bytes.
        many = "change" if comparison.changes == 1 else "changes"
        head = f"{request.root} @{request.older} to {newer}: {_number(comparison.changes)} {many}"
        if not comparison.over:
            head += f", {_number(int(comparison.rate))}/s, {span(comparison.seconds)}"
        elif comparison.partial:
            head += f" in {span(comparison.seconds)}, partial"
        else:
            head += f" in {span(comparison.seconds)}, complete"
        self._put("#head", head)
        self._put("#running", self._what_runs())

    def _what_runs(self) -> str:
        comparison = self.comparison
        if self._told_job:
            return self._told_job
        if isinstance(self.model.working, Fetch):
            return copying(self.model)
        if not comparison.over:
            return f"$ {comparison.command}" if comparison.command else "Waiting for the machine."
        wanted, left = comparison.filter, comparison.tree.shown
        text = ""
        if wanted != filters.Filter():
            text = f"Shown: {_number(left.shown)} of {_number(left.total)} ({wanted.text}). "
        if comparison.partial:
            return f"{text}Partial (i says more): {comparison.partial}"
        return f"{text}Every list came whole (i says of which datasets)."

    _told_job = ""

    def _draw_under(self) -> None:
        row = self.pane.row
        if row is None:
            self._put("#under", "\n")
            return
        tree = self.comparison.tree
        path = shown(tree.path(row.node))
        words = [row.word or ("leads to changes" if row.has_children else "")]
        words += [counted(row.counts)] if row.has_children else []
        dataset = tree.dataset(row.node)
        words += [dataset] if dataset else []
        words += [self.pane.position]
        self._put("#under", f"{path}\n{', '.join(word for word in words if word)}")

    def on_change_tree_moved(self) -> None:
        """Say what is under the cursor."""
        self.comparison.at = self.pane.node
        self._draw_under()
        self.refresh_keys()

    def on_change_tree_chosen(self) -> None:
        """Enter on a file."""
        self.do_detail()

    # Commands

    def can(self, name: str) -> bool:
        """What fits to what is under the cursor, and to what runs."""
        match name:
            case "get" | "beside":
                target = self._target()
                return target is not None and target.copyable
            case "detail":
                return self._target() is not None
            case "cancel":
                return not self.comparison.over or self.model.working is not None
            case "next":
                return bool(self._searched)
            case "mount":
                return self.comparison.over and any(
                    one.coverage is Coverage.NONE for one in self.comparison.pairs.values()
                )
            case _:
                return super().can(name)

    def _target(self) -> Target | None:
        """Return the path under the cursor, where it lies in a dataset that was compared."""
        if not self.query("#tree"):
            return None
        row = self.pane.row
        if row is None:
            return None
        tree = self.comparison.tree
        progress = self.comparison.pairs.get(tree.dataset(row.node) or "")
        if progress is None:
            return None
        path = tree.path(row.node)
        kind, there = row.kinds[-1:], row.type
        if row.came_from is not None:
            return Target(progress.pair, row.came_from, path, kind, there)
        return Target(progress.pair, path, row.went_to, kind, there)

    def do_detail(self) -> None:
        """Show both versions."""
        target = self._target()
        if target is not None:
            self.guide.open_detail(target)

    def do_get(self) -> None:
        """Copy the older version to this computer."""
        target = self._target()
        if target is not None:
            self.guide.ask_get(self, target)

    def do_beside(self) -> None:
        """Put the older version beside the file."""
        target = self._target()
        if target is not None:
            self.guide.ask_beside(target)

    def do_mount(self) -> None:
        """Mount what is not mounted, after a yes."""
        self.guide.ask_mount()

    def do_cancel(self) -> None:
        """End what runs."""
        self.guide.cancel()
        self.tell("Cancelled: what came until now stays, and is marked partial.")

    def do_datasets(self) -> None:
        """Show what came of each dataset."""
        self.app.push_screen(DatasetsScreen(self.comparison))

    # Filter and search: in slices, so that the screen never stands still

    def do_filter(self) -> None:
        """Ask what is to be shown."""
        self.ask_text(filters.HOW, self.comparison.filter.text, self._filter)

    def _filter(self, text: str) -> None:
        try:
            wanted = filters.read(text)
        except filters.FilterError as error:
            self.tell(str(error))
            return
        self.comparison.filter = wanted
        self._begin(self._filtering(wanted))

    def _filtering(self, wanted: filters.Filter) -> Generator[float, None, None]:
        left: Shown = yield from self.comparison.tree.filter_steps(
            wanted.kinds, wanted.name, wanted.size
        )
        if not left.shown:
            self.tell(f"None of {_number(left.total)} changed paths is like that; f changes it.")
        self.draw()

    def do_search(self) -> None:
        """Ask for a name."""
        self.ask_text("Search for this part of a name:", self._searched, self._search)

    def _search(self, text: str) -> None:
        self._searched = text
        if text:
            self.do_next()

    def do_next(self) -> None:
        """Go to the next one."""
        self._begin(self._searching(self._searched))

    def _searching(self, text: str) -> Generator[float, None, None]:
        node = yield from self.comparison.tree.find_steps(text, self.pane.node)
        if node is None:
            self.tell(f"Nothing that is shown has {text} in its name.")
        else:
            self.pane.go(node)
            self.tell("")

    def _begin(self, job: Generator[float, None, None]) -> None:
        if self._job is not None:
            self._job.close()
        self._job = job
        self._work()

    def _work(self) -> None:
        """Do a slice of the filter or the search, and the next one after a breath."""
        until = time.monotonic() + SLICE
        job = self._job
        try:
            while job is not None and time.monotonic() < until:
                self._told_job = f"Going through the tree: {int(next(job) * 100)} %"
        except StopIteration:
            self._job = None
        if self._job is None:
            self._told_job = ""
        elif self.is_mounted:
            self.set_timer(0.005, self._work)
        self._draw_head()

    # Export

    def do_export(self) -> None:
        """Ask for a file name."""
        name = saving.suggested(self.comparison.request)
        self.ask_text("Save to this file (.json, .csv or .md; Esc: do not):", name, self._export)

    def _export(self, name: str) -> None:
        self._begin(self._saving(name))

    def _saving(self, name: str) -> Generator[float, None, None]:
        self.guide.held = True
        try:
            path = yield from saving.save_steps(self.comparison.tree, name)
        except saving.NotSaved as error:
            self.tell(str(error))
        else:
            self.tell(f"Saved to {path}")
        finally:
            self.guide.held = False


def _number(count: int) -> str:
    return f"{count:,}"


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1] + "~"
