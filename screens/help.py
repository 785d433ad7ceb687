"""Help over any page: what it is for, and every action, ready to be done."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.widgets import Static

from screens.commands import Command
from screens.pane import Pane
from screens.widgets.choices import Choices
from screens.widgets.lines import Lines, Row
from zrwizard.flows.moves import Option


class HelpScreen(Pane[str]):
    """Dismissed with the name of the command to do, or an empty string."""

    CSS_PATH = "help.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,question_mark,f1,ctrl+g,ctrl+p,q,b", "leave", show=False),
    ]

    def __init__(self, title: str, about: str, commands: list[Command], typing: bool) -> None:
        super().__init__()
        self._title = title
        self._about = about
        self._commands = commands
        self._typing = typing

    def compose(self) -> ComposeResult:
        """Lay out the words above, the actions below."""
        options = [
            Option(
                value=command.name,
                label=command.all_shown,
                cells=(command.all_shown, command.title),
                detail=command.help,
            )
            for command in self._commands
        ]
        about = Lines(id="about")
        about.show(self._about_rows())
        with Vertical(id="help"):
            yield Static(f"Help: {self._title}", id="help-title", markup=False)
            yield about
            yield Static("Actions here (Enter does the marked one):", id="help-rule")
            yield Choices(options, ("KEY", "ACTION"), id="actions")
            yield Static("", id="help-detail", markup=False)
            yield Static("Esc back to the page   Tab to the text above and back", id="help-keys")

    def on_mount(self) -> None:
        """Start on the actions."""
        self.query_one("#actions").focus()

    def _about_rows(self) -> list[Row]:
        rows = [Row(text) for text in self._about.split("\n")]
        if self._typing:
            rows.append(
                Row("In a field, single letters are typed; use the keys with ^ (Ctrl) or Esc.")
            )
        return rows

    def on_choices_highlighted(self, event: Choices.Highlighted) -> None:
        """Say more about the marked action."""
        self.query_one("#help-detail", Static).update(event.option.detail, layout=False)

    def on_choices_chosen(self, event: Choices.Chosen) -> None:
        """Do it."""
        self.dismiss("" if event.option.value == "help" else event.option.value)

    def action_leave(self) -> None:
        """Go back to the page."""
        self.dismiss("")
