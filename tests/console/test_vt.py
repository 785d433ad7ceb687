"""Our VT beside tmux on the same bytes, and what programs rely on, one by one."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import time
from pathlib import Path

import pexpect
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zrwizard.console.look import Look, Run
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
            time.sleep(0.05)
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

    while not out:
        out += drain(0.3)
    for key in keys:
        child.send(key)
        out += drain(0.08)
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
    for cut in (len(data) * 2 // 3, len(data)):
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


def operations(seed: int) -> bytes:
    """Return random text and sequences of which tmux and xterm think the same."""
    dice = random.Random(seed)
    top, bottom, out = 1, 24, b""

    def spot() -> bytes:
        return b"\x1b[%d;%dH" % (dice.randint(1, 25), dice.randint(1, 79))

    def count(most: int, finals: bytes) -> bytes:
        return b"\x1b[%d%c" % (dice.randint(1, most), dice.choice(finals))

    for _ in range(200):
        match dice.randrange(12):
            case 0 | 1 | 2:
                out += bytes(dice.choice(b"abcdefgh XYZ") for _ in range(dice.choice((2, 20, 100))))
            case 3:
                out += b"\r\n" * dice.randint(1, 3)
            case 4:
                out += spot() + count(5, b"ABCD")
            case 5:
                out += b"\x1b[%dH" % dice.randint(top, bottom) + count(4, b"LM") + b"\r"
            case 6:
                out += spot() + count(9, b"@PX")
            case 7:
                out += spot() + dice.choice(
                    (b"\x1b[K", b"\x1b[1K", b"\x1b[2K", b"\x1b[J", b"\x1b[1J")
                )
            case 8:
                top = dice.choice((1, dice.randint(1, 20)))
                bottom = 24 if top == 1 else dice.randint(top + 1, 24)
                out += b"\x1b[%d;%dr" % (top, bottom)
            case 9:
                out += spot() + dice.choice((b"\x1bM", b"\x1bD", b"\x1bE", b"\x1b[2S", b"\x1b[2T"))
            case 10:
                out += b"\r" + b"\t" * dice.randint(1, 3) + dice.choice((b"", b"\x1b[Z", b"\b\b"))
            case 11:
                out += "漢字ä é".encode() + count(24, b"d") + count(80, b"G")
    return out


@TMUX
@pytest.mark.parametrize("seed", range(4))
def test_random_operations_look_as_in_tmux(seed: int, tmp_path: Path) -> None:
    data = operations(seed)
    assert drawn(data) == by_tmux(data, tmp_path)


ALTERNATE = [(b"\x1b[?1049h", b"\x1b[?1049l"), (b"\x1b[?47h", b"\x1b[?47l")]


@pytest.mark.parametrize(("enter", "leave"), ALTERNATE)
def test_leaving_the_alternate_screen_gives_the_old_one_back(enter: bytes, leave: bytes) -> None:
    vt = Vt()
    vt.feed(b"# ls\r\nfile\r\n# vi")
    before = vt.lines()
    vt.feed(enter + b"\x1b[2J\x1b[Htext of an editor\x1b[?1h\x1b=")
    assert vt.lines()[0] == "text of an editor"
    assert vt.full_screen
    assert vt.view().cursor_keys
    vt.feed(b"\x1b[?1l\x1b>" + leave)
    assert vt.lines() == before
    assert not vt.full_screen
    assert vt.cursor == (4, 2) or leave == b"\x1b[?47l"


@pytest.mark.parametrize(
    "odd",
    [
        *(
            b"\x1b[?1;2r",
            b"\x1b[?5m",
            b"\x1b[>4;2m",
            b"\x1b[!p",
            b"\x1b[?2026h",
            b"\x1b[4:3m\x1b[m",
        ),
        *(
            b"\x1b[?1000;1006h",
            b"\x1b]0;title\x07",
            b"\x1b]11;?\x1b\\",
            b"\x1bP+q544e\x1b\\",
            b"\x1b[2 q",
        ),
        *(
            b"\x1b%G",
            b"\x1b[38;2;1m",
            b"\x1b[999999999999A\r\n",
            b"\x1b[;H\r",
            b"\x1b\x1b[m",
            b"\x1b[12\x18",
        ),
    ],
)
def test_nothing_behind_an_odd_sequence_is_lost(odd: bytes) -> None:
    assert "".join(drawn(odd + b"after")).strip() == "after"


def test_a_control_character_within_a_sequence_takes_effect() -> None:
    assert drawn(b"abc\x1b[3\r\n1mdef")[:2] == ["abc", "def"]


def test_queries_are_answered_where_they_stand() -> None:
    vt = Vt()
    assert vt.feed(b"ab\r\n\x1b[6n") == b"\x1b[2;1R"
    assert vt.feed(b"\x1b7\x1b[r\x1b[999;999H\x1b[6n\x1b8\x00") == b"\x1b[24;80R"
    assert vt.cursor == (0, 1)
    assert vt.feed(b"\x1b[c\x1b[5n\x1b[>c\x1bZ") == b"\x1b[?1;2c\x1b[0n\x1b[>0;0;0c\x1b[?1;2c"
    assert vt.feed(b"\x1b[?6n\x1b[18t") == b"\x1b[?2;1R\x1b[8;24;80t"


def test_attributes_and_line_drawing() -> None:
    vt = Vt(40, 4)
    vt.feed(b"\x1b[1;31mred\x1b[0;7m rev \x1b[m\x1b)0\x0elqk\x0f\x1b[38;5;21mblue\x1b[m")
    assert vt.view().rows[0] == (
        Run("red", Look(fg="red", bold=True)),
        Run(" rev ", Look(reverse=True)),
        Run("┌─┐", Look()),
        Run("blue", Look(fg="0000ff")),
    )
    vt.feed(b"\x1b[?25l\x1b[?2004h\a")
    view = vt.view()
    assert (view.cursor_shown, view.paste, view.bells) == (False, True, 1)
    vt.feed(b"\x1b[?5h")
    assert vt.view().rows[0][0].look.reverse


def test_an_unchanged_row_is_the_same_object() -> None:
    vt = Vt()
    vt.feed(b"one\r\ntwo\r\n")
    before = vt.view().rows
    vt.feed(b"\x1b[2Hnew\x1b[3H\x1b[K")
    after = vt.view().rows
    assert [a is b for a, b in zip(before, after, strict=True)] == [True, False] + [True] * 22


def test_another_size_keeps_what_is_near_the_cursor() -> None:
    vt = Vt(80, 24)
    vt.feed(b"".join(b"row %d\r\n" % n for n in range(23)) + b"# ")
    vt.grid.resize(10, 40)
    assert (vt.lines()[0], vt.lines()[9]) == ("row 14", "#")
    assert vt.cursor == (2, 9)
    vt.grid.resize(12, 100)
    vt.feed(b"x" * 120)
    assert [len(line) for line in vt.lines()[9:11]] == [100, 22]


PIECES = st.lists(
    st.one_of(
        st.binary(max_size=8),
        st.sampled_from([b"\x1b[", b"?1049h", b"\x1b[2;5r", b"\x1b]0;", "漢".encode(), b"\x1b[4h"]),
        st.builds(
            lambda numbers, final: b"\x1b[" + numbers + final,
            st.sampled_from([b"", b"1", b"99", b"3;70", b"?7", b"0;0"]),
            st.sampled_from([bytes([code]) for code in range(0x40, 0x7F)]),
        ),
    ),
    max_size=40,
)


@settings(max_examples=150, deadline=None)
@given(PIECES)
def test_any_bytes_in_any_pieces_draw_the_same_and_never_raise(pieces: list[bytes]) -> None:
    whole, single = Vt(20, 6), Vt(20, 6)
    data = b"".join(pieces)
    answers = whole.feed(data)
    assert b"".join(single.feed(data[at : at + 1]) for at in range(len(data))) == answers
    assert single.view() == whole.view()
    assert all(len(row) == 20 for row in whole.grid.cells)
    assert len(whole.grid.cells) == 6
    x, y = whole.cursor
    assert 0 <= x < 20
    assert 0 <= y < 6
