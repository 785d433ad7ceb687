"""`zrwizard console URL --exec` and its kin, as processes of their own, on real shells.

They wait for quiet consoles most of their time, so all of them are started at once, each with a
console of its own; the tests look at how they end.
"""

from __future__ import annotations

import io
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.bridge import Bridge
from zrwizard.cli import main
from zrwizard.rehearsal import Rehearsal, Scenario, Start
from zrwizard.run.events import Exit

REPOSITORY = Path(__file__).parent.parent
PASSWORD = "correct-horse-9"
STATUSES = (0, 1, 4, 255)
# Its time must not run while other tests do.
LATER = "cut"
SMALL = random.Random(3).randbytes(3000) + bytes(range(256)) + b"\xff\xc3(\x00 no newline"
LARGE = random.Random(4).randbytes(200_000)


@dataclass
class Case:
    """A command that was started on a console of its own."""

    process: subprocess.Popen[bytes]
    bridge: Bridge | None = None

    def result(self) -> tuple[int, bytes, bytes]:
        """Wait for its end; return its status, its output and its errors."""
        out, err = self.process.communicate(timeout=60)
        return self.process.returncode, out, err

    def handed_back(self) -> bool:
        """Whether the shell on the console echoes what is typed, and does it."""
        assert self.bridge is not None
        self.bridge.shell.sendline("echo al''ive; stty -a")
        return self.bridge.shell.expect([r"alive\r\n.*[^-]echo ", "never"], timeout=5) == 0


@dataclass
class Cases:
    home: Path
    known: dict[str, Case]
    start: Callable[[str], Case]

    def __getitem__(self, name: str) -> Case:
        return self.known[name]

    def began(self, name: str) -> None:
        """Wait until the command of that name runs on the target; it touches a file."""
        until = time.monotonic() + 30
        while not (self.home / f"began-{name}").exists():
            assert time.monotonic() < until
            time.sleep(0.02)

    def log(self, name: str) -> str:
        return (self.home / f"{name}.cast").read_text()


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cases]:
    home = tmp_path_factory.mktemp("exec")
    (home / "small").write_bytes(SMALL)
    (home / "large").write_bytes(LARGE)
    (home / "local").write_bytes(SMALL)
    (home / "local").chmod(0o640)
    (home / "back").mkdir()
    touch = f"touch {home}/began-"
    wanted: dict[str, list[str]] = {
        f"status-{status}": ["--exec", f"cat; echo err >&2; exit {status}"] for status in STATUSES
    }
    wanted |= {
        "bytes": ["--exec", f"cat {home}/small; printf 'e\\377\\000\\n' >&2; exit 77"],
        "stream": ["--exec", f"cat {home}/large; echo e >&2; exit 9", "--stream"],
        "endless": ["--exec", "yes", "--stream"],
        "closed": ["--exec", "seq 1 5000; exit 3"],
        "put": ["--put", f"{home}/local", f"{home}/there it's"],
        "get": ["--get", f"{home}/small", f"{home}/back"],
        "get-nothing": ["--get", "/no/such", f"{home}/back"],
        "stopped": ["--exec", f"{touch}stopped; sleep 61"],
        "late": ["--exec", "sleep 33", "--timeout", "1"],
        "cut": ["--exec", f"{touch}cut; sleep 60", "--timeout", "10"],
        "again": ["--exec", f"{touch}again; sleep 2; echo once; exit 5"],
    }
    environ = {**os.environ, "XDG_STATE_HOME": str(home / "state"), "ZR_TEST_PASSWORD": PASSWORD}

    def spawn(name: str, url: str, *argv: str) -> subprocess.Popen[bytes]:
        log = f"--log={home}/{name}.cast"
        return subprocess.Popen(
            [sys.executable, "-m", "zrwizard", "console", url, log, *argv],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=REPOSITORY,
            env=environ,
        )

    with ExitStack() as stack:
        known: dict[str, Case] = {}

        def start(name: str) -> Case:
            bridge = stack.enter_context(Bridge())
            known[name] = Case(spawn(name, bridge.url, *wanted[name]), bridge)
            return known[name]

        for name in wanted:
            if name != LATER:
                start(name)
        scenario = Scenario(
            start=Start.PASSWORD_LOGIN, power_on_at_connect=False, root_password=PASSWORD
        )
        made = stack.enter_context(Rehearsal(speed=200, scenario=scenario))
        argv = ["--exec", "uname -s; exit 3", "-v", "--secret", "console=env:ZR_TEST_PASSWORD"]
        known["login"] = Case(spawn("login", made.url, *argv))
        yield Cases(home, known, start)
        for case in known.values():
            case.process.kill()
            case.process.communicate()


