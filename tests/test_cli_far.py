"""A server that is far away: its link is measured, and the streams come side by side."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from tests.test_cli_disks import home, restore
from zrwizard.cli import main
from zrwizard.rehearsal import Rehearsal, Start, scenario
from zrwizard.rehearsal.scenario import Cut
from zrwizard.run.events import Exit

__all__ = ["home"]
FAR = replace(scenario("restore-far"), start=Start.PLAIN, power_on_at_connect=False)
MIB = 1 << 20
ALL = 3_210_000_000
"""Bytes of all streams."""


def events(capsys: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def report(home: Path) -> str:
    (path,) = (home / "state").rglob("report.md")
    return path.read_text()


def mover_log(made: Rehearsal) -> str:
    (path,) = made.run("ls /tmp/zr-*/mover/log")[1].splitlines()
    return made.run(f"cat {path}")[1]


def test_four_streams_come_side_by_side_and_it_boots(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with Rehearsal(speed=200, scenario=FAR) as made:
        assert main(restore(home, made, finish__action="stay")) == Exit.DONE
        assert (made.would_boot(), made.accidents) == ([], [])
        told = mover_log(made)
        assert all(f"Lane {n}: Dataset 1 of " in told for n in range(1, 5))
        # Each began before the first one ended.
        assert max(told.index(f"Lane {n}: Dataset 1 of ") for n in range(1, 5)) < told.index(
            "Lane 4: All "
        )
        found = events(capsys)
        begun = (e for e in found if e["event"] == "StepStarted")
        (why,) = (str(e["why"]) for e in begun if e["step"] == "transfer")
        assert why.startswith("Dataset by dataset, 4 side by side: zfs send -b -L -c -e ")
        shown = [e for e in found if e["event"] == "Progress"]
        assert max(float(str(e["fraction"])) for e in shown if e["fraction"]) == 1.0
        assert {e["part"] for e in shown} == {""}
        counts = [int(str(e["finished"])) for e in shown]
        assert counts == sorted(counts)
        assert counts[-1] == 18
        assert "4 streams come side by side" in report(home)


@pytest.mark.parametrize(("auth", "runs"), [("key", 1), ("password", 2)], ids=["key", "password"])
def test_a_link_that_breaks_under_them_costs_no_dataset(home: Path, auth: str, runs: int) -> None:
    """A password is not kept for them: the login is asked for again, and they go on."""
    cut = Cut(1500 * MIB)
    with Rehearsal(speed=200, scenario=replace(FAR, cuts=(cut,))) as made:
        (home / "key").write_text(made.private_key)
        (home / "key").chmod(0o600)
        given = restore(home, made, finish__action="stay", server__auth=auth)
        given += ["--secret", f"key=file:{home / 'key'}"] if auth == "key" else []
        ends = [main(given) for _ in range(runs)]
        assert ends == [Exit.FAILED] * (runs - 1) + [Exit.DONE]
        assert (made.would_boot(), made.accidents) == ([], [])
        assert made.target.cuts == []
        assert ("Permission denied" in mover_log(made)) is (auth == "password")
        # What had come was not sent again, but for what was on its way.
        assert made.target.carried < ALL - cut.after + 64 * MIB


def test_without_a_measurement_they_come_one_by_one(home: Path) -> None:
    with Rehearsal(speed=200, scenario=FAR) as made:
        made.target.lacks |= {"__measure"}
        assert main(restore(home, made, finish__action="stay")) == Exit.DONE
        assert "The link could not be measured: the streams come one by one." in report(home)
        assert "Lane" not in mover_log(made)
