"""The operator's terminal on a console: `zrwizard console` on a real pty, and its parts."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import re
import shutil
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pexpect
import pyte
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.bridge import Bridge
from zrwizard.line import open_line
from zrwizard.line.control import resize, send_break
from zrwizard.run.events import Exit
from zrwizard.terminal.fence import Fence
from zrwizard.terminal.keys import Do, Escapes, Send
from zrwizard.terminal.typed import Typed
from zrwizard.terminal.view import View, amount, status_row
from zrwizard.terminal.wires import Bell, Output

REPOSITORY = Path(__file__).parent.parent
PASSWORD = "correct-horse-9"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path


class Operator:
    """A person at a terminal of 24x80 that runs `zrwizard console`; pyte is the glass."""

    def __init__(self, home: Path, *argv: str, rows: int = 24, term: str = "xterm") -> None:
        self.glass = pyte.Screen(80, rows)
        self._stream = pyte.ByteStream(self.glass)
        self.seen = b""
        environ = {**os.environ, "XDG_STATE_HOME": str(home / "state"), "TERM": term}
        # Under a shell, as by hand: what it finds afterwards is what an operator finds.
        self.child = pexpect.spawn(
            sys.executable,
            ["-m", "zrwizard", "console", *argv],
            env=environ,
            cwd=str(REPOSITORY),
            dimensions=(rows, 80),
            timeout=10,
        )
        self.child.delaybeforesend = None
        self.before = self.modes()

    def modes(self) -> list[Any]:
        return termios.tcgetattr(self.child.child_fd)

    def see(self, seconds: float = 0.3) -> str:
        """Return the glass once nothing came for that long."""
        with contextlib.suppress(pexpect.TIMEOUT, pexpect.EOF):
            while True:
                data = self.child.read_nonblocking(65536, seconds)
                self.seen += data
                self._stream.feed(data)
        return "\n".join(self.glass.display)

    def until(self, pattern: str, seconds: float = 10) -> str:
        """Return the glass once it shows `pattern`."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if re.search(pattern, self.see(0.05)):
                return self.see(0.05)
        raise AssertionError("\n".join(row for row in self.glass.display if row.strip()))

    def type(self, text: str) -> None:
        self.child.send(text.encode())

    @property
    def bottom(self) -> str:
        return str(self.glass.display[-1])

    def end(self) -> int:
        """Wait for the end of the process; return its status."""
        self.see(0.5)
        self.child.wait()
        assert self.child.exitstatus is not None
        return int(self.child.exitstatus)

    def close(self) -> None:
        self.child.close(force=True)


@contextlib.contextmanager
def attached(home: Path, *argv: str, **more: Any) -> Iterator[Operator]:
    operator = Operator(home, *argv, **more)
    try:
        yield operator
    finally:
        operator.close()


def as_before(operator: Operator) -> bool:
    """Whether modes, scroll region and cursor are what they were."""
    margins = operator.glass.margins
    return (
        operator.modes() == operator.before
        and (margins is None or (margins.top, margins.bottom) == (0, operator.glass.lines - 1))
        and not operator.glass.cursor.hidden
    )


def test_a_session_as_by_hand(home: Path) -> None:
    with Bridge() as bridge, attached(home, bridge.url) as operator:
        operator.until("root shell")
        assert operator.bottom.startswith(f" {bridge.url} | root shell | ")
        assert "~. leaves, ~? helps" in operator.bottom
        operator.type("seq 1 60; echo a~.b\r")
        shown = operator.until(r"a~\.b *\n# ")
        assert re.search(r"(?m)^60 *$", shown)
        assert "~. leaves" in operator.bottom
        operator.type("~~echo tilde\r")
        operator.until("~echo: not found")
        operator.type("~b")
        operator.until("QEMU's telnet console takes no break")
        operator.type("~?")
        operator.until("type a tilde")
        operator.type("~s")
        operator.until(r"\[zrwizard\] root shell")
        operator.type("~.")
        assert operator.end() == 0
        assert f"left {bridge.url} after" in operator.see()
        assert as_before(operator)
        assert "leaves" not in operator.bottom
        bridge.shell.sendline("echo al''ive")
        bridge.shell.expect_exact("alive\r\n", timeout=5)
    assert not list((home / "state" / "zrwizard" / "locks").iterdir())


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_leaves_the_terminal_as_it_was(home: Path, number: int) -> None:
    with Bridge() as bridge, attached(home, bridge.url) as operator:
        operator.until("root shell")
        assert operator.modes() != operator.before
        operator.type("printf '\\033[?25l\\033[?1049h\\033[3;9r'\r")
        operator.see()
        operator.child.kill(number)
        assert operator.end() == Exit.INTERRUPTED
        assert as_before(operator)
        assert operator.seen.rfind(b"\x1b[?1049l") > operator.seen.rfind(b"\x1b[?1049h")


