"""The sh text of a look, run by a real sh; its parser, fed with anything."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.realsh import RealShell
from tests.shlint import parses
from zrwizard.transfer import poll

HEADER = (
    "            input            em0           output\n"
    "   packets  errs idrops      bytes    packets  errs      bytes colls\n"
)


@pytest.fixture
def shell(tmp_path: Path) -> RealShell:
    return RealShell(tmp_path)


def look(shell: RealShell, job: str, offset: int = 0, mover: str = "") -> poll.Look:
    text = poll.poll_script(shell.home, job, "zroot", mover)
    shell.upload(poll.poll_path(shell.home, job), text.encode())
    return poll.parse_poll(shell.run(poll.poll_command(shell.home, job, offset)).out)


def test_the_meter_adds_the_rows_up(shell: RealShell) -> None:
    rows = "".join(f"{n:10} {0:5} {0:5} {3_000_000_000:10} 1 0 99 0\n" for n in range(3))
    print_rows = f"cat <<X\n{HEADER}{rows}GEOM: noise\n{HEADER}X\n"
    shell.tool("netstat", f'test "$*" = "-I em0 -w 1" || exit 65\n{print_rows}')
    total = Path(poll.total_path(shell.home, "pull"))
    total.parent.mkdir()
    shell.run(poll.meter_script("em0", str(total)))
    assert total.read_text() == "9000000000 3\n"
    shell.run(poll.meter_script("em0", str(total), 9_000_000_000, 3))
    assert total.read_text() == "18000000000 6\n"


def test_a_look_at_nothing_sees_nothing(shell: RealShell) -> None:
    assert look(shell, "pull") == poll.Look(None, None, None, False, None, 0, b"")


def test_a_look_sees_everything_in_one_go(shell: RealShell) -> None:
    shell.tool("zfs", 'test "$*" = "get -Hp -o value used zroot" && echo 123456\n')
    shell.start_job("pull", "echo one; echo two; exit 7\n")
    Path(poll.total_path(shell.home, "pull")).write_text("77 5\n")
    while shell.job("pull").running:
        pass
    seen = look(shell, "pull")
    assert seen == poll.Look(77, 5, 123456, seen.alive, 7, 8, b"one\ntwo\n")
    assert look(shell, "pull", 4).log == b"two\n"
    assert look(shell, "pull", 8).log == b""


def test_the_log_comes_in_pieces(shell: RealShell) -> None:
    where = Path(poll.job_dir(shell.home, "pull"))
    where.mkdir(parents=True)
    # Lines of odd lengths and odd letters, so that the pieces end anywhere.
    data = b"".join(b"cannot %s \xc3\xa4 \xff\n" % (b"x" * (n % 97)) for n in range(3000)) + b"end"
    (where / "log").write_bytes(data)
    got, at = b"", 0
    while (seen := look(shell, "pull", at)).log:
        assert at < seen.end <= at + poll.LOG_PIECE
        got, at = got + seen.log, seen.end
    assert got == data
    assert at == len(data)


def test_rows_of_progress_stay_where_they_are(shell: RealShell) -> None:
    where = Path(poll.job_dir(shell.home, "pull"))
    where.mkdir(parents=True)
    log = "full\ttank@a\t900\nincremental\ta\ttank@b c\t77\nsize\t977\n"
    log += "".join(f"12:00:{n:02}\t{n * 15}\ttank@a\n" for n in range(60))
    log += "receiving full stream of tank@a into zroot@a\n"
    log += "12:01:00\t895\ttank@a\n12:01:01\t900\ttank@a\n12:01:02\t7\ttank@b c\ncannot x\n12:0"
    (where / "log").write_text(log)
    seen = look(shell, "pull")
    assert seen.end == len(log)
    assert seen.log.decode() == (
        "12:00:59\t885\ttank@a\n"
        "receiving full stream of tank@a into zroot@a\n"
        "12:01:01\t900\ttank@a\n"
        "12:01:02\t7\ttank@b c\ncannot x\n12:0"
    )
    assert len(poll.poll_command(shell.home, "pull", 10**9)) < 100 + len(shell.home)


def test_a_mover_has_a_state_and_a_log_of_its_own(shell: RealShell, tmp_path: Path) -> None:
    where = tmp_path / "mo ver"
    where.mkdir()
    (where / "state").write_text(
        "waiting 2 6 1700000000 1700000005 10 20 30 40 5\nnew/a b\nlog The link broke.\n"
    )
    (where / "log").write_text("12:00:00 The link broke.\n")
    seen = look(shell, "pull", mover=str(where))
    assert seen.state is not None
    assert (seen.state.target, seen.state.event) == ("new/a b", "log The link broke.")
    assert seen.log == b"12:00:00 The link broke.\n"
    (where / "state").write_text("half a st")
    assert look(shell, "pull", mover=str(where)).state is None


@pytest.mark.parametrize(
    "text", [poll.meter_script("em0", "/tmp/a b"), poll.poll_script("/h", "j", "z")]
)
def test_the_text_is_posix_sh(text: str) -> None:
    assert parses(text)


@given(st.binary(max_size=300))
def test_any_answer_is_understood_or_ignored(out: bytes) -> None:
    seen = poll.parse_poll(out)
    assert seen.net is None or seen.net >= 0


@given(st.binary(max_size=100))
def test_the_log_is_exact(log: bytes) -> None:
    assert poll.parse_poll(b"net 1 2\nused\nalive\nrc\nend 5\nlog\n" + log).log == log
