"""The report is made from the journal alone, over all tries of a run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.serverflow import SmallServer
from tests.toyflow import main_plan
from zrwizard.facts import empty
from zrwizard.report.markdown import render
from zrwizard.report.story import tell
from zrwizard.report.words import duration, size
from zrwizard.run import journal
from zrwizard.run.events import (
    Answered,
    Doubt,
    Event,
    Exit,
    Note,
    Progress,
    RunFinished,
    StepDone,
    StepFailed,
)
from zrwizard.run.journal import MAIN, Journal
from zrwizard.secrets import Secrets

VIEW = Progress("pull", 3 << 30, 2 << 30, 5 << 30, 1.0, 0.0, 1e8, 0.0, 0.0, "", 17, 17, 65.0)


def report(root: Path, *events: Event, again: tuple[Event, ...] = ()) -> str:
    one = Journal.create(root, "abcd1234", console="local:", flow="restore", secrets=Secrets())
    one.answers({"source.dataset": "hostA", "source.snapshot": "2025-08-08-deep"})
    one.plan(MAIN, main_plan(empty("abcd1234")))
    for event in events:
        one.event(event)
    one.close()
    if again:
        found = journal.load(one.path)
        assert found is not None
        one = Journal.reopen(root, found, Secrets())
        for event in again:
            one.event(event)
        one.close()
    return render(tell(journal.read(one.path)))


def end(code: Exit, now: str = "") -> RunFinished:
    return RunFinished(code, "It is said here.", now, "/r", 75.0)


def test_a_run_that_went_well(tmp_path: Path) -> None:
    text = report(
        tmp_path,
        StepDone("wipe", 0.5, False),
        VIEW,
        Answered("pull", "proof", 0, "1", 0.1),
        StepDone("pull", 65.0, False),
        Note("Beware of the dog | cat.", "warning"),
        end(Exit.DONE),
    )
    assert "# Restore the toy: done" in text
    assert "serial number `ZRDISK0001`, 8.0 GiB" in text
    assert "2025-08-08-deep" in text
    assert "17 of 17 streams, 3.0 GiB received (estimated 2.0 GiB) in 1 min 5 s" in text
    assert "* Pull: proven" in text
    assert "| Wipe vtbd0 | done | 0.5 |" in text
    assert "| Key | not begun |  |" in text
    assert "Beware of the dog \\| cat." in text
    assert "MAC address" in text
    assert "incremental" in text


def test_it_says_by_what_the_bytes_were_counted(tmp_path: Path) -> None:
    view = replace(
        VIEW,
        counted="stream",
        sent=3 << 30,
        network=7 << 30,
        parts=5,
        doubts=(Doubt("network", "stream", 3 << 30),),
    )
    text = report(tmp_path, view, end(Exit.DONE))
    assert "17 of 17 streams in 5 datasets, 3.0 GiB received" in text
    assert "Received bytes are those of the stream" in text
    assert "The network card counted 7.0 GiB." in text
    assert "The network card counted 3.0 GiB more than the stream" in text
    assert "Received bytes are the network card's count" not in text


def test_a_run_that_failed(tmp_path: Path) -> None:
    failed = StepFailed("wipe", "It is\nbusy.", "Free it.")
    text = report(tmp_path, failed, end(Exit.FAILED, "Free the disk."))
    assert ": failed" in text.splitlines()[0]
    assert "**failed**: It is busy." in text
    assert "Free the disk." in text
    assert "Log in as a user" not in text


def test_a_second_try_overrides_the_failure_of_the_first(tmp_path: Path) -> None:
    text = report(
        tmp_path,
        StepDone("wipe", 2.0, False),
        StepFailed("pull", "gone", "again"),
        end(Exit.FAILED),
        again=(StepDone("wipe", 0.1, True), StepDone("pull", 9.0, False), end(Exit.DONE)),
    )
    assert "2 tries" in text
    assert "| Wipe vtbd0 | done | 2.0 |" in text
    assert "**failed**" not in text


@pytest.mark.parametrize(
    ("bytes_", "said"), [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (1 << 50, "1.0 PiB")]
)
def test_sizes(bytes_: int, said: str) -> None:
    assert size(bytes_) == said


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.4, "0 s"), (59.6, "1 min 0 s"), (3599, "59 min 59 s"), (7800, "2 h 10 min")],
)
def test_durations(seconds: float, said: str) -> None:
    assert duration(seconds) == said


def test_a_set_up_tells_what_was_changed_and_what_was_done_here(tmp_path: Path) -> None:
    plan = SmallServer(tmp_path).plan("abcd1234")
    one = Journal.create(tmp_path, "abcd1234", console="local:", flow="server", secrets=Secrets())
    one.answers({"server.name": "knox", "server.shape": "vault", "secret.ca-passphrase": "given"})
    one.plan(MAIN, plan)
    for event in (
        Answered("keys", "act", 0, "reading the random source", 0.1),
        Answered("keys", "act", 0, "The keys are there.", 0.2),
        StepDone("keys", 0.2, False),
        Answered("rc", "act", 0, "the old one is kept as /etc/rc.conf.old", 0.1),
        StepDone("rc", 0.2, False),
        Answered("trial", "act", 1, "it failed", 0.1),
        StepFailed("trial", "The disk stayed open.", "Look."),
        end(Exit.FAILED, "Look."),
    ):
        one.event(event)
    one.close()
    text = render(tell(journal.read(one.path)))
    assert "| server.shape | `vault` |" in text
    assert f"* `{tmp_path}/rc.conf`: the old one is kept as /etc/rc.conf.old" in text
    assert "* Keys: The keys are there." in text
    assert "random source" not in text
    assert "it failed" not in text
    assert "**failed**: The disk stayed open." in text
    assert "MAC address" not in text


def test_what_comes_next_depends_on_the_flow(tmp_path: Path) -> None:
    plan = SmallServer(tmp_path).plan("abcd1234")
    one = Journal.create(tmp_path, "abcd1234", console="local:", flow="server", secrets=Secrets())
    one.plan(MAIN, plan)
    one.event(end(Exit.DONE))
    one.close()
    text = render(tell(journal.read(one.path)))
    assert "escrow bundle to another house" in text
    assert "MAC address" not in text
    assert "MAC address" in report(tmp_path / "other", end(Exit.DONE))
