"""Behind a real sshd with certificates made by ssh-keygen: the force-commands, and ssh killed."""

from __future__ import annotations

import contextlib
import getpass
import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.receiver.cases import maker
from tests.receiver.server import Server, Session, until

SSHD = shutil.which("sshd") or "/usr/sbin/sshd"
USER = getpass.getuser()
ROLES = ("deliver", "receive")

pytestmark = pytest.mark.skipif(not os.path.exists(SSHD), reason="no sshd on this machine")


@dataclass
class Door:
    """An sshd in front of `server`, and the two keys."""

    server: Server
    directory: Path
    port: int

    def argv(self, role: str, *words: str) -> list[str]:
        return [
            *("ssh", "-F", "none", "-T", "-p", str(self.port), "-i", str(self.directory / role)),
            *(
                "-o",
                f"CertificateFile={self.directory / role}-cert.pub",
                "-o",
                "IdentitiesOnly=yes",
            ),
            *("-o", f"UserKnownHostsFile={self.directory / 'known'}", "-o", "BatchMode=yes"),
            *("-o", "LogLevel=ERROR", "-o", "ConnectTimeout=20", f"{USER}@127.0.0.1", *words),
        ]

    def ssh(self, role: str, *words: str) -> Session:
        session = Session(self.argv(role, *words), None)
        self.server.sessions.append(session)
        return session

    def deliver(self) -> Session:
        session = self.ssh("deliver", "key")
        session.send(self.server.key)
        session.end()
        return session

    def opened(self, request: str = "hold") -> Session:
        session = self.ssh("receive", *request.split())
        delivery = self.deliver()
        assert delivery.finish() == 0, (delivery.said, session.said)
        if request == "hold":
            session.line("ready")
        return session


def keygen(*words: str) -> None:
    subprocess.run(["ssh-keygen", "-q", *words], check=True, stdin=subprocess.DEVNULL)


def _keys(directory: Path, script: Path) -> None:
    for name in ("ca", "host", *ROLES):
        keygen("-t", "ed25519", "-N", "", "-C", name, "-f", str(directory / name))
    ca = str(directory / "ca")
    keygen("-s", ca, "-I", "host", "-h", "-n", "127.0.0.1", str(directory / "host.pub"))
    for role in ROLES:
        command = f"force-command={script} knox {role}"
        public = str(directory / f"{role}.pub")
        keygen("-s", ca, "-I", role, "-n", USER, "-O", "clear", "-O", command, public)
    (directory / "known").write_text(f"@cert-authority * {(directory / 'ca.pub').read_text()}")


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    directory = tmp_path_factory.mktemp("door")
    with maker(directory / "servers") as make, contextlib.ExitStack() as stack:
        server = make("dash")
        _keys(directory, server.script)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
        (directory / "sshd_config").write_text(
            f"ListenAddress 127.0.0.1:{port}\nHostKey {directory}/host\n"
            f"HostCertificate {directory}/host-cert.pub\nTrustedUserCAKeys {directory}/ca.pub\n"
            f"PidFile {directory}/pid\nAuthorizedKeysFile none\nPasswordAuthentication no\n"
            "KbdInteractiveAuthentication no\nUsePAM no\nPermitRootLogin prohibit-password\n"
            "StrictModes no\nMaxStartups 50\nSubsystem sftp internal-sftp\n"
            # No first shell, so that bash leaves the .bashrc of whoever runs the tests alone.
            "SetEnv SHLVL=5\n"
        )
        log = stack.enter_context((directory / "log").open("wb"))
        sshd = subprocess.Popen(
            [SSHD, "-D", "-e", "-f", str(directory / "sshd_config")],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
        try:
            until(lambda: _listens(port) or sshd.poll() is not None, "sshd")
            assert sshd.poll() is None, (directory / "log").read_text()
            yield Door(server, directory, port)
        finally:
            sshd.terminate()
            sshd.wait(10)


def _listens(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


def test_the_whole_way(door: Door) -> None:
    hold = door.opened()
    asked = door.ssh("receive", "inventory")
    assert asked.finish() == 0, asked.said
    assert asked.printed.startswith("wd\tfilesystem\t")
    second = door.ssh("receive", "hold")
    assert second.finish() == 75
    assert second.said == "zr-receiver: Another session holds the disk.\n"
    stream = door.ssh("receive", "receive", "data")
    stream.send(b"a\nend\n")
    assert stream.finish() == 0, stream.said
    hold.end()
    assert hold.finish() == 0
    assert hold.printed == "ready\nclosed\n"
    assert door.server.shut


def _waiting(door: Door) -> Session:
    session = door.ssh("receive", "hold")
    marks = door.server.run
    until(lambda: any(marks.glob("*/open/want")), "the wait")
    return session


def _attaching(door: Door) -> Session:
    door.server.mode("attach_slow")
    session = door.ssh("receive", "hold")
    door.deliver()
    door.server.stage("attach_slow")
    return session


def _receiving(door: Door) -> Session:
    session = door.opened("receive data")
    session.send(b"a\nb\n")
    received = door.server.world / "received"
    until(lambda: received.exists() and received.read_text() == "a\nb\n", "the stream's beginning")
    return session


STAGES = {
    "waiting": _waiting,
    "attaching": _attaching,
    "ready": Door.opened,
    "receiving": _receiving,
}


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("victim", ["ssh", "sshd"])
def test_cut(door: Door, stage: str, victim: str) -> None:
    """ssh, or the sshd of that session, is killed -9; nobody says good-bye."""
    for path in ("received", "receiving", "stage.attach_slow"):
        (door.server.world / path).unlink(missing_ok=True)
    session = STAGES[stage](door)
    if victim == "ssh":
        os.kill(session.process.pid, signal.SIGKILL)
    else:
        os.kill(_parent(door.server.main_of("knox receive")), signal.SIGKILL)
    session.finish()
    for path in (door.server.world / "mode").iterdir():
        path.unlink()
    door.server.stays_shut()


def _parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def test_a_stolen_key_can_do_nothing_else(door: Door) -> None:
    canary = door.directory / "canary"
    requests = (
        f"touch {canary}",
        f"hold; touch {canary}",
        f"$(touch {canary})",
        f"hold\ntouch {canary}",
    )
    for role in ROLES:
        for request in requests:
            session = door.ssh(role, request)
            session.end()
            assert session.finish() == 77, session.said
            assert "none of its requests" in session.said
        # A terminal, a shell, files, and forwarded ports.
        for words in (["-t", "-t"], ["-s", "sftp"]):
            argv = door.argv(role)
            argv[1:1] = words[:1]
            done = subprocess.run(
                [*argv, *words[1:]] if "-s" in words else ["ssh", *words, *argv[2:]],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=60,
                check=False,
            )
            assert done.returncode in (70, 77), done.stderr
        forward = subprocess.run(
            [
                *door.argv(role)[:-1],
                "-o",
                "ExitOnForwardFailure=yes",
                "-N",
                "-R",
                "0:127.0.0.1:9",
                f"{USER}@127.0.0.1",
            ],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=60,
            check=False,
        )
        assert forward.returncode == 255
        assert b"forwarding" in forward.stderr
    assert not canary.exists()
    assert door.server.shut
