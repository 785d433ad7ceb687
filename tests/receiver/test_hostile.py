"""Requests of somebody who stole a single-purpose key: refused, and nothing of them ever runs."""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.receiver.cases import Make
from tests.receiver.server import SHELLS, Server, Session

TOUCH = b"touch %CANARY%"
REQUESTS: tuple[bytes, ...] = (
    b"",
    b" ",
    b"sh",
    b"/bin/sh -i",
    b"hold; " + TOUCH,
    b"hold | " + TOUCH,
    b"hold & " + TOUCH,
    b"hold && " + TOUCH,
    b"hold || " + TOUCH,
    b"hold\n" + TOUCH,
    b"hold\r" + TOUCH,
    b"hold $(" + TOUCH + b")",
    b"hold `" + TOUCH + b"`",
    b"$(" + TOUCH + b")",
    b"`" + TOUCH + b"`",
    b"${IFS}" + TOUCH,
    b"hold >%CANARY%",
    b"hold <%CANARY%",
    b"hold #",
    b"hold hold",
    b"hold -x",
    b"-hold",
    b"--help",
    b"HOLD",
    b"Hold",
    b"guard",
    b"deliver",
    b"work",
    b"clean",
    b"receive",
    b"receive a b",
    b"receive $(" + TOUCH + b")",
    b"receive `" + TOUCH + b"`",
    b"receive a;" + TOUCH,
    b"receive a\n" + TOUCH,
    b"receive *",
    b"receive ?",
    b"receive [a-z]",
    b"receive ~",
    b"receive ../../etc",
    b"receive a/../b",
    b"receive ..",
    b"receive ./a",
    b"receive a//b",
    b"receive /a",
    b"receive a/",
    b"receive a@snap",
    b"receive a%recv",
    b"receive a#mark",
    b"receive a,b",
    b"receive a=b",
    b"receive -F a",
    b"receive 'a b'",
    b'receive "a"',
    b"receive a\\",
    b"receive \xc3\xa9",
    b"receive \xff\xfe",
    b"receive \x1b[2J",
    b"receive \x07",
    b"receive \x7f",
    b"receive a\tb",
    b"token",
    b"abandon",
    b"abandon -A",
    b"inventory wd",
    b"inventory -o all",
    b"space ;",
    b"health health",
    b"internal-sftp",
    b"/usr/libexec/sftp-server",
    b"scp -t /etc",
    b"rsync --server .",
    b"zfs destroy -r wd",
    b"eval " + TOUCH,
    b". %CANARY%",
    b"receive " + b"a" * 300,
    b"a" * 100_000,
    b"hold" + b" " * 300,
    b"%s%n%x",
    b"!!",
)
KEYS: tuple[bytes, ...] = (
    b"hold",
    b"key key",
    b"key;" + TOUCH,
    b"key\n" + TOUCH,
    b"key $(" + TOUCH + b")",
    b"`" + TOUCH + b"`",
    b"receive .",
    b"inventory",
    b"key *",
    b"\xff",
    b"k" * 100_000,
    b"sh",
)


def ask(server: Server, role: str, request: bytes) -> tuple[bytes, Session]:
    filled = request.replace(b"%CANARY%", str(server.root / "canary").encode())
    session = server.session(role, filled)
    session.end()
    session.finish()
    return request, session


@pytest.mark.parametrize("shell", sorted(SHELLS))
def test_nothing_of_a_request_runs(make: Make, shell: str) -> None:
    server = make(shell)
    asked = [("receive", request) for request in REQUESTS] + [
        ("deliver", request) for request in KEYS
    ]
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda one: ask(server, *one), asked))
    for request, session in answers:
        assert session.process.returncode == 77, (request, session.said)
        assert session.printed == ""
        assert session.said in (
            "zr-receiver: This key may only receive, and that is none of its requests.\n",
            "zr-receiver: This key may only deliver, and that is none of its requests.\n",
        )
    assert not (server.root / "canary").exists()
    assert {call.split()[0] for call in server.calls()} == {"logger"}
    assert server.syslog.count("was refused") == len(asked)
    assert set(server.syslog) <= {chr(code) for code in range(32, 127)} | {"\n"}
    assert "canary" not in server.syslog
    assert server.shut


@pytest.mark.parametrize(
    "line",
    [
        *("", "knox", "../knox receive", "knox root", "knox guard", "-x receive", "k;id deliver"),
        *("knox receive a b", "knox guard a b"),
    ],
)
def test_arguments_that_are_none_of_ours(make: Make, line: str) -> None:
    server = make()
    session = Session([str(server.script), *line.split()], "hold")
    session.end()
    assert session.finish() == 64
    assert session.said == "zr-receiver: usage: zr-receiver NAME deliver|receive\n"


@pytest.mark.parametrize("shell", sorted(SHELLS))
@pytest.mark.parametrize("delivery", ["stdin", "fifo"])
def test_the_key_is_nowhere(make: Make, shell: str, delivery: str) -> None:
    """Not in a file (while it is held and after), no argument, no environment, no log."""
    server = make(shell, delivery=delivery)
    needle = server.key.strip()
    seen: list[str] = []
    done = threading.Event()
    samples = 0

    def look() -> None:
        nonlocal samples
        while not done.is_set():
            seen.extend(leaks(server.root, needle))
            samples += 1
            done.wait(0.02)

    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        hold = server.opened()
        stream = server.session("receive", "receive data")
        stream.send(b"a\nend\n")
        assert stream.finish() == 0
        hold.end()
        assert hold.finish() == 0
        second = server.session("receive", "hold")
        server.deliver(b"0" + server.key).finish()
        assert second.finish() == 74
    finally:
        done.set()
        watcher.join()
    assert samples > 10
    assert not seen
    assert needle not in hold.out + hold.err + second.out + second.err
    # The search would have found it.
    (server.root / "found").write_bytes(b"x" + needle)
    assert leaks(server.root, needle) == [str(server.root / "found")]


def leaks(root: Path, needle: bytes) -> list[str]:
    found = []
    for directory, _, names in os.walk(root):
        for name in names:
            path = Path(directory, name)
            if path.is_file() and not path.is_symlink() and needle in _read(path):
                found.append(str(path))
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            found += [
                f"/proc/{entry}/{kind}"
                for kind in ("cmdline", "environ")
                if needle in _read(Path("/proc", entry, kind))
            ]
    return found


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""
