"""The console in a person's hands: a real sh on a real pty, real full-screen programs."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import sys
import termios
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pexpect
import pytest
from noise import open_session, spawn_shell

from zrwizard.console.errors import Cancelled, ConsoleError, LineCut, Unidentified
from zrwizard.shell import looking
from zrwizard.shell.handson import HandsOn
from zrwizard.shell.session import ShellSession

VI = pytest.mark.skipif(shutil.which("busybox") is None, reason="busybox is not installed")


def wait(ready: Callable[[], object], what: str, hands: HandsOn | None = None) -> None:
    deadline = time.monotonic() + 30
    while not ready():
        screen = "\n".join(hands.lines()) if hands else ""
        assert time.monotonic() < deadline, f"never saw {what}:\n{screen}"
        time.sleep(0.02)


def see(hands: HandsOn, words: str) -> None:
    wait(lambda: words in "\n".join(hands.lines()), words, hands)


def type_line(hands: HandsOn, text: str) -> None:
    hands.write(text.encode())
    hands.write(b"\r")


def at_prompt(hands: HandsOn) -> bool:
    x, y = hands.cursor
    return x == 2 and hands.lines()[y] == "#"


def is_ours(session: ShellSession) -> None:
    """Exact status and output, the quiet environment, and the home are there again."""
    result = session.run("printf 'a\\0b\\n'; echo e >&2; exit 41")
    assert (result.status, result.out, result.err) == (41, b"a\0b\n", b"e\n")
    assert session.run('[ -d "$_h" ] && [ -z "$PS1" ] && echo "$_h"').text.strip() == session.home
    assert "-echo" in session.run("stty -a </dev/tty").text.split()
    left = session.run('echo "$-" | tr -d -c uf; alias; echo "${MY_OWN-none}"')
    assert left.text == "none\n"


@pytest.fixture(params=["dash", "bash-posix", "busybox-ash"])
def any_shell(request: Any, tmp_path: Path) -> Iterator[ShellSession]:
    if request.param == "busybox-ash" and shutil.which("busybox") is None:
        pytest.skip("busybox is not installed")
    session, _ = open_session(request.param, log=tmp_path / "log")
    yield session
    session.close()


@dataclass
class Shared:
    """One session for most tests; a test that fails with the console in hand spoils it."""

    log: Path
    session: ShellSession | None = None


@pytest.fixture(scope="module", autouse=True)
def pace() -> Iterator[None]:
    """The same way up, with less patience for a screen that stands still.

    Where more programs want to run than there are processors, a screen stands still for longer.
    """
    slow = max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))
    with pytest.MonkeyPatch.context() as patch:
        pace = looking.Pace(quiet=0.25 * slow, first=0.4 * slow, still=1.0 * slow)
        patch.setattr(looking, "PACE", pace)
        yield


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shared]:
    shared = Shared(tmp_path_factory.mktemp("console") / "log")
    yield shared
    if shared.session is not None:
        shared.session.close()


@pytest.fixture
def session(shared: Shared) -> Iterator[ShellSession]:
    if shared.session is None:
        shared.session, _ = open_session(log=shared.log)
    session = shared.session
    yield session
    if session.console.on_output is not None:
        session.console.close()
        shared.session = None


@dataclass
class Lent:
    """A console in hand, for tests that do not give it back."""

    log: Path
    hands: HandsOn


@pytest.fixture(scope="module")
def lent_once(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lent]:
    log = tmp_path_factory.mktemp("lent") / "log"
    session, _ = open_session(log=log)
    yield Lent(log, session.hands_on())
    session.console.close()


@pytest.fixture
def lent(lent_once: Lent) -> Lent:
    hands = lent_once.hands
    type_line(hands, "clear")
    wait(lambda: hands.lines()[0] == "#" and at_prompt(hands), "a prompt", hands)
    return lent_once


def typed_by_hand(log: Path) -> str:
    """Return what the transcript says was typed since the console was last taken over."""
    rows = [json.loads(line) for line in log.read_text().splitlines()[1:]]
    begun = max(at for at, row in enumerate(rows) if "operator's hands" in row[2])
    ended = [at for at, row in enumerate(rows) if at > begun and "the wizard looks" in row[2]]
    return "".join(row[2] for row in rows[begun : ended[-1] if ended else None] if row[1] == "i")


def test_whatever_was_typed_the_shell_is_ours_again(any_shell: ShellSession) -> None:
    any_shell.start_job("long", "sleep 30")
    hands = any_shell.hands_on()
    wait(lambda: at_prompt(hands), "a prompt", hands)
    for line in (
        "cd /; MY_OWN=1; set -u; alias ls='echo no'; IFS=x; PS1='# '; umask 0",
        "trap 'echo trapped' INT EXIT; printf() { echo not printf; }; stty -icrnl; stty icrnl",
        "echo by-$((40+2))",
    ):
        type_line(hands, line)
    see(hands, "by-42")
    assert hands.give_back() == ""
    is_ours(any_shell)
    assert any_shell.job("long").running
    any_shell.stop_job("long")


@pytest.mark.parametrize("size", [(22, 80), (48, 132)])
def test_the_machine_is_told_the_size_of_the_screen(
    session: ShellSession, size: tuple[int, int]
) -> None:
    hands = session.hands_on(*size)
    wait(lambda: at_prompt(hands), "a prompt", hands)
    type_line(hands, "stty size")
    see(hands, f"\n{size[0]} {size[1]}\n")
    assert len(hands.lines()) == size[0]
    assert hands.give_back() == ""
    is_ours(session)


@VI
def test_an_editor_keeps_the_console_until_it_is_left(
    session: ShellSession, tmp_path: Path
) -> None:
    path = tmp_path / "fstab"
    path.write_text("# \n" * 60)
    hands = session.hands_on()
    wait(lambda: at_prompt(hands), "a prompt", hands)
    type_line(hands, f"cd {tmp_path}; busybox vi fstab")
    see(hands, "fstab")
    wait(lambda: hands.view().rows[5], "the file")
    hands.write(b"5")
    hands.write(b"G")
    hands.write(b"A")
    time.sleep(0.3)
    why = hands.give_back()
    assert "Leave it" in why
    hands.write(b"/dev/ada0p2")
    hands.write(b"\x1b")
    time.sleep(0.2)
    type_line(hands, ":wq")
    wait(lambda: at_prompt(hands), "the prompt", hands)
    assert hands.give_back() == ""
    assert path.read_text() == "# \n" * 4 + "# /dev/ada0p2\n" + "# \n" * 55
    is_ours(session)


REFUSED = {
    "echo half": ("half-typed", b"\x15"),
    "echo 'open\r": ("unfinished", b"\x03"),
    "less /etc/services\r": ("q", b"q"),
    "busybox top -d 60\r": ("top", b"q"),
    "stty -echo; printf 'Password:'; read -r x; stty echo; echo\r": ("password", b"\r"),
    "printf '\\033[?1049hfull # '; read -r x; printf '\\033[?1049l'\r": ("full-screen", b"\r"),
    "PS1='> > '\r": ("no prompt that is known", b"PS1='# '\r"),
}


def test_what_the_wizard_cannot_take_stays_in_hand(session: ShellSession, shared: Shared) -> None:
    hands = session.hands_on()
    for typed, (word, leave) in REFUSED.items():
        if typed.split()[0] in ("less", "busybox") and shutil.which(typed.split()[0]) is None:
            continue
        wait(lambda: at_prompt(hands), "a prompt", hands)
        hands.write(typed.encode())
        wait(lambda: not at_prompt(hands), typed, hands)
        time.sleep(0.4)
        before, written = hands.lines(), typed_by_hand(shared.log)
        assert word in hands.give_back(), typed
        assert (hands.lines(), typed_by_hand(shared.log)) == (before, written)
        hands.write(leave)
    wait(lambda: at_prompt(hands), "a prompt", hands)
    assert hands.give_back() == ""
    is_ours(session)


def test_a_half_typed_line_can_be_given_back_as_it_is(session: ShellSession) -> None:
    hands = session.hands_on()
    wait(lambda: at_prompt(hands), "a prompt", hands)
    hands.write(b"touch /tmp/never-run")
    see(hands, "never-run")
    assert "half-typed" in hands.give_back()
    assert hands.give_back(force=True) == ""
    is_ours(session)
    assert not Path("/tmp/never-run").exists()


def test_given_back_as_it_is_without_a_way_up_nothing_is_typed_any_more(
    session: ShellSession, tmp_path: Path
) -> None:
    """`cat` takes everything: a wizard that typed on would write into somebody's file."""
    hands = session.hands_on()
    wait(lambda: at_prompt(hands), "a prompt", hands)
    type_line(hands, f"stty -echo -icanon min 1; cat > {tmp_path}/file; stty echo icanon")
    wait((tmp_path / "file").exists, "the file", hands)
    assert "no prompt" in hands.give_back()
    with pytest.raises(ConsoleError):
        hands.give_back(force=True)
    taken = (tmp_path / "file").read_bytes()
    with pytest.raises(Unidentified):
        session.run("echo no")
    assert (tmp_path / "file").read_bytes() == taken
    again = session.hands_on()
    again.write(b"\x03")
    type_line(again, "stty echo icanon; PS1='# '")
    type_line(again, "clear; echo again-$((40+2))")
    see(again, "again-42")
    assert again.give_back() == ""
    is_ours(session)


