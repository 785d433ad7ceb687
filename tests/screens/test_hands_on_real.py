"""The pane on a real session: a real sh on a pty, an editor in it, a flood, a hand-back."""

from __future__ import annotations

import shutil
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from textual import events

from screens.style import Style
from zrwizard.flows.moves import Enter

sys.path.insert(0, str(Path(__file__).parent.parent / "shell"))
from noise import open_session

ASK = Enter("server.host", "source", "Backup server?", "Its name.")
BUSYBOX = pytest.mark.skipif(shutil.which("busybox") is None, reason="busybox is not installed")


class Machine:
    """A wizard that waits at a question with a real console behind it, then runs one command."""

    def __init__(self, log: Path) -> None:
        self.session, self.line = open_session(log=log)
        self.results: list[Any] = []

    def work(self, desk: Any) -> None:
        desk.take = self.session.hands_on
        desk.ask(ASK, None)
        self.results.append(self.session.run("printf 'a\\0b'; exit 43"))

    def ours(self) -> bool:
        return [(one.status, one.out) for one in self.results] == [(43, b"a\0b")]


@pytest.fixture
def machine(tmp_path: Path) -> Any:
    machine = Machine(tmp_path / "log")
    yield machine
    machine.session.close()


async def prompt(d: Any) -> None:
    await d.until(lambda: "#" in [row.rstrip() for row in d.rows], "a prompt")


async def line(d: Any, text: str) -> None:
    """Paste a command and press Enter."""
    d.app.screen.post_message(events.Paste(text))
    await d.pilot.pause(0.1)
    await d.press("enter")


async def back(d: Any, machine: Machine, done: Any) -> None:
    """Give the console back; the wizard's next command is exact, and it ends."""
    await d.press("ctrl+right_square_bracket")
    await d.see("Backup server?")
    await d.type("x")
    await d.press("enter")
    await d.until(machine.ours, "the command")
    await d.see(done.summary)


@BUSYBOX
@pytest.mark.parametrize("style", [Style.FULL, Style.CONSOLE])
def test_an_editor_in_the_pane(
    drive: Any, done: Any, machine: Machine, tmp_path: Path, style: Style
) -> None:
    path = tmp_path / "rc.conf"
    path.write_text("".join(f"line_{n}=YES\n" for n in range(60)))

    async def story(d: Any) -> None:
        await d.see("Backup server?")
        await d.press("ctrl+o")
        await prompt(d)
        await line(d, f"cd {tmp_path}; clear")
        await prompt(d)
        await line(d, "busybox vi rc.conf")
        await d.see("line_20=YES")
        assert "line_22=YES" not in d.text
        await d.press("down", "down", "pagedown")
        await d.see("line_40=YES")
        await d.press("ctrl+right_square_bracket")
        await d.see("vi is open on the console. Leave it with Esc and :q!")
        await d.press("G", "o")
        await d.type("host=x")
        await d.press("escape")
        # An editor takes what follows an Esc at once for one key with it.
        await d.pilot.pause(0.3)
        await d.press(*":wq", "enter")
        await d.see("# busybox vi rc.conf")
        await d.until(lambda: "line_40" not in d.text, "the screen as it was before")
        await back(d, machine, done)

    drive(lambda desk: machine.work(desk) or done, story, style=style)
    assert path.read_text().endswith("line_59=YES\nhost=x\n")


def test_a_flood_does_not_freeze_the_app(drive: Any, done: Any, machine: Machine) -> None:
    async def story(d: Any) -> None:
        await d.see("Backup server?")
        await d.press("ctrl+o")
        await prompt(d)
        await line(d, "yes a-line-that-scrolls-by")
        await d.see("a-line-that-scrolls-by a-line-that-scrolls-by")
        slowest = 0.0
        for _ in range(20):
            began = time.monotonic()
            await d.pilot.pause(0.02)
            slowest = max(slowest, time.monotonic() - began)
        assert slowest < 0.7
        await d.press("ctrl+c")
        await d.until(lambda: d.rows[22].rstrip() == "#" or "# " in d.rows[22], "the prompt", 5)
        await back(d, machine, done)

    drive(lambda desk: machine.work(desk) or done, story)


def test_a_cut_in_the_pane_is_a_sentence(drive: Any, done: Any, machine: Machine) -> None:
    async def story(d: Any) -> None:
        await d.see("Backup server?")
        await d.press("ctrl+o")
        await prompt(d)
        machine.line.spawn.kill(9)
        await d.see("The console line ended")
        await d.see("Press ^].")
        await d.type("x")
        await d.press("ctrl+right_square_bracket")
        await d.see("Backup server?")
        await d.see("The console line ended")

    drive(lambda desk: machine.work(desk) or done, story)


def test_the_wizard_can_be_stopped_from_looking(drive: Any, done: Any, machine: Machine) -> None:
    """A machine that starts is waited for; Esc gives the console back to the operator."""

    async def story(d: Any) -> None:
        await d.see("Backup server?")
        await d.press("ctrl+o")
        await prompt(d)
        await line(d, "clear; echo Starting devd.; sleep 99")
        await d.see("Starting devd. ^]")
        await d.press("ctrl+right_square_bracket")
        await d.see("Esc keeps it.")
        await d.pilot.pause(1.5)
        await d.press("escape")
        await d.see("You keep the console.")
        await d.press("ctrl+c")
        await prompt(d)
        await back(d, machine, done)

    drive(lambda desk: machine.work(desk) or done, story)
