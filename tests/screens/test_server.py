"""The set-up of a backup server on the screens: new secrets, edits, acts on this machine."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from screens.app import Intent, ZrApp
from screens.review import plan_rows
from screens.style import Style
from screens.widgets.lines import Lines
from screens.words import WORRIES, worry
from tests.serverflow import SmallServer
from zrwizard.app import entries
from zrwizard.flows.moves import EnterSecret
from zrwizard.plan import Phase
from zrwizard.run.events import Answered, RunFinished, RunStarted, StepDone, StepStarted, Typed
from zrwizard.secrets import Secret, Secrets

NEW = EnterSecret(
    "secret.ca-passphrase",
    "keys",
    "Passphrase of the login key and the CA key",
    "It protects the two keys that open everything.",
    "ca-passphrase",
    twice=True,
)
PLAN = SmallServer(Path("/tmp/knox")).plan("abc123")


def test_a_new_secret_is_typed_twice(drive: Any, talk: Any) -> None:
    replies: list[Any] = []
    secrets = Secrets()

    async def story(d: Any) -> None:
        await d.see("typed twice. The first time:")
        await d.snapshot("secret-twice")
        await d.press("enter")
        await d.see("Nothing was typed yet.")
        await d.type("short")
        await d.press("enter")
        await d.see("A passphrase has 8 to 512 characters.")
        await d.type("one?q words")
        await d.press("enter")
        await d.see("Once more, so that a slip is noticed:")
        await d.see("nothing typed yet")
        assert "Nothing was typed yet." not in d.words
        assert replies == []
        await d.type("two words")
        await d.press("enter")
        await d.see("The two are not the same. Type it anew.")
        await d.see("The first time:")
        await d.type("two words")
        await d.press("enter")
        await d.see("Once more")
        await d.type("two words")
        await d.press("enter")
        await d.see("[Report]")

    drive(talk(NEW, replies=replies), story, secrets=secrets)
    assert replies == [Secret("ca-passphrase", "two words")]
    assert secrets.get("ca-passphrase") == replies[0]


def test_the_review_shows_what_changes_and_what_happens_here(drive: Any, done: Any) -> None:
    def work(desk: Any) -> Any:
        desk.review(PLAN)
        return done

    async def story(d: Any) -> None:
        await d.see("[Review]")
        await d.see("does: on this machine: keygen")
        await d.see("< <secret:geli-key>")
        await d.press("end")
        await d.see('+sshd_enable="YES"')
        await d.press("up", "up", "up", "up", "up", "up")
        await d.snapshot("review-server")
        lines = d.app.screen.query_one("#plan", Lines)
        kinds = {row.text.strip(): row.kind for row in lines._source}
        assert kinds['+sshd_enable="YES"'] == "added"
        assert kinds["+++ /tmp/knox/rc.conf"] == ""
        assert kinds["--- /tmp/knox/rc.conf"] == ""
        # To the next step that erases: there is only one, whatever lines are removed.
        await d.press("e")
        await d.see("!! ERASES all of da0")

    drive(work, story)


def test_removed_lines_are_marked_and_never_taken_for_danger() -> None:
    rows = list(plan_rows(PLAN))
    assert {row.kind for row in rows} >= {"added", "danger"}
    assert not [row for row in rows if row.kind == "removed"], "nothing is removed by this plan"
    assert len([row for row in rows if row.kind == "danger"]) == 2


@pytest.mark.parametrize("style", list(Style))
def test_colours_of_an_edit_are_the_full_styles_only(drive: Any, done: Any, style: Style) -> None:
    seen: dict[str, Any] = {}

    def work(desk: Any) -> Any:
        desk.review(PLAN)
        return done

    async def story(d: Any) -> None:
        await d.see("[Review]")
        pane = d.app.screen.query_one("#plan", Lines)
        for kind in ("added", "removed"):
            seen[kind] = pane.get_component_rich_style(f"lines--{kind}", partial=True).color
        seen["plain"] = pane.rich_style.color

    drive(work, story, style=style)
    if style is Style.FULL:
        assert len({str(seen["added"]), str(seen["removed"]), str(seen["plain"])}) == 3
    else:
        assert seen["added"] == seen["removed"]


def test_a_run_shows_acts_on_this_machine(drive: Any) -> None:
    shown = threading.Event()
    over = RunFinished(0, "knox is ready.", "", "", 5.0)

    def work(desk: Any) -> Any:
        desk.review(PLAN)
        desk.emit(RunStarted(PLAN.title, len(PLAN.steps), False))
        for index, step in enumerate(PLAN.steps[:6], 1):
            desk.emit(
                StepStarted(
                    step.id, step.phase, step.title, step.why, step.danger, index, len(PLAN.steps)
                )
            )
            if step.id != "trial":
                desk.emit(StepDone(step.id, 0.5, False))
        desk.emit(Typed("trial", "act", "on this machine: ssh knox"))
        desk.emit(Answered("trial", "act", 0, "the line was cut; the disk is closed", 0.5))
        shown.wait(10)
        return over

    async def story(d: Any) -> None:
        await d.see("[Review]")
        await d.press("c", *"WX11", "enter")
        await d.see("does: on this machine: ssh knox")
        await d.see("the line was cut; the disk is closed")
        await d.see("Only test data is sent")
        await d.snapshot("run-server")
        shown.set()
        await d.see("[ok] Done")

    drive(work, story)


def test_every_phase_says_what_a_stop_means() -> None:
    for phase in Phase:
        for flow in ("restore", "server"):
            assert worry(flow, phase).endswith("."), (flow, phase)
            assert len(worry(flow, phase)) <= 110
    assert worry("server", Phase.FINISH) != WORRIES[Phase.FINISH]


def test_the_first_page_offers_it_and_its_rehearsal(tmp_path: Path) -> None:
    offered = {entry.value: entry for entry in entries(tmp_path)}
    assert offered["server"].intent == Intent(
        "server", "Set up a backup server on another computer"
    )
    assert offered["rehearse-server"].intent.console == "rehearsal://server"
    for entry in offered.values():
        # Four rows of 78 cells are there for it.
        assert len(entry.detail) <= 290
        assert len(entry.label) <= 70


def test_the_first_page_fits(drive: Any, talk: Any, tmp_path: Path) -> None:
    async def story(d: Any) -> None:
        d.app.entries = lambda: entries(tmp_path)
        d.app.go_home()
        await d.see("Set up a backup server")
        await d.press("j", "j")
        await d.see("An old computer and a disk become")
        await d.snapshot("home-all")

    drive(talk(replies=[]), story, home=True)


def test_the_trail_is_its_own(drive: Any, talk: Any) -> None:
    async def story(d: Any) -> None:
        d.app.begin(Intent("server", "Set up", "telnet://h:1"))
        await d.see("Connect > Purpose > Disk > Access > [Keys] > System > Review > Run > Report")

    assert isinstance(drive(talk(NEW, replies=[]), story, home=True), ZrApp)
