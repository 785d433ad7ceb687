"""The flow `server` on the box: through the console, with other answers, and with faults."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.rehearsal.backshell import CHEAP, hurried, set_up
from zrwizard import rehearse, rehearse_server
from zrwizard.headless import JsonLines
from zrwizard.rehearsal import Rehearsal
from zrwizard.run.events import Exit
from zrwizard.secrets import Secrets


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """The trials make short pauses."""
    hurried(monkeypatch)


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """A state directory."""
    made = tmp_path / "state"
    made.mkdir(mode=0o700)
    return made


def everything(directory: Path) -> Iterator[tuple[Path, bytes]]:
    """All files below `directory` with their contents."""
    for path in directory.rglob("*"):
        if path.is_file():
            yield path, path.read_bytes()


def test_through_the_console_to_a_good_server_and_no_secret_is_left_anywhere(state: Path) -> None:
    out = io.StringIO()
    with Rehearsal(speed=100, noise=0.01, scenario="server") as made:
        code = rehearse.rehearse(made, JsonLines(out), Secrets(), state, CHEAP)
        lacking = rehearse.missing(made)
    rows = [json.loads(row) for row in out.getvalue().splitlines()]
    assert (code, lacking) == (Exit.DONE, ()), rows[-1]
    assert "The simulated machine is a good backup server" in rows[-1]["summary"]
    keys = state / "rehearsals" / "keys" / "knox"
    key = (keys / "geli.key").read_bytes().strip()
    private = [(keys / name).read_bytes() for name in ("ca", "login", "deliver", "receive")]
    hidden = [key, *(b"".join(k.split(b"\n")[1:-2])[-120:] for k in private)]
    told = out.getvalue().encode()
    assert not any(secret in told for secret in hidden)
    # What is printed at the beginning is no secret of anybody; in what is kept it is masked.
    words = [rehearse_server.CA_WORDS.encode(), rehearse_server.ESCROW_WORDS.encode()]
    kept = list(everything(state / "rehearsals" / "runs"))
    assert {path.name for path, _ in kept} >= {"console.log", "report.md"}
    for path, data in kept:
        assert not any(secret in data for secret in (*hidden, *words)), path
    assert rehearse_server.CA_WORDS in rows[0]["text"]


FAULTS = (
    ("server-old-geli", Exit.REFUSED, "da0 is encrypted with geli, and what it holds cannot be"),
    ("server-disk-in-pool", Exit.REFUSED, "it belongs to the imported pool attic"),
    ("server-wrong-clock", Exit.USAGE, "Its clock is"),
    ("server-old-openssh", Exit.USAGE, "OpenSSH_6.6.1p1 on the server is too old"),
    ("server-tmp-full", Exit.USAGE, "of room in /tmp"),
    ("server-sshd-refuses", Exit.FAILED, "/var/empty must be owned by root"),
    ("server-port-busy", Exit.FAILED, "on port 2222"),
)


@pytest.mark.parametrize(("name", "code", "words"), FAULTS)
def test_what_is_wrong_is_said_and_nobody_is_locked_out(
    state: Path, name: str, code: Exit, words: str
) -> None:
    with Rehearsal(speed=1000, scenario=name) as made:
        finished, heard = set_up(made, state)
        assert (finished.exit, words in finished.summary) == (code, True), finished
        # The old sshd listens as before, and what it reads is as it was.
        shown = made.run("sockstat -46l -P tcp; cat /etc/ssh/sshd_config")[1]
        assert "*:22 " in shown
        assert "\nPermitRootLogin yes\n" in shown
        assert made.accidents == []
        assert not any("somebody else" in s for s in made.would_serve(state / "keys" / "knox"))
        assert "sshd-config" not in str(heard.events)


def test_a_read_only_system_gets_its_disk_only(state: Path) -> None:
    with Rehearsal(speed=1000, scenario="server-read-only") as made:
        finished, _ = set_up(made, state)
        assert finished.exit == Exit.DONE
        lacks = " ".join(made.would_serve(state / "keys" / "knox"))
        assert "no geli metadata" not in lacks
        assert "not exported" not in lacks
        assert "The sshd asks for no certificates." in lacks


def test_an_old_pool_s_disk_is_taken_only_by_its_serial_number(state: Path) -> None:
    with Rehearsal(speed=1000, scenario="server-old-pool") as made:
        finished, _ = set_up(made, state)
        assert finished.exit == Exit.DONE
        assert made.would_serve(state / "keys" / "knox") == ()


@pytest.mark.parametrize(
    "answers",
    [
        {"server__shape": "plain"},
        {"keys__delivery": "fifo", "disk__whole": "no"},
        {
            "system__root": "readonly",
            "reach__how": "tor",
            "reach__address": "192.168.7.20/24 192.168.7.1",
            "receive__force": "yes",
        },
    ],
    ids=["plain", "partition-and-fifo", "read-only-and-tor"],
)
def test_other_answers_make_good_servers_too(state: Path, answers: dict[str, str]) -> None:
    with Rehearsal(speed=1000, scenario="server") as made:
        finished, _ = set_up(made, state, **answers)
        assert finished.exit == Exit.DONE, finished
        assert made.would_serve(state / "keys" / "knox") == ()
        # And it is one again when it has restarted at night.
        before = made.target.booted
        made.inside(lambda: made.target.go_down("reboot"))
        until = time.monotonic() + 30
        while made.target.booted == before:
            assert time.monotonic() < until
            time.sleep(0.05)
        assert made.would_serve(state / "keys" / "knox") == ()


def test_disks_that_change_names_stop_the_run_and_the_next_one_goes_on(state: Path) -> None:
    with Rehearsal(speed=1000, scenario="server-replug") as made:
        stopped, _ = set_up(made, state)
        assert stopped.exit in (Exit.FAILED, Exit.REFUSED)
        assert "da0 has the serial number WX61A65P3K0T, not WX61A65P3JZK." in stopped.summary
        assert not any("somebody else" in s for s in made.would_serve(state / "keys" / "knox"))
        key = (state / "keys" / "knox" / "geli.key").read_bytes()
        finished, heard = set_up(made, state)
        assert (finished.exit, finished.summary) == (
            Exit.DONE,
            "Set up the vault knox on da1: done.",
        )
        # What the first run has made is taken over: no new key, and no new lock.
        assert (state / "keys" / "knox" / "geli.key").read_bytes() == key
        assert "geli init" not in heard.text
        assert made.would_serve(state / "keys" / "knox") == ()
