"""The settings are built so that the script takes them; what is installed is fit to be."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.shlint import lint, parses
from zrwizard import receiver

FINE: dict[str, Any] = {"shape": "vault", "serial": "WX11A", "size": 2000398934016, "pool": "wd"}


def test_every_setting_is_written_once() -> None:
    assert receiver.config(**FINE, part="vault", delivery="fifo", force=True, wait=5, attach=7) == (
        "shape=vault\nserial=WX11A\nsize=2000398934016\npart=vault\npool=wd\ndelivery=fifo\n"
        "force=yes\nwait=5\nattach=7\n"
    )


@pytest.mark.parametrize(
    "wrong",
    [
        {"shape": "open"},
        {"serial": "a\nforce=yes"},
        {"serial": "$(id)"},
        {"serial": " a"},
        {"serial": "ä"},
        {"size": 0},
        {"size": -1},
        {"size": 10**18},
        {"pool": ""},
        {"pool": "-f"},
        {"pool": "a/b"},
        {"pool": "wd\n"},
        {"part": "a b"},
        {"part": "../x"},
        {"delivery": "file"},
        {"wait": 0},
        {"attach": 10_000},
    ],
)
def test_what_the_script_would_not_take_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"^[^\n]+$"):
        receiver.config(**(FINE | wrong))


def test_paths_and_commands() -> None:
    assert receiver.config_path("knox") == "/usr/local/etc/zrwizard/knox.conf"
    command = receiver.force_command("knox", "deliver")
    assert command == "/usr/local/libexec/zr-receiver knox deliver"
    for name in ("", "../x", "a b", "a;b", "a" * 80, "-a", "knox\n", "knöx"):
        with pytest.raises(ValueError, match="is no name"):
            receiver.force_command(name, "receive")
        with pytest.raises(ValueError, match="is no name"):
            receiver.config_path(name)
    with pytest.raises(ValueError, match="deliver or receive"):
        receiver.force_command("knox", "guard")


def test_the_script_is_small_and_plain(tmp_path: Path) -> None:
    assert receiver.SCRIPT.startswith("#!/bin/sh\n")
    assert len(receiver.SCRIPT.splitlines()) < 250
    assert receiver.SCRIPT.isascii()
    assert "eval" not in receiver.SCRIPT
    path = tmp_path / "receiver.sh"
    path.write_text(receiver.SCRIPT)
    lint(path)
    if busybox := shutil.which("busybox"):
        subprocess.run([busybox, "ash", "-n", str(path)], check=True)
    columns = re.search(r"-o (name,type,\S+)", receiver.SCRIPT)
    assert columns is not None
    assert tuple(columns[1].split(",")) == receiver.INVENTORY
    assert f"count={receiver.KEY_LIMIT + 1}" in receiver.SCRIPT
    assert f"CONFIGS={receiver.CONFIG_DIR} " in receiver.SCRIPT


RC_SUBR = """\
check_pidfile() { [ ! -s "$1" ] || cat "$1"; }
wait_for_pids() { :; }
load_rc_config() { :; }
warn() { echo "WARNING: $*"; }
run_rc_command() { eval "\\${${1}_cmd}"; }
"""


def test_the_rc_script_starts_what_is_plain(tmp_path: Path) -> None:
    assert parses(receiver.RC_SCRIPT)
    calls, etc = tmp_path / "calls", tmp_path / "etc"
    etc.mkdir()
    (tmp_path / "rc.subr").write_text(RC_SUBR)
    text = receiver.RC_SCRIPT
    for old, new in (
        ("/etc/rc.subr", f"{tmp_path}/rc.subr"),
        (receiver.CONFIG_DIR, str(etc)),
        (receiver.PATH, f"{tmp_path}/program"),
        ("/usr/sbin/sshd -f", f"{tmp_path}/program sshd -f"),
        ("/etc/ssh/zrwizard", f"{tmp_path}/ssh"),
        ("/var/run/", f"{tmp_path}/"),
    ):
        assert old in text
        text = text.replace(old, new)
    script = tmp_path / "rc"
    script.write_text(text)
    program = tmp_path / "program"
    program.write_text(f'#!/bin/sh\necho "$* ${{SSH_ORIGINAL_COMMAND-}}" >>{calls}\n')
    program.chmod(0o755)

    def rc(verb: str) -> str:
        done = subprocess.run(
            ["/bin/sh", str(script), verb], capture_output=True, text=True, check=True
        )
        assert not done.stderr
        return done.stdout

    assert rc("start") == ""
    (etc / "vault.conf").write_text(receiver.config(**FINE))
    (etc / "box.conf").write_text(receiver.config(**(FINE | {"shape": "plain"})))
    (tmp_path / "ssh/box").mkdir(parents=True)
    (tmp_path / "ssh/box/sshd_config").touch()
    assert rc("start") == "Starting the sshd of box.\n"
    assert calls.read_text() == f"sshd -f {tmp_path}/ssh/box/sshd_config \nbox receive health\n"
    sleeper = subprocess.Popen(["sleep", "60"])
    (tmp_path / "sshd-zrwizard-box.pid").write_text(f"{sleeper.pid}\n")
    assert rc("status") == f"box: sshd {sleeper.pid}\n"
    assert rc("stop") == "Stopping the sshd of box.\n"
    assert sleeper.wait(10) == -15
