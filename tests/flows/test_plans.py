"""Plans as data: facts and answers in, commands out; the kept texts were read by a person."""

from __future__ import annotations

import json
import os
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.flows.world import ANSWERS, World, target, with_disks
from tests.shlint import lint, parses
from zrwizard import export
from zrwizard.facts import TargetFacts
from zrwizard.flows.moves import Answers, Review
from zrwizard.freebsd.lastsector import Metadata
from zrwizard.plan import Danger, Feed, Fetch, Plan, Step, Transfer, from_json, typed_text

PLANS = Path(__file__).parent.parent / "plans"
CASES = json.loads((PLANS / "cases.json").read_text())
LAYOUTS = json.loads((PLANS / "layouts.json").read_text())
"""Pools over several disks, of which only the vdevs are kept: by number, layout, spares."""
ALL = [*CASES, *LAYOUTS]


def layout_case(name: str) -> dict[str, Any]:
    row = LAYOUTS[name]
    count, spares = row["disks"], row.get("spares", 0)
    serials = [f"ZRDISK{number + 1:04}" for number in range(count + spares)]
    return {
        "machine": "blank",
        "disks": [4] * len(serials),
        "answers": {
            "target.disks": ", ".join(serials[:count]),
            "target.layout": row["layout"],
            "target.spares": ", ".join(serials[count:]) or "none",
        },
    }


def with_marks(machine: TargetFacts, marks: list[Metadata]) -> TargetFacts:
    disks = (
        replace(disk, metadata=tuple(mark for mark in marks if mark.provider.startswith(disk.name)))
        for disk in machine.disks
    )
    return replace(machine, disks=tuple(disks))


def plan_of(name: str) -> Plan:
    case = CASES[name] if name in CASES else layout_case(name)
    machine = target(case["machine"])
    machine = replace(machine, boot_method=case.get("boot", machine.boot_method))
    if "marks" in case:
        machine = with_marks(machine, [Metadata(*mark) for mark in case["marks"]])
    world = World(with_disks(machine, *case["disks"]) if "disks" in case else machine)
    world.server["received"] = case.get("received", False)
    if "large" in case:
        rows = [f"full\thostA/{name}@2025-08-08-deep\t12000000\n" for name in case["large"]]
        world.server["estimate"] = "".join(rows) + f"size\t{12000000 * len(rows)}\n"
    given = {**ANSWERS, "server.host_key": world.server["fingerprint"], **case["answers"]}
    if "target.disks" in given:
        del given["target.disk"]
    move = world.walk(Answers(given))
    assert isinstance(move, Review), move
    return move.plan


def texts(step: Step) -> list[str]:
    found = [text for text in (step.look, step.guard, step.proof) if text]
    if isinstance(step.action, Transfer):
        found += [step.action.reset] if step.action.reset else []
    action = step.action
    if isinstance(action, Fetch):
        return found
    return [*found, action.text if isinstance(action, Feed) else typed_text(action)]


def commands(plan: Plan) -> str:
    rows = [f"# {plan.title}"]
    for step in plan.steps:
        rows.append(f"\n## {step.id} ({step.phase}, {step.danger})")
        if step.destroys:
            rows.append(f"destroys: {step.destroys}")
        rows.append(typed_text(step.action))
    rows.append("\n# notes")
    return "\n".join([*rows, *plan.notes]) + "\n"


@pytest.mark.parametrize("name", CASES)
def test_commands_are_the_kept_ones(name: str) -> None:
    path = PLANS / f"{name}.txt"
    found = commands(plan_of(name))
    if os.environ.get("ZRWIZARD_RECORD"):
        path.write_text(found)
    assert found == path.read_text()


@pytest.mark.parametrize("name", LAYOUTS)
def test_vdevs_of_every_layout(name: str) -> None:
    plan = plan_of(name)
    created = typed_text(next(step for step in plan.steps if step.id == "pool").action)
    assert created.endswith(f" -m none zroot {LAYOUTS[name]['vdevs']}")


@pytest.mark.parametrize("name", [name for name in ALL if len(plan_of(name).disks) > 1])
def test_every_disk_gets_the_same_and_each_step_looks_at_its_own(name: str) -> None:
    plan = plan_of(name)
    names = [disk.name for disk in plan.disks]
    words = ["new-table", "partition-1"]
    by = CASES.get(name, {"answers": {}})["answers"].get("target.firmware", "both")
    bios, uefi = ["boot-code", "boot-code-again"], ["efi-format", "efi-loader-again"]
    words += bios * (by != "uefi") + uefi * (by != "bios")
    ids = {step.id for step in plan.steps}
    for disk in names:
        assert {f"{word}-{disk}" for word in words} <= ids
    labels = {disk: str(number) for number, disk in enumerate(names)}
    for step in plan.steps:
        if step.danger is not Danger.ERASES:
            continue
        assert step.guard is not None
        looked = {disk for disk in names if f"diskinfo -s {disk})" in step.guard}
        typed = typed_text(step.action)
        meant = {
            disk
            for disk in names
            if re.search(rf"\b{disk}(p\d+)?\b", typed)
            or re.search(rf"gpt/[a-z]+{labels[disk]}\b", typed)
        }
        assert looked == meant, step.id
    table = next(step for step in plan.steps if step.id == "prove-table")
    zfs = re.findall(r"freebsd-zfs \+\d+ \+(\d+) \+zfs\d", typed_text(table.action))
    assert len(zfs) == len(names)
    assert len(set(zfs)) == 1


