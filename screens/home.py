"""The first page: what do you want to do?"""

from __future__ import annotations

from collections.abc import Iterable

from textual.widget import Widget
from textual.widgets import Static

from screens.commands import Command
from screens.desk import Entry
from screens.page import Page
from screens.widgets.choices import Choices
from zrwizard.flows.moves import Option


class HomePage(Page):
    """Lists what can be done; each line is an `Entry` that the app was given."""

    CSS_PATH = "home.tcss"
    CRUMB = ""
    TABLE = (
        Command("choose", ("enter",), "choose", "Choose", "Starts what the cursor stands on."),
    )
    ABOUT = (
        "zrwizard brings a FreeBSD machine with root on ZFS back to life: it reaches the machine "
        "through its console, and pulls the datasets from your backup server.\n"
        "Nothing is changed on any machine before you have seen every command and confirmed it. "
        "To see all of it without any risk, choose the rehearsal: it works on simulated machines "
        "inside this program.\n"
        "Up and down move the cursor (j and k do too), Enter chooses."
    )

    def __init__(self, entries: tuple[Entry, ...]) -> None:
        super().__init__()
        self._entries = entries

    def body(self) -> Iterable[Widget]:
        """Yield the greeting, the list, the detail."""
        yield Static("What do you want to do?", classes="title")
        yield Static("", classes="blank")
        yield Choices(
            [Option(entry.value, entry.label, (), entry.detail) for entry in self._entries],
            id="entries",
        )
        yield Static("", id="detail", markup=False)

    def mounted(self) -> None:
        """Start on the list."""
        self.query_one("#entries").focus()

    def on_choices_highlighted(self, event: Choices.Highlighted) -> None:
        """Say more about the marked entry."""
        self.query_one("#detail", Static).update(event.option.detail, layout=False)

    def on_choices_chosen(self, event: Choices.Chosen) -> None:
        """Start it."""
        self._start(event.option.value)

    def do_choose(self) -> None:
        """Start what the cursor stands on."""
        current = self.query_one("#entries", Choices).current
        if current is not None:
            self._start(current.value)

    def _start(self, value: str) -> None:
        entry = next(entry for entry in self._entries if entry.value == value)
        self.zr.begin(entry.intent)
