"""Leads through a preview: which page comes when, and what is asked of the worker."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from textual.timer import Timer

from screens.preview.agree import AgreePage, PlanPage
from screens.preview.base import PreviewPage
from screens.preview.changes import ChangesPage
from screens.preview.detail import DetailPage
from screens.preview.model import Comparison, Model, News
from screens.preview.target import Target
from screens.preview.timeline import TimelinePage
from screens.preview.trees import TreesPage
from screens.style import printable
from screens.widgets.lines import Row
from screens.working import WorkingPage
from zrwizard.flows.moves import Answers
from zrwizard.flows.preview import shown
from zrwizard.plan import Plan
from zrwizard.preview.desk import (
    Carried,
    Carry,
    Compare,
    Failed,
    Fetch,
    Fetched,
    Inspect,
    Inspected,
    Look,
    Looked,
    OfferCopy,
    Offered,
    OfferMount,
    PreviewDesk,
    Sum,
    Summed,
)
from zrwizard.preview.inventory import timeline
from zrwizard.run.events import RunFinished

if TYPE_CHECKING:
    from screens.app import ZrApp

OFTEN = 0.05
BUDGET = 0.025
SIZES = 20_000
TREE, RECURSIVE = "preview.tree", "preview.recursive"
OLDER, NEWER = "preview.from", "preview.to"
_PLAIN = re.compile(r"[^A-Za-z0-9._+-]")


class Guide:
    """One preview under the screens. It lives in the app's thread, the worker in its own."""

    def __init__(self, app: ZrApp, desk: PreviewDesk) -> None:
        self.app = app
        self.model = Model(desk)
        self.picked: tuple[str | None, str | None] = (None, None)
        self.at_moment: str | None = None
        self.limit: float | None = None
        self._timer: Timer | None = None
        self._target: Target | None = None
        self._gone = ""
        self._mounted = False
        self._carries_mount = False
        self._before_plan: Callable[[], PreviewPage] = lambda: TreesPage(self)
        self.held = False
        """Set while the tree must not change: it is being saved."""
        self._given = app.desk.intent.answers if app.desk is not None else Answers()
        self._wanted_tree = self._given.get(TREE, "")
        self.recursive = self._given.get(RECURSIVE, "yes") == "yes"

    def start(self) -> None:
        """Look at what there is."""
        self.model.desk.ask(Look())
        self._timer = self.app.set_interval(OFTEN, self.pump)
        self.app.show_page(WorkingPage("Tree", "Looking at datasets and snapshots.", raw=False))

    def close(self) -> None:
        """End what runs; the worker takes down what was put up."""
        if self._timer is not None:
            self._timer.stop()
        self.model.desk.cancel()

    @property
    def parting(self) -> str:
        """What leaving means."""
        if self._mounted:
            return "What was mounted for the preview is unmounted first, which takes a moment."
        return "Nothing was changed on the machine. What was found is gone unless it was exported."

    def ended(self, result: RunFinished) -> bool:
        """The worker is over; True where the pages stay for what was found already."""
        if self.model.inventory is None or not result.summary:
            return False
        self._gone = f"{result.summary} {result.now}".strip()
        if self.model.comparison is not None and not self.model.comparison.over:
            self.model.comparison.fail(self._gone)
        self.model.working = None
        self.app.page.tell(self._gone)
        self._redraw()
        return True

    # What the worker says

    def pump(self) -> None:
        """Take what came, for a short while; called often."""
        if not self.app.page.is_ready or self.held:
            # A page that is being put up gets the time, so that the first rows are seen sooner.
            return
        some = self.model.pump(BUDGET)
        # A page under help or the question before leaving must not be taken away.
        while self.model.news and self.app.screen is self.app.page and self.app.page.is_ready:
            self._take(self.model.news.popleft())
        if some:
            self._redraw()

    def _redraw(self) -> None:
        page = self.app.page
        if isinstance(page, PreviewPage) and page.is_ready:
            page.changed()

    def _take(self, news: News) -> None:
        page = self.app.page
        match news:
            case Looked():
                self._looked()
            case Offered(request=request, plan=plan):
                self._offer(plan, mounting=isinstance(request, OfferMount))
            case Carried(well=well, text=text):
                self._carried(news, well, text)
            case Inspected() | Summed():
                self._about_target(news)
            case Failed(request=Inspect() | Sum()):
                self._about_target(news)
            case Failed(request=Look(), what=what, now=now) if self.model.inventory is None:
                self.app.back_to_connect(f"{what} {now}")
            case Failed(request=Carry(), what=what, now=now):
                self.app.show_page(self._before_plan())
                self._tell_later(f"{what} {now}".strip())
            case Failed(what=what, now=now):
                page.tell(f"{what} {now}".strip())
            case Fetched(text=text):
                page.tell(f"Copied to {text}.")

    def _looked(self) -> None:
        page, inventory = self.app.page, self.model.inventory
        if isinstance(page, TreesPage | TimelinePage):
            page.tell("")
            page.renew()
        elif isinstance(page, WorkingPage):
            wanted, self._wanted_tree = self._wanted_tree, ""
            if wanted and inventory is not None and inventory.dataset(wanted) is not None:
                self.choose_tree(wanted)
                return
            self.app.show_page(TreesPage(self))
            if wanted:
                self._tell_later(f"There is no dataset {wanted}.")

    def _tell_later(self, text: str) -> None:
        """Say it on the page that was just put up, once it is there."""
        self.app.call_after_refresh(lambda: self.app.page.tell(text))

    # Trees and moments

    def look_again(self) -> None:
        """List everything anew."""
        self._ask(Look())

    def choose_tree(self, name: str) -> None:
        """Go on to its snapshots; the two newest are proposed."""
        if self.model.root != name:
            self.model.root = name
            self._propose()
        self.app.show_page(TimelinePage(self))

    def _propose(self) -> None:
        inventory = self.model.inventory
        tags = [m.tag for m in timeline(inventory, self.model.root)] if inventory else []
        self.picked = tags[-2] if len(tags) > 1 else None, tags[-1] if tags else None
        older, newer = self._given.get(OLDER, ""), self._given.get(NEWER, "")
        if older in tags and newer in {*tags, "now"} and older != newer:
            self.picked = older, "" if newer == "now" else newer
        self.at_moment = tags[-1] if tags else None

    # Comparing

    def compare(self, older: str, newer: str | None) -> None:
        """Compare; with what is there now only after a yes."""
        request = Compare(
            self.model.root, older, newer, self.recursive, self.limit, SIZES, estimates=True
        )
        if newer is not None:
            self._compare(request)
            return
        rows = [Row(text) for text in _TEMPORARY]
        self.app.show_page(
            AgreePage(
                self,
                "Snapshots",
                "Comparing with what is there now needs a temporary snapshot.",
                rows,
                lambda: self._compare(request),
            )
        )

    def _compare(self, request: Compare) -> None:
        if self._gone:
            self.app.page.tell(self._gone)
            return
        self.model.desk.cancel()
        self.model.comparison = Comparison(request)
        self.app.show_page(ChangesPage(self))

    def cancel(self) -> None:
        """End what runs now."""
        self.model.desk.cancel()

    # One path

    def open_detail(self, target: Target) -> None:
        """Show both versions of a path."""
        self.inspect(target)
        self.app.show_page(DetailPage(self, target))

    def inspect(self, target: Target) -> None:
        """Have both versions read."""
        self._target = target
        target.problem = self._gone
        if not self._gone:
            target.request = Inspect(target.pair, target.path, target.new_path)
            self.model.desk.ask(target.request)

    def _about_target(self, news: Inspected | Summed | Failed) -> None:
        target = self._target
        if target is None or not target.take(news):
            return
        if isinstance(news, Inspected) and target.is_directory:
            target.request = Sum(target.pair, target.path, target.new_path)
            self._ask(target.request)
        self._redraw()

    def ask_get(self, page: PreviewPage, target: Target) -> None:
        """Ask where the older version goes on this computer, then copy it there."""

        def take(name: str) -> None:
            problem = _unfit(name)
            if problem:
                page.tell(problem)
            else:
                page.tell("")
                self._ask(Fetch(target.pair, target.path, _local(name)))

        page.ask_text(
            "Copy the older version to this file on this computer (Esc: do not):",
            suggested(target.path, target.tag),
            take,
        )

    def ask_beside(self, target: Target) -> None:
        """Have the plan made that puts the older version beside the file."""
        self._ask(OfferCopy(target.pair, target.path))

    def ask_mount(self) -> None:
        """Have the plan made that mounts what is not mounted."""
        comparison = self.model.comparison
        if comparison is not None:
            self._ask(OfferMount(comparison.request))

    def _ask(self, request: Look | Sum | Fetch | OfferCopy | OfferMount | Carry) -> None:
        if self._gone:
            self.app.page.tell(self._gone)
        else:
            self.model.desk.ask(request)

    # Plans

    def _offer(self, plan: Plan, *, mounting: bool) -> None:
        crumb = self.app.page.crumb
        self._before_plan = self._same_page()

        def yes() -> None:
            self._mounted = self._mounted or mounting
            self._carries_mount = mounting
            desk = self.app.desk
            if desk is not None and mounting:
                desk.last_wait = MOUNTED_WAIT
            self._ask(Carry(plan))

        self.app.show_page(PlanPage(self, crumb, plan, yes))

    def _same_page(self) -> Callable[[], PreviewPage]:
        """Return what makes the present page anew."""
        page = self.app.page
        if isinstance(page, DetailPage):
            target = page.target
            return lambda: DetailPage(self, target)
        return lambda: ChangesPage(self)

    def _carried(self, news: Carried, well: bool, text: str) -> None:
        if well and self._carries_mount and self.model.comparison is not None:
            self.model.desk.ask(Look())
            self.model.comparison = Comparison(self.model.comparison.request)
            self.app.show_page(ChangesPage(self))
            self._tell_later("Mounted; it is unmounted when the preview ends. Comparing again.")
            return
        self.app.show_page(self._before_plan())
        done = f"Done and proven: {news.plan.title}."
        self._tell_later(done if well else text)

    # Going back

    def back(self) -> None:
        """Go to the page before the present one."""
        page = self.app.page
        match page:
            case PlanPage():
                self.app.show_page(self._before_plan())
            case AgreePage():
                self.app.show_page(TimelinePage(self))
            case DetailPage():
                self._target = None
                self.app.show_page(ChangesPage(self))
            case ChangesPage():
                self.app.show_page(TimelinePage(self))
            case TimelinePage():
                self.app.show_page(TreesPage(self))
            case _:
                self.app.back_to_connect("")


