"""The protocol on a real pty with real shells: exact status, exact output, at most once."""

from __future__ import annotations

import base64
import os
import random
import threading
import time
from pathlib import Path

import pytest
from noise import SHELLS, Faults, LyingLine, open_session, spawn_shell, status_line

from zrwizard.console.console import Console
from zrwizard.console.errors import Cancelled, MachineLost, NoAnswer, Refused
from zrwizard.console.transcript import Transcript
from zrwizard.secrets import Secret, Secrets
from zrwizard.shell.api import Rule
from zrwizard.shell.bringup import Left
from zrwizard.shell.session import ShellSession

PRESENT = [name for name, (program, _) in SHELLS.items() if Path(program).exists()]


def token(number: int) -> str:
    """A token that no other run of these tests has used."""
    return f"{os.getpid():x}{number:x}"


@pytest.fixture(scope="module", params=PRESENT)
def shell(request):
    session, _ = open_session(request.param, token=token(len(request.param)))
    yield session
    session.run(f"rm -rf {session.home}")
    session.close()


@pytest.mark.parametrize("status", [0, 1, 2, 64, 77, 126, 127, 128, 130, 200, 254, 255])
def test_every_status_comes_back_exactly(shell, status):
    assert shell.run(f"exit {status}").status == status


def test_out_and_err_are_separate_and_exact(shell):
    result = shell.run("printf 'a\\nb\\n\\n'; printf 'no newline' >&2; exit 9")
    assert (result.status, result.out, result.err) == (9, b"a\nb\n\n", b"no newline")


@pytest.mark.parametrize(
    "size", [0, 1, 56, 57, 58, 1199, 1200, 1201, 1535, 1536, 1537, 5000, 70000]
)
def test_any_bytes_of_any_size(shell, size, tmp_path):
    data = random.Random(size).randbytes(size)
    path = tmp_path / "data"
    path.write_bytes(data)
    assert shell.run(f"cat {path}").out == data


def test_output_that_holds_frames_prompts_and_controls(shell):
    text = r"printf '\036E1:000:255:0:0:0:1\037\036S\037login: # Password:\a\000\377\021\023'"
    assert shell.run(text).out == (
        b"\x1eE1:000:255:0:0:0:1\x1f\x1eS\x1flogin: # Password:\x07\x00\xff\x11\x13"
    )


def test_text_of_every_kind_of_quote_and_length(shell):
    word = 'it\'s "quoted" $HOME `x` \\ ! é\ttab'
    quoted = "'" + word.replace("'", "'\\''") + "'"
    assert shell.run(f"printf %s {quoted}").text == word
    long = "x" * 9000
    assert shell.run(f"printf %s '{long}' | wc -c").text.strip() == "9000"
    assert shell.run("cat <<'E'\none\ntwo\nE").text == "one\ntwo\n"


def test_stdin_is_empty_and_nothing_leaks_between_commands(shell):
    assert shell.run("cat; read x; echo $?").text == "1\n"
    shell.run("leak=1; cd /; f() { :; }; exit 3")
    assert shell.run('echo "${leak-unset}"').text == "unset\n"


def test_the_shell_survives_what_a_command_does_to_it(shell):
    assert shell.run("exec false").status == 1
    assert shell.run("exec 1>&- 2>&-; exit 4").status == 4
    assert shell.run("set -eu; false; echo no").status == 1
    assert shell.run("trap 'echo bye' EXIT; exit 5").out == b"bye\n"


def test_a_command_that_outlives_its_time_is_interrupted_and_said(shell):
    began = time.monotonic()
    with pytest.raises(NoAnswer, match="interrupted"):
        shell.run("sleep 60", timeout=1)
    assert time.monotonic() - began < 15
    assert shell.run("echo on").text == "on\n"


def test_a_prompt_is_answered_and_the_secret_shown_nowhere(shell):
    secret = Secret("server", "hunter22-long")
    ask = (
        "s=$(stty -g </dev/tty); stty -echo </dev/tty; printf 'Password:' >/dev/tty;"
        " read x </dev/tty; stty $s </dev/tty; echo; echo ${#x}"
    )
    result = shell.talk(ask, (Rule("Password:$", secret),))
    assert result.status == 0
    assert b"\n13" in result.out.replace(b"\r", b"")
    assert b"hunter22" not in result.out


def test_a_prompt_that_comes_back_is_a_refusal_not_a_loop(shell):
    ask = (
        "stty -echo </dev/tty; for i in 1 2 3; do printf 'Password:' >/dev/tty;"
        " read x </dev/tty; echo; done"
    )
    with pytest.raises(Refused, match="not accepted"):
        shell.talk(ask, (Rule("Password:$", Secret("server", "wrong-one"), max_uses=2),))
    assert shell.run("echo on").text == "on\n"


def test_a_prompt_that_echoes_is_no_password_prompt(shell):
    ask = (
        "stty echo </dev/tty; printf 'Password:' >/dev/tty; read x </dev/tty; stty -echo </dev/tty"
    )
    with pytest.raises(Refused, match="no password prompt"):
        shell.talk(ask, (Rule("Password:$", Secret("server", "seen-by-all")),))
    shell.run("stty -echo </dev/tty")
    assert shell.run("echo on").text == "on\n"


def test_files_are_carried_whole_with_their_mode(shell):
    data = bytes(range(256)) * 20
    path = f"{shell.home}/it's here"
    shell.upload(path, data, 0o600)
    assert Path(path).read_bytes() == data
    assert Path(path).stat().st_mode & 0o777 == 0o600


