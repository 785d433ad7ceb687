"""The same commands and files through real peers: telnetd, telnetlib3, raw TCP, chopped telnet."""

from __future__ import annotations

import importlib.util
import os
import random
import threading
from pathlib import Path

import pytest
from peers import PEERS, TELNETD

from zrwizard.line import open_line
from zrwizard.secrets import Secrets
from zrwizard.shell.connect import open_shell
from zrwizard.shell.session import ShellSession

EVERY_BYTE = bytes(range(256)) * 3 + b"\xff\xff\r\0\r\n\xff\r\xff\0" * 20
LACKS = {
    "telnetd": None if TELNETD else "no telnetd here (Debian package inetutils-telnetd)",
    "telnetlib3": None if importlib.util.find_spec("telnetlib3") else "no telnetlib3 here (PyPI)",
}


def needs(peer: str) -> None:
    """Skip where the peer is not installed; fail where everything has to run."""
    if reason := LACKS.get(peer):
        if os.environ.get("ZRWIZARD_REQUIRE_GUEST") == "1":
            pytest.fail(f"it is required here: {reason}", pytrace=False)
        pytest.skip(reason)


@pytest.fixture(scope="module", params=list(PEERS))
def peer(request, tmp_path_factory):
    needs(request.param)
    with PEERS[request.param](tmp_path_factory.mktemp(request.param)) as url:
        yield url


def shell_at(url: str, number: int, log: Path | None = None) -> ShellSession:
    return open_shell(
        url,
        token=f"{os.getpid():x}{number:x}",
        secrets=Secrets(),
        cancel=threading.Event(),
        log=log,
    )


@pytest.fixture(scope="module")
def shell(peer):
    session = shell_at(peer, 100 + list(PEERS).index("raw"))
    yield session
    session.run(f"rm -rf {session.home}")
    session.close()


def test_statuses_and_outputs_are_exact(shell):
    pick = random.Random(5)
    for number in range(40):
        status = pick.randrange(256)
        result = shell.run(f"echo {number}; echo e{number} >&2; exit {status}")
        assert (result.status, result.out, result.err) == (
            status,
            b"%d\n" % number,
            b"e%d\n" % number,
        )


def test_every_byte_value_goes_there_and_comes_back(shell, tmp_path):
    for number, data in enumerate((EVERY_BYTE, b"\xff" * 700, b"\r" * 300, b"\0" * 300)):
        path = f"{shell.home}/bytes{number}"
        shell.upload(path, data)
        assert Path(path).read_bytes() == data
        assert shell.run(f"cat {path}").out == data


def test_output_of_some_size_is_exact(shell, tmp_path):
    data = random.Random(3).randbytes(60_000)
    (tmp_path / "data").write_bytes(data)
    assert shell.run(f"cat {tmp_path}/data").out == data


def test_a_command_that_writes_raw_bytes_to_the_terminal_disturbs_nothing(shell, tmp_path):
    """0xFF, CR, NUL and telnet's own commands, printed beside the command's outputs."""
    nasty = b"\xff\xfb\x01\xff\xfa\x18\x01\xff\xf0\xff\xff\r\0\r\n\r\xff\xf4" * 20
    (tmp_path / "nasty").write_bytes(nasty)
    for number in range(5):
        result = shell.run(f"cat {tmp_path}/nasty >/dev/tty; echo {number}; exit {number}")
        assert (result.status, result.text) == (number, f"{number}\n")


def test_a_file_comes_down_whole(shell, tmp_path):
    (tmp_path / "there").write_bytes(EVERY_BYTE * 4)
    shell.download(f"{tmp_path}/there", tmp_path / "here")
    assert (tmp_path / "here").read_bytes() == EVERY_BYTE * 4


def test_streamed_bytes_are_exact(shell, tmp_path):
    (tmp_path / "there").write_bytes(EVERY_BYTE * 40)
    pieces: list[bytes] = []
    result = shell.stream(f"cat {tmp_path}/there; echo e >&2; exit 3", pieces.append, timeout=30)
    assert (result.status, result.out, result.err) == (3, b"", b"e\n")
    assert b"".join(pieces) == EVERY_BYTE * 40


def test_a_long_command_is_interrupted_and_the_line_goes_on(shell):
    """^C makes a telnetd send Synch: IAC DM, its last byte as TCP urgent data."""
    from zrwizard.console.errors import NoAnswer

    with pytest.raises(NoAnswer, match="interrupted"):
        shell.run("while :; do echo xxxxxxxxxxxxxxxx; done >/dev/tty", timeout=1)
    for number in range(10):
        assert shell.run(f"echo {number}").text == f"{number}\n"


def test_a_real_telnetds_synch_eats_no_byte(tmp_path):
    """RFC 854, Synch: the data mark that is sent as urgent data must not leave an IAC alone."""
    needs("telnetd")
    with PEERS["telnetd"](tmp_path) as url:
        spawn = open_line(url)
        spawn.expect_exact(b"# ", timeout=10)
        # The echo of the line that is typed has no 42.
        spawn.send(b"trap 'echo Caught$((40+2))' INT; cat\r")
        spawn.expect_exact(b"cat\r\n", timeout=10)
        for number in range(5):
            # Once cat has said it again after the echo, it is cat that has the terminal.
            spawn.send(b"on\r")
            spawn.expect_exact(b"on\r\non\r\n", timeout=10)
            spawn.send(b"\x03")
            spawn.expect_exact(b"Caught42\r\n", timeout=10)
            spawn.expect_exact(b"# ", timeout=10)
            spawn.send(f"echo a{number}$((1+1))\r".encode())
            spawn.expect_exact(f"a{number}2\r\n".encode(), timeout=10)
            spawn.expect_exact(b"# ", timeout=10)
            spawn.send(b"cat\r")
            spawn.expect_exact(b"cat\r\n", timeout=10)
        spawn.close()
