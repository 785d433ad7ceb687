"""A command fed with a secret: exact bytes, exact status, once; and the secret nowhere else."""

from __future__ import annotations

import base64
import os
import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from noise import SHELLS, Exact, Faults, Host, open_on, open_session, spawn_shell
from together import at_once

from zrwizard.cksum import cksum
from zrwizard.console.console import Console
from zrwizard.console.errors import Cancelled, ConsoleError, LineCut, NoAnswer, Refused
from zrwizard.console.transcript import Transcript
from zrwizard.secrets import MAX_BYTES, Secret, Secrets
from zrwizard.shell import feeding
from zrwizard.shell.bringup import Left
from zrwizard.shell.session import ShellSession

PRESENT = [name for name, (program, _) in SHELLS.items() if Path(program).exists()]
EVERY_BYTE = bytes(range(256)) * 2
KEY = Secret("geli-key", random.Random(5).randbytes(64).hex() + "\n")
SUM = [str(cksum(KEY.reveal())), str(len(KEY.reveal()))]
HELD = 'set | grep -c "^_s[0-9]*=."; echo "${_sn}"'
"""Prints how many parts of a secret the shell holds; a subshell knows what its shell knows."""
_tokens = iter(range(10**6))
_lock = threading.Lock()


def token() -> str:
    with _lock:
        return f"{os.getpid():x}d{next(_tokens):04x}"


def forms(secret: Secret) -> list[bytes]:
    """The secret as it is, as hex and as base64 at each of its three alignments, in pieces."""
    value = secret.reveal()
    texts = [value, value.hex().encode()]
    texts += [base64.b64encode(value[shift:]) for shift in range(3)]
    return [text[at : at + 16] for text in texts for at in range(0, len(text) - 20, 4)]


def leaks(data: bytes, secret: Secret) -> list[bytes]:
    return [piece for piece in forms(secret) if piece in data]


@pytest.fixture(scope="module", params=PRESENT)
def shell(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ShellSession]:
    """One session a shell; whatever was fed in it, its transcript holds nothing of the key."""
    log = tmp_path_factory.mktemp("feed") / "log"
    made, _ = open_session(request.param, token=token(), log=log)
    made.feed("cat >/dev/null", KEY)
    assert b"<secret:geli-key>" in log.read_bytes()
    yield made
    made.run(f"rm -rf {made.home}")
    made.close()
    told = log.read_bytes()
    assert not leaks(told, KEY)
    assert str(cksum(KEY.reveal())).encode() not in told, "a checksum to try guesses with"


def test_every_byte_arrives_and_the_status_is_the_commands_own(shell):
    secret = Secret("k", EVERY_BYTE)
    result = shell.feed("cat; printf err >&2; exit 7", secret)
    assert (result.status, result.out, result.err) == (7, EVERY_BYTE, b"err")
    for status in (0, 1, 127, 255):
        assert shell.feed(f"cat >/dev/null; exit {status}", secret).status == status
    assert shell.feed("wc -c", Secret("k", b"")).out.split() == [b"0"]
    assert shell.feed("cat", Secret("k", b"\0")).out == b"\0"
    assert shell.run("cat; echo $?").text == "0\n", "a later command reads nothing"


def test_no_history_is_kept_of_what_is_typed(shell):
    """FreeBSD's sh takes an unset HISTFILE for ~/.sh_history (facts A9)."""
    assert shell.run('echo "${HISTFILE-unset}:$HISTSIZE"').text == ":0\n"


def test_as_much_as_is_allowed_and_no_byte_more(shell):
    whole = random.Random(1).randbytes(MAX_BYTES)
    assert shell.feed("cksum", Secret("k", whole)).text.split() == [
        str(cksum(whole)),
        str(MAX_BYTES),
    ]
    with pytest.raises(Refused, match="larger than 65536"):
        shell.feed("cat", Secret("k", whole + b"x"))


