"""Plans of `server` as data: facts and answers in, commands out; read by a person, and kept."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.flows.server_world import METADATA, SERIAL, ServerWorld, full
from tests.shlint import SHELL, lint, parses
from zrwizard import export, receiver
from zrwizard.flows.moves import Review
from zrwizard.plan import (
    Command,
    Danger,
    Edit,
    Feed,
    Fetch,
    Local,
    Phase,
    Plan,
    Send,
    Step,
    Upload,
    from_json,
    typed_text,
)

PLANS = Path(__file__).parent.parent / "plans"
CASES = json.loads((PLANS / "server-cases.json").read_text())
VAULTS = [name for name in CASES if CASES[name].get("answers", {}).get("server.shape") != "plain"]
WHOLE = [n for n in CASES if CASES[n].get("answers", {}).get("server.scope") != "disk"]
NEW = [name for name in CASES if not CASES[name].get("keep")]


def plan_of(name: str, **changes: str) -> Plan:
    case = CASES[name]
    world = ServerWorld().changed(
        release=case["release"], openssh=case["openssh"], live=case.get("live", False)
    )
    if case.get("keep"):
        world = world.disk("da0", contents="4294967295 0", table=None)
        world = world.changed(sealed=("da0",)).keys()
    answers = full(**changes)
    for key, value in case.get("answers", {}).items():
        answers = answers if key.replace(".", "__") in changes else answers.put(key, value)
    move = world.walk(answers)
    assert isinstance(move, Review), move
    return move.plan


def texts(step: Step) -> list[str]:
    """Everything of a step that is sh, on the target or typed by hand."""
    found = [text for text in (step.look, step.guard, step.proof) if text]
    if isinstance(step.action, Command | Feed | Local):
        found.append(step.action.text)
    return found


def commands(plan: Plan) -> str:
    rows = [f"# {plan.title}"]
    for step in plan.steps:
        rows.append(f"\n## {step.id} ({step.phase}, {step.danger})")
        if step.destroys:
            rows.append(f"destroys: {step.destroys}")
        if isinstance(step.action, Upload):
            ours = step.action.content in (receiver.SCRIPT, receiver.RC_SCRIPT)
            rows.append(f"write {step.action.path} (mode {step.action.mode:04o})")
            rows += [] if ours else (step.action.content or "").splitlines()
        else:
            rows.append(typed_text(step.action))
        if isinstance(step.action, Local):
            rows += [f"detail: {word}" for word in step.action.detail]
    rows.append("\n# notes")
    return "\n".join([*rows, *plan.notes]) + "\n"


def step(plan: Plan, id: str) -> Step:
    return next(step for step in plan.steps if step.id == id)


@pytest.mark.parametrize("name", CASES)
def test_commands_are_the_kept_ones(name: str) -> None:
    path = PLANS / f"{name}.txt"
    found = commands(plan_of(name))
    if os.environ.get("ZRWIZARD_RECORD"):
        path.write_text(found)
    assert found == path.read_text()


@pytest.mark.parametrize("name", CASES)
def test_every_text_is_posix(name: str, tmp_path: Path) -> None:
    # One file a plan: each text in a function's subshell, as the shell protocol runs it.
    parts = ["#!/bin/sh", "# shellcheck disable=SC2235"]
    number = 0
    for each in plan_of(name).steps:
        for text in texts(each):
            number += 1
            parts += [f"f{number}() (", text, ")", f"f{number}"]
            assert parses(text), text
            assert text.isascii(), text
    whole = tmp_path / "whole.sh"
    whole.write_text("\n".join(parts) + "\n")
    lint(whole)


@pytest.mark.parametrize("name", CASES)
def test_json_round_trip(name: str) -> None:
    plan = plan_of(name)
    assert from_json(plan.to_json()) == plan


@pytest.mark.parametrize("name", CASES)
def test_what_every_plan_keeps(name: str) -> None:
    plan = plan_of(name)
    ids = [each.id for each in plan.steps]
    assert len(ids) == len(set(ids))
    phases = [each.phase for each in plan.steps]
    assert phases == sorted(phases, key=list(Phase).index)
    (disk,) = plan.disks
    for each in plan.steps:
        assert each.title[0].isupper()
        assert each.why.endswith("."), each.id
        if each.danger is Danger.ERASES:
            assert each.guard is not None, each.id
            assert f"diskinfo {disk.name}" in each.guard, each.id
            assert str(disk.size) in each.guard, each.id
            assert "zpool status -P" in each.guard, each.id
            assert each.look is not None, each.id
            assert each.proof is not None, each.id
    everything = "\n".join(text for each in plan.steps for text in texts(each))
    for forbidden in ("kern.geom.debugflags", "StrictHostKeyChecking=no", "rm -rf", "/root"):
        assert forbidden not in everything
    for line in everything.split("\n"):
        if "zpool import" in line and "timeout" not in line and "printf" not in line:
            assert "-N -o cachefile=none" in line, line


@pytest.mark.parametrize("name", CASES)
def test_secrets_are_named_only(name: str) -> None:
    plan = plan_of(name)
    fed = {each.action.secret for each in plan.steps if isinstance(each.action, Feed)}
    assert fed <= {"geli-key"}
    uploaded = [each.action for each in plan.steps if isinstance(each.action, Upload)]
    assert all(action.secret is None for action in uploaded)
    # Only what is public is sent, and nothing private is fetched.
    sent = {each.action.name for each in plan.steps if isinstance(each.action, Send)}
    assert sent <= {"ca.pub", "host-cert.pub", "revoked.spec"}
    fetched = {each.action.name for each in plan.steps if isinstance(each.action, Fetch)}
    assert fetched <= {"geli.metadata", "host.pub"}
    # The key goes in by standard input: no command on the target names a file with it.
    for each in plan.steps:
        if not isinstance(each.action, Local):
            assert "geli.key" not in " ".join(texts(each))


@pytest.mark.parametrize("name", CASES)
def test_exports(name: str, tmp_path: Path) -> None:
    plan = plan_of(name)
    path = tmp_path / "plan.sh"
    path.write_text(export.to_sh(plan))
    lint(path)
    book = export.to_markdown(plan)
    for each in plan.steps:
        assert each.why.split("`")[0][:20] in book.replace("\\", ""), each.id
    assert book.count("```") % 2 == 0


# --- the order of things --------------------------------------------------------------------------


@pytest.mark.parametrize("name", NEW)
def test_nothing_is_written_to_the_disk_before_its_keys_are_in_escrow(name: str) -> None:
    ids = [each.id for each in plan_of(name).steps]
    made = {
        "speed-before",
        "old-labels-1",
        "old-table",
        "new-table",
        "partition-1",
        "geli-init",
        "key-opens",
        "metadata",
        "metadata-fetch",
        "metadata-forget",
        "zfs-module",
        "geli-module",
        "home",
        "keys",
    }
    assert set(ids[: ids.index("escrow")]) <= made
    for later in ("attach", "pool"):
        if later in ids:
            assert ids.index("escrow") < ids.index(later)


@pytest.mark.parametrize("name", VAULTS)
def test_vault_is_closed_and_the_key_searched_for(name: str) -> None:
    plan = plan_of(name)
    ids = [each.id for each in plan.steps]
    assert ids.index("export") < ids.index("detach") < ids.index("key-gone") < ids.index("closed")
    assert plan.steps[-1].id == "ready"
    last = step(plan, "ready").action
    assert isinstance(last, Command)
    assert "geli status" in last.text
    assert "zpool list" in last.text


@pytest.mark.parametrize("name", [n for n in WHOLE if n in VAULTS])
def test_old_ssh_is_replaced_only_after_a_login_has_worked(name: str) -> None:
    plan = plan_of(name)
    ids = [each.id for each in plan.steps]
    order = [
        "sshd-new-config",
        "sshd-check",
        "sshd-trial-start",
        "trial-login-first",
        "sshd-config",
        "sshd-restart",
        "trial-login-final",
        "sshd-accept",
        "sshd-trial-stop",
    ]
    assert [id for id in ids if id in order] == order
    tried, put = step(plan, "sshd-new-config").action, step(plan, "sshd-config").action
    assert isinstance(tried, Upload)
    assert isinstance(put, Edit)
    # The very text that was tried, and nothing else, takes the old one's place.
    assert tried.content == put.content
    writers = [
        each.id
        for each in plan.steps
        if "/etc/ssh/sshd_config" in typed_text(each.action) and each.danger is not Danger.NONE
    ]
    assert set(writers) == {"sshd-config", "sshd-restart"}
    assert ids.index("trial-login-first") < ids.index("sshd-config")
    restart = step(plan, "sshd-restart").action
    assert isinstance(restart, Command)
    assert restart.text.index("sshd -t") < restart.text.index("service sshd")


def test_plain_server_leaves_the_old_ssh_alone() -> None:
    plan = plan_of("server-plain-15")
    for each in plan.steps:
        assert "/etc/ssh/sshd_config" not in typed_text(each.action), each.id
        assert "service sshd" not in typed_text(each.action)
    edit = step(plan, "rc-conf").action
    assert isinstance(edit, Edit)
    assert edit.was is not None
    assert edit.content == edit.was + 'zrwizard_enable="YES"\n'
    assert [e.id for e in plan.steps if isinstance(e.action, Edit)] == ["rc-conf"]


def test_plain_server_that_is_tended_keeps_its_own_sshd_setting() -> None:
    for value in ('sshd_enable="NO"\n', "", 'if true; then sshd_enable="NO"; fi\n'):
        world = ServerWorld().text("/etc/rc.conf", f'hostname="x"\n{value}')
        move = world.walk(full(server__shape="plain", server__port="2223"))
        assert isinstance(move, Review)
        edit = step(move.plan, "rc-conf").action
        assert isinstance(edit, Edit)
        assert edit.content.startswith(f'hostname="x"\n{value}')
        assert edit.content.count("sshd_enable=") == value.count("sshd_enable=")
        assert 'ntpd_enable="YES"' in edit.content
        assert 'zrwizard_enable="YES"' in edit.content


def test_files_left_alone_are_still_told_to_start_ssh() -> None:
    world = ServerWorld().text("/etc/rc.conf", 'hostname="x"\n')
    move = world.walk(full(system__files="none"))
    assert isinstance(move, Review)
    edits = [each for each in move.plan.steps if isinstance(each.action, Edit)]
    assert [each.id for each in edits] == ["sshd-config", "rc-conf"]
    assert edits[1].action.content == 'hostname="x"\nsshd_enable="YES"\n'
    quiet = ServerWorld().walk(full(system__files="none"))
    assert isinstance(quiet, Review)
    assert "rc-conf" not in [each.id for each in quiet.plan.steps]


def test_every_edit_keeps_the_old_file_and_knows_what_it_was() -> None:
    world = ServerWorld()
    move = world.walk(full(reach__address="192.0.2.20/24 192.0.2.1"))
    assert isinstance(move, Review)
    edits = [each.action for each in move.plan.steps if isinstance(each.action, Edit)]
    assert len(edits) == 7
    for edit in edits:
        assert edit.backup == f"{edit.path}.zrwizard-0123456789ab"
        assert edit.was == world.system.file(edit.path).text
        assert edit.content != edit.was
    rc = next(edit for edit in edits if edit.path == "/etc/rc.conf")
    assert 'ifconfig_bfe0="inet 192.0.2.20 netmask 255.255.255.0"' in rc.content
    assert 'defaultrouter="192.0.2.1"' in rc.content


def test_unreadable_files_are_left_alone_and_said() -> None:
    world = ServerWorld().text("/etc/fstab", None, "it is larger than 256 KiB")
    move = world.text("/etc/ttys", 'console "x\n').walk(full())
    assert isinstance(move, Review)
    ids = [each.id for each in move.plan.steps]
    assert "fstab" not in ids
    assert "ttys" not in ids
    assert any("/etc/fstab is left alone: it is larger" in note for note in move.plan.notes)
    assert any("/etc/ttys is left alone" in note for note in move.plan.notes)


def test_keep_erases_nothing_and_proves_whose_it_is() -> None:
    plan = plan_of("server-keep")
    assert not plan.erases
    keep = step(plan, "keep-disk").action
    assert isinstance(keep, Command)
    assert METADATA in keep.text
    assert SERIAL in keep.text
    everything = "\n".join(text for each in plan.steps for text in texts(each))
    for writes in ("geli init", "zpool create", "gpart add", "gpart destroy", "labelclear"):
        assert writes not in everything


# --- what is told ---------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["lan", "forward", "ipv6", "tor", "vpn"])
def test_sheet_fits_what_was_chosen(how: str) -> None:
    plan = plan_of("server-vault", reach__how=how)
    action = step(plan, "sheet").action
    assert isinstance(action, Local)
    name, *lines = action.detail
    assert name == "knox"
    text = "\n".join(lines)
    assert text.isascii()
    assert "restore power after a power cut" in text
    assert ("forward a TCP port" in text) == (how == "forward")
    assert ("HiddenServicePort 22 127.0.0.1:22" in text) == (how == "tor")
    assert ("let TCP port 22 through" in text) == (how == "ipv6")
    allow = "zfs allow -u hugh send,snapshot,hold,release,bookmark,mount,diff zroot"
    assert f"    {allow}" in lines


@pytest.mark.parametrize("name", VAULTS)
def test_notes_say_what_a_loss_means(name: str) -> None:
    notes = " ".join(plan_of(name).notes)
    assert "nobody can read the backups any more" in notes
    assert "passphrase cannot be recovered" in notes
    assert "/keys/knox on this machine, and only there" in notes


# --- hostile answers ------------------------------------------------------------------------------

_ODD = st.text(st.sampled_from("abz09-_.:/@ $`\"'\\;&|<>()*?~#!\n\t%é"), max_size=14)
_FREE = [
    "server.name",
    "disk.pool",
    "server.host",
    "reach.name",
    "reach.address",
    "source.dataset",
    "source.user",
]


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(_FREE), _ODD, st.booleans())
def test_odd_names_are_refused_or_are_single_words(key: str, value: str, plain: bool) -> None:
    shape = {"server__shape": "plain", "server__port": "2223"} if plain else {}
    move = ServerWorld().walk(full(**shape).put(key, value))
    if not isinstance(move, Review):
        return
    # What was let through has no character that sh gives a meaning to, wherever it stands.
    taken = value.strip() or "-"
    assert re.fullmatch(r"[A-Za-z0-9_.:/-]+(?: [A-Za-z0-9_.:/-]+)?", taken), taken
    for each in move.plan.steps:
        for text in texts(each):
            shlex.split(text, comments=True)


@settings(max_examples=40, deadline=None)
@given(st.text(st.characters(codec="ascii", exclude_characters="\0"), max_size=16))
def test_serial_numbers_never_run(serial: str) -> None:
    world = ServerWorld().disk("da0", ident=serial or None)
    move = world.walk(full(target__disk="da0"))
    if not isinstance(move, Review):
        return
    guard = step(move.plan, "geli-init").guard or ""
    # The guard's tests run on a machine without that disk, and say so; nothing else happens.
    done = subprocess.run(
        [SHELL, "-c", f"diskinfo() {{ echo x; }}\n{guard}"],
        capture_output=True,
        check=False,
        timeout=10,
    )
    assert done.returncode == 1
    assert b"bytes, not" in done.stderr
