"""The rehearsed restore onto a mirror, by a person at an 80x24 terminal; nothing is real."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from screens.app import Intent
from screens.question import QuestionPage
from screens.style import Style
from zrwizard import rehearse
from zrwizard.app import Worker
from zrwizard.secrets import Secrets

SERIALS = ("ZRDISK0001", "ZRDISK0002")


@pytest.fixture
def worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A wizard on machines of its own, which end with the test."""
    monkeypatch.setattr(rehearse, "_running", {})
    monkeypatch.setattr(rehearse, "SCREEN_SPEED", 200.0)
    rehearse.machines("restore-mirror", speed=200.0)
    secrets = Secrets()

    def work(desk: Any) -> Any:
        desk.intent = Intent("restore", "Rehearsal", "rehearsal://restore-mirror")
        return Worker(secrets, tmp_path)(desk)

    work.secrets = secrets  # type: ignore[attr-defined]
    yield work
    rehearse.machines("restore-mirror").close()


async def answer(d: Any, made: Any) -> None:
    """Answer the question that is shown as an operator with the rehearsal's card would."""
    page = d.app.screen
    match page.question.key:
        case "server.host":
            await d.type(made.door.addresses[0])
            await d.press("enter")
        case "server.port":
            await d.type(str(made.scenario.server_port))
            await d.press("enter")
        case "server.host_key":
            await d.press("y")
        case "server.password" | "secret.server":
            await d.type(made.scenario.password)
            await d.press("enter")
        case "target.disk":
            await d.see("Several disks")
            await d.press("end", "enter")
        case "target.disks":
            # cd0 and da0, which is somebody else's, stand above and are locked.
            await d.press("home")
            for name in ("vtbd0", "vtbd1"):
                await d.until(lambda: d.app.screen.query("#choices"), "the disks")
                choices = page.query_one("#choices")
                while choices.current.label != name:
                    await d.press("down")
                await d.press("space")
            await d.see("Marked: vtbd0, vtbd1")
            await d.press("enter")
        case "target.layout":
            await d.see("one disk")
            await d.press("enter")
        case _:
            await d.press("enter")
    await d.until(lambda: d.app.screen is not page, f"the end of {page.question.key}", 60)


@pytest.mark.parametrize("style", [Style.FULL, Style.CONSOLE], ids=["full", "console"])
def test_a_restore_onto_a_mirror(drive: Any, worker: Any, style: Style) -> None:
    made = rehearse.machines("restore-mirror")
    keys: list[str] = []

    async def story(d: Any) -> None:
        while "[Review]" not in d.text:
            await d.until(
                lambda: (
                    "[Review]" in d.text
                    or (isinstance(d.app.screen, QuestionPage) and d.app.screen.is_ready)
                ),
                "a question or the plan",
                60,
            )
            if isinstance(d.app.screen, QuestionPage):
                keys.append(d.app.screen.question.key)
                await answer(d, made)
        await d.see("onto vtbd0 and vtbd1")
        for serial in SERIALS:
            await d.see(f"serial {serial}")
        await d.press("c")
        for serial in SERIALS:
            await d.see(f"type {serial} and press Enter:")
            await d.type(serial)
            await d.press("enter")
        await d.see("May /etc/fstab of the restored system be changed?", 120)
        await d.see("+/dev/gpt/swap1")
        await d.press("y")
        await d.see("[Report]", 120)
        await d.see("The simulated disk boots")

    drive(worker, story, style=style, secrets=worker.secrets)
    assert keys.count("target.disks") == keys.count("target.layout") == 1
    assert "target.spares" not in keys
    assert (made.would_boot(), made.accidents) == ([], [])
