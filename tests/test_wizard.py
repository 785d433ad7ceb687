"""The driver of a flow: questions, back, preparations, confirmation, resumption, kill -9."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.toyflow import GIVEN, Bench, Toy
from zrwizard.console.errors import Cancelled, Taken
from zrwizard.facts import Facts
from zrwizard.flows.moves import Answers, Look, Move, Question, Stuck
from zrwizard.plan import Plan, Problem
from zrwizard.run import journal
from zrwizard.run.events import Event, Exit, Note, RunFinished, Typed
from zrwizard.secrets import Secret, Secrets
from zrwizard.wizard import Back, Confirmed, Wizard

PASSWORD = "correct horse"
Reply = str | Secret | Back | Callable[[], str]


class Person:
    """A front that answers by key from lists; the last answer to a key is kept."""

    def __init__(self, **replies: object) -> None:
        self.replies: dict[str, list[object]] = {
            "server.host": ["backup"],
            "server.port": ["22"],
            "server.host_key": ["SHA256:abc"],
            "server.auth": ["password"],
            "server.password": [Secret("server", PASSWORD)],
            "target.disk": ["ZRDISK0001"],
            "review": [Confirmed(("ZRDISK0001",))],
        }
        for key, value in replies.items():
            name = key.replace("__", ".")
            self.replies[name] = value if isinstance(value, list) else [value]
        self.asked: list[str] = []
        self.problems: list[Problem] = []
        self.events: list[Event] = []
        self.plans: list[Plan] = []

    def ask(self, question: Question, problem: Problem | None) -> str | Secret | Back:
        self.asked.append(question.key)
        if problem:
            self.problems.append(problem)
        return self._next(question.key)  # type: ignore[return-value]

    def review(self, plan: Plan) -> Confirmed | Back:
        self.asked.append("review")
        self.plans.append(plan)
        return self._next("review")  # type: ignore[return-value]

    def emit(self, event: Event) -> None:
        self.events.append(event)

    def _next(self, key: str) -> object:
        left = self.replies[key]
        reply = left.pop(0) if len(left) > 1 else left[0]
        if isinstance(reply, BaseException):
            raise reply
        return reply


class Desk:
    """A target with a state directory; `run` is one process of the wizard."""

    def __init__(self, root: Path) -> None:
        self.root = root
        (root / "password").write_text(PASSWORD + "\n")
        (root / "go").touch()
        self.cancel = threading.Event()
        self.shells: list[Bench] = []

    def open(self, token: str) -> Bench:
        self.shells.append(Bench(self.root, token))
        return self.shells[-1]

    def run(self, front: Person, answers: Answers | None = None, **more: object) -> RunFinished:
        options: dict[str, object] = {"console": "telnet://h:1", "interval": 0.05, **more}
        flow = options.pop("flow", Toy())
        opener = options.pop("opener", self.open)
        return Wizard(
            flow,  # type: ignore[arg-type]
            opener,  # type: ignore[arg-type]
            answers or Answers(),
            Secrets(),
            front,
            self.root / "state",
            self.cancel,
            **options,  # type: ignore[arg-type]
        ).run()

    def runs(self) -> list[Path]:
        return sorted((self.root / "state" / "runs").iterdir())


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def test_from_the_first_question_to_the_report(desk: Desk) -> None:
    person = Person()
    finished = desk.run(person)
    assert finished.exit == Exit.DONE
    assert person.asked == [
        "server.host",
        "server.port",
        "server.host_key",
        "server.auth",
        "server.password",
        "target.disk",
        "review",
    ]
    assert person.events[-1] == finished
    assert (desk.root / "wiped").read_text() == "x\n"
    report = Path(finished.report).read_text()
    assert "Restore the toy: done" in report
    assert "ZRDISK0001" in report
    assert 'grep -c ran "$ROOT/ran"' in report
    assert "The swap is new." in report
    assert desk.shells[0].closed


def test_back_asks_the_question_before_again(desk: Desk) -> None:
    person = Person(target__disk=[Back(), "ZRDISK0001"], server__port=[Back(), "22"])
    assert desk.run(person).exit == Exit.DONE
    assert person.asked[:4] == ["server.host", "server.port", "server.host", "server.port"]
    at = person.asked.index("target.disk")
    assert person.asked[at : at + 3] == ["target.disk", "server.password", "target.disk"]


def test_a_problem_is_shown_with_its_question(desk: Desk) -> None:
    person = Person(server__port=["0", "22"])
    assert desk.run(person).exit == Exit.DONE
    assert [problem.what for problem in person.problems] == ["There is no port 0."]


def test_three_wrong_confirmations_lead_back_to_the_disk(desk: Desk) -> None:
    wrong = [Confirmed(("vtbd0",)), Confirmed(("",)), Confirmed(("zrdisk0001",))]
    person = Person(review=[*wrong, Confirmed(("ZRDISK0001",))])
    assert desk.run(person).exit == Exit.DONE
    assert person.asked[-6:] == ["target.disk", *["review"] * 3, "target.disk", "review"]
    assert (desk.root / "wiped").read_text() == "x\n"


def test_back_from_the_review(desk: Desk) -> None:
    person = Person(review=[Back(), Confirmed(("ZRDISK0001",))])
    assert desk.run(person).exit == Exit.DONE
    assert person.asked[-3:] == ["review", "target.disk", "review"]


def test_a_wrong_password_is_asked_for_again(desk: Desk) -> None:
    wrong, right = Secret("server", "no"), Secret("server", PASSWORD)
    person = Person(server__password=wrong, secret__server=right)
    assert desk.run(person).exit == Exit.DONE
    assert person.asked.count("secret.server") == 1


def test_three_wrong_passwords_stop_and_can_be_mended(desk: Desk) -> None:
    wrong = Secret("server", "no")
    person = Person(server__password=wrong, secret__server=wrong, run__failed=["stop"])
    finished = desk.run(person)
    assert finished.exit == Exit.FAILED
    assert person.asked.count("secret.server") == 2
    assert not (desk.root / "wiped").exists()


def test_what_failed_before_the_plan_can_be_tried_again(desk: Desk) -> None:
    wrong, right = Secret("server", "no"), Secret("server", PASSWORD)
    person = Person(
        server__password=wrong, secret__server=[wrong, wrong, right], run__failed=["again"]
    )
    assert desk.run(person).exit == Exit.DONE


def test_cancelled_by_the_operator(desk: Desk) -> None:
    person = Person(server__auth=Cancelled("You stopped it.", "Start again."))
    finished = desk.run(person)
    assert finished.exit == Exit.INTERRUPTED
    assert person.events[-1] == finished


def test_a_console_that_is_taken(desk: Desk) -> None:
    def opener(_token: str) -> Bench:
        raise Taken("Somebody else holds the console.", "Close the other client.")

    finished = desk.run(Person(), opener=opener)
    assert finished.exit == Exit.UNREACHABLE
    assert finished.summary == "Somebody else holds the console."
    assert finished.now == "Close the other client."


class Hopeless(Toy):
    def next_move(self, facts: Facts, answers: Answers) -> Move:
        return Stuck((Problem("server.host_key", "The host key changed.", "Ask why."),), 3)


def test_a_flow_that_is_stuck_says_its_exit_code(desk: Desk) -> None:
    finished = desk.run(Person(), flow=Hopeless(), interactive=False)
    assert (finished.exit, finished.summary, finished.now) == (
        Exit.REFUSED,
        "The host key changed.",
        "Ask why.",
    )


class Broken(Toy):
    def next_move(self, facts: Facts, answers: Answers) -> Move:
        raise ZeroDivisionError("with the secret " + PASSWORD)


def test_an_unexpected_error_becomes_a_file_and_a_sentence(desk: Desk) -> None:
    front = Person()
    secrets = Secrets({"server": Secret("server", PASSWORD)})
    finished = Wizard(
        Broken(), desk.open, GIVEN, secrets, front, desk.root / "state", desk.cancel
    ).run()
    assert finished.exit == Exit.FAILED
    path = next((desk.root / "state").glob("crash-*.txt"))
    assert str(path) in finished.summary
    assert "Traceback" not in finished.summary
    text = path.read_text()
    assert "ZeroDivisionError" in text
    assert PASSWORD not in text
    assert path.stat().st_mode & 0o777 == 0o600


class Circling(Toy):
    def next_move(self, facts: Facts, answers: Answers) -> Move:
        return Look("nothing", (), "Looking.")


def test_an_unknown_look_ends(desk: Desk) -> None:
    assert desk.run(Person(), flow=Circling(), interactive=False).exit == Exit.FAILED


# --- going on ----------------------------------------------------------------------------------


def broken_off(desk: Desk, person: Person, answers: Answers | None = None) -> RunFinished:
    """Run until the transfer is under way, then stop watching."""
    (desk.root / "go").unlink(missing_ok=True)

    def stop() -> None:
        while not list(desk.root.glob("home-*/jobs/pull/log")):
            time.sleep(0.02)
        time.sleep(0.2)
        desk.cancel.set()

    thread = threading.Thread(target=stop)
    thread.start()
    finished = desk.run(person, answers)
    thread.join()
    desk.cancel = threading.Event()
    (desk.root / "go").touch()
    return finished


def test_a_run_that_was_stopped_goes_on_with_its_token(desk: Desk) -> None:
    assert broken_off(desk, Person()).exit == Exit.INTERRUPTED
    person = Person(run__resume=["continue"])
    assert desk.run(person).exit == Exit.DONE
    assert person.asked == ["run.resume", "review"]
    assert len(desk.runs()) == 1
    assert desk.shells[0].home == desk.shells[1].home
    assert (desk.root / "wiped").read_text() == "x\n"
    assert (desk.root / "ran").read_text() == "ran\n"
    assert any("found" in note.text for note in person.events if isinstance(note, Note))


def test_the_operator_may_begin_a_new_run_instead(desk: Desk) -> None:
    broken_off(desk, Person())
    assert desk.run(Person(run__resume=["fresh"])).exit == Exit.DONE
    assert len(desk.runs()) == 2


def test_fresh_asks_for_nothing(desk: Desk) -> None:
    broken_off(desk, Person())
    person = Person()
    assert desk.run(person, fresh=True).exit == Exit.DONE
    assert "run.resume" not in person.asked


def test_other_answers_are_another_run(desk: Desk) -> None:
    broken_off(desk, Person())
    person = Person()
    assert desk.run(person, Answers({"server.host": "other"})).exit == Exit.DONE
    assert len(desk.runs()) == 2
    assert any("server.host" in note.text for note in person.events if isinstance(note, Note))


def test_a_run_that_ended_well_is_not_gone_on_with(desk: Desk) -> None:
    assert desk.run(Person()).exit == Exit.DONE
    person = Person()
    assert desk.run(person).exit == Exit.DONE
    assert "run.resume" not in person.asked


def test_other_consoles_have_other_runs(desk: Desk) -> None:
    broken_off(desk, Person())
    assert desk.run(Person(), console="telnet://h:2").exit == Exit.DONE


def test_going_on_needs_the_confirmation_again(desk: Desk) -> None:
    broken_off(desk, Person())
    person = Person(run__resume=["continue"], review=[Confirmed(("no",))])
    assert desk.run(person).exit == Exit.REFUSED
    assert not any(isinstance(event, Typed) for event in person.events)


def test_a_disk_that_changed_meanwhile_is_refused(desk: Desk) -> None:
    broken_off(desk, Person())
    (desk.root / "wiped").unlink()
    (desk.root / "other-disk").touch()
    finished = desk.run(Person(run__resume=["continue"]))
    assert finished.exit == Exit.REFUSED
    assert "--fresh" in finished.now
    assert not (desk.root / "wiped").exists()


def start(root: Path) -> subprocess.Popen[bytes]:
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p) + ":."}
    return subprocess.Popen(
        [sys.executable, "-m", "tests.toyflow", str(root)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environ,
        cwd=Path(__file__).parent.parent,
    )


def wait_for(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_process_that_is_killed_is_simply_started_again(desk: Desk) -> None:
    (desk.root / "go").unlink()
    process = start(desk.root)
    wait_for(lambda: list(desk.root.glob("home-*/jobs/pull-meter.total")))
    process.send_signal(signal.SIGKILL)
    process.communicate()
    # The last line of the journal may be torn by such a death.
    path = desk.runs()[0] / journal.NAME
    with path.open("ab") as stream:
        stream.write(b'{"kind": "done", "part": "main", "st')
    again = start(desk.root)
    wait_for(lambda: b"" or path.read_text().count("found running"))
    (desk.root / "go").touch()
    out, err = again.communicate(timeout=30)
    assert again.returncode == Exit.DONE, err
    assert (desk.root / "wiped").read_text() == "x\n"
    assert (desk.root / "ran").read_text() == "ran\n"
    assert not (desk.root / "reset").exists()
    assert len(desk.runs()) == 1
    last = json.loads(out.splitlines()[-1])
    assert (last["event"], last["exit"]) == ("RunFinished", 0)
    assert PASSWORD.encode() not in out + err
