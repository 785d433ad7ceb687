"""The sh texts of `server`, run by dash and bash against tools that are functions."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from tests.flows.server_world import METADATA, ServerWorld, full
from tests.flows.test_shtext import SHELLS, STATUS, run, says
from zrwizard.flows import server_access_steps, server_shtext
from zrwizard.flows.ask_disk import identity
from zrwizard.flows.moves import Review
from zrwizard.flows.server_choices import Vessel
from zrwizard.freebsd import gpart
from zrwizard.plan import Command, Plan

KEY = "0123456789abcdef" * 8


@pytest.fixture(params=SHELLS)
def shell(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def vessel(*, encrypted: bool = True, label: str = "") -> Vessel:
    disk = next(disk for disk in ServerWorld().target.disks if disk.name == "da0")
    entry = gpart.Entry(1, "freebsd-zfs", 2048, 1000, label) if label else None
    return Vessel(disk, identity(disk), encrypted, "wd", entry, metadata=METADATA)


def plan(**changes: str) -> Plan:
    move = ServerWorld().walk(full(**changes))
    assert isinstance(move, Review)
    return move.plan


def text_of(id: str, **changes: str) -> str:
    action = next(step.action for step in plan(**changes).steps if step.id == id)
    assert isinstance(action, Command)
    return action.text


ATTACHED = """\
      Name  Status  Components
{name}  ACTIVE  {part}
ada0p3.eli  ACTIVE  ada0p3
"""


@pytest.mark.parametrize(
    ("name", "status"),
    [
        ("da0.eli", 1),
        ("da0p1.eli", 1),
        ("da0s1.eli", 1),
        ("gpt/knox0.eli", 1),
        ("diskid/DISK-WX11A1234567p1.eli", 1),
        ("da01.eli", 0),
        ("da1.eli", 0),
        ("gpt/knox00.eli", 0),
    ],
)
def test_nothing_attached(shell: str, name: str, status: int) -> None:
    text = server_shtext.nothing_attached(vessel(label="knox0"))
    output = ATTACHED.format(name=name, part=name.removesuffix(".eli"))
    found, errors = run(shell, text, geli=says(output))
    assert found == status
    assert (f"{name} is still open" in errors) == bool(status)


def test_nothing_attached_where_the_class_is_not_loaded(shell: str) -> None:
    text = server_shtext.nothing_attached(vessel())
    assert run(shell, text, geli="echo 'geli: Unknown command' >&2; return 1") == (0, "")


DUMP = """\
Metadata on da0:
     magic: GEOM::ELI
   version: 7
     flags: 0x0
     ealgo: AES-XTS
    keylen: 256
  provsize: 2000365289472
sectorsize: 4096
      keys: 0x01
iterations: -1
      Salt: 00ff
Master Key: 00ff
  MD5 hash: 00ff
