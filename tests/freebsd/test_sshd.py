"""sshd: a configuration that the real one takes, tries beside another, and obeys."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.shlint import lint
from zrwizard.freebsd import ParseError, sshd
from zrwizard.freebsd.sshd import Version
from zrwizard.run.translate import translate

REAL = (
    all(map(shutil.which, ("ssh", "ssh-keygen", "pgrep", "pkill"))) and Path(sshd.PROGRAM).exists()
)
real = pytest.mark.skipif(
    not REAL or os.getuid() != 0, reason="needs root, sshd and its tools on this machine"
)


def test_versions() -> None:
    for text, found in [
        ("OpenSSH_9.5p1, OpenSSL 3.0.12 24 Oct 2023\n", (9, 5, "OpenSSH_9.5p1")),
        ("OpenSSH_9.2p1 Debian-2+deb12u3, OpenSSL 3.0.14 4 Jun 2024", (9, 2, "OpenSSH_9.2p1")),
        ("OpenSSH_9.9p2, OpenSSL 3.5.1 1 Jul 2025", (9, 9, "OpenSSH_9.9p2")),
        ("OpenSSH_10.0p2, OpenSSL 3.5.4 30 Sep 2025", (10, 0, "OpenSSH_10.0p2")),
        ("OpenSSH_7.9p1, OpenSSL 1.1.1k-freebsd  25 Mar 2021", (7, 9, "OpenSSH_7.9p1")),
        ("warning: locale\nOpenSSH_8.8p1, OpenSSL 1.1.1o-freebsd", (8, 8, "OpenSSH_8.8p1")),
        ("OpenSSH_9.7, LibreSSL 3.9.0", (9, 7, "OpenSSH_9.7")),
    ]:
        assert sshd.parse_version(text) == Version(*found)


@pytest.mark.parametrize("text", ["", "sh: ssh: not found", "Dropbear v2022.83", "OpenSSH_x.1"])
def test_no_version(text: str) -> None:
    with pytest.raises(ParseError):
        sshd.parse_version(text)


def test_ten_is_newer_than_nine() -> None:
    assert Version(10, 0, "").since(9, 9)
    assert not Version(9, 9, "").since(10, 0)
    assert Version(8, 5, "").since(8, 5)


def test_too_old() -> None:
    told = sshd.unusable(Version(6, 6, "OpenSSH_6.6.1p1"))
    assert told is not None
    assert "OpenSSH_6.6.1p1" in told.what
    assert sshd.unusable(Version(7, 1, "x")) is not None
    assert sshd.unusable(Version(7, 2, "x")) is None
    assert sshd.unusable(Version(10, 1, "x")) is None


def options(text: str) -> dict[str, str]:
    rows = [line.split(" ", 1) for line in text.splitlines() if line and not line.startswith("#")]
    found = {name: value for name, value in rows}
    assert len(found) == len(rows), "an option that stands twice: only the first would count"
    return found


# Which names a version must not see, and which it must: from the release notes of OpenSSH.
NEWER = [
    ((9, 9), "mlkem768x25519-sha256"),
    ((9, 9), "sntrup761x25519-sha512,"),
    ((8, 7), "KbdInteractiveAuthentication"),
    ((8, 5), "sntrup761x25519-sha512@openssh.com"),
    ((8, 5), "PubkeyAcceptedAlgorithms"),
    ((7, 9), "CASignatureAlgorithms"),
    ((7, 4), "DisableForwarding"),
    ((7, 4), "curve25519-sha256,"),
]
OLDER = [((8, 7), "ChallengeResponseAuthentication"), ((8, 5), "PubkeyAcceptedKeyTypes")]
VERSIONS = [(7, 2), (7, 4), (7, 8), (7, 9), (8, 4), (8, 5), (8, 6), (8, 7), (9, 8), (9, 9), (10, 0)]


@pytest.mark.parametrize("numbers", VERSIONS)
def test_only_what_a_version_knows(numbers: tuple[int, int]) -> None:
    text = sshd.config(Version(*numbers, "x"), port=22, name="knox")
    assert options(text)
    for since, name in NEWER:
        assert (name in text) == (numbers >= since), name
    for until, name in OLDER:
        assert (name in text) == (numbers < until), name
    kex = options(text)["KexAlgorithms"]
    assert kex.endswith("curve25519-sha256@libssh.org")
    assert not any(weak in text for weak in ("ssh-rsa", "sha1", "nistp", "cbc", "-group", "dss"))


def test_what_it_says() -> None:
    text = sshd.config(Version(9, 5, "OpenSSH_9.5p1"), port=2223, name="knox")
    found = options(text)
    assert found["Port"] == "2223"
    assert found["HostKey"] == "/etc/ssh/ssh_host_ed25519_key"
    assert found["HostCertificate"] == "/etc/ssh/zrwizard/knox/host-cert.pub"
    assert found["TrustedUserCAKeys"] == "/etc/ssh/zrwizard/knox/ca.pub"
    assert found["RevokedKeys"] == "/etc/ssh/zrwizard/knox/revoked"
    assert found["AllowUsers"] == "root"
    assert found["AuthenticationMethods"] == "publickey"
    assert found["AuthorizedKeysFile"] == "none"
    assert found["PermitRootLogin"] == "prohibit-password"
    assert "PidFile" not in found
    assert not {"Subsystem", "Include", "AuthorizedKeysCommand", "AuthorizedPrincipalsFile"} & set(
        found
    )
    assert 30 <= int(found["ClientAliveInterval"]) * int(found["ClientAliveCountMax"]) <= 60
    extra = sshd.config(
        Version(9, 5, "x"), port=2223, name="knox", users=("root", "backup"), pid_file="/var/run/x"
    )
    assert options(extra)["PidFile"] == "/var/run/x"
    assert options(extra)["AllowUsers"] == "root backup"


@pytest.mark.parametrize(
    "wrong",
    [
        {"port": 0},
        {"port": 65536},
        {"users": ()},
        {"users": ("root *",)},
        {"users": ("root\nPermitRootLogin yes",)},
        {"host_key": "/a b"},
        {"pid_file": "x"},
        {"name": "a/b"},
        {"name": "../x"},
        {"name": "a\nPort 1"},
    ],
)
def test_what_cannot_stand_there(wrong: dict[str, object]) -> None:
    given: dict[str, object] = {"port": 22, "name": "knox", **wrong}
    with pytest.raises(ValueError, match=r"[a-z]"):
        sshd.config(Version(9, 5, "x"), **given)  # type: ignore[arg-type]


def test_commands_are_sh(tmp_path: Path) -> None:
    odd = "/tmp/a b/it's"
    for number, text in enumerate(
        (
            sshd.version(),
            sshd.check(odd),
            sshd.effective(odd),
            sshd.start(odd, 2222, odd, odd),
            sshd.running(odd),
            sshd.comes_up(odd),
            sshd.stop(odd),
            sshd.restart(),
            sshd.krl("knox", odd, 3),
            sshd.krl_admits("knox", odd),
        )
    ):
        path = tmp_path / str(number)
        path.write_text(f"#!/bin/sh\n{text}\n")
        lint(path)


@dataclass
class Room:
    """A directory with a CA, a certified host key, a certified login key, and the set-up knox."""

    at: Path
    port: int
    text: str

    def __getitem__(self, name: str) -> str:
        return str(self.at / name)

    def sh(self, text: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(["sh", "-c", text], capture_output=True, text=True, check=False)

    def login(self, command: str) -> subprocess.CompletedProcess[str]:
        options = {
            "CertificateFile": self["user-cert.pub"],
            "IdentitiesOnly": "yes",
            "UserKnownHostsFile": self["known"],
            "StrictHostKeyChecking": "yes",
            "HostKeyAlgorithms": "ssh-ed25519-cert-v01@openssh.com",
            "BatchMode": "yes",
        }
        given = [word for name, value in options.items() for word in ("-o", f"{name}={value}")]
        argv = ["ssh", "-F", "none", "-p", str(self.port), "-i", self["user"], *given]
        return subprocess.run(
            [*argv, "root@127.0.0.1", command],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )

    def variant(self, old: str, new: str) -> str:
        assert old in self.text
        path = self.at / "variant"
        path.write_text(self.text.replace(old, new))
        return str(path)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


@pytest.fixture
def room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Room]:
    # Debian's sshd wants it; a service manager makes it elsewhere.
    Path("/run/sshd").mkdir(exist_ok=True)
    monkeypatch.setattr(sshd, "DIRECTORY", str(tmp_path / "etc"))
    where = sshd.paths("knox")
    Path(where.directory).mkdir(parents=True)
    keygen = ["ssh-keygen", "-q"]
    for name in ("ca", "host", "user"):
        argv = [*keygen, "-t", "ed25519", "-N", "", "-C", name, "-f", str(tmp_path / name)]
        subprocess.run(argv, check=True)
    signing = [*keygen, "-s", str(tmp_path / "ca"), "-V", "-5m:+1h"]
    subprocess.run(
        [*signing, "-I", "knox", "-h", "-n", "127.0.0.1", str(tmp_path / "host.pub")], check=True
    )
    subprocess.run(
        [*signing, "-I", "knox-login", "-n", "root", "-z", "2", str(tmp_path / "user.pub")],
        check=True,
    )
    shutil.copy(tmp_path / "ca.pub", where.ca)
    shutil.copy(tmp_path / "host-cert.pub", where.certificate)
    ca = (tmp_path / "ca.pub").read_text()
    (tmp_path / "known").write_text(f"@cert-authority [127.0.0.1]:* {ca}")
    (tmp_path / "spec").write_text("")
    version = sshd.parse_version(
        subprocess.run(
            ["sh", "-c", sshd.version()], capture_output=True, text=True, check=True
        ).stdout
    )
    text = sshd.config(
        version, port=free_port(), name="knox", host_key=str(tmp_path / "host"), pid_file=None
    )
    (tmp_path / "sshd_config").write_text(text)
    found = Room(tmp_path, free_port(), text)
    assert found.sh(sshd.krl("knox", found["spec"], 1)).returncode == 0
    yield found
    found.sh(sshd.stop(found["pid"]))


@real
def test_the_real_one_takes_every_line(room: Room) -> None:
    checked = room.sh(sshd.check(room["sshd_config"]))
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")
    shown = room.sh(sshd.effective(room["sshd_config"])).stdout.splitlines()
    effective = {tuple(line.split(" ", 1)) for line in shown}
    # `sshd -T` shows some values under an older word.
    older = {("permitrootlogin", "prohibit-password"): ("permitrootlogin", "without-password")}
    for name, value in options(room.text).items():
        row = (name.lower(), value)
        assert row in effective or older.get(row) in effective, row


@real
def test_tried_on_a_second_port_and_a_key_revoked(room: Room) -> None:
    start = sshd.start(room["sshd_config"], room.port, room["pid"], room["log"])
    assert room.sh(start).returncode == 0
    up = room.sh(sshd.comes_up(room["pid"]))
    assert up.returncode == 0, Path(room["log"]).read_text()
    told = room.login("echo here $SSH_CONNECTION")
    assert told.returncode == 0, told.stderr
    assert told.stdout.split()[0] == "here"
    assert told.stdout.split()[-1] == str(room.port)

    assert room.sh(sshd.krl_admits("knox", room["user-cert.pub"])).returncode == 0
    (room.at / "spec").write_text("serial: 2\n")
    assert room.sh(sshd.krl("knox", room["spec"], 2)).returncode == 0
    assert room.sh(sshd.krl_admits("knox", room["user-cert.pub"])).returncode != 0
    refused = room.login("echo here")
    assert refused.returncode == 255
    assert "Permission denied (publickey)" in refused.stderr

    assert room.sh(sshd.stop(room["pid"])).returncode == 0
    ended = room.sh(
        f"n=0; while {sshd.running(room['pid'])} && [ $n -lt 50 ]; do sleep 0.1; n=$((n+1)); done"
    )
    assert ended.returncode == 0
    assert room.sh(sshd.running(room["pid"])).returncode != 0
    assert room.sh(sshd.stop(room["pid"])).returncode == 0


@real
def test_a_list_that_cannot_be_read_admits_nobody(room: Room) -> None:
    Path(sshd.paths("knox").revoked).unlink()
    assert room.sh(sshd.krl_admits("knox", room["user-cert.pub"])).returncode != 0


@real
def test_a_left_pid_file_ends_nobody_else(room: Room) -> None:
    with subprocess.Popen(["sleep", "60"]) as other:
        (room.at / "pid").write_text(f"{other.pid}\n")
        assert room.sh(sshd.running(room["pid"])).returncode != 0
        assert room.sh(sshd.stop(room["pid"])).returncode == 0
        assert other.poll() is None
        other.kill()


@real
def test_it_does_not_come_up_where_it_cannot_listen(room: Room) -> None:
    taken = room.variant("\nPort ", "\nAddressFamily inet\nPort ")
    with socket.create_server(("0.0.0.0", 0)) as server:  # noqa: S104 - as sshd itself listens
        port = server.getsockname()[1]
        room.sh(sshd.start(taken, port, room["pid"], room["log"]))
        assert room.sh(sshd.comes_up(room["pid"], 1)).returncode != 0
    told = sshd.explain(Path(room["log"]).read_text())
    assert told is not None
    assert told.kind == "port in use"
    assert str(port) in told.what


@real
@pytest.mark.parametrize(
    ("old", "new", "kind", "part"),
    [
        ("UseDNS no", "UseDNS no\nFrobnicate yes", "bad option", "Frobnicate"),
        ("KexAlgorithms ", "KexAlgorithms bogus,", "bad value", "KexAlgorithms"),
        ("PermitRootLogin prohibit-password", "PermitRootLogin maybe", "bad value", "maybe"),
        ("no key", "", "no host key", ""),
        ("open key", "", "open to others", "600"),
        ("no certificate there", "", "no certificate", "CA"),
    ],
)
def test_what_it_refuses_is_told(room: Room, old: str, new: str, kind: str, part: str) -> None:
    if old == "no key":
        path = room.variant(f"HostKey {room['host']}", f"HostKey {room['nothing']}")
    elif old == "open key":
        shutil.copy(room["host"], room["open"])
        Path(room["open"]).chmod(0o644)
        path = room.variant(f"HostKey {room['host']}", f"HostKey {room['open']}")
    elif old == "no certificate there":
        Path(sshd.paths("knox").certificate).unlink()
        path = room["sshd_config"]
    else:
        path = room.variant(old, new)
    checked = room.sh(sshd.check(path))
    assert checked.returncode != 0
    told = translate(sshd.check(path), checked.stderr)
    assert told is not None
    assert told.kind == kind
    assert part in f"{told.what} {told.now}"
