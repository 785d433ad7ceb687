"""The preview on real OpenZFS: what it says is what a comparison file by file finds, and nothing is
written, by the console of hostB.

The trees are made by `past.py` and `changes.py`, by five seeds; `compare.py` reads both snapshots of
every dataset and says what the preview must say.
"""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import pytest

from zrwizard.preview.engine import Engine
from zrwizard.preview.events import (
    Began,
    Change,
    Coverage,
    DatasetEnded,
    Estimated,
    Found,
    Pair,
    Sized,
    Told,
)
from zrwizard.preview.export import TYPES
from zrwizard.secrets import Secrets
from zrwizard.shell.connect import open_shell
from zrwizard.shell.readonly import ReadOnly
from zrwizard.shell.session import ShellSession

from . import compare, conftest, past
from .compare import Files
from .machines import Guest
from .past import NEWER, OLDER, Child, Past

pytestmark = pytest.mark.guest

SEEDS = range(5)
EXPIRY = 1
"""Seconds after which the kernel unmounts a snapshot again that was looked at in .zfs/snapshot."""


# --- what is there --------------------------------------------------------------------------------


@dataclass
class Laid:
    """hostB with its trees, and what is in each of their snapshots."""

    guest: Guest
    pasts: dict[int, Past]
    files: dict[str, Files]

    def wanted(self, child: Child) -> list[set[Change]]:
        """What there is to say about a dataset."""
        assert child.mount and child.older and child.newer
        older, newer = self.files[child.older], self.files[child.newer]
        return compare.expected(child.mount.encode(), older, newer)


@pytest.fixture(scope="module")
def laid(guests: conftest.Pair) -> Iterator[Laid]:
    guest = guests.server
    guest.run(f"echo {EXPIRY} >/sys/module/zfs/parameters/zfs_expire_snapshot")
    past.make_pool(guest)
    try:
        pasts = {seed: past.lay(guest, seed) for seed in SEEDS}
        children = [child for one in pasts.values() for child in one.children.values()]
        names = {n for c in children if c.older and c.newer for n in (c.older, c.newer)}
        names -= {n for n in names if "/vol@" in n}
        yield Laid(guest, pasts, compare.snapshots(guest, names))
    finally:
        past.destroy_pool(guest)


@dataclass
class Hand:
    """Somebody at hostB's console, with a shell that can only look."""

    session: ShellSession
    told: list[Told]
    cancel: threading.Event

    @property
    def shell(self) -> ReadOnly:
        return ReadOnly(self.session)

    def engine(self, shell: ReadOnly | None = None) -> Engine:
        self.told.clear()
        self.cancel.clear()
        return Engine(shell or self.shell, self.told.append, self.cancel)

    def of(self, dataset: str) -> list[Change]:
        """What was told of a dataset."""
        found = [one for one in self.told if isinstance(one, Found)]
        return [change for one in found if one.pair.dataset == dataset for change in one.changes]

    def pairs(self) -> dict[str, Pair]:
        (began,) = [one for one in self.told if isinstance(one, Began)]
        return {pair.dataset: pair for pair in began.pairs}


def open_hand(url: str, directory: Path) -> ShellSession:
    return open_shell(
        url,
        token=f"{os.getpid():x}9e",
        secrets=Secrets(),
        cancel=threading.Event(),
        log=directory / "log",
        locks=directory,
    )


@pytest.fixture(scope="module")
def hand(laid: Laid, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hand]:
    session = open_hand(laid.guest.console_url, tmp_path_factory.mktemp("preview"))
    yield Hand(session, [], threading.Event())
    session.close()


# --- what it says is so ---------------------------------------------------------------------------


@pytest.mark.parametrize("seed", SEEDS)
def test_what_is_told_is_what_a_comparison_file_by_file_finds(
    laid: Laid, hand: Hand, seed: int
) -> None:
    tree = laid.pasts[seed]
    engine = hand.engine()
    ended = engine.compare(
        engine.look(tree.root),
        *(tree.root, OLDER, NEWER),
        sizes=10_000 if seed < past.FULL else 0,
        estimates=seed == 0,
    )
    fates(hand.pairs(), tree)
    wrong = []
    for name, child in tree.compared().items():
        told = hand.of(name)
        wrong += [f"{name}: {line}" for line in compare.disagreement(told, laid.wanted(child))]
    assert not wrong, "\n".join(wrong)
    endings = {one.pair.dataset: one for one in hand.told if isinstance(one, DatasetEnded)}
    assert endings.keys() == tree.children.keys()
    for name, ending in endings.items():
        coverage = Coverage.WHOLE if name in tree.compared() else Coverage.NONE
        assert (ending.coverage, ending.count) == (coverage, len(hand.of(name))), ending
        assert bool(ending.reason) == (coverage is Coverage.NONE)
    assert ended == hand.told[-1]
    assert ended.changes == sum(len(hand.of(name)) for name in tree.compared())
    assert ended.partial == (seed < past.FULL), ended.reason
    if seed < past.FULL:
        sizes_agree(laid, hand, tree)
    if seed == 0:
        estimates_agree(laid, hand, tree)


