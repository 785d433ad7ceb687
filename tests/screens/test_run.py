"""Connecting, reviewing, running, reporting, leaving, crashing."""

from __future__ import annotations

import json
import threading
import time
from dataclasses import replace
from typing import Any

import pytest

from screens.app import ZrApp
from screens.run import RunPage
from zrwizard.console.errors import Cancelled, Unreachable
from zrwizard.flows.moves import Enter
from zrwizard.front import mend_question
from zrwizard.plan import Transfer, from_json
from zrwizard.run.events import (
    Answered,
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
from zrwizard.wizard import Back, Confirmed

MIB = 1 << 20


def progress(n: int, total: int = 100, **more: Any) -> Progress:
    values: dict[str, Any] = {
        "step": "pull",
        "received": n * MIB,
        "estimate": total * MIB,
        "used": n * MIB,
        "fraction": n / total,
        "rate": 12.5 * MIB,
        "average": 11.0 * MIB,
        "eta": 75.0,
        "idle": 0.0,
        "current": "zroot/usr/home@deep",
        "finished": 1,
        "streams": 3,
        "elapsed": 61.0,
        "rates": tuple(float(i % 9) * MIB for i in range(40)),
        "soonest": 70.0,
        "latest": 85.0,
        "counted": "stream",
        "part": "zroot/usr/home",
        "part_number": 2,
        "parts": 3,
        "part_received": n * MIB // 2,
        "part_estimate": total * MIB // 2,
    }
    return Progress(**{**values, **more})


def start(desk: Any, plan: Any, number: int) -> None:
    step = plan.steps[number]
    desk.emit(StepStarted(step.id, step.phase, step.title, step.why, step.danger, number + 1, 4))


def test_connecting_shows_the_console(drive: Any, done: Any, tmp_path: Any) -> None:
    go = threading.Event()
    cast = tmp_path / "console.cast"
    rows = [{"version": 2}, [0.1, "o", "FreeBSD/amd64 (hostC)\r\n\r\n"], [0.2, "o", "login: "]]
    cast.write_text("".join(json.dumps(row) + "\n" for row in rows))

    def work(desk: Any) -> Any:
        desk.transcript = cast
        desk.on_state("login prompt")
        go.wait(10)
        return done

    async def story(d: Any) -> None:
        await d.see("FreeBSD/amd64 (hostC)")
        await d.see("It shows: login prompt")
        await d.snapshot("connecting")
        go.set()
        await d.see("[Report]")

    drive(work, story)


def test_nobody_there_comes_back_to_the_console(drive: Any) -> None:
    def work(desk: Any) -> Any:
        raise Unreachable("Nobody listens at 127.0.0.1:4474.", "Check the port.")

    async def story(d: Any) -> None:
        await d.see("Nobody listens at 127.0.0.1:4474. Check the port.")
        await d.see("where is the machine's console?")
        await d.press("ctrl+u", *"nonsense", "enter")
        await d.see("is not a console address")

    drive(work, story)


def test_home_to_the_console_with_a_password(drive: Any, done: Any) -> None:
    secrets = Secrets()
    seen: list[str] = []

    def work(desk: Any) -> Any:
        seen.append(desk.intent.console)
        return done

    async def story(d: Any) -> None:
        await d.see("What do you want to do?")
        await d.snapshot("home")
        await d.press("enter")
        await d.see("where is the machine's console?")
        await d.snapshot("connect")
        await d.type("telnet://bmc:4474")
        await d.press("tab", *"rootpw", "enter")
        await d.see("[Report]")
        await d.press("h")
        await d.see("What do you want to do?")
        await d.press("q")

    app = drive(work, story, home=True, secrets=secrets)
    assert seen == ["telnet://bmc:4474"]
    assert secrets.get("console") == Secret("console", "rootpw")
    assert app.return_value == 0


def test_review_shows_all_exports_and_wants_the_identity(
    drive: Any, plan: Any, done: Any, tmp_path: Any, monkeypatch: Any
) -> None:
    typed: list[Any] = []
    monkeypatch.chdir(tmp_path)

    def work(desk: Any) -> Any:
        for _ in range(3):
            reply = desk.review(plan)
            typed.append(reply)
            desk.emit(Note("That is not the disk's identity.", "warning"))
        desk.ask(Enter("target.disk", "disk", "Which disk?", "Again."), None)
        return done

    async def story(d: Any) -> None:
        await d.see("!! ERASES the old partition table of vtbd0")
        await d.snapshot("review")
        for words in (
            "why: The disk gets a GPT",
            "check: [",
            "types: gpart create -s gpt vtbd0",
            "proof: gpart show vtbd0",
            "<secret:key>",
        ):
            await d.press("home")
            await d.until(lambda: True, "")
            if words not in d.words:
                await d.press("space")
            await d.see(words)
        for key, ending in (("j", "json"), ("s", "sh"), ("m", "md")):
            await d.press(key)
            await d.until((tmp_path / f"zrwizard-restore-abc123.{ending}").exists, ending)
            # A path is broken where it is too long for the row.
            await d.until(lambda e=ending: f"abc123.{e}" in "".join(d.words.split()), ending)
        for attempt in (1, 2):
            if attempt == 1:
                await d.press("c")
            await d.see("type ZRDISK0001 and press Enter")
            await d.type("vtbd0")
            await d.press("enter")
            await d.see(f"not the disk's identity (try {attempt} of 3)")
        await d.type("vtbd1")
        await d.press("enter")
        await d.see("Which disk?")
        await d.see("That is not the disk's identity.")

    drive(work, story)
    assert typed == [Confirmed(("vtbd0",)), Confirmed(("vtbd0",)), Confirmed(("vtbd1",))]
    assert from_json((tmp_path / "zrwizard-restore-abc123.json").read_text()) == plan


def test_back_from_the_review(drive: Any, plan: Any, done: Any) -> None:
    replies: list[Any] = []

    def work(desk: Any) -> Any:
        replies.append(desk.ask(Enter("a", "disk", "First?", "h"), None))
        replies.append(desk.review(plan))
        return done

    async def story(d: Any) -> None:
        await d.see("First?")
        await d.press("x", "enter")
        await d.see("[Review]")
        await d.press("c")
        await d.see("type ZRDISK0001")
        await d.press("escape")
        await d.until(lambda: "type ZRDISK0001" not in d.text, "the plan again")
        await d.press("escape")
        await d.see("[Report]")

    drive(work, story)
    assert replies == ["x", Back()]


def test_a_whole_run(drive: Any, plan: Any, tmp_path: Any) -> None:
    report = tmp_path / "report.md"
    report.write_text("# Restore of hostA\n\nAll 12 datasets have the server's guids.\n")
    steps = [threading.Event() for _ in range(3)]

    def work(desk: Any) -> Any:
        desk.review(plan)
        desk.emit(RunStarted(plan.title, 4, False))
        start(desk, plan, 0)
        desk.emit(Typed("table", "act", "gpart create -s gpt vtbd0"))
        desk.emit(Answered("table", "act", 0, "vtbd0 created\n", 0.2))
        steps[0].wait(10)
        desk.emit(StepDone("table", 0.2, False))
        start(desk, plan, 1)
        desk.emit(StepDone("key", 0.1, True))
        start(desk, plan, 2)
        desk.emit(progress(42))
        steps[1].wait(10)
        rates = (None if 20 < i < 30 else 1.0 * MIB for i in range(40))
        stalled = progress(43, idle=120.0, soonest=None, latest=None, rates=tuple(rates))
        desk.emit(replace(stalled, part="zroot/" + "deep/" * 12 + "end"))
        steps[2].wait(10)
        desk.emit(StepFailed("pull", "The server closed the stream.", "Start it again."))
        return RunFinished(1, "The server closed the stream.", "Start it again.", str(report), 99)

    async def story(d: Any) -> None:
        await d.see("[Review]")
        await d.press("c", *"ZRDISK0001", "enter")
        await d.see("vtbd0 created")
        await d.see("[>>] ERASES: Write a new partition table")
        await d.see("Next: Carry the key over.")
        await d.see("If it stops here the disk is empty or half prepared")
        steps[0].set()
        await d.see("42.0 MiB of 100.0 MiB (estimate), 1 min 10 s to 1 min 25 s left")
        await d.see("12.5 MiB/s, average 11.0 MiB/s")
        await d.see("dataset 2 of 3, 21.0 MiB of about 50.0 MiB: zroot/usr/home")
        await d.see("1 of 3 datasets in 1 min 01 s, now zroot/usr/home@deep")
        await d.see("42 %")
        await d.see("[--] Carry the key over")
        await d.snapshot("run")
        await d.press("t")
        await d.see("$ gpart create -s gpt vtbd0 vtbd0 created")
        await d.see("42 %")
        await d.press("t")
        steps[1].set()
        await d.see("of about 50.0 MiB: ~ep/deep/deep/end")
        await d.see("No byte for 2 min 00 s.")
        await d.see("x" * 9)
        await d.see("time left unknown")
        steps[2].set()
        await d.see("[!!] It did not work (1 min 39 s)")
        await d.see("Now: Start it again.")
        await d.see("All 12 datasets have the server's guids.")
        await d.press("q")

    app = drive(work, story)
    assert app.return_value == 1


def test_a_transfer_is_paused_and_goes_on(drive: Any, plan: Any, done: Any) -> None:
    """The key is there for a transfer that goes stream by stream, and only while one runs."""
    steps = list(plan.steps)
    pull = next(n for n, step in enumerate(steps) if isinstance(step.action, Transfer))
    action = replace(steps[pull].action, mover="/tmp/zr-abc123/mover")
    steps[pull] = replace(steps[pull], action=action)
    moves = replace(plan, steps=tuple(steps))
    seen: list[bool] = []

    def wait(desk: Any, wanted: bool) -> None:
        end = time.monotonic() + 20
        while desk.hold.is_set() is not wanted and time.monotonic() < end:
            time.sleep(0.01)
        seen.append(desk.hold.is_set())

    def work(desk: Any) -> Any:
        desk.review(moves)
        desk.emit(RunStarted(moves.title, 4, False))
        desk.emit(Note("about to begin"))
        start(desk, moves, pull)
        go.wait(20)
        desk.emit(progress(42))
        wait(desk, True)
        desk.emit(progress(42, paused=True))
        wait(desk, False)
        desk.emit(progress(43))
        over.wait(20)
        return done

    go, over = threading.Event(), threading.Event()

    async def story(d: Any) -> None:
        await d.see("[Review]")
        await d.press("c", *"ZRDISK0001", "enter")
        await d.see("about to begin")
        await d.see("w pause")
        await d.press("w")
        await d.see("Nothing is transferred now.")
        go.set()
        await d.see("42 %")
        await d.press("w")
        await d.see("Paused; w lets it go on.")
        await d.press("w")
        await d.see("1 of 3 datasets in 1 min 01 s")
        over.set()
        await d.see("[Report]")

    drive(work, story)
    assert seen == [True, False]


def test_a_stream_for_everything_has_no_pause(drive: Any, plan: Any, done: Any) -> None:
    over = threading.Event()

    def work(desk: Any) -> Any:
        desk.review(plan)
        desk.emit(RunStarted(plan.title, 4, False))
        desk.emit(progress(42))
        over.wait(20)
        return done

    async def story(d: Any) -> None:
        await d.see("[Review]")
        await d.press("c", *"ZRDISK0001", "enter")
        await d.see("42 %")
        assert "w pause" not in d.text
        over.set()
        await d.see("[Report]")

    drive(work, story)


def test_200k_events_do_not_freeze_it(drive: Any, plan: Any, done: Any, monkeypatch: Any) -> None:
    drains: list[float] = []
    real = ZrApp.drain

    def timed(app: ZrApp) -> None:
        began = time.thread_time()
        real(app)
        drains.append(time.thread_time() - began)

    monkeypatch.setattr(ZrApp, "drain", timed)

    def work(desk: Any) -> Any:
        desk.review(plan)
        desk.emit(RunStarted(plan.title, 4, False))
        start(desk, plan, 2)
        for n in range(200_000):
            if n % 4 == 0:
                desk.emit(progress(n, 200_000))
            else:
                desk.emit(Typed("pull", "act", f"echo {n}"))
        desk.emit(Note("all are out"))
        desk.cancel.wait(30)
        return done

    async def story(d: Any) -> None:
        await d.see("[Review]")
        await d.press("c", *"ZRDISK0001", "enter")
        await d.see("[Run]")
        await d.press("t")
        await d.see("all are out", 90)
        # The loop's own CPU time: the machine may be busy with other things.
        assert max(drains) < 0.4
        assert len(d.app.desk.traffic) <= 4000
        assert isinstance(d.app.screen, RunPage)

    drive(work, story)


def test_a_question_in_the_middle_of_a_run_comes_back_to_it(
    drive: Any, plan: Any, done: Any
) -> None:
    replies: list[Any] = []
    go = threading.Event()

    def work(desk: Any) -> Any:
        desk.review(plan)
        desk.emit(RunStarted(plan.title, 4, False))
        start(desk, plan, 1)
        replies.append(desk.ask(Enter("secret.x", "server", "One more thing?", "h"), None))
        desk.emit(Note("on we go"))
        go.wait(10)
        return done

    async def story(d: Any) -> None:
        await d.see("[Review]")
        await d.press("c", *"ZRDISK0001", "enter")
        await d.see("One more thing?")
        await d.type("yes")
        await d.press("enter")
        await d.see("[Run]")
        await d.see("on we go")
        assert "Write a new partition table" in d.text
        go.set()
        await d.see("[Report]")

    drive(work, story)
    assert replies == ["yes"]


@pytest.mark.parametrize("key", ["n", "escape"])
def test_a_no_in_the_middle_of_a_run_is_an_answer(
    drive: Any, plan: Any, done: Any, key: str
) -> None:
    """As in a run that goes on, where it is the first question of all."""
    replies: list[Any] = []
    go = threading.Event()

    def work(desk: Any) -> Any:
        desk.review(plan)
        desk.emit(RunStarted(plan.title, 4, True))
        start(desk, plan, 1)
        for path in ("/etc/fstab", "/etc/rc.conf"):
            replies.append(desk.ask(mend_question(path, "Because.", "-old\n+new"), None))
        desk.emit(Note("on we go"))
        go.wait(10)
        return done

    async def story(d: Any) -> None:
        await d.see("[Review]")
        await d.press("c", *"ZRDISK0001", "enter")
        await d.see("May /etc/fstab of the restored system be changed?")
        assert "+new" in d.text
        await d.press(key)
        await d.see("May /etc/rc.conf of the restored system be changed?")
        await d.press("y")
        await d.see("on we go")
        go.set()
        await d.see("[Report]")

    drive(work, story)
    assert replies == [Back(), "write"]


def test_leaving_in_the_middle_sets_cancel_and_says_130(drive: Any, plan: Any) -> None:
    ended: list[str] = []

    def work(desk: Any) -> Any:
        try:
            desk.review(plan)
        except Cancelled as error:
            ended.append(error.what)
            raise
        raise AssertionError

    async def story(d: Any) -> None:
        await d.see("[Review]")
        await d.press("q")
        await d.see("Leave the wizard?")
        await d.press("n")
        await d.see("[Review]")
        await d.press("ctrl+q")
        await d.see("Leave the wizard?")
        await d.press("y")
        await d.until(lambda: d.app._exit, "the end", 5)

    app = drive(work, story)
    assert app.return_value == 130
    assert ended == ["You stopped it."]


def test_a_broken_wizard_ends_in_a_sentence_and_a_redacted_file(drive: Any, tmp_path: Any) -> None:
    secrets = Secrets()
    secrets.add(Secret("server", "hunter22"))

    def work(desk: Any) -> Any:
        raise ValueError("it broke near hunter22")

    async def story(d: Any) -> None:
        await d.see("[!!] It did not work")
        # The path is as long as the place where the tests run, and may be broken anywhere.
        await d.until(lambda: "crash-" in d.joined, "the file's name")
        assert "Traceback" not in d.joined
        assert "hunter22" not in d.joined
        await d.press("q")

    app = drive(work, story, secrets=secrets)
    assert app.return_value == 1
    (crash,) = (tmp_path / "state").glob("crash-*.txt")
    assert "hunter22" not in crash.read_text()
    assert "<secret:server>" in crash.read_text()
    assert crash.stat().st_mode & 0o777 == 0o600


def test_a_broken_screen_ends_in_a_sentence_too(
    drive: Any, plan: Any, done: Any, capsys: Any
) -> None:
    def work(desk: Any) -> Any:
        desk.review(plan)
        return done

    apps: list[Any] = []

    async def story(d: Any) -> None:
        apps.append(d.app)
        await d.see("[Review]")
        d.app._page.do_json = lambda: {}["the page broke"]
        await d.press("j")
        await d.until(lambda: d.app.crash_text, "the crash")

    with pytest.raises(KeyError, match="the page broke"):
        drive(work, story)
    (app,) = apps
    assert "error of its own (KeyError)" in app.crash_text
    assert app.return_code == 1
    shown = capsys.readouterr()
    assert "Traceback" not in shown.out + shown.err
    assert "locals" not in shown.out + shown.err
