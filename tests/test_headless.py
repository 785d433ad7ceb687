"""The front end without a person: what it answers, refuses and prints; every exit code."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path

import pytest

from tests import toyflow
from tests.toyflow import GIVEN, Toy
from zrwizard.flows.moves import (
    Agree,
    Answers,
    Choose,
    ChooseMany,
    Enter,
    EnterSecret,
    Option,
    Question,
)
from zrwizard.flows.restore import RESTORE
from zrwizard.headless import Headless, JsonLines, Lines, printable, progress_line
from zrwizard.plan import Problem
from zrwizard.run.events import (
    Answered,
    Event,
    Exit,
    Note,
    Progress,
    RunFinished,
    RunStarted,
    StepDone,
    StepFailed,
    StepStarted,
    Typed,
)
from zrwizard.secrets import Secret, Secrets
from zrwizard.wizard import Confirmed, MissingAnswer, Stop

PASSWORD = "correct horse"


def front(answers: Answers | None = None, confirm: tuple[str, ...] = ()) -> Headless:
    return Headless(Toy(), answers or Answers(), Secrets(), confirm, JsonLines(io.StringIO()))


def choose(default: str | None, locked: str | None = None) -> Choose:
    options = (Option("a", "A", locked=locked), Option("b", "B"))
    return Choose("target.disk", "p", "Disk", "h", options, (), default)


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        (choose("a"), "a"),
        (Enter("server.port", "p", "t", "h", "22"), "22"),
        (Enter("server.port", "p", "t", "h", ""), "22"),
    ],
)
def test_defaults_are_taken(question: Question, answer: str) -> None:
    assert front().ask(question, None) == answer


@pytest.mark.parametrize(
    ("question", "said"),
    [
        (choose(None), "target.disk"),
        (choose("a", locked="in use"), "One of: b."),
        (Enter("server.host", "p", "t", "h"), "server.host"),
        (Agree("server.host_key", "p", "t", "h", "It shows X.", "SHA256:abc"), "SHA256:abc"),
        (EnterSecret("server.password", "p", "t", "h", "server"), "--secret server="),
    ],
)
def test_what_nobody_answers_is_named(question: Question, said: str) -> None:
    with pytest.raises(MissingAnswer) as caught:
        front().ask(question, None)
    assert said in f"{caught.value.what} {caught.value.now}"
    assert caught.value.code is Exit.USAGE


def test_other_missing_answers_are_named_at_once() -> None:
    with pytest.raises(MissingAnswer) as caught:
        front(Answers({"server.host": "x"})).ask(choose(None), None)
    assert "server.host_key" in caught.value.now
    assert "server.host," not in caught.value.now


def test_a_problem_is_the_end() -> None:
    with pytest.raises(Stop) as caught:
        front().ask(choose("a"), Problem("target.disk", "No such disk.", "Look again."))
    assert (caught.value.what, caught.value.code) == ("No such disk.", Exit.USAGE)


def test_secrets_come_from_the_store() -> None:
    one = front()
    one.secrets.add(Secret("server", PASSWORD))
    question = EnterSecret("server.password", "p", "t", "h", "server")
    assert one.ask(question, None) == Secret("server", PASSWORD)


def test_the_disks_identity_confirms() -> None:
    plan = toyflow.main_plan(toyflow.Facts("abcd"))
    assert front(confirm=("ZRDISK0001",)).review(plan) == Confirmed(("ZRDISK0001",))


@pytest.mark.parametrize("confirm", [(), ("",), ("vtbd0",), ("ZRDISK0002",), ("ZRDISK0001", "x")])
def test_anything_else_is_refused(confirm: tuple[str, ...]) -> None:
    with pytest.raises(Stop) as caught:
        front(confirm=confirm).review(toyflow.main_plan(toyflow.Facts("abcd")))
    assert caught.value.code is Exit.REFUSED
    assert "ZRDISK0001" in caught.value.now


# --- printing ----------------------------------------------------------------------------------

VIEW = replace(
    Progress("pull", 300, 1000, 9, 0.3, 100.0, 90.0, 7.0, 0.0, "zroot/usr", 2, 9, 3.0),
    soonest=6.0,
    latest=8.5,
    part="zroot/usr",
    part_number=2,
    parts=4,
)
EVENTS: tuple[Event, ...] = (
    RunStarted("Restore", 2, True),
    StepStarted("a", "disk", "Wipe", "It must go.", "erases", 1, 2),
    Typed("a", "look", "gpart show"),
    Answered("a", "look", 1, "gpart: No such geom: da0.", 0.1),
    Typed("a", "act", "gpart create\n-s gpt da0"),
    Answered("a", "act", 0, "da0 created\x1b[2J", 0.1),
    StepDone("a", 1.0, False),
    StepDone("b", 1.0, True),
    StepFailed("c", "It broke.", "Mend it."),
    Note("Beware.", "warning"),
    RunFinished(1, "It broke.", "Mend it.", "/r.md", 75.0),
)


def lines(*events: Event, tty: bool = False) -> str:
    out = io.StringIO()
    printer = Lines(out, tty)
    for event in events:
        printer.show(event)
    return out.getvalue()


def test_lines_for_people() -> None:
    text = lines(*EVENTS)
    for part in (
        "Restore (2 steps, going on with an earlier run)",
        "[1/2] Wipe (erases)\n    It must go.",
        "    look: gpart show",
        "(status 1)",
        "    $ gpart create\n    -s gpt da0",
        "done in 1.0 s",
        "was so already",
        "FAILED: It broke.",
        "warning: Beware.",
        "Report: /r.md",
        "(1 min 15 s, exit code 1)",
    ):
        assert part in text
    assert "\x1b" not in text


def test_long_output_is_cut() -> None:
    text = lines(Answered("a", "act", 0, "\n".join(map(str, range(100))), 0.1))
    assert "88 more" in text


def test_progress_now_and_then_or_on_one_line() -> None:
    many = [VIEW] * 5
    assert lines(*many).count("\n") == 1
    text = lines(*many, StepDone("a", 1.0, False), tty=True)
    assert text.count("\r") == 5
    assert text.count("\n") == 2


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            {},
            "300 B, 30% of an estimated 1000 B, 100 B/s, 6 s to 8 s left, dataset 2/4, stream 2/9, "
            "zroot/usr",
        ),
        ({"soonest": 7.0, "latest": 7.2}, "100 B/s, about 7 s left"),
        ({"latest": None}, "at least 6 s left"),
        ({"soonest": None}, "time left unknown"),
        ({"fraction": None}, "300 B received, total unknown"),
        ({"idle": 30.0}, "no byte for 30 s"),
        ({"fraction": 1.0}, "ended: 300 B received in 3 s"),
    ],
)
def test_an_estimate_is_called_one(change: dict[str, object], said: str) -> None:
    assert said in progress_line(replace(VIEW, **change))  # type: ignore[arg-type]


def test_json_is_one_event_a_line() -> None:
    out = io.StringIO()
    for event in (*EVENTS, VIEW):
        JsonLines(out).show(event)
    rows = [json.loads(line) for line in out.getvalue().splitlines()]
    assert [row["event"] for row in rows][:2] == ["RunStarted", "StepStarted"]
    assert len(rows) == len(EVENTS) + 1


class Closed(io.StringIO):
    def write(self, text: str) -> int:
        raise BrokenPipeError


def test_a_reader_that_went_away_costs_only_the_view() -> None:
    JsonLines(Closed()).show(VIEW)
    Lines(Closed(), True).show(VIEW)


def test_an_ascii_terminal_gets_escapes() -> None:
    raw = io.BytesIO()
    out = io.TextIOWrapper(raw, "ascii")
    Lines(out, False).show(Note("„é“"))
    assert b"\\u201e\\xe9" in raw.getvalue()


def test_nothing_moves_the_cursor() -> None:
    assert printable("a\x1b]0;x\x07\r\nb\x9b") == "a\\x1b]0;x\\x07\nb\\x9b"


# --- whole runs --------------------------------------------------------------------------------


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "password").write_text(PASSWORD + "\n")
    (tmp_path / "go").touch()
    return tmp_path


def last(text: str) -> dict[str, object]:
    found: dict[str, object] = json.loads(text.splitlines()[-1])
    assert found["event"] == "RunFinished"
    return found


def test_done(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert toyflow.main(root, "ZRDISK0001", PASSWORD) == Exit.DONE
    assert last(capsys.readouterr().out)["exit"] == 0


def test_the_wrong_identity(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert toyflow.main(root, "other", PASSWORD) == Exit.REFUSED
    assert "--confirm-erase" in str(last(capsys.readouterr().out)["now"])
    assert not (root / "wiped").exists()


def test_the_wrong_password(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert toyflow.main(root, "ZRDISK0001", "wrong horse") == Exit.FAILED
    out = capsys.readouterr().out
    assert "“server” was not accepted" in str(last(out)["summary"])
    assert "wrong horse" not in out
    assert not (root / "wiped").exists()


def test_a_disk_that_changed(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (root / "other-disk").touch()
    assert toyflow.main(root, "ZRDISK0001", PASSWORD) == Exit.REFUSED
    assert not (root / "wiped").exists()


def test_given_answers_are_all_used() -> None:
    assert set(GIVEN) <= {key.name for key in Toy.keys}


MANY = ChooseMany("target.spares", "p", "Spares", "h", (Option("S3", "vtbd2"),), least=0)


def test_many_are_not_marked_by_themselves() -> None:
    with pytest.raises(MissingAnswer) as caught:
        front().ask(MANY, None)
    assert "S3" in caught.value.now
    assert (
        Headless(RESTORE, Answers(), Secrets(), (), JsonLines(io.StringIO())).ask(MANY, None)
        == "none"
    )


def test_every_disk_must_be_given() -> None:
    plan = toyflow.main_plan(toyflow.Facts("abcd"))
    second = replace(plan.disks[0], name="vtbd1", serial="ZRDISK0002")
    plan = replace(plan, disks=(*plan.disks, second))
    both = ("ZRDISK0002", "ZRDISK0001")
    assert front(confirm=both).review(plan) == Confirmed(both)
    for few in ((), both[:1], both[:1] * 2, (*both, "X")):
        with pytest.raises(Stop) as caught:
            front(confirm=few).review(plan)
        assert caught.value.code is Exit.REFUSED