MOUNTED_WAIT = 220.0
"""Seconds that the end of a preview may take which has something to unmount."""

_TEMPORARY = (
    "zfs diff cannot compare a snapshot with live files directly. It makes a snapshot called "
    "zfs-diff-NUMBER of each dataset that is compared, compares with that, and destroys it again "
    "by itself.",
    "",
    "That writes to the pool: the snapshot appears in zpool history, and for as long as the "
    "comparison runs nothing that is deleted becomes free. If the machine stops in the middle of "
    "it the snapshot stays, until it is destroyed by hand.",
    "",
    "The newest snapshot needs none of this: n goes back to choose it.",
    "",
    "y: let zfs make its temporary snapshots and compare.   n: go back.",
)


def suggested(path: bytes, tag: str) -> str:
    """Return a file name that any system takes: the path's own, and the snapshot's."""
    name = shown(path.rpartition(b"/")[2])
    return _PLAIN.sub("_", f"{name}.{tag}").lstrip("-.")[:200] or "copy"


def _unfit(name: str) -> str:
    """Return why nothing can be written to `name`, "" where it may be tried."""
    if not name:
        return "Type a file name first."
    path = _local(name)
    if os.path.lexists(path):
        return f"{printable(str(path))} is there already; nothing is overwritten."
    if not path.parent.is_dir():
        return f"There is no directory {printable(str(path.parent))}."
    return ""


def _local(name: str) -> Path:
    return Path(os.path.expanduser(name)).absolute()
