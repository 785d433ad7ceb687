"""The end: what came out, where the report is, what to do now."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from textual.widget import Widget
from textual.widgets import Static

from screens.commands import Command
from screens.page import Page
from screens.style import printable
from screens.widgets.lines import Lines, Row
from screens.words import outcome, span
from zrwizard.run.events import Exit, RunFinished

BIGGEST = 200_000


class ReportPage(Page):
    """Shows a `RunFinished`, and the report's text where there is one."""

    CSS_PATH = "report.tcss"
    CRUMB = "Report"
    TABLE = (
        Command(
            "home",
            ("h", "enter", "escape"),
            "home",
            "Back to the first page",
            "Starts over; the report stays where it is.",
        ),
    )
    ABOUT = (
        "The run is over. The first lines say how it ended and what to do now; below is the "
        "report, which is also a Markdown file at the path shown.\n"
        "If it did not end well, nothing is hidden: the report names the step, the command and "
        "its answer. Starting the same again looks at the machine first, skips what is "
        "proven, and goes on from there."
    )

    def __init__(self, result: RunFinished) -> None:
        super().__init__()
        self._result = result

    def body(self) -> Iterable[Widget]:
        """Yield the outcome, the next thing to do, the report."""
        result = self._result
        mark = "[ok]" if result.exit == Exit.DONE else "[!!]"
        took = f" ({span(result.seconds)})" if result.seconds else ""
        head = f"{mark} {outcome(result.exit)}{took}"
        good = result.exit == Exit.DONE
        yield Static(head, id="outcome", classes="good" if good else "bad", markup=False)
        yield Static(printable(result.summary), id="summary", markup=False)
        yield Static(f"Now: {printable(result.now)}" if result.now else "", id="now", markup=False)
        beside = f" (for a browser: {Path(result.page).name})" if result.page else ""
        where = f"Report: {result.report}{beside}" if result.report else "There is no report."
        yield Static(printable(where), id="where", markup=False)
        yield Lines(id="report")

    def mounted(self) -> None:
        """Fill the report in."""
        pane = self.query_one("#report", Lines)
        pane.show(_rows(self._result.report))
        pane.focus()

    def do_home(self) -> None:
        """Start over."""
        self.zr.go_home()


def _rows(path: str) -> list[Row]:
    if not path:
        return []
    try:
        with Path(path).open(encoding="utf-8", errors="replace") as stream:
            text = stream.read(BIGGEST)
    except OSError as error:
        return [Row(f"The report cannot be read: {error.strerror}", "danger")]
    return [
        Row(line, "strong" if line.startswith("#") else "", 2)
        for line in printable(text).split("\n")
    ]
