"""A prompt that somebody left in the middle of something: real programs on a real pty."""

from __future__ import annotations

import re
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path

import pexpect
import pytest
from noise import root_in_name
from together import at_once

from zrwizard.console.console import Console
from zrwizard.console.errors import Unidentified
from zrwizard.console.screen import Screen
from zrwizard.console.states import State
from zrwizard.console.transcript import Transcript
from zrwizard.secrets import Secrets
from zrwizard.shell.bringup import BringUp
from zrwizard.shell.looking import Pace

QUICK = Pace(quiet=0.2, first=0.3, still=2.0, probe=0.35, gone=3.0, line=1.0)
PROMPTS = ("# ", "root@host:~ # ", "[root@host ~]# ", "host# ")


class Bench:
    """A shell on a pty under a console; `typed` is what was typed since `begin`."""

    def __init__(self, directory: Path, *argv: str, prompt: str = "# ") -> None:
        path = f"{root_in_name(directory / 'bin')}:/usr/sbin:/usr/bin:/sbin:/bin"
        env = {"PATH": path, "PS1": prompt, "TERM": "vt100", "HOME": str(directory)}
        spawn = pexpect.spawn(
            argv[0], list(argv[1:]), env=env, dimensions=(24, 80), cwd=str(directory)
        )
        spawn.delaybeforesend = None
        spawn.delayafterclose = spawn.delayafterterminate = 0.02
        self._send = spawn.send
        self.typed = b""
        self._directory = directory
        spawn.send = self._note
        self.console = Console(spawn, Transcript(None, Secrets(), "local:"), threading.Event())
        self.way = self._fresh()
        self.way.look(quiet=0.5)

    @property
    def untouched(self) -> bool:
        """Whether nothing of what was half typed has run."""
        short = self._directory / "short"
        return short.read_text() == "one\ntwo\n" and not (self._directory / "made").exists()

    def _note(self, data: bytes) -> int:
        self.typed += data
        return int(self._send(data))

    def _fresh(self) -> BringUp:
        return BringUp(self.console, Screen(), lambda: None, lambda _: None, QUICK)

    def begin(self, *keys: bytes, to: State | None = None, seen: bool = True) -> State:
        """Type `keys` as somebody else did, until a program has drawn what `to` names (10 s);
        `seen` False: we come when all of it was drawn."""
        for key in keys:
            self.console.write(key)
            self.way.look(quiet=0.4)
        end = time.monotonic() + 10
        while to and self.way.state() is not to and time.monotonic() < end:
            self.way.look(quiet=0.4)
        if not seen:
            self.way = self._fresh()
        self.typed = b""
        return self.way.state()

    def lead(self) -> None:
        """Go up to the prompt and prove that it is one, with nothing left on its line."""
        self.way.to_root_prompt(patience=10)
        self.console.write(b"echo $((6 * 7))\r")
        out = re.sub(rb"\x1b\[[0-9;?]*[a-z]", b"", self.console.read_until_quiet(0.3, 3))
        assert re.split(rb"[\r\n]+", out)[:2] == [b"echo $((6 * 7))", b"42"], out


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Callable[..., Bench]]:
    """Make benches, each in a directory of its own with a few texts in it."""
    made: list[Bench] = []

    def make(*argv: str, prompt: str = "# ") -> Bench:
        where = Path(tempfile.mkdtemp(dir=tmp_path))
        (where / "long").write_text("".join(f"line {n} of text\n" for n in range(300)))
        (where / "short").write_text("one\ntwo\n")
        (where / "tricky").write_text("login: \n# \nlines 1-3 (END)\n")
        made.append(Bench(where, *argv, prompt=prompt))
        return made[-1]

    yield make
    for one in made:
        one.console.close()


def have(*programs: str) -> bool:
    return all(shutil.which(program) for program in programs)


BASH = ("/bin/bash", "--norc", "--noprofile")
DASH = ("/bin/dash" if Path("/bin/dash").exists() else "/bin/sh",)
SHELLS = [DASH, BASH] if have("bash") else [DASH]
needs_bash = pytest.mark.skipif(not have("bash"), reason="no bash on this machine")


@needs_bash
def test_a_half_typed_line_is_cleared_and_never_entered(bench):
    def check(prompt: str) -> None:
        one = bench(*BASH, prompt=prompt)
        assert one.begin(b"rm -f short") is State.HALF_TYPED
        one.lead()
        assert one.typed.startswith(b"\x05\x15echo")
        assert one.untouched

    at_once(check, [(prompt,) for prompt in PROMPTS])


def test_a_cursor_moved_back_or_a_long_line_is_half_typed_too(bench):
    def check(argv: tuple[str, ...], *keys: bytes) -> None:
        one = bench(*argv)
        assert one.begin(*keys) is State.HALF_TYPED
        one.lead()
        assert one.untouched

    cases: list[tuple[object, ...]] = [(DASH, b"rm -f short")]
    if have("bash"):
        cases += [(BASH, b"touch made; rm -f short", b"\x01"), (BASH, b"rm -f " + b"/x" * 70)]
    at_once(check, cases)


def test_a_long_line_that_cannot_be_seen_to_be_cleared_is_shown(bench):
    """Without line editing the kernel's terminal driver erases the last of its rows only."""
    one = bench(*DASH)
    one.begin(b"rm -f short " + b"/x" * 70)
    with pytest.raises(Unidentified) as caught:
        one.way.to_root_prompt(patience=10)
    assert "rm -f short" in caught.value.screen
    assert not set(one.typed) & set(b"\r\n")
    assert one.untouched


