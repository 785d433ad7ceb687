"""One owner for a line: real processes, real locks, and a crash that leaves nothing behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from zrwizard.line import LineError, parse
from zrwizard.line.lock import Holder, LineTaken, Lock, evict, key, spell

URL = "telnet://127.0.0.1:4474"
HOLD = """
import signal, sys, time
from pathlib import Path
from zrwizard.line import parse
from zrwizard.line.lock import Lock
if sys.argv[3] == "deaf":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
lock = Lock.acquire(Path(sys.argv[1]), parse(sys.argv[2]), "restore")
print("held", flush=True)
time.sleep(60)
"""


@contextmanager
def owner(directory: Path, kind: str = "polite") -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the line."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(directory), URL, kind],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parent.parent.parent,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def holder_of(directory: Path) -> Holder:
    with pytest.raises(LineTaken) as caught:
        Lock.acquire(directory, parse(URL), "console")
    assert caught.value.holder is not None
    return caught.value.holder


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("telnet://localhost:4474", "telnet://127.0.0.1:4474"),
        ("telnet://LOCALHOST:4474", "telnet://[::1]:4474?raw=1"),
        ("telnet://[fe80:0::1]:23", "telnet://[fe80::1]:23"),
        ("telnet://bmc.example.:23", "telnet://BMC.example:23"),
        ("ssh://root@host", "ssh://admin@host:22"),
        ("serial:///dev/cuaU0", "serial:///dev/ttyU0?speed=9600"),
    ],
)
def test_two_spellings_of_a_line_meet(one: str, other: str) -> None:
    assert key(parse(one)) == key(parse(other)) != ""


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("telnet://127.0.0.1:4474", "telnet://127.0.0.1:4475"),
        ("telnet://127.0.0.1:4474", "telnet://127.0.0.2:4474"),
        ("serial:///dev/ttyU0", "serial:///dev/ttyU1"),
    ],
)
def test_two_lines_do_not_meet(one: str, other: str) -> None:
    assert key(parse(one)) != key(parse(other))


def test_a_device_and_a_link_to_it_are_one_line(tmp_path: Path) -> None:
    (tmp_path / "device").touch()
    (tmp_path / "by-id").symlink_to(tmp_path / "device")
    assert key(parse(f"serial://{tmp_path}/by-id")) == key(parse(f"serial://{tmp_path}/device"))


def test_the_second_hears_who_what_and_since_when(tmp_path: Path) -> None:
    with Lock.acquire(tmp_path, parse(URL), "restore"):
        with pytest.raises(LineTaken) as caught:
            Lock.acquire(tmp_path, parse("telnet://localhost:4474"), "console")
        error, held = caught.value, caught.value.holder
        assert error.taken
        assert held is not None
        assert (held.pid, held.purpose) == (os.getpid(), "restore")
        assert abs(held.since - time.time()) < 10
        assert f"{held.user}'s zrwizard restore (pid {os.getpid()})" in error.what
        assert "less than a minute" in error.what
        assert "--steal" in error.now
    assert list(tmp_path.iterdir()) == []
    Lock.acquire(tmp_path, parse(URL), "console").release()


def test_the_file_is_private_and_holds_no_more_than_it_says(tmp_path: Path) -> None:
    with Lock.acquire(tmp_path / "locks", parse(URL), "console --exec"):
        (path,) = (tmp_path / "locks").iterdir()
        assert path.stat().st_mode & 0o777 == 0o600
        assert set(json.loads(path.read_text())) == {"pid", "user", "since", "purpose"}


def test_a_local_line_has_nothing_to_lock(tmp_path: Path) -> None:
    first = Lock.acquire(tmp_path, parse("local:"), "console")
    second = Lock.acquire(tmp_path, parse("local:"), "console")
    first.release()
    second.release()
    assert list(tmp_path.iterdir()) == []


def test_a_directory_that_cannot_be_made_is_explained(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(LineError, match="Cannot note") as caught:
        Lock.acquire(tmp_path / "file" / "locks", parse(URL), "console")
    assert not caught.value.taken
    assert "XDG_STATE_HOME" in caught.value.now


@pytest.mark.parametrize("rubbish", ["", "{", "[]", '{"pid": "x"}', "\x00\xff"])
def test_a_lock_that_says_nothing_readable_is_a_lock(
    tmp_path: Path, rubbish: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("zrwizard.line.lock._WRITING_SECONDS", 0.05)
    with Lock.acquire(tmp_path, parse(URL), "console"):
        (path,) = tmp_path.iterdir()
        path.write_text(rubbish)
        with pytest.raises(LineTaken, match="another zrwizard") as caught:
            Lock.acquire(tmp_path, parse(URL), "console")
        assert caught.value.holder is None


def test_a_crash_frees_the_line(tmp_path: Path) -> None:
    with owner(tmp_path) as process:
        assert holder_of(tmp_path).pid == process.pid
        process.send_signal(signal.SIGKILL)
        process.wait()
        with Lock.acquire(tmp_path, parse(URL), "console"):
            assert holder_of(tmp_path).pid == os.getpid()


def test_many_at_once_are_never_two(tmp_path: Path) -> None:
    """Processes that take and drop the line; the one that has it finds no other's mark there."""
    work = """
import os, sys, time
from pathlib import Path
from zrwizard.line import parse
from zrwizard.line.lock import LineTaken, Lock
where, mark, got = Path(sys.argv[1]), Path(sys.argv[2]), 0
until = time.monotonic() + 1.5
while time.monotonic() < until:
    try:
        with Lock.acquire(where, parse(sys.argv[3]), "console"):
            os.close(os.open(mark, os.O_CREAT | os.O_EXCL))
            got += 1
            mark.unlink()
    except LineTaken:
        pass
print(got)
"""
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", work, str(tmp_path / "locks"), str(tmp_path / "mark"), URL],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parent.parent.parent,
        )
        for _ in range(3)
    ]
    for process in processes:
        out, err = process.communicate(timeout=30)
        assert process.returncode == 0, err
        assert int(out) > 0