def test_a_cut_line_is_4_and_leaves_the_terminal_as_it_was(home: Path) -> None:
    with Bridge() as bridge, attached(home, bridge.url) as operator:
        operator.until("root shell")
        bridge.cut(refuse=True)
        assert operator.end() == Exit.UNREACHABLE
        assert "The console line ended" in operator.see()
        assert as_before(operator)


def test_the_end_of_a_local_shell_is_no_failure(home: Path) -> None:
    with attached(home, "local:") as operator:
        operator.until("shell")
        operator.type("stty size; exit 3\r")
        assert operator.end() == 0
        shown = operator.see()
        assert "23 80" in shown
        assert "the shell at local: ended" in shown


@pytest.mark.skipif(not shutil.which("busybox"), reason="busybox(1) is not here")
def test_a_full_screen_program_that_knows_24_rows_gets_them(home: Path) -> None:
    """The target of a serial line believes in 24x80 whatever our window is."""
    text = home / "text"
    text.write_text("".join(f"line {number}\n" for number in range(1, 51)))
    with Bridge(size=(24, 80)) as bridge, attached(home, bridge.url) as operator:
        operator.until("root shell")
        # A short name: where its own last line overflows, vi waits for a key.
        operator.type(f"cd {home} && busybox vi text\r")
        shown = operator.until(r"line 23 *\n")
        assert shown.startswith("line 1 ")
        assert "text" in operator.bottom
        operator.type("G")
        operator.until(r"line 50 *\n")
        operator.type("onew\x1b")
        operator.see()
        operator.type(":wq\r")
        operator.until("root shell")
        assert "~. leaves" in operator.bottom
        operator.type("seq 1 40\r")
        operator.until(r"40 *\n# ")
        assert "~. leaves" in operator.bottom
        operator.type("\r~.")
        assert operator.end() == 0
        assert as_before(operator)
    assert text.read_text().endswith("line 50\nnew\n")


def test_a_larger_window_has_room_for_both_and_follows_its_size(home: Path) -> None:
    with attached(home, "local:", rows=30) as operator:
        operator.until("shell")
        operator.type("stty size\r")
        operator.until(r"29 80")
        operator.glass.resize(40, 80)
        operator.child.setwinsize(40, 80)
        operator.see()
        operator.type("stty size\r")
        operator.until(r"39 80")
        assert "~. leaves" in operator.bottom
        operator.type("\r~.")
        assert operator.end() == 0
        assert as_before(operator)


@pytest.mark.parametrize("how", ["--no-status", "dumb"])
def test_no_status_where_none_is_wanted(home: Path, how: str) -> None:
    argv = ["--no-status"] if how == "--no-status" else []
    with attached(home, "local:", *argv, term="dumb" if how == "dumb" else "xterm") as operator:
        operator.type("stty size\r")
        operator.until("24 80")
        operator.see(0.5)
        assert "leaves" not in operator.see()
        assert b"\x1b[1;23r" not in operator.seen
        operator.type("~.")
        assert operator.end() == 0


def test_the_log_has_both_directions_and_no_password(home: Path) -> None:
    log = home / "log.cast"
    with Bridge() as bridge, attached(home, bridge.url, "--log", str(log)) as operator:
        operator.until("root shell")
        operator.type("echo typed-in-the-open\r")
        operator.until(r"\ntyped-in-the-open")
        operator.type("printf 'Password:'; stty -echo; read x; stty echo; echo; echo got $?\r")
        operator.until("Password:")
        operator.see()
        operator.type(f"{PASSWORD}\r")
        operator.until("got 0")
        # No prompt and no echo: what is typed blind is a secret as well.
        operator.type("stty -echo; echo blind; read x; stty echo; echo seen $?\r")
        operator.until(r"\nblind")
        for letter in PASSWORD:
            operator.type(letter)
            time.sleep(0.02)
        operator.type("\r")
        operator.until("seen 0")
        operator.type("~l")
        operator.until("ends here")
        operator.type("echo not-logged\r")
        operator.until(r"\nnot-logged")
        operator.type("~l")
        operator.until("log-2.cast")
        operator.type("echo logged-again\r")
        operator.until(r"\nlogged-again")
        operator.type("~.")
        assert operator.end() == 0
    for path in (log, log.with_name("log-2.cast")):
        assert path.stat().st_mode & 0o777 == 0o600
        head, *events = [json.loads(line) for line in path.read_text().splitlines()]
        assert (head["version"], head["title"]) == (2, bridge.url)
        assert all(kind in "iomr" and when >= 0 for when, kind, _ in events)
        assert [event[0] for event in events] == sorted(event[0] for event in events)
    typed = [
        event[2] for event in map(json.loads, log.read_text().splitlines()[1:]) if event[1] == "i"
    ]
    assert "echo typed-in-the-open\r" in typed
    assert typed.count("<not shown>\r") == 2
    assert "not-logged" not in log.read_text() + log.with_name("log-2.cast").read_text()
    assert "logged-again" in log.with_name("log-2.cast").read_text()
    for path in home.rglob("*"):
        if path.is_file():
            assert PASSWORD.encode() not in path.read_bytes(), path


