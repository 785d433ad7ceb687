"""A prompt that somebody left in the middle of something: real programs on a real pty."""

from __future__ import annotations

import re
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import pexpect
import pytest
from noise import root_in_name

from zrwizard.console.console import Console
from zrwizard.console.errors import Unidentified
from zrwizard.console.screen import Screen
from zrwizard.console.states import State
from zrwizard.console.transcript import Transcript
from zrwizard.secrets import Secrets
from zrwizard.shell.bringup import BringUp
from zrwizard.shell.looking import Pace

QUICK = Pace(quiet=0.2, first=0.3, still=0.6, probe=0.35, gone=3.0)
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
        spawn.send = self._note
        self.console = Console(spawn, Transcript(None, Secrets(), "local:"), threading.Event())
        self.way = self._fresh()
        self.way.look(quiet=0.5)

    def _note(self, data: bytes) -> int:
        self.typed += data
        return int(self._send(data))

    def _fresh(self) -> BringUp:
        return BringUp(self.console, Screen(), lambda: None, lambda _: None, QUICK)

    def begin(self, *keys: bytes, seen: bool = True) -> State:
        """Type `keys` as somebody else did; `seen` False: we come when all of it was drawn."""
        for key in keys:
            self.console.write(key)
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
def bench(tmp_path: Path) -> Iterator[type[Bench]]:
    made: list[Bench] = []

    def make(*argv: str, prompt: str = "# ") -> Bench:
        made.append(Bench(tmp_path, *argv, prompt=prompt))
        return made[-1]

    (tmp_path / "long").write_text("".join(f"line {n} of text\n" for n in range(300)))
    (tmp_path / "short").write_text("one\ntwo\n")
    (tmp_path / "tricky").write_text("login: \n# \nlines 1-3 (END)\n")
    yield make  # type: ignore[misc]
    for one in made:
        one.console.close()


BASH = ("/bin/bash", "--norc", "--noprofile")
DASH = ("/bin/dash" if Path("/bin/dash").exists() else "/bin/sh",)
needs_bash = pytest.mark.skipif(not Path(BASH[0]).exists(), reason="no bash on this machine")


