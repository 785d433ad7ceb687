"""The survey of an installed system against a real sh, with FreeBSD's tools stood in for."""

from __future__ import annotations

import subprocess
import threading
from pathlib import Path

import pytest

from tests.realsh import RealShell
from tests.shlint import lint
from zrwizard import facts as known
from zrwizard import survey, survey_system
from zrwizard.console.errors import MachineLost, NoAnswer
from zrwizard.facts import Facts, SystemFacts
from zrwizard.flows.moves import Look
from zrwizard.freebsd import hardening, sshd
from zrwizard.freebsd.errors import ParseError
from zrwizard.rehearsal import Rehearsal, RehearsalUnavailable
from zrwizard.run.events import Answered, Event, Typed
from zrwizard.secrets import Secret, Secrets
from zrwizard.shell.connect import open_shell
from zrwizard.survey_system import LIMIT, SYSTEM_FILES

TOKEN = "0123456789ab"
NOW = 1_800_000_000
HOST_KEY = (
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHJroDRzANqwTyF8cffbs7h0TVOrOTh6SSAJOHIhdxbt root@knox"
)
SOCKSTAT = """\
USER     COMMAND    PID   FD  PROTO  LOCAL ADDRESS         FOREIGN ADDRESS
root     sshd       1021  3   tcp6   *:22                  *:*
root     sshd       1021  4   tcp4   *:22                  *:*
"""
MOUNTS = """\
/dev/ada0p2\t\t/\t\t\tufs\trw,noatime\t\t1 1
devfs\t\t\t/dev\t\t\tdevfs\trw\t\t0 0
"""
CAM = """\
<FUJITSU MHY2160BH 0081000D>       at scbus0 target 0 lun 0 (ada0,pass0)
<WD My Passport 0820 1007>         at scbus5 target 0 lun 0 (da0,pass2)
"""
TOOLS = {
    "date": f'[ "$*" = "-u +%s" ] || exit 9; echo {NOW}',
    "hostname": "echo knox",
    "ssh": '[ "$*" = -V ] || exit 9; echo "OpenSSH_9.5p1, OpenSSL 3.0.12 24 Oct 2023" >&2',
    "sockstat": f"cat <<'E'\n{SOCKSTAT}E",
    "pgrep": '[ "$*" = "-x ntpd|chronyd" ] || exit 9; echo 900',
    "timeout": 'shift; exec "$@"',
    "dd": '[ "$1" = if=/dev/random ] || exit 9; echo "1+0 records in" >&2',
    "sysctl": "case $2 in kern.disks) echo da0 ;; *.freq_levels) echo 1600/-1 800/-1 ;; esac",
    "geli": '[ "$*" = "dump /dev/da0" ]',
    "camcontrol": f"/bin/cat <<'E'\n{CAM}E",
    "mount": f"/bin/cat <<'E'\n{MOUNTS}E",
    "ls": 'exec /bin/ls "$ROOT$1"',
    "cat": 'if [ $# -eq 0 ]; then exec /bin/cat; else exec /bin/cat "$ROOT$1"; fi',
    "head": 'exec /usr/bin/head "$1" "$2" "$ROOT$3"',
    # The mode with its type in octal and the size, as `stat -f '%p %z'` of FreeBSD prints them.
    "stat": """[ "$1 $2" = "-f %p %z" ] || exit 9
row=$(/usr/bin/stat -c '0x%f %s' "$ROOT$3") || exit 1
printf '%o %s\\n' "${row%% *}" "${row#* }" """,
}
FILES = {
    "/etc/rc.conf": 'hostname="knox"\nsshd_enable="YES"\n',
    "/etc/fstab": "/dev/ada0p2\t/\tufs\trw\t1\t1\n",
    "/boot/loader.conf": 'zfs_load="YES"',
    "/etc/ttys": "console\tnone\t\t\t\tunknown\toff secure\n",
    "/etc/crontab": "SHELL=/bin/sh\n\n",
    "/etc/sysctl.conf": "",
    "/etc/ssh/sshd_config": "# grüße\nPort 22\n",
    "/etc/ssh/ssh_host_ed25519_key.pub": HOST_KEY + "\n",
}


@pytest.fixture
def shell(tmp_path: Path) -> RealShell:
    made = RealShell(tmp_path)
    for name, text in TOOLS.items():
        made.tool(name, text + "\n")
    for path, text in FILES.items():
        put(made, path, text.encode())
    return made


