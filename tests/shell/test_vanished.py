"""A root file system that is gone under a shell that goes on living: builtins answer, no more."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import threading
from pathlib import Path

import pexpect
import pytest

from zrwizard.console.console import Console
from zrwizard.console.errors import Cancelled
from zrwizard.console.states import State
from zrwizard.console.transcript import Transcript
from zrwizard.line.telnet import QEMU_GREETING
from zrwizard.secrets import Secrets
from zrwizard.shell.connect import open_shell
from zrwizard.shell.session import ShellSession
from zrwizard.shell.vanished import RootVanished, check_shell

NEW_ROOT = [] if os.geteuid() == 0 else ["unshare", "-r"]


def can_change_root() -> bool:
    tool = shutil.which("chroot", path="/usr/sbin:/sbin:/usr/bin:/bin")
    if tool is None:
        return False
    done = subprocess.run(
        [*NEW_ROOT, tool, "/", "/bin/true"], capture_output=True, check=False, timeout=20
    )
    return done.returncode == 0


def small_root(directory: Path, program: str, *commands: str) -> None:
    """A root with `program` as its /bin/sh, what that needs to start, and `commands`."""
    (directory / "bin").mkdir(parents=True)
    for name, source in [("sh", program), *[(c, shutil.which(c) or c) for c in commands]]:
        shutil.copy(source, directory / "bin" / name)
        libraries = subprocess.run(["ldd", source], capture_output=True, text=True, check=False)
        for path in re.findall(r"(/\S+)", libraries.stdout):
            if Path(path).is_file():
                target = directory / path.lstrip("/")
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(path, target)


@pytest.mark.skipif(not can_change_root(), reason="chroot(8) is not allowed here")
@pytest.mark.parametrize("program", ["/bin/dash", "/bin/bash"])
@pytest.mark.parametrize("left", [(), ("/bin/sh",)], ids=["nothing left", "sh left"])
def test_a_shell_without_its_root_is_found_out(tmp_path, program, left):
    """A real shell whose files are taken away while it stands at its prompt."""
    if not Path(program).exists():
        pytest.skip(f"no {program}")
    root = tmp_path / "root"
    small_root(root, program, "id", "stty")
    argv = [*NEW_ROOT, "chroot", str(root), "/bin/sh", "-i"]
    spawn = pexpect.spawn(
        argv[0],
        argv[1:],
        env={"PATH": "/usr/sbin:/sbin:/usr/bin:/bin", "PS1": "# ", "TERM": "vt100"},
        dimensions=(24, 80),
    )
    spawn.delaybeforesend = None
    spawn.expect_exact("# ", timeout=10)
    for path in root.rglob("*"):
        if (
            path.is_file()
            and f"/{path.relative_to(root)}" not in left
            and not any(part.startswith("lib") for part in path.parts)
        ):
            path.unlink()
    if not left:
        shutil.rmtree(root / "bin")
    spawn.send("\r")
    console = Console(spawn, Transcript(None, Secrets(), "local:"), threading.Event())
    seen: list[str] = []
    with pytest.raises(RootVanished) as caught:
        ShellSession(console, "ab12", password=lambda: None, on_state=seen.append)
    console.close()
    assert str(State.ROOT_SHELL) in seen
    assert "gone" in caught.value.what
    assert "-N -R" in caught.value.now


@pytest.mark.parametrize("there", [False, True])
def test_csh_is_asked_by_what_it_answers_itself(there):
    """It says `No match`; where /bin/sh is there, the next line goes to it."""
    typed: list[bytes] = []

    def serve(peer: socket.socket) -> None:
        peer.sendall(QEMU_GREETING + b"root@:~ # ")
        line = b""
        while byte := peer.recv(1):
            peer.sendall(byte if byte != b"\r" else b"\r\n")
            line += byte
            if byte == b"\r":
                typed.append(line.strip(b"\r\x15"))
                glob = b"/bin/sh\r\n" if there else b"echo: No match.\r\n"
                known = {b"exec /bin/sh": b""} if there else {}
                said = glob if b"echo /bin/s[h]" in line else b"test: Command not found.\r\n"
                peer.sendall(known.get(typed[-1], said) + b"root@:~ # ")
                line = b""

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=lambda: serve(listener.accept()[0]), daemon=True)
        thread.start()
        url = f"telnet://127.0.0.1:{listener.getsockname()[1]}"
        cancel = threading.Event()
        if there:
            threading.Timer(2.5, cancel.set).start()
        with pytest.raises(Cancelled if there else RootVanished):
            open_shell(url, token="ab12", secrets=Secrets(), cancel=cancel)
    assert typed[0] == b"echo /bin/s[h]"
    assert typed[1].startswith(b"exec /bin/sh" if there else b"test -x")
    assert there or len(typed) == 2


def test_a_shell_that_does_not_glob_still_has_its_root():
    spawn = pexpect.spawn("/bin/sh", [], env={"PATH": "/usr/bin:/bin", "PS1": "# "}, echo=True)
    spawn.delaybeforesend = None
    spawn.expect_exact("# ", timeout=10)
    console = Console(spawn, Transcript(None, Secrets(), "local:"), threading.Event())
    console.write(b"set -f\r")
    console.read_until_quiet(0.2, 2)
    check_shell(console)
    check_shell(console)
    console.close()