def needs(program: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(shutil.which(program) is None, reason=f"no {program} here")


@needs_bash
@pytest.mark.parametrize("prompt", PROMPTS)
def test_a_half_typed_line_is_cleared_and_never_entered(bench, prompt):
    one = bench(*BASH, prompt=prompt)
    assert one.begin(b"rm -f short") is State.HALF_TYPED
    one.lead()
    assert one.typed.startswith(b"\x05\x15echo")


@needs_bash
@pytest.mark.parametrize("keys", [(b"touch made; rm -f short", b"\x01"), (b"rm -f " + b"/x" * 70,)])
def test_a_cursor_moved_back_or_a_long_line_is_half_typed_too(bench, tmp_path, keys):
    one = bench(*BASH)
    assert one.begin(*keys) is State.HALF_TYPED
    one.lead()
    assert (tmp_path / "short").exists()
    assert not (tmp_path / "made").exists()


def test_a_half_typed_line_without_line_editing(bench, tmp_path):
    one = bench(*DASH)
    assert one.begin(b"rm -f short") is State.HALF_TYPED
    one.lead()
    assert (tmp_path / "short").exists()


@pytest.mark.parametrize("argv", [DASH, pytest.param(BASH, marks=needs_bash)], ids=["dash", "bash"])
@pytest.mark.parametrize("seen", [True, False])
def test_an_unfinished_command_is_dropped(bench, tmp_path, argv, seen):
    if not seen and argv is DASH:
        pytest.skip("without line editing nothing redraws `> `: see the silent console")
    one = bench(*argv)
    state = one.begin(b"rm -f short; echo 'not\r", b"yet\r", seen=seen)
    assert state is (State.CONTINUATION if seen else State.SILENT)
    one.lead()
    assert (tmp_path / "short").exists()


@needs_bash
def test_a_search_in_the_history_is_left(bench, tmp_path):
    one = bench(*BASH)
    one.begin(b"rm -f gone\r", b"\x12", b"rm")
    assert one.way.state() is State.SEARCH
    one.lead()
    assert (tmp_path / "short").exists()


@needs("less")
@pytest.mark.parametrize("seen", [True, False])
@pytest.mark.parametrize(
    "keys",
    [
        (b"less long\r",),
        (b"less long\r", b" "),
        (b"less long\r", b"G"),
        (b"less short\r",),
        (b"less -M long\r",),
        (b"cat long | less\r",),
        (b"less tricky\r",),
        (b"less long\r", b"h"),
    ],
)
def test_less_is_left_with_q(bench, keys, seen):
    one = bench(*DASH)
    state = one.begin(*keys, seen=seen)
    assert state is (State.PAGER if seen else State.SILENT)
    one.lead()
    assert b"\r" not in one.typed.partition(b"echo")[0]


@needs("more")
def test_more_is_left_with_q(bench):
    one = bench(*DASH)
    assert one.begin(b"more long\r") is State.PAGER
    one.lead()
    assert one.typed.startswith(b"q")


@pytest.mark.parametrize(
    "program",
    [
        pytest.param("top", marks=needs("top")),
        pytest.param("busybox top", marks=needs("busybox")),
    ],
)
def test_top_is_left_with_q(bench, program):
    one = bench(*DASH)
    assert one.begin(program.encode() + b"\r") is State.MONITOR
    one.lead()
    assert one.typed.startswith(b"q")


@pytest.mark.parametrize(
    "keys",
    [
        pytest.param((b"vi short\r", b"oabc"), marks=needs("vi")),
        pytest.param((b"vi short\r", b"oabc", b"\x1b"), marks=needs("vi")),
        pytest.param((b"vi long\r", b"oabc"), marks=needs("vi")),
        pytest.param((b"busybox vi short\r", b"oabc"), marks=needs("busybox")),
        pytest.param((b"busybox vi long\r", b"oabc", b"\x1b"), marks=needs("busybox")),
    ],
)
def test_an_editor_is_shown_and_left_alone(bench, tmp_path, keys):
    one = bench(*DASH)
    assert one.begin(*keys) is State.EDITOR
    with pytest.raises(Unidentified, match="editor") as caught:
        one.way.to_root_prompt(patience=10)
    assert one.typed == b""
    assert "abc" in caught.value.screen
    assert (tmp_path / "short").read_text() == "one\ntwo\n"


@needs("vi")
def test_a_command_line_in_vi_that_looks_like_less_is_given_back_unchanged(bench, tmp_path):
    one = bench(*DASH)
    assert one.begin(b"vi long\r", b":") is State.PAGER
    with pytest.raises(Unidentified):
        one.way.to_root_prompt(patience=10)
    assert one.typed == b"q\x7f"
    assert one.way.screen.last_line() == ":q"
    one.way.look()
    assert one.way.screen.last_line() == ":"


@needs_bash
@pytest.mark.parametrize("argv", [DASH, BASH], ids=["dash", "bash"])
@pytest.mark.parametrize("half", [b"", b"rm -f short"])
def test_a_kernel_message_behind_the_prompt(bench, tmp_path, argv, half):
    """The prompt, what somebody typed there, and a message: the cursor stands below them."""
    one = bench(*argv)
    one.begin(half)
    one.way.feed(b"em0: link state changed to UP\r\nda0: <USB disk> detached\r\n")
    assert one.way.state() in {State.BURIED, State.MESSAGES}
    one.lead()
    assert (tmp_path / "short").exists()


def test_a_running_command_is_waited_for_and_not_disturbed(bench):
    one = bench(*DASH)
    one.begin(b"echo begun; sleep 1.6; echo over\r")
    one.lead()
    assert one.typed.strip(b"\x11\x0c\x15\x14").startswith(b"echo $((")
