"""The line drops at every byte of a command's exchange, in both directions.

The shell lives on behind it, as behind QEMU's telnet port: afterwards the command has run once, and
its status and outputs are exact. Or the machine has been restarted meanwhile: then that is said,
and never a status.
"""

from __future__ import annotations

import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pexpect
import pytest
from noise import Exact, Faults, Host, session_on

from zrwizard.console.errors import ConsoleError, LineCut, MachineLost

WORKERS = 24


def exchange(directory: Path) -> dict[str, int]:
    """How many bytes pass in each direction for `command`."""
    host = Host()
    with session_on(host) as session:
        found = {}
        for way in ("in", "out"):
            host.lines[-1].exact = Exact(way, 10**9, bytes)
            session.run(command(directory / "measured"))
            found[way] = host.lines[-1].exact.passed
        return found


def command(ran: Path) -> str:
    return f"echo ran >>{ran}; printf out; printf err >&2; exit 7"


@pytest.mark.parametrize("server", ["loses", "keeps", "answers-status"])
@pytest.mark.parametrize("way", ["in", "out"])
def test_the_line_is_cut_at_every_byte_and_the_command_has_run_once(server, way, tmp_path):
    offsets = list(range(exchange(tmp_path)[way] + 1))
    # One server behind which every byte is tried, others at every fourth.
    shares = [offsets[n :: WORKERS * (1 if server == "loses" else 4)] for n in range(WORKERS)]

    def some(number: int) -> int:
        host = Host(keeps=server == "keeps", answers_status=server == "answers-status")
        with session_on(host) as session:
            for at in shares[number]:
                ran = tmp_path / f"{server}-{way}-{at}"
                line = host.lines[-1]
                line.cut_at = (way, at + line.passed[way])
                result = session.run(command(ran), timeout=60)
                where = f"cut at byte {at}, {way}"
                assert (result.status, result.out, result.err) == (7, b"out", b"err"), where
                assert ran.read_text() == "ran\n", where
            return len(host.lines) - 1

    with ThreadPoolExecutor(WORKERS) as pool:
        cuts = sum(pool.map(some, range(WORKERS)))
    assert cuts >= sum(map(len, shares)) - 8


@pytest.mark.parametrize("server", ["loses", "keeps", "answers-status"])
@pytest.mark.parametrize("way", ["in", "out"])
def test_a_machine_that_restarted_meanwhile_is_lost_and_never_a_status(server, way, tmp_path):
    """A restart at every ninth byte: another boot, a login shown to nobody or to us, /tmp kept or
    gone."""
    offsets = list(range(0, exchange(tmp_path)[way] + 1, 9))

    def one(at: int) -> None:
        host = Host(keeps=server == "keeps", answers_status=server == "answers-status")
        ran = tmp_path / f"restart-{server}-{way}-{at}"
        with session_on(host, reconnect_for=10.0) as session:
            line = host.lines[-1]
            line.cut_at = (way, at + line.passed[way])
            home = Path(session.home) if at % 2 else None
            host.on_cut_do.append(lambda: host.restart(home))
            with pytest.raises(MachineLost):
                session.run(command(ran), timeout=60)
            # Killed between opening the file and writing to it, a shell leaves it empty.
            assert not ran.exists() or ran.read_text() in {"", "ran\n"}

    with ThreadPoolExecutor(WORKERS) as pool:
        list(pool.map(one, offsets))


def test_a_prompt_that_does_not_know_us_is_another_machine_at_once(tmp_path):
    """Its first prompt is lost with the cut, and messages bury the next ones: a silent console."""
    host = Host(faults=Faults(noise=0.002), seed=3)
    with session_on(host) as session:
        home = Path(session.home)
        host.on_cut_do.append(lambda: host.restart(home, login=False))
        threading.Timer(0.5, host.lines[-1].cut).start()
        began = time.monotonic()
        with pytest.raises(MachineLost, match=r"went away|restarted"):
            session.run("sleep 30; echo over", timeout=60)
        assert time.monotonic() - began < session.reconnect_for / 2


def test_a_machine_that_does_not_come_back_is_lost_after_the_time_that_was_given(tmp_path):
    host = Host()
    with session_on(host, reconnect_for=3.0) as session:
        host.refuse = 10**6
        threading.Timer(0.3, host.lines[-1].cut).start()
        began = time.monotonic()
        with pytest.raises(MachineLost, match="refused"):
            session.run("sleep 30; echo on")
        assert 2.5 < time.monotonic() - began < 12
        host.refuse = 0


