"""A restore onto several disks as an operator types it, and what goes wrong with one of them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from zrwizard import plan as plans
from zrwizard import rehearse
from zrwizard.cli import main
from zrwizard.headless import Headless
from zrwizard.rehearsal import Rehearsal, Scenario, Start, scenario
from zrwizard.rehearsal.bootcheck import boot_plan
from zrwizard.rehearsal.hardware import Content
from zrwizard.rehearsal.machine import Machine
from zrwizard.rehearsal.targets import swap
from zrwizard.run.events import Exit

MIRROR = replace(scenario("restore-mirror"), start=Start.PLAIN, power_on_at_connect=False)
GIB = 1 << 30


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("ZR_TEST_PASSWORD", MIRROR.password)
    return tmp_path


@contextmanager
def machines(wanted: Scenario = MIRROR) -> Iterator[Rehearsal]:
    with Rehearsal(speed=200, scenario=wanted) as made:
        yield made


def restore(home: Path, made: Rehearsal, *confirmed: str, **changes: str) -> list[str]:
    """The arguments of a headless restore; without `confirmed` every disk is confirmed."""
    given: dict[str, object] = dict(rehearse.answers(made)) | {
        key.replace("__", "."): value for key, value in changes.items()
    }
    if "target.disks" in given:  # as an answers file has it
        given["target.disks"] = str(given["target.disks"]).split(", ")
    path = home / "answers.toml"
    path.write_text("".join(f"{key} = {json.dumps(value)}\n" for key, value in given.items()))
    argv = ["restore", "--headless", "--json", "--console", made.url, "--answers", str(path)]
    argv += ["--secret", "server=env:ZR_TEST_PASSWORD"]
    for typed in confirmed or rehearse.serials(made):
        argv += ["--confirm-erase", typed]
    return argv


def last(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert found["event"] == "RunFinished"
    return found


def untouched(made: Rehearsal) -> bool:
    disks = [disk for disk in made.target.disks if disk.name.startswith("vtbd")]
    return all(disk.table is None and not disk.writes for disk in disks) and not made.accidents


def stage(made: Rehearsal) -> str:
    return made.inside(lambda: boot_plan(made.target).stage)


# --- the mirror -----------------------------------------------------------------------------------


@pytest.mark.parametrize("firmware", ["BIOS", "UEFI"])
def test_a_mirror_starts_from_either_disk(home: Path, firmware: str) -> None:
    with machines(replace(MIRROR, firmware=firmware)) as made:
        assert main(restore(home, made, finish__action="stay")) == Exit.DONE
        assert (made.would_boot(), made.accidents) == ([], [])
        assert stage(made) == "boots"
        made.pull_disk("vtbd0")
        assert stage(made) == "boots"
        lost = "which is not there: "
        assert made.would_boot() == [
            *("vtbd0 is not in the machine", "pool zroot is DEGRADED"),
            f"/etc/fstab names /dev/gpt/efiboot0, {lost}the start stops in single-user mode",
            f"/etc/fstab names /dev/gpt/swap0, {lost}there is no swap",
        ]
        disk = made.target.disks[0]
        assert disk.name == "vtbd1"
        assert disk.table is not None
        word = "freebsd-boot" if firmware == "BIOS" else "efi"
        part = next(part for part in disk.table.parts.values() if part.kind == word)
        disk.overwrite(part.start * disk.sector, Content(1))
        assert stage(made) != "boots"


def test_the_rehearsal_of_the_mirror(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(rehearse, "_running", {})
    assert main(["rehearse", "restore-mirror", "--headless", "--speed", "200"]) == Exit.DONE
    rehearse.machines("restore-mirror").close()
    out = capsys.readouterr().out
    assert "disks to erase ZRDISK0001, ZRDISK0002, layout mirror" in out
    assert "mirror gpt/zfs0 gpt/zfs1" in out
    assert "The simulated disk boots" in out


@pytest.mark.parametrize(
    ("sizes", "layout", "spares", "shown"),
    [
        pytest.param((8, 8), "raidz1", 0, "raidz1-0", id="raidz1"),
        pytest.param((8, 8, 8, 9), "raidz2", 1, "raidz2-0", id="raidz2-spare"),
        pytest.param((9, 8, 8, 8), "mirrors", 1, "mirror-1", id="mirrors-spare"),
        pytest.param((8,), "stripe", 0, "gpt/zfs1", id="stripe"),
    ],
)
def test_other_layouts_start_too(
    home: Path, sizes: tuple[int, ...], layout: str, spares: int, shown: str
) -> None:
    more = tuple((size * GIB, f"ZRDISK{number:04}") for number, size in enumerate(sizes, 2))
    wanted = replace(MIRROR, more_disks=more, layout=layout, spares=spares)
    with machines(wanted) as made:
        assert main(restore(home, made, finish__action="stay")) == Exit.DONE
        assert (made.would_boot(), made.accidents) == ([], [])
        status, listed, _ = made.run("zpool import")
        assert status == 0
        assert shown in listed
        assert ("spares" in listed) == bool(spares)
        made.pull_disk("vtbd0")
        assert (stage(made) == "boots") == (layout != "stripe")


# --- the gate -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "confirmed",
    [
        pytest.param(("ZRDISK0001",), id="one-missing"),
        pytest.param(("ZRDISK0001", "ZRDISK0001"), id="one-twice"),
        pytest.param(("ZRDISK0001", "vtbd1"), id="a-name"),
        pytest.param(("ZRDISK0001", "ZRDISK0002", "SCSI0001"), id="one-too-many"),
    ],
)
def test_unless_each_disk_is_confirmed_none_is_touched(
    home: Path, confirmed: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    with machines() as made:
        assert main(restore(home, made, *confirmed)) == Exit.REFUSED
        end = last(capsys)
        assert "'ZRDISK0001'" in end["summary"]
        assert "'ZRDISK0002'" in end["summary"]
        assert "--confirm-erase 'ZRDISK0001' --confirm-erase 'ZRDISK0002'" in end["now"]
        assert untouched(made)


@pytest.mark.parametrize(
    ("accident", "says"),
    [
        pytest.param(lambda made: made.swap_disks("vtbd1", "vtbd2"), "ZRDISK0003", id="swapped"),
        pytest.param(lambda made: made.pull_disk("vtbd1"), "vtbd1 has no bytes", id="gone"),
        pytest.param(
            lambda made: made.change_disk(serial="OTHER", number=1), "OTHER", id="replaced"
        ),
    ],
)
def test_disks_that_change_between_review_and_run(
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    accident: Any,
    says: str,
) -> None:
    third = replace(MIRROR, more_disks=(*MIRROR.more_disks, (8 * GIB, "ZRDISK0003")))
    review = Headless.review
    with machines(third) as made:

        def late(front: Headless, plan: plans.Plan) -> object:
            accident(made)
            return review(front, plan)

        monkeypatch.setattr(Headless, "review", late)
        argv = restore(
            home,
            made,
            "ZRDISK0001",
            "ZRDISK0002",
            target__disks="ZRDISK0001, ZRDISK0002",
            target__spares="none",
        )
        assert main(argv) in {Exit.REFUSED, Exit.FAILED}
        assert says in last(capsys)["summary"]
        assert untouched(made)


def test_the_swapped_disk_is_seen_right_before_it_is_written(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The first disk is done when the second one changes places with a third."""
    third = replace(MIRROR, more_disks=(*MIRROR.more_disks, (8 * GIB, "ZRDISK0003")))
    with machines(third) as made:

        def on_command(machine: Machine, name: str, args: list[str]) -> None:
            if name == "newfs_msdos" and args[-1] == "/dev/gpt/efiboot0":
                machine.on_command = None
                swap(machine, "vtbd1", "vtbd2")

        made.target.on_command = on_command
        argv = restore(
            home,
            made,
            "ZRDISK0001",
            "ZRDISK0002",
            target__disks="ZRDISK0001, ZRDISK0002",
            target__spares="none",
        )
        assert main(argv) == Exit.REFUSED
        assert "vtbd1 has the serial number ZRDISK0003" in last(capsys)["summary"]
        writes = {disk.serial: disk.writes for disk in made.target.disks}
        assert writes["ZRDISK0001"]
        assert (writes["ZRDISK0002"], writes["ZRDISK0003"]) == (0, 0)


# --- a disk that fails ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "moment",
    [
        pytest.param(("create", "vtbd1"), id="table"),
        pytest.param(("add", "zfs1"), id="partition"),
        pytest.param(("bootcode", "vtbd1"), id="boot-code"),
    ],
)
def test_a_disk_that_fails_in_the_middle_and_is_mended(
    home: Path, capsys: pytest.CaptureFixture[str], moment: tuple[str, str]
) -> None:
    with machines() as made:
        second = made.target.disks[1]

        def on_command(machine: Machine, name: str, args: list[str]) -> None:
            if name == "gpart" and args[:1] == [moment[0]] and moment[1] in args:
                machine.on_command = None
                second.failing = True

        made.target.on_command = on_command
        assert main(restore(home, made)) == Exit.FAILED
        end = last(capsys)
        assert "Input/output error" in end["summary"]
        assert "vtbd1" in end["summary"]
        assert not made.target.pools
        second.failing = False
        assert main(restore(home, made)) == Exit.DONE
        assert '"resumed": true' in capsys.readouterr().out
        assert (made.would_boot(), made.accidents) == ([], [])
