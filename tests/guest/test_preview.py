"""The preview on real OpenZFS, by the console of hostB: what it says is what a comparison file by
file finds, and nothing is written.

The trees are made by `past.py` and `changes.py`, by five seeds; `compare.py` reads both snapshots
of every dataset and says what the preview must say.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import pytest

from zrwizard.preview import content, fetch, reach
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
from zrwizard.secrets import Secrets
from zrwizard.shell.connect import open_shell
from zrwizard.shell.readonly import NotReadOnly, ReadOnly
from zrwizard.shell.session import ShellSession

from . import compare, conftest, past
from .compare import File, Files
from .machines import Guest
from .past import NEWER, OLDER, POOL, Past
from .untouched import state

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

    def disagreements(self, tree: Past, told: Callable[[str], list[Change]]) -> list[str]:
        """What is not told as it is, over all datasets of a tree that can be compared."""
        wrong = []
        for name, child in tree.compared().items():
            older, newer = self.files[child.older], self.files[child.newer]
            wanted = compare.expected(child.mount.encode(), older, newer)
            wrong += [f"{name}: {line}" for line in compare.disagreement(told(name), wanted)]
        return wrong


@pytest.fixture(scope="module")
def laid(guests: conftest.Pair) -> Iterator[Laid]:
    guest = guests.server
    guest.run(f"echo {EXPIRY} >/sys/module/zfs/parameters/zfs_expire_snapshot")
    past.make_pool(guest)
    try:
        pasts = {seed: past.lay(guest, seed) for seed in SEEDS}
        compared = [child for one in pasts.values() for child in one.compared().values()]
        names = [name for child in compared for name in (child.older, child.newer)]
        names += [f"{POOL}/s0/noauto@{tag}" for tag in (OLDER, NEWER)]
        yield Laid(guest, pasts, compare.snapshots(guest, names))
    finally:
        past.destroy_pool(guest)


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


@pytest.fixture(scope="module")
def hand(laid: Laid, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hand]:
    """A bring-up takes its time there: the tests share it."""
    made = Hand(laid.guest.console_url, tmp_path_factory.mktemp("preview"))
    yield made
    made.drop()


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
    wrong = laid.disagreements(tree, hand.of)
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
        if name in tree.compared():
            mount = child.mount.encode()
            assert (pair.older, pair.newer, pair.mount) == (child.older, child.newer, mount), name


def sizes_agree(laid: Laid, hand: Hand, tree: Past) -> None:
    """Sizes of every changed file on both sides are those that stat(1) gave in the snapshots."""
    for name, child in tree.compared().items():
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
        dataset, tag = child.older.split("@")
        since = tag if dataset == name else child.older
        said = laid.guest.lines(
            f"zfs send -nvP -i '{child.older}' '{child.newer}' | sed -n 's/^size.//p'\n"
            f"zfs get -Hp -o value 'written@{since}' '{child.newer}'"
        )
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
def command(laid: Laid, hand: Hand, tmp_path: Path) -> Command:
    hand.drop()
    laid.guest.run("rm -rf /tmp/zr-*")
    return Command(laid.guest.console_url, tmp_path)


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


def test_the_command_tells_the_same_as_json(laid: Laid, command: Command) -> None:
    """Also --to newest, which is the default; exit status 1, as there are differences."""
    tree = laid.pasts[1]
    code, records, _ = command.json("--tree", tree.root, "-r", "--from", OLDER, "--sizes", "0")
    wrong = laid.disagreements(tree, lambda name: changes_of(records, name))
    assert not wrong, "\n".join(wrong)
    end = records[-1]
    assert (end["type"], end["exit"], end["partial"], code) == ("end", 1, False, 1), end
    assert laid.guest.run("ls -d /tmp/zr-*", check=False).status, "something was left there"


# --- nothing is written ---------------------------------------------------------------------------


def test_a_preview_of_everything_leaves_everything_as_it_was(
    laid: Laid, hand: Hand, tmp_path: Path
) -> None:
    """Comparison, sizes, estimates, contents, sums, one file fetched, one comparison stopped."""
    guest, tree = laid.guest, laid.pasts[0]
    before = state(guest, POOL)
    engine = hand.engine()
    inv = engine.look()
    assert {f"{POOL}/s{seed}" for seed in SEEDS} <= {one.name for one in inv.datasets}
    engine.compare(inv, tree.root, OLDER, NEWER, recursive=False)
    pair = hand.pairs()[tree.root]
    contents_agree(laid, hand, pair)
    files = {change.path: change for change in hand.of(tree.root) if change.type == "F"}
    fetched(laid, hand, pair, files, tmp_path)
    engine = hand.engine(enough=1)
    ended = engine.compare(inv, tree.root, OLDER, NEWER)
    assert ended.partial
    assert "stopped" in ended.reason
    hand.drop()
    assert before.differences(state(guest, POOL)) == []


def contents_agree(laid: Laid, hand: Hand, pair: Pair) -> None:
    """Both versions of some of each kind are what the snapshots hold."""
    assert pair.older
    assert pair.newer
    sides = (laid.files[pair.older], laid.files[pair.newer])
    changes = hand.of(pair.dataset)
    some = [
        change
        for kind in "M+-R"
        for type in "F@/|"
        for change in [one for one in changes if (one.kind, one.type) == (kind, type)][:2]
    ]
    assert len(some) > 15
    for change in some:
        told = content.versions(hand.shell(), pair, change.path, change.new_path)
        for side, files, name in zip(
            (told.older, told.newer),
            sides,
            (change.path, change.new_path or change.path),
            strict=True,
        ):
            assert pair.mount
            known = named(files, name.removeprefix(pair.mount + b"/"))
            assert side.exists == (known is not None), change
            if known is not None:
                version_agrees(side, known, change)
        if change.type == "/" and change.kind == "M":
            sums = content.sums(hand.shell(), pair, change.path)
            sums_agree(sums, sides, change.path.removeprefix(pair.mount + b"/"))


def named(files: Files, name: bytes) -> File | None:
    return next((file for file in files.values() if name in file.names), None)


def version_agrees(side: content.Side, known: File, change: Change) -> None:
    stat = side.stat
    assert stat is not None
    assert (stat.type, stat.mode, stat.uid, stat.gid) == (known.type, known.mode, *known.owner)
    assert (stat.size, stat.links) == (known.size, known.links), change
    assert (stat.mtime, stat.ctime) == (known.mtime, known.ctime), change
    if known.type != "F":
        return
    digest = side.sha256
    if side.lines is not None and side.whole:
        text = "\n".join(side.lines) + ("\n" if side.lines and side.ended else "")
        digest = hashlib.sha256(text.encode(side.encoding)).hexdigest()
    assert digest == known.digest, (change, side)


def sums_agree(sums: content.DirectorySums, sides: tuple[Files, Files], name: bytes) -> None:
    """Files are counted by name, bytes by file."""
    below = name + b"/" if name else b""
    for told, files in zip((sums.older, sums.newer), sides, strict=True):
        inside = [
            (file, path)
            for file in files.values()
            for path in file.names
            if path and path.startswith(below)
        ]
        assert told.whole, told
        assert told.files == sum(file.type == "F" for file, _ in inside), name
        assert told.directories == sum(file.type == "/" for file, _ in inside), name
        assert told.others == sum(file.type not in "F/" for file, _ in inside), name
        once = {file.inode: file.size for file, _ in inside if file.type == "F"}
        assert told.bytes == sum(once.values()), name


def fetched(
    laid: Laid, hand: Hand, pair: Pair, changes: dict[bytes, Change], directory: Path
) -> None:
    """The largest old version arrives whole."""
    assert pair.older
    assert pair.mount
    older = laid.files[pair.older]
    sizes = {
        path: file
        for path in changes
        if (file := named(older, path.removeprefix(pair.mount + b"/"))) is not None
    }
    path, file = max(sizes.items(), key=lambda item: item[1].size)
    source = reach.older_path(pair, path)
    assert source
    got = fetch.fetch(hand.shell(), source, directory / "old")
    assert (got.size, got.sha256) == (file.size, file.digest)
    assert hashlib.sha256((directory / "old").read_bytes()).hexdigest() == file.digest


# --- what is done only with the operator's word ---------------------------------------------------

LATER = b"""set -e; cd /seeds/s4
echo now > new; mv deep0 'moved -> there'; chmod 600 'moved -> there/deep1'
"""


def test_the_live_files_only_with_the_operators_word(laid: Laid, hand: Hand) -> None:
    guest, tree = laid.guest, laid.pasts[4]
    guest.put("/run/later", LATER)
    guest.run("sh /run/later")
    snapshots = guest.lines(f"zfs list -H -o name -t snapshot -r {POOL}")
    engine = hand.engine()
    inv = engine.look(tree.root)
    with pytest.raises(NotReadOnly, match="temporary snapshot"):
        engine.compare(inv, tree.root, NEWER, None)
    assert hand.told == []
    engine = hand.engine(temporary=True)
    ended = engine.compare(inv, tree.root, NEWER, None)
    assert not ended.partial, ended.reason
    child = tree.compared()[tree.root]
    now = compare.live(guest, tree.root, child.mount)
    wanted = compare.expected(child.mount.encode(), laid.files[child.newer], now)
    assert len(wanted) > 3
    assert compare.disagreement(hand.of(tree.root), wanted) == []
    assert guest.lines(f"zfs list -H -o name -t snapshot -r {POOL}") == snapshots


def mounted(guest: Guest, dataset: str) -> list[str]:
    """Where a dataset is mounted, and how."""
    rows = [line.split(" ") for line in guest.lines("cat /proc/mounts")]
    return [f"{row[1]} {row[3].split(',')[0]}" for row in rows if row[0] == dataset]


def test_what_is_not_mounted_is_mounted_only_if_agreed(laid: Laid, command: Command) -> None:
    """kill -9 while the agreed mount is there; the next preview takes it away, and makes none
    where nobody agreed; one that may end unmounts by itself."""
    guest, name = laid.guest, f"{POOL}/s0/noauto"
    question = ("--tree", name, "--from", OLDER, "--to", NEWER, "--no-estimates")
    process = command.start("--json", *question, "--agree-mount")
    assert process.stdout
    assert json.loads(process.stdout.readline())["type"] == "begin"
    process.send_signal(signal.SIGKILL)
    process.communicate()
    (left,) = mounted(guest, name)
    assert left.startswith("/tmp/zr-")
    assert left.endswith(" ro")
    code, records, said = command.json(*question)
    assert (code, records[-1]["partial"]) == (2, True), records[-1]
    assert "unmounted" in said
    assert "--agree-mount" in said
    assert mounted(guest, name) == []
    code, records, said = command.json(*question, "--agree-mount")
    assert code == 1, said
    told = changes_of(records, name)
    where = b"/".join(min(change.path for change in told).split(b"/")[:5])
    assert where.startswith(b"/tmp/zr-")
    older, newer = (laid.files[f"{name}@{tag}"] for tag in (OLDER, NEWER))
    assert compare.disagreement(told, compare.expected(where, older, newer)) == []
    assert mounted(guest, name) == []
    assert guest.run("ls -d /tmp/zr-*", check=False).status, "something was left there"


# --- many changes ---------------------------------------------------------------------------------

MANY = """set -e; zfs create seeds/many; zfs snapshot seeds/many@A; cd /seeds/many; d=0
while [ $d -lt 200 ]; do
  mkdir $d; f=0
  while [ $f -lt 100 ]; do : >$d/$f; f=$((f+1)); done
  d=$((d+1))
done
zfs snapshot seeds/many@B"""


def test_twenty_thousand_changes_stream_and_can_be_stopped(laid: Laid, hand: Hand) -> None:
    """zfs diff takes minutes for them under emulation: they come while it works, and it ends."""
    laid.guest.run(MANY, timeout=120)
    engine = hand.engine(enough=1500)
    inv = engine.look(f"{POOL}/many")
    began = time.monotonic()
    ended = engine.compare(inv, f"{POOL}/many", OLDER, NEWER)
    assert ended.partial
    assert 1500 <= ended.changes < 20_000
    pieces = [one for one in hand.told if isinstance(one, Found)]
    assert len(pieces) > 5, "they did not come one after the other"
    told = hand.of(f"{POOL}/many")
    assert len({change.path for change in told}) == len(told)
    assert "zfs diff" not in laid.guest.out("busybox ps -o args | grep -v grep"), "it still runs"
    print(f"{len(told)} changes in {time.monotonic() - began:.1f} s")
    assert hand.shell().run(("uname", "-r")).status == 0, "the shell is not there any more"
