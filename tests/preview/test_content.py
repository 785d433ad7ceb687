"""Both versions of a path, sums of directories, and an old version fetched: on a real sh."""

from __future__ import annotations

import hashlib
import os
import random
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.preview.machine import Target
from tests.shell.noise import Faults
from zrwizard.console.errors import Cancelled, Refused
from zrwizard.preview import fetch as fetching
from zrwizard.preview.beside import Mark, Row, beside
from zrwizard.preview.content import Sums, Versions, side_by_side, sums, versions
from zrwizard.preview.events import Fate, Pair
from zrwizard.preview.fetch import Fetched, fetch
from zrwizard.preview.reach import crosses, in_snapshot, newer_path, older_path, relative
from zrwizard.preview.reading import decoded
from zrwizard.shell.readonly import ReadOnly
from zrwizard.shell.session import ShellSession

HOSTILE = b"\n\t\x1b[31m \xff\\ -> $(touch evil);'x' \xc3\xa9"


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


@pytest.fixture
def pair(target: Target) -> Pair:
    """A dataset with two snapshots."""
    mount = target.dataset("tank", "a", "b")
    return Pair("tank", Fate.BOTH, "tank@a", "tank@b", os.fsencode(mount))


def put(pair: Pair, tag: str, name: bytes, data: bytes) -> bytes:
    """Have a file in a snapshot; return its path as zfs diff names it."""
    assert pair.mount is not None
    with open(pair.mount + b"/.zfs/snapshot/" + tag.encode() + b"/" + name, "wb") as stream:
        stream.write(data)
    return pair.mount + b"/" + name


def live(pair: Pair) -> Pair:
    """The same compared with what is there now."""
    return Pair("tank", Fate.BOTH, "tank@a", "tank", pair.mount)


# --- where files are ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mount", "path", "rest"),
    [
        (b"/mnt", b"/mnt/a/b", b"a/b"),
        (b"/mnt", b"/mnt", b""),
        (b"/mnt", b"/mnt/", b""),
        (b"/", b"/etc/rc.conf", b"etc/rc.conf"),
        (b"/", b"/", b""),
        (b"/mnt", b"/mnt2/a", None),
        (b"/mnt", b"/", None),
    ],
)
def test_what_stands_behind_a_mountpoint(mount: bytes, path: bytes, rest: bytes | None) -> None:
    assert relative(mount, path) == rest
    found = in_snapshot(mount, "tank@a", path)
    if rest is None:
        assert found is None
    else:
        begin = mount.rstrip(b"/") + b"/.zfs/snapshot/a"
        assert found == (begin + b"/" + rest if rest else begin)


def test_after_a_promotion_the_older_version_is_read_where_its_snapshot_is() -> None:
    pair = Pair("tank/b", Fate.PROMOTED, "tank/a@x", "tank/b@y", b"/b")
    assert crosses(pair) == "tank/a"
    assert older_path(pair, b"/b/f", b"/a") == b"/a/.zfs/snapshot/x/f"
    assert older_path(pair, b"/b/f", None) is None
    assert newer_path(pair, b"/b/f") == b"/b/.zfs/snapshot/y/f"
    both = Pair("tank/b", Fate.BOTH, "tank/b@x", "tank/b", b"/b")
    assert crosses(both) is None
    assert newer_path(both, b"/b/f") == b"/b/f"


# --- versions -------------------------------------------------------------------------------------


def test_a_changed_text(pair: Pair, shell: ReadOnly) -> None:
    path = put(pair, "a", HOSTILE, b"one\ntwo\nthree\n")
    put(pair, "b", HOSTILE, "one\nzwei é\nthree\nfour".encode())
    found = versions(shell, pair, path)
    assert (found.older.exists, found.newer.exists, found.same) == (True, True, False)
    assert found.older.lines == ("one", "two", "three")
    assert found.newer.lines == ("one", "zwei é", "three", "four")
    assert found.older.stat
    assert (found.older.stat.size, found.older.stat.type) == (14, "F")
    assert found.newer.sha256 == hashlib.sha256("one\nzwei é\nthree\nfour".encode()).hexdigest()
    assert (found.older.reason, found.newer.reason) == ("", "")
    assert side_by_side(found) == (
        Row(Mark.SAME, 1, "one", 1, "one"),
        Row(Mark.CHANGED, 2, "two", 2, "zwei é"),
        Row(Mark.SAME, 3, "three", 3, "three"),
        Row(Mark.ADDED, 0, "", 4, "four"),
        Row(Mark.CHANGED, 0, "", 0, "(no newline at the end)"),
    )


