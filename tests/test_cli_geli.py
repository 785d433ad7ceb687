"""A restore onto a pool that lies on geli, as an operator types it, and what goes wrong with it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from zrwizard import rehearse
from zrwizard.cli import main
from zrwizard.plan import Step
from zrwizard.rehearsal import Rehearsal, Start, scenario
from zrwizard.rehearsal.bootcheck import boot_plan, lock_on
from zrwizard.rehearsal.geli import GELIBOOT
from zrwizard.run.acting import Actor
from zrwizard.run.events import Exit

WANTED = replace(scenario("restore-encrypted"), start=Start.PLAIN, power_on_at_connect=False)
PASSPHRASE = WANTED.disk_passphrase
LOADER_LINE = b'\ngeom_eli_load="YES"\n'


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("ZR_TEST_PASSWORD", WANTED.password)
    monkeypatch.setenv("ZR_TEST_PASSPHRASE", PASSPHRASE)
    return tmp_path


@pytest.fixture
def made() -> Iterator[Rehearsal]:
    with Rehearsal(speed=200, scenario=WANTED) as machines:
        yield machines


def restore(home: Path, made: Rehearsal, finish: str = "stay") -> int:
    given = {**dict(rehearse.answers(made)), "finish.action": finish}
    path = home / "answers.toml"
    path.write_text("".join(f"{key} = {json.dumps(value)}\n" for key, value in given.items()))
    argv = ["restore", "--headless", "--json", "--console", made.url, "--answers", str(path)]
    argv += ["--secret", "server=env:ZR_TEST_PASSWORD"]
    argv += ["--secret", "disk-passphrase=env:ZR_TEST_PASSPHRASE"]
    return main([*argv, "--confirm-erase", WANTED.disk_serial])


def events(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def typed(found: list[dict[str, Any]], step: str) -> list[str]:
    """What was typed as the action of a step."""
    return [
        event["text"]
        for event in found
        if event["event"] == "Typed" and event["step"] == step and event["role"] == "act"
    ]


def written(home: Path) -> list[Path]:
    return [path for path in home.rglob("*") if path.is_file()]


def reasons(made: Rehearsal) -> tuple[list[str], list[str]]:
    return list(made.would_boot()), list(made.accidents)


def test_from_the_question_to_the_login(
    home: Path, made: Rehearsal, capsys: pytest.CaptureFixture[str]
) -> None:
    assert restore(home, made, "reboot") == Exit.DONE
    out = capsys.readouterr().out
    assert "geli attach -C -j - gpt/zfs0" in out
    (copy,) = home.rglob("vtbd0.eli")
    assert copy.stat().st_mode & 0o777 == 0o600
    assert copy.read_bytes()[:9] == b"GEOM::ELI"
    (report,) = home.rglob("report.md")
    assert str(copy) in report.read_text()
    assert PASSPHRASE not in out
    assert [path for path in written(home) if PASSPHRASE.encode() in path.read_bytes()] == []
    pool = made.target.pools["zroot"]
    conf = pool.datasets[pool.props["bootfs"].partition("/")[2]].files["boot/loader.conf"]
    assert conf is not None
    assert conf.count(LOADER_LINE) == 1
    assert reasons(made) == ([], [])


def test_a_run_that_ended_between_init_and_attach_goes_on(
    home: Path,
    made: Rehearsal,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with monkeypatch.context() as broken:
        broken.setattr(Actor, "_fetch", _fails)
        assert restore(home, made) == Exit.FAILED
    assert len(typed(events(capsys), "geli-init")) == 1
    assert not made.target.attached

    with monkeypatch.context() as wrong:
        wrong.setenv("ZR_TEST_PASSPHRASE", "another one")
        assert restore(home, made) != Exit.DONE
    second = events(capsys)
    assert typed(second, "geli-init") == []
    assert "Wrong key" in second[-1]["summary"]
    assert not made.target.attached

    assert restore(home, made) == Exit.DONE
    third = events(capsys)
    assert typed(third, "geli-init") == []
    assert len(typed(third, "geli-attach")) == 1
    assert reasons(made) == ([], [])


def _fails(self: Actor, step: Step, action: object) -> None:
    raise OSError(28, "No space left on device")


def test_missing_flags_are_seen_before_the_restart(
    home: Path,
    made: Rehearsal,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    act = Actor.act

    def spoil(self: Actor, step: Step, begun_before: bool) -> None:
        act(self, step, begun_before)
        if step.id == "bootfs":
            found = lock_on(made.target, made.target.disks[0])
            assert found is not None
            found[1].flags &= ~GELIBOOT

    monkeypatch.setattr(Actor, "act", spoil)
    assert restore(home, made, "reboot") == Exit.FAILED
    found = events(capsys)
    assert "geli configure -b -g gpt/zfs0" in found[-1]["summary"]
    assert typed(found, "leave") == []
    assert "vtbd0p4 is encrypted without the flag GELIBOOT" in made.would_boot()
    assert made.inside(lambda: boot_plan(made.target).stage) == "no system"


def test_a_wrong_passphrase_at_the_start_is_told(
    home: Path,
    made: Rehearsal,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    act = Actor.act

    def spoil(self: Actor, step: Step, begun_before: bool) -> None:
        if step.id == "leave":
            found = lock_on(made.target, made.target.disks[0])
            assert found is not None
            found[1].slots[0] = b"another key"
        act(self, step, begun_before)

    # The simulated loader asks four times here, so that the fourth prompt is seen unanswered.
    monkeypatch.setattr("zrwizard.rehearsal.console.LOADER_TRIES", 4)
    monkeypatch.setattr(Actor, "act", spoil)
    assert restore(home, made, "reboot") != Exit.DONE
    assert "typed 3 times" in events(capsys)[-1]["summary"]
    assert [path for path in written(home) if PASSPHRASE.encode() in path.read_bytes()] == []


def test_the_rehearsal(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(rehearse, "_running", {})
    assert main(["rehearse", "restore-encrypted", "--headless", "--speed", "200"]) == Exit.DONE
    rehearse.machines("restore-encrypted").close()
    out = capsys.readouterr().out
    assert "zroot gpt/zfs0.eli" in out
    assert "The simulated disk boots" in out
