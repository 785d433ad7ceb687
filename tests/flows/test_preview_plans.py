"""The plans of a preview as data: what is typed, and that nothing in a name is ever a command."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests import shlint
from zrwizard import export
from zrwizard.facts import empty
from zrwizard.flows import preview as plans
from zrwizard.flows.moves import Answers, Stuck
from zrwizard.plan import Command, Danger, Plan, Problem, from_json

HOME = "/tmp/zr-0123456789ab"
HOSTILE = [
    b"/home/$(touch pwned)",
    b"/home/`id`; rm -rf /",
    b'/home/it\'s "quoted"',
    b"/home/-rf",
    b"/home/new\nline\ttab",
    b"/home/\x1b[31m\x07",
    b"/home/\xff\xfe",
    b"/home/a -> b",
]


def texts(plan: Plan) -> list[str]:
    """Every sh text that a plan would type."""
    found = []
    for step in plan.steps:
        assert isinstance(step.action, Command)
        some = (step.look, step.guard, step.action.text, step.proof)
        found += [text for text in some if text is not None]
    return found


def mounts() -> tuple[Plan, Plan]:
    names = ["tank/a", "tank/with blank", "tank/b:c_d.e-f"]
    return plans.mount_plan("0123456789ab", HOME, names), plans.undo_plan("x", HOME, names)


def test_each_dataset_is_mounted_read_only_in_a_directory_of_its_own() -> None:
    plan, _ = mounts()
    assert [step.action for step in plan.steps] == [
        Command(
            f"umask 077 && mkdir -p {HOME}/mounts-1/{n}"
            f" && mount -t zfs -o ro {name} {HOME}/mounts-1/{n}",
            120.0,
        )
        for n, name in enumerate(["tank/a", "'tank/with blank'", "tank/b:c_d.e-f"], 1)
    ]
    assert all(step.danger is Danger.CHANGES and step.guard and step.proof for step in plan.steps)
    assert not plan.erases


def test_what_is_undone_is_what_was_done() -> None:
    plan, undo = mounts()
    unmounts = [step.action for step in undo.steps[:-1]]
    assert unmounts == [Command(f"umount {HOME}/mounts-1/{n}", 120.0) for n in (1, 2, 3)]
    assert len(undo.steps) == len(plan.steps) + 1
    assert "rmdir" in str(undo.steps[-1].action)
    assert not any("rm -" in text or "umount -f" in text for text in texts(undo))


def test_a_second_mount_plan_takes_other_directories() -> None:
    second = plans.mount_plan("t", HOME, ["tank/a"], 2)
    assert f"{HOME}/mounts-2/1" in texts(second)[1] + texts(second)[2]


def test_plans_survive_the_journal() -> None:
    for plan in (*mounts(), *(copied(path) for path in HOSTILE)):
        assert from_json(plan.to_json()) == plan


def copied(path: bytes, tag: str = "daily-1") -> Plan:
    source = path.replace(b"/home/", b"/home/.zfs/snapshot/daily-1/", 1)
    plan = plans.copy_plan("t", "tank/home", source, path, tag)
    assert isinstance(plan, Plan)
    return plan


@pytest.mark.parametrize("path", HOSTILE)
def test_every_text_is_sh_and_titles_move_no_cursor(path: bytes) -> None:
    plan = copied(path)
    # Other bytes than UTF-8 are sh too, but the tool that looks wants to read text.
    legible = [text.encode("utf-8", "surrogateescape").decode("latin-1") for text in texts(plan)]
    assert all(map(shlint.parses, legible))
    assert plan.title.isprintable()
    assert plan.steps[0].title.isprintable()


def test_every_text_passes_shellcheck(tmp_path: Path) -> None:
    for number, plan in enumerate((*mounts(), copied(HOSTILE[0]), copied(HOSTILE[2]))):
        script = tmp_path / f"{number}.sh"
        script.write_text(export.to_sh(plan))
        shlint.lint(script)
        assert plan.title in export.to_markdown(plan)


# --- the copy, on a real file system --------------------------------------------------------------

ZFS = """\
#!/bin/sh
case "$5" in mounted) echo yes;; readonly) echo off;; *) exit 64;; esac
"""


def run(plan: Plan, where: Path) -> tuple[str, str]:
    """Guard, act and prove each step as the executor would; return what stopped it, and why."""
    tools = where / "bin"
    tools.mkdir(exist_ok=True)
    (tools / "zfs").write_text(ZFS)
    (tools / "zfs").chmod(0o755)
    for step in plan.steps:
        assert isinstance(step.action, Command)
        for role, text in (("guard", step.guard), ("act", step.action.text), ("proof", step.proof)):
            done = subprocess.run(
                [shlint.SHELL, "-c", (text or ":").encode("utf-8", "surrogateescape")],
                env={**os.environ, "PATH": f"{tools}:{os.environ['PATH']}"},
                cwd=where,
                capture_output=True,
                check=False,
            )
            if done.returncode:
                return role, done.stderr.decode("utf-8", "replace")
    return "", ""


@pytest.fixture
def world(tmp_path: Path) -> Path:
    for name in ("old", "live"):
        (tmp_path / name).mkdir()
    (tmp_path / "old" / "file").write_text("old\n")
    (tmp_path / "live" / "file").write_text("new\n")
    return tmp_path


def plan_in(world: Path, old: str = "old/file", live: str = "live/file") -> Plan:
    made = plans.copy_plan(
        "t", "tank/home", os.fsencode(world / old), os.fsencode(world / live), "a"
    )
    assert isinstance(made, Plan)
    return made


def test_it_is_copied(world: Path) -> None:
    assert run(plan_in(world), world) == ("", "")
    assert (world / "live" / "file.zr-a").read_text() == "old\n"
    assert (world / "live" / "file").read_text() == "new\n"


def test_a_file_that_was_removed_comes_back_beside_its_place(world: Path) -> None:
    (world / "live" / "file").unlink()
    assert run(plan_in(world), world) == ("", "")
    assert not (world / "live" / "file").exists()


@pytest.mark.parametrize("kind", ["file", "directory", "link", "dangling"])
def test_whatever_is_there_is_left_alone(world: Path, kind: str) -> None:
    there = world / "live" / "file.zr-a"
    elsewhere = world / "elsewhere"
    match kind:
        case "file":
            there.write_text("mine\n")
        case "directory":
            there.mkdir()
        case "link":
            elsewhere.write_text("mine\n")
            there.symlink_to(elsewhere)
        case _:
            there.symlink_to(elsewhere)
    (world / "bin").mkdir()
    before = sorted(world.glob("[!b]*/*"))
    stopped, said = run(plan_in(world), world)
    assert stopped == "guard"
    assert "nothing is ever overwritten" in said
    assert sorted(world.glob("[!b]*/*")) == before
    assert elsewhere.exists() == (kind == "link")
    if kind == "file":
        assert there.read_text() == "mine\n"


def test_no_link_is_followed_to_another_place(world: Path) -> None:
    (world / "private").mkdir()
    (world / "live" / "trap").symlink_to(world / "private")
    stopped, said = run(plan_in(world, live="live/trap/file"), world)
    assert (stopped, "symbolic link" in said) == ("guard", True)
    assert list((world / "private").iterdir()) == []
    (world / "old" / "trap").symlink_to(world / "private")
    (world / "private" / "file").write_text("secret\n")
    stopped, said = run(plan_in(world, old="old/trap/file"), world)
    assert (stopped, "symbolic link" in said) == ("guard", True)


@pytest.mark.parametrize("kind", ["nothing", "directory", "link"])
def test_only_a_regular_file_is_copied(world: Path, kind: str) -> None:
    (world / "old" / "file").unlink()
    if kind == "directory":
        (world / "old" / "file").mkdir()
    elif kind == "link":
        (world / "old" / "file").symlink_to(world / "live" / "file")
    stopped, said = run(plan_in(world), world)
    assert (stopped, "no such regular file" in said) == ("guard", True)


def test_a_directory_whose_name_ends_in_a_newline(world: Path) -> None:
    (world / "live" / "dir\n").mkdir()
    (world / "live" / "dir").mkdir()
    assert run(plan_in(world, live="live/dir\n/file"), world) == ("", "")
    assert (world / "live" / "dir\n" / "file.zr-a").read_text() == "old\n"
    assert list((world / "live" / "dir").iterdir()) == []


names = st.binary(min_size=1, max_size=40).filter(
    lambda name: b"/" not in name and b"\0" not in name and name not in (b".", b"..")
)


@settings(max_examples=25, deadline=None)
@given(name=names)
def test_any_name_is_copied_exactly(tmp_path_factory: pytest.TempPathFactory, name: bytes) -> None:
    world = tmp_path_factory.mktemp("any")
    old, live = os.fsencode(world / "old"), os.fsencode(world / "live")
    for directory in (old, live):
        os.mkdir(directory)
    with open(old + b"/" + name, "wb") as stream:
        stream.write(name)
    plan = plans.copy_plan("t", "tank/home", old + b"/" + name, live + b"/" + name, "a")
    assert isinstance(plan, Plan)
    assert run(plan, world) == ("", "")
    assert os.listdir(live) == [name + b".zr-a"]
    assert sorted(path.name for path in world.iterdir()) == ["bin", "live", "old"]


@pytest.mark.parametrize(
    "path", [b"relative", b"/a/../etc/passwd", b"/a\0b", b"/" + b"n" * 253, b""]
)
def test_what_is_no_whole_path_is_no_plan(path: bytes) -> None:
    assert isinstance(plans.copy_plan("t", "tank", b"/old/file", path, "a"), Problem)


def test_there_is_no_plan_at_the_end_of_looking() -> None:
    move = plans.PREVIEW.next_move(empty("0123456789ab"), Answers())
    assert isinstance(move, Stuck)


def test_paths_for_people() -> None:
    assert plans.shown(b"/a\n\x1b\xff\xc3\xa9 \\") == "/a\\x0a\\x1b\\xff\u00e9 \\"