def put(shell: RealShell, path: str, data: bytes, mode: int = 0o644) -> Path:
    where = shell.root / path.lstrip("/")
    where.parent.mkdir(parents=True, exist_ok=True)
    where.write_bytes(data)
    where.chmod(mode)
    return where


def look(shell: RealShell, at: float = NOW + 0.5) -> tuple[SystemFacts, list[Event]]:
    events: list[Event] = []
    return survey_system.system(shell, events.append, lambda: at), events


def test_an_installed_system(shell: RealShell) -> None:
    put(shell, "/usr/local/etc/zrwizard/knox.conf", b"shape=vault\n")
    put(shell, "/usr/local/etc/zrwizard/notes.txt", b"")
    put(shell, "/etc/fstab", FILES["/etc/fstab"].encode(), 0o600)
    found, events = look(shell)
    assert found.hostname == "knox"
    assert found.openssh == "OpenSSH_9.5p1, OpenSSL 3.0.12 24 Oct 2023"
    assert found.host_key == HOST_KEY
    assert found.listening == (22,)
    assert found.etc_writable
    assert found.skew == 0.0
    assert found.ntp_running
    assert found.seeded
    assert found.paces
    assert [device.names for device in found.cam] == [("ada0", "pass0"), ("da0", "pass2")]
    assert found.marks == ("knox",)
    assert found.sealed == ("da0",)
    assert [file.path for file in found.files] == list(SYSTEM_FILES)
    for path in SYSTEM_FILES:
        assert found.file(path).text == FILES.get(path), path
        assert found.file(path).odd == ""
    assert found.file("/etc/fstab").mode == 0o600
    assert found.file("/etc/rc.conf").mode == 0o644
    assert [type(event) for event in events] == [Typed, Answered] * 3
    assert [event.text for event in events if isinstance(event, Typed)] == list(
        survey_system.commands()
    )


def test_facts_are_kept_as_json(shell: RealShell) -> None:
    facts = Facts(TOKEN, system=look(shell)[0])
    assert known.from_json(facts.to_json()) == facts


def test_the_survey_answers_the_flow(shell: RealShell) -> None:
    found = survey.look(shell, Facts(TOKEN), Look("system", (), "looking"), lambda _: None)
    assert found.system is not None
    assert found.system.hostname == "knox"
    assert found.token == TOKEN


def test_a_bare_system(shell: RealShell) -> None:
    """Nothing that fails stops the survey: each failure is an answer."""
    for name in ("pgrep", "sockstat", "camcontrol", "sysctl", "ssh", "cat", "ls", "head", "stat"):
        shell.tool(name, "exit 1\n")
    shell.tool("dd", "exec sleep 30\n")
    shell.tool("timeout", "exit 124\n")
    found, _ = look(shell)
    assert not found.ntp_running
    assert not found.seeded
    assert not found.paces
    assert (found.listening, found.cam, found.marks, found.sealed) == ((), (), (), ())
    assert (found.openssh, found.host_key) == ("", "")
    assert all(file.text is None and not file.odd for file in found.files)
    assert found.file("/etc/rc.conf").text is None


def test_one_frequency_is_none_to_choose_from(shell: RealShell) -> None:
    shell.tool("sysctl", "echo 1600/-1\n")
    assert not look(shell)[0].paces


@pytest.mark.parametrize("skew", [-3 * 365 * 86400.0, -120.0, 3600.0])
def test_a_wrong_clock(shell: RealShell, skew: float) -> None:
    assert look(shell, NOW + 0.5 - skew)[0].skew == pytest.approx(skew, abs=0.1)


def test_a_slow_line_is_no_skew(shell: RealShell) -> None:
    times = iter([NOW - 3.5, NOW + 4.5])
    found = survey_system.system(shell, lambda _: None, lambda: next(times))
    assert found.skew == 0.0


@pytest.mark.parametrize(
    "mounts",
    [
        MOUNTS.replace("rw,noatime", "ro"),
        MOUNTS + "/dev/md0\t/etc\tufs\tro\t0 0\n",
    ],
)
def test_etc_on_a_read_only_file_system(shell: RealShell, mounts: str) -> None:
    shell.tool("mount", f"/bin/cat <<'E'\n{mounts}E\n")
    assert not look(shell)[0].etc_writable


def test_etc_in_memory_over_a_read_only_root(shell: RealShell) -> None:
    mounts = MOUNTS.replace("rw,noatime", "ro") + "tmpfs\t/etc\ttmpfs\trw\t0 0\n"
    shell.tool("mount", f"/bin/cat <<'E'\n{mounts}E\n")
    assert look(shell)[0].etc_writable