def test_a_command_that_reads_a_part_or_nothing_keeps_its_status(shell):
    large = Secret("k", random.Random(2).randbytes(MAX_BYTES))
    part = shell.feed("head -c 5 >/dev/null; exit 3", large)
    assert (part.status, part.out, part.err) == (3, b"", b"")
    nothing = shell.feed("exit 9", large)
    assert (nothing.status, nothing.out, nothing.err) == (9, b"", b"")
    assert shell.feed("exec 0<&-; exit 4", large).status == 4


def test_what_it_prints_may_be_large_and_may_be_the_secret_itself(shell):
    """It stays out of the transcript all the same, see the fixture."""
    result = shell.feed("cat; cat; head -c 20000 /dev/zero", KEY)
    assert result.out == KEY.reveal() + bytes(20000)
    shell.run("echo gone")


def test_the_secret_is_in_no_file_argument_list_or_environment(shell):
    """Processes are sampled while it runs; files are searched afterwards."""
    seen: list[str] = []
    over = threading.Event()
    sampled = threading.Thread(target=_sample, args=(over, seen))
    sampled.start()
    text = "sleep 0.3; cat >/dev/null; sleep 0.3; sh -c 'sleep 0.3'; env; set; exit 5"
    result = shell.feed(text, KEY)
    over.set()
    sampled.join()
    assert result.status == 5
    assert not leaks(result.out, KEY), "a variable of it, or its environment"
    assert len(seen) > 20, "nothing was sampled"
    assert any("sleep" in one for one in seen)
    assert not leaks("\n".join(seen).encode("utf-8", "surrogateescape"), KEY)
    files = [path for path in Path(shell.home).rglob("*") if path.is_file()]
    assert files
    assert not [path for path in files if leaks(path.read_bytes(), KEY)]


def _sample(over: threading.Event, seen: list[str]) -> None:
    while not over.wait(0.01):
        for process in Path("/proc").glob("[0-9]*"):
            for name in ("cmdline", "environ"):
                try:
                    seen.append((process / name).read_bytes().decode("utf-8", "surrogateescape"))
                except OSError:
                    continue


def test_nothing_is_left_in_the_shell_however_it_ended(shell):
    def held() -> str:
        return shell.run(HELD).text

    assert shell.feed("exit 1", KEY).status == 1
    assert held() == "0\n0\n"
    with pytest.raises(NoAnswer, match="interrupted"):
        shell.feed("sleep 60", KEY, timeout=1)
    assert held() == "0\n0\n"
    threading.Timer(0.5, shell.console.cancel.set).start()
    with pytest.raises(Cancelled):
        shell.feed("sleep 1.5; exit 3", KEY)
    shell.console.cancel = threading.Event()
    assert held() == "0\n0\n"


def test_parts_that_never_became_a_command_are_forgotten(shell, monkeypatch):
    start = type(shell.frames).start

    def broken(frames, id, text, *more, **named):
        if len(text.split()) == 6:
            assert shell.frames.alive(shell.token)
            raise Refused("the go-ahead was never typed")
        return start(frames, id, text, *more, **named)

    monkeypatch.setattr(type(shell.frames), "start", broken)
    with pytest.raises(Refused, match="never typed"):
        shell.feed("cat", KEY)
    assert shell.run(HELD).text == "0\n0\n"


def test_a_shell_whose_printf_is_no_builtin_gets_no_secret(shell, monkeypatch):
    monkeypatch.setattr(feeding, "BUILTIN", '[ "$(command -v cat)" = cat ]')
    with pytest.raises(Refused, match="no printf of its own"):
        shell.feed("cat", KEY)


def test_what_a_wizard_that_died_left_in_the_shell_is_forgotten_by_the_next():
    spawn, name, secrets, quiet = spawn_shell("dash"), token(), Secrets(), threading.Event()

    def session(left: Left | None = None) -> ShellSession:
        console = Console(spawn, Transcript(None, secrets, "t"), quiet)
        return ShellSession(
            console, name, password=lambda: None, on_state=lambda _: None, left=left
        )

    first = session()
    first.frames.send_parts("abc", KEY.reveal(), repr(KEY), "zk")
    assert first.run(HELD).text == "2\n2\n"
    first.console._closing.set()
    first.console._reader.join()
    second = session(Left(name, first.answers_status))
    assert second.run(HELD).text == "0\n0\n"
    second.run(f"rm -rf {second.home}")
    second.close()


