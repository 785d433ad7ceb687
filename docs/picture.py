"""Makes docs/zrwizard.svg: the app's own picture of a rehearsed restore while it pulls the data.

Run it from the top of the tree: `python docs/picture.py`. It takes a minute or two, and touches
nothing but that file.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from textual.pilot import Pilot

from screens.app import Intent, Style, ZrApp
from screens.question import QuestionPage
from screens.review import ReviewPage
from screens.run import RunPage
from screens.widgets.choices import Choices
from screens.widgets.field import Field
from screens.widgets.secretbox import SecretBox
from zrwizard import rehearse
from zrwizard.app import Worker
from zrwizard.secrets import Secrets

WHERE = Path(__file__).parent / "zrwizard.svg"
SIZE = (92, 30)
SPEED = 3.0
"""Simulated seconds per second: slow enough to catch the transfer half way."""


async def until(pilot: Pilot[Any], ready: Callable[[], bool], what: str, seconds: float) -> None:
    """Wait for `ready`; ends the process with a sentence where it does not come."""
    end = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > end:
            rows = pilot.app.screen._compositor.render_strips()
            shown = "\n".join(row.text.rstrip() for row in rows)
            sys.exit(f"picture: {what} did not come; no picture was made. The screen:\n{shown}")
        await pilot.pause(0.1)


async def take(state_dir: Path) -> str:
    """Drive a rehearsal to the middle of its transfer; return the SVG."""
    made = rehearse.machines("restore", speed=SPEED)
    secrets = Secrets()
    intent = Intent("restore", "Rehearsal", "rehearsal://restore", rehearse.answers(made))
    app = ZrApp(
        tuple,
        Worker(secrets, state_dir),
        secrets=secrets,
        state_dir=state_dir,
        start=intent,
        style=Style.FULL,
    )

    def page(kind: type[Any]) -> bool:
        shown = app.screen
        return isinstance(shown, kind) and shown.is_ready and shown.focused is not None

    def half_way() -> bool:
        shown = app.screen
        return isinstance(shown, RunPage) and shown.fraction >= 0.4

    async with app.run_test(size=SIZE) as pilot:
        end = time.monotonic() + 300
        while not page(ReviewPage) and time.monotonic() < end:
            # What the answers leave open: the proposed row, and the password on the card.
            if page(QuestionPage) and isinstance(app.focused, Choices):
                await pilot.press("enter")
            elif page(QuestionPage) and isinstance(app.focused, SecretBox):
                await pilot.press(*made.scenario.password, "enter")
            await pilot.pause(0.3)
        await until(pilot, lambda: page(ReviewPage), "the review", 1)
        await pilot.press("c")
        await until(pilot, lambda: isinstance(app.focused, Field), "the field", 10)
        await pilot.press(*made.scenario.disk_serial, "enter")
        await until(pilot, half_way, "the transfer", 300)
        await pilot.pause(0.6)
        svg = app.export_screenshot(title="zrwizard")
        app.leave()
    return svg


def main() -> None:
    """Make the picture."""
    with tempfile.TemporaryDirectory() as directory:
        svg = asyncio.run(take(Path(directory)))
    WHERE.write_text(svg, encoding="utf-8")
    print(f"{WHERE}: {len(svg)} bytes")


if __name__ == "__main__":
    main()
