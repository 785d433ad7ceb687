"""`zrwizard preview` as processes of their own, on real shells with stand-ins for zfs.

They wait for quiet consoles most of their time, so some of them run at a time, each with a machine
of its own; the tests look at how they end.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.bridge import Bridge
from tests.preview.standin import Machine
from zrwizard.cli import main
from zrwizard.run.events import Exit

WAIT = 240
AT_ONCE = 6
REPOSITORY = Path(__file__).parent.parent
HOSTILE = ["+\tF\tMOUNT/n\\0012\\0033[31m\\0040->\\0040x", "-\tF\tMOUNT/\\0377\\0134"]
CHANGES = [*HOSTILE, "R\t/\tMOUNT/old\tMOUNT/new", "M\tF\tMOUNT/linked\t(+1)"]
PATHS = [b"n\n\x1b[31m -> x", b"\xff\\", b"old", b"linked"]
MANY = [f"+\tF\tMOUNT/f{number}" for number in range(20_000)]


@dataclass
class Case:
    """A command that was started; `machines` are those at its consoles."""

    process: subprocess.Popen[bytes]
    machines: list[Machine]
    bridges: list[Bridge]
    known: tuple[int, bytes, str] | None = field(default=None)

    def read_until(self, text: bytes) -> None:
        """Read its output until `text` has come; what comes after is in `result`."""
        assert self.process.stdout is not None
        seen = b""
        while text not in seen:
            piece = os.read(self.process.stdout.fileno(), 65536)
            assert piece, seen
            seen += piece

    def result(self) -> tuple[int, bytes, str]:
        """Wait for its end; return its status, its output and its errors."""
        if self.known is None:
            out, err = self.process.communicate(timeout=WAIT)
            self.known = self.process.returncode, out, err.decode()
        status, out, said = self.known
        assert "Traceback" not in said
        assert "\x1b" not in said
        return status, out, said

    def records(self, kind: str) -> list[dict[str, Any]]:
        """The objects of that type."""
        found = [json.loads(line) for line in self.result()[1].splitlines()]
        return [one for one in found if one["type"] == kind]

    @property
    def machine(self) -> Machine:
        return self.machines[0]


@dataclass
class Cases:
    home: Path
    playing: dict[str, Future[Case]]

    def __getitem__(self, name: str) -> Case:
        return self.playing[name].result(WAIT)


def small(machine: Machine, where: Path) -> None:
    """A tree with changes in one dataset, one that is not mounted, and one that is at rest."""
    home = where / "home"
    (home / ".zfs" / "snapshot" / "a").mkdir(parents=True)
    (home / "file").write_text("new\n")
    (home / ".zfs" / "snapshot" / "a" / "file").write_text("old\n")
    machine.dataset("tank", "a", "b", mount=str(where / "tank"), written=0)
    machine.dataset("tank/home", "a", "b", mount=str(home))
    machine.dataset("tank/rest", "a", "b", canmount="off", written=0)
    machine.dataset("tank/un mounted", "a", "b")
    machine.tell(
        diffs={
            "tank/home@a tank/home@b": CHANGES,
            "tank/un mounted@a tank/un mounted@b": ["+\tF\tMOUNT/there"],
        }
    )


def slow(machine: Machine, where: Path) -> None:
    """A list that begins, and then takes its time."""
    machine.dataset("tank", "a", "b", mount=str(where))
    machine.tell(diffs={"tank@a tank@b": ["+\tF\tMOUNT/first", "sleep 70"]})


def large(machine: Machine, where: Path) -> None:
    """More than a pipe holds."""
    machine.dataset("tank", "a", "b", mount=str(where))
    machine.tell(diffs={"tank@a tank@b": MANY})


def broken(machine: Machine, where: Path) -> None:
    """A list that breaks off."""
    machine.dataset("tank", "a", "b", mount=str(where))
    lines = ["+\tF\tMOUNT/first", "fail Unable to obtain diffs: Input/output error"]
    machine.tell(diffs={"tank@a tank@b": lines})


def ahead(machine: Machine, where: Path) -> None:
    """A live machine: a newer snapshot, and a dataset that was never sent."""
    machine.dataset("tank", "a", "b", "c", mount=str(where))
    machine.dataset("tank/only", "a")
    machine.share("tank", "shared")


def behind(machine: Machine, where: Path) -> None:
    """Its copy, under another name."""
    machine.dataset("bak/tank", "z", "a", "b", mount=str(where))
    machine.share("bak/tank", "shared")


ONE = ["--tree", "tank", "--from", "a", "--to", "b", "--sizes", "0"]
Build = Callable[[Machine, Path], None]
WANTED: dict[str, tuple[Build, list[str]]] = {
    "lines": (small, ["--tree", "tank/home", *ONE[2:]]),
    "json": (small, [*ONE, "-r", "--json"]),
    "agreed": (small, [*ONE, "-r", "--json", "--agree-mount"]),
    "same": (small, [*ONE]),
    "newest": (small, ["--from", "tank/rest@a", "--no-estimates"]),
    "now": (small, [*ONE[:4], "--to", "now", "--agree-temporary-snapshot", "--json"]),
    "list": (small, ["--tree", "tank", "--list", "--json"]),
    "nothing": (small, ["--tree", "tank", "--from", "no-such"]),
    "nobody": (small, ["--tree", "no/such", "--list"]),
    "broken": (broken, [*ONE, "--json"]),
    "limit": (slow, [*ONE, "--json", "--limit", "8"]),
    "stopped": (slow, [*ONE, "--json"]),
    "interrupted": (slow, [*ONE]),
    "cut": (slow, [*ONE, "--json", "--limit", "15"]),
    "closed": (large, [*ONE, "--json"]),
    "beside": (small, ["--tree", "tank", "--from", "a", "--get", "HOME/file", "--beside"]),
    "beside-none": (small, ["--tree", "tank/home", "--from", "a", "--get", "no", "--beside"]),
}
for form in ("csv", "markdown"):
    WANTED[form] = (small, ["--tree", "tank/home", *ONE[2:], f"--{form}"])
    WANTED[f"{form}-partial"] = (broken, [*ONE, f"--{form}"])
TWO: dict[str, list[str]] = {
    "two": ["--tree", "tank", "--there-tree", "bak/tank", "--json"],
    "two-lines": ["--tree", "tank", "--there-tree", "bak/tank"],
}


REHEARSED = {
    "rehearsed": ["rehearse", "preview", "--headless", "--json"],
    "fetched": [
        *("preview", "--console", "rehearsal://preview", "--tree", "zroot/home/han"),
        *("--from", "2025-08-08", "--get", "todo.txt", "--output", "HOME/todo.txt"),
    ],
}


def stop(number: int) -> Callable[[Case], None]:
    """Return what sends the signal `number` when the first change was told."""

    def work(case: Case) -> None:
        case.read_until(b"first")
        case.process.send_signal(number)

    return work


def cut(case: Case) -> None:
    """Cut the line for good when the first change was told."""
    case.read_until(b"first")
    case.bridges[0].cut(refuse=True)


def leave(case: Case) -> None:
    """Go away as the reader of its output."""
    case.read_until(b"begin")
    assert case.process.stdout is not None
    assert case.process.stderr is not None
    case.process.stdout.close()
    said = case.process.stderr.read().decode()
    case.known = case.process.wait(WAIT), b"", said


MEANWHILE: dict[str, Callable[[Case], None]] = {
    "stopped": stop(signal.SIGTERM),
    "interrupted": stop(signal.SIGINT),
    "cut": cut,
    "closed": leave,
}


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cases]:
    home = tmp_path_factory.mktemp("preview")
    two = ["--here", "URL", "--there", "URL"]
    same = ["--here", "URL", "--there", "SAME", "--tree", "tank/home"]
    wanted: dict[str, tuple[list[Build], list[str]]] = {
        **{name: ([build], ["--console", "URL", *argv]) for name, (build, argv) in WANTED.items()},
        **{name: ([ahead, behind], [*two, *argv]) for name, argv in TWO.items()},
        "same-machine": ([small], same),
    }
    with ExitStack() as stack:

        def play(name: str) -> Case:
            if name in REHEARSED:
                (home / name).mkdir()
                words = [word.replace("HOME", str(home / name)) for word in REHEARSED[name]]
                case = Case(spawned(stack, home / name, words), [], [])
            else:
                case = started(stack, home / name, *wanted[name])
            MEANWHILE.get(name, lambda _case: None)(case)
            case.result()
            return case

        pool = stack.enter_context(ThreadPoolExecutor(AT_ONCE))
        names = [*MEANWHILE, *REHEARSED, *(name for name in wanted if name not in MEANWHILE)]
        yield Cases(home, {name: pool.submit(play, name) for name in names})
        pool.shutdown(cancel_futures=True)


def started(
    stack: ExitStack,
    home: Path,
    builds: list[Build],
    argv: list[str],
) -> Case:
    """Start a command; each URL in `argv` becomes the console of a machine of its own."""
    home.mkdir()
    machines, bridges, words = list[Machine](), list[Bridge](), list[str]()
    for word in argv:
        if word == "URL":
            place = home / str(len(machines))
            place.mkdir()
            machines.append(Machine(place / "machine"))
            builds[len(bridges)](machines[-1], place)
            bridges.append(stack.enter_context(machines[-1].bridge()))
        known = word in ("URL", "SAME")
        words.append(bridges[-1].url if known else word.replace("HOME", str(home / "0" / "home")))
    return Case(spawned(stack, home, ["preview", *words]), machines, bridges)


def spawned(stack: ExitStack, home: Path, words: list[str]) -> subprocess.Popen[bytes]:
    """Start `zrwizard` with `words`, its state below `home`."""
    process = subprocess.Popen(
        [sys.executable, "-m", "zrwizard", *words],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=REPOSITORY,
        env={**os.environ, "XDG_STATE_HOME": str(home / "state"), "LC_ALL": "C.UTF-8"},
    )
    stack.callback(process.kill)
    return process


# --- a comparison ---------------------------------------------------------------------------------


def test_lines_for_people_move_no_cursor(cases: Cases) -> None:
    status, out, err = cases["lines"].result()
    text = out.decode()
    root = cases.home / "lines" / "0" / "home"
    assert status == 1
    assert f"  + F {root}/n\\x0a\\x1b[31m -> x\n" in text
    assert f"  - F {root}/\\xff\\\n" in text
    assert f"  R / {root}/old -> {root}/new\n" in text
    assert f"  M F {root}/linked (+1 hard links)\n" in text
    assert "\x1b" not in text
    assert text.endswith("\n4 changes\n")
    assert err == ""


def test_one_object_for_each_changed_path_exactly(cases: Cases) -> None:
    case = cases["json"]
    status, _, err = case.result()
    changes = case.records("change")
    root = os.fsencode(cases.home / "json" / "0" / "home")
    assert [exact(one) for one in changes] == [root + b"/" + path for path in PATHS]
    assert [one["kind"] for one in changes] == ["added", "removed", "renamed", "modified"]
    assert [one["object"] for one in changes] == ["file", "file", "directory", "file"]
    assert changes[2]["new_path"] == f"{root.decode()}/new"
    assert changes[3]["links"] == 1
    assert {one["time"] for one in changes} == {"2023-11-14T22:13:20.000000001Z"}
    # One dataset was not mounted, and nobody agreed to mount it: so not all is known.
    assert status == 2
    assert case.machine.log == []
    datasets = {one["dataset"]: one["coverage"] for one in case.records("dataset")}
    assert datasets == {
        "tank": "whole",
        "tank/home": "whole",
        "tank/rest": "whole",
        "tank/un mounted": "none",
    }
    [end] = case.records("end")
    assert (end["exit"], end["partial"], end["changes"]) == (2, True, 4)
    assert "tank/un mounted" in end["reason"]
    assert "--agree-mount" in err
    assert "mount -t zfs -o ro" in err


def exact(record: dict[str, Any]) -> bytes:
    if "path_base64" in record:
        return base64.b64decode(record["path_base64"])
    return os.fsencode(record["path"])


@pytest.mark.parametrize("form", ["csv", "markdown"])
def test_tables_and_reports_come_at_the_end(cases: Cases, form: str) -> None:
    status, out, err = cases[form].result()
    assert (status, err) == (1, "")
    assert b"\x1b" not in out
    assert b"/linked" in out
    assert b"artial" not in out
    status, out, err = cases[f"{form}-partial"].result()
    assert status == 2
    assert b"/first" in out
    assert b"artial" in out
    assert "partial" in err


def test_an_agreed_mount_is_shown_done_and_undone(cases: Cases) -> None:
    case = cases["agreed"]
    status, _, err = case.result()
    assert status == 1
    assert len(case.records("change")) == 5
    assert case.records("end")[0]["partial"] is False
    assert [row.partition(" ")[0] for row in case.machine.log] == ["mount", "umount"]
    assert re.search(r"\$ umask 077 && mkdir .* mount -t zfs -o ro 'tank/un mounted' /tmp/zr-", err)
    assert re.search(r"\$ umount /tmp/zr-", err)
    assert "tank/un mounted" not in " ".join(case.machine.mounts)
    [home] = {found for found in re.findall(r"/tmp/zr-[0-9a-f]+", err)}
    assert not Path(home).exists()


def test_no_differences_is_0(cases: Cases) -> None:
    status, out, err = cases["same"].result()
    assert (status, err) == (0, "")
    assert out.decode().endswith("\n0 changes\n")


def test_the_newest_snapshot_is_meant_unless_said_otherwise(cases: Cases) -> None:
    status, out, err = cases["newest"].result()
    assert (status, err) == (0, "")
    assert "tank/rest: from a to b" in out.decode()


def test_the_live_files_with_the_operators_word(cases: Cases) -> None:
    case = cases["now"]
    assert case.result()[0] == 0
    [begin] = case.records("begin")
    assert (begin["newer"], begin["datasets"][0]["newer"]) == (None, "tank")


def test_the_moments_are_listed(cases: Cases) -> None:
    case = cases["list"]
    assert case.result()[0] == 0
    moments = case.records("moment")
    assert [(one["tag"], one["datasets"], one["of"]) for one in moments] == [
        ("a", 4, 4),
        ("b", 4, 4),
    ]
    assert moments[0]["creation"] == 1_700_003_600


@pytest.mark.parametrize(("name", "said"), [("nothing", "@no-such"), ("nobody", "no/such")])
def test_what_is_not_there_is_a_sentence(cases: Cases, name: str, said: str) -> None:
    status, out, err = cases[name].result()
    assert (status, out) == (Exit.USAGE, b"")
    assert said in err


# --- what breaks off ------------------------------------------------------------------------------


def test_a_list_that_breaks_off_is_2_and_says_so(cases: Cases) -> None:
    case = cases["broken"]
    status, _, err = case.result()
    assert status == 2
    assert len(case.records("change")) == 1
    assert case.records("dataset")[0]["coverage"] == "partial"
    assert case.records("end")[0]["partial"] is True
    assert "partial" in err


def test_a_time_limit_leaves_a_partial_list(cases: Cases) -> None:
    case = cases["limit"]
    status, _, err = case.result()
    assert status == 2
    assert len(case.records("change")) == 1
    assert case.records("dataset")[0]["coverage"] == "partial"
    assert "time limit" in err
    assert handed_back(case)


@pytest.mark.parametrize("name", ["stopped", "interrupted"])
def test_a_signal_leaves_a_partial_list(cases: Cases, name: str) -> None:
    case = cases[name]
    status, rest, err = case.result()
    assert status == Exit.INTERRUPTED
    assert "Stopped by the operator" in err
    if name == "stopped":
        assert json.loads(rest.splitlines()[-1])["exit"] == Exit.INTERRUPTED
    else:
        assert rest.decode().endswith("\n1 change; this is not all\n")
    assert handed_back(case)


def test_a_line_that_is_cut_for_good_is_4(cases: Cases) -> None:
    status, rest, err = cases["cut"].result()
    assert status == Exit.UNREACHABLE
    assert json.loads(rest.splitlines()[-1])["partial"] is True
    assert "partial" in err


def test_a_reader_that_leaves_ends_it(cases: Cases) -> None:
    case = cases["closed"]
    assert case.result() == (128 + signal.SIGPIPE, b"", "")
    assert handed_back(case)


def handed_back(case: Case) -> bool:
    """Whether the shell on the console echoes what is typed, and does it; nothing is left."""
    shell = case.bridges[0].shell
    time.sleep(0.1)
    shell.sendline("echo al''ive; stty -a")
    return bool(shell.expect([r"alive\r\n.*[^-]echo ", "never"], timeout=10) == 0)


# --- one old version ------------------------------------------------------------------------------


def test_an_old_version_beside_the_present_one(cases: Cases) -> None:
    status, out, err = cases["beside"].result()
    root = cases.home / "beside" / "0" / "home"
    assert (status, out) == (0, b"")
    assert (root / "file.zr-a").read_text() == "old\n"
    assert (root / "file").read_text() == "new\n"
    assert "cp -p" in err
    assert "proven by cmp" in err


def test_no_such_old_version(cases: Cases) -> None:
    status, _, err = cases["beside-none"].result()
    assert status == Exit.REFUSED
    assert "no such regular file" in err


# --- two machines ---------------------------------------------------------------------------------


def test_what_is_new_against_the_copy(cases: Cases) -> None:
    case = cases["two"]
    status, _, err = case.result()
    assert (status, err) == (1, "")
    known = {one["here"]: one for one in case.records("relation")}
    assert known["tank"]["there"] == "bak/tank"
    assert known["tank"]["common"] == {"here": "tank@b", "there": "bak/tank@b"}
    assert [one["name"] for one in known["tank"]["only_here"]] == ["tank@c"]
    assert [one["name"] for one in known["tank"]["only_there"]] == ["bak/tank@z"]
    assert known["tank"]["bytes"] == 624
    assert known["tank/only"]["there"] is None
    assert all(machine.log == [] for machine in case.machines)


def test_what_is_new_in_lines(cases: Cases) -> None:
    status, out, _ = cases["two-lines"].result()
    text = out.decode()
    assert status == 1
    assert "tank = bak/tank\n  newest common: tank@b (bak/tank@b there)\n" in text
    assert "  only here: 1 snapshot: c\n" in text
    assert "  the next send: about 624 B\n" in text
    assert "tank/only: only here\n" in text


def test_a_machine_is_its_own_copy(cases: Cases) -> None:
    status, out, err = cases["same-machine"].result()
    assert (status, err) == (0, "")
    assert "  nothing new\n" in out.decode()


def test_nothing_but_looks_was_asked(cases: Cases) -> None:
    for name in cases.playing:
        for machine in cases[name].machines:
            assert not (machine.here / "refused").exists(), name
            assert [row for row in machine.mounts if "/tmp/zr-" in row] == [], name


# --- the simulated host ---------------------------------------------------------------------------


def test_the_rehearsal_has_one_object_for_each_changed_path(cases: Cases) -> None:
    case = cases["rehearsed"]
    status, _, err = case.result()
    assert (status, err) == (1, "")
    changes = case.records("change")
    paths = [(exact(one), one["kind"]) for one in changes]
    assert len(set(paths)) == len(paths) == case.records("end")[0]["changes"] > 40
    assert {one["kind"] for one in changes} == {"added", "removed", "modified", "renamed"}
    assert {b"/home/han/tab\there.txt", b"/home/han/new\nline.txt", b"/home/han/a -> b"} <= {
        path for path, _ in paths
    }
    fates = {one["dataset"]: one["fate"] for one in case.records("dataset")}
    assert fates["zroot/home/eve"] == "created"
    assert fates["zroot/home/lucas"] == "renamed"
    assert case.records("size")


def test_an_old_version_comes_to_this_computer(cases: Cases) -> None:
    status, out, err = cases["fetched"].result()
    assert (status, out) == (0, b"")
    to = cases.home / "fetched" / "todo.txt"
    assert to.read_text() == "buy disks\ncall the bank\n"
    assert to.stat().st_mode & 0o777 == 0o600
    assert hashlib.sha256(to.read_bytes()).hexdigest() in err


# --- without a machine ----------------------------------------------------------------------------


URL = "telnet://127.0.0.1:9"


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setattr("sys.stdin", io.StringIO())


@pytest.mark.parametrize(
    ("argv", "code", "said"),
    [
        ([], Exit.USAGE, "--console is missing"),
        (["--console", URL], Exit.USAGE, "--tree is missing"),
        (["--console", URL, "--tree", "tank"], Exit.USAGE, "--from is missing"),
        (["--console", "http://x", "--list"], Exit.USAGE, "not a console address"),
        (["--console", "rehearsal://nosuch", "--list"], Exit.USAGE, "no rehearsal called"),
        (["--console", URL, "--tree", "a", "--from", "b@c"], Exit.USAGE, "the tree is a"),
        (["--console", URL, "--tree", "a", "--get", "f"], Exit.USAGE, "--get needs a place"),
        (["--console", URL, "--output", "f"], Exit.USAGE, "need --get"),
        (["--console", URL, "--list", "--from", "a"], Exit.USAGE, "--list"),
        (["--console", URL, "--list", "--csv"], Exit.USAGE, "--csv"),
        (["--there-tree", "x"], Exit.USAGE, "belongs to"),
        (["--here", URL], Exit.USAGE, "belong together"),
        (["--here", URL, "--there", URL], Exit.USAGE, "--tree is missing"),
        (["--here", URL, "--there", URL, "--console", URL], Exit.USAGE, "one machine"),
        (["--here", URL, "--there", URL, "--tree", "a", "--from", "b"], Exit.USAGE, "no --from"),
        (["--console", URL, "--secret", "server=env:PATH"], Exit.USAGE, "no such secret"),
        (["--console", URL, "--secret", "console=env:ZR_NO"], Exit.USAGE, "no variable ZR_NO"),
        (
            ["--console", URL, "--tree", "a", "--from", "b", "--to", "now"],
            Exit.REFUSED,
            "--agree-temporary-snapshot",
        ),
        (["--console", URL, "--tree", "a", "--from", "b"], Exit.UNREACHABLE, "nobody listens"),
    ],
)
@pytest.mark.usefixtures("alone")
def test_what_is_wrong_is_a_sentence(
    argv: list[str], code: Exit, said: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["preview", *argv]) == code
    out, err = capfd.readouterr()
    assert out == ""
    assert said in err
    if "--csv" not in argv:
        assert main(["preview", "--json", *argv]) == code
        assert json.loads(capfd.readouterr().out)["exit"] == code


@pytest.mark.parametrize(
    "argv", [["--json", "--csv"], ["--limit", "0"], ["--sizes", "-1"], ["--limit", "nan"]]
)
def test_wrong_usage(argv: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["preview", *argv])
    assert caught.value.code == Exit.USAGE