"""


@pytest.mark.parametrize(
    ("change", "status"),
    [
        (("", ""), 0),
        (("keylen: 256", "keylen: 128"), 1),
        (("sectorsize: 4096", "sectorsize: 512"), 1),
        (("iterations: -1", "iterations: 1000"), 1),
        (("AES-XTS", "AES-CBC"), 1),
    ],
)
def test_metadata_of_this_run_are_known(shell: str, change: tuple[str, str], status: int) -> None:
    text = server_shtext.is_sealed_as_planned(vessel())
    output = DUMP.replace(*change) if change[0] else DUMP
    assert run(shell, text, geli=says(output))[0] == status


def test_disk_without_metadata_is_not_sealed(shell: str) -> None:
    none = "echo 'geli: Cannot read metadata from da0: Invalid argument.' >&2; return 1"
    assert run(shell, server_shtext.is_sealed_as_planned(vessel()), geli=none)[0] == 1
    assert run(shell, server_shtext.has_no_seal(vessel()), geli=none) == (0, "")
    status, errors = run(shell, server_shtext.has_no_seal(vessel()), geli=says(DUMP))
    assert status == 1
    assert "encrypted with geli already, and not by this run" in errors


def test_metadata_are_compared_and_no_copy_stays(shell: str, tmp_path: Path) -> None:
    text = server_shtext.has_metadata(vessel(), str(tmp_path))
    right = 'printf %s x > "$3"'
    sum_ = "cat >/dev/null; echo '1234567890 512'"
    assert run(shell, text, geli=right, cksum=sum_)[0] == 0
    assert run(shell, text, geli=right)[0] == 1
    assert run(shell, text, geli="return 1", cksum=sum_)[0] == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("device", "health", "says_"),
    [
        ("/dev/da0.eli", "ONLINE", ""),
        ("/dev/da1.eli", "ONLINE", "does not lie on da0.eli"),
        ("/dev/da0", "ONLINE", "does not lie on da0.eli"),
        ("/dev/da0.eli", "DEGRADED", "is not ONLINE"),
    ],
)
def test_pool_lies_on_the_chosen_disk(shell: str, device: str, health: str, says_: str) -> None:
    zpool = (
        f'case "$1" in list) echo {health} ;; *) '
        f"{says(STATUS.format(pool='wd', device=device))}\nesac"
    ).replace("EOF\nesac", "EOF\n;; esac")
    status, errors = run(shell, server_shtext.lies_on(vessel()), zpool=zpool)
    assert status == (1 if says_ else 0)
    assert says_ in errors


def test_closed_wants_pool_and_disk_gone(shell: str) -> None:
    text = server_shtext.closed(vessel())
    status, errors = run(shell, text, zpool="echo wd", geli="return 0")
    assert (status, "wd is still imported" in errors) == (1, True)
    assert run(shell, text, zpool="echo wd2", geli="return 0") == (0, "")
    nothing = "echo 'no pools available' >&2"
    assert run(shell, text, zpool=nothing, geli="return 0")[0] == 0
    status, errors = run(shell, text, zpool="return 1", geli="return 0")
    assert (status, "could not be listed" in errors) == (1, True)


# --- speed ----------------------------------------------------------------------------------------

FREEBSD = "268435456 bytes transferred in 9.6 secs (27962026 bytes/sec)"
GNU = "268435456 bytes (268 MB, 256 MiB) copied, 9.6 s, 28.0 MB/s"
TIMEOUT = 'shift; "$@"'


@pytest.mark.parametrize("line", [FREEBSD, GNU])
def test_speed_is_read_from_what_dd_says(shell: str, line: str, tmp_path: Path) -> None:
    path = tmp_path / "speed"
    text = server_shtext.measure("da0", str(path))
    dd = f"echo '256+0 records in' >&2; echo '256+0 records out' >&2; echo '{line}' >&2"
    assert run(shell, text, dd=dd, timeout=TIMEOUT) == (0, "")
    assert abs(int(path.read_text()) - 27962026) < 10


def test_slow_disk_is_no_failure_and_a_broken_one_is(shell: str, tmp_path: Path) -> None:
    path = tmp_path / "speed"
    text = server_shtext.measure("da0", str(path))
    assert run(shell, text, timeout="return 124")[0] == 0
    assert path.read_text() == "0\n"
    broken = "echo 'dd: /dev/da0: Input/output error' >&2; return 1"
    status, errors = run(shell, text, dd=broken, timeout=TIMEOUT)
    assert (status, "Input/output error" in errors) == (1, True)


@pytest.mark.parametrize(
    ("before", "after", "says_"),
    [
        ("50000000", "40000000", "Encryption costs 20.0 percent of the speed."),
        ("50000000", "60000000", "costs no speed that could be measured"),
        ("0", "60000000", "could not be compared"),
        (None, "60000000", "could not be compared"),
    ],
)
def test_loss_is_told_in_percent(
    shell: str, before: str | None, after: str, says_: str, tmp_path: Path
) -> None:
    first, second = tmp_path / "before", tmp_path / "after"
    if before is not None:
        first.write_text(before + "\n")
    second.write_text(after + "\n")
    text = server_shtext.compare(str(first), str(second))
    done = subprocess.run([shell, "-c", text], capture_output=True, text=True, check=True)
    assert says_ in done.stdout


# --- the key --------------------------------------------------------------------------------------


def search(shell: str, key: str, place: Path) -> tuple[int, str, str]:
    text = server_shtext.key_is_nowhere((str(place),), str(place))
    done = subprocess.run(
        [shell, "-c", text], input=f"{key}\n", capture_output=True, text=True, check=False
    )
    return done.returncode, done.stdout, done.stderr


def test_key_is_searched_for_everywhere(shell: str, tmp_path: Path) -> None:
    (tmp_path / "a b").mkdir()
    (tmp_path / "a b" / "x=1").write_text("something\nelse\n")
    (tmp_path / "empty").write_text("")
    assert search(shell, KEY, tmp_path) == (0, "", "")
    assert not (tmp_path / "files").exists()
    (tmp_path / "a b" / "left 'over").write_bytes(b"\xff\0before\0" + KEY.encode() + b"\0")
    status, out, errors = search(shell, KEY, tmp_path)
    assert status == 1
    assert "left 'over" in errors
    assert KEY not in out + errors


def test_key_file_of_who_runs_the_exported_script_is_not_meant(tmp_path: Path) -> None:
    mine = tmp_path / "geli.key"
    mine.write_text(KEY + "\n")
    text = server_shtext.key_is_nowhere((str(tmp_path),), str(tmp_path))
    for more, status in (("", 0), (KEY, 1)):
        (tmp_path / "other").write_text(more)
        done = subprocess.run(
            [SHELLS[0], "-c", text],
            input=f"{KEY}\n",
            capture_output=True,
            text=True,
            check=False,
            env={"PATH": "/usr/bin:/bin", "ZR_GELI_KEY": str(mine)},
        )
        assert done.returncode == status


@pytest.mark.parametrize("find", ["return 1", "echo /etc/passwd", ":"])
def test_search_that_did_not_search_is_no_proof(shell: str, find: str, tmp_path: Path) -> None:
    text = server_shtext.key_is_nowhere((str(tmp_path),), str(tmp_path))
    done = subprocess.run(
        [shell, "-c", f"find() {{ {find}\n}}\n{text}"],
        input=f"{KEY}\n",
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "could not be listed" in done.stderr


def test_no_key_is_no_proof(shell: str, tmp_path: Path) -> None:
    assert search(shell, "", tmp_path)[0] == 1
    assert search(shell, "short", tmp_path)[0] == 1


def test_key_stands_in_no_argument(tmp_path: Path) -> None:
    # Every program that the search starts gets its arguments written down.
    log = tmp_path / "log"
    bin_ = tmp_path / "bin"
    bin_.mkdir()
    for tool in ("find", "awk", "tr"):
        real = subprocess.run(
            ["sh", "-c", f"command -v {tool}"], capture_output=True, text=True, check=True
        ).stdout.strip()
        wrapper = bin_ / tool
        wrapper.write_text(f'#!/bin/sh\nprintf "%s\\n" "$*" >> {log}\nexec {real} "$@"\n')
        wrapper.chmod(0o755)
    place = tmp_path / "place"
    place.mkdir()
    (place / "file").write_text("x\n")
    subprocess.run(
        [SHELLS[0], "-c", server_shtext.key_is_nowhere((str(place),), str(place))],
        input=f"{KEY}\n",
        text=True,
        check=True,
        env={"PATH": f"{bin_}:/usr/bin:/bin"},
    )
    assert "NR == 1" in log.read_text()
    assert KEY not in log.read_text()


# --- ssh ------------------------------------------------------------------------------------------

SOCKETS = """\
USER     COMMAND    PID   FD PROTO  LOCAL ADDRESS         FOREIGN ADDRESS
root     sshd       812   3  tcp6   *:22                  *:*
root     sshd       812   4  tcp4   *:22                  *:*
root     ntpd       700   20 tcp4   192.0.2.20:2222       *:*
"""


def test_only_an_sshd_counts_as_listening(shell: str) -> None:
    assert run(shell, server_access_steps.listens(22), sockstat=says(SOCKETS))[0] == 0
    assert run(shell, server_access_steps.listens(2222), sockstat=says(SOCKETS))[0] == 1
    assert run(shell, server_access_steps.listens(2), sockstat=says(SOCKETS))[0] == 1
    assert run(shell, server_access_steps.listens(22), sockstat="return 1")[0] == 1


def restart(tmp_path: Path) -> tuple[str, Path, Path]:
    """The text that restarts ssh, with its files moved below `tmp_path`."""
    folder = tmp_path / "ssh"
    folder.mkdir()
    main, backup = folder / "sshd_config", folder / "sshd_config.zrwizard-0123456789ab"
    main.write_text("new\n")
    backup.write_text("old\n")
    text = text_of("sshd-restart").replace("/etc/ssh/", f"{folder}/")
    return text.replace("/usr/sbin/sshd ", "sshd "), main, backup


def test_restart_goes_well(shell: str, tmp_path: Path) -> None:
    text, main, _ = restart(tmp_path)
    log = f'echo "$*" >> {tmp_path}/calls'
    found = run(shell, text, sshd="return 0", service=log, sockstat=says(SOCKETS))
    assert found == (0, "")
    assert main.read_text() == "new\n"
    assert (tmp_path / "calls").read_text() == "sshd onerestart\n"


def test_what_sshd_refuses_is_put_back_and_nothing_is_restarted(shell: str, tmp_path: Path) -> None:
    text, main, _ = restart(tmp_path)
    bad = "echo 'sshd_config line 1: Bad configuration option: new' >&2; return 255"
    log = f'echo "$*" >> {tmp_path}/calls'
    status, errors = run(shell, text, sshd=bad, service=log, sockstat=says(SOCKETS))
    assert status == 1
    assert "Bad configuration option" in errors
    assert "the old file is back, nothing was restarted" in errors
    assert main.read_text() == "old\n"
    assert not (tmp_path / "calls").exists()


def test_sshd_that_does_not_come_back_gets_its_old_file(shell: str, tmp_path: Path) -> None:
    text, main, _ = restart(tmp_path)
    log = f'echo "$*" >> {tmp_path}/calls'
    status, errors = run(
        shell, text, sshd="return 0", service=log, sockstat="return 1", sleep="return 0"
    )
    assert status == 1
    assert "did not listen on port 22: the old file is back" in errors
    assert main.read_text() == "old\n"
    assert (tmp_path / "calls").read_text() == "sshd onerestart\n" * 2


def test_restart_without_a_backup_leaves_the_file(shell: str, tmp_path: Path) -> None:
    text, main, backup = restart(tmp_path)
    backup.unlink()
    run(shell, text, sshd="return 255", service="return 0", sockstat="return 1", sleep="return 0")
    assert main.read_text() == "new\n"


def test_accepted_only_where_the_very_file_is_in_place(shell: str, tmp_path: Path) -> None:
    look = next(step.look for step in plan().steps if step.id == "sshd-accept")
    config = next(step.action for step in plan().steps if step.id == "sshd-new-config")
    assert look is not None
    text = look.replace("/etc/ssh/", f"{tmp_path}/")
    folder = tmp_path / "zrwizard" / "knox"
    folder.mkdir(parents=True)
    content = getattr(config, "content", "")
    (tmp_path / "sshd_config").write_text(content)
    assert run(shell, text, sockstat=says(SOCKETS))[0] == 1
    noted = re.search(r"= '([0-9]+ [0-9]+)'", text)
    assert noted is not None
    (folder / "accepted").write_text(noted[1] + "\n")
    assert run(shell, text, sockstat=says(SOCKETS))[0] == 0
    assert run(shell, text, sockstat="return 1")[0] == 1
    (tmp_path / "sshd_config").write_text(content + "# touched\n")
    assert run(shell, text, sockstat=says(SOCKETS))[0] == 1


@pytest.mark.parametrize(("answer", "status"), [(77, 0), (0, 1), (64, 1), (127, 1)])
def test_receiver_must_refuse(shell: str, answer: int, status: int, tmp_path: Path) -> None:
    tool = tmp_path / "zr-receiver"
    tool.write_text(
        f'#!/bin/sh\n[ "$SSH_ORIGINAL_COMMAND" = "id -un" ] || exit 99\nexit {answer}\n'
    )
    tool.chmod(0o755)
    world = ServerWorld()
    move = world.walk(full())
    assert isinstance(move, Review)
    text = text_of("receiver-refuses").replace("/usr/local/libexec/", f"{tmp_path}/")
    assert run(shell, text)[0] == status


def test_refusal_is_asked_of_both_keys_of_a_vault() -> None:
    assert text_of("receiver-refuses").count("zr-receiver knox") == 2
    plain = text_of("receiver-refuses", server__shape="plain", server__port="2223")
    assert plain.count("zr-receiver knox") == 1
