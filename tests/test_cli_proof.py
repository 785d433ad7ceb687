"""What would keep a restored machine from starting is found before the restart, whatever it is."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from zrwizard import rehearse
from zrwizard.cli import main
from zrwizard.rehearsal import Rehearsal, Start, scenario
from zrwizard.rehearsal.faults import FAULTS, Fault
from zrwizard.rehearsal.machine import Machine
from zrwizard.run.events import Exit

Found = dict[str, tuple[str, str]]
IN_BACKUP: Found = {
    "no-kernel": ("prove-system", "no kernel: /boot/kernel"),
    "no-loader": ("prove-system", "no /boot/loader, which gptzfsboot starts"),
    "other-kernel": ("prove-system", "no kernel: /boot/kernel.GENERIC-NODEBUG is"),
}
ON_TARGET: dict[str, Found] = {
    "restore": {
        "no-bootfs": ("prove-bootfs", "does not start from zroot/ROOT/"),
        "other-bootfs": ("prove-bootfs", "does not start from zroot/ROOT/"),
        "mountpoint": ("prove-bootfs", "is not /."),
        "feature": ("prove-features", "uses edonr, which /boot/gptzfsboot"),
        "lost-snapshot": ("prove-snapshots", "not those of the server"),
        "second-root": ("prove-mounts", "zroot/usr/src would be mounted at /"),
        "mounted": ("prove-mounts", "Mounted outside /mnt: zroot/home"),
    },
    "restore-mirror": {
        "no-pmbr": ("prove-boot-vtbd1", "BIOS boot code on vtbd1"),
        "boot-code": ("prove-boot-vtbd1", "BIOS boot code on vtbd1"),
        "wrong-index": ("prove-boot-vtbd1", "BIOS boot code on vtbd1"),
        "no-efi-loader": ("prove-boot-vtbd1", "EFI loader on vtbd1"),
        "old-efi-loader": ("prove-boot-vtbd1", "EFI loader on vtbd1"),
        "other-index": ("prove-table", "Partition 1 of vtbd1"),
        "no-boot-partition": ("prove-table", "Partition 1 of vtbd1"),
        "missing-disk": ("prove-table", "of vtbd1 is not as planned"),
    },
    "restore-encrypted": {
        "geli-flags": ("prove-geli", "Type: geli configure -b -g gpt/zfs0"),
        "geli-module": ("prove-geli", 'geom_eli_load="YES"'),
    },
}
STARTS = {"other-index", "old-efi-loader", "lost-snapshot", "mounted"}
"""What a machine starts in spite of: the proof asks for more than that."""
BY_HAND = {
    *("feature", "lost-snapshot", "second-root", "mounted", "geli-flags"),
    *("other-index", "no-boot-partition", "missing-disk"),
}
"""What a wizard that is started again does not mend by itself: it is no work of its own."""


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path


@contextmanager
def machines(name: str) -> Iterator[Rehearsal]:
    wanted = replace(scenario(name), start=Start.PLAIN, power_on_at_connect=False)
    with Rehearsal(speed=400, scenario=wanted) as made:
        yield made


def restore(home: Path, made: Rehearsal, monkeypatch: pytest.MonkeyPatch) -> int:
    given: dict[str, object] = dict(rehearse.answers(made))
    if "target.disks" in given:
        given["target.disks"] = str(given["target.disks"]).split(", ")
    path = home / "answers.toml"
    path.write_text("".join(f"{key} = {json.dumps(value)}\n" for key, value in given.items()))
    monkeypatch.setenv("ZR_PASSWORD", made.scenario.password)
    monkeypatch.setenv("ZR_PASSPHRASE", made.scenario.disk_passphrase)
    argv = ["restore", "--headless", "--json", "--console", made.url, "--answers", str(path)]
    argv += ["--secret", "server=env:ZR_PASSWORD", "--secret", "disk-passphrase=env:ZR_PASSPHRASE"]
    for serial in rehearse.serials(made):
        argv += ["--confirm-erase", serial]
    return main(argv)


def events(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def hand(made: Rehearsal) -> Callable[[], None]:
    """What undoes a fault as an operator would: everything is as it was now."""
    machine, pool = made.target, made.target.pools["zroot"]
    features, mounts, disks = dict(pool.features), list(machine.mounts), list(machine.disks)
    sets = {rel: (dict(ds.local), list(ds.snapshots)) for rel, ds in pool.datasets.items()}
    tables = [(disk.table, dict(disk.table.parts)) for disk in disks if disk.table]
    locks = [w.content.geli for w in machine.places() if w.content.geli]
    flags = [lock.flags for lock in locks]

    def undo() -> None:
        pool.features, machine.mounts[:], machine.disks[:] = features, mounts, disks
        for rel, (local, snapshots) in sets.items():
            pool.datasets[rel].local, pool.datasets[rel].snapshots = local, snapshots
        for table, parts in tables:
            table.parts = parts
            for index, part in parts.items():
                part.index = index
        for lock, was in zip(locks, flags, strict=True):
            lock.flags = was

    return lambda: made.inside(undo)


def remembering(made: Rehearsal, fault: Fault, undo: list[Callable[[], None]]) -> Fault:
    """The fault, which first puts into `undo` what takes it out again."""

    def put(machine: Machine) -> None:
        undo.append(hand(made))
        fault.put(machine)

    return replace(fault, put=put)


def check(
    made: Rehearsal, seen: list[dict[str, Any]], name: str, expected: tuple[str, str]
) -> None:
    step, words = expected
    failed = [event for event in seen if event["event"] == "StepFailed"]
    assert [event["step"] for event in failed] == [step]
    summary = " ".join(seen[-1]["summary"].split())
    assert summary.startswith("Not proven: ")
    assert words in summary
    assert "every check is made again" in seen[-1]["now"]
    begun = {event["step"] for event in seen if event["event"] == "StepStarted"}
    assert not begun & {"be-unmount", "unmark", "export", "leave"}
    assert made.target.live
    assert "zroot" in made.target.pools
    assert bool(made.would_boot()) == (name not in STARTS)
    assert made.accidents == []


def test_every_fault_is_looked_for() -> None:
    looked_for = [*IN_BACKUP, *(name for found in ON_TARGET.values() for name in found)]
    assert sorted(looked_for) == sorted(FAULTS)


@pytest.mark.parametrize("name", IN_BACKUP)
def test_what_the_backup_lacks_is_found_before_the_restart(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    with machines("restore") as made:
        made.put(FAULTS[name])
        assert restore(home, made, monkeypatch) == Exit.FAILED
        check(made, events(capsys), name, IN_BACKUP[name])


@pytest.mark.parametrize("rehearsed", ON_TARGET)
def test_each_fault_is_found_before_the_restart_and_started_again_it_is_mended(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], rehearsed: str
) -> None:
    """One restore, and fault after fault comes in right before the proofs of each new start."""
    with machines(rehearsed) as made:
        for name, expected in ON_TARGET[rehearsed].items():
            undo: list[Callable[[], None]] = []
            made.put(remembering(made, FAULTS[name], undo))
            assert restore(home, made, monkeypatch) == Exit.FAILED, name
            check(made, events(capsys), name, expected)
            if name in BY_HAND:
                undo[0]()
        assert restore(home, made, monkeypatch) == Exit.DONE
        assert not made.target.live
        assert (made.would_boot(), made.accidents) == ([], [])
        (report,) = home.rglob("report.md")
        assert "a backup can go on." in report.read_text()
    capsys.readouterr()
