"""The question before leaving while something is under way."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.widgets import Static

from screens.pane import Pane


class QuitScreen(Pane[bool]):
    """Dismissed with True for leaving."""

    CSS_PATH = "quit.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y,enter", "leave", show=False),
        Binding("n,escape,q,b", "stay", show=False),
        Binding("ctrl+c,ctrl+q", "leave", show=False),
    ]

    def __init__(self, words: str) -> None:
        super().__init__()
        self._words = words

    def compose(self) -> ComposeResult:
        """Say what leaving means, and the two keys."""
        with Vertical(id="quit"):
            yield Static("Leave the wizard?", id="quit-title")
            yield Static(self._words, id="quit-words", markup=False)
            yield Static("y leave    n stay", id="quit-keys")

    def action_leave(self) -> None:
        """Yes."""
        self.dismiss(True)

    def action_stay(self) -> None:
        """No."""
        self.dismiss(False)