@contextmanager
def session_on(host: Host, **more: object) -> Iterator[ShellSession]:
    session = open_on(host, token=token(), **more)  # type: ignore[arg-type]
    try:
        yield session
    finally:
        session.console.close()
        host.end()
        os.system(f"rm -rf {session.home}")


FAULTS = {
    "noise and loss": Faults(noise=0.002, lost=0.003),
    "both ways": Faults(lost=0.002, out_lost=0.002, out_doubled=0.001),
    "echo": Faults(echo=0.1, noise=0.002),
    "cuts": Faults(cut=0.0002),
}


def test_a_lying_line_changes_nothing_or_ends_in_an_error(tmp_path):
    """Never a wrong byte, never a wrong status, never twice; and the secret in no file."""
    at_once(_lied_to, [(name, tmp_path / name) for name in FAULTS])


def _lied_to(name: str, directory: Path) -> None:
    directory.mkdir()
    ran, log = directory / "ran", directory / "log"
    ran.write_text("")
    pick, done, failed = random.Random(name), 0, 0
    # Eight commands, over as many shells as the line makes necessary.
    for attempt in range(4):
        host = Host(faults=FAULTS[name], seed=attempt)
        with session_on(host, log=log, secrets=Secrets({KEY.name: KEY})) as session:
            while done + failed < 8:
                status = pick.choice([0, 1, 77, 255])
                text = f"echo {done + failed} >>'{ran}'; cksum; exit {status}"
                try:
                    result = session.feed(text, KEY, timeout=30)
                except ConsoleError:
                    failed += 1
                    break
                assert (result.status, result.text.split()) == (status, SUM)
                done += 1
            files = [path for path in Path(session.home).rglob("*") if path.is_file()]
            assert not [path for path in files if leaks(path.read_bytes(), KEY)]
    assert done >= 4, f"only {done} were exact, {failed} ended in an error"
    lines = ran.read_text().split()
    assert len(lines) == len(set(lines)), "a command ran twice"
    assert len(lines) >= done
    assert not leaks(log.read_bytes(), KEY)


def test_the_line_is_cut_at_many_bytes_and_the_command_has_run_once(tmp_path):
    host = Host()
    with session_on(host) as session:
        passed = {}
        for way in ("in", "out"):
            host.lines[-1].exact = Exact(way, 10**9, bytes)
            session.feed(f"echo ran >>{tmp_path}/measured; cksum; exit 7", KEY)
            passed[way] = host.lines[-1].exact.passed
    places = [(way, at) for way in passed for at in range(0, passed[way], passed[way] // 20)]
    at_once(_cut, [(tmp_path, number, places[number::8]) for number in range(8)])


def _cut(directory: Path, number: int, places: list[tuple[str, int]]) -> None:
    host = Host(keeps=bool(number % 2))
    log = directory / f"log{number}"
    with session_on(host, log=log) as session:
        for way, at in places:
            ran = directory / f"{way}-{at}"
            line = host.lines[-1]
            line.cut_at = (way, at + line.passed[way])
            result = session.feed(f"echo ran >>{ran}; cksum; exit 7", KEY, timeout=60)
            assert (result.status, result.text.split()) == (7, SUM), (way, at)
            assert ran.read_text() == "ran\n", (way, at)
        host.lines[-1].cut_at = None
        assert session.run(HELD).text == "0\n0\n"
        assert len(host.lines) > len(places) / 2, "hardly anything was cut"
    assert not leaks(log.read_bytes(), KEY)


def test_a_line_that_ends_for_good_is_said():
    session, line = open_session(token=token())
    threading.Timer(0.5, lambda: line.spawn.kill(9)).start()
    began = time.monotonic()
    with pytest.raises(LineCut, match="line ended"):
        session.feed("sleep 20", KEY)
    assert time.monotonic() - began < 10
    session.close()
