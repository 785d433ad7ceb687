"""Properties of a restored tree against those of the backup: the plan's own text, a real awk."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.flows.test_plans import plan_of
from zrwizard.plan import typed_text

AWKS = [name for name in ("mawk", "gawk", "original-awk", "busybox") if shutil.which(name)]
TEXT, RECEIVED = (
    next(typed_text(step.action) for step in plan_of(name).steps if step.id == "prove-properties")
    for name in ("blank-bios", "received-latest")
)
HOME = "/tmp/zr-0123456789ab"


def rows(*cells: tuple[str, str, str, str]) -> str:
    return "".join("\t".join(row) + "\n" for row in cells)


def compared(
    where: Path,
    awk: str,
    there: str | None,
    here: str,
    names: str = "zroot\nzroot/home\n",
    *,
    text: str = TEXT,
) -> str:
    """What the step says; `there` is None for a server that refuses."""
    (where / "there").write_text(there or "")
    (where / "here").write_text(here)
    (where / "names").write_text(names)
    word = "busybox awk" if awk == "busybox" else awk
    tools = {
        "ssh": f"cat {where}/there" if there is not None else "exit 1",
        "zfs": f'case "$1" in get) cat {where}/here ;; *) cat {where}/names ;; esac',
        "awk": f'exec {word} "$@"',
    }
    for name, body in tools.items():
        (where / name).write_text(f"#!/bin/sh\n{body}\n")
        (where / name).chmod(0o755)
    done = subprocess.run(
        ["sh", "-c", text.replace(HOME, str(where))],
        env={"PATH": f"{where}:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    return done.stdout


@pytest.fixture(params=AWKS)
def awk(request: pytest.FixtureRequest) -> str:
    return str(request.param)


SAME = "properties that are set on the server have the same value here.\n"


def test_what_is_equal_is_counted(tmp_path: Path, awk: str) -> None:
    there = rows(
        ("hostA", "compression", "local", "lz4"),
        ("hostA/home", "org.x:note", "received", "it's\tspaced %s \\n $HOME"),
        ("hostA/home", "mountpoint", "local", "/home"),
    )
    here = rows(
        ("zroot", "compression", "received", "lz4"),
        ("zroot/home", "org.x:note", "received", "it's\tspaced %s \\n $HOME"),
        ("zroot/home", "mountpoint", "received", "/mnt/home"),
        ("zroot/home", "quota", "local", "5"),
    )
    assert compared(tmp_path, awk, there, here) == f"3 of the 3 {SAME}"


def test_what_differs_is_told_with_both_values(tmp_path: Path, awk: str) -> None:
    there = rows(
        ("hostA", "mountpoint", "local", "/zroot"),
        ("hostA/ROOT/default", "canmount", "local", "on"),
        ("hostA/home", "quota", "local", "1"),
        ("hostA/home", "exec", "local", "off"),
        ("hostA/homes", "exec", "local", "off"),
        ("hostA/not-sent", "exec", "local", "off"),
    )
    here = rows(
        ("zroot", "mountpoint", "local", "/mnt"),
        ("zroot/ROOT/default", "canmount", "local", "noauto"),
        ("zroot/home", "quota", "received", "2"),
        ("zroot/homes", "exec", "received", "off"),
    )
    names = "zroot\nzroot/home\nzroot/homes\nzroot/ROOT/default\n"
    assert compared(tmp_path, awk, there, here, names).splitlines() == [
        "1 of the 5 properties that are set on the server have the same value here.",
        "zroot mountpoint is /, and /zroot on the server",
        "zroot/ROOT/default canmount is noauto, and on on the server (this restore set it)",
        "zroot/home quota is 2, and 1 on the server",
        "zroot/home exec is not set, and off on the server",
    ]


def test_what_the_server_set_for_itself_is_said_to_be_its_own(tmp_path: Path, awk: str) -> None:
    there = rows(
        ("hostA/home", "compression", "received", "lz4"),
        ("hostA/home", "readonly", "local", "on"),
        ("hostA/home", "quota", "received", "5"),
    )
    here = rows(("zroot/home", "compression", "received", "lz4"))
    said = "1 of the 3 properties that are set on the server have the same value here."
    lost = "zroot/home quota is not set, and 5 on the server"
    kept = "zroot/home readonly is not set, and on on the server"
    assert compared(tmp_path, awk, there, here).splitlines() == [said, kept, lost]
    own = f"{kept} (the server's own setting)"
    assert compared(tmp_path, awk, there, here, text=RECEIVED).splitlines() == [said, own, lost]


def test_a_value_of_several_lines_is_one_value(tmp_path: Path, awk: str) -> None:
    there = rows(("hostA", "a:b", "local", "one\ntwo"), ("hostA/home", "a:b", "local", "x\n\ny"))
    here = rows(("zroot", "a:b", "received", "one\ntwo"), ("zroot/home", "a:b", "local", "x\n\nz"))
    assert compared(tmp_path, awk, there, here).splitlines() == [
        "1 of the 2 properties that are set on the server have the same value here.",
        "zroot/home a:b is x  z, and x  y on the server",
    ]


def test_many_differences_are_counted(tmp_path: Path, awk: str) -> None:
    there = rows(*(("hostA", f"a:b{n}", "local", "1") for n in range(45)))
    said = compared(tmp_path, awk, there, "").splitlines()
    assert len(said) == 42
    assert said[0].startswith("0 of the 45 ")
    assert said[-1] == "5 more differ."


def test_nothing_set_and_a_server_that_does_not_tell(tmp_path: Path, awk: str) -> None:
    assert compared(tmp_path, awk, "", "") == f"0 of the 0 {SAME}"
    assert "nothing was compared" in compared(tmp_path, awk, None, "")
