"""The plan before anything is done: every command in order, and the typed confirmation."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from textual.containers import Vertical
from textual.widget import Widget
from textual.widgets import Input, Static

from screens.commands import BACK, Command
from screens.page import Page
from screens.style import printable
from screens.widgets.field import Field
from screens.widgets.lines import Lines, Row
from screens.words import DANGER, size
from zrwizard.export import to_markdown, to_sh
from zrwizard.plan import Action, Danger, Edit, Fetch, Identity, Local, Plan, Send, Step, typed_text

TRIES = 3
BESIDE = Edit | Fetch | Send | Local
"""What is not typed on the machine as it stands in the plan: files, and acts on this one."""
_INDENT = 13


FEW = 2
"""So many disks are shown above the plan; more of them stand at its head."""


def plan_rows(plan: Plan) -> Iterator[Row]:
    """Yield the plan as rows: notes, then each step with its reason, price, command and proof.

    Many disks come before all of it.
    """
    if len(plan.disks) > FEW:
        for disk in plan.disks:
            yield Row(f"{DANGER[Danger.ERASES]} {printable(_disk(disk))}", "danger", 8)
        yield Row("")
    for note in plan.notes:
        yield Row(f"Note: {printable(note)}", "strong", 6)
    if plan.notes:
        yield Row("")
    for number, step in enumerate(plan.steps, 1):
        yield from _step_rows(number, step)


def _disk(disk: Identity) -> str:
    serial = f"serial {disk.serial}" if disk.serial else "no serial number"
    return (
        f"{disk.name}, {size(disk.size)}, {serial}, {disk.descr or 'no model'}. "
        f"It holds: {disk.summary}"
    )


def _step_rows(number: int, step: Step) -> Iterator[Row]:
    mark = DANGER[step.danger]
    head = f"{number:3}. {step.phase.upper()}: {printable(step.title)}"
    if step.danger is Danger.ERASES:
        yield Row(f"{head}   {mark}", "danger", 5)
        yield Row(f"     {mark} {printable(step.destroys or 'what the disk holds')}", "danger", 8)
    else:
        yield Row(f"{head}   ({mark})" if mark else head, "strong", 5)
    yield Row(f"     why:    {printable(step.why)}", "", 13)
    yield from _text_rows("look:  ", step.look, "")
    yield from _text_rows("check: ", step.guard, "")
    yield from _action_rows(step.action)
    yield from _text_rows("proof: ", step.proof, "")
    yield Row("")


def _action_rows(action: Action) -> Iterator[Row]:
    """Yield what is typed, or done; the lines of an edit by what becomes of them."""
    label = "does:  " if isinstance(action, BESIDE) else "types: "
    rows = list(_text_rows(label, typed_text(action), "typed"))
    if not isinstance(action, Edit):
        yield from rows
        return
    for row in rows:
        mark = row.text[_INDENT : _INDENT + 1]
        heading = row.text[_INDENT : _INDENT + 4] in {"+++ ", "--- "}
        kind = {"+": "added", "-": "removed", "w": "typed"}.get(mark, "")
        yield Row(row.text, "" if heading else kind, row.indent)


def _text_rows(label: str, text: str | None, kind: str) -> Iterator[Row]:
    if not text:
        return
    rows = printable(text).rstrip("\n").split("\n")
    yield Row(f"     {label} {rows[0]}", kind, 15)
    for row in rows[1:]:
        yield Row(f"{' ' * _INDENT}{row}", kind, 15)


class ReviewPage(Page):
    """Shows the plan; `refused` counts how often the wrong identity was typed."""

    CSS_PATH = "review.tcss"
    CRUMB = "Review"
    TABLE = (
        Command(
            "confirm",
            ("c", "enter"),
            "confirm",
            "Confirm and run",
            "Goes to the line where the disk's identity is typed; then Enter starts the run.",
        ),
        Command(
            "erases",
            ("e",),
            "next !!",
            "Go to the next step that erases",
            "Scrolls to the next step with the mark !! ERASES; after the last to the first.",
        ),
        Command(
            "json",
            ("j",),
            "JSON",
            "Save the plan as JSON",
            "Writes it to the current directory; a program can read it.",
        ),
        Command(
            "sh",
            ("s",),
            "sh",
            "Save the plan as a shell script",
            "Writes POSIX sh text to the current directory: the same commands, by hand.",
        ),
        Command(
            "markdown",
            ("m",),
            "md",
            "Save the plan as a runbook",
            "Writes Markdown to the current directory, for people to follow.",
        ),
        BACK,
    )
    ABOUT = (
        "Nothing of this plan has been done yet. Every command is listed in order: why it is "
        "needed, what is looked at (done already?), what is checked right before it, what is "
        "typed, and what proves it afterwards. What is done and not typed (files that are changed, "
        "and what happens on this machine) is marked `does`; of a file, + lines come and - lines "
        "go.\n"
        "A step marked !! ERASES destroys what stands beside the mark. The disk is looked at "
        "again right before each of them; if it is not the same disk any more, the run stops.\n"
        "To start, type the disk's identity as shown: its serial number, or its name and size; of "
        "several disks one after the other. Nobody types that by accident.\n"
        "Space and p turn pages; Up, Down, Home and End move too."
    )

    def __init__(self, plan: Plan, refused: int) -> None:
        super().__init__()
        self._plan = plan
        self._refused = refused
        self._typed: tuple[str, ...] = ()
        self._done = False

    def body(self) -> Iterable[Widget]:
        """Yield the summary, the plan, the line for the confirmation."""
        yield Static(printable(self._plan.title), classes="title", markup=False)
        yield Static(self._summary(), id="summary", markup=False)
        yield Static("", classes="problem", id="problem", markup=False)
        yield Lines(id="plan")
        yield Static("", id="place", markup=False)
        with Vertical(id="confirm-box"):
            yield Static(self._request(), id="request", markup=False)
            yield Field("", id="identity")

    def _summary(self) -> str:
        plan = self._plan
        erasing = sum(step.danger is Danger.ERASES for step in plan.steps)
        text = f"{len(plan.steps)} steps, {erasing} of them erase. Nothing is done yet."
        if len(plan.disks) > FEW:
            text += f"\n{len(plan.disks)} disks are erased; they are listed first."
        else:
            text += "".join(f"\nDisk {_disk(disk)}" for disk in plan.disks)
        return printable(text)

    def _request(self) -> str:
        disks = self._plan.disks
        if not disks or not self._plan.erases:
            return "Press Enter once more to start."
        number = len(self._typed)
        disk = disks[number]
        last = number + 1 == len(disks)
        place = f"Disk {number + 1} of {len(disks)}. " if len(disks) > 1 else ""
        start = " and start" if last else ""
        return printable(f"{place}To erase {disk.name}{start}, type {disk.typed} and press Enter:")

    def mounted(self) -> None:
        """Fill the plan in."""
        self.query_one("#confirm-box").display = False
        plan = self.query_one("#plan", Lines)
        plan.show(plan_rows(self._plan))
        plan.focus()
        if self._refused:
            self.say(
                f"That is not the disk's identity (try {self._refused} of {TRIES}). "
                "Nothing was done."
            )
            self.do_confirm()

    def beat(self) -> None:
        """Show which lines are in sight."""
        place = self.query_one("#plan", Lines).position
        self.zr.put_text(self.query_one("#place", Static), place)

    def on_lines_moved(self) -> None:
        """Show the place at once."""
        self.beat()

    def say(self, text: str) -> None:
        """Show a sentence above the plan."""
        problem = self.query_one("#problem", Static)
        problem.update(printable(text))
        problem.display = True

    def do_erases(self) -> None:
        """Scroll to the next step that erases."""
        self.query_one("#plan", Lines).next_of("danger")

    def do_confirm(self) -> None:
        """Open the line for the identity."""
        self.query_one("#confirm-box").display = True
        self.query_one("#identity", Input).focus()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Ask for the next disk, or send what was typed; where it is wrong the wizard asks again.

        A wrong identity ends it at once.
        """
        event.stop()
        typed = event.value.strip()
        if self._plan.erases and not typed:
            self.say("Type the disk's identity first, or Esc to go back to the plan.")
            return
        if self._done:
            return
        disks = self._plan.disks
        right = len(self._typed) < len(disks) and typed == disks[len(self._typed)].typed
        self._typed += (typed,)
        if right and len(self._typed) < len(disks):
            self.query_one("#identity", Input).value = ""
            self.query_one("#request", Static).update(self._request())
            return
        self._done = True
        self.zr.confirm(self._typed)

    def do_back(self) -> None:
        """Close the confirmation, or go to the last question."""
        box = self.query_one("#confirm-box")
        if box.display:
            box.display = False
            self._typed = ()
            self.query_one("#identity", Input).value = ""
            self.query_one("#request", Static).update(self._request())
            self.query_one("#plan").focus()
        elif not self._done:
            self._done = True
            self.zr.go_back(None)

    # Exports

    def do_json(self) -> None:
        """Save as JSON."""
        self._save("json", self._plan.to_json())

    def do_sh(self) -> None:
        """Save as sh."""
        self._save("sh", to_sh(self._plan))

    def do_markdown(self) -> None:
        """Save as Markdown."""
        self._save("md", to_markdown(self._plan))

    def _save(self, ending: str, text: str) -> None:
        path = Path.cwd() / f"zrwizard-{self._plan.flow}-{self._plan.token}.{ending}"
        try:
            path.write_text(text, encoding="utf-8")
        except OSError as error:
            self.say(f"Could not write {path}: {error.strerror}.")
            return
        self.say(f"Saved to {path}")