def test_a_server_that_is_away_for_a_while_is_tried_again(tmp_path):
    host = Host()
    with session_on(host) as session:
        host.refuse = 4
        threading.Timer(0.3, host.lines[-1].cut).start()
        result = session.run(f"sleep 1; echo on; echo ran >>{tmp_path}/ran; exit 5")
        assert (result.status, result.text) == (5, "on\n")
        assert (tmp_path / "ran").read_text() == "ran\n"


def test_a_command_that_outlasts_the_cut_is_waited_for(tmp_path):
    """It goes on without the line; its end frame was printed to nobody."""
    for seconds in (2, 6):
        host = Host()
        with session_on(host) as session:
            threading.Timer(0.5, host.lines[-1].cut).start()
            result = session.run(f"sleep {seconds}; echo $$; exit 9", timeout=60)
            assert (result.status, result.text.strip().isdigit()) == (9, True)


def test_a_detached_job_is_found_again_after_the_cut():
    host = Host()
    with session_on(host) as session:
        session.start_job("long", "echo begun; sleep 4; echo over; exit 6")
        host.lines[-1].cut()
        assert session.job("long").running
        deadline = time.monotonic() + 20
        while session.job("long").running and time.monotonic() < deadline:
            time.sleep(0.3)
        assert session.job("long").status == 6
        assert session.run(f"cat {session.home}/jobs/long/log").text == "begun\nover\n"


def test_an_upload_that_was_cut_goes_on_where_it_was(tmp_path):
    data, whole = random.Random(1).randbytes(60_000), 0
    for cut in (0, 1, 2):
        host = Host()
        with session_on(host) as session:
            line, before = host.lines[-1], host.typed
            if cut == 1:
                line.cut_at = ("in", line.passed["in"] + 60_000)
            elif cut == 2:
                line.cut_at = ("out", line.passed["out"] + 3_000)
            seen: list[tuple[int, int]] = []
            note = seen.append
            path = Path(session.home) / "file"
            session.upload(str(path), data, 0o640, done=lambda *at, note=note: note(at))
            assert path.read_bytes() == data
            assert path.stat().st_mode & 0o777 == 0o640
            assert seen[-1] == (60_000, 60_000)
            assert [here for here, _ in seen] == sorted(here for here, _ in seen)
            typed = host.typed - before
            assert len(host.lines) == (2 if cut else 1)
            whole = whole or typed
            assert typed < whole * 1.3, "it began from the start"


def test_a_download_that_was_cut_goes_on_where_it_was(tmp_path):
    data = random.Random(2).randbytes(300_000)
    (tmp_path / "there").write_bytes(data)
    host = Host()
    with session_on(host) as session:
        passed = host.lines[-1].passed
        before = passed["out"]
        session.download(str(tmp_path / "there"), tmp_path / "clean")
        whole = passed["out"] - before
        host.lines[-1].cut_at = ("out", passed["out"] + whole * 2 // 3)
        before = passed["out"]
        session.download(str(tmp_path / "there"), tmp_path / "here")
        assert len(host.lines) == 2
        assert (tmp_path / "here").read_bytes() == (tmp_path / "clean").read_bytes() == data
        assert sum(line.passed["out"] for line in host.lines) - before < whole * 1.3


def test_an_upload_survives_many_cuts():
    data = random.Random(3).randbytes(20_000)
    host = Host(faults=Faults(cut=0.0001), seed=5)
    with session_on(host) as session:
        path = Path(session.home) / "file"
        session.upload(str(path), data)
        assert path.read_bytes() == data
        assert len(host.lines) > 2


def test_a_stream_that_is_cut_is_an_error_and_the_shell_is_found_again(tmp_path):
    (tmp_path / "data").write_bytes(random.Random(4).randbytes(400_000))
    host = Host()
    with session_on(host) as session:
        line, got = host.lines[-1], bytearray()
        line.cut_at = ("out", line.passed["out"] + 100_000)
        with pytest.raises(ConsoleError):
            session.stream(f"cat {tmp_path}/data", got.extend, timeout=30)
        assert session.run("echo on").text == "on\n"
        got.clear()
        result = session.stream(f"cat {tmp_path}/data; exit 3", got.extend, timeout=30)
        assert (result.status, bytes(got)) == (3, (tmp_path / "data").read_bytes())


def test_a_line_that_ends_under_a_dialogue_is_opened_again_by_the_next_command():
    """The end is seen first by who types: a dialogue cannot be done again, all else goes on."""
    host = Host()
    with session_on(host) as session:
        line = host.lines[-1]

        def send(data: bytes) -> int:
            line.ended = True
            raise pexpect.EOF("the line was cut")

        line.send = send
        line.read_nonblocking = lambda size, timeout: time.sleep(timeout) or b""
        with pytest.raises(LineCut):
            session.talk("echo on", (), timeout=5)
        assert session.run("echo on", timeout=20).text == "on\n"