@pytest.mark.parametrize("name", ALL)
def test_every_text_is_posix(name: str, tmp_path: Path) -> None:
    # One file a plan: each text in a function's subshell, as the shell protocol runs it.
    number = 0
    parts = ["#!/bin/sh", "# shellcheck disable=SC2235"]
    for step in plan_of(name).steps:
        for text in texts(step):
            if not text.startswith("write /"):
                number += 1
                parts += [f"f{number}() (", text, ")", f"f{number}"]
                assert parses(text), text
    whole = tmp_path / "whole.sh"
    whole.write_text("\n".join(parts) + "\n")
    lint(whole)


@pytest.mark.parametrize("name", ALL)
def test_json_round_trip(name: str) -> None:
    plan = plan_of(name)
    assert from_json(plan.to_json()) == plan


@pytest.mark.parametrize("name", ALL)
def test_what_every_plan_keeps(name: str) -> None:
    plan = plan_of(name)
    ids = [step.id for step in plan.steps]
    assert len(ids) == len(set(ids))
    phases = [step.phase for step in plan.steps]
    assert phases == sorted(phases, key=list(type(phases[0])).index)
    for step in plan.steps:
        if step.danger is Danger.ERASES:
            assert step.guard is not None, step.id
            touched = [d for d in plan.disks if f"diskinfo {d.name}" in step.guard]
            assert touched, step.id
            assert all(str(disk.size) in step.guard for disk in touched), step.id
            assert "zpool status -P" in step.guard, step.id
            assert step.look is not None, step.id
            assert step.proof is not None, step.id
    everything = "\n".join(text for step in plan.steps for text in texts(step))
    for forbidden in ("/root", "kern.geom.debugflags", "StrictHostKeyChecking=no", "rm -rf"):
        assert forbidden not in everything
    for line in everything.split("\n"):
        if "zpool import" in line and "timeout" not in line:
            assert "-N -R /mnt" in line
    transfer = next(step for step in plan.steps if isinstance(step.action, Transfer))
    assert transfer.proof
    assert "zfs list" in transfer.proof


def test_harmless_steps_come_first() -> None:
    plan = plan_of("blank-bios")
    first = next(n for n, step in enumerate(plan.steps) if step.danger is Danger.ERASES)
    assert {str(step.phase) for step in plan.steps[:first]} == {"network", "login", "disk"}


def test_secrets_are_named_only() -> None:
    plan = plan_of("used-key-poweroff")
    assert '"secret": "key"' in plan.to_json()
    assert "<secret:key>" in typed_text(next(s for s in plan.steps if s.id == "key").action)


def test_labels_of_other_disks_are_not_taken_again() -> None:
    world = World(target("used"))
    given = {
        **ANSWERS,
        "server.host_key": world.server["fingerprint"],
        "target.disk": "SCSI0001",
        "target.swap": "0",
    }
    move = world.walk(Answers(given))
    assert isinstance(move, Review)
    text = commands(move.plan)
    assert "/dev/gpt/efiboot1" in text
    assert "zroot gpt/zfs1" in text
    assert "efiboot0" not in text
    assert any("Another disk holds a pool that is called zroot too" in n for n in move.plan.notes)


def test_disk_without_serial_is_named_by_name_and_size() -> None:
    machine = target("blank")
    disks = tuple(
        replace(disk, disk=replace(disk.disk, ident=None)) if disk.name == "vtbd0" else disk
        for disk in machine.disks
    )
    world = World(replace(machine, disks=disks))
    given = {
        **ANSWERS,
        "server.host_key": world.server["fingerprint"],
        "target.disk": "vtbd0",
    }
    move = world.walk(Answers(given))
    assert isinstance(move, Review)
    assert move.plan.disks[0].typed == "vtbd0 4294967296"
    guards = [step.guard for step in move.plan.steps if step.guard and step.danger == "erases"]
    assert guards
    assert all("diskinfo -s" not in guard for guard in guards)


@pytest.mark.parametrize(
    ("files", "method", "expected"),
    [
        (frozenset({"pmbr", "gptzfsboot", "loader.efi"}), "UEFI", "that of the install medium"),
        (frozenset({"pmbr", "gptzfsboot"}), "UEFI", "will not start from this disk"),
        (frozenset(), "BIOS", "will not start from this disk"),
        (frozenset({"loader.efi"}), "UEFI", "only UEFI will start it"),
    ],
)
def test_boot_files_of_medium_or_restored_system(
    files: frozenset[str], method: str, expected: str
) -> None:
    world = World(replace(target("blank"), boot_files=files, boot_method=method))
    given = {**ANSWERS, "server.host_key": world.server["fingerprint"]}
    move = world.walk(Answers(given))
    assert isinstance(move, Review)
    text = commands(move.plan)
    assert expected in text
    assert ("## boot-code (" in text) == ({"pmbr", "gptzfsboot"} <= files)
    assert ("## efi-loader (" in text) == ("loader.efi" in files)
    missing = [note for note in move.plan.notes if "install medium has no" in note]
    assert len(missing) == (not {"pmbr", "gptzfsboot"} <= files) + ("loader.efi" not in files)


@pytest.mark.parametrize("name", ALL)
def test_exports(name: str, tmp_path: Path) -> None:
    plan = plan_of(name)
    path = tmp_path / "plan.sh"
    path.write_text(export.to_sh(plan))
    lint(path)
    book = export.to_markdown(plan)
    for step in plan.steps:
        assert step.why.split("`")[0][:20] in book.replace("\\", "")
    assert book.count("```") % 2 == 0
