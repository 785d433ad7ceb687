"""Which tree is looked at: every dataset, with what it holds and whether it can be compared."""

from __future__ import annotations

from collections.abc import Iterable

from textual.widget import Widget
from textual.widgets import Static

from screens.commands import Command
from screens.preview.base import PreviewPage
from screens.style import printable
from screens.widgets.choices import Choices
from screens.words import size
from zrwizard.flows.moves import Option
from zrwizard.preview.inventory import Inventory


class TreesPage(PreviewPage):
    """A list of datasets; one of them is the root of what is compared."""

    CSS_PATH = "preview.tcss"
    CRUMB = "Tree"
    CARD = True
    TABLE = (
        Command("choose", ("enter",), "choose", "Choose", "Takes the tree below the cursor."),
        Command(
            "again",
            ("r",),
            "look again",
            "Look again",
            "Lists datasets, snapshots and mounts anew; nothing is changed by it.",
        ),
    )
    ABOUT = (
        "Choose the dataset at whose root the comparison begins; all datasets below it are "
        "compared as well, and their changes are merged into one tree by path.\n"
        "The console was given to the wizard for looking only: every command is parsed, and one "
        "that could change anything is refused before a byte of it is typed. That is why the "
        "console cannot be taken over by hand here.\n"
        "A dataset that is not mounted can be compared once you agree to mount it, read-only and "
        "out of everybody's way, for the time of the preview."
    )

    def body(self) -> Iterable[Widget]:
        """Yield the question, the list, what is to be known of the marked one."""
        yield Static("Which tree do you want to look at?", classes="title")
        yield Static("", classes="help", id="problems", markup=False)
        yield Choices(
            self._options(), ("DATASET", "SNAPSHOTS", "USED", "MOUNTED"), self.model.root, "trees"
        )
        yield Static("", id="position")
        yield Static("", id="detail", markup=False)

    def mounted(self) -> None:
        """Start on the list."""
        self._show_problems()
        self.refocus()

    def refocus(self) -> None:
        """The keys are the list's."""
        self.query_one("#trees").focus()

    def renew(self) -> None:
        """Show the datasets as they are now."""
        self.query_one("#trees", Choices).put(self._options())
        self._show_problems()

    def _show_problems(self) -> None:
        inventory = self.model.inventory
        problems = inventory.problems if inventory is not None else ()
        self.zr.put_text(self.query_one("#problems", Static), printable(" ".join(problems)))

    def _options(self) -> list[Option]:
        inventory = self.model.inventory
        if inventory is None:
            return []
        counts: dict[str, int] = {}
        for snapshot in inventory.snapshots:
            counts[snapshot.dataset] = counts.get(snapshot.dataset, 0) + 1
        return [
            Option(
                dataset.name,
                dataset.name,
                (
                    dataset.name,
                    str(counts.get(dataset.name, 0)),
                    size(dataset.used),
                    _where(inventory, dataset.name),
                ),
                _detail(inventory, dataset.name),
            )
            for dataset in inventory.datasets
        ]

    def on_choices_highlighted(self, event: Choices.Highlighted) -> None:
        """Say more about the marked dataset."""
        self.zr.put_text(self.query_one("#detail", Static), printable(event.option.detail))
        position = self.query_one("#trees", Choices).position
        self.zr.put_text(self.query_one("#position", Static), position)

    def on_choices_chosen(self, event: Choices.Chosen) -> None:
        """Go on with it."""
        self.guide.choose_tree(event.option.value)

    def do_choose(self) -> None:
        """Go on with the marked one."""
        current = self.query_one("#trees", Choices).current
        if current is not None:
            self.guide.choose_tree(current.value)

    def do_again(self) -> None:
        """Look again."""
        self.tell("Looking again.")
        self.guide.look_again()


def _where(inventory: Inventory, name: str) -> str:
    mount = inventory.mounts.get(name)
    if mount is not None:
        return mount.decode("utf-8", "backslashreplace")
    dataset = inventory.dataset(name)
    return "a volume" if dataset is not None and dataset.kind == "volume" else "no"


def _detail(inventory: Inventory, name: str) -> str:
    dataset = inventory.dataset(name)
    if dataset is None:
        return ""
    words = [
        f"{size(dataset.referenced)} in it ({size(dataset.logical_referenced)} before compression)"
    ]
    words.append(f"{size(dataset.written)} written since its newest snapshot")
    if dataset.origin:
        words.append(f"a clone of {dataset.origin}")
    if dataset.keystatus == "unavailable":
        words.append("encrypted, its key is not loaded: its files cannot be compared")
    elif dataset.kind != "volume" and name not in inventory.mounts:
        words.append("not mounted: the preview can mount it read-only if you agree")
    return "; ".join(words) + "."
