"""A host is restored onto another machine: other disks, another network card, other settings."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from zrwizard import rehearse
from zrwizard.cli import main
from zrwizard.rehearsal import Rehearsal, Start, scenario
from zrwizard.rehearsal.bootcheck import boot_plan
from zrwizard.run.events import Exit, RunFinished

WANTED = replace(scenario("restore-moved"), start=Start.PLAIN, power_on_at_connect=False)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("ZR_TEST_PASSWORD", WANTED.password)
    return tmp_path


@pytest.fixture
def made() -> Iterator[Rehearsal]:
    with Rehearsal(speed=200, scenario=WANTED) as machines:
        yield machines


def restore(home: Path, made: Rehearsal, **answers: str) -> int:
    given = {**dict(rehearse.answers(made)), **answers}
    given["finish.action"] = "stay"
    given = {key: value for key, value in given.items() if value}
    path = home / "answers.toml"
    path.write_text("".join(f"{key} = {json.dumps(value)}\n" for key, value in given.items()))
    argv = ["restore", "--headless", "--console", made.url, "--answers", str(path)]
    argv += ["--secret", "server=env:ZR_TEST_PASSWORD", "--confirm-erase", WANTED.disk_serial]
    return main(argv)


def test_its_settings_are_those_of_the_new_machine(
    home: Path, made: Rehearsal, capsys: pytest.CaptureFixture[str]
) -> None:
    assert restore(home, made) == Exit.DONE
    assert list(made.would_boot()) == []
    assert list(made.accidents) == []
    said = capsys.readouterr().out
    assert "igb0 is a name of the old machine and still stands in /etc/pf.conf" in said
    assert "/etc/exports offers file systems" in said
    (report,) = home.rglob("report.md")
    text = report.read_text()
    assert "/etc/rc.conf: The network card is em0 now, and was igb0." in text
    assert "wrote its memory to /dev/ada0p2: it takes the swap of fstab now." in text
    assert "/etc/zfs/zpool.cache was put aside" in text
    assert "would say nothing on ttyu0" in text
    assert not boot_plan(made.target).silent


@pytest.mark.parametrize("word", ["", "ask", "leave"])
def test_without_the_operators_word_it_is_left_and_said(
    home: Path, made: Rehearsal, capsys: pytest.CaptureFixture[str], word: str
) -> None:
    assert restore(home, made, **{"target.mend": word}) == Exit.DONE
    reasons = list(made.would_boot())
    assert len(reasons) == 7, reasons
    assert boot_plan(made.target).silent
    said = capsys.readouterr().out
    assert "+ifconfig_em0=" in said
    assert ("target.mend = write" in said) is (word != "leave")
    (report,) = home.rglob("report.md")
    assert "Look at the settings that were left as they are" in report.read_text()


@pytest.mark.parametrize("key", ["target.mend", "target.hostid", "target.swap_eli"])
def test_another_word_is_refused_before_anything(
    home: Path, made: Rehearsal, capsys: pytest.CaptureFixture[str], key: str
) -> None:
    assert restore(home, made, **{key: "perhaps"}) == Exit.USAGE
    assert "'perhaps' is not one of the choices" in capsys.readouterr().out


def test_the_rehearsal_says_what_was_left(
    made: Rehearsal, capsys: pytest.CaptureFixture[str], home: Path
) -> None:
    assert restore(home, made, **{"target.mend": "leave"}) == Exit.DONE
    capsys.readouterr()
    ended = rehearse.judged(made, RunFinished(0, "done.", "", "", 1.0))
    assert ended.exit == Exit.FAILED
    assert "single-user mode" in ended.summary
    assert ended.now.startswith("Say yes to the differences")
    table = made.target.disks[0].table
    assert table is not None
    table.pmbr = b""
    assert "fault of zrwizard" in rehearse.judged(made, RunFinished(0, "done.", "", "", 1.0)).now


def test_the_whole_rehearsal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(rehearse, "_running", {})
    assert main(["rehearse", "restore-moved", "--headless", "--speed", "200"]) == Exit.DONE
    rehearse.machines("restore-moved").close()
    assert "The simulated disk boots" in capsys.readouterr().out