def test_one_side_only(pair: Pair, shell: ReadOnly) -> None:
    path = put(pair, "a", b"gone", b"x\ny\n")
    found = versions(shell, pair, path)
    assert found.older.lines == ("x", "y")
    assert (found.newer.exists, found.newer.stat, found.newer.reason) == (False, None, "")
    assert found.same is False
    assert [row.mark for row in side_by_side(found)] == [Mark.REMOVED] * 2
    nowhere = versions(shell, pair, path + b"/below")
    assert not nowhere.older.exists
    assert side_by_side(nowhere) == ()


def test_a_renamed_file_is_looked_at_under_both_names(pair: Pair, shell: ReadOnly) -> None:
    path = put(pair, "a", b"old", b"same\n")
    new = put(pair, "b", b"new", b"same\n")
    found = versions(shell, pair, path, new)
    assert (found.new_path, found.same) == (new, True)


def test_binaries_are_told_by_their_checksums(target: Target, pair: Pair, shell: ReadOnly) -> None:
    small = put(pair, "a", b"small", b"\0\1\2")
    put(pair, "b", b"small", b"\0\1\3")
    found = versions(shell, pair, small)
    assert (found.older.lines, found.newer.lines, found.same) == (None, None, False)
    assert found.older.sha256 == hashlib.sha256(b"\0\1\2").hexdigest()
    assert side_by_side(found) == ()
    assert "sha256" not in target.log
    data = random.Random(1).randbytes(200_000)
    large = put(pair, "a", b"large", data)
    put(pair, "b", b"large", data)
    found = versions(shell, pair, large)
    assert found.older.sha256 == found.newer.sha256 == hashlib.sha256(data).hexdigest()
    assert (found.same, found.older.lines, found.older.whole) == (True, None, False)
    assert target.log.count("sha256") == 2


def test_a_checksum_that_may_take_long_is_taken_when_asked_for(pair: Pair, shell: ReadOnly) -> None:
    data = random.Random(2).randbytes(100_000)
    path = put(pair, "a", b"f", data)
    put(pair, "b", b"f", data)
    found = versions(shell, pair, path, hashed=99_999)
    assert (found.older.sha256, found.same) == (None, None)
    assert "100,000 bytes may take long" in found.older.reason
    assert versions(shell, pair, path, hashed=100_000).same is True


def test_only_the_beginning_of_a_large_text_is_read(pair: Pair, shell: ReadOnly) -> None:
    text = "ééé\n" * 20_000
    path = put(pair, "a", b"f", text.encode())
    put(pair, "b", b"f", text.encode() + b"more\n")
    found = versions(shell, pair, path)
    assert found.older.lines
    assert (found.older.whole, found.older.encoding) == (False, "utf-8")
    assert len("\n".join(found.older.lines).encode()) <= 65_536
    assert "first 65,536 of 140,000 bytes" in found.older.reason
    assert found.same is False
    assert side_by_side(found)[-1].mark is Mark.SKIPPED
    assert versions(shell, pair, path, head=8).older.lines == ("ééé",)


def test_links_and_odd_things_are_not_read(target: Target, pair: Pair, shell: ReadOnly) -> None:
    assert pair.mount is not None
    base = pair.mount + b"/.zfs/snapshot/"
    os.symlink(b"/etc/" + HOSTILE, base + b"a/link")
    os.symlink(b"/etc/b", base + b"b/link")
    found = versions(shell, pair, pair.mount + b"/link")
    assert (found.older.target, found.newer.target) == (b"/etc/" + HOSTILE, b"/etc/b")
    assert found.same is False
    os.mkfifo(base + b"a/fifo")
    os.mkfifo(base + b"b/fifo")
    began = time.monotonic()
    found = versions(shell, pair, pair.mount + b"/fifo")
    assert time.monotonic() - began < 20
    assert found.older.stat
    assert (found.older.stat.type, found.older.lines, found.same) == ("|", None, None)
    put(pair, "b", b"turned", b"text\n")
    os.mkdir(base + b"a/turned")
    assert versions(shell, pair, pair.mount + b"/turned").same is False


