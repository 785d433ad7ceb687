"""The app: pages one after another, led by what the wizard's thread says."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

from textual.app import App
from textual.widgets import Static

from screens.commands import Command
from screens.connect import ConnectPage
from screens.desk import LAST_WAIT, Asked, Desk, Ended, Entry, Intent, News, Reviewing, Serving
from screens.handson import HandsOnScreen
from screens.help import HelpScreen
from screens.home import HomePage
from screens.page import Page
from screens.preview.guide import Guide
from screens.question import QuestionPage
from screens.quit import QuitScreen
from screens.report import ReportPage
from screens.review import ReviewPage
from screens.run import RunPage
from screens.style import CONSOLE_THEME, FULL_THEME, AsciiFilter, Style
from screens.widgets import bars
from screens.working import WorkingPage
from zrwizard.console.errors import ConsoleError
from zrwizard.flows.moves import Question
from zrwizard.plan import Plan, Problem
from zrwizard.run import crash
from zrwizard.run.events import Exit, Note, RunFinished, RunStarted
from zrwizard.secrets import Secret, Secrets
from zrwizard.wizard import Back, Confirmed

__all__ = ["Desk", "Entry", "Intent", "Style", "Work", "ZrApp"]

Work = Callable[[Desk], RunFinished]
"""Does an intent from beginning to end in the caller's thread, speaking with its desk."""

TICK = 0.25
PATIENCE = 0.4
DRAIN_S = 0.1  # of one tick: keys come in between, however much was said


