"""zfs diff: every byte of every name back exactly, in pieces of any size, or a plain error."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zrwizard.freebsd import ParseError, zfs_diff
from zrwizard.preview.events import Change

Recorded = Callable[..., str]
NS = 1_000_000_000
TYPES = "F/@BC|=>P?"


def escaped(name: bytes) -> bytes:
    """As stream_bytes() of libzfs_diff.c prints a name."""
    plain = bytes(range(33, 127)).replace(b"\\", b"")
    return b"".join(bytes([c]) if c in plain else b"\\%04o" % c for c in name)


def line(change: Change) -> bytes:
    """As zfs diff -FHt prints a change."""
    seconds, fraction = divmod(change.when, NS)
    row = b"%10d.%09d\t%s\t%s\t%s" % (
        seconds, fraction, change.kind.encode(), change.type.encode(), escaped(change.path),
    )  # fmt: skip
    if change.new_path is not None:
        row += b"\t" + escaped(change.new_path)
    if change.links:
        row += b"\t(%+d)" % change.links
    return row + b"\n"


def read(data: bytes, cuts: list[int] | None = None, mount: bytes | None = None) -> list[Change]:
    reader = zfs_diff.Reader(mount)
    found: list[Change] = []
    edges = [0, *sorted(cuts or []), len(data)]
    for begin, end in pairwise(edges):
        found += reader.feed(data[begin:end])
    reader.close()
    return found


def read_until_wrong(data: bytes, cuts: list[int]) -> tuple[list[Change], str]:
    """What a reader gives before it gives up, and its words (empty: all was right)."""
    reader = zfs_diff.Reader()
    found: list[Change] = []
    edges = [0, *sorted(cuts), len(data)]
    try:
        for begin, end in pairwise(edges):
            found += reader.feed(data[begin:end])
        reader.close()
    except ParseError as failure:
        return found, failure.what
    return found, ""


NAMES = st.binary(min_size=1, max_size=12).map(lambda b: b.replace(b"\0", b"\xff"))
PATHS = st.lists(NAMES, min_size=1, max_size=3).map(lambda parts: b"/" + b"/".join(parts))
TIMES = st.one_of(
    st.integers(-(2**33) * NS, 2**40 * NS), st.sampled_from([0, -1, -NS, 1, NS - 1])
)  # fmt: skip


@st.composite
def changes(draw: st.DrawFn) -> Change:
    kind = draw(st.sampled_from("+-MR"))
    return Change(
        kind=kind,
        type=draw(st.sampled_from(TYPES)),
        path=draw(PATHS),
        new_path=draw(PATHS) if kind == "R" else None,
        links=draw(st.integers(-40000, 40000)) if kind == "M" else 0,
        when=draw(TIMES),
    )


@given(st.lists(changes(), max_size=12), st.lists(st.integers(0, 3000), max_size=8))
@settings(max_examples=300, deadline=None)
def test_whatever_the_names_and_the_pieces(wanted: list[Change], cuts: list[int]) -> None:
    data = b"".join(map(line, wanted))
    assert read(data, [cut % (len(data) + 1) for cut in cuts]) == wanted


def test_every_byte_of_a_name_in_single_bytes() -> None:
    name = b"/m/" + bytes(range(1, 256))
    change = Change("R", "F", name, name[::-1], 0, 5)
    data = line(change)
    assert read(data, list(range(len(data)))) == [change]


@given(st.data())
@settings(max_examples=200, deadline=None)
def test_arbitrary_bytes_raise_nothing_else_and_cuts_make_no_difference(
    data: st.DataObject,
) -> None:
    good = b"".join(map(line, data.draw(st.lists(changes(), max_size=5))))
    at = data.draw(st.integers(0, len(good)))
    junk = data.draw(
        st.one_of(st.binary(max_size=40), st.text("0123456789.\t\\MR+-F/(\n").map(str.encode))
    )
    text = good[:at] + junk + good[at + data.draw(st.integers(0, 9)) :]
    cuts = data.draw(st.lists(st.integers(0, len(text)), max_size=6))
    found, words = read_until_wrong(text, cuts)
    assert (found, words) == read_until_wrong(text, [])
    if words:
        assert words.startswith("line ")


def test_as_recorded(recorded: Recorded) -> None:
    text = recorded("zfs diff -FHt zroot/usr/home@one zroot/usr/home@two").encode()
    found = read(text, mount=b"/mnt/usr/home")
    assert len(found) == 11
    assert found[0] == Change("M", "/", b"/mnt/usr/home/d", None, 0, 1795294165234861000)
    assert found[1] == Change("M", "F", b"/mnt/usr/home/keep", None, 1, 1795294165124135000)
    assert found[3][:4] == ("R", "F", b"/mnt/usr/home/ren", b"/mnt/usr/home/renamed")
    assert [change.path for change in found[7:9]] == [
        b"/mnt/usr/home/new\ttab", b"/mnt/usr/home/a -> b",
    ]  # fmt: skip
    assert found[-1].path == b"/mnt/usr/home/"


def test_names_with_real_tabs_are_refused_not_guessed(recorded: Recorded) -> None:
    """-h leaves names raw; a tab in one then looks like a column."""
    text = recorded("zfs diff -FHht zroot/usr/home@one zroot/usr/home@two").encode()
    found, words = read_until_wrong(text, [])
    assert len(found) == 4
    assert words.startswith("line 5: ")


T = b"1795294165.234861000\t"


@pytest.mark.parametrize(
    "wrong",
    [
        b"\n",
        b"hello\n",
        b"M\tF\t/m/a\n",
        T + b"M\tF\t\n",
        T + b"M\tx\t/m/a\n",
        T + b"X\tF\t/m/a\n",
        T + b"M\tF\t/m/a b\n",
        T + b"M\tF\t/m/a\r\n",
        T + b"M\tF\t/m/\xe9\n",
        T + b"M\tF\t/m/a\\\n",
        T + b"M\tF\t/m/a\\040\n",
        T + b"M\tF\t/m/a\\0400\n",
        T + b"M\tF\t/m/a\\0000\n",
        T + b"M\tF\t/m/a\\0101\n",
        T + b"M\tF\t/m/a\\0057b\n",
        T + b"M\tF\t/m/a\\n\n",
        T + b"M\tF\t/m/a\t(1)\n",
        T + b"M\tF\t/m/a\t/m/b\n",
        T + b"+\tF\t/m/a\t(+1)\n",
        T + b"-\tF\t/m/a\t/m/b\n",
        T + b"R\tF\t/m/a\n",
        T + b"R\tF\t/m/a\t\n",
        T + b"R\tF\t/m/a\t/m/b\t(+1)\n",
        b"1795294165.23486100\tM\tF\t/m/a\n",
        b"1_795294165.234861000\tM\tF\t/m/a\n",
        T + b"M\tF\t/m/a",
        T + b"M\tF\t/" + b"a" * 99_999,
        T + b"M\tF\t/" + b"a" * 99_999 + b"\n",
    ],
)
@pytest.mark.parametrize("piece", [1, 10**6])
def test_a_wrong_line_ends_it_and_what_stood_before_is_kept(wrong: bytes, piece: int) -> None:
    good = Change("M", "F", b"/m/a b", None, 0, 1)
    data = line(good) * 2 + wrong + (line(good) if wrong.endswith(b"\n") else b"")
    reader = zfs_diff.Reader()
    found: list[Change] = []

    def all_of_it() -> None:
        for at in range(0, len(data), piece):
            found.extend(reader.feed(data[at : at + piece]))
        reader.close()

    with pytest.raises(ParseError, match="line 3: ") as caught:
        all_of_it()
    assert found == [good, good]
    assert reader.failure is caught.value
    with pytest.raises(ParseError, match="line 3: "):
        reader.feed(line(good))
    with pytest.raises(ParseError, match="line 3: "):
        reader.close()


def test_an_excerpt_cannot_colour_a_terminal() -> None:
    with pytest.raises(ParseError) as caught:
        read(T + b"M\tF\t/m/\x1b[31m\x07\x9b\n")
    assert str(caught.value).isprintable()


def test_nothing_is_no_change() -> None:
    assert read(b"") == []


# --- the delete queue -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mount", "gone"), [(b"/m", b"/m(on_delete_queue)"), (b"/", b"(on_delete_queue)")]
)
def test_what_is_only_open_and_has_no_name_is_no_file(mount: bytes, gone: bytes) -> None:
    rows = [
        Change("M", "F", gone, None, 0, 1),
        Change("+", "F", gone, None, 0, 1),
        Change("-", "F", gone, None, 0, 1),
        Change("R", "F", b"/m/log", gone, 0, 2),
        Change("R", "F", gone, b"/m/back", 0, 3),
        Change("R", "F", gone, gone, 0, 3),
        Change("+", "F", b"/m/x(on_delete_queue)", None, 0, 4),
    ]
    assert read(b"".join(map(line, rows)), mount=mount) == [
        Change("-", "F", b"/m/log", None, 0, 2),
        Change("+", "F", b"/m/back", None, 0, 3),
        Change("+", "F", b"/m/x(on_delete_queue)", None, 0, 4),
    ]


def test_without_the_mountpoint_it_is_left_as_it_stands() -> None:
    row = Change("M", "F", b"/m(on_delete_queue)", None, 0, 1)
    assert read(line(row)) == [row]


# --- speed ------------------------------------------------------------------------------------


def test_speed_and_pieces_of_a_stream() -> None:
    """200,000 lines, a tenth with escapes; a million take about 2 s on the bench."""
    pick = random.Random(4)
    rows = []
    for number in range(200_000):
        name = b"file %d" if number % 10 == 0 else b"file-%d"
        rows.append(
            Change(
                pick.choice("+-M"),
                "F",
                b"/m/d%d/" % (number % 700) + name % number,
                None,
                0,
                number * NS,
            )
        )
    data = b"".join(map(line, rows))
    reader = zfs_diff.Reader(b"/m")
    began = time.process_time()
    found: list[Change] = []
    for at in range(0, len(data), 32768):
        found += reader.feed(data[at : at + 32768])
    reader.close()
    took = time.process_time() - began
    assert found == rows
    assert took < 4


# --- complaints -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("command", "kind"),
    [
        ("zfs diff zroot/usr/home@two zroot/usr/home@one", "not earlier"),
        ("zfs diff zroot/usr/home@one zroot/usr/home@nosuch", "snapshot missing"),
        (
            "zfs unmount zroot/usr/home; zfs diff zroot/usr/home@one zroot/usr/home@two",
            "not mounted",
        ),
    ],
)
def test_complaints_as_recorded(recorded: Recorded, command: str, kind: str) -> None:
    known = zfs_diff.explain(recorded(command, part="stderr"))
    assert known is not None
    assert known.kind == kind
    assert known.what.endswith(".")
    assert known.now.endswith(".")


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("Not an earlier snapshot from the same fs: invalid name", "not earlier"),
        ("Unable to determine which snapshots to compare: invalid name", "snapshots not clear"),
        (
            "Unable to determine path or stats for object 12 in a/b@x: Input/output error",
            "names not known",
        ),
        (
            "The diff delegated permission is needed in order\nto create a just-in-time snapshot",
            "no permission",
        ),
        (
            "Unable to obtain diffs: \n   The sys_mount privilege or diff delegated permission is "
            "needed\n   to execute the diff ioctl",
            "no permission",
        ),
        ("Unable to obtain diffs: Input/output error", "damaged pool"),
        ("Unable to obtain diffs: Interrupted system call", "interrupted"),
        ("Unable to obtain diffs: Argument list too long", "broke off"),
        ("Key must be loaded to discover path names: Permission denied", "key not loaded"),
        ("Cannot create just-in-time snapshot of 'a/b': out of space", "no temporary snapshot"),
        ("cannot open 'a/b': dataset does not exist", "no such dataset"),
        (
            "cannot open 'tank/a/new@x': snapshot delimiter '@' is not expected here\n"
            "Not an earlier snapshot from the same fs: invalid name",
            "not earlier",
        ),
        ("cannot open 'a/v': operation not applicable to datasets of this type", "no files"),
        ("Internal error: bad data from diff IOCTL: Broken pipe", "broke off"),
    ],
)
def test_complaints_of_the_source(text: str, kind: str) -> None:
    known = zfs_diff.explain(text)
    assert known is not None
    assert known.kind == kind
    assert "{" not in known.what


def test_what_is_not_known_is_left_to_the_caller() -> None:
    assert zfs_diff.explain("sh: zfs: not found") is None


def test_the_command() -> None:
    assert zfs_diff.diff("a b@x", "a b") == ("zfs", "diff", "-FHt", "a b@x", "a b")


@pytest.mark.parametrize("kind", "+-MR")
def test_a_console_message_anywhere_makes_no_wrong_change(kind: str) -> None:
    """A message with a blank and a line's end cuts lines in two; no half of one may pass."""
    new = b"/mnt/b\xff" if kind == "R" else None
    truth = [Change(kind, "F", b"/mnt/a b", new, 0, (1_700_000_000 + at) * NS) for at in range(3)]
    whole = b"".join(line(change) for change in truth)
    message = b"em0: link state changed to UP\r\n"
    for at in range(len(whole) + 1):
        reader = zfs_diff.Reader(b"/mnt", lenient=True)
        found = reader.feed(whole[:at] + message + whole[at:])
        reader.close()
        assert set(found) <= set(truth), (at, found)
        assert len(found) >= len(truth) - 2