@pytest.mark.parametrize(
    ("values", "read"),
    [("on off", False), ("off off", True), ("on on", True), ("- -", False)],
)
def test_a_live_file_is_read_only_where_that_changes_nothing(
    target: Target, pair: Pair, shell: ReadOnly, values: str, read: bool
) -> None:
    target.zfs("get -Hp -o value atime,readonly tank", f"printf '%s\\n' {values}")
    path = put(pair, "a", b"f", b"old\n")
    Path(os.fsdecode(path)).write_bytes(b"new\n")
    found = versions(shell, live(pair), path)
    assert found.older.lines == ("old",)
    assert found.newer.stat
    assert found.newer.stat.size == 4
    if read:
        assert (found.newer.lines, found.newer.reason) == (("new",), "")
    else:
        assert found.newer.lines is found.newer.sha256 is None
        assert "access times" in found.newer.reason
        assert side_by_side(found) == ()


def test_where_nothing_leads_to_it_it_is_said(target: Target, shell: ReadOnly) -> None:
    pair = Pair("tank", Fate.BOTH, "tank@a", "tank@b", None)
    found = versions(shell, pair, b"/mnt/f")
    assert not found.older.exists
    assert "not mounted" in found.older.reason
    assert found.same is None
    assert "not mounted" in sums(shell, pair, b"/mnt").newer.reason


def test_looking_can_be_stopped(target: Target, pair: Pair, shell: ReadOnly) -> None:
    stop = threading.Event()
    stop.set()
    with pytest.raises(Cancelled):
        versions(shell, pair, put(pair, "a", b"f", b"x"), stop=stop)


# --- text or not ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "whole", "encoding"),
    [
        (b"", True, "utf-8"),
        (b"plain\r\n\ttext\x1b[1m\n", True, "utf-8"),
        ("Grüße\n".encode(), True, "utf-8"),
        ("Grüße\n".encode("latin-1"), True, "latin-1"),
        ("ab€".encode()[:-1], False, "utf-8"),
        ("ab€".encode()[:-1], True, ""),
        (b"\0", True, ""),
        (b"\x7fELF", True, ""),
        (b"text\x01", True, ""),
        (b"\xff\xfe\xfd\xfc", True, ""),
        (b"mostly text \x85", True, ""),
    ],
)
def test_what_is_text(data: bytes, whole: bool, encoding: str) -> None:
    found = decoded(data, whole=whole)
    assert (found[1] if found else "") == encoding


@given(st.text(alphabet=st.characters(exclude_categories=["Cs", "Cc"])), st.integers(0, 3))
def test_any_utf8_text_is_text_wherever_it_is_cut(text: str, cut: int) -> None:
    data = text.encode()
    found = decoded(data[: len(data) - cut], whole=cut == 0)
    assert found is not None
    assert found[1] == "utf-8"
    assert text.startswith(found[0])


# --- side by side ---------------------------------------------------------------------------------

LINES = st.lists(st.sampled_from(["a", "b", "c", ""]), max_size=30)


@settings(max_examples=200)
@given(LINES, LINES)
def test_the_rows_hold_every_line_of_both_sides_in_order(old: list[str], new: list[str]) -> None:
    rows = beside(old, new, context=1000, most=10_000)
    if old == new:
        assert all(row.mark is Mark.SKIPPED and "equal" in row.older for row in rows)
        return
    assert [row.older for row in rows if row.older_number] == old
    assert [row.newer for row in rows if row.newer_number] == new
    for row in rows:
        same = bool(row.older_number and row.newer_number and row.older == row.newer)
        assert (row.mark is Mark.SAME) == same or row.mark is Mark.CHANGED
    assert not all(row.mark is Mark.SAME for row in rows)


def test_equal_lines_are_left_out_but_for_the_context() -> None:
    old = [str(n) for n in range(100)]
    new = [*old[:50], "x", *old[51:]]
    rows = beside(old, new, context=2, most=100)
    marks = "".join(row.mark for row in rows)
    assert marks == "…  |  …"
    assert rows[0].older == "48 equal lines"
    assert rows[-1].older == "47 equal lines"


def test_many_rows_are_cut_and_enormous_texts_take_no_time() -> None:
    old = [f"{n % 7}" for n in range(60_000)]
    new = [f"{n % 5}!" for n in range(60_000)]
    began = time.monotonic()
    rows = beside(old, new, context=3, most=500)
    assert time.monotonic() - began < 2
    assert len(rows) == 500
    assert rows[-1] == Row(Mark.SKIPPED, 0, "the rest is not shown", 0, "")


# --- sums -----------------------------------------------------------------------------------------


