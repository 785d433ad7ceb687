"""The moments of a tree: two of them are picked and compared."""

from __future__ import annotations

import time
from collections.abc import Iterable

from textual.widget import Widget
from textual.widgets import Static

from screens.commands import Command
from screens.preview.base import PreviewPage
from screens.style import printable
from screens.widgets.choices import Choices
from screens.words import size, span
from zrwizard.flows.moves import Option
from zrwizard.preview.inventory import Moment, timeline

NOW = ""
"""The value of the row that stands for what is there now; no snapshot has an empty tag."""
LIMITS = (None, 60.0, 600.0, 3600.0)
COLUMNS = ("", "SNAPSHOT", "TAKEN", "DATASETS", "ONLY IN IT", "WRITTEN")


class TimelinePage(PreviewPage):
    """The snapshots of the chosen tree, newest first; A is the older one, B the newer one."""

    CSS_PATH = "preview.tcss"
    CRUMB = "Snapshots"
    CARD = True
    TABLE = (
        Command(
            "compare",
            ("enter",),
            "compare",
            "Compare A with B",
            "Asks zfs diff what changed from A to B, one dataset after the other.",
        ),
        Command(
            "mark_a", ("a",), "A", "Mark as A", "The older moment; where it is newer they swap."
        ),
        Command("mark_b", ("b",), "B", "Mark as B", "The newer moment, or what is there now."),
        Command(
            "recursive",
            ("r",),
            "below",
            "With or without the datasets below",
            "Compares the whole tree, or the one dataset at its root only.",
        ),
        Command(
            "limit",
            ("l",),
            "limit",
            "Limit the time",
            "Ends the comparison after a while; what came until then is shown as partial.",
        ),
    )
    ABOUT = (
        "A row is a moment: all snapshots of one name over the tree. DATASETS says how many of "
        "the tree's datasets have it, ONLY IN IT what would come free without it, WRITTEN what "
        "was written between the one before and it.\n"
        "Mark two with a and b, then Enter. A dataset that lacks one of them is listed with the "
        "reason. The first row is what is there now: comparing with it needs a temporary "
        "snapshot, which zfs makes and destroys by itself; you are asked first.\n"
        "A comparison can take long, hours on large trees. It can be stopped at any time with c, "
        "and what came until then is kept."
    )

    def body(self) -> Iterable[Widget]:
        """Yield the question, the list, what will be compared."""
        yield Static(
            printable(f"What changed in {self.model.root}? Mark two moments, then Enter."),
            classes="title",
            markup=False,
        )
        yield Static("", id="picked", markup=False)
        yield Choices(self._options(), COLUMNS, self.guide.at_moment, "moments")
        yield Static("", id="position")
        yield Static("", id="detail", markup=False)

    def mounted(self) -> None:
        """Start on the list."""
        self._show_picked()
        self.refocus()

    def refocus(self) -> None:
        """The keys are the list's."""
        self.query_one("#moments").focus()

    def renew(self) -> None:
        """Show the snapshots as they are now."""
        self.query_one("#moments", Choices).put(self._options())
        self._show_picked()

    @property
    def moments(self) -> tuple[Moment, ...]:
        """The tree's moments, newest first."""
        if self.model.inventory is None:
            return ()
        return timeline(self.model.inventory, self.model.root)[::-1]

    def _options(self) -> list[Option]:
        now = Option(
            NOW,
            "now",
            (self._mark(NOW), "now", "", "", "", ""),
            "What is there now. zfs compares with a temporary snapshot, so you are asked first.",
        )
        return [now, *map(self._option, self.moments)]

    def _option(self, moment: Moment) -> Option:
        once = "taken in one transaction" if moment.at_once else "not all taken at once"
        lacking = moment.total - moment.count
        lack = f"; {lacking} of the tree's datasets lack it" if lacking else ""
        return Option(
            moment.tag,
            moment.tag,
            (
                self._mark(moment.tag),
                moment.tag,
                time.strftime("%Y-%m-%d %H:%M", time.localtime(moment.creation)),
                f"{moment.count} of {moment.total}",
                size(moment.used),
                size(moment.written),
            ),
            f"@{moment.tag}: {size(moment.referenced)} in it, {once}{lack}.",
        )

    def _mark(self, tag: str) -> str:
        older, newer = self.guide.picked
        return {older: "A", newer: "B"}.get(tag, " ")

    def _show_picked(self) -> None:
        older, newer = self.guide.picked
        limit = f"at most {span(self.guide.limit)}" if self.guide.limit else "no time limit"
        what = "all datasets below" if self.guide.recursive else "this dataset only"
        text = (
            f"From A {_named(older)} to B {_named(newer)}, {what}, {limit}."
            if older is not None and newer is not None
            else "Nothing can be compared yet: mark A and B."
        )
        self.zr.put_text(self.query_one("#picked", Static), printable(text))

    @property
    def _here(self) -> str:
        current = self.query_one("#moments", Choices).current
        return current.value if current is not None else NOW

    def on_choices_highlighted(self, event: Choices.Highlighted) -> None:
        """Say more about the marked moment."""
        self.guide.at_moment = event.option.value
        self.zr.put_text(self.query_one("#detail", Static), printable(event.option.detail))
        position = self.query_one("#moments", Choices).position
        self.zr.put_text(self.query_one("#position", Static), position)

    def on_choices_chosen(self, event: Choices.Chosen) -> None:
        """Enter in the list compares what is marked."""
        self.do_compare()

    def do_mark_a(self) -> None:
        """Mark the older one."""
        if self._here == NOW:
            self.tell("What is there now can only be B, the newer side.")
            return
        newer = self.guide.picked[1]
        self._pick(self._here, None if newer == self._here else newer)

    def do_mark_b(self) -> None:
        """Mark the newer one."""
        older = self.guide.picked[0]
        self._pick(None if older == self._here else older, self._here)

    def _pick(self, older: str | None, newer: str | None) -> None:
        order = {NOW: -1} | {moment.tag: at for at, moment in enumerate(self.moments)}
        if older is not None and newer is not None and order[older] < order[newer]:
            older, newer = newer, older
        self.tell("")
        self.guide.picked = older, newer
        self.renew()

    def do_recursive(self) -> None:
        """Turn the datasets below on or off."""
        self.guide.recursive = not self.guide.recursive
        self._show_picked()

    def do_limit(self) -> None:
        """Take the next limit."""
        self.guide.limit = LIMITS[(LIMITS.index(self.guide.limit) + 1) % len(LIMITS)]
        self._show_picked()

    def do_compare(self) -> None:
        """Begin, or ask first where a temporary snapshot is needed."""
        older, newer = self.guide.picked
        if older is None or newer is None:
            self.tell("Mark two moments first: a for the older one, b for the newer one.")
        else:
            self.guide.compare(older, None if newer == NOW else newer)


def _named(tag: str | None) -> str:
    return "now" if tag == NOW else f"@{tag}"