def test_an_unfinished_command_is_dropped(bench):
    """Without line editing nothing draws `> ` anew for who comes late."""

    def check(argv: tuple[str, ...], seen: bool) -> None:
        one = bench(*argv)
        state = one.begin(b"rm -f short; echo 'not\r", b"yet\r", seen=seen)
        assert state is (State.CONTINUATION if seen else State.SILENT)
        one.lead()
        assert one.untouched

    at_once(check, [*((argv, True) for argv in SHELLS), *((argv, False) for argv in SHELLS[1:])])


@needs_bash
def test_a_search_in_the_history_is_left(bench):
    one = bench(*BASH)
    one.begin(b"rm -f gone\r", b"\x12", b"rm")
    assert one.way.state() is State.SEARCH
    one.lead()
    assert one.untouched


LESS = [
    (b"less long\r",),
    (b"less long\r", b" "),
    (b"less long\r", b"G"),
    (b"less short\r",),
    (b"less -M long\r",),
    (b"cat long | less\r",),
    (b"less tricky\r",),
    (b"less long\r", b"h"),
]


@pytest.mark.skipif(not have("less"), reason="no less on this machine")
def test_less_is_left_with_q(bench):
    def check(keys: tuple[bytes, ...], seen: bool) -> None:
        one = bench(*DASH)
        state = one.begin(*keys, to=State.PAGER, seen=seen)
        assert state is (State.PAGER if seen else State.SILENT)
        one.lead()
        assert b"\r" not in one.typed.partition(b"echo")[0]

    at_once(check, product(LESS, (True, False)))


def test_more_and_top_are_left_with_q(bench):
    def check(command: bytes, state: State) -> None:
        one = bench(*DASH)
        assert one.begin(command + b"\r", to=state) is state
        one.lead()
        assert one.typed.startswith(b"q")

    cases = [
        ("more", b"more long", State.PAGER),
        ("top", b"top", State.MONITOR),
        ("busybox", b"busybox more long", State.PAGER),
        ("busybox", b"busybox top", State.MONITOR),
    ]
    at_once(check, [case[1:] for case in cases if have(case[0])])


def test_top_is_left_where_its_last_row_fills_the_screen(bench, tmp_path):
    """The prompt comes right below a row of 80 columns, and is no part of it: as busybox top
    leaves the screen of a busy machine."""
    head = ["Mem: 1K used, 1K free", "CPU:   1% usr   1% sys", "Load average: 1.0 1.0 1.0 1/1 1"]
    rows = [f"{n:5}     0 root     S     {n}K   0%   0% /bin/a ".ljust(80, "c") for n in "12"]
    (tmp_path / "drawn").write_text("\x1b[H\x1b[J" + "\r\n".join([*head, *rows]))
    keys = "stty raw -echo; cat drawn; dd bs=1 count=1 of=key 2>/dev/null; stty sane; echo"
    one = bench(*DASH)
    assert one.begin(f"cd {tmp_path}; {keys}\r".encode(), to=State.MONITOR) is State.MONITOR
    assert len(one.way.screen.last_line()) == 80
    one.lead()
    assert one.typed.startswith(b"q")
    assert (tmp_path / "key").read_bytes() == b"q"


def test_an_editor_is_shown_and_left_alone(bench):
    def check(*keys: bytes) -> None:
        one = bench(*DASH)
        assert one.begin(*keys, to=State.EDITOR) is State.EDITOR
        with pytest.raises(Unidentified, match="editor") as caught:
            one.way.to_root_prompt(patience=10)
        assert one.typed == b""
        assert "abc" in caught.value.screen
        assert one.untouched

    cases = [
        (b"vi short\r", b"oabc"),
        (b"vi short\r", b"oabc", b"\x1b"),
        (b"vi long\r", b"oabc"),
        (b"busybox vi short\r", b"oabc"),
        (b"busybox vi long\r", b"oabc", b"\x1b"),
    ]
    at_once(check, [case for case in cases if have(case[0].split()[0].decode())])


@pytest.mark.skipif(not have("vi"), reason="no vi on this machine")
def test_a_command_line_in_vi_that_looks_like_less_is_given_back_unchanged(bench):
    one = bench(*DASH)
    assert one.begin(b"vi long\r", b":", to=State.PAGER) is State.PAGER
    with pytest.raises(Unidentified):
        one.way.to_root_prompt(patience=10)
    assert one.typed == b"q\x7f"
    one.way.look()
    assert one.way.screen.last_line() == ":"


def test_a_kernel_message_behind_the_prompt(bench):
    """The prompt, what somebody typed there, and a message: the cursor stands below them."""

    def check(argv: tuple[str, ...], half: bytes) -> None:
        one = bench(*argv)
        one.begin(half)
        one.way.feed(b"em0: link state changed to UP\r\nda0: <USB disk> detached\r\n")
        assert one.way.state() in {State.BURIED, State.MESSAGES}
        began = time.monotonic()
        one.lead()
        assert one.untouched
        assert time.monotonic() - began < 8

    at_once(check, product(SHELLS, (b"", b"rm -f short")))


def test_a_running_command_is_waited_for_and_not_disturbed(bench):
    one = bench(*DASH)
    one.begin(b"echo begun; sleep 1.6; echo over\r")
    one.lead()
    assert one.typed.strip(b"\x11\x0c\x15\x14").startswith(b"echo $((")