def test_the_bytes_are_exact_and_the_console_is_handed_back(cases: Cases) -> None:
    assert cases["bytes"].result() == (77, SMALL, b"e\xff\x00\n")
    assert cases["bytes"].handed_back()
    assert (cases.home / "bytes.cast").stat().st_mode & 0o777 == 0o600
    left = set(re.findall(r"/tmp/zr-[0-9a-f]+", cases.log("bytes")))
    assert left
    assert not [path for path in left if Path(path).exists()]


@pytest.mark.parametrize("status", STATUSES)
def test_every_status_and_nothing_else_is_said(cases: Cases, status: int) -> None:
    """A command's own 4 has no message, as a console's has; its standard input is empty."""
    assert cases[f"status-{status}"].result() == (status, b"", b"err\n")


def test_a_stream_is_exact(cases: Cases) -> None:
    assert cases["stream"].result() == (9, LARGE, b"e\n")


def test_a_reader_that_leaves_stops_a_stream(cases: Cases) -> None:
    process = cases["endless"].process
    assert process.stdout is not None
    assert process.stderr is not None
    assert process.stdout.read(2) == b"y\n"
    process.stdout.close()
    assert process.wait(30) == 128 + signal.SIGPIPE
    assert process.stderr.read() == b""
    assert cases["endless"].handed_back()


def test_a_closed_stdout_is_no_traceback(cases: Cases) -> None:
    process = cases["closed"].process
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    assert process.wait(30) == 3
    assert process.stderr.read() == b""


def test_files_go_there_and_come_back(cases: Cases) -> None:
    there = cases.home / "there it's"
    assert cases["put"].result() == (0, b"", b"")
    assert there.read_bytes() == SMALL
    assert there.stat().st_mode & 0o777 == 0o640
    assert cases["get"].result() == (0, b"", b"")
    assert (cases.home / "back" / "small").read_bytes() == SMALL
    status, out, err = cases["get-nothing"].result()
    assert (status, out) == (Exit.FAILED, b"")
    assert b"/no/such" in err


def test_stopped_by_the_operator(cases: Cases) -> None:
    cases.began("stopped")
    cases["stopped"].process.send_signal(signal.SIGTERM)
    said = b"zrwizard: Stopped by the operator.\n"
    assert cases["stopped"].result() == (Exit.INTERRUPTED, b"", said)
    assert cases["stopped"].handed_back()
    assert not [
        path
        for path in re.findall(r"/tmp/zr-[0-9a-f]+", cases.log("stopped"))
        if Path(path).exists()
    ]


def test_a_line_that_is_cut_is_4_with_a_message(cases: Cases) -> None:
    case = cases.start(LATER)
    cases.began(LATER)
    assert case.bridge is not None
    case.bridge.cut(refuse=True)
    status, out, err = case.result()
    assert (status, out) == (Exit.UNREACHABLE, b"")
    assert b"line ended" in err
    assert b"Traceback" not in err


def test_a_line_that_comes_back_is_gone_on_with(cases: Cases) -> None:
    cases.began("again")
    bridge = cases["again"].bridge
    assert bridge is not None
    bridge.cut()
    assert cases["again"].result() == (5, b"once\n", b"")


def test_no_end_in_time_is_4(cases: Cases) -> None:
    status, out, err = cases["late"].result()
    assert (status, out) == (Exit.UNREACHABLE, b"")
    assert b"No end within 1 s" in err


def test_a_password_at_the_login_reaches_no_file(cases: Cases) -> None:
    status, out, err = cases["login"].result()
    assert (status, out) == (3, b"FreeBSD\n")
    assert b"password prompt" in err
    assert PASSWORD.encode() not in err
    assert "<secret:console>" in cases.log("login")


def test_nothing_is_left_in_the_state_directory(cases: Cases) -> None:
    for case in cases.known.values():
        case.process.wait(60)
    kept = cases.home / "state" / "zrwizard"
    assert list((kept / "locks").iterdir()) == []
    for path in cases.home.rglob("*"):
        if path.is_file():
            assert PASSWORD.encode() not in path.read_bytes(), path


# --- without a machine -------------------------------------------------------------------------


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path


@pytest.mark.usefixtures("home")
def test_nobody_there(capfd: pytest.CaptureFixture[str]) -> None:
    with Bridge() as bridge:
        url = bridge.url
    assert main(["console", url, "--exec", "true"]) == Exit.UNREACHABLE
    out, err = capfd.readouterr()
    assert out == ""
    assert "nobody listens" in err


@pytest.mark.usefixtures("home")
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
