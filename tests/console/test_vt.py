"""Our VT beside tmux on the same bytes, and what programs rely on, one by one."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path

import pexpect
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zrwizard.console.vt import Look, Run
from zrwizard.console.vtstream import Vt

RECORDED = sorted((Path(__file__).parent / "recorded").glob("*.bin"))
TMUX = pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is not installed")


def drawn(data: bytes, rows: int = 24, columns: int = 80) -> list[str]:
    vt = Vt(columns, rows)
    vt.feed(data)
    return vt.lines()


def by_tmux(data: bytes, tmp_path: Path, rows: int = 24, columns: int = 80) -> list[str]:
    """Return the rows that tmux shows after the same bytes."""
    (tmp_path / "bytes").write_bytes(data)
    done = tmp_path / "done"
    name = f"zrvt-{os.getpid()}-{time.monotonic_ns()}"
    tmux = ["tmux", "-f", "/dev/null", "-L", name]
    inner = f"stty raw -echo; cat {tmp_path}/bytes; touch {done}; exec sleep 60"
    size = ["-x", str(columns), "-y", str(rows)]
    env = {**os.environ, "LC_ALL": "C.UTF-8", "TERM": "xterm"}
    option = ["set", "-g", "status", "off", ";", "new", "-d", *size, inner]
    subprocess.run([*tmux, *option], check=True, env=env)
    try:
        end = time.monotonic() + 10
        while not done.exists() and time.monotonic() < end:
            time.sleep(0.02)
        before = None
        while time.monotonic() < end:
            shown = subprocess.run(
                [*tmux, "capture-pane", "-p"], check=True, env=env, capture_output=True
            ).stdout.decode()
            if shown == before:
                break
            before = shown
            time.sleep(0.1)
        rows_shown = [line.rstrip() for line in shown.split("\n")[:rows]]
        return rows_shown + [""] * (rows - len(rows_shown))
    finally:
        subprocess.run([*tmux, "kill-server"], check=False)


def session(command: list[str], keys: list[str], term: str, cwd: Path) -> bytes:
    """Return the bytes that a real program wrote on a pty of 80x24 while these keys came."""
    env = {"TERM": term, "PATH": os.environ["PATH"], "HOME": str(cwd), "LC_ALL": "C.UTF-8"}
    child = pexpect.spawn(
        command[0], command[1:], env=env, dimensions=(24, 80), cwd=str(cwd), timeout=5
    )
    child.delaybeforesend = None
    out = b""

    def drain(quiet: float) -> bytes:
        got = b""
        while True:
            try:
                got += child.read_nonblocking(65536, quiet)
            except (pexpect.TIMEOUT, pexpect.EOF):
                return got

    out += drain(0.5)
    for key in keys:
        child.send(key)
        out += drain(0.15)
    child.close(force=True)
    return out


def text_file(path: Path) -> Path:
    rows = [
        f"line {n} of a file\twith a tab, ä wide 漢字 glyph {'x' * (n % 90)}" for n in range(200)
    ]
    path.write_text("\n".join(rows) + "\n")
    return path


@TMUX
@pytest.mark.parametrize("path", RECORDED, ids=lambda path: path.stem)
def test_recorded_consoles_look_as_in_tmux(path: Path, tmp_path: Path) -> None:
    data = path.read_bytes()
    for cut in (len(data) // 3, len(data) * 2 // 3, len(data)):
        assert drawn(data[:cut]) == by_tmux(data[:cut], tmp_path), cut
        (tmp_path / "done").unlink()


VI = [
    "G",
    "gg",
    "\x06",
    "\x06",
    "\x02",
    "dd",
    "5dd",
    "P",
    "Onew line\x1b",
    "x",
    "/line 9\r",
    "\x05",
]
PROGRAMS = {
    "busybox vi": (["busybox", "vi", "FILE"], [*VI, "\x19"], "vt100"),
    "vim as vt100": (["vim", "-u", "NONE", "FILE"], VI, "vt100"),
    "vim as xterm": (["vim", "-u", "NONE", "FILE"], [*VI, ":split\r", "\x17j", "\x06"], "xterm"),
    "less as vt100": (["less", "FILE"], [" ", " ", "b", "jj", "k", "/9 of\r", "G", "g"], "vt100"),
    "less as xterm": (["less", "FILE"], [" ", "b", "k", "&tab\r"], "xterm"),
    "busybox top": (["busybox", "top", "-d", "60"], ["m"], "vt100"),
    "top": (["top", "-d", "60"], ["1", "t"], "xterm"),
    "bash": (
        ["bash", "--norc", "-i"],
        ["echo " + "word " * 30, "\x01", "\x1bf", "\x0b", "\x19", "\x15", "ls /\r", "\x0c"],
        "xterm",
    ),
}


@TMUX
@pytest.mark.parametrize("name", PROGRAMS)
def test_programs_look_as_in_tmux(name: str, tmp_path: Path) -> None:
    command, keys, term = PROGRAMS[name]
    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]} is not installed")
    text_file(tmp_path / "FILE")
    data = session(command, keys, term, tmp_path)
    assert len(data) > 300
    assert drawn(data) == by_tmux(data, tmp_path)