@pytest.mark.parametrize(
    ("data", "odd"),
    [
        (b"a=\xff\xfe\n", "UTF-8"),
        (b"a\0b\n", "UTF-8"),
        (b"#" * (LIMIT + 1), "256 KiB"),
        (b"a=1\n#zr# text:/etc/rc.conf 0\nb=2\n", "exactly"),
    ],
)
def test_a_file_that_is_not_read_is_odd(shell: RealShell, data: bytes, odd: str) -> None:
    put(shell, "/etc/rc.conf", data)
    found = look(shell)[0]
    assert found.file("/etc/rc.conf").text is None
    assert odd in found.file("/etc/rc.conf").odd
    assert found.file("/etc/fstab").text == FILES["/etc/fstab"]


def test_the_largest_file_is_read(shell: RealShell) -> None:
    put(shell, "/etc/crontab", b"#" * (LIMIT - 1) + b"\n")
    assert len(look(shell)[0].file("/etc/crontab").text or "") == LIMIT


@pytest.mark.parametrize("text", ["", "\n", "\n\n", "a", "a\n", "a\n\n", "\r\n", "  a\t\n "])
def test_files_are_read_to_the_byte(shell: RealShell, text: str) -> None:
    put(shell, "/etc/rc.conf", text.encode())
    assert look(shell)[0].file("/etc/rc.conf").text == text


def test_a_link_or_a_directory_is_no_file_to_edit(shell: RealShell) -> None:
    where = shell.root / "etc/rc.conf"
    where.unlink()
    where.symlink_to("fstab")
    (shell.root / "etc/crontab").unlink()
    (shell.root / "etc/crontab").mkdir()
    found = look(shell)[0]
    for path in ("/etc/rc.conf", "/etc/crontab"):
        assert found.file(path).text is None
        assert "regular" in found.file(path).odd


def test_a_damaged_mark_is_told(shell: RealShell) -> None:
    put(shell, "/etc/rc.conf", b"#zr# what\n")
    with pytest.raises(ParseError):
        look(shell)
    with pytest.raises(survey.SurveyError) as failure:
        survey.look(shell, Facts(TOKEN), Look("system", (), ""), lambda _: None)
    assert failure.value.exit == 1


def test_a_clock_that_says_nothing(shell: RealShell) -> None:
    shell.tool("date", "echo now\n")
    with pytest.raises(survey.SurveyError):
        survey.look(shell, Facts(TOKEN), Look("system", (), ""), lambda _: None)


def test_what_does_not_come_back_is_told(shell: RealShell) -> None:
    shell.fail["hostname"] = lambda: NoAnswer("No answer in time.", "Look.")
    with pytest.raises(survey.SurveyError) as failure:
        look(shell)
    assert failure.value.exit == 4
    assert failure.value.now


def test_a_dead_line_is_the_consoles(shell: RealShell) -> None:
    shell.fail["hostname"] = lambda: MachineLost("The line ended.", "Look.")
    with pytest.raises(MachineLost):
        look(shell)


def test_commands_are_sh_and_only_look(tmp_path: Path) -> None:
    for number, text in enumerate(survey_system.commands()):
        path = tmp_path / str(number)
        path.write_text(f"#!/bin/sh\n{text}\n")
        lint(path)
        redirected = text.replace(">/dev/null", "").replace("2>&1", "")
        assert ">" not in redirected.replace("2/dev/null", "")
        subprocess.run(["sh", "-n", str(path)], check=True)


def test_over_a_console() -> None:
    """The whole way: telnet, login, a shell with our protocol on it, the survey, the edits."""
    try:
        machines = Rehearsal(speed=20, scenario="server-read-only")
    except RehearsalUnavailable as why:
        pytest.skip(str(why))
    with machines as box:
        secrets = Secrets()
        secrets.add(Secret("console", box.scenario.root_password))
        session = open_shell(box.url, token=TOKEN, secrets=secrets, cancel=threading.Event())
        try:
            found = survey_system.system(session, lambda _: None, box.clock.now)
        finally:
            session.close()
    assert found.hostname == "knox"
    assert found.listening == (22,)
    assert not found.etc_writable
    assert found.host_key.startswith("ssh-ed25519 ")
    assert sshd.unusable(sshd.parse_version(found.openssh)) is None
    machine = hardening.Machine("14.2-RELEASE", 512 << 20, found.paces)
    for path in hardening.PATHS:
        assert found.file(path).odd == ""
        new = hardening.change(path, found.file(path).text, machine, hardening.Wishes())
        assert new.why, path
