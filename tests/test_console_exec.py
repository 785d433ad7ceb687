"""`zrwizard console URL --exec` and its kin, as processes of their own, on real shells."""

from __future__ import annotations

import io
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.bridge import Bridge
from zrwizard.cli import main
from zrwizard.rehearsal import Rehearsal, Scenario, Start
from zrwizard.run.events import Exit

REPOSITORY = Path(__file__).parent.parent
PASSWORD = "correct-horse-9"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path


def spawn(*argv: str, **more: object) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "zrwizard", "console", *argv],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=REPOSITORY,
        **more,
    )


def run(*argv: str) -> tuple[int, bytes, str]:
    process = spawn(*argv)
    out, err = process.communicate(timeout=60)
    return process.returncode, out, err.decode()


def left_behind(log: str) -> list[Path]:
    """Return the private directories that a transcript names and that are still there."""
    found = {Path(name) for name in re.findall(r"/tmp/zr-[0-9a-f]+", log)}
    assert found
    return [path for path in found if path.exists()]


def test_the_bytes_are_exact_and_the_console_is_handed_back(home: Path) -> None:
    data = random.Random(3).randbytes(3000) + bytes(range(256)) + b"\xff\xc3(\x00 no newline"
    (home / "data").write_bytes(data)
    command = f"cat {home / 'data'}; printf 'e\\377\\000\\n' >&2; exit 77"
    with Bridge() as bridge:
        process = spawn(bridge.url, "--log", str(home / "log"), "--exec", command)
        assert process.communicate(timeout=60) == (data, b"e\xff\x00\n")
        assert process.returncode == 77
        bridge.shell.sendline("echo al''ive; stty -a")
        bridge.shell.expect("alive\r\n.*[^-]echo ", timeout=5)
    log = (home / "log").read_text()
    assert left_behind(log) == []
    assert (home / "log").stat().st_mode & 0o777 == 0o600
    assert not list((home / "state" / "zrwizard" / "locks").iterdir())


def test_every_status_and_nothing_else_is_said(home: Path) -> None:
    """Four consoles at once; a command's own 4 has no message, as a console's has."""
    wanted = (0, 1, 4, 255)
    bridges = [Bridge() for _ in wanted]
    try:
        processes = [
            spawn(bridge.url, "--exec", f"cat; echo err >&2; exit {status}")
            for bridge, status in zip(bridges, wanted, strict=True)
        ]
        for process, status in zip(processes, wanted, strict=True):
            assert process.communicate(timeout=60) == (b"", b"err\n")
            assert process.returncode == status
    finally:
        for bridge in bridges:
            bridge.__exit__()


def test_a_stream_is_exact_and_a_reader_that_leaves_stops_it(home: Path) -> None:
    data = random.Random(4).randbytes(200_000)
    (home / "data").write_bytes(data)
    with Bridge() as bridge:
        status, out, err = run(
            bridge.url, "--exec", f"cat {home / 'data'}; echo e >&2; exit 9", "--stream"
        )
        assert (status, out, err) == (9, data, "e\n")
        process = spawn(bridge.url, "--exec", "yes", "--stream")
        assert process.stdout is not None
        assert process.stdout.read(2) == b"y\n"
        process.stdout.close()
        process.wait(30)
        assert process.stderr is not None
        assert process.stderr.read() == b""
        assert process.returncode == 128 + signal.SIGPIPE
        bridge.shell.sendline("echo al''ive")
        bridge.shell.expect_exact("alive\r\n", timeout=5)


def test_a_closed_stdout_is_no_traceback(home: Path) -> None:
    with Bridge() as bridge:
        process = spawn(bridge.url, "--exec", "seq 1 5000; exit 3")
        assert process.stdout is not None
        process.stdout.close()
        process.wait(30)
        assert process.stderr is not None
        assert process.stderr.read() == b""
        assert process.returncode == 3


def test_files_go_there_and_come_back(home: Path) -> None:
    data = random.Random(5).randbytes(20_000)
    (home / "here").write_bytes(data)
    (home / "here").chmod(0o640)
    (home / "back").mkdir()
    there = home / "there it's"
    with Bridge() as bridge:
        assert run(bridge.url, "--put", str(home / "here"), str(there)) == (0, b"", "")
        assert there.read_bytes() == data
        assert there.stat().st_mode & 0o777 == 0o640
        assert run(bridge.url, "--get", str(there), str(home / "back")) == (0, b"", "")
        assert (home / "back" / there.name).read_bytes() == data
        status, out, err = run(bridge.url, "--get", "/no/such", str(home / "back"))
        assert (status, out) == (Exit.FAILED, b"")
        assert "/no/such" in err


