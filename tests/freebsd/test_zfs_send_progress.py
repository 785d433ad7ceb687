"""The progress of a sender: rows as facts B6 gives them, cut anywhere, thinned by every awk."""

from __future__ import annotations

import shutil
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.shlint import parses
from zrwizard.freebsd import zfs_send_progress
from zrwizard.freebsd.zfs_send_progress import Row, SendLog, parse_row

LOG = (
    "full\ttank/home@a\t1000\n"
    "incremental\ta\ttank/home@b\t312\n"
    "size\t1312\n"
    "receiving full stream of tank/home@a into zroot/home@a\n"
    "23:59:58\t400\ttank/home@a\n"
    "23:59:59\t990\ttank/home@a\n"
    "received 1000B stream in 2.00 seconds (500B/sec)\n"
    "00:00:00\t100\ttank/home@b\n"
    "cannot receive: failed to read from stream\n"
)
SAID = "".join(line + "\n" for line in LOG.splitlines() if line[0] in "rc")


@pytest.mark.parametrize(
    ("line", "row"),
    [
        pytest.param("12:34:56\t789\ttank@a", Row("tank@a", 789), id="row"),
        pytest.param("12:34:56\t0\ttank/a b@x y", Row("tank/a b@x y", 0), id="blanks"),
        pytest.param("12:34:56\t789\ttank@a\r", Row("tank@a", 789), id="carriage return"),
        pytest.param("12:34:56   789K   tank@a", None, id="for people"),
        pytest.param("TIME        SENT   SNAPSHOT tank@a", None, id="header"),
        pytest.param("12:34:56\t-1\ttank@a", None, id="negative"),
        pytest.param("size\t789", None, id="total"),
        pytest.param("", None, id="empty"),
    ],
)
def test_a_row(line: str, row: Row | None) -> None:
    assert parse_row(line) == row


def test_a_log_is_counted_and_the_rest_of_it_kept() -> None:
    seen = SendLog().feed(LOG)
    assert (seen.snapshot, seen.bytes, seen.before, seen.total) == ("tank/home@b", 100, 990, 1090)
    assert seen.said == SAID


@given(st.lists(st.integers(min_value=0, max_value=len(LOG)), max_size=6))
def test_cut_anywhere_it_is_the_same(cuts: list[int]) -> None:
    seen, said, at = SendLog(), "", 0
    for cut in [*sorted(cuts), len(LOG)]:
        seen = seen.feed(LOG[at:cut])
        said, at = said + seen.said, cut
    assert (seen.total, said, seen.partial) == (1090, SAID, "")


@given(st.lists(st.text(max_size=40), max_size=5))
def test_any_text_only_adds(pieces: list[str]) -> None:
    seen = SendLog()
    for piece in pieces:
        later = seen.feed(piece)
        assert later.total >= seen.total
        seen = later


AWKS = [awk for awk in ("awk", "mawk", "gawk", "original-awk", "busybox") if shutil.which(awk)]


@pytest.mark.parametrize("name", AWKS)
@pytest.mark.parametrize("rest", ["", "23:5", "ätzend"], ids=["whole", "row cut", "letters"])
def test_thinned_out_it_says_the_same(name: str, rest: str) -> None:
    command = zfs_send_progress.digest()
    assert parses(command)
    awk = "busybox awk" if name == "busybox" else name
    done = subprocess.run(
        ["sh", "-c", command.replace(" awk ", f" {awk} ", 1)],
        input=(LOG + rest + ".\n").encode(),
        capture_output=True,
        check=True,
    )
    thin = done.stdout.decode()
    assert "\t400\t" not in thin
    assert len(thin.splitlines()) == len(LOG.splitlines()) - 4 + bool(rest)
    seen = SendLog().feed(thin)
    assert (seen.total, seen.said, seen.partial) == (1090, SAID, rest)