def fates(pairs: dict[str, Pair], tree: Past) -> None:
    assert pairs.keys() == tree.children.keys()
    for name, child in tree.children.items():
        pair = pairs[name]
        assert pair.fate is child.fate, name
        assert pair.was == child.was, name
        assert pair.comparable == (name in tree.compared()), pair
        if pair.comparable:
            mount = child.mount.encode() if child.mount else None
            assert (pair.older, pair.newer, pair.mount) == (child.older, child.newer, mount), name


def sizes_agree(laid: Laid, hand: Hand, tree: Past) -> None:
    """Sizes of every changed file on both sides are those that stat(1) gave in the snapshots."""
    for name, child in tree.compared().items():
        assert child.mount and child.older and child.newer
        below = child.mount.encode() + b"/"
        before = by_name(laid.files[child.older], below)
        after = by_name(laid.files[child.newer], below)
        told = {
            path: (old, new)
            for one in hand.told
            if isinstance(one, Sized) and one.pair.dataset == name
            for path, old, new in one.sizes
        }
        changes = [change for change in hand.of(name) if change.type == "F"]
        assert {change.path for change in changes} == told.keys()
        wanted: dict[bytes, set[tuple[int | None, int | None]]] = {}
        for change in changes:
            old = None if change.kind == "+" else before.get(change.path)
            new = None if change.kind == "-" else after.get(change.new_path or change.path)
            wanted.setdefault(change.path, set()).add((old, new))
        wrong = {path: told[path] for path, known in wanted.items() if told[path] not in known}
        assert not wrong, (name, wrong, {path: wanted[path] for path in wrong})


def by_name(files: Files, below: bytes) -> dict[bytes, int]:
    return {below + name: file.size for file in files.values() for name in file.names}


def estimates_agree(laid: Laid, hand: Hand, tree: Past) -> None:
    """Bytes written and in a stream are what zfs says beside the console."""
    told = {one.pair.dataset: one for one in hand.told if isinstance(one, Estimated)}
    for name, child in tree.compared().items():
        assert child.older and child.newer
        send = f"zfs send -nvP -i '{child.older}' '{child.newer}' | awk '$1 == \"size\" {{print $2}}'"
        written = f"zfs get -Hp -o value 'written@{child.older.split('@')[1]}' '{child.newer}'"
        if child.older.split("@")[0] != name:
            written = f"zfs get -Hp -o value 'written@{child.older}' '{child.newer}'"
        said = laid.guest.lines(f"{send}; {written}")
        assert [str(told[name].stream), str(told[name].written)] == said, name


# --- the command ----------------------------------------------------------------------------------


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


@pytest.fixture
def command(laid: Laid, hand: Hand, tmp_path: Path) -> Iterator[Command]:
    """The console is taken from the hand meanwhile."""
    directory = Path(hand.session.console.transcript.path).parent  # type: ignore[arg-type]
    hand.session.close()
    yield Command(laid.guest.console_url, tmp_path)
    hand.session = open_hand(laid.guest.console_url, directory)


def path_of(record: dict[str, object], prefix: str = "") -> bytes | None:
    if f"{prefix}path" not in record:
        return None
    if f"{prefix}path_base64" in record:
        return base64.b64decode(str(record[f"{prefix}path_base64"]))
    return str(record[f"{prefix}path"]).encode()


def letter_of(word: object) -> str:
    return {"added": "+", "removed": "-", "modified": "M", "renamed": "R"}[str(word)]


def type_of(word: object) -> str:
    return next((letter for letter, name in TYPES.items() if name == word), "?")


def when_of(text: object) -> int:
    if text is None:
        return -1
    whole, _, rest = str(text).removesuffix("Z").partition(".")
    return int(datetime.fromisoformat(f"{whole}+00:00").timestamp()) * 10**9 + int(rest)


def changes_of(records: Sequence[dict[str, object]], dataset: str) -> list[Change]:
    return [
        Change(
            *(letter_of(one["kind"]), type_of(one["object"])),
            *(path_of(one) or b"", path_of(one, "new_")),
            *(int(str(one["links"])), when_of(one["time"])),
        )
        for one in records
        if one["type"] == "change" and one["dataset"] == dataset
    ]
