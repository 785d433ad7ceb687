"""What is never done without the operator's word: a temporary snapshot, a mount, a copy."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from textual.widget import Widget
from textual.widgets import Static

from screens.commands import Command
from screens.desk import News
from screens.preview.base import PreviewPage
from screens.review import plan_rows
from screens.style import printable
from screens.widgets.lines import Lines, Row
from zrwizard.plan import Plan
from zrwizard.run.events import Note, StepDone, StepFailed, StepStarted

if TYPE_CHECKING:
    from screens.preview.guide import Guide

YES = Command("agree", ("y",), "yes, do it", "Agree", "Does what is shown.")
NO = Command("refuse", ("n",), "no", "Do not agree", "Goes back; nothing is done.")


class AgreePage(PreviewPage):
    """A sentence to say yes or no to. Enter does nothing: nobody agrees by mistake."""

    CSS_PATH = "preview.tcss"
    TABLE = (YES, NO)
    ABOUT = (
        "What is shown is done only if you say yes, with y. n and Esc go back, and nothing was "
        "done then. Enter does nothing here, so that nobody agrees by mistake."
    )

    def __init__(
        self, guide: Guide, crumb: str, title: str, rows: list[Row], yes: Callable[[], None]
    ) -> None:
        self._crumb = crumb
        super().__init__(guide)
        self._title = title
        self._rows = rows
        self._yes = yes
        self._said = False

    @property
    def crumb(self) -> str:
        """The page that it was asked from."""
        return self._crumb

    def body(self) -> Iterable[Widget]:
        """Yield the title and the words."""
        yield Static(printable(self._title), classes="title", markup=False)
        yield Static("", classes="blank")
        yield Lines(id="words")

    def mounted(self) -> None:
        """Fill the words in."""
        self.query_one("#words", Lines).show(self._rows)
        self.query_one("#words").focus()

    def can(self, name: str) -> bool:
        """What was answered is answered."""
        return not (self._said and name in {"agree", "refuse"}) and super().can(name)

    def do_agree(self) -> None:
        """Yes."""
        self._said = True
        self._yes()

    def do_refuse(self) -> None:
        """No."""
        self.guide.back()

    def leave_page(self) -> None:
        """Esc means no; what was agreed to is not left in the middle."""
        if self._said:
            self.tell("It is being done; one moment.")
        else:
            self.guide.back()


class PlanPage(AgreePage):
    """A plan to agree to, which is then run here, step by step."""

    ABOUT = (
        "This changes something on the machine, so it is a plan like any other: why it is needed, "
        "what is checked right before it, what is typed, and what proves it afterwards. Nothing "
        "of it has been done yet.\n"
        "y runs it, n goes back. What a preview mounts is unmounted when the preview ends; a copy "
        "never overwrites anything."
    )

    def __init__(self, guide: Guide, crumb: str, plan: Plan, yes: Callable[[], None]) -> None:
        super().__init__(guide, crumb, plan.title, list(plan_rows(plan)), yes)

    def body(self) -> Iterable[Widget]:
        """Yield the title, the plan, what becomes of it."""
        yield from super().body()
        yield Static("y runs it; n goes back, and nothing is done.", id="state", markup=False)

    def hear(self, item: News) -> None:
        """Say how far the plan is."""
        match item:
            case StepStarted(title=title, index=index, total=total):
                self.say(f"Step {index} of {total}: {title}")
            case StepDone(skipped=skipped):
                self.say("Proven." if not skipped else "It was so already.")
            case StepFailed(what=what, now=now):
                self.say(f"{what} {now}")
            case Note(text=text):
                self.say(text)
            case _:
                pass

    def say(self, text: str) -> None:
        """Put a sentence under the plan."""
        self.zr.put_text(self.query_one("#state", Static), printable(text))