# --- taking it away ----------------------------------------------------------------------------


def never(_: Holder) -> bool:
    raise AssertionError("was asked again")


def test_a_holder_that_ends_when_told_to(tmp_path: Path) -> None:
    with owner(tmp_path) as process:
        evict(tmp_path, parse(URL), holder_of(tmp_path), never, patience=10)
        assert process.wait(5) == -signal.SIGTERM
    Lock.acquire(tmp_path, parse(URL), "console").release()


def test_a_deaf_holder_is_killed_only_when_asked_again(tmp_path: Path) -> None:
    with owner(tmp_path, "deaf") as process:
        held = holder_of(tmp_path)
        with pytest.raises(LineError, match="has not ended") as caught:
            evict(tmp_path, parse(URL), held, lambda _: False, patience=0.5)
        assert caught.value.taken
        assert process.poll() is None
        evict(tmp_path, parse(URL), held, lambda _: True, patience=0.5)
        assert process.wait(5) == -signal.SIGKILL


def test_a_line_that_is_free_by_now_costs_nobody_anything(tmp_path: Path) -> None:
    gone = Holder(os.getpid(), "alice", time.time(), "restore")
    evict(tmp_path, parse(URL), gone, never)


def test_another_holder_than_the_one_that_was_shown_is_left_alone(tmp_path: Path) -> None:
    with owner(tmp_path) as process:
        shown = Holder(process.pid, "alice", 1.0, "restore")
        with pytest.raises(LineTaken):
            evict(tmp_path, parse(URL), shown, never)
        assert process.poll() is None


def test_a_number_that_became_another_process_is_left_alone(tmp_path: Path) -> None:
    """A holder whose process is younger than its lock is not the one that took it."""
    other = subprocess.Popen(["sleep", "60"])
    try:
        with Lock.acquire(tmp_path, parse(URL), "restore"):
            (path,) = tmp_path.iterdir()
            row = {**json.loads(path.read_text()), "pid": other.pid, "since": time.time() - 3600}
            path.write_text(json.dumps(row))
            with pytest.raises(LineError, match="is not the one that took the line"):
                evict(tmp_path, parse(URL), holder_of(tmp_path), never)
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (-5, "less than a minute"),
        (59, "less than a minute"),
        (60, "1 minute"),
        (23 * 60 + 5, "23 minutes"),
        (3600, "1 hour 0 minutes"),
        (2 * 86400 + 3600, "2 days 1 hour"),
    ],
)
def test_lengths_of_time(seconds: float, said: str) -> None:
    assert spell(seconds) == said


def test_since_when() -> None:
    now = time.mktime((2026, 11, 22, 14, 25, 0, 0, 0, -1))
    today = Holder(1, "alice", time.mktime((2026, 11, 22, 14, 2, 0, 0, 0, -1)), "restore")
    before = Holder(1, "alice", time.mktime((2026, 11, 21, 14, 2, 0, 0, 0, -1)), "restore")
    assert today.duration(now) == "14:02, 23 minutes"
    assert before.duration(now) == "2026-11-21 14:02, 1 day 0 hours"
