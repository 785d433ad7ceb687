"""An ssh console over a real sshd on loopback."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from noise import root_in_name

from zrwizard.console.errors import Refused, Unreachable
from zrwizard.secrets import Secrets
from zrwizard.shell.connect import open_shell

SSHD = shutil.which("sshd", path="/usr/sbin:/sbin:/usr/local/sbin")
pytestmark = pytest.mark.skipif(
    SSHD is None or shutil.which("ssh") is None, reason="no sshd on this machine"
)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@pytest.fixture
def sshd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """A real sshd for this user, and an `ssh` in PATH that has its key and known hosts."""
    port = free_port()
    for name in ("host", "user"):
        subprocess.run(
            ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / name)], check=True
        )
    public = (tmp_path / "user.pub").read_text()
    (tmp_path / "authorized").write_text(f'environment="PS1=# ",environment="ENV=" {public}')
    host = (tmp_path / "host.pub").read_text().split()
    (tmp_path / "known").write_text(f"[127.0.0.1]:{port} {host[0]} {host[1]}\n")
    (tmp_path / "config").write_text(
        f"Host *\nIdentityFile {tmp_path}/user\nUserKnownHostsFile {tmp_path}/known\n"
        "GlobalKnownHostsFile /dev/null\nIdentitiesOnly yes\n"
    )
    root = root_in_name(tmp_path / "bin")
    rc = f"PATH={root}:$PATH PS1='# ' exec /bin/sh -i"
    (tmp_path / "sshd_config").write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {tmp_path}/host\n"
        f"AuthorizedKeysFile {tmp_path}/authorized\nStrictModes no\nUsePAM no\n"
        f"PidFile {tmp_path}/pid\nPermitUserEnvironment yes\nForceCommand {rc}\n"
        "PermitRootLogin yes\nLogLevel ERROR\n"
    )
    wrapper = tmp_path / "bin" / "ssh"
    wrapper.write_text(f'#!/bin/sh\nexec {shutil.which("ssh")} -F {tmp_path}/config "$@"\n')
    wrapper.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)
    daemon = subprocess.Popen([str(SSHD), "-D", "-e", "-f", str(tmp_path / "sshd_config")])
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                break
        time.sleep(0.05)
    yield port
    daemon.terminate()
    daemon.wait(5)


def url(port: int) -> str:
    return f"ssh://{pwd.getpwuid(os.geteuid()).pw_name}@127.0.0.1:{port}"


def open_it(port: int, token: str):
    return open_shell(url(port), token=token, secrets=Secrets(), cancel=threading.Event())


def test_a_console_over_ssh_runs_commands_exactly(sshd: int) -> None:
    shell = open_it(sshd, f"{os.getpid():x}55")
    assert shell.run("echo over ssh; exit 9").status == 9
    assert shell.run("head -c 20000 /dev/zero | wc -c").text.strip() == "20000"
    shell.run(f"rm -rf {shell.home}")
    shell.close()


def test_a_host_key_that_is_not_known_is_never_accepted(sshd: int, tmp_path: Path) -> None:
    (tmp_path / "known").write_text("")
    with pytest.raises(Refused, match="host's key"):
        open_it(sshd, f"{os.getpid():x}56")
    assert (tmp_path / "known").read_text() == ""


def test_a_changed_host_key_ends_the_line(sshd: int, tmp_path: Path) -> None:
    subprocess.run(
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / "other")], check=True
    )
    other = (tmp_path / "other.pub").read_text().split()
    (tmp_path / "known").write_text(f"[127.0.0.1]:{sshd} {other[0]} {other[1]}\n")
    with pytest.raises(Unreachable, match="Host key verification failed"):
        open_it(sshd, f"{os.getpid():x}57")
