"""Those who preview in the tests: by the engine on hostB's console, and by the command."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from zrwizard.preview.engine import Engine
from zrwizard.preview.events import Began, Change, Found, Pair, Told
from zrwizard.secrets import Secrets
from zrwizard.shell.connect import open_shell
from zrwizard.shell.readonly import ReadOnly
from zrwizard.shell.session import ShellSession


@dataclass
class Hand:
    """Somebody at hostB's console, with a shell that can only look."""

    url: str
    directory: Path
    held: ShellSession | None = None
    told: list[Told] = field(default_factory=list)
    cancel: threading.Event = field(default_factory=threading.Event)
    enough: int | None = None
    """So many changes, and the operator stops it."""

    def shell(self, *, temporary: bool = False) -> ReadOnly:
        if self.held is None:
            self.held = open_shell(
                self.url,
                token=f"{os.getpid():x}9e",
                secrets=Secrets(),
                cancel=threading.Event(),
                log=self.directory / "log",
                locks=self.directory,
            )
        return ReadOnly(self.held, allow_temporary_snapshot=temporary)

    def drop(self) -> None:
        """Hand the console back."""
        if self.held is not None:
            self.held.close()
            self.held = None

    def engine(self, *, temporary: bool = False, enough: int | None = None) -> Engine:
        self.told, self.cancel, self.enough = [], threading.Event(), enough
        return Engine(self.shell(temporary=temporary), self.hear, self.cancel)

    def hear(self, told: Told) -> None:
        self.told.append(told)
        if self.enough is not None and self.count >= self.enough:
            self.cancel.set()

    @property
    def count(self) -> int:
        return sum(len(one.changes) for one in self.told if isinstance(one, Found))

    def of(self, dataset: str) -> list[Change]:
        """What was told of a dataset."""
        found = [one for one in self.told if isinstance(one, Found)]
        return [change for one in found if one.pair.dataset == dataset for change in one.changes]

    def pairs(self) -> dict[str, Pair]:
        (began,) = [one for one in self.told if isinstance(one, Began)]
        return {pair.dataset: pair for pair in began.pairs}


@dataclass
class Command:
    """Somebody at a terminal who types `zrwizard preview`."""

    url: str
    directory: Path

    def start(self, *more: str) -> subprocess.Popen[str]:
        words = [sys.executable, "-m", "zrwizard", "preview", "--console", self.url, *more]
        return subprocess.Popen(
            words,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "XDG_STATE_HOME": str(self.directory / "state")},
        )

    def run(self, *more: str) -> tuple[int, str, str]:
        out, err = (process := self.start(*more)).communicate(timeout=120)
        assert "Traceback" not in out + err, err
        return process.returncode, out, err

    def json(self, *more: str) -> tuple[int, list[dict[str, object]], str]:
        code, out, err = self.run("--json", *more)
        return code, [json.loads(line) for line in out.splitlines()], err


def path_of(record: dict[str, object], prefix: str = "") -> bytes | None:
    if f"{prefix}path" not in record:
        return None
    if f"{prefix}path_base64" in record:
        return base64.b64decode(str(record[f"{prefix}path_base64"]))
    return str(record[f"{prefix}path"]).encode()


KINDS = {"added": "+", "removed": "-", "modified": "M", "renamed": "R"}
OBJECTS = {
    "file": "F",
    "directory": "/",
    "symbolic link": "@",
    "block device": "B",
    "character device": "C",
    "fifo": "|",
    "socket": "=",
}


def when_of(text: object) -> int:
    if text is None:
        return -1
    whole, _, rest = str(text).removesuffix("Z").partition(".")
    return int(datetime.fromisoformat(f"{whole}+00:00").timestamp()) * 10**9 + int(rest)


def changes_of(records: Sequence[dict[str, object]], dataset: str) -> list[Change]:
    return [
        Change(
            *(KINDS[str(one["kind"])], OBJECTS[str(one["object"])]),
            *(path_of(one) or b"", path_of(one, "new_")),
            *(int(str(one["links"])), when_of(one["time"])),
        )
        for one in records
        if one["type"] == "change" and one["dataset"] == dataset
    ]