def test_a_machine_that_was_restarted_by_hand_is_gone_up_again(tmp_path: Path) -> None:
    """The shell dies, the home with it, and a login program of ours asks in their place."""
    session, _ = open_session(log=tmp_path / "log")
    hands = session.hands_on()
    wait(lambda: at_prompt(hands), "a prompt", hands)
    login = "printf '\\r\\nFreeBSD/amd64 (hostA) (ttyu0)\\r\\n\\r\\nlogin: '; read -r who"
    type_line(hands, f'rm -rf {session.home}; clear; exec sh -c "{login}; exec sh"')
    # The typed line has the word too.
    wait(lambda: hands.lines()[hands.cursor[1]] == "login:", "login:", hands)
    assert hands.give_back() == ""
    is_ours(session)
    assert session.run('ls -d "$_h"').status == 0
    session.close()


def test_a_line_that_is_cut_is_a_sentence(tmp_path: Path) -> None:
    session, line = open_session(log=tmp_path / "log")
    hands = session.hands_on()
    wait(lambda: at_prompt(hands), "a prompt", hands)
    line.spawn.kill(9)
    wait(lambda: hands.problem, "the problem")
    assert "console line ended" in hands.problem
    hands.write(b"x")
    with pytest.raises(LineCut):
        hands.give_back()
    with pytest.raises(LineCut):
        session.run("echo no")
    session.close()


