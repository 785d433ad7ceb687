"""What is measured on the link: over a real sshd, in each shell; and what is made of it."""

from __future__ import annotations

import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests import shlint
from tests.mover import realssh
from tests.mover.world import SHELLS
from zrwizard import mover
from zrwizard.freebsd.errors import ParseError
from zrwizard.mover import Direction, ciphers, measure

GCM, CHACHA = ciphers.CIPHERS


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[realssh.Server]:
    with realssh.server(tmp_path_factory.mktemp("ciphers") / "sshd") as it:
        yield it


def write(directory: Path, server: realssh.Server) -> None:
    (directory / "measure.sh").write_text(measure.SCRIPT)
    text = mover.settings(
        direction=Direction.PULL, ssh=["ssh", "-F", str(server.config)], host="backup", shared=True
    )
    (directory / "settings").write_text(text)


def probe(
    directory: Path,
    server: realssh.Server,
    *limits: str,
    shell: str = "dash",
    what: str = "ciphers",
) -> subprocess.CompletedProcess[str]:
    write(directory, server)
    return subprocess.run(
        [*SHELLS[shell], str(directory / "measure.sh"), str(directory), what, *limits],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


def test_the_script_is_clean_sh(tmp_path: Path) -> None:
    path = tmp_path / "measure.sh"
    path.write_text(measure.SCRIPT)
    shlint.lint(path)


@pytest.mark.parametrize("shell", sorted(SHELLS))
def test_each_cipher_twice_in_turn(tmp_path: Path, server: realssh.Server, shell: str) -> None:
    before = len(server.ciphers())
    done = probe(tmp_path, server, "50", "64", "60", shell=shell)
    rows = [line.split() for line in done.stdout.splitlines()]
    assert [row[0] for row in rows] == [GCM, CHACHA, GCM, CHACHA]
    # One byte of the 64 blocks starts the clock.
    assert {row[1] for row in rows} == {str(64 * 65536 - 1)}
    assert (done.returncode, done.stderr) == (0, "")
    assert server.ciphers()[before:] == [GCM, CHACHA, GCM, CHACHA]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["measure.sh", "settings"]
    ciphers.choose(done.stdout)


def test_it_is_over_in_its_time_on_a_long_flow(tmp_path: Path, server: realssh.Server) -> None:
    blocks = 10**9
    done = probe(tmp_path, server, "3", str(blocks), "60")
    rows = [line.split() for line in done.stdout.splitlines()]
    assert len(rows) == 4
    assert all(0 < int(row[1]) < blocks * 65536 for row in rows)


def test_a_side_that_refuses_the_login_gives_no_measurement(tmp_path: Path) -> None:
    rules = "PubkeyAuthentication no\nPasswordAuthentication yes\n"
    with realssh.server(tmp_path / "sshd", rules) as it:
        (tmp_path / "job").mkdir()
        done = probe(tmp_path / "job", it)
    assert (done.returncode, done.stdout) == (0, "")
    assert ciphers.choose(done.stdout) is None


def test_a_side_that_never_answers_is_left(tmp_path: Path, server: realssh.Server) -> None:
    with socket.create_server((realssh.HOST, 0)) as silent:
        port = silent.getsockname()[1]
        config = tmp_path / "ssh_config"
        config.write_text(f"Host backup\n HostName {realssh.HOST}\n Port {port}\n")
        done = probe(tmp_path, realssh.Server(port, config, server.directory), "1", "1", "1")
    assert (done.returncode, done.stdout) == (0, "")


# --- streams ------------------------------------------------------------------------------------


@pytest.mark.parametrize("shell", sorted(SHELLS))
def test_one_stream_and_two(tmp_path: Path, server: realssh.Server, shell: str) -> None:
    done = probe(tmp_path, server, "50", "64", "60", shell=shell, what="streams")
    rows = measure.rows(done.stdout)
    assert (done.returncode, done.stderr) == (0, "")
    assert [count for count, _ in rows["trip"]] == [10]
    assert [count for name in ("one", "two") for count, _ in rows[name]] == [64 * 65536 - 1] * 3
    link = measure.link(done.stdout)
    assert link is not None
    assert link.round_trip > 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["measure.sh", "settings"]


def test_they_go_over_the_master(tmp_path: Path, server: realssh.Server) -> None:
    ssh = ["ssh", "-F", str(server.config)]
    subprocess.run(
        [*ssh, "-o", "ControlMaster=yes", "-fN", "backup"],
        check=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        before = server.logins
        done = probe(tmp_path, server, "50", "64", "60", what="streams")
        assert measure.link(done.stdout) is not None
        assert server.logins == before
    finally:
        subprocess.run([*ssh, "-O", "exit", "backup"], check=True, stderr=subprocess.DEVNULL)


@pytest.mark.parametrize("what", ["ciphers", "streams"])
def test_ended_by_a_signal_at_any_moment_it_leaves_nothing(
    tmp_path: Path, server: realssh.Server, what: str
) -> None:
    write(tmp_path, server)
    ended = []
    for late in range(60):
        process = subprocess.Popen(
            ["dash", str(tmp_path / "measure.sh"), str(tmp_path), what, "100", str(10**9), "60"],
            stdout=subprocess.DEVNULL,
        )
        time.sleep(late * 0.002)
        process.terminate()
        ended.append(process.wait(300))
    # Only at the very first moments there is no trap yet.
    assert set(ended) <= {18, -signal.SIGTERM}
    assert ended[-5:] == [18] * 5
    until = time.monotonic() + 120
    while len([*tmp_path.iterdir()]) > 2:
        assert time.monotonic() < until
        time.sleep(0.05)


def test_what_a_link_is_made_of() -> None:
    text = "trip 10 1.0\none 1000 0.5\ntwo 1000 0.5\ntwo 900 0.5\n"
    assert measure.link(text) == measure.Link(0.1, 2000, 3800)
    for part in text.splitlines(keepends=True):
        assert measure.link(text.replace(part, "", 1)) is None
    with pytest.raises(ParseError):
        measure.link(text + "three 1 1\n")


# --- what is made of it -------------------------------------------------------------------------


def lines(gcm: tuple[int, int], chacha: tuple[int, int]) -> str:
    rows = [
        f"{GCM} {one}000000 1.500000\n{CHACHA} {two}000000 1.5\n"
        for one, two in zip(gcm, chacha, strict=True)
    ]
    return "".join(rows)


@pytest.mark.parametrize(
    ("gcm", "chacha", "chosen"),
    [
        ((111, 120), (100, 90), GCM),
        ((90, 100), (115, 111), CHACHA),
        ((109, 120), (100, 90), None),
        ((200, 99), (90, 100), None),
        ((100, 100), (100, 100), None),
    ],
    ids=["gcm", "chacha", "not clearly", "one of two", "same"],
)
def test_only_what_is_clearly_faster(
    gcm: tuple[int, int], chacha: tuple[int, int], chosen: str | None
) -> None:
    assert ciphers.choose(lines(gcm, chacha)) == chosen


@pytest.mark.parametrize("kept", [0, 1, 2, 3])
def test_nothing_is_chosen_by_half_a_measurement(kept: int) -> None:
    whole = lines((900, 900), (100, 100)).splitlines(keepends=True)
    assert ciphers.choose("".join(whole)) == GCM
    assert ciphers.choose("".join(whole[:kept])) is None


def test_the_option_is_what_ssh_takes() -> None:
    for cipher in ciphers.CIPHERS:
        done = subprocess.run(
            ["ssh", "-F", "none", "-G", "-o", f"Ciphers={ciphers.option(cipher)}", "x"],
            capture_output=True,
            text=True,
            check=True,
        )
        row = next(line for line in done.stdout.splitlines() if line.startswith("ciphers "))
        assert row.split()[1].startswith(f"{cipher},")
        assert "aes256-gcm@openssh.com" in row
    with pytest.raises(ValueError, match="not a cipher"):
        ciphers.option("none")


@given(st.text() | st.from_regex(r"(aes128-gcm@openssh\.com|x) \d+ [\d.]+\n"))
def test_a_choice_or_its_own_error(text: str) -> None:
    try:
        chosen = ciphers.choose(text)
    except ParseError:
        return
    assert chosen is None