# --- one owner ---------------------------------------------------------------------------------


def test_the_second_hears_who_and_may_steal(home: Path) -> None:
    with Bridge() as bridge, attached(home, bridge.url) as first:
        first.until("root shell")
        other = bridge.url.replace("127.0.0.1", "localhost")
        with attached(home, other) as second:
            assert second.end() == Exit.UNREACHABLE
            said = "".join(second.see().split())
            assert f"'szrwizardconsole(pid{first.child.pid})holdsitsince" in said
            assert "lessthanaminute" in said
            assert "--steal" in said
        with attached(home, other, "--steal") as second:
            second.until("Type yes:")
            second.type("no\r")
            assert second.end() == Exit.UNREACHABLE
            assert "was left to" in second.see()
        first.type("echo still h''ere\r")
        first.until(r"\nstill here")
        done = subprocess.run(
            [sys.executable, "-m", "zrwizard", "restore", "--console", other, "--steal"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            cwd=REPOSITORY,
            env={**os.environ, "XDG_STATE_HOME": str(home / "state")},
            check=False,
        )
        assert done.returncode == Exit.USAGE
        assert "no terminal to ask on" in done.stderr
        with attached(home, other, "--steal") as second:
            second.until("Type yes:")
            second.type("yes\r")
            second.until("Asking it to end")
            assert first.end() == Exit.INTERRUPTED
            assert as_before(first)
            second.type("\r")
            second.until("root shell")
            second.type("~.")
            assert second.end() == 0


# --- in tmux -------------------------------------------------------------------------------------


@pytest.mark.skipif(not shutil.which("tmux"), reason="tmux(1) is not here")
def test_in_tmux(home: Path) -> None:
    """A terminal that somebody else wrote, at 80x24."""
    tmux = ["tmux", "-L", f"zrwizard-{os.getpid()}", "-f", "/dev/null"]

    def do(*argv: str) -> str:
        done = subprocess.run([*tmux, *argv], capture_output=True, text=True, check=True)
        return done.stdout

    def until(pattern: str) -> str:
        for _ in range(100):
            shown = do("capture-pane", "-p")
            if re.search(pattern, shown):
                return shown
            time.sleep(0.1)
        raise AssertionError(shown)

    command = f"cd {REPOSITORY}; XDG_STATE_HOME={home} PS1='operator> ' exec sh"
    subprocess.run([*tmux, "new-session", "-d", "-x", "80", "-y", "24", command], check=True)
    try:
        until("operator>")
        do("send-keys", f"stty -g; {sys.executable} -m zrwizard console local:", "Enter")
        until("~. leaves, ~. helps|~. leaves, ~\\? helps")
        assert do("display", "-p", "#{scroll_region_lower}").strip() == "22"
        do("send-keys", "seq 1 100; printf '\\033c'; seq 200 260", "Enter")
        until(r"(?m)^260\n(.*\n)* local: \| .*\n\Z")
        do("send-keys", "printf '\\033[2J\\033[H\\033[99;1Hlast'", "Enter")
        until(r"(?m)^last.*\n local: \| .*\n\Z")
        do("send-keys", "Enter", "~", "C-z")
        until("Stopped|Suspended")
        assert do("display", "-p", "#{scroll_region_lower}").strip() == "23"
        do("send-keys", "fg", "Enter")
        until("~. leaves")
        do("send-keys", "echo on''ward", "Enter")
        until("(?m)^onward")
        do("send-keys", "~.")
        until("left local:")
        assert do("display", "-p", "#{scroll_region_lower}").strip() == "23"
        do("send-keys", "clear; stty -g", "Enter")
        until("(?m)^operator> *$")
        modes = re.findall(r"[0-9a-f]+(?::[0-9a-f]+){10,}", do("capture-pane", "-p", "-S", "-200"))
        assert len(set(modes)) == 1
    finally:
        subprocess.run([*tmux, "kill-server"], check=False)


# --- what it is made of --------------------------------------------------------------------------


def test_escapes_count_at_the_beginning_of_a_line_only() -> None:
    keys = Escapes()
    assert keys.feed(b"~.") == [Do.LEAVE]
    assert keys.feed(b"a~.\r~") == [Send(b"a~.\r")]
    assert keys.feed(b"~~\r") == [Send(b"~~\r")]
    assert keys.feed(b"~x") == [Send(b"~x")]
    assert keys.feed(b"\n~s~?x~.") == [Send(b"\n"), Do.STATE, Do.HELP, Send(b"x~.")]


def test_a_terminals_own_answer_does_not_begin_a_line() -> None:
    keys = Escapes()
    assert keys.feed(b"\r") == [Send(b"\r")]
    assert keys.feed(b"\x1b[24;80R") == [Send(b"\x1b[24;80R")]
    assert keys.feed(b"~.") == [Do.LEAVE]


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def log_of(*events: tuple[str, bytes] | float) -> list[bytes]:
    """Return what is logged of keys ("k") and answers ("a"), with pauses of seconds."""
    clock, kept = Clock(), []
    typed = Typed(kept.append, clock)
    for event in events:
        if isinstance(event, float):
            clock.now += event
        else:
            {"k": typed.typed, "a": typed.heard}[event[0]](event[1])
        typed.settle()
    clock.now += 10
    typed.settle()
    return kept


def test_typed_lines_that_are_echoed_are_logged() -> None:
    keys = [("k", b"l"), ("a", b"l"), ("k", b"s\r"), ("a", b"s\r\nfile\r\n# ")]
    assert log_of(*keys) == [b"ls\r"]
    assert log_of(("k", b"\x1b[A\r")) == [b"\x1b[A\r"]


@pytest.mark.parametrize(
    "prompt", [b"Password:", b"root's password: ", b"Enter passphrase for key 'x': ", b"PIN? "]
)
def test_nothing_typed_at_a_password_prompt_is_logged(prompt: bytes) -> None:
    for echo in (b"", PASSWORD.encode(), b"*" * len(PASSWORD)):
        kept = log_of(("a", prompt), ("k", PASSWORD.encode() + b"\r"), ("a", echo + b"\r\n"))
        assert kept == [b"<not shown>\r"]


def test_nothing_typed_without_an_echo_is_logged() -> None:
    noise = b"em0: link state changed to DOWN\r\n"
    secret = b"hello"
    letters = [("k", secret[n : n + 1]) for n in range(len(secret))]
    for pause in (0.01, 0.5, 5.0):
        events: list[Any] = []
        for letter in letters:
            events += [letter, pause, ("a", noise)]
        kept = b"".join(log_of(*events, ("k", b"\r")))
        assert secret not in kept
        assert not set(kept.replace(b"<not shown>", b"").replace(b"\r", b""))


def test_a_key_of_a_program_is_not_the_beginning_of_the_next_line() -> None:
    keys: list[Any] = [("k", b"q"), 0.01, ("a", b"\r\x1b[K# "), 1.0]
    line = b"stty size\r"
    assert log_of(*keys, ("k", line), ("a", line)) == [b"<not shown>", line]
    assert log_of(*keys, ("k", b"ls\r"), ("a", b"ls\r")) == [b"<not shown>", b"<not shown>\r"]


@given(st.binary(max_size=300), st.lists(st.integers(0, 300), max_size=6))
@settings(max_examples=300, deadline=None)
def test_a_fence_passes_any_bytes_the_same_however_they_arrive(
    data: bytes, cuts: list[int]
) -> None:
    for up in (False, True):
        whole, parts = Fence(24), Fence(24)
        if up:
            whole.raise_up()
            parts.raise_up()
        at = [0, *sorted(cuts), len(data)]
        pieces = [parts.through(data[a:b]) for a, b in pairwise(at)]
        once = whole.through(data) + whole.release()
        assert b"".join(pieces) + parts.release() == once
        if not up:
            assert once == data
        else:
            whole.status(b"x")
        whole.leave()


@given(
    st.lists(
        st.sampled_from(
            b"text|\r\n|\n|\x1b[r|\x1b[H|\x1b[99;1H|\x1b[5;9r|\x1bc|\x1b[?1049h|\x1b[?1049l|\x1b[2J"
            b"|\x1b[50B|\x1b[!p|\x1b[99d|\x1b[1;99r|\x1b[;r|\x1bM|\x1b[3A".split(b"|")
        ),
        max_size=40,
    )
)
@settings(max_examples=300, deadline=None)
def test_nothing_reaches_the_status_row_unless_a_program_wants_that_very_row(
    pieces: list[bytes],
) -> None:
    glass = pyte.Screen(80, 24)
    stream = pyte.ByteStream(glass)
    fence = Fence(24)
    stream.feed(fence.raise_up() + fence.status(b"STATUS"))
    for piece in pieces:
        # pyte has no soft reset, and a narrow region lets the cursor out below by design.
        if piece not in (b"\x1b[!p", b"\x1b[5;9r"):
            stream.feed(fence.through(piece))
    assert fence.up
    assert str(glass.display[-1]).strip() in ("STATUS", "")
    assert (str(glass.display[-1]).strip() == "STATUS") or fence.dirty


def test_the_very_last_row_is_given_to_who_asks_for_it() -> None:
    fence = Fence(24)
    fence.raise_up()
    assert fence.through(b"\x1b[24;1H") == b"\x1b[r\x1b[24;1H\x1b[2K\x1b[24;1H"
    assert not fence.up
    assert fence.through(b"\x1b[24;1H\x1b[1;24r") == b"\x1b[24;1H\x1b[1;24r"
    fence.raise_up()
    assert fence.through(b"\x1b[999;999H") == b"\x1b[23;999H"
    assert fence.through(b"\x1b[r") == b"\x1b[1;23r"
    assert fence.through(b"\x1bc") == b"\x1bc\x1b[1;23r"


def test_a_saved_cursor_of_a_program_is_not_overwritten() -> None:
    fence = Fence(24)
    fence.raise_up()
    assert fence.free
    fence.through(b"\x1b7")
    assert not fence.free
    fence.through(b"\x1b8")
    assert fence.free
    fence.through(b"\x1b[1")
    assert not fence.free


def test_a_view_keeps_up_with_much_output() -> None:
    view = View(23, 80)
    began = time.monotonic()
    for _ in range(200):
        view.note(b"some words of a long output\r\n" * 1000)
    view.note(b"\x1b[Hroot@:~ # ")
    view.catch_up()
    assert time.monotonic() - began < 2
    assert view.text().startswith("root@:~ # ")
    view.resize(40, 80)
    view.catch_up()
    assert view.text().startswith("root@:~ # ")


def test_a_terminal_that_takes_nothing_does_not_stop_the_line() -> None:
    """Nothing is lost while it is slow; when it is stuck, what is dropped is counted."""
    bell = Bell()
    output = Output(bell)
    block = bytes(1 << 16)
    began = time.monotonic()
    for _ in range(64):
        output.put(block)
    assert 0.9 < time.monotonic() - began < 3
    data, skipped = output.take()
    assert len(data) + skipped == 64 * len(block) == output.count
    assert skipped
    for _ in range(10):
        output.put(block)
    assert output.take() == (block * 10, 0)
    bell.close()


@pytest.mark.parametrize("columns", [40, 60, 80, 132])
def test_the_status_row_fits(columns: int) -> None:
    row = status_row(columns, "telnet://198.51.100.200:4474", "root shell", "in 1 kB", "3 min")
    assert len(row) == columns - 1
    assert b"~. leaves" in row
    assert b"root shell" in row


def test_amounts() -> None:
    assert [amount(n) for n in (0, 999, 1000, 1_500_000, 2 * 10**12)] == [
        "0 B",
        "999 B",
        "1.0 kB",
        "1.5 MB",
        "2.0 TB",
    ]


def test_a_break_where_the_line_has_one() -> None:
    master, slave = pty.openpty()
    spawn = open_line(f"serial://{os.ttyname(slave)}")
    assert send_break(spawn) == ""
    assert not resize(spawn, 23, 80)
    spawn.close()
    os.close(master)
    os.close(slave)
    local = open_line("local:")
    assert "cannot" in send_break(local)
    assert resize(local, 23, 80)
    assert local.getwinsize() == (23, 80)
    local.close()