def test_jobs_live_detached_and_leave_their_status(shell):
    shell.start_job("one", "echo begun; sleep 3; echo over >&2; exit 5")
    assert shell.job("one").running
    deadline = time.monotonic() + 10
    while shell.job("one").running and time.monotonic() < deadline:
        time.sleep(0.2)
    job = shell.job("one")
    assert (job.known, job.running, job.status) == (True, False, 5)
    assert shell.run(f"cat {shell.home}/jobs/one/log").text == "begun\nover\n"
    shell.start_job("two", "sleep 60")
    shell.stop_job("two")
    deadline = time.monotonic() + 5
    while not shell.job("two").lost and time.monotonic() < deadline:
        time.sleep(0.1)
    assert shell.job("two").lost
    assert not shell.job("three").known


def test_hands_on_and_back(shell):
    hands = shell.hands_on()
    time.sleep(0.5)
    hands.write(b"echo by-$((40+2))\r")
    deadline = time.monotonic() + 5
    while "by-42" not in "\n".join(hands.lines()) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert "by-42" in "\n".join(hands.lines())
    hands.give_back()
    assert shell.run("echo on").text == "on\n"


def test_another_session_finds_the_home_and_the_jobs_of_its_token():
    first, _ = open_session(token=token(1))
    first.start_job("long", "sleep 30")
    first.console._spawn.close(force=True)
    second, _ = open_session(token=token(1))
    assert second.job("long").running
    second.stop_job("long")
    second.run(f"rm -rf {second.home}")
    second.close()


def test_a_home_that_is_somebody_elses_is_refused():
    Path(f"/tmp/zr-{token(2)}").symlink_to("/etc")
    try:
        with pytest.raises(Refused, match="cannot be made"):
            open_session(token=token(2))
    finally:
        Path(f"/tmp/zr-{token(2)}").unlink()


def left_and_found_again(session, name):
    """Let one `session` die and the next find its shell; return whether ^T was answered there."""
    first = session()
    first.console._closing.set()
    first.console._reader.join()
    second = session(Left(name, first.answers_status))
    assert second.run("echo on").text == "on\n"
    second.run(f"rm -rf {second.home}")
    second.close()
    return first.answers_status


def test_a_wizard_that_died_left_a_quiet_shell_which_is_found_again():
    spawn = spawn_shell("dash")
    secrets, quiet = Secrets(), threading.Event()

    def session(left=None):
        console = Console(spawn, Transcript(None, secrets, "t"), quiet)
        return ShellSession(
            console, token(3), password=lambda: None, on_state=lambda _: None, left=left
        )

    left_and_found_again(session, token(3))


@pytest.mark.parametrize("answers", [False, True], ids=["deaf", "answers"])
def test_a_kernel_message_is_no_answer_to_a_status_key(answers):
    """A message comes whenever ^T is typed; the shell is found again by whoever comes next."""
    spawn, secrets = spawn_shell("dash"), Secrets()

    def session(left=None):
        console = Console(spawn, Transcript(None, secrets, "t"), threading.Event())
        typed = console.write

        def write(data):
            typed(data.replace(b"\x14", b""))
            if b"\x14" in data:
                status = status_line(spawn) if answers else b""
                console._inbox.put(b"\r\nem0: link state changed to UP\r\n" + status)

        console.write = write
        return ShellSession(
            console, token(8), password=lambda: None, on_state=lambda _: None, left=left
        )

    assert left_and_found_again(session, token(8)) is answers


def test_cancel_ends_a_wait_at_once():
    cancel = threading.Event()
    session, _ = open_session(token=token(4), cancel=cancel)
    threading.Timer(0.5, cancel.set).start()
    began = time.monotonic()
    with pytest.raises(Cancelled):
        session.run("sleep 20")
    assert time.monotonic() - began < 3
    session.close()


def test_the_line_that_ends_is_a_lost_machine_not_a_status():
    session, line = open_session(token=token(5))
    threading.Timer(0.5, lambda: line.spawn.kill(9)).start()
    with pytest.raises(MachineLost, match="line ended"):
        session.run("sleep 20")
    session.close()


def test_a_prompt_that_was_lost_is_found_although_the_kernel_goes_on_talking():
    """A console that was left at its prompt, and from which only stray messages come."""
    spawn = spawn_shell("dash")
    spawn.expect_exact(b"# ")
    line = LyingLine(spawn, Faults(), 1)
    done = threading.Event()
    console = Console(line, Transcript(None, Secrets(), "t"), threading.Event())

    def talk() -> None:
        while not done.wait(2):
            console._inbox.put(b"\rem0: link state changed to UP\r\n")

    threading.Thread(target=talk, daemon=True).start()
    session = ShellSession(console, token(6), password=lambda: None, on_state=lambda _: None)
    assert session.run("echo on").text == "on\n"
    done.set()
    session.run(f"rm -rf {session.home}")
    session.close()


def test_a_secret_file_stands_in_the_transcript_by_its_name_only(tmp_path):
    secrets = Secrets()
    secret = Secret("key", "-----BEGIN KEY-----\n" + "QmFzZTY0IG9mIGEga2V5\n" * 30)
    secrets.add(secret)
    log = tmp_path / "log"
    session, _ = open_session(token=token(7), log=log, secrets=secrets)
    path = Path(session.home) / "id"
    session.upload(str(path), secret)
    assert path.read_bytes() == secret.reveal()
    assert path.stat().st_mode & 0o777 == 0o600
    session.run(f"rm -rf {session.home}")
    session.close()
    text = log.read_text()
    assert "<secret:key>" in text
    encoded = base64.b64encode(secret.reveal()).decode()
    for form in (secret.reveal().decode(), encoded):
        pieces = {form[at : at + 24] for at in range(0, len(form) - 24, 8)}
        assert not [piece for piece in pieces if piece in text]
