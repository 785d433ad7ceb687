"""A machine that was started by UEFI: its firmware's list gets the new disks."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from tests.test_cli_disks import MIRROR, home, machines, restore, stage
from zrwizard.cli import main
from zrwizard.rehearsal import Rehearsal
from zrwizard.rehearsal.cmd_efi import Firmware
from zrwizard.rehearsal.faults import FAULTS
from zrwizard.run.events import Exit

__all__ = ["home"]
UEFI = replace(MIRROR, firmware="UEFI")
OLD = ["FreeBSD HD(1", "UEFI QEMU DVD-ROM QM00003 PciRoot(0x0)/Pci(0x1"]


def firmware(made: Rehearsal) -> Firmware:
    assert made.target.firmware is not None
    return made.target.firmware


def entries(made: Rehearsal) -> list[str]:
    return [f"{entry.label} {entry.media.split(',')[0]}" for entry in firmware(made).entries]


def report(home: Path) -> str:
    (path,) = (home / "state").rglob("report.md")
    return path.read_text()


def test_each_disk_is_entered_once_and_before_the_old_one(home: Path) -> None:
    with machines(UEFI) as made:
        made.put(FAULTS["no-bootfs"])
        assert main(restore(home, made, finish__action="stay")) == Exit.FAILED
        assert main(restore(home, made, finish__action="stay")) == Exit.DONE
        new = ["FreeBSD efiboot0 HD(2", "FreeBSD efiboot1 HD(2"]
        assert entries(made) == new + OLD
        assert (made.would_boot(), made.accidents, stage(made)) == ([], [], "boots")
        assert "Boot0003* FreeBSD efiboot0 HD(2,GPT," in report(home)
        assert "Boot0002* FreeBSD efiboot1 HD(2,GPT," in report(home)
        # The disk that is gone is passed over, as is the one that died before.
        made.pull_disk("vtbd0")
        assert stage(made) == "boots"


def test_a_firmware_that_keeps_no_entry_stops_nothing(home: Path) -> None:
    with machines(UEFI) as made:
        firmware(made).forgets = True
        assert main(restore(home, made, finish__action="stay")) == Exit.DONE
        assert entries(made) == OLD
        assert (made.would_boot(), stage(made)) == ([], "boots")
        assert "None for vtbd1. It is started as EFI/BOOT/BOOTX64.EFI" in report(home)


def test_without_its_variables_it_is_said_what_starts_it(home: Path) -> None:
    with machines(UEFI) as made:
        made.target.firmware = None
        assert main(restore(home, made, finish__action="stay")) == Exit.DONE
        assert (made.would_boot(), stage(made)) == ([], "boots")
        assert "None for vtbd0. It is started as EFI/BOOT/BOOTX64.EFI" in report(home)
