"""What came of each dataset of a comparison: how much, why not all, what a send would carry."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.widgets import Static

from screens.pane import Pane
from screens.preview.model import Comparison, Progress
from screens.style import printable
from screens.widgets.lines import Lines, Row
from screens.words import size
from zrwizard.preview.events import Coverage, Fate


class DatasetsScreen(Pane[None]):
    """A list over the tree's page."""

    CSS_PATH = "datasets.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,i,enter,ctrl+c", "leave", show=False),
    ]

    def __init__(self, comparison: Comparison) -> None:
        super().__init__()
        self._comparison = comparison

    def compose(self) -> ComposeResult:
        """Lay out the title and the list."""
        pane = Lines(id="datasets")
        pane.show(list(rows(self._comparison)))
        with Vertical(id="datasets-box"):
            yield Static("What came of each dataset", id="datasets-title")
            yield pane
            yield Static("Esc back   Up, Down, Space and p scroll", id="datasets-keys")

    def on_mount(self) -> None:
        """The keys are the list's."""
        self.query_one("#datasets").focus()

    def action_leave(self) -> None:
        """Back to the tree."""
        self.dismiss(None)


def rows(comparison: Comparison) -> Iterator[Row]:
    """Yield some rows a dataset."""
    if not comparison.pairs:
        yield Row("Nothing is known yet.")
    for progress in comparison.pairs.values():
        yield from _rows(progress)


def _rows(progress: Progress) -> Iterator[Row]:
    pair = progress.pair
    fate = "" if pair.fate is Fate.BOTH else f" ({pair.fate})"
    was = f", was {pair.was}" if pair.was else ""
    yield Row(printable(f"{_mark(progress)} {pair.dataset}{was}{fate}"), _look(progress), 5)
    reason = progress.reason or pair.why
    if reason:
        yield Row(f"     {printable(reason)}", "", 5)
    if progress.count or progress.coverage is Coverage.WHOLE:
        yield Row(f"     {progress.count:,} changes")
    estimate = progress.estimate
    if estimate is not None:
        words = [
            f"{text} {size(count)}"
            for text, count in (
                ("written", estimate.written),
                ("before compression", estimate.logical),
                ("a send would carry about", estimate.stream),
            )
            if count is not None
        ]
        if words:
            yield Row(f"     {', '.join(words)}", "", 5)


def _mark(progress: Progress) -> str:
    match progress.coverage:
        case Coverage.WHOLE:
            return "[ok]"
        case Coverage.PARTIAL:
            return "[~~]"
        case Coverage.NONE:
            return "[!!]"
        case None:
            return "[  ]" if progress.pair.comparable else "[!!]"


def _look(progress: Progress) -> str:
    match progress.coverage:
        case Coverage.WHOLE:
            return "good"
        case Coverage.PARTIAL | Coverage.NONE:
            return "danger"
        case None:
            return "strong"
