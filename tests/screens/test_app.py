"""Starting the screens for real: terminals, the first page's entries, a whole rehearsal."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest

from screens.app import Style, ZrApp
from screens.page import Page
from screens.question import QuestionPage
from screens.report import ReportPage
from screens.review import ReviewPage
from screens.widgets.choices import Choices
from screens.widgets.field import Field
from screens.widgets.lines import Lines
from screens.widgets.secretbox import SecretBox
from zrwizard.app import Worker, entries, run, terminal_problem
from zrwizard.flows.moves import Agree, Enter
from zrwizard.plan import Plan
from zrwizard.run.journal import MAIN, Journal
from zrwizard.secrets import Secrets

OFFERED = ["restore", "rehearse", "server", "rehearse-server", "preview", "rehearse-preview"]


def test_a_dumb_terminal_is_refused_with_a_sentence() -> None:
    assert "--headless" in terminal_problem("dumb", "/dev/pts/0")
    assert "--headless" in terminal_problem("", "/dev/pts/0")
    assert "--headless" in terminal_problem("xterm", "")
    assert terminal_problem("vt100", "/dev/ttyu0") == ""


def test_without_a_terminal_the_exit_code_is_2(
    tmp_path: Path, capsys: Any, monkeypatch: Any
) -> None:
    monkeypatch.setattr("zrwizard.app._tty_name", lambda: "")
    assert run(None, secrets=Secrets(), state_dir=tmp_path) == 2
    assert "--headless" in capsys.readouterr().err


def test_the_first_page_offers_to_continue_an_unfinished_run(tmp_path: Path, plan: Plan) -> None:
    assert [entry.value for entry in entries(tmp_path)] == OFFERED
    console = "telnet://127.0.0.1:4474"
    journal = Journal.create(tmp_path, "abc123", console=console, flow="restore", secrets=Secrets())
    journal.answers({"source.dataset": "hostA"})
    journal.plan(MAIN, plan)
    journal.part(MAIN).begun("table")
    journal.close()
    first = entries(tmp_path)[0]
    assert first.label.startswith("Continue: Restore hostA to vtbd0")
    assert first.intent.console == console
    assert dict(first.intent.answers) == {"source.dataset": "hostA"}
    journal = Journal.create(tmp_path, "abc124", console=console, flow="restore", secrets=Secrets())
    journal.plan(MAIN, plan)
    journal.part(MAIN).begun("table")
    journal.end(0)
    journal.close()
    assert [entry.value for entry in entries(tmp_path)] == OFFERED


class Operator:
    """Answers what a rehearsal asks, by keys; what it must know stands on the card."""

    def __init__(self, app: ZrApp, pilot: Any, given: dict[str, str]) -> None:
        self.app = app
        self.pilot = pilot
        self.given = given
        self.asked: list[str] = []

    async def act(self) -> None:
        """Do what the present page wants."""
        page = self.app.screen
        if not isinstance(page, Page) or not page.is_ready or page.focused is None:
            return
        if isinstance(page, ReviewPage):
            await self.confirm(page)
        elif isinstance(page, QuestionPage) and page.question.key not in self.asked[-1:]:
            self.asked.append(page.question.key)
            await self.answer(page)

    async def answer(self, page: QuestionPage) -> None:
        question = page.question
        match question:
            case Enter():
                await self.pilot.press(*self.given.get(question.key, ""), "enter")
            case Agree():
                assert self.given["server.host_key"] == question.value
                await self.pilot.press("y")
            case _ if isinstance(page.focused, SecretBox):
                await self.pilot.press(*self.given["password"], "enter")
            case _ if isinstance(page.focused, Choices):
                await self.pilot.press("enter")

    async def confirm(self, page: ReviewPage) -> None:
        if isinstance(page.focused, Lines):
            await self.pilot.press("c")
        elif isinstance(page.focused, Field):
            await self.pilot.press(*self.given["target.disk"], "enter")


def test_a_whole_rehearsal_by_keys(tmp_path: Path) -> None:
    pytest.importorskip("bashkit")
    from zrwizard import rehearse

    made = rehearse.machines("restore", speed=120.0)
    given = {**rehearse.answers(made), "password": made.scenario.password}
    secrets = Secrets()
    app = ZrApp(
        lambda: entries(tmp_path),
        Worker(secrets, tmp_path),
        secrets=secrets,
        state_dir=tmp_path,
        style=Style.CONSOLE,
    )

    async def go() -> None:
        async with app.run_test(size=(80, 24)) as pilot:
            operator = Operator(app, pilot, given)
            await pilot.press("j", "enter")
            end = time.monotonic() + 240
            while not isinstance(app.screen, ReportPage):
                assert time.monotonic() < end, operator.asked
                await operator.act()
                rows = [strip.text for strip in app.screen._compositor.render_strips()]
                assert all(row.isascii() for row in rows)
                assert len(rows) in {0, 24}
                await pilot.pause(0.1)
            await pilot.pause(0.5)
            text = " ".join(
                " ".join(s.text for s in app.screen._compositor.render_strips()).split()
            )
            assert "[ok] Done" in text
            assert "The simulated disk boots" in text
            assert operator.asked[0] == "network.nic"
            assert "target.disk" in operator.asked
            await pilot.press("q")

    asyncio.run(go())
    assert app.return_value == 0
