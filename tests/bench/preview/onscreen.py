"""The app itself, on the terminal that it finds: its preview is fed from a pipe.

`onscreen.py PIPE CONTROL`, both file descriptors. It writes a line on CONTROL when the comparison
was asked for and when it is over; told to, it opens every directory and writes how many rows there
are. Everything else is the product: pages, keys, drain, tree, drawing.
"""

from __future__ import annotations

import os
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from screens.app import ZrApp
from screens.desk import Desk, Intent
from screens.preview.model import Comparison
from tests.bench.preview import lines
from tests.bench.preview.works import PIECE, peak
from zrwizard.app import SWITCH
from zrwizard.freebsd.zfs_diff import Reader, diff
from zrwizard.freebsd.zfs_inspect import Dataset, Snapshot
from zrwizard.preview.desk import Compare, PreviewDesk
from zrwizard.preview.events import (
    Began,
    Coverage,
    DatasetBegan,
    DatasetEnded,
    Ended,
    Found,
    Told,
)
from zrwizard.preview.inventory import Inventory
from zrwizard.run.events import RunFinished
from zrwizard.secrets import Secrets

SPACING = 0.1
"""Seconds between two batches of changes, as in zrwizard/preview/engine.py."""
NEXT = b"\0"
"""Stands in the pipe between two datasets; no line of zfs diff has it."""


class Machine:
    """A `Hand` with one tree of datasets, whose comparison comes out of the pipe."""

    def __init__(self, pipe: int, control: int) -> None:
        self._pipe = pipe
        self._control = control

    def look(self, stop: threading.Event) -> Inventory:
        """Return the datasets of the lines, with two snapshots each."""
        del stop
        names = ("tank", *(pair.dataset for pair in lines.PAIRS))
        return Inventory(
            root=None,
            datasets=tuple(_dataset(name) for name in names),
            snapshots=tuple(
                Snapshot(
                    f"{name}@{tag}", 7 * day + at, 1_700_000_000 + day * 86400, day, 0, 0, 0, 0
                )
                for at, name in enumerate(names)
                for day, tag in enumerate(("mon", "tue"), 1)
            ),
            mounts={name: f"/{name}".encode() for name in names},
            release="14.3-RELEASE",
        )

    def compare(self, wanted: Compare, tell: Callable[[Told], None], stop: threading.Event) -> None:
        """Tell what comes out of the pipe, at the pace of the engine."""
        began, count = time.monotonic(), 0
        tell(Began(wanted.root, wanted.older, wanted.newer, lines.PAIRS))
        os.write(self._control, b"began\n")
        rest = b""
        for pair in lines.PAIRS:
            tell(DatasetBegan(pair, " ".join(diff(f"{pair.older}", f"{pair.newer}"))))
            reader, waiting, due = Reader(pair.mount), list[Any](), 0.0
            is_over = False
            while not is_over and not stop.is_set():
                piece, mark, rest = (rest or os.read(self._pipe, PIECE)).partition(NEXT)
                is_over = bool(mark) or not piece
                waiting += reader.feed(piece)
                if waiting and (is_over or time.monotonic() >= due):
                    tell(Found(pair, tuple(waiting)))
                    count += len(waiting)
                    waiting, due = [], time.monotonic() + SPACING
            tell(DatasetEnded(pair, Coverage.WHOLE, count))
        tell(Ended(count, False, "", time.monotonic() - began))

    def _never(self, *_: object) -> NoReturn:
        raise AssertionError("nobody asks for this here")

    inspect = sums = fetch = copy_plan = mount_plan = carry = _never


def _dataset(name: str) -> Dataset:
    return Dataset(
        name, "filesystem", hash(name) & 0xFFFF, 1_700_000_000, 1, 0, 0, 0, 0, 0, None, "on",
        True, False, None, None,
    )  # fmt: skip


class Watch:
    """Looks at the app from outside, and obeys the words that come on the control socket."""

    def __init__(self, app: ZrApp, control: int) -> None:
        self._app = app
        self._control = control
        for work in (self._obey, self._wait):
            threading.Thread(target=work, daemon=True).start()

    @property
    def _comparison(self) -> Comparison | None:
        guide = self._app.guide
        return guide.model.comparison if guide is not None else None

    def _wait(self) -> None:
        while (comparison := self._comparison) is None or comparison.ended is None:
            time.sleep(0.05)
        os.write(self._control, b"over\n")

    def _obey(self) -> None:
        while word := os.read(self._control, 64):
            if word == b"open\n":
                self._app.call_from_thread(self._open_all)
            elif word == b"end\n":
                os.write(self._control, f"peak {peak()}\n".encode())
        # Whoever measures has what it wants; the pages would ask before they leave.
        os._exit(0)

    def _open_all(self) -> None:
        comparison = self._comparison
        assert comparison is not None
        comparison.tree.open_all_below(0, 10**9)
        os.write(self._control, f"rows {comparison.tree.row_count}\n".encode())


def main() -> int:
    """Run the app until its terminal goes away or it is told to end."""
    pipe, control = int(sys.argv[1]), int(sys.argv[2])

    def work(desk: Desk) -> RunFinished:
        preview = PreviewDesk(desk.cancel)
        desk.serving(preview)
        preview.serve(Machine(pipe, control))
        return RunFinished(0, "", "", "", 0.0)

    with tempfile.TemporaryDirectory() as state:
        start = Intent("preview", "Look at what changed", "telnet://127.0.0.1:4474")
        app = ZrApp(tuple, work, secrets=Secrets(), state_dir=Path(state), start=start)
        Watch(app, control)
        sys.setswitchinterval(SWITCH)
        app.run()
        print(app.crash_text, file=sys.stderr)
    return 1


if __name__ == "__main__":
    raise SystemExit(main())
