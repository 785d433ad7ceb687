"""A scripted wizard in a real thread, and a pilot that waits for what it wants to see."""

from __future__ import annotations

import asyncio
import os
import re
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from screens.app import Work, ZrApp
from screens.desk import Desk, Entry, Intent
from screens.style import Style
from zrwizard.plan import Command, Danger, Identity, Phase, Plan, Step, Transfer, Upload
from zrwizard.run.events import RunFinished
from zrwizard.secrets import Secrets

SNAPSHOTS = Path(__file__).parent / "snapshots"
DONE = RunFinished(0, "Everything that was sent is there.", "Take the medium out.", "", 65.0)
PLAN = Plan(
    flow="restore",
    token="abc123",
    title="Restore hostA to vtbd0",
    steps=(
        Step(
            "table",
            Phase.DISK,
            "Write a new partition table",
            "The disk gets a GPT, which BIOS and UEFI both understand.",
            Command("gpart create -s gpt vtbd0"),
            danger=Danger.ERASES,
            destroys="the old partition table of vtbd0",
            guard='[ "$(diskinfo -s vtbd0)" = ZRDISK0001 ]',
            proof="gpart show vtbd0",
        ),
        Step(
            "key",
            Phase.LOGIN,
            "Carry the key over",
            "The server lets this key in.",
            Upload("/tmp/zr-abc123/id", 0o600, secret="key"),
            danger=Danger.CHANGES,
        ),
        Step(
            "pull",
            Phase.TRANSFER,
            "Pull the datasets",
            "All datasets and snapshots come over in one stream.",
            Transfer("ssh backup zfs send | zfs receive", "pull", "zroot", "em0", 1 << 30, 3, ":"),
            danger=Danger.CHANGES,
        ),
        Step("guids", Phase.PROOF, "Compare the guids", "Same guid, same data.", Command("true")),
    ),
    disks=(Identity("vtbd0", "ZRDISK0001", 8 << 30, "VirtIO disk", "1 2", "an old UFS system"),),
    notes=("The terminal shows a rehearsal.",),
)


class Driver:
    """A pilot with patience: it waits for text or a condition, never for luck."""

    def __init__(self, pilot: Pilot[Any], app: ZrApp) -> None:
        self.pilot = pilot
        self.app = app

    @property
    def rows(self) -> list[str]:
        """The screen as it would be on the wire, without trailing blanks."""
        return [s.text.rstrip() for s in self.app.screen._compositor.render_strips()]

    @property
    def text(self) -> str:
        """The whole screen, a row a line."""
        return "\n".join(self.rows)

    @property
    def joined(self) -> str:
        """The rows without what divides them: a path that is too long for one is whole in it."""
        return "".join(row.strip() for row in self.rows)

    @property
    def words(self) -> str:
        """The screen's words with single blanks."""
        return " ".join(self.text.split())

    async def until(self, ready: Callable[[], object], what: str, seconds: float = 10.0) -> None:
        """Wait until `ready()` holds."""
        end = time.monotonic() + seconds
        while not ready():
            assert time.monotonic() < end, f"never saw {what}; the screen:\n{self.text}"
            await self.pilot.pause(0.05)

    async def see(self, words: str, seconds: float = 10.0) -> None:
        """Wait until these words stand on the screen."""
        await self.until(lambda: words in self.words, words, seconds)

    async def press(self, *keys: str) -> None:
        """Press keys."""
        await self.pilot.press(*keys)

    async def type(self, text: str) -> None:
        """Type a text."""
        await self.pilot.press(*text)

    async def snapshot(self, name: str) -> None:
        """Compare the screen with snapshots/NAME.txt; ZRWIZARD_SNAPSHOTS=update writes it.

        Clocks are masked. The screen gets some seconds to become what it should be.
        """
        path = SNAPSHOTS / f"{name}.txt"
        if os.environ.get("ZRWIZARD_SNAPSHOTS") == "update":
            await self.pilot.pause(1.0)
            SNAPSHOTS.mkdir(exist_ok=True)
            path.write_text(self.masked, encoding="utf-8")
        wanted = path.read_text(encoding="utf-8")
        end = time.monotonic() + 5
        while self.masked != wanted and time.monotonic() < end:
            await self.pilot.pause(0.05)
        assert self.masked == wanted

    @property
    def masked(self) -> str:
        """The screen with the seconds since the page began masked."""
        return re.sub(r"(?m)(^ |, )\d+ s$", r"\1N s", self.text) + "\n"


@pytest.fixture
def plan() -> Plan:
    return PLAN


@pytest.fixture
def done() -> RunFinished:
    return DONE


@pytest.fixture
def drive(tmp_path: Path) -> Callable[..., ZrApp]:
    """Return a function that runs a scripted wizard under the app with a story of key presses."""

    def run(
        work: Work,
        story: Callable[[Driver], Awaitable[None]],
        *,
        style: Style = Style.FULL,
        home: bool = False,
        size: tuple[int, int] = (80, 24),
        secrets: Secrets | None = None,
    ) -> ZrApp:
        entries = (
            Entry("restore", "Restore a machine", "Blank disk.", Intent("restore", "Restore")),
            Entry(
                "rehearse",
                "Rehearse a restore (safe practice)",
                "Simulated machines only.",
                Intent("restore", "Rehearsal", "rehearsal://restore"),
            ),
        )
        app = ZrApp(
            lambda: entries,
            work,
            secrets=secrets or Secrets(),
            state_dir=tmp_path / "state",
            style=style,
            start=None if home else Intent("restore", "Restore", "telnet://127.0.0.1:4474"),
        )

        async def go() -> None:
            async with app.run_test(size=size) as pilot:
                await story(Driver(pilot, app))
                if app.desk is not None:
                    app.desk.cancel.set()

        asyncio.run(go())
        return app

    return run


@pytest.fixture
def talk() -> Callable[..., Work]:
    """Return a maker of scripted wizards: asks each question, keeps the replies, ends well."""

    def make(*questions: Any, replies: list[Any]) -> Work:
        def work(desk: Desk) -> RunFinished:
            for question in questions:
                replies.append(desk.ask(question, None))
            return DONE

        return work

    return make
