"""The preview's screens over the real worker: a real shell on a pty, stand-ins for zfs and stat."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from screens.app import Intent, Style, ZrApp
from screens.preview.changes import ChangesPage
from tests.bridge import Bridge
from tests.preview.machine import FORMAT, SHA256, STAT
from tests.preview.standin import Machine
from tests.screens.conftest import Driver
from zrwizard.app import Worker
from zrwizard.secrets import Secrets

Story = Callable[[Driver], Awaitable[None]]


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """Return a machine with a mounted dataset whose files are real, and one not mounted."""
    monkeypatch.chdir(tmp_path)
    made = Machine(tmp_path / "machine")
    stat = STAT.format(python=sys.executable, form=FORMAT, log=str(made.here / "looks"))
    made.tool("stat", stat)
    made.tool("sha256", SHA256.format(here=made.here))
    mount = tmp_path / "tank"
    old = mount / ".zfs" / "snapshot" / "a"
    new = mount / ".zfs" / "snapshot" / "b"
    for place, text in ((mount, "two\n"), (old, "one\n"), (new, "two\n")):
        (place / "etc").mkdir(parents=True)
        (place / "etc" / "rc.conf").write_text(f"first line\n{text}")
    made.dataset("tank", "a", "b", mount=str(mount))
    made.dataset("tank/b", "a", "b")
    made.tell(
        diffs={
            "tank@a tank@b": ["M\tF\tMOUNT/etc/rc.conf", "+\tF\tMOUNT/etc/new\\0040\\0012name"],
            "tank/b@a tank/b@b": ["-\tF\tMOUNT/gone"],
        }
    )
    return made


def play(bridge: Bridge, state_dir: Path, story: Story) -> tuple[ZrApp, Worker]:
    """Play `story` over the app with its real worker on this console."""
    secrets = Secrets()
    worker = Worker(secrets, state_dir)
    app = ZrApp(
        tuple,
        worker,
        secrets=secrets,
        state_dir=state_dir,
        style=Style.CONSOLE,
        start=Intent("preview", "Look at what changed", bridge.url),
    )

    async def go() -> None:
        async with app.run_test(size=(80, 24)) as pilot:
            await story(Driver(pilot, app))

    asyncio.run(go())
    return app, worker


async def compare(driver: Driver) -> None:
    """Go to the changes between the two snapshots of tank."""
    await driver.see("Which tree do you want to look at?", 60)
    await driver.press("enter")
    await driver.see("From A @a to B @b")
    await driver.press("enter")
    await driver.see("changes in", 30)


async def leave(driver: Driver) -> None:
    """Quit, and wait until it has happened."""
    await driver.press("ctrl+q")
    await driver.see("Leave the wizard?")
    await driver.press("y")
    await driver.until(lambda: driver.app.return_code is not None, "the end", 60)


async def search(driver: Driver, name: str) -> None:
    await driver.press("slash")
    await driver.see("Search for this part of a name")
    await driver.press("ctrl+u")
    await driver.type(name)
    await driver.press("enter")

    def there() -> bool:
        page = driver.app.screen
        row = page.pane.row if isinstance(page, ChangesPage) else None
        return row is not None and name.encode() in row.name

    await driver.until(there, name)


def test_a_preview_from_the_console_to_the_last_unmount(machine: Machine, tmp_path: Path) -> None:
    before = machine.mounts

    async def story(driver: Driver) -> None:
        await compare(driver)
        await driver.see("2 changes in")
        await search(driver, "rc.conf")
        await driver.press("d")
        await driver.see("A (older)", 20)
        await driver.see("2 one | 2 two", 20)
        await driver.press("g")
        await driver.see("Copy the older version to this file")
        await driver.press("enter")
        await driver.see("Copied to", 30)
        assert (tmp_path / "rc.conf.a").read_text() == "first line\none\n"
        await driver.press("b")
        await driver.see("y runs it; n goes back", 20)
        await driver.press("y")
        await driver.see("Done and proven", 30)
        beside = tmp_path / "tank" / "etc" / "rc.conf.zr-a"
        assert beside.read_text() == "first line\none\n"
        await driver.press("q")
        await driver.see("Partial (i says more)")
        await driver.press("m")
        await driver.see("Mount tank/b read-only", 20)
        assert machine.mounts == before
        await driver.press("y")
        await driver.see("3 changes in", 60)
        assert len(machine.mounts) == 2
        await leave(driver)

    with machine.bridge() as bridge:
        app, worker = play(bridge, tmp_path / "state", story)
    assert app.return_code == 0
    assert worker.last_words == []
    assert machine.mounts == before
    done = [row.split()[0] for row in machine.log if "mount" in row]
    assert done == ["mount", "umount"]
    assert (tmp_path / "tank" / "etc" / "rc.conf").read_text() == "first line\ntwo\n"
    assert not (machine.here / "refused").exists()


def test_leaving_in_the_middle_stops_the_command_and_gives_the_console_back(
    machine: Machine, tmp_path: Path
) -> None:
    machine.tell(diffs={"tank@a tank@b": ["M\tF\tMOUNT/etc/rc.conf", "sleep 600"]})
    took: list[float] = []

    async def story(driver: Driver) -> None:
        await driver.see("Which tree do you want to look at?", 60)
        await driver.press("enter")
        await driver.see("From A @a to B @b")
        await driver.press("enter")
        await driver.see("1 change, ", 30)
        began = time.monotonic()
        await leave(driver)
        took.append(time.monotonic() - began)

    with machine.bridge() as bridge:
        app, _ = play(bridge, tmp_path / "state", story)
    assert app.return_code == 0
    assert took[0] < 20


def test_cancelling_keeps_what_came_and_the_shell(machine: Machine, tmp_path: Path) -> None:
    machine.tell(diffs={"tank@a tank": ["M\tF\tMOUNT/etc/rc.conf", "sleep 600"]})

    async def story(driver: Driver) -> None:
        await driver.see("Which tree do you want to look at?", 60)
        await driver.press("enter")
        await driver.see("From A @a to B @b")
        await driver.press("home", "b")
        await driver.see("to B now")
        await driver.press("enter")
        await driver.see("needs a temporary snapshot")
        await driver.press("y")
        await driver.see("1 change, ", 30)
        await driver.press("c")
        await driver.see("Partial (i says more): tank: It was stopped", 30)
        await search(driver, "rc.conf")
        await driver.press("d")
        await driver.see("what is there now was not read", 30)
        await leave(driver)

    with machine.bridge() as bridge:
        play(bridge, tmp_path / "state", story)