def test_the_sums_of_a_directory(pair: Pair, shell: ReadOnly) -> None:
    assert pair.mount is not None
    base = Path(os.fsdecode(pair.mount)) / ".zfs/snapshot"
    for tag, count in (("a", 3), ("b", 5)):
        top = base / tag / "top"
        (top / "deep" / "deeper").mkdir(parents=True)
        for number in range(count):
            (top / "deep" / f"f{number}").write_bytes(b"x" * 1000)
        (top / ".hidden").write_bytes(b"12345")
        (top / "deep" / "f0").chmod(0o4755)
        os.link(top / ".hidden", top / "deep" / "other")
        (top / "link").symlink_to("/etc")
        os.mkfifo(top / "fifo")
        with socket.socket(socket.AF_UNIX) as made:
            here = os.getcwd()
            os.chdir(top)
            try:
                made.bind("s")
            finally:
                os.chdir(here)
        with open(os.fsencode(top) + b"/" + HOSTILE + b"\n-rw-r--r-- 1 0 0 999 x", "wb") as nasty:
            nasty.write(b"1")
    found = sums(shell, pair, pair.mount + b"/top")
    assert found.older == Sums(6, 2, 3, 3006)
    assert found.newer == Sums(8, 2, 3, 5006)


def test_a_directory_that_was_not_there_counts_nothing(pair: Pair, shell: ReadOnly) -> None:
    path = put(pair, "b", b"file", b"")
    found = sums(shell, pair, path)
    assert "no directory" in found.newer.reason
    assert (found.older.files, found.older.reason) == (0, "")
    assert found.older.whole


def test_counting_ends_at_its_limits(target: Target, pair: Pair, shell: ReadOnly) -> None:
    assert pair.mount is not None
    top = Path(os.fsdecode(pair.mount)) / ".zfs/snapshot/a/top"
    top.mkdir()
    for number in range(300):
        (top / str(number)).touch()
    found = sums(shell, pair, pair.mount + b"/top", entries=100).older
    assert not found.whole
    assert found.files
    assert found.files > 100
    assert "entries were counted" in found.reason


def test_a_live_directory_is_counted_only_where_that_is_exact(
    target: Target, pair: Pair, shell: ReadOnly
) -> None:
    assert pair.mount is not None
    mount = Path(os.fsdecode(pair.mount))
    (mount / "top").mkdir()
    (mount / "top" / "f").write_bytes(b"1234")
    get = "get -Hp -o value atime,readonly tank"
    target.zfs(get, "printf 'on\\noff\\n'")
    assert "access times" in sums(shell, live(pair), pair.mount + b"/top").newer.reason
    target.zfs(get, "printf 'off\\noff\\n'")
    assert sums(shell, live(pair), pair.mount + b"/top").newer == Sums(1, 0, 0, 4)
    with (target.here / "mounts").open("a") as stream:
        stream.write(f"tank/child\t\t{mount}/top/child\tzfs\trw\t0\t0\n")
    assert "mounted below" in sums(shell, live(pair), pair.mount + b"/top").newer.reason


# --- an old version, fetched ----------------------------------------------------------------------


def old(pair: Pair, data: bytes, name: bytes = HOSTILE) -> bytes:
    """Have a file in the older snapshot; return where it is read."""
    found = older_path(pair, put(pair, "a", name, data))
    assert found is not None
    return found


@pytest.mark.parametrize("size", [0, 1, 65_535, 65_536, 65_537, 3_000_000])
def test_an_old_version_arrives_whole_and_private(
    pair: Pair, shell: ReadOnly, tmp_path: Path, size: int
) -> None:
    data = random.Random(size).randbytes(size)
    heard: list[tuple[int, int]] = []
    to = tmp_path / "here"
    found = fetch(shell, old(pair, data), to, lambda *said: heard.append(said))
    assert found == Fetched(to, size, hashlib.sha256(data).hexdigest())
    assert to.read_bytes() == data
    assert to.stat().st_mode & 0o7777 == 0o600
    assert not (tmp_path / "here.part").exists()
    assert heard[-1] == (size, size)
    assert heard == sorted(heard)


def test_what_was_broken_off_is_gone_on_with(pair: Pair, shell: ReadOnly, tmp_path: Path) -> None:
    data = random.Random(3).randbytes(5_000_000)
    source, to = old(pair, data), tmp_path / "here"
    stop = threading.Event()

    def done(here: int, _all: int) -> None:
        if here > 2_000_000:
            stop.set()

    with pytest.raises(Cancelled):
        fetch(shell, source, to, done, stop=stop)
    assert not to.exists()
    kept = (tmp_path / "here.part").stat().st_size
    assert kept > 1_000_000
    assert (tmp_path / "here.part").stat().st_mode & 0o777 == 0o600
    heard: list[int] = []
    fetch(shell, source, to, lambda here, _: heard.append(here))
    assert heard[0] == kept // fetching.BLOCK * fetching.BLOCK
    assert to.read_bytes() == data


