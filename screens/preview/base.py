"""What every page of a preview has: its own keys for leaving, its trail, a line for a text."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, ClassVar

from textual.containers import Vertical
from textual.widget import Widget
from textual.widgets import Input, Static

from screens.commands import HELP, REDRAW, TRAFFIC, Command
from screens.page import Page
from screens.style import printable
from screens.widgets.field import Field

if TYPE_CHECKING:
    from screens.preview.guide import Guide
    from screens.preview.model import Model

BACK = Command(
    "back",
    ("escape", "q"),
    "back",
    "Back",
    "Closes what is open here, else goes to the page before; what was found stays.",
)
QUIT = Command(
    "quit",
    ("ctrl+q", "ctrl+c"),
    "quit",
    "Quit",
    "Ends what runs, takes away what was mounted for the preview, and leaves.",
)


class PreviewPage(Page):
    """A page of a preview. There is no taking over by hand: the console is read-only.

    `LATER` are commands whose keys give way in the key bar to those for going back and for help.
    """

    LATER: ClassVar[tuple[Command, ...]] = ()

    def __init__(self, guide: Guide) -> None:
        self.guide = guide
        self._asking: Callable[[str], None] | None = None
        super().__init__()

    @property
    def model(self) -> Model:
        """What is known so far."""
        return self.guide.model

    @property
    def commands(self) -> tuple[Command, ...]:
        """The page's own, and those of every page but for the take-over."""
        return (*self.TABLE, BACK, HELP, *self.LATER, TRAFFIC, REDRAW, QUIT)

    def can(self, name: str) -> bool:
        """Nothing takes the console over here."""
        return name != "hands_on" and super().can(name)

    def changed(self) -> None:
        """Draw what the model has learnt; called some times a second, only where it did."""

    def renew(self) -> None:
        """Draw what was listed anew; called after a look."""

    # One line for a text: a file name, a word to look for

    def prompt(self) -> Iterable[Widget]:
        """Yield the widgets of the line; a page that asks puts them at its end."""
        with Vertical(id="prompt"):
            yield Static("", id="prompt-words", markup=False)
            yield Field("", id="prompt-text")

    @property
    def asking(self) -> bool:
        """Whether the line is open."""
        return self._asking is not None

    def ask_text(self, words: str, value: str, take: Callable[[str], None]) -> None:
        """Open the line with `value` in it; `take` gets what was typed, without outer blanks."""
        self._asking = take
        self.query_one("#prompt-words", Static).update(printable(words))
        field = self.query_one("#prompt-text", Input)
        field.value = value
        field.cursor_position = len(value)
        self.query_one("#prompt").display = True
        field.focus()

    def close_prompt(self) -> None:
        """Close the line; the focus goes back to the page."""
        self._asking = None
        self.query_one("#prompt").display = False
        self.refocus()

    def refocus(self) -> None:
        """Put the focus where the page's keys are."""

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Give what was typed to who asked."""
        event.stop()
        take, text = self._asking, event.value.strip()
        self.close_prompt()
        self.tell("")
        if take is not None:
            take(text)

    def do_back(self) -> None:
        """Close the line, else leave the page."""
        if self.asking:
            self.close_prompt()
        else:
            self.leave_page()

    def leave_page(self) -> None:
        """Go to the page before."""
        self.guide.back()
