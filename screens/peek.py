"""What the console shows while it is being found out what it is: the transcript, followed.

The transcript on disk has every secret masked, so the screen is drawn from it and not from the
line itself.
"""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

from zrwizard.console.screen import Screen

MOST = 65536


class Peek:
    """Follows one transcript (asciicast lines) and keeps the screen that it amounts to.

    `from_now` leaves out what was there before.
    """

    def __init__(self, path: Path, *, from_now: bool = False) -> None:
        self._path = path
        self._at = 0
        self._screen = Screen()
        if from_now:
            with contextlib.suppress(OSError):
                self._at = path.stat().st_size

    def lines(self) -> list[str]:
        """Return the screen's rows down to the last one that is not empty."""
        for data in self._new():
            self._screen.feed(data)
        rows = self._screen.lines()
        while rows and not rows[-1]:
            rows.pop()
        return rows

    def _new(self) -> list[bytes]:
        try:
            with self._path.open("rb") as stream:
                stream.seek(self._at)
                data = stream.read(MOST)
        except OSError:
            return []
        whole = data.rfind(b"\n") + 1
        self._at += whole
        found = []
        for line in data[:whole].splitlines():
            try:
                event = json.loads(line)
            except ValueError:
                continue
            if isinstance(event, list) and len(event) == 3 and event[1] == "o":
                found.append(str(event[2]).encode("utf-8", "replace"))
        return found
