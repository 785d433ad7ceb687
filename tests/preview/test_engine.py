"""The engine on a real sh: what it tells, and how it ends when things break off."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pexpect
import pytest

from tests.preview.machine import Target, line
from tests.shell import noise
from zrwizard.console.errors import Cancelled, NoAnswer, Refused
from zrwizard.freebsd import sh, zfs_inspect
from zrwizard.preview import engine
from zrwizard.preview import sizes as looking
from zrwizard.preview.asking import Spool, ask
from zrwizard.preview.engine import Engine
from zrwizard.preview.events import (
    Began,
    Change,
    Coverage,
    DatasetBegan,
    DatasetEnded,
    Ended,
    Estimated,
    Fate,
    Found,
    Pair,
    Sized,
    Told,
)
from zrwizard.shell.api import Result
from zrwizard.shell.readonly import NotReadOnly, ReadOnly
from zrwizard.shell.session import ShellSession

HOSTILE = b"\n\t\x1b[31m \xff\\ -> $(touch evil);'x' \xc3\xa9"


class Ear:
    """Hears what is told, and when; may do something about it."""

    def __init__(self, react: Callable[[Told], None] = lambda _: None) -> None:
        self.told: list[Told] = []
        self.when: list[float] = []
        self._react = react
        self._turn = threading.Lock()

    def __call__(self, told: Told) -> None:
        assert self._turn.acquire(blocking=False), "told by two at once"
        try:
            self.told.append(told)
            self.when.append(time.monotonic())
            self._react(told)
        finally:
            self._turn.release()

    def of(self, kind: type) -> list:
        return [told for told in self.told if isinstance(told, kind)]

    def changes(self, dataset: str) -> list[Change]:
        return [c for told in self.of(Found) if told.pair.dataset == dataset for c in told.changes]

    def ended(self, dataset: str) -> DatasetEnded:
        (one,) = [told for told in self.of(DatasetEnded) if told.pair.dataset == dataset]
        return one


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, ShellSession]]:
    """A machine whose one shell all tests use: each must leave it in good order."""
    here = tmp_path_factory.mktemp("ground") / "target"
    with Target(here).session() as session:
        yield here, session


@pytest.fixture
def target(ground: tuple[Path, ShellSession]) -> Target:
    return Target(ground[0])


@pytest.fixture
def shell(ground: tuple[Path, ShellSession]) -> ReadOnly:
    return ReadOnly(ground[1])


def compare(
    shell: ReadOnly,
    target: Target,
    ear: Ear,
    cancel: threading.Event | None = None,
    newer: str | None = "b",
    **more: object,
) -> Ended:
    engine = Engine(shell, ear, cancel or threading.Event())
    options: dict = {"sizes": 0, "estimates": False} | more
    return engine.compare(target.inventory(), "tank", "a", newer, **options)


def gone(pid: int) -> bool:
    """Whether the process has ended, within a few seconds."""
    until = time.monotonic() + 5
    while Path(f"/proc/{pid}").exists() and time.monotonic() < until:
        time.sleep(0.02)
    return not Path(f"/proc/{pid}").exists()


# --- whole ----------------------------------------------------------------------------------------


def test_a_tree_is_told_dataset_by_dataset_with_sizes_and_estimates(
    target: Target, shell: ReadOnly
) -> None:
    root = target.dataset("tank", "a", "b")
    home = target.dataset("tank/home", "a", "b")
    odd = os.path.join(os.fsencode(root), HOSTILE)
    files = {"a": [("gone", 5), ("grown", 10), ("old name", 20)]}
    files["b"] = [("grown", 300), ("new name", 21), ("made", 7)]
    for tag, found in files.items():
        for name, size in found:
            (root / ".zfs/snapshot" / tag / name).write_bytes(b"x" * size)
    with open(os.fsencode(root) + b"/.zfs/snapshot/b/" + HOSTILE, "wb") as stream:
        stream.write(b"12")
    base = os.fsencode(root) + b"/"
    target.lines(
        "tank@a",
        "tank@b",
        line("M", "/", base),
        line("-", "F", base + b"gone"),
        line("M", "F", base + b"grown", extra="(+1)"),
        line("R", "F", base + b"old name", base + b"new name"),
        line("+", "F", base + b"made"),
        line("+", "F", odd),
        line("+", "@", base + b"link"),
    )
    target.lines("tank/home@a", "tank/home@b", line("-", "F", os.fsencode(home) + b"/x"))
    target.zfs("get -Hp -o value written@a tank@b", "echo 10000")
    target.zfs("get -Hp -o value written@a tank/home@b", "echo 5")
    target.zfs(
        "send -nvP -i tank@a tank@b", r"printf 'incremental\ttank@a\ttank@b\t624\nsize\t624\n'"
    )
    ear = Ear()
    ended = compare(shell, target, ear, sizes=100, estimates=True)

    assert (ended.changes, ended.partial, ended.reason) == (8, False, "")
    assert isinstance(ear.told[0], Began)
    assert ear.told[-1] is ended
    assert [pair.dataset for pair in ear.told[0].pairs] == ["tank", "tank/home"]
    began = ear.of(DatasetBegan)
    assert [told.command for told in began] == [
        "zfs diff -FHt tank@a tank@b",
        "zfs diff -FHt tank/home@a tank/home@b",
    ]
    assert [change.path for change in ear.changes("tank")][-2] == odd
    assert ear.changes("tank")[2].links == 1
    assert ear.changes("tank")[3].new_path == base + b"new name"
    assert ear.ended("tank").coverage is Coverage.WHOLE
    assert (ear.ended("tank").count, ear.ended("tank/home").count) == (7, 1)
    sizes = {row[0]: row[1:] for told in ear.of(Sized) for row in told.sizes}
    assert sizes == {
        base + b"gone": (5, None),
        base + b"grown": (10, 300),
        base + b"old name": (20, 21),
        base + b"made": (None, 7),
        odd: (None, 2),
        os.fsencode(home) + b"/x": (None, None),
    }
    first, second = ear.of(Estimated)
    # From 10,000 to 20,000 bytes referred to, 10,000 written: nothing was freed meanwhile.
    assert (first.written, first.logical, first.stream) == (10_000, 20_000, 624)
    assert (second.written, second.logical, second.stream) == (5, None, None)
    assert not (target.here / "evil").exists()


def test_without_children_only_the_root_is_compared(target: Target, shell: ReadOnly) -> None:
    target.dataset("tank", "a", "b")
    target.dataset("tank/home", "a", "b")
    target.lines("tank@a", "tank@b")
    ear = Ear()
    ended = compare(shell, target, ear, recursive=False)
    assert (ended.changes, ended.partial) == (0, False)
    assert [told.pair.dataset for told in ear.of(DatasetEnded)] == ["tank"]


def test_many_changes_come_in_batches_the_first_at_once(target: Target, shell: ReadOnly) -> None:
    root = os.fsencode(target.dataset("tank", "a", "b"))
    one = line("+", "F", root + b"/")
    target.diff(
        "tank@a",
        "tank@b",
        f"echo '{one}first'; sleep 0.7; i=0; while [ $i -lt 20 ]; do i=$((i+1)); "
        f"echo '{one}'slow$i; sleep 0.03; done; seq -f '{one}%.0f' 30000",
    )
    ear = Ear()
    assert compare(shell, target, ear).changes == 30_021
    began = ear.when[ear.told.index(ear.of(DatasetBegan)[0])]
    found = ear.of(Found)
    assert [change.path for change in found[0].changes] == [root + b"/first"]
    assert ear.when[ear.told.index(found[0])] - began < 0.7
    assert len(found) < 40
    names = [change.path.rpartition(b"/")[2] for change in ear.changes("tank")]
    assert names[21:] == [b"%d" % number for number in range(1, 30_001)]


def test_the_live_file_system_is_compared_where_it_was_agreed(
    target: Target, ground: tuple[Path, ShellSession]
) -> None:
    root = target.dataset("tank", "a")
    (root / "f").write_bytes(b"123")
    (root / ".zfs/snapshot/a/f").write_bytes(b"1")
    target.lines("tank@a", "tank", line("M", "F", os.fsencode(root) + b"/f"))
    with pytest.raises(NotReadOnly, match="temporary snapshot"):
        compare(ReadOnly(ground[1]), target, Ear(), newer=None)
    assert not [row for row in target.log if "diff" in row]
    ear = Ear()
    shell = ReadOnly(ground[1], allow_temporary_snapshot=True)
    ended = compare(shell, target, ear, newer=None, sizes=5, estimates=True)
    assert (ended.changes, ended.partial) == (1, False)
    assert ear.of(Sized)[0].sizes == ((os.fsencode(root) + b"/f", 1, 3),)
    assert ear.of(Estimated)[0].stream is None


def test_what_has_one_side_only_is_told_with_what_it_holds(target: Target, shell: ReadOnly) -> None:
    target.dataset("tank", "a", "b")
    target.lines("tank@a", "tank@b")
    target.dataset("tank/made", "b", born=150)
    target.dataset("tank/no-older", "b")
    target.dataset("tank/no-newer", "a")
    target.dataset("tank/vol", "a", "b", kind="volume")
    target.zfs("get -Hp -o value written@a tank/vol@b", "echo 4096")
    target.zfs("send -nvP tank/made@b", r"printf 'full\ttank/made@b\t99\nsize\t99\n'")
    ear = Ear()
    ended = compare(shell, target, ear, estimates=True)
    fates = {told.pair.dataset: told.pair.fate for told in ear.of(DatasetEnded)}
    assert fates == {
        "tank": Fate.BOTH,
        "tank/made": Fate.CREATED,
        "tank/no-newer": Fate.LACKS_NEWER,
        "tank/no-older": Fate.LACKS_OLDER,
        "tank/vol": Fate.VOLUME,
    }
    told = {one.pair.dataset: (one.written, one.logical, one.stream) for one in ear.of(Estimated)}
    assert told["tank/made"] == (20_000, 40_000, 99)
    assert told["tank/no-older"] == (20_000, 40_000, None)
    assert told["tank/no-newer"] == (10_000, 20_000, None)
    assert told["tank/vol"][0] == 4096
    assert all(ear.ended(name).reason for name in fates if name != "tank")
    # What was made is known whole, and so is the volume; what lacks a snapshot is a gap.
    assert ended.partial
    assert ended.reason.startswith("tank/no-newer: ")


def test_a_volume_is_estimated_although_no_estimates_were_wanted(
    target: Target, shell: ReadOnly
) -> None:
    target.dataset("tank", "a", "b")
    target.dataset("tank/vol", "a", "b", kind="volume")
    target.lines("tank@a", "tank@b")
    target.zfs("get -Hp -o value written@a tank/vol@b", "echo 0")
    ear = Ear()
    assert not compare(shell, target, ear).partial
    assert [(one.pair.dataset, one.written) for one in ear.of(Estimated)] == [("tank/vol", 0)]


# --- in part --------------------------------------------------------------------------------------


def broken(target: Target, script: str, tail: str = "") -> None:
    """Have two datasets, the first of which tells one change and then does what `script` says."""
    root = os.fsencode(target.dataset("tank", "a", "b"))
    home = os.fsencode(target.dataset("tank/home", "a", "b"))
    target.diff("tank@a", "tank@b", f"echo '{line('+', 'F', root + b'/one')}'\n{script}")
    target.lines("tank/home@a", "tank/home@b", line("+", "F", home + b"/two"))


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("echo 'Unable to obtain diffs: Input/output error' >&2; exit 1", "zpool status"),
        ("printf 'one\\n\\033[31mstrange words\\n' >&2; exit 3", r"status 3: \\x1b\[31mstrange"),
        ("exit 9", "status 9"),
        ("printf '1700000000.000000001\\t+\\tF\\t/mnt/half'", "broke off"),
        ("echo 'sh: something else'; sleep 1", "broke off"),
        ("kill -9 $$", "status 137"),
    ],
)
def test_a_list_that_broke_off_is_partial_and_the_next_one_is_whole(
    target: Target, shell: ReadOnly, script: str, reason: str
) -> None:
    broken(target, script)
    ear = Ear()
    began = time.monotonic()
    ended = compare(shell, target, ear)
    assert time.monotonic() - began < 15
    first, second = ear.ended("tank"), ear.ended("tank/home")
    assert (first.coverage, first.count) == (Coverage.PARTIAL, 1)
    assert re.search(reason, first.reason), first.reason
    assert "\x1b" not in first.reason
    assert (second.coverage, second.count) == (Coverage.WHOLE, 1)
    assert (ended.changes, ended.partial) == (2, True)
    assert ended.reason == f"tank: {first.reason}"


def test_a_dataset_of_which_nothing_came_has_no_list(target: Target, shell: ReadOnly) -> None:
    target.dataset("tank", "a", "b")
    why = "Cannot diff an unmounted snapshot: operation not applicable to datasets of this type"
    target.diff("tank@a", "tank@b", f"echo '{why}' >&2; exit 1")
    ear = Ear()
    assert compare(shell, target, ear).partial
    assert (ear.ended("tank").coverage, ear.ended("tank").count) == (Coverage.NONE, 0)
    assert "mounted" in ear.ended("tank").reason


@pytest.mark.parametrize("script", ["sleep 600", "exec yes '1700000000.000000001\t+\tF\t/mnt/y'"])
def test_cancelling_ends_it_at_once_and_the_shell_can_be_used(
    target: Target, shell: ReadOnly, script: str
) -> None:
    broken(target, f"echo $$ > {target.here}/pid\nexec {script.removeprefix('exec ')}")
    cancel = threading.Event()
    ear = Ear(lambda told: cancel.set() if isinstance(told, Found) else None)
    began = time.monotonic()
    ended = compare(shell, target, ear, cancel, sizes=10, estimates=True)
    assert time.monotonic() - began < 6
    assert ended.partial
    assert "stopped" in ended.reason
    assert ear.ended("tank").coverage is Coverage.PARTIAL
    assert ear.ended("tank").count >= 1
    assert ear.ended("tank/home").coverage is Coverage.NONE
    assert "turn" in ear.ended("tank/home").reason
    assert gone(target.pid)
    cancel.clear()
    broken_no_more = Ear()
    target.lines("tank@a", "tank@b")
    assert not compare(shell, target, broken_no_more, cancel).partial
    assert shell.run(("uname",)).status == 0


def test_the_time_limit_ends_it(target: Target, shell: ReadOnly) -> None:
    broken(target, "exec sleep 600")
    ear = Ear()
    ended = compare(shell, target, ear, limit=1.0, sizes=10)
    assert 1.0 <= ended.seconds < 6
    assert "time limit of 1 s" in ended.reason
    assert (ear.ended("tank").coverage, ear.ended("tank").count) == (Coverage.PARTIAL, 1)
    assert ear.ended("tank/home").coverage is Coverage.NONE
    assert gone(target.pid)
    assert shell.run(("uname",)).status == 0


def test_sizes_that_were_not_looked_at_make_no_list_partial(
    target: Target, shell: ReadOnly
) -> None:
    root = os.fsencode(target.dataset("tank", "a", "b"))
    target.lines("tank@a", "tank@b", *(line("+", "F", root + b"/%d" % n) for n in range(400)))
    cancel = threading.Event()
    ear = Ear(lambda told: cancel.set() if isinstance(told, Sized) else None)
    ended = compare(shell, target, ear, cancel, sizes=300)
    assert (ended.changes, ended.partial) == (400, False)
    assert "size" in ended.reason
    assert len(ear.of(Sized)) == 1


def test_only_as_many_sizes_are_looked_at_as_were_allowed(target: Target, shell: ReadOnly) -> None:
    root = os.fsencode(target.dataset("tank", "a", "b"))
    target.lines("tank@a", "tank@b", *(line("+", "F", root + b"/%d" % n) for n in range(400)))
    ear = Ear()
    assert compare(shell, target, ear, sizes=150).reason == ""
    assert sum(len(told.sizes) for told in ear.of(Sized)) == 150
    # A batch whose answer was damaged is asked for twice.
    assert 150 <= sum(int(row.split()[1]) for row in target.log if row.startswith("stat")) <= 300


def test_whoever_listens_no_more_stops_the_command(target: Target, shell: ReadOnly) -> None:
    broken(target, "exec sleep 600")

    def react(told: Told) -> None:
        if isinstance(told, Found):
            raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        compare(shell, target, Ear(react))
    assert gone(target.pid)
    assert shell.run(("uname",)).status == 0


def test_what_the_line_damaged_is_asked_for_again_and_nothing_wrong_is_told(
    target: Target,
) -> None:
    root = os.fsencode(target.dataset("tank", "a", "b"))
    target.dataset("tank/home", "a", "b")
    target.lines("tank@a", "tank@b", *(line("+", "F", root + b"/%d" % n) for n in range(3000)))
    target.lines("tank/home@a", "tank/home@b")
    ear = Ear()
    with target.shell(noise.Faults(noise=0.0002)) as shell:
        ended = compare(shell, target, ear)
    told = Counter(change.path for change in ear.changes("tank"))
    exact = Counter(root + b"/%d" % n for n in range(3000))
    assert not exact - told, "something is missing"
    # A message without a blank looks like a part of a name; the second list tells of it.
    wrong = (told - exact).total()
    reason = ear.ended("tank").reason
    assert (f"{wrong} of the names are wrong" in reason) if wrong else not reason
    assert ear.ended("tank").coverage is (Coverage.PARTIAL if wrong else Coverage.WHOLE)
    assert ear.ended("tank/home").coverage is Coverage.WHOLE
    assert ended.partial == bool(wrong)


def test_after_a_cut_the_list_is_asked_for_again_when_the_shell_is_free(target: Target) -> None:
    broken(target, "exec sleep 2")
    host = on_host(target)
    session = noise.open_on(host, token=f"c{os.getpid():x}", reconnect_for=3.0)
    cut = iter([True])

    def react(told: Told) -> None:
        if isinstance(told, Found) and next(cut, False):
            host.lines[-1].cut()

    ear = Ear(react)
    try:
        ended = compare(ReadOnly(session), target, ear)
    finally:
        for process in (target.pid, host.spawn.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        host.end()
        session.console.close()
        shutil.rmtree(session.home, ignore_errors=True)
    assert (ear.ended("tank").coverage, ear.ended("tank").count) == (Coverage.WHOLE, 1)
    assert ear.ended("tank/home").coverage is Coverage.WHOLE
    assert not ended.partial
    assert ended.seconds < 30


def on_host(target: Target) -> noise.Host:
    """A target whose shell lives on when the line is cut."""
    host = noise.Host("dash")
    host.spawn.close(force=True)
    path = f"{target.programs}:{noise._tools()}:/usr/sbin:/usr/bin:/sbin:/bin"
    env = {"PATH": path, "PS1": "# ", "TERM": "vt100", "ZR_BOOT": str(host.boot)}
    host.spawn = pexpect.spawn("/bin/sh", [], env=env, dimensions=(24, 80), maxread=65536)
    host.spawn.delaybeforesend = host.spawn.delayafterread = None
    return host


# --- looking --------------------------------------------------------------------------------------


def rows(target: Target) -> None:
    """Let the stand-in of zfs list what the target has."""
    columns = zfs_inspect.list_all("tank")
    shown: list[tuple[object, ...]] = []
    for one in target.datasets:
        cells = (one.guid, one.creation, one.createtxg, one.used, one.referenced, one.written)
        logical = (one.logical_used, one.logical_referenced)
        more = ("-", "on", "yes", "off", "off", "none")
        shown.append((one.name, one.kind, *cells, *logical, *more))
        for two in target.snapshots:
            if two.dataset == one.name:
                cells = (two.guid, two.creation, two.createtxg, two.used, two.referenced)
                more = (two.written, "-", two.logical_referenced, *["-"] * 6)
                shown.append((two.name, "snapshot", *cells, *more))
    listing = target.here / "listing"
    listing.write_text("".join("\t".join(map(str, row)) + "\n" for row in shown))
    target.zfs(" ".join(columns[1:]), f"exec cat {listing}")
    points = target.here / "points"
    points.write_bytes(
        b"".join(name.encode() + b"\t" + at + b"\n" for name, at in target.mounts.items())
    )
    target.zfs(" ".join(zfs_inspect.list_mountpoints("tank")[1:]), f"exec cat {points}")


def test_looking_finds_datasets_snapshots_and_mounts(target: Target, shell: ReadOnly) -> None:
    target.dataset("tank", "a", "b")
    target.dataset("tank/home", "a")
    rows(target)
    found = Engine(shell, Ear(), threading.Event()).look("tank")
    assert [one.name for one in found.datasets] == ["tank", "tank/home"]
    assert [one.name for one in found.snapshots] == ["tank@a", "tank@b", "tank/home@a"]
    assert dict(found.mounts) == target.mounts
    assert found.release == os.uname().release
    assert "zpool" in target.log


def test_looking_says_what_it_could_not_list(target: Target, shell: ReadOnly) -> None:
    with pytest.raises(Refused, match="does not exist"):
        Engine(shell, Ear(), threading.Event()).look("tank")


def test_looking_says_why_the_console_gave_no_answer(
    target: Target, shell: ReadOnly, monkeypatch: pytest.MonkeyPatch
) -> None:
    target.dataset("tank", "a")
    rows(target)

    def asked(shell: ReadOnly, argv: tuple[str, ...], **more: Any) -> Result:
        if "name,mountpoint" in argv:
            raise NoAnswer("The line broke in the middle.")
        return ask(shell, argv, **more)

    monkeypatch.setattr(engine, "ask", asked)
    found = Engine(shell, Ear(), threading.Event()).look("tank")
    assert "The mountpoints are not known: The line broke in the middle." in found.problems


def test_looking_can_be_cancelled(target: Target, shell: ReadOnly) -> None:
    target.dataset("tank", "a")
    target.zfs(" ".join(zfs_inspect.list_all("tank")[1:]), "exec sleep 600")
    cancel = threading.Event()
    threading.Timer(0.5, cancel.set).start()
    began = time.monotonic()
    with pytest.raises(Cancelled):
        Engine(shell, Ear(), cancel).look("tank")
    assert time.monotonic() - began < 5
    assert gone(target.pid)


# --- the parts ------------------------------------------------------------------------------------


def test_no_batch_of_paths_is_longer_than_a_command_may_be() -> None:
    pair = Pair("tank", Fate.BOTH, "tank@a", "tank@b", b"/mnt")
    names = [b"/mnt/" + HOSTILE * (n % 9) + b"%d" % n for n in range(500)]
    changes = [Change("M", "F", name, None, 0, -1) for name in names]
    found = list(looking.batches(pair, changes, None))
    assert [change for batch in found for change, _, _ in batch] == changes
    for batch in found:
        words = [part.decode("utf-8", "surrogateescape") for _, *both in batch for part in both]
        assert len(sh.join(["stat", *words])) <= looking.LONGEST_COMMAND + 20
        assert all(
            older == name.replace(b"/mnt/", b"/mnt/.zfs/snapshot/a/", 1)
            for (change, older, _) in batch
            for name in [change.path]
        )
    assert len(found) < len(changes) / 5


def test_what_was_damaged_is_asked_for_again(target: Target) -> None:
    text = target.here / "text"
    text.write_bytes(bytes(range(32, 127)) * 300)
    with target.shell(noise.Faults(noise=0.0002)) as shell:
        result = ask(shell, ("dd", f"if={text}", "bs=65536"), timeout=60)
    assert result.out == text.read_bytes()


def test_a_spool_that_nobody_empties_holds_the_target_back(
    target: Target, shell: ReadOnly, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("zrwizard.preview.asking._MOST_HELD", 10_000)
    target.diff("tank@a", "tank@b", "exec yes")
    argv = ("zfs", "diff", "-FHt", "tank@a", "tank@b")
    with Spool(shell, argv, timeout=60) as spool:
        first = spool.take(10)
        time.sleep(0.5)
        assert first
        assert spool._held < 200_000
        assert spool.take(5)
    assert shell.run(("uname",)).status == 0
