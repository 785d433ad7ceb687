"""Between two questions: what the wizard is doing, and what the console shows."""

from __future__ import annotations

import time
from collections.abc import Iterable

from textual.widget import Widget
from textual.widgets import Static

from screens.commands import Command
from screens.desk import News, StateSeen
from screens.page import Page
from screens.peek import Peek
from screens.style import printable
from screens.widgets.lines import Lines, Row
from screens.words import span
from zrwizard.run.events import Answered, Note, StepFailed, StepStarted, Typed

STOP = Command(
    "stop",
    ("escape", "b"),
    "stop",
    "Stop and go back to Connect",
    "Ends what is under way on the console and asks for the console again.",
)


class WorkingPage(Page):
    """Shows the connecting and the looking; `crumb` is the page of the last question."""

    CSS_PATH = "working.tcss"
    TABLE = (STOP,)
    ABOUT = (
        "The wizard is at work on the machine: it connects, or it looks at the machine with "
        "commands that change nothing, or it sets up the network and the login.\n"
        "Below is what the console shows, or what is typed and answered. It goes on by itself "
        "as soon as there is a question.\n"
        "What can go wrong: the machine does not answer. Every command has a deadline, so this "
        "page never stays for ever; you may also stop it."
    )

    def __init__(self, crumb: str, title: str, *, raw: bool) -> None:
        self._crumb = crumb
        super().__init__()
        self._title = title
        self._raw = raw
        self._peek: Peek | None = None
        self._shown: list[str] = []
        self._since = time.monotonic()
        self._rows: list[Row] = []

    @property
    def crumb(self) -> str:
        """The page of the question before."""
        return self._crumb

    def body(self) -> Iterable[Widget]:
        """Yield the sentence, the clock, the tail."""
        yield Static(printable(self._title), classes="title", id="what", markup=False)
        yield Static("", id="why", markup=False)
        yield Static("", id="clock")
        yield Lines(id="tail", limit=400, follow=True)

    def mounted(self) -> None:
        """Draw the first state."""
        self.query_one("#tail").focus()
        self.beat()

    def hear(self, item: News) -> None:
        """Show each piece of news as a sentence or a row."""
        match item:
            case StateSeen(state=state):
                text = state.capitalize() if state.startswith("opening") else f"It shows: {state}"
                self._say(text)
                row = Row(printable(text), "strong")
                if row not in self._rows[-1:]:
                    self._rows.append(row)
            case Note(text=text, level=level):
                self._say(text)
                self._add(Row(printable(text), "danger" if level == "error" else "strong", 2))
            case StepStarted(title=title, why=why):
                self._say(title, why)
                self._add(Row(printable(title), "strong", 2))
            case StepFailed(what=what, now=now):
                self._say(what, now)
                self._add(Row(printable(f"{what} {now}"), "danger", 2))
            case Typed(text=text):
                self._add(Row("$ " + _first(text), "typed", 2))
            case Answered(output=output, status=status):
                if output.strip():
                    self._add(Row("  " + _first(output), "" if status == 0 else "danger", 2))
            case _:
                pass

    def _say(self, what: str, why: str = "") -> None:
        self.query_one("#what", Static).update(printable(what))
        self.query_one("#why", Static).update(printable(why))

    def _add(self, row: Row) -> None:
        if self._raw:
            self._raw = False
            self.query_one("#tail", Lines).show(self._rows)
            self._rows.clear()
        self.query_one("#tail", Lines).add([row])

    def beat(self) -> None:
        """Move the clock once a second; show the console's own lines while connecting."""
        clock = f"{span(time.monotonic() - self._since)}"
        self.zr.put_text(self.query_one("#clock", Static), clock)
        if self._raw:
            self._show_console()

    def _show_console(self) -> None:
        desk = self.zr.desk
        if self._peek is None and desk is not None and desk.transcript is not None:
            self._peek = Peek(desk.transcript)
        if self._peek is None:
            return
        shown = self._peek.lines()
        if shown != self._shown:
            self._shown = shown
            rows = [Row(printable(line), "dim") for line in shown]
            self.query_one("#tail", Lines).show([*self._rows, Row(""), *rows])

    def do_stop(self) -> None:
        """Back to the first page of this intent."""
        self.zr.back_to_connect("")


def _first(text: str) -> str:
    """Return the first row of a text, with a mark where there is more."""
    rows = printable(text).strip().split("\n")
    return rows[0] + (f"  (+{len(rows) - 1} lines)" if len(rows) > 1 else "")
