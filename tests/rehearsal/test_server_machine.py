"""The box knox prints what FreeBSD prints, and refuses what FreeBSD refuses (facts C1 to C6)."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from zrwizard.rehearsal import Rehearsal, variant

LEAST = "geli: There was an error with at least one provider.\n"
KEY = "0123456789abcdef" * 8


@pytest.fixture(scope="module")
def box() -> Iterator[Rehearsal]:
    """One box for everything that leaves no trace, or removes it."""
    with Rehearsal(speed=2000, scenario="server") as made:
        yield made


@pytest.fixture
def fresh() -> Iterator[Rehearsal]:
    """A box that may be changed."""
    with Rehearsal(speed=2000, scenario="server") as made:
        yield made


def out(made: Rehearsal, text: str, status: int = 0) -> str:
    """Standard output of a command that ends with `status`."""
    got = made.run(text)
    assert got[0] == status, got
    return got[1]


TABLE: tuple[tuple[str, int, str, str], ...] = (
    (
        "camcontrol devlist | tail -2",
        0,
        "<WD My Passport 0820 1007>         at scbus1 target 0 lun 0 (pass1,da0)\n"
        "<WD My Passport 0820 1007>         at scbus2 target 0 lun 0 (pass2,da1)\n",
        "",
    ),
    ("diskinfo da0", 0, "da0\t512\t1000170586112\t1953458176\t4096\t0\t121597\t255\t63\n", ""),
    ("diskinfo -s da0", 0, "WX61A65P3JZK\n", ""),
    ("sysctl -n kern.disks", 0, "da1 da0 ada0\n", ""),
    (
        "geom disk list zz0",
        1,
        "",
        "geom: Class 'DISK' does not have an instance named 'zz0'.\n",
    ),
    ("gpart show da0", 1, "", "gpart: No such geom: da0.\n"),
    ("kenv -q smbios.system.uuid", 255, "", ""),
    (
        "kenv smbios.system.uuid",
        255,
        "",
        "kenv: unable to get smbios.system.uuid\n",
    ),
    ("kldstat -q -m g_eli", 1, "", ""),
    ("geli status", 0, "", ""),
    (
        f"printf {KEY} | geli attach -p -k - da0",
        1,
        "",
        f"geli: Cannot read metadata from da0: Invalid argument.\n{LEAST}",
    ),
    ("geli detach da0", 1, "", "geli: No such device: da0.\n"),
    (
        "geli attach -p -j /tmp/x -k - da0 </dev/null",
        1,
        "",
        f"geli: Cannot read metadata from da0: Invalid argument.\n{LEAST}",
    ),
    ("geli dump da9", 1, "", f"geli: Cannot open da9: No such file or directory.\n{LEAST}"),
    ("zpool list -Hp", 0, "", ""),
    ("zpool import nope", 1, "", "cannot import 'nope': no such pool available\n"),
    (
        "zpool create x da9",
        1,
        "",
        "cannot open 'da9': no such device in /dev\nmust be a full path or shorthand device name\n",
    ),
    (
        "service nosuch onestart",
        1,
        "nosuch does not exist in /etc/rc.d or the local startup\n"
        "directories (/usr/local/etc/rc.d), or is not executable\n",
        "",
    ),
    (
        "service powerd start",
        1,
        "",
        "Cannot 'start' powerd. Set powerd_enable to YES in "
        "/etc/rc.conf or use 'onestart' instead of 'start'.\n",
    ),
    ("service powerd onestatus", 1, "powerd is not running.\n", ""),
    ("sysrc -n hostname", 0, "knox\n", ""),
    ("sysrc nosuch", 1, "", "sysrc: unknown variable 'nosuch'\n"),
    ("sysrc -c sshd_enable=NO", 1, "", ""),
    ("ssh -V", 0, "", "OpenSSH_9.5p1, OpenSSL 3.0.12 24 Oct 2023\n"),
    (
        "sshd -f /etc/ssh/sshd_config",
        255,
        "",
        "sshd re-exec requires execution with an absolute path\r\n",
    ),
    ("/usr/sbin/sshd -t", 0, "", ""),
    ("umask 027; umask", 0, "0027\n", ""),
    ("timeout 1 sleep 30", 124, "", ""),
    ("pgrep -q nosuch", 1, "", ""),
    ("pgrep -F /var/run/nosuch.pid", 3, "", "pgrep: Cannot open pidfile `/var/run/nosuch.pid'\n"),
    ("install -m 9 /etc/hosts /tmp/h", 64, "", "install: invalid file mode: 9\n"),
    ("freebsd-version", 0, "14.0-RELEASE\n", ""),
    ("zfs version | head -1", 0, "zfs-2.2.0-FreeBSD_g95785196f\n", ""),
)
"""Command, status, standard output and standard error, as the facts have them."""


@pytest.mark.parametrize(("text", "status", "said", "complained"), TABLE)
def test_it_prints_what_the_facts_say(
    box: Rehearsal, text: str, status: int, said: str, complained: str
) -> None:
    assert box.run(text) == (status, said, complained)


def test_geli_from_init_to_detach(fresh: Rehearsal) -> None:
    fed = f"printf '{KEY}\\n' | "
    assert fresh.run(f"{fed}geli init -s 4096 -l 256 -P -K - -B none /dev/da0") == (0, "", "")
    dump = out(fresh, "geli dump da0")
    assert "    keylen: 256\n" in dump
    assert "sectorsize: 4096\n" in dump
    assert "iterations: -1\n" in dump
    assert KEY not in dump
    wrong = fresh.run("printf other | geli attach -p -k - da0")
    assert wrong == (1, "", f"geli: Wrong key for da0.\n{LEAST}")
    assert fresh.run(f"{fed}geli attach -k - da0")[2].startswith("geli: Missing -p flag.\n")
    assert fresh.run(f"{fed}geli attach -C -p -k - da0") == (0, "", "")
    assert out(fresh, "geli status") == ""
    assert fresh.run(f"{fed}geli attach -p -k - da0") == (0, "", "")
    again = fresh.run(f"{fed}geli attach -p -k - da0")
    assert again == (1, "", f"geli: Cannot access da0 (error=1).\n{LEAST}")
    assert out(fresh, "geli status") == "   Name  Status  Components\nda0.eli  ACTIVE  da0\n"
    assert out(fresh, "diskinfo da0.eli").split("\t")[1:3] == ["4096", "1000170582016"]
    assert fresh.run("gpart create -s gpt da0")[0] == 1
    assert out(fresh, "zpool create -m none backup da0.eli") == ""
    assert out(fresh, "zpool get -H -o value ashift backup") in ("0\n", "12\n")
    busy = fresh.run("geli detach da0")
    assert busy == (1, "", "geli: Cannot destroy device da0.eli (error=16).\n")
    assert out(fresh, "zpool export backup && geli detach da0 && geli status") == ""
    assert "backup" not in out(fresh, "zpool import")
    assert fresh.run("ls /dev/da0.eli")[0] == 1
    assert out(fresh, "geli backup da0 /root/meta && stat -f '%z %Lp' /root/meta") == "512 600\n"
    assert fresh.run("geli clear da0") == (0, "", "")
    assert fresh.run("geli dump da0")[0] == 1


def test_the_last_close_comes_in_the_middle_of_an_import(fresh: Rehearsal) -> None:
    """As recorded (202): `attach -d` and `zpool import` do not go together."""
    fed = f"printf {KEY} | "
    out(fresh, f"{fed}geli init -s 4096 -P -K - -B none da0")
    out(fresh, f"{fed}geli attach -p -k - da0; zpool create -m none backup da0.eli")
    out(fresh, "zpool export backup; geli detach da0")
    out(fresh, f"{fed}geli attach -d -p -k - da0")
    got = fresh.run("zpool import -N backup")
    assert got == (
        1,
        "",
        "cannot import 'backup': one or more devices is currently unavailable\n",
    )
    assert out(fresh, "geli status") == ""


def test_init_may_work_and_fail_when_its_backup_cannot_be_kept() -> None:
    with Rehearsal(speed=2000, scenario=variant("server", read_only_root=True)) as made:
        got = made.run(f"printf {KEY} | geli init -P -K - da0")
        assert got[0] == 1
        assert got[2] == (
            "geli: Unable to open /var/backups/da0.eli: Read-only file system.\n" + LEAST
        )
        assert "GEOM::ELI" in made.run("geli dump da0")[1]
        refused = made.run("sysrc a=1")
        assert refused[0] == 1
        assert refused[2].endswith("/etc/rc.conf: Read-only file system\n")


def test_reading_through_the_cipher_is_slower(fresh: Rehearsal) -> None:
    def rate(device: str) -> float:
        said = fresh.run(f"dd if=/dev/{device} of=/dev/null bs=1m count=100")[2]
        found = re.search(
            r"^100\+0 records in\n100\+0 records out\n104857600 bytes transferred in "
            r"([\d.]+) secs \((\d+) bytes/sec\)\n$",
            said,
        )
        assert found is not None, said
        assert abs(float(found[1]) * float(found[2]) - 104857600) < 2000
        return float(found[2])

    out(fresh, f"printf {KEY} | geli init -s 4096 -P -K - -B none da0")
    out(fresh, f"printf {KEY} | geli attach -p -k - da0")
    bare, sealed = rate("da0"), rate("da0.eli")
    assert 90e6 < bare < 120e6
    assert 0.15 < 1 - sealed / bare < 0.45


BAD = (
    ("PermitRootLogin perhaps", 'line 1: unsupported option "perhaps".'),
    ("Port 70000", "line 1: Badly formatted port number."),
    ("Nonsense yes", "line 1: Bad configuration option: nonsense"),
    ("KexAlgorithms mlkem768x25519-sha256", "line 1: Bad SSH2 KexAlgorithms"),
    ("Ciphers 3des-cbc", "line 1: Bad SSH2 cipher spec '3des-cbc'."),
    ("MACs hmac-md5", "line 1: Bad SSH2 mac spec 'hmac-md5'."),
    ("CASignatureAlgorithms ssh-dss", "line 1: Bad key types 'ssh-dss'."),
    ("PersourcePenalties yes", "Bad configuration option: persourcepenalties"),
    ("HostKey /etc/ssh/nosuch", "sshd: no hostkeys available -- exiting."),
)


@pytest.mark.parametrize(("line", "words"), BAD)
def test_sshd_refuses_what_its_release_does_not_know(box: Rehearsal, line: str, words: str) -> None:
    got = box.run(f"echo '{line}' >/tmp/c; /usr/sbin/sshd -t -f /tmp/c")
    assert got[0] in (1, 255)
    assert words in got[2].replace("/tmp/c line", "line").replace("/tmp/c: line", "line")


def test_a_private_host_key_that_others_can_read_is_not_used(fresh: Rehearsal) -> None:
    got = fresh.run("chmod 644 /etc/ssh/ssh_host_*_key; /usr/sbin/sshd -t")
    assert got[0] == 1
    assert "WARNING: UNPROTECTED PRIVATE KEY FILE!" in got[2]


def test_a_second_sshd_comes_and_goes(fresh: Rehearsal) -> None:
    listening = "sockstat -4 -6 -l -P tcp"
    out(fresh, "/usr/sbin/sshd -f /etc/ssh/sshd_config -p 2222 -o PidFile=/var/run/t.pid")
    rows = out(fresh, listening).splitlines()
    assert rows[0].split() == [
        "USER",
        "COMMAND",
        "PID",
        "FD",
        "PROTO",
        "LOCAL",
        "ADDRESS",
        "FOREIGN",
        "ADDRESS",
    ]
    ports = [row.split()[5] for row in rows if row.split()[1] == "sshd"]
    assert sorted(set(ports)) == ["*:22", "*:2222"]
    out(fresh, "pgrep -F /var/run/t.pid sshd >/dev/null && pkill -F /var/run/t.pid sshd")
    assert "2222" not in out(fresh, listening)
    assert "*:22 " in out(fresh, listening)
    assert fresh.run("test -e /var/run/t.pid")[0] == 1


def test_a_port_that_is_taken_is_told_in_the_log_only() -> None:
    with Rehearsal(speed=2000, scenario="server-port-busy") as made:
        assert made.run("/usr/sbin/sshd -p 2222") == (0, "", "")
        assert "Bind to port 2222 on 0.0.0.0 failed: Address already in use." in out(
            made, "cat /var/log/auth.log"
        )
        assert not re.search(r"sshd\s.*:2222", out(made, "sockstat -l -P tcp"))


def test_a_restart_with_a_bad_file_leaves_the_old_sshd_alone(fresh: Rehearsal) -> None:
    pid = out(fresh, "cat /var/run/sshd.pid")
    got = fresh.run("echo Nonsense yes >>/etc/ssh/sshd_config; service sshd onerestart")
    assert got[0] == 1
    assert "Bad configuration option: nonsense" in got[2]
    assert got[2].endswith("/etc/rc.d/sshd: WARNING: failed restart_precmd routine for sshd\n")
    assert out(fresh, "cat /var/run/sshd.pid") == pid
    assert out(fresh, "service sshd status") == f"sshd is running as pid {pid.strip()}.\n"


def test_a_restart_is_told_step_by_step(fresh: Rehearsal) -> None:
    pid = out(fresh, "cat /var/run/sshd.pid").strip()
    sane = "Performing sanity check on sshd configuration.\n"
    assert out(fresh, "service sshd restart") == (
        f"{sane}Stopping sshd.\nWaiting for PIDS: {pid}.\n{sane}Starting sshd.\n"
    )
    assert out(fresh, "cat /var/run/sshd.pid").strip() != pid


def test_sysrc_changes_a_line_and_keeps_the_others(fresh: Rehearsal) -> None:
    assert out(fresh, "sysrc dumpdev=NO") == "dumpdev: AUTO -> NO\n"
    assert out(fresh, "sysrc dumpdev=NO") == "dumpdev: NO -> NO\n"
    assert out(fresh, "sysrc powerd_enable=YES") == "powerd_enable: NO -> YES\n"
    text = out(fresh, "cat /etc/rc.conf")
    assert text.startswith('hostname="knox"\n')
    assert text.endswith('dumpdev="NO"\npowerd_enable="YES"\n')
    out(fresh, "sysrc -x powerd_enable")
    assert "powerd" not in out(fresh, "cat /etc/rc.conf")


def test_files_have_the_modes_that_the_umask_leaves(fresh: Rehearsal) -> None:
    out(
        fresh,
        "umask 077; mkdir -p /usr/local/x/y; echo a >/usr/local/x/f; cp /etc/hosts /usr/local/x/h;"
        "install -m 0555 /etc/hosts /usr/local/x/i; install -d -m 750 /usr/local/x/d",
    )
    modes = out(fresh, "stat -f '%N %Lp %Su:%Sg' /usr/local/x /usr/local/x/*").splitlines()
    assert [row.removeprefix("/usr/local/x") for row in modes] == [
        " 700 root:wheel",
        "/d 750 root:wheel",
        "/f 600 root:wheel",
        "/h 600 root:wheel",
        "/i 555 root:wheel",
        "/y 700 root:wheel",
    ]


def test_a_copy_with_p_keeps_all_and_mv_replaces(fresh: Rehearsal) -> None:
    was = out(fresh, "stat -f '%m %Lp' /etc/rc.conf")
    out(
        fresh,
        "cp -p /etc/rc.conf /etc/rc.conf.old && echo x=1 >/etc/n && mv -f /etc/n /etc/rc.conf",
    )
    assert out(fresh, "stat -f '%m %Lp' /etc/rc.conf.old") == was
    assert out(fresh, "cat /etc/rc.conf") == "x=1\n"
    assert out(fresh, "find /etc/rc.conf.old -prune -perm 644") == "/etc/rc.conf.old\n"
    assert out(fresh, "find /etc/rc.conf.old -prune -perm 600") == ""


def test_keys_that_it_makes_are_real(fresh: Rehearsal, tmp_path: Path) -> None:
    from cryptography.hazmat.primitives.serialization import load_ssh_private_key

    assert out(fresh, "ssh-keygen -q -t ed25519 -N '' -C me -f /root/.ssh/k") == ""
    private = out(fresh, "cat /root/.ssh/k").encode()
    public = out(fresh, "cat /root/.ssh/k.pub")
    key = load_ssh_private_key(private, None)
    from cryptography.hazmat.primitives import serialization as s

    line = key.public_key().public_bytes(s.Encoding.OpenSSH, s.PublicFormat.OpenSSH).decode()
    assert public == f"{line} me\n"
    assert out(fresh, "ssh-keygen -y -f /root/.ssh/k").split()[:2] == line.split()[:2]
    assert out(fresh, "stat -f %Lp /root/.ssh/k") == "600\n"
    shown = out(fresh, "ssh-keygen -l -f /root/.ssh/k.pub")
    (tmp_path / "k.pub").write_text(public)
    real = subprocess.run(
        ["ssh-keygen", "-l", "-f", tmp_path / "k.pub"], capture_output=True, check=True
    )
    assert shown == real.stdout.decode()


def test_the_real_ssh_keygen_reads_its_revocation_lists(fresh: Rehearsal, tmp_path: Path) -> None:
    for name in ("ca", "k"):
        subprocess.run(
            ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / name], check=True
        )
    for serial in (3, 4):
        subprocess.run(
            [
                "ssh-keygen",
                "-q",
                "-s",
                tmp_path / "ca",
                "-I",
                "me",
                "-n",
                "root",
                "-z",
                str(serial),
                tmp_path / "k.pub",
            ],
            check=True,
        )
        (tmp_path / "k-cert.pub").rename(tmp_path / f"k{serial}-cert.pub")
        text = (tmp_path / f"k{serial}-cert.pub").read_text()
        out(fresh, f"cat >/root/k{serial}.pub <<'E'\n{text}E\n")
    out(fresh, f"cat >/root/ca.pub <<'E'\n{(tmp_path / 'ca.pub').read_text()}E\n")
    out(
        fresh,
        "echo 'serial: 3' >/root/spec; ssh-keygen -q -k -f /root/krl -s /root/ca.pub /root/spec",
    )
    assert fresh.run("ssh-keygen -Q -f /root/krl /root/k3.pub")[0] == 1
    assert fresh.run("ssh-keygen -Q -f /root/krl /root/k4.pub")[0] == 0
    data = fresh.inside(lambda: fresh.target.space and fresh.target.space.read(b"/root/krl"))
    assert isinstance(data, bytes)
    (tmp_path / "krl").write_bytes(data)
    answers = [
        subprocess.run(
            ["ssh-keygen", "-Q", "-f", tmp_path / "krl", tmp_path / f"k{serial}-cert.pub"],
            capture_output=True,
            check=False,
        ).returncode
        for serial in (3, 4)
    ]
    assert answers == [1, 0]


def test_a_stream_that_breaks_off_can_be_resumed(fresh: Rehearsal) -> None:
    out(fresh, f"printf {KEY} | geli init -s 4096 -P -K - -B none da0")
    out(fresh, f"printf {KEY} | geli attach -p -k - da0; zpool create -m none b da0.eli")
    out(
        fresh,
        "mkdir /tmp/m; zfs create -o canmount=noauto -o mountpoint=/tmp/m b/s; zfs mount b/s;"
        "dd if=/dev/random of=/tmp/m/data bs=65536 count=16 2>/dev/null; zfs unmount b/s;"
        "zfs snapshot b/s@t; zfs send b/s@t >/tmp/stream",
    )
    half = fresh.run("head -c 600000 /tmp/stream | zfs receive -s -u b/r")
    assert half[0] == 1
    assert "Partially received snapshot is saved." in half[2]
    token = out(fresh, "zfs get -Hp -o value receive_resume_token b/r").strip()
    assert re.fullmatch(r"1-[0-9a-f]+-[0-9a-f]+-[0-9a-f]+", token)
    again = fresh.run("zfs receive -s -u b/r </tmp/stream")
    assert "contains partially-complete state" in again[2]
    out(fresh, f"zfs send -t {token} | zfs receive -s -u b/r")
    guids = out(fresh, "zfs get -Hp -o value guid b/s@t b/r@t").split()
    assert guids[0] == guids[1]
    assert fresh.run("zfs receive -u b/x </etc/rc.conf")[2] == (
        "cannot receive: invalid stream (bad magic number)\n"
    )
    damaged = "sed 's/a/b/' /tmp/stream >/tmp/bad; zfs receive -u b/x </tmp/bad"
    assert fresh.run(damaged)[0] == 1


def test_disks_that_are_pulled_out_come_back_under_other_names(fresh: Rehearsal) -> None:
    out(fresh, f"printf {KEY} | geli init -s 4096 -P -K - -B none da0")
    fresh.replug()
    assert out(fresh, "diskinfo -s da1") == "WX61A65P3JZK\n"
    assert out(fresh, "diskinfo -s da0") == "WX61A65P3K0T\n"
    out(fresh, f"printf {KEY} | geli attach -p -k - da1; zpool create -m none b da1.eli")
    assert "da1.eli" in out(fresh, "zpool status b")
    assert fresh.accidents == []