def test_what_lay_there_of_another_file_is_not_believed(
    pair: Pair, shell: ReadOnly, tmp_path: Path
) -> None:
    data = random.Random(4).randbytes(200_000)
    (tmp_path / "here.part").write_bytes(b"x" * 150_000)
    fetch(shell, old(pair, data), tmp_path / "here")
    assert (tmp_path / "here").read_bytes() == data


def test_nothing_here_is_written_over(pair: Pair, shell: ReadOnly, tmp_path: Path) -> None:
    source = old(pair, b"new")
    here = tmp_path / "here"
    here.write_bytes(b"mine")
    with pytest.raises(Refused, match="exists already"):
        fetch(shell, source, here)
    here.unlink()
    here.symlink_to(tmp_path / "nowhere")
    with pytest.raises(Refused, match="exists already"):
        fetch(shell, source, here)
    here.unlink()
    victim = tmp_path / "victim"
    victim.write_bytes(b"mine")
    (tmp_path / "here.part").symlink_to(victim)
    with pytest.raises(Refused, match="no regular file"):
        fetch(shell, source, here)
    assert victim.read_bytes() == b"mine"
    (tmp_path / "here.part").unlink()

    def late(_here: int, _all: int) -> None:
        here.write_bytes(b"somebody's")

    with pytest.raises(Refused, match="exists by now"):
        fetch(shell, source, here, late)
    assert here.read_bytes() == b"somebody's"
    assert (tmp_path / "here.part").read_bytes() == b"new"


def test_only_regular_files_of_snapshots_are_fetched(
    target: Target, pair: Pair, shell: ReadOnly, tmp_path: Path
) -> None:
    assert pair.mount is not None
    base = pair.mount + b"/.zfs/snapshot/a/"
    os.mkfifo(base + b"fifo")
    os.mkdir(base + b"dir")
    os.symlink(b"/etc/passwd", base + b"link")
    for name, words in ((b"fifo", "a FIFO"), (b"dir", "a directory"), (b"link", "a symbolic link")):
        with pytest.raises(Refused, match=words):
            fetch(shell, base + name, tmp_path / "here")
    with pytest.raises(Refused, match="cannot be found: No such file"):
        fetch(shell, base + b"none", tmp_path / "here")
    with pytest.raises(Refused, match="in no snapshot"):
        fetch(shell, b"/etc/passwd", tmp_path / "here")
    assert list(tmp_path.iterdir()) == [] or not (tmp_path / "here").exists()


def test_a_file_that_arrives_differently_is_not_kept(
    target: Target, pair: Pair, shell: ReadOnly, tmp_path: Path
) -> None:
    source = old(pair, b"content")
    lying = target.programs / "sha256"
    honest = lying.read_text()
    lying.write_text(f"#!/bin/sh\necho {'0' * 64}\n")
    try:
        with pytest.raises(Exception, match="not what is there"):
            fetch(shell, source, tmp_path / "here")
    finally:
        lying.write_text(honest)
    assert list(tmp_path.iterdir()) == []


def test_a_line_that_damages_what_passes_costs_only_pieces(tmp_path: Path) -> None:
    target = Target(tmp_path / "target")
    mount = target.dataset("tank", "a", "b")
    pair = Pair("tank", Fate.BOTH, "tank@a", "tank@b", os.fsencode(mount))
    data = random.Random(5).randbytes(400_000)
    with target.shell(Faults(noise=0.000005)) as shell:
        found = fetch(shell, old(pair, data), tmp_path / "here")
    assert (tmp_path / "here").read_bytes() == data
    assert found.size == len(data)


def test_nothing_was_written_on_the_target(
    target: Target, pair: Pair, shell: ReadOnly, tmp_path: Path
) -> None:
    assert pair.mount is not None
    source = old(pair, b"abc\n", b"f")
    before = sorted(os.walk(pair.mount))
    times = os.stat(source)
    found: Versions = versions(shell, pair, pair.mount + b"/f")
    sums(shell, pair, pair.mount)
    fetch(shell, source, tmp_path / "here")
    assert found.older.lines == ("abc",)
    assert sorted(os.walk(pair.mount)) == before
    after = os.stat(source)
    assert (after.st_mtime_ns, after.st_ctime_ns) == (times.st_mtime_ns, times.st_ctime_ns)