def test_a_line_that_was_cut_is_opened_again_and_looked_at(tmp_path: Path) -> None:
    """The machine went on: an editor is still open behind the new line."""
    session, line = open_session(log=tmp_path / "log")
    session._reopen = spawn_editor if shutil.which("busybox") else spawn_shell
    hands = session.hands_on()
    wait(lambda: at_prompt(hands), "a prompt", hands)
    line.spawn.kill(9)
    wait(lambda: hands.problem, "the problem")
    if shutil.which("busybox"):
        assert "vi is open" in hands.give_back()
        assert hands.problem == ""
        type_line(hands, ":q!")
        wait(lambda: at_prompt(hands), "a prompt", hands)
    assert hands.give_back() == ""
    is_ours(session)
    session.close()


def test_what_an_opened_line_shows_at_once_is_not_wiped_away(tmp_path: Path) -> None:
    """All of it is on the screen before opening the line has even returned."""
    session, line = open_session(log=tmp_path / "log")
    hands = session.hands_on()
    wait(lambda: at_prompt(hands), "a prompt", hands)
    type_line(hands, "echo of the old line")
    reopen = session.console.reopen

    def slowly(spawn: Any) -> None:
        reopen(spawn)
        wait(lambda: "Username" in hands.lines()[0], "the new line's words", hands)
        assert "old line" not in "".join(hands.lines())

    session.console.reopen = slowly  # type: ignore[method-assign]
    session._reopen = lambda: pexpect.spawn("sh", ["-c", "printf 'Username: '; exec sleep 60"])
    line.spawn.kill(9)
    wait(lambda: hands.problem, "the problem")
    assert "no prompt that is known" in hands.give_back()
    assert hands.lines()[0].startswith("Username:")
    session.console.close()


def spawn_editor() -> Any:
    """A line to a machine where somebody sits in an editor."""
    spawn = spawn_shell()
    spawn.expect_exact(b"# ")
    spawn.send(b"busybox vi\r")
    # What it draws, a line of the screen each, is left to whoever comes.
    wait(lambda: unread(spawn.child_fd) > len("busybox vi\r\n") + 24, "vi")
    return spawn


def unread(terminal: int) -> int:
    """How many bytes wait to be read there."""
    return int.from_bytes(fcntl.ioctl(terminal, termios.FIONREAD, bytes(4)), sys.byteorder)


def test_keeping_it_stops_the_wizard(session: ShellSession) -> None:
    hands = session.hands_on()
    wait(lambda: at_prompt(hands), "a prompt", hands)
    type_line(hands, "clear; echo 'Starting devd.'; sleep 60")
    # The words themselves, not the line that asks for them.
    wait(lambda: hands.lines()[0].rstrip() == "Starting devd.", "the words", hands)
    keep = threading.Event()
    threading.Timer(2.0, keep.set).start()
    began = time.monotonic()
    assert "You keep the console" in hands.give_back(keep=keep)
    assert time.monotonic() - began < 8
    hands.write(b"\x03")
    wait(lambda: at_prompt(hands), "a prompt", hands)
    assert hands.give_back() == ""
    is_ours(session)


def test_stopping_the_program_ends_the_loan(tmp_path: Path) -> None:
    cancel = threading.Event()
    session, _ = open_session(log=tmp_path / "log", cancel=cancel)
    hands = session.hands_on()
    wait(lambda: at_prompt(hands), "a prompt", hands)
    cancel.set()
    with pytest.raises(Cancelled):
        hands.give_back()
    session.close()