def test_stopped_by_the_operator(home: Path) -> None:
    with Bridge() as bridge:
        mark = home / "began"
        process = spawn(bridge.url, "--exec", f"touch {mark}; sleep 61", "--log", f"{home}/log")
        until = time.monotonic() + 20
        while not mark.exists() and time.monotonic() < until:
            time.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=30)
        assert (process.returncode, out) == (Exit.INTERRUPTED, b"")
        assert err == b"zrwizard: Stopped by the operator.\n"
        bridge.shell.sendline("echo al''ive")
        bridge.shell.expect_exact("alive\r\n", timeout=5)
    assert left_behind((home / "log").read_text()) == []


def test_a_line_that_is_cut_is_4_with_a_message(home: Path) -> None:
    with Bridge() as bridge:
        mark = home / "began"
        process = spawn(bridge.url, "--exec", f"touch {mark}; sleep 30", "--timeout", "2")
        until = time.monotonic() + 20
        while not mark.exists() and time.monotonic() < until:
            time.sleep(0.05)
        bridge.cut(refuse=True)
        out, err = process.communicate(timeout=30)
        assert (process.returncode, out) == (Exit.UNREACHABLE, b"")
        assert "line" in err.decode()
        assert "Traceback" not in err.decode()


def test_a_line_that_comes_back_is_gone_on_with(home: Path) -> None:
    with Bridge() as bridge:
        mark = home / "began"
        process = spawn(bridge.url, "--exec", f"touch {mark}; sleep 2; echo once; exit 5")
        until = time.monotonic() + 20
        while not mark.exists() and time.monotonic() < until:
            time.sleep(0.05)
        bridge.cut()
        assert process.communicate(timeout=60) == (b"once\n", b"")
        assert process.returncode == 5


def test_no_end_in_time_is_4(home: Path) -> None:
    with Bridge() as bridge:
        status, out, err = run(bridge.url, "--exec", "sleep 33", "--timeout", "1")
    assert (status, out) == (Exit.UNREACHABLE, b"")
    assert "No end within 1 s" in err


def test_a_password_at_the_login_reaches_no_file(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ZR_TEST_PASSWORD", PASSWORD)
    scenario = Scenario(
        start=Start.PASSWORD_LOGIN, power_on_at_connect=False, root_password=PASSWORD
    )
    with Rehearsal(speed=200, scenario=scenario) as made:
        argv = [made.url, "--exec", "uname -s; exit 3", "-v", "--log", str(home / "log")]
        status, out, err = run(*argv, "--secret", "console=env:ZR_TEST_PASSWORD")
        assert (status, out) == (3, b"FreeBSD\n")
        assert "password prompt" in err
    assert "<secret:console>" in (home / "log").read_text()
    for path in home.rglob("*"):
        if path.is_file():
            assert PASSWORD.encode() not in path.read_bytes(), path
    assert PASSWORD not in err


def test_no_password(home: Path) -> None:
    scenario = Scenario(start=Start.PASSWORD_LOGIN, power_on_at_connect=False)
    with Rehearsal(speed=200, scenario=scenario) as made:
        status, out, err = run(made.url, "--exec", "true")
    assert (status, out) == (Exit.UNREACHABLE, b"")
    assert "--secret console=" in err


# --- without a machine -------------------------------------------------------------------------


def test_nobody_there(capfd: pytest.CaptureFixture[str]) -> None:
    with Bridge() as bridge:
        url = bridge.url
    assert main(["console", url, "--exec", "true"]) == Exit.UNREACHABLE
    out, err = capfd.readouterr()
    assert out == ""
    assert "nobody listens" in err


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["http://x", "--exec", "true"], "is not a console address"),
        (["telnet://h", "--exec", "true"], "has no port"),
        (["rehearsal://nosuch", "--exec", "true"], "there is no rehearsal called"),
        (["local:", "--exec", "  "], "no command"),
        (["local:", "--stream"], "belong to --exec"),
        (["local:", "--timeout", "3"], "belong to --exec"),
        (["local:"], "Standard input is no terminal"),
        (["local:", "--exec", "true", "--secret", "server=env:PATH"], "no such secret"),
        (["local:", "--exec", "true", "--secret", "console=env:ZR_NO"], "no variable ZR_NO"),
        (["local:", "--put", "/no/such", "/x"], "cannot be read"),
        (["local:", "--exec", "true", "--log", "/dev/null"], "is there already"),
        (["local:", "--exec", "true", "--log", "/no/such/log"], "cannot be written"),
    ],
)
def test_usage_is_told_in_a_sentence(
    argv: list[str],
    said: str,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO())
    assert main(["console", *argv]) == Exit.USAGE
    out, err = capfd.readouterr()
    assert out == ""
    assert said in err
    assert "Traceback" not in err


@pytest.mark.parametrize(
    "argv", [[], ["local:", "--timeout", "-1"], ["local:", "--exec", "a", "--get", "b", "c"]]
)
def test_wrong_usage(argv: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["console", *argv])
    assert caught.value.code == Exit.USAGE
