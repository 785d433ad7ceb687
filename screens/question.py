"""Every question of every flow: one page, driven by `zrwizard.flows.moves.Question`."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import assert_never

from textual.widget import Widget
from textual.widgets import Input, Static

from screens.commands import BACK, Command
from screens.page import Page
from screens.style import printable
from screens.widgets.choices import Choices
from screens.widgets.field import Field
from screens.widgets.lines import Lines, Row
from screens.widgets.secretbox import SecretBox
from zrwizard.flows.moves import Agree, Choose, ChooseMany, Enter, EnterSecret, Option, Question
from zrwizard.plan import Problem
from zrwizard.secrets import Secret, SecretError, read_spec, unfit

ANSWER = Command("answer", ("enter",), "go on", "Answer and go on", "Gives the answer shown.")
MARK = Command(
    "mark",
    ("space",),
    "mark",
    "Mark or unmark",
    "Marks the row under the cursor; a marked one is unmarked. The order of marking counts.",
)
AGREE = Command("agree", ("y",), "yes, agree", "Agree", "Says yes to what is shown.")
REJECT = Command("reject", ("n",), "no", "Do not agree", "Goes back to the question before.")
FORWARD = Command(
    "forward",
    ("f", "ctrl+n"),
    "forward",
    "Forward",
    "Gives the same answer as before you went back.",
)

_ABOUT = {
    Choose: (
        "Up and down move the cursor (j and k do too), Enter chooses. A row with * is proposed. "
        "A row with x cannot be chosen; the lines below the list say why."
    ),
    ChooseMany: (
        "Up and down move the cursor (j and k do too), Space marks a row with + or unmarks it, "
        "Enter goes on with all that are marked, in the order in which they were. A row with x "
        "cannot be chosen; the lines below the list say why."
    ),
    Enter: "Type the answer and press Enter. An empty line means what is shown as the default.",
    EnterSecret: (
        "What you type is not shown, not kept on any disk, and typed on the machine only where it "
        "is asked for, without an echo. ^u rubs all of it out."
    ),
    Agree: (
        "Compare what is shown with what you know from elsewhere. y agrees; n goes back. "
        "Enter does nothing here, so that nobody agrees by mistake."
    ),
}


_NEW = "A new secret, which is typed twice. The first time:"
_AGAIN = "Once more, so that a slip is noticed:"


class QuestionPage(Page):
    """Asks one question; the answer goes to the desk."""

    CSS_PATH = "question.tcss"
    CARD = True

    def __init__(
        self, question: Question, problem: Problem | None, before: str | None, crumb: str = ""
    ) -> None:
        self.question = question
        self._crumb = crumb
        super().__init__()
        self._problem = problem
        self._before = before
        self._first: Secret | None = None
        self._done = False

    @property
    def crumb(self) -> str:
        """The page that the flow gave the question; a driver's own question has none."""
        return self._crumb or page_name(self.question.page)

    @property
    def about(self) -> str:
        """The question's own words, then how to answer this kind."""
        question = self.question
        return f"{question.title}\n{question.help}\n{_ABOUT[type(question)]}"

    @property
    def commands(self) -> tuple[Command, ...]:
        """The commands fit the kind of question."""
        answering: tuple[Command, ...] = (ANSWER,)
        if isinstance(self.question, Agree):
            answering = (AGREE, REJECT)
        elif isinstance(self.question, ChooseMany):
            answering = (MARK, ANSWER)
        return (*answering, BACK, FORWARD, *super().commands)

    def can(self, name: str) -> bool:
        """Forward needs an answer from before that was good enough."""
        if name == "forward":
            known = self._before is not None and self._problem is None
            return known and not isinstance(self.question, Agree)
        return super().can(name)

    def body(self) -> Iterable[Widget]:
        """Yield title, help, problem, and what this kind is answered with."""
        question = self.question
        yield Static(printable(question.title), classes="title", markup=False)
        yield Static(printable(question.help), classes="help", markup=False)
        problem = Static("", classes="problem", id="problem", markup=False)
        yield problem
        yield Static("", classes="blank")
        match question:
            case Choose():
                start = self._before or question.default
                yield Choices(question.options, question.columns, start, id="choices")
                yield Static("", id="position")
                yield Static("", id="detail", markup=False)
            case ChooseMany():
                yield Choices(question.options, question.columns, id="choices")
                yield Static("", id="position")
                yield Static("", id="detail", markup=False)
            case Enter():
                yield Static(_hint(question), classes="label", id="hint", markup=False)
                yield Field(self._before or "", id="text")
            case EnterSecret(from_file=True):
                label = "Its file, such as ~/.ssh/id_ed25519 (the mode must be 0600):"
                yield Static(label, classes="label")
                yield Field("", id="path")
            case EnterSecret(twice=twice):
                if twice:
                    yield Static(_NEW, classes="label", id="hint", markup=False)
                yield SecretBox(id="secret")
            case Agree():
                yield Lines(id="text-shown")
            case _:
                assert_never(question)

    def mounted(self) -> None:
        """Put the focus where the answer goes."""
        if self._problem is not None:
            self.complain(str(self._problem))
        if isinstance(self.question, ChooseMany) and self._before:
            values = {option.value for option in self.question.options if not option.locked}
            before = [value for value in self._before.split(", ") if value in values]
            self.query_one("#choices", Choices).mark(before)
            self._show_position()
        if isinstance(self.question, Agree):
            rows = [Row(line) for line in printable(self.question.text).split("\n")]
            self.query_one("#text-shown", Lines).show(rows)
        for widget in self.query("#choices, #text, #path, #secret, #text-shown"):
            widget.focus()

    def complain(self, text: str) -> None:
        """Say why the answer will not do."""
        problem = self.query_one("#problem", Static)
        problem.update(printable(text))
        problem.display = True

    # What comes from the widgets

    def on_choices_highlighted(self, event: Choices.Highlighted) -> None:
        """Show the marked row's detail, and why it is locked if it is."""
        option = event.option
        words = [f"Cannot be chosen: {option.locked}"] if option.locked else []
        words += [option.detail] if option.detail else []
        self.zr.put_text(self.query_one("#detail", Static), printable("\n".join(words)))
        self._show_position()

    def _show_position(self) -> None:
        choices = self.query_one("#choices", Choices)
        words = [choices.position] if choices.position else []
        if isinstance(self.question, ChooseMany):
            labels = {option.value: option.label for option in choices.options}
            marked = ", ".join(labels[value] for value in choices.marked)
            words.append(f"Marked: {marked or 'none'}")
        self.zr.put_text(self.query_one("#position", Static), printable("   ".join(words)))

    def on_choices_chosen(self, event: Choices.Chosen) -> None:
        """Take it, unless it is locked; of many, take those that are marked."""
        option = event.option
        if isinstance(self.question, ChooseMany):
            self._reply_marked(self.question, option)
            return
        if option.locked:
            self.complain(f"{option.label} cannot be chosen: {option.locked}")
        else:
            self._reply(option.value)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Enter in a field."""
        event.stop()
        self.do_answer()

    def on_secret_box_submitted(self, event: SecretBox.Submitted) -> None:
        """Enter in the secret's field."""
        event.stop()
        self.do_answer()

    # Commands

    def do_answer(self) -> None:
        """Answer with what is chosen or typed."""
        question = self.question
        match question:
            case Choose() | ChooseMany():
                current = self.query_one("#choices", Choices).current
                if current is not None:
                    self.on_choices_chosen(Choices.Chosen(current))
            case Enter():
                self._reply(self.query_one("#text", Input).value.strip() or question.default)
            case EnterSecret(from_file=True):
                self._reply_file(question)
            case EnterSecret():
                self._reply_secret(question)
            case Agree():
                pass
            case _:
                assert_never(question)

    def do_mark(self) -> None:
        """Mark the row under the cursor, or unmark it."""
        choices = self.query_one("#choices", Choices)
        option = choices.current
        if option is None or not isinstance(self.question, ChooseMany):
            return
        if option.locked:
            self.complain(f"{option.label} cannot be chosen: {option.locked}")
        elif option.value in self.question.alone:
            self._reply(option.value)
        else:
            others = [value for value in choices.marked if value != option.value]
            fresh = option.value not in choices.marked
            choices.mark([*others, option.value] if fresh else others)
            self.query_one("#problem", Static).display = False
            self._show_position()

    def _reply_marked(self, question: ChooseMany, option: Option) -> None:
        marked = self.query_one("#choices", Choices).marked
        if not marked and option.value in question.alone:
            self._reply(option.value)
        elif len(marked) < question.least:
            words = {1: "one row", 2: "two rows"}.get(question.least, f"{question.least} rows")
            self.complain(f"Mark {words} at least, with Space.")
        else:
            self._reply(", ".join(marked) or "none")

    def _reply_secret(self, question: EnterSecret) -> None:
        box = self.query_one("#secret", SecretBox)
        if not len(box):
            self.complain("Nothing was typed yet.")
            return
        typed = box.take(question.secret)
        if not question.twice or typed == self._first:
            self._reply(typed)
            return
        first, self._first = self._first, None
        wrong = unfit(typed)
        if first is None and wrong:
            self.complain(wrong)
            return
        if first is not None:
            self.complain("The two are not the same. Type it anew.")
            self.zr.put_text(self.query_one("#hint", Static), _NEW)
            return
        self._first = typed
        self.query_one("#problem", Static).display = False
        self.zr.put_text(self.query_one("#hint", Static), _AGAIN)

    def _reply_file(self, question: EnterSecret) -> None:
        path = self.query_one("#path", Input).value.strip()
        if not path:
            self.complain("Type the path of the file first.")
            return
        try:
            secret = read_spec(f"{question.secret}=file:{Path(path).expanduser()}")
        except (SecretError, RuntimeError) as error:
            self.complain(str(error).removeprefix(f"--secret {question.secret}: "))
            return
        self._reply(secret)

    def do_agree(self) -> None:
        """Say yes."""
        if isinstance(self.question, Agree):
            self._reply(self.question.value)

    def do_reject(self) -> None:
        """Say no: the question before comes again."""
        self.do_back()

    def do_forward(self) -> None:
        """Give the answer from before."""
        question = self.question
        if isinstance(question, EnterSecret):
            kept = self.zr.secrets.get(question.secret)
            if kept is not None:
                self._reply(kept)
        elif self._before is not None:
            self._reply(self._before)

    def do_back(self) -> None:
        """Go to the question before."""
        if not self._done:
            self._done = True
            self.zr.go_back(self.question)

    def _reply(self, value: str | Secret) -> None:
        if not self._done:
            self._done = True
            self.zr.answer(self.question, value)


def _hint(question: Enter) -> str:
    if question.default:
        return f"Empty means: {question.default}"
    return f"For example: {question.example}" if question.example else ""


def page_name(page: str) -> str:
    """Return the breadcrumb's word for a flow's page."""
    words = {"login": "Source", "server": "Source", "disks": "Disk", "layout": "Disk"}
    words["placing"] = "System"
    return words.get(page.lower(), page.capitalize())
