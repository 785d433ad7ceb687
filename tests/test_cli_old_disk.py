"""A disk that was used before: what its old system wrote into last sectors is found and wiped."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.test_cli_disks import home, machines
from zrwizard import rehearse
from zrwizard.cli import main
from zrwizard.rehearsal import Rehearsal, Start, scenario
from zrwizard.rehearsal.cmd_disk import tail_of
from zrwizard.run.events import Exit

__all__ = ["home"]
WANTED = replace(scenario("old-marks"), start=Start.PLAIN, power_on_at_connect=False)


@pytest.fixture
def made() -> Iterator[Rehearsal]:
    with machines(WANTED) as running:
        yield running


def restore(home: Path, made: Rehearsal, **answers: str) -> int:
    given = {**dict(rehearse.answers(made)), "finish.action": "stay", **answers}
    path = home / "answers.toml"
    path.write_text("".join(f"{key} = {json.dumps(value)}\n" for key, value in given.items()))
    argv = ["restore", "--headless", "--json", "--console", made.url, "--answers", str(path)]
    argv += ["--secret", "server=env:ZR_TEST_PASSWORD", "--confirm-erase", WANTED.disk_serial]
    return main(argv)


def marks(made: Rehearsal) -> dict[str, bytes]:
    return {where.name: tail_of(where) for where in made.target.places() if tail_of(where)}


def events(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_it_is_wiped_before_the_new_partitions_are_made(
    home: Path, made: Rehearsal, capsys: pytest.CaptureFixture[str]
) -> None:
    assert list(marks(made)) == ["vtbd0p3", "vtbd0p4"]
    assert restore(home, made) == Exit.DONE
    assert (made.would_boot(), made.accidents) == ([], [])
    assert marks(made) == {}
    seen = events(capsys)
    titles = [event["title"] for event in seen if event["event"] == "StepStarted"]
    assert "Wipe the old gmirror metadata of vtbd0p3" in titles
    assert "Wipe the old geli metadata of vtbd0p4" in titles
    done = [event["step"] for event in seen if event["event"] == "StepDone"]
    assert done.index("old-metadata-1") < done.index("old-metadata-2") < done.index("old-table")


def test_a_bare_name_does_not_free_it(
    home: Path, made: Rehearsal, capsys: pytest.CaptureFixture[str]
) -> None:
    before = made.target.disks[0].writes
    assert restore(home, made, **{"target.disk": "vtbd0"}) == Exit.REFUSED
    end = events(capsys)[-1]
    assert "vtbd0p3 is a part of the gmirror swap" in end["summary"]
    assert "name it by its serial number: ZRDISK0001" in end["now"]
    assert made.target.disks[0].writes == before


def test_without_the_wiping_the_new_system_would_stumble_over_it(
    home: Path, made: Rehearsal, monkeypatch: pytest.MonkeyPatch
) -> None:
    from zrwizard.flows import disk_steps

    monkeypatch.setattr(disk_steps, "_old_metadata", lambda _choices, _place: [])
    assert restore(home, made) == Exit.DONE
    assert "vtbd0p3 is taken for a part of what was there before" in made.would_boot()