def test_a_flood_of_output_stops_nobody(lent: Lent) -> None:
    hands = lent.hands
    type_line(hands, "yes 'a line of a very large file that scrolls by'")
    see(hands, "scrolls by")
    time.sleep(1.0)
    assert len(hands._ink._waiting) <= 65536 * 2
    began = time.monotonic()
    for _ in range(50):
        hands.view()
    assert time.monotonic() - began < 2.0
    began = time.monotonic()
    hands.write(b"\x03")
    wait(lambda: at_prompt(hands), "the prompt", hands)
    assert time.monotonic() - began < 3.0
    type_line(hands, "echo still-$((40+2))")
    see(hands, "still-42")


SECRETS = tuple(
    f"stty -echo; printf '{question}'; read -r x; stty echo; echo; echo done-$((40+2))"
    for question in (
        "Password:",
        "Mot de passe : ",
        "Enter passphrase: ",
        "Password:\\r\\nem0: link state changed to UP\\r\\n",
    )
)


@pytest.mark.parametrize("pasted", [False, True])
def test_a_password_typed_by_hand_is_in_no_file(lent: Lent, pasted: bool) -> None:
    secret = "Zv8zTw9pK3" if pasted else "Xq7zVw9rK2"
    hands = lent.hands
    before = len(typed_by_hand(lent.log))
    for ask in SECRETS:
        wait(lambda: at_prompt(hands), "a prompt", hands)
        type_line(hands, "clear; echo visible-words")
        # The words themselves: until then the last question may still stand there.
        wait(lambda: hands.lines()[0].rstrip() == "visible-words", "the words", hands)
        type_line(hands, f"clear; {ask}")
        # The question itself, and not the line that will ask it.
        wait(lambda: hands.lines()[0][:3] in {"Pas", "Mot", "Ent"}, "the question", hands)
        for key in [secret] if pasted else secret:
            hands.write(key.encode())
            time.sleep(0.01)
        hands.write(b"\r")
        see(hands, "done-42")
    typed = typed_by_hand(lent.log)[before:]
    assert secret not in lent.log.read_text()
    assert not any(secret[at : at + 2] in typed for at in range(len(secret) - 1))
    assert typed.count("<not shown>") >= len(SECRETS)
    assert typed.count("echo visible-words") == len(SECRETS)


def test_a_password_typed_ahead_of_its_question_is_in_no_file(lent: Lent) -> None:
    hands = lent.hands
    before = len(typed_by_hand(lent.log))
    type_line(
        hands, "stty -echo; sleep 1; printf 'Password:'; read -r x; stty echo; echo d-$((6*7))"
    )
    time.sleep(0.4)
    type_line(hands, "Yw8zVq9rK3")
    see(hands, "d-42")
    assert "Yw8zVq9rK3" not in lent.log.read_text()
    assert "Yw" not in typed_by_hand(lent.log)[before:]


QUERIES = {
    "\\033[6n": "[5;1R",
    "\\0337\\033[r\\033[999;999H\\033[6n\\0338": "[24;80R",
    "\\033[5n": "[0n",
    "\\033[c": "[?1;2c",
    "\\033[>c": "[>0;0;0c",
}


def test_queries_are_answered_as_by_a_terminal(lent: Lent) -> None:
    hands = lent.hands
    for query, answer in QUERIES.items():
        wait(lambda: at_prompt(hands), "a prompt", hands)
        count = len(answer) + 1
        ask = f"clear; printf '\\n\\n\\n\\n{query}'; dd bs=1 count={count} 2>/dev/null"
        type_line(hands, f"stty -icanon min 1 -echo; {ask} | od -c; stty icanon echo")
        see(hands, "033" + "".join(f"   {char}" for char in answer))


def test_a_file_full_of_queries_is_not_answered_a_thousand_times(
    lent: Lent, tmp_path: Path
) -> None:
    (tmp_path / "binary").write_bytes(b"\x1b[6n\x1b[c" * 5000)
    hands = lent.hands
    before = len(typed_by_hand(lent.log))
    type_line(hands, f"stty -echo; cat {tmp_path}/binary; stty echo; echo over-$((40+2))")
    see(hands, "over-42")
    hands.write(b"\x03")
    hands.write(b"\x15")
    wait(lambda: at_prompt(hands), "a prompt", hands)
    assert 0 < typed_by_hand(lent.log)[before:].count("\x1b[") <= 40


def test_a_paste_larger_than_a_terminal_queue_arrives_whole(lent: Lent, tmp_path: Path) -> None:
    hands = lent.hands
    type_line(hands, f"cat > {tmp_path}/pasted")
    rows = "".join(f"{n:05d} a line of a pasted file\r" for n in range(300))
    hands.write(rows.encode())
    see(hands, "00299")
    hands.write(b"\x04")
    wait(lambda: at_prompt(hands), "the prompt", hands)
    assert (tmp_path / "pasted").read_text() == rows.replace("\r", "\n")
