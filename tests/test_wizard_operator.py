"""The driver with an operator's side: looks there, acts, failures, cancel, kill -9, report."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from tests.serverflow import CONTENT, GIVEN, KEY, Bench, Keys, SmallServer, prepare
from zrwizard.console.errors import MachineLost
from zrwizard.flows.moves import Answers, EnterSecret, Question
from zrwizard.front import FAILED_KEY, RESUME_KEY
from zrwizard.headless import Headless, JsonLines
from zrwizard.plan import Plan, Problem
from zrwizard.run.events import Event, Exit, RunFinished
from zrwizard.secrets import Secret, Secrets
from zrwizard.wizard import Back, Confirmed, Wizard

WORD = "a passphrase of four words"


class Person:
    """Answers what is asked; `mends` is called when something did not work."""

    def __init__(self) -> None:
        self.asked: list[Question] = []
        self.problems: list[Problem | None] = []
        self.events: list[Event] = []
        self.mends = lambda: "stop"

    def ask(self, question: Question, problem: Problem | None) -> str | Secret | Back:
        self.asked.append(question)
        self.problems.append(problem)
        if isinstance(question, EnterSecret):
            return Secret(question.secret, WORD)
        if question.key == RESUME_KEY:
            return "continue"
        return self.mends() if question.key == FAILED_KEY else "knox"

    def review(self, plan: Plan) -> Confirmed | Back:
        return Confirmed(("WX11",))

    def emit(self, event: Event) -> None:
        self.events.append(event)


class Desk:
    """One target and one operator's side; each `run` is a process of its own, but for the kill."""

    def __init__(self, root: Path) -> None:
        self.root = root
        prepare(root)
        (root / "go").touch()
        self.cancel = threading.Event()
        self.sides: list[Keys] = []
        self.broken = ""
        self.person = Person()

    def run(self, *, interactive: bool = True, given: Answers | None = None) -> RunFinished:
        side = Keys(self.root)
        side.broken = self.broken
        self.sides.append(side)
        return Wizard(
            SmallServer(self.root),
            self.open,
            given or Answers(),
            Secrets(),
            self.person,
            self.root / "state",
            self.cancel,
            console="telnet://h:1",
            interactive=interactive,
            operator=side,
        ).run()

    def open(self, token: str) -> Bench:
        return Bench(self.root, token)

    def written(self) -> bytes:
        kept = [path for path in (self.root / "state").rglob("*") if path.is_file()]
        assert kept
        return b"".join(path.read_bytes() for path in kept)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def good(root: Path) -> None:
    """Everything is there once, and nothing twice."""
    assert (root / "da0").read_bytes() == KEY.reveal()
    assert (root / "made").read_text() == "made\n"
    assert (root / "keys" / "geli.metadata").read_bytes() == b"\0metadata\xff"
    assert (root / "ca.pub").read_text() == "ssh-ed25519 AAAA ca\n"
    assert (root / "rc.conf").read_text() == CONTENT
    assert (root / "ready").read_text() == "\n"


def test_from_the_first_question_to_the_report(desk: Desk) -> None:
    finished = desk.run()
    assert finished.exit == Exit.DONE, finished
    good(desk.root)
    (side,) = desk.sides
    assert side.looked == ["knox"]
    assert side.done == ["keys", "trial"]
    assert side.closed == 1
    assert [question.key for question in desk.person.asked] == [
        "server.name",
        "secret.ca-passphrase",
    ]
    report = Path(finished.report).read_text()
    assert "* Keys: The keys are there." in report
    assert "rc.conf.old" in report
    assert "* Trial: The line was cut, and the disk was closed." in report
    assert "escrow bundle" in report
    assert "ifconfig" not in report, "that is advice after a restore"
    for secret in (KEY.reveal().strip(), WORD.encode()):
        assert secret not in desk.written()


def test_keys_that_cannot_be_looked_at_may_be_mended(desk: Desk) -> None:
    desk.broken = "The directory can be read by others."

    def mend() -> str:
        desk.sides[-1].broken = ""
        return "again"

    desk.person.mends = mend
    assert desk.run().exit == Exit.DONE
    assert desk.sides[0].looked == ["knox", "knox"]
    assert any(problem and "read by others" in problem.what for problem in desk.person.problems)


def test_keys_that_cannot_be_looked_at_are_the_end_where_nobody_is_there(desk: Desk) -> None:
    desk.broken = "The directory can be read by others."
    finished = desk.run(interactive=False, given=GIVEN)
    assert (finished.exit, finished.summary) == (Exit.FAILED, desk.broken)
    assert desk.sides[0].closed == 1
    assert desk.sides[0].done == []


@pytest.mark.parametrize("part", ["cat >", "download", "upload", "sshd_enable", "echo >>"])
def test_each_step_is_done_once_over_two_tries(desk: Desk, part: str) -> None:
    plain = desk.open

    def broken(token: str) -> Bench:
        shell = plain(token)
        shell.fail = {part: lambda: MachineLost("The line is gone.", "Look.")}
        return shell

    desk.open = broken  # type: ignore[method-assign]
    assert desk.run().exit == Exit.UNREACHABLE
    desk.open = plain  # type: ignore[method-assign]
    assert desk.run().exit == Exit.DONE
    good(desk.root)


def test_a_cancel_ends_an_act_and_the_next_run_goes_on(desk: Desk) -> None:
    (desk.root / "go").unlink()

    def stop() -> None:
        while not (desk.root / "tried").exists():
            time.sleep(0.02)
        desk.cancel.set()

    waiting = threading.Thread(target=stop)
    waiting.start()
    began = time.monotonic()
    assert desk.run().exit == Exit.INTERRUPTED
    assert time.monotonic() - began < 20
    waiting.join()
    assert desk.sides[0].closed >= 1
    (desk.root / "go").touch()
    desk.cancel.clear()
    assert desk.run().exit == Exit.DONE
    good(desk.root)


def test_headless_takes_the_new_passphrase_as_it_is_given(tmp_path: Path) -> None:
    flow = SmallServer(tmp_path)
    secrets = Secrets({"ca-passphrase": Secret("ca-passphrase", WORD)})
    question = EnterSecret("secret.x", "keys", "New", "", "ca-passphrase", twice=True)
    front = Headless(flow, GIVEN, secrets, (), JsonLines(sys.stdout))
    assert front.ask(question, None) == Secret("ca-passphrase", WORD)


def test_it_may_be_killed_in_the_middle_of_an_act(tmp_path: Path) -> None:
    prepare(tmp_path)
    command = [sys.executable, "-m", "tests.serverflow", str(tmp_path)]
    root = Path(__file__).parent.parent
    first = subprocess.Popen(command, cwd=root, stdout=subprocess.DEVNULL)
    end = time.monotonic() + 60
    while not (tmp_path / "tried").exists():
        assert time.monotonic() < end
        assert first.poll() is None
        time.sleep(0.05)
    os.kill(first.pid, signal.SIGKILL)
    first.wait()
    (tmp_path / "go").touch()
    second = subprocess.run(command, cwd=root, capture_output=True, check=False, timeout=60)
    assert second.returncode == 0, second.stdout.decode()
    events = [json.loads(line) for line in second.stdout.splitlines()]
    assert any("goes on" in event.get("text", "") for event in events)
    good(tmp_path)
    assert KEY.reveal().strip() not in second.stdout
