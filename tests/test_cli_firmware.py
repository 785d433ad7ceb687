"""Disks that only one firmware starts: what they get, what is proven, and that they start."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.test_cli_disks import MIRROR, home, last, machines, restore, stage
from zrwizard.cli import main
from zrwizard.rehearsal import Rehearsal, Scenario
from zrwizard.rehearsal.faults import FAULTS
from zrwizard.run.events import Exit

__all__ = ["home"]
UEFI = replace(MIRROR, firmware="UEFI")
HAVE = {"bios": ["freebsd-boot", "freebsd-swap", "freebsd-zfs"]}
HAVE["uefi"] = ["efi", *HAVE["bios"][1:]]
DISKS = ("vtbd0", "vtbd1")
MISSING = {
    "bios": [f"{disk} has no EFI system partition" for disk in DISKS],
    "uefi": [
        f"{disk} has no {what}"
        for disk in DISKS
        for what in ("known pmbr", "freebsd-boot partition")
    ],
}
"""What the other firmware would miss: all of it left out on purpose."""
SPOILT = {"bios": "boot-code", "uefi": "no-efi-loader"}


def rows(made: Rehearsal) -> list[list[str]]:
    found = []
    for name in DISKS:
        disk = made.target.disk(name)
        assert disk is not None
        assert disk.table is not None
        assert list(disk.table.parts) == [1, 2, 3]
        found.append([part.kind for part in disk.table.parts.values()])
    return found


@pytest.mark.parametrize(
    ("only", "machine"), [("bios", MIRROR), ("uefi", UEFI)], ids=["bios", "uefi"]
)
def test_they_have_what_that_firmware_reads_and_start(
    home: Path, only: str, machine: Scenario
) -> None:
    with machines(machine) as made:
        # The restored fstab mounts an EFI partition.
        given = {"target.firmware": only, "target.mend": "write", "finish.action": "stay"}
        assert main(restore(home, made, **given)) == Exit.DONE
        assert rows(made) == [HAVE[only]] * 2
        assert (made.would_boot(), made.accidents) == (MISSING[only], [])
        assert stage(made) == "boots"
        made.pull_disk("vtbd0")
        assert stage(made) == "boots"


def test_on_a_machine_that_started_otherwise_it_is_said_and_does_not_start(
    home: Path,
) -> None:
    with machines(UEFI) as made:
        given = {"target.firmware": "bios", "finish.action": "stay"}
        assert main(restore(home, made, **given)) == Exit.DONE
        (path,) = (home / "state").rglob("report.md")
        said = "The target was started by UEFI, and these disks start only by BIOS"
        assert said in path.read_text()
        assert stage(made) == "no code"


@pytest.mark.parametrize("only", HAVE)
def test_the_code_that_it_reads_is_proven(
    home: Path, capsys: pytest.CaptureFixture[str], only: str
) -> None:
    with machines(UEFI if only == "uefi" else MIRROR) as made:
        made.put(FAULTS[SPOILT[only]])
        assert main(restore(home, made, target__firmware=only)) == Exit.FAILED
        assert "is not that of the restored system" in last(capsys)["summary"]
        assert made.target.live


def test_another_word_is_refused(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with machines() as made:
        assert main(restore(home, made, target__firmware="coreboot")) == Exit.USAGE
        assert "'coreboot' is not one of the choices" in capsys.readouterr().out
