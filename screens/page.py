"""What every page has: the breadcrumb, the key bar, the traffic pane, help, and its commands."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, ClassVar, cast

from textual import events
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.screen import Screen
from textual.widget import Widget
from textual.widgets import Input, Static

from screens.commands import COMMON, Command
from screens.desk import Kind, News
from screens.style import printable
from screens.widgets.bars import Breadcrumb, KeyBar
from screens.widgets.lines import Lines, Row
from screens.widgets.secretbox import SecretBox

if TYPE_CHECKING:
    from screens.app import ZrApp

_LOOK = {Kind.TYPED: "typed", Kind.OUT: "", Kind.BAD: "danger"}


class Page(Screen[None]):
    """One page. `TABLE` lists its own commands; `CRUMB` is its place, `ABOUT` its help.

    `CARD` says whether the rehearsal's card stands on it.
    """

    TABLE: ClassVar[tuple[Command, ...]] = ()
    CRUMB: ClassVar[str] = ""
    ABOUT: ClassVar[str] = ""
    AUTO_FOCUS = ""
    CARD: ClassVar[bool] = False

    def __init__(self) -> None:
        super().__init__()
        self._traffic_seen = 0
        self._filled = False
        for command in self.commands:
            action = f"command('{command.name}')"
            self._bindings.bind(",".join(command.keys), action, show=False)

    @property
    def zr(self) -> ZrApp:
        """The app, by its own type."""
        return cast("ZrApp", self.app)

    @property
    def is_ready(self) -> bool:
        """Whether the page is there to be drawn on: filled, and not being taken down."""
        return self._filled and bool(self.query(KeyBar)) and bool(self.query("#card"))

    @property
    def commands(self) -> tuple[Command, ...]:
        """The page's commands and those that every page has."""
        return (*self.TABLE, *COMMON)

    @property
    def crumb(self) -> str:
        """The page's name in the breadcrumb."""
        return self.CRUMB

    @property
    def about(self) -> str:
        """What the help page says about this page."""
        return self.ABOUT

    def compose(self) -> ComposeResult:
        """Lay the page out: breadcrumb, body, traffic, keys."""
        yield Breadcrumb(self.crumb, self.zr.where, self.zr.trail)
        with Vertical(id="body"):
            yield from self.body()
        yield Static("", id="told", markup=False)
        yield Static("", id="card", markup=False)
        with Vertical(id="traffic-box"):
            yield Static("-- typed on the machine, and its answers (newest last) --", id="rule")
            yield Lines(id="traffic", limit=3000, follow=True)
        yield KeyBar()

    def body(self) -> Iterable[Widget]:
        """Yield the page's own widgets."""
        return ()

    def on_mount(self) -> None:
        """Fill what is remembered across pages."""
        self.show_traffic()
        self.show_card()
        self.mounted()
        self._filled = True
        self.refresh_keys()

    def mounted(self) -> None:
        """Do what the page does once its widgets are there."""

    def hear(self, item: News) -> None:
        """Take one piece of news of the wizard."""

    def show_card(self) -> None:
        """Show what the operator of a rehearsal must know."""
        text = self.zr.desk.card if self.zr.desk is not None and self.CARD else ""
        card = self.query_one("#card", Static)
        if card.content != text:
            card.update(printable(text))
            card.display = bool(text)

    def beat(self) -> None:
        """Do what is to be done a few times a second."""

    def tick(self) -> None:
        """Draw what came since the last tick."""
        self.beat()
        self.show_card()
        self.sync_traffic()
        self.refresh_keys()

    # Commands

    def can(self, name: str) -> bool:
        """Whether the command `name` makes sense right now."""
        if name == "hands_on":
            return self.zr.can_take_over
        if name == "traffic":
            return self.zr.desk is not None
        return True

    def action_command(self, name: str) -> None:
        """Do the command `name`, by key, click or from the list of actions."""
        if self.can(name):
            getattr(self, f"do_{name}")()
            if self.is_current:
                self.refresh_keys()

    def do_help(self) -> None:
        """Open the help page."""
        self.zr.open_help(self)

    def do_traffic(self) -> None:
        """Show or hide the traffic pane."""
        self.zr.traffic_open = not self.zr.traffic_open
        self.show_traffic()

    def do_hands_on(self) -> None:
        """Ask for the console."""
        self.zr.open_hands_on()

    def do_redraw(self) -> None:
        """Paint everything again."""
        self.refresh(layout=True)

    def do_quit(self) -> None:
        """Leave, after a question where something is under way."""
        self.zr.ask_quit()

    def tell(self, text: str) -> None:
        """Say something that has no other place, until the page changes."""
        told = self.query_one("#told", Static)
        told.update(printable(text))
        told.display = bool(text)

    # Keys and traffic

    @property
    def typing(self) -> bool:
        """Whether a field has the focus, which eats printable keys."""
        return isinstance(self.focused, Input | SecretBox)

    def refresh_keys(self) -> None:
        """Show the keys that work now."""
        for bar in self.query(KeyBar):
            bar.place([c for c in self.commands if self.can(c.name)], typing=self.typing)
        for crumb in self.query(Breadcrumb):
            crumb.place(self.crumb, self.zr.where)

    def on_descendant_focus(self, event: events.DescendantFocus) -> None:
        """The keys that work depend on the focus."""
        self.refresh_keys()

    def show_traffic(self) -> None:
        """Show the traffic pane where it is wanted and there is some."""
        wanted = self.zr.traffic_open and self.zr.desk is not None
        box = self.query_one("#traffic-box")
        if box.display != wanted:
            # Only where it changes: each of these lays the page out and paints all of it.
            box.display = wanted
            self.set_class(wanted, "-traffic")
        if wanted:
            self._traffic_seen = 0
            self.sync_traffic()

    def sync_traffic(self) -> None:
        """Append the new traffic to the pane where it is in sight."""
        desk = self.zr.desk
        if desk is None or not self.zr.traffic_open or desk.traffic_count == self._traffic_seen:
            return
        new = min(desk.traffic_count - self._traffic_seen, len(desk.traffic))
        fresh = self._traffic_seen == 0
        self._traffic_seen = desk.traffic_count
        rows = [Row(line.text, _LOOK[line.kind], 4) for line in list(desk.traffic)[-new:]]
        pane = self.query_one("#traffic", Lines)
        if fresh:
            pane.show(rows)
        else:
            pane.add(rows)