class ZrApp(App[int], inherit_bindings=False):
    """The front end over one wizard at a time.

    `entries` returns the lines of the home page as they are now, `work` does what was chosen, and
    `start` skips the home page. The app returns the exit code of the last run, 130 where it was
    left in the middle.
    """

    CSS_PATH: ClassVar = ["page.tcss", "app.tcss"]
    TITLE = "zrwizard"
    ENABLE_COMMAND_PALETTE = False
    BINDINGS: ClassVar = []

    def __init__(
        self,
        entries: Callable[[], tuple[Entry, ...]],
        work: Work,
        *,
        secrets: Secrets,
        state_dir: Path,
        style: Style = Style.FULL,
        start: Intent | None = None,
    ) -> None:
        super().__init__()
        self.entries = entries
        self.secrets = secrets
        self.desk: Desk | None = None
        self.traffic_open = False
        self.plain = style is Style.CONSOLE
        self.guide: Guide | None = None
        self.crash_text = ""
        self._work = work
        self._state_dir = state_dir
        self._start = start
        self._intent = start
        self._thread: threading.Thread | None = None
        self._page: Page = HomePage(entries())
        self._backlog: deque[News] = deque()
        self._recent: list[News] = []
        self._asked: list[Question] = []
        self._given: dict[str, str] = {}
        self._plan: Plan | None = None
        self._confirmed = False
        self._over: RunPage | None = None
        self._waiting: float | None = None
        self._code = int(Exit.DONE)
        self._leaving: float | None = None
        self._last_wait = LAST_WAIT
        self.animation_level = "none"
        theme = CONSOLE_THEME if self.plain else FULL_THEME
        self.register_theme(theme)
        self.theme = theme.name
        self.set_class(self.plain, "-console")
        if self.plain:
            self._filters.append(AsciiFilter())

    def on_mount(self) -> None:
        """Begin with the first page, and with the drain."""
        if self._start is not None:
            self.begin(self._start)
        else:
            self.show_page(self._page)
        self.set_interval(TICK, self.drain)

    # What the pages ask of the app

    @property
    def where(self) -> str:
        """The console that is worked on, for the first row."""
        return self.desk.intent.console if self.desk is not None else ""

    @property
    def can_take_over(self) -> bool:
        """Whether there is a console to take in hand."""
        return self.desk is not None and self.desk.take is not None

    @property
    def trail(self) -> tuple[str, ...]:
        """The pages of what is under way, for the first row."""
        flow = self._intent.flow if self._intent is not None else ""
        return {"preview": bars.PREVIEW, "server": bars.SERVER}.get(flow, bars.PAGES)

    @property
    def page(self) -> Page:
        """The page that is shown, whatever lies over it."""
        return self._page

    def put_text(self, static: Static, text: str) -> None:
        """Update a widget of fixed height, where its text differs."""
        if static.content != text:
            static.update(text, layout=False)

    def begin(self, intent: Intent) -> None:
        """Start an intent: ask for the console first where it is not known."""
        self._intent = intent
        self._given = {}
        if intent.console:
            self.connect(intent.console)
        else:
            self.show_page(ConnectPage(intent))

    def connect(self, console: str) -> None:
        """Start the wizard's thread on this console."""
        if self._intent is None:
            return
        self._drop()
        self._intent = replace(self._intent, console=console)
        desk = self.desk = Desk(self._intent)
        self._asked, self._plan, self._confirmed = [], None, False
        before, self._thread = self._thread, None
        self._thread = threading.Thread(
            target=self._run, args=(desk, before, self._last_wait), name="wizard", daemon=True
        )
        self._thread.start()
        self.show_page(WorkingPage("Connect", f"Connecting to {console}", raw=True))

    def answer(self, question: Question, value: str | Secret) -> None:
        """Give the wizard an answer."""
        if isinstance(value, Secret):
            self.secrets.add(value)
            self._given[question.key] = ""
        else:
            self._given[question.key] = value
        self._reply(value)

    def confirm(self, typed: tuple[str, ...]) -> None:
        """Give the wizard what was typed to confirm the plan, disk by disk."""
        self._confirmed = True
        self._reply(Confirmed(typed))

    def go_back(self, question: Question | None) -> None:
        """Go one question back; from the first one, to the console's page."""
        keys = [known.key for known in self._asked if not known.key.startswith("run.")]
        if self._over is None and question is not None and keys[:1] in ([], [question.key]):
            self.back_to_connect("")
        else:
            self._confirmed = self._over is not None
            self._reply(Back())

    def back_to_connect(self, problem: str) -> None:
        """End what is under way and ask for the console again."""
        self._drop()
        if self._intent is not None:
            self.show_page(ConnectPage(self._intent, problem))

    def go_home(self) -> None:
        """End what is under way and show the first page."""
        self._drop()
        self.show_page(HomePage(self.entries()))

    def open_help(self, page: Page) -> None:
        """Show help for `page`, and do what is chosen there."""
        commands: list[Command] = [c for c in page.commands if page.can(c.name)]

        def chosen(name: str | None) -> None:
            if name:
                page.action_command(name)

        title = page.crumb or "the first page"
        self.push_screen(HelpScreen(title, page.about, commands, page.typing), chosen)

    def open_hands_on(self) -> None:
        """Ask for the console and show it."""
        if self.desk is None or self.desk.take is None:
            return

        def back(problem: str | None) -> None:
            if problem:
                self._page.tell(problem)

        self.push_screen(HandsOnScreen(self.desk.take), back)

    def ask_quit(self) -> None:
        """Leave at once where nothing is under way, else ask."""
        if self._leaving is not None:
            self.exit(int(Exit.INTERRUPTED))
            return
        if self._thread is None or not self._thread.is_alive():
            self.exit(self._code)
            return
        if self.desk is None:
            # It was told to end already: what it put up on the machine is being taken down.
            self._leaving = time.monotonic()
            self._page.tell("Ending in good order; one moment. ^c leaves now.")
            return
        words = (
            "The run stops after the command that is running. A transfer goes on on the machine "
            "itself. Start the same again to go on; what is proven is skipped."
            if isinstance(self._page, RunPage)
            else "No disk has been touched. What was answered is asked again the next time."
        )
        if self.guide is not None:
            words = self.guide.parting

        def said(leave: bool | None) -> None:
            if leave:
                self.leave()

        self.push_screen(QuitScreen(words), said)

    def leave(self) -> None:
        """Tell the wizard's thread to end, and go as soon as it has."""
        self._code = int(Exit.INTERRUPTED if self.guide is None else Exit.DONE)
        self._leaving = time.monotonic()
        self._end_wizard()
        if self.guide is not None:
            self._page.tell("Ending in good order: what was mounted is unmounted. ^c leaves now.")

    # The wizard's thread

    def _run(self, desk: Desk, before: threading.Thread | None, last_wait: float) -> None:
        if before is not None:
            before.join(last_wait)
        try:
            desk.ended(self._work(desk))
        except ConsoleError as error:
            code = Exit.INTERRUPTED if desk.cancel.is_set() else Exit.UNREACHABLE
            desk.ended(RunFinished(code, error.what, error.now, "", 0.0))
        except Exception as error:
            outcome = crash.outcome(error, self._state_dir, self.secrets)
            desk.ended(RunFinished(outcome.exit, outcome.what, outcome.now, "", 0.0))

    def _reply(self, value: str | Secret | Back | Confirmed) -> None:
        self._recent = []
        self._waiting = time.monotonic()
        if self._over is not None:
            # A question in the middle of the run: its page lies over the run's.
            self._page, self._over, self._waiting = self._over, None, None
            self.pop_screen()
        if self.desk is not None:
            self.desk.reply(value)
        self.drain()

    def _drop(self) -> None:
        """Let the present wizard end by itself; its news are no longer of interest."""
        self._end_wizard()
        self.desk = self.guide = None
        self._backlog.clear()
        self._recent = []
        self._waiting = None

    def _end_wizard(self) -> None:
        """Tell the wizard's thread to end in good order; that may take its `last_wait`."""
        if self.guide is not None:
            self.guide.close()
        if self.desk is not None:
            self.desk.cancel.set()
            self._last_wait = self.desk.last_wait

    # News

    def show_page(self, page: Page) -> None:
        """Show another page in the place of the present one."""
        self._waiting = None
        if self._over is not None:
            self._over = None
            self.pop_screen()
        self._page = page
        if len(self.screen_stack) == 1:
            self.push_screen(page)
        else:
            self.switch_screen(page)

    def drain(self) -> None:
        """Take what the wizard said since the last time; called a few times a second."""
        if self._leaving is not None:
            self._try_leaving(self._leaving)
            return
        if self.desk is not None:
            self._backlog.extend(self.desk.drain())
        page = self._page
        if not page.is_ready:
            return
        until = time.monotonic() + DRAIN_S
        while self._backlog and self._page is page and time.monotonic() < until:
            item = self._backlog.popleft()
            if not self._take(item):
                self._backlog.appendleft(item)
                break
        if self._page is not page:
            return
        self._page.tick()
        if self._waiting is not None and time.monotonic() - self._waiting > PATIENCE:
            self._show_working()

    def _try_leaving(self, since: float) -> None:
        alive = self._thread is not None and self._thread.is_alive()
        if not alive or time.monotonic() - since > self._last_wait:
            self._leaving = None
            self.exit(self._code)

    def _take(self, item: News) -> bool:
        """Handle one piece; False where it must wait until a page or a pane is gone."""
        turning = isinstance(item, Asked | Reviewing | Serving | Ended) or self._begins(item)
        if turning and self.screen is not self._page:
            return False
        match item:
            case Asked():
                self._ask(item)
            case Reviewing(plan=plan, refused=refused):
                self._plan = plan
                self._confirmed = False
                self.show_page(ReviewPage(plan, refused))
            case Serving(preview=preview):
                self.guide = Guide(self, preview)
                self.guide.start()
            case Ended():
                self._end(item)
            case _ if self._begins(item):
                self.show_page(RunPage(self._plan, ""))
                return False
            case _:
                self._recent.append(item)
                del self._recent[:-50]
                self._page.hear(item)
        return True

    def _begins(self, item: News) -> bool:
        """Whether this is the start of the confirmed plan, which has a page of its own."""
        return (
            isinstance(item, RunStarted)
            and self._plan is not None
            and item.title == self._plan.title
            and self._confirmed
            and not isinstance(self._page, RunPage)
        )

    def _ask(self, asked: Asked) -> None:
        question = asked.question
        keys = [known.key for known in self._asked]
        if question.key in keys:
            del self._asked[keys.index(question.key) :]
        self._asked.append(question)
        before = self._given.get(question.key)
        problem = asked.problem
        if problem is None and self._recent:
            problem = _warning(self._recent[-1])
        crumb = self._page.crumb if question.key.startswith("run.") else ""
        page = QuestionPage(question, problem, before, crumb)
        if isinstance(self._page, RunPage):
            self._over, self._page = self._page, page
            self.push_screen(page)
        else:
            self.show_page(page)

    def _end(self, ended: Ended) -> None:
        result = ended.result
        self._code = result.exit
        if self.guide is not None and self.guide.ended(result):
            return
        early = not self._asked and self._plan is None
        if early and result.exit == Exit.UNREACHABLE:
            self.back_to_connect(f"{result.summary} {result.now}")
            return
        if self.desk is not None:
            self.desk.take = None
        self.show_page(ReportPage(result))

    def _show_working(self) -> None:
        crumb = self._page.crumb or "Connect"
        if crumb == "Review":
            crumb = "Run"
        page = WorkingPage(crumb, "One moment: the wizard is at work.", raw=False)
        recent = list(self._recent)
        if self.screen is self._page:
            self.show_page(page)
            self._backlog.extendleft(reversed(recent))
            self._recent = []

    # Crashes

    def _handle_exception(self, error: Exception) -> None:
        """Replace Textual's crash screen, which prints locals, by a sentence and a file."""
        self._return_code = 1
        if self._exception is None:
            self._exception = error
            self._exception_event.set()
        outcome = crash.outcome(error, self._state_dir, self.secrets)
        self.crash_text = f"{outcome.what} {outcome.now}"
        if self.desk is not None:
            self.desk.cancel.set()
        self._close_messages_no_wait()


def _warning(item: News) -> Problem | None:
    """Return a warning that came right before a question as that question's problem."""
    if isinstance(item, Note) and item.level != "info":
        return Problem("", item.text, "")
    return None
