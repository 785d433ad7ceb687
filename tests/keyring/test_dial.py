"""ssh with the three keys against a real sshd: what works, what is refused, what is told of it."""

from __future__ import annotations

import contextlib
import os
import re
import socket
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.keyring.door import HOST, LOCKED, OPEN, PASSPHRASE, USER, Door, door, free_port, keygen
from tests.keyring.seen import Sampler
from zrwizard.keyring import refusals, sshchannel, sshconfig
from zrwizard.keyring.dial import SOCKET_LIMIT, DialError, SshDial, environment
from zrwizard.keyring.refusals import explain
from zrwizard.run.events import Exit
from zrwizard.run.operator import MissingSecret
from zrwizard.secrets import Secret, Secrets

RECEIVE = """\
case "$SSH_ORIGINAL_COMMAND" in
    echo) cat ;;
    lines) printf "ready\\n"; read -r word; printf "got %s\\n" "$word"; exit 7 ;;
    complain) echo "zr-receiver: The disk is not there." >&2; exit 69 ;;
    flood) yes | head -c 3000000 ;;
    wait) echo $$; exec sleep 60 ;;
    hold) cat >/dev/null ;;
    hang) trap "" HUP; echo $$; cat >/dev/null; echo over >"{over}"; exit 0 ;;
    *) echo "zr-receiver: not one of its requests" >&2; exit 77 ;;
esac
"""
DELIVER = '[ -z "$SSH_ORIGINAL_COMMAND" ] || exit 77; cksum'
CARELESS = 'sh -c "${SSH_ORIGINAL_COMMAND:-sh}"'


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    directory = tmp_path_factory.mktemp("dial")
    script = directory / "receive.sh"
    script.write_text(RECEIVE.replace("{over}", str(directory / "over")))
    with door(directory, {"deliver": DELIVER, "receive": f"sh {script}"}) as made:
        yield made


@pytest.fixture
def dial(place: Door) -> Iterator[SshDial]:
    with _dial(place) as made:
        yield made


@contextlib.contextmanager
def _dial(place: Door, passphrase: str = PASSPHRASE) -> Iterator[SshDial]:
    secrets = Secrets()
    if passphrase:
        secrets.add(Secret("ca-passphrase", passphrase))
    made = SshDial(place.keys.keyring, secrets, connect_timeout=2)
    try:
        yield made
    finally:
        made.close()


def _gone(pid: int, seconds: float = 15) -> bool:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
            return True
        time.sleep(0.05)
    return False


# --- the login key ------------------------------------------------------------------------------


def test_the_passphrase_is_answered_once_and_commands_ride_the_socket(place: Door) -> None:
    before = place.log().count("Accepted publickey")
    with Sampler() as seen, _dial(place) as dial:
        assert dial.run("login", "id -un", place.port).out == f"{USER}\n".encode()
        directory = dial._private()
        assert directory.stat().st_mode & 0o777 == 0o700
        sockets = [entry for entry in directory.iterdir() if entry.is_socket()]
        assert [len(os.fsencode(path)) <= SOCKET_LIMIT - 17 for path in sockets] == [True]
        noise = os.urandom(1 << 20)
        assert dial.run("login", "cat", place.port, stdin=noise).out == noise
        reply = dial.run("login", "echo oh dear >&2; exit 3", place.port)
        assert (reply.status, reply.out, reply.err) == (3, b"", "oh dear\n")
        assert dial.run("login", "tty", place.port).out == b"not a tty\n"
    assert place.log().count("Accepted publickey") == before + 1
    assert not directory.exists()
    assert seen.times > 3
    assert not seen.has(PASSPHRASE)


def test_a_login_that_dropped_is_opened_again(place: Door, dial: SshDial) -> None:
    assert dial.run("login", "echo one", place.port).out == b"one\n"
    pid = int(dial.run("login", "echo $PPID", place.port).out)
    os.kill(pid, 9)
    until = time.monotonic() + 10
    while dial._masters[place.port].alive() and time.monotonic() < until:
        time.sleep(0.05)
    assert dial.run("login", "echo two", place.port).out == b"two\n"


def test_a_wrong_passphrase_is_told_from_a_missing_one(place: Door) -> None:
    secrets = Secrets()
    dial = SshDial(place.keys.keyring, secrets)
    try:
        with pytest.raises(MissingSecret) as missing:
            dial.run("login", "true", place.port)
        assert (missing.value.name, missing.value.wrong) == ("ca-passphrase", False)
        secrets.add(Secret("ca-passphrase", "no-such-horse-91"))
        with pytest.raises(MissingSecret) as wrong:
            dial.run("login", "true", place.port)
        assert (wrong.value.name, wrong.value.wrong) == ("ca-passphrase", True)
        told = traceback.TracebackException.from_exception(wrong.value, capture_locals=True)
        assert "no-such-horse-91" not in "".join(told.format())
        secrets.add(Secret("ca-passphrase", PASSPHRASE))
        assert dial.run("login", "echo in", place.port).out == b"in\n"
    finally:
        dial.close()


def test_a_passphrase_may_hold_what_a_terminal_would_obey(place: Door) -> None:
    odd = "pass\x15word\x03 ü\x7f!"
    login = place.keys.path("login")
    keygen("-p", "-P", PASSPHRASE, "-N", odd, "-f", str(login))
    try:
        with _dial(place, odd) as dial:
            assert dial.run("login", "echo in", place.port).out == b"in\n"
    finally:
        keygen("-p", "-P", odd, "-N", PASSPHRASE, "-f", str(login))


def test_nothing_answers_in_the_keys_place(place: Door, tmp_path: Path) -> None:
    asked = tmp_path / "asked"
    helper = tmp_path / "askpass"
    helper.write_text(f"#!/bin/sh\ntouch {asked}\necho {PASSPHRASE}\n")
    helper.chmod(0o755)
    path = tmp_path / "a"
    with socket.socket(socket.AF_UNIX) as agent:
        agent.bind(str(path))
        agent.listen()
        agent.settimeout(0.2)
        wanted = {
            "SSH_AUTH_SOCK": str(path),
            "SSH_ASKPASS": str(helper),
            "SSH_ASKPASS_REQUIRE": "force",
            "DISPLAY": ":0",
        }
        dial = SshDial(place.keys.keyring, Secrets(), environ={**os.environ, **wanted})
        try:
            with pytest.raises(MissingSecret):
                dial.run("login", "true", place.port)
            assert dial.run("receive", "echo", place.port, stdin=b"x").out == b"x"
        finally:
            dial.close()
        with pytest.raises(TimeoutError):
            agent.accept()
    assert not asked.exists()
    assert not environment(wanted).keys() & wanted.keys()


# --- the single-purpose keys --------------------------------------------------------------------


def test_a_request_has_its_status_output_and_complaint(place: Door, dial: SshDial) -> None:
    noise = os.urandom(3 << 20)
    assert dial.run("receive", "echo", place.port, stdin=noise).out == noise
    reply = dial.run("receive", "complain", place.port)
    assert (reply.status, reply.err) == (69, "zr-receiver: The disk is not there.\n")
    assert dial.run("deliver", "", place.port, stdin=b"").out == b"4294967295 0\n"
    assert dial.run("deliver", "id", place.port).status == 77


def test_a_command_may_end_without_reading_its_input(place: Door, dial: SshDial) -> None:
    reply = dial.run("receive", "complain", place.port, stdin=bytes(4 << 20))
    assert reply.status == 69


def test_a_conversation_goes_line_by_line(place: Door, dial: SshDial) -> None:
    channel = dial.open("receive", "lines", place.port)
    assert channel.line(20) == b"ready"
    with pytest.raises(DialError) as slow:
        channel.line(0.2)
    assert slow.value.kind == "silent"
    channel.send(b"word\n")
    assert channel.line(20) == b"got word"
    with pytest.raises(DialError) as ended:
        channel.line(20)
    assert ended.value.kind == "ended"
    assert channel.finish(20).status == 7
    channel.cut()


def test_every_key_is_one_of_three(place: Door, dial: SshDial) -> None:
    with pytest.raises(ValueError, match="no key"):
        dial.run("root", "true", place.port)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="login"):
        dial.tries("login", place.port)


# --- bounds -------------------------------------------------------------------------------------


def test_more_output_than_expected_is_not_kept(
    place: Door, dial: SshDial, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sshchannel, "OUT_LIMIT", 1 << 20)
    with pytest.raises(DialError) as error:
        dial.run("receive", "flood", place.port)
    assert error.value.kind == "too much"


def test_what_nobody_reads_has_a_deadline(
    place: Door, dial: SshDial, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sshchannel, "SEND_TIMEOUT", 1.0)
    with pytest.raises(DialError) as error:
        dial.run("receive", "wait", place.port, stdin=bytes(64 << 20))
    assert error.value.kind == "silent"


def test_what_does_not_end_has_a_deadline(place: Door, dial: SshDial) -> None:
    began = time.monotonic()
    with pytest.raises(DialError) as error:
        dial.run("receive", "wait", place.port, timeout=1)
    assert error.value.kind == "silent"
    assert time.monotonic() - began < 20


# --- cut ----------------------------------------------------------------------------------------


def test_a_cut_breaks_the_connection_at_once(place: Door, dial: SshDial) -> None:
    over = place.directory.parent / "over"
    channel = dial.open("receive", "hang", place.port)
    server = int(channel.line(20))
    channel.send(b"in the middle")
    ours = channel._process.pid  # type: ignore[attr-defined]
    channel.cut()
    assert _gone(ours, 1)
    assert _gone(server)
    assert over.read_text() == "over\n"
    with pytest.raises(DialError) as error:
        channel.finish(5)
    assert error.value.kind == "closed"
    channel.cut()


def test_closing_cuts_what_is_still_open(place: Door) -> None:
    with _dial(place) as dial:
        one = dial.open("receive", "hang", place.port)
        server = int(one.line(20))
        dial.run("login", "true", place.port)
        master = dial._masters[place.port]._spawn.pid
    assert _gone(master, 1)
    assert _gone(server)


# --- refusals, each really provoked -------------------------------------------------------------


def _refusal(place: Door, port: int | None = None) -> DialError:
    with _dial(place) as dial, pytest.raises(DialError) as error:
        dial.run("receive", "echo", port or place.port, timeout=20)
    assert error.value.what.endswith(".")
    assert error.value.now.endswith(".")
    return error.value


def test_nothing_listens(place: Door) -> None:
    error = _refusal(place, port := free_port())
    assert (error.kind, error.code) == ("refused", Exit.UNREACHABLE)
    assert str(port) in error.what


def test_nothing_answers(place: Door) -> None:
    with socket.socket() as mute:
        mute.bind((HOST, 0))
        mute.listen()
        assert _refusal(place, mute.getsockname()[1]).kind == "timeout"


def test_it_is_no_sshd(place: Door) -> None:
    with socket.socket() as rude:
        rude.bind((HOST, 0))
        rude.listen()

        def hang_up() -> None:
            rude.accept()[0].close()

        threading.Thread(target=hang_up, daemon=True).start()
        assert _refusal(place, rude.getsockname()[1]).kind == "closed"


def test_the_connection_drops_in_the_middle(place: Door, dial: SshDial) -> None:
    channel = dial.open("receive", "hang", place.port)
    server = int(channel.line(20))
    session = int(re.search(r"PPid:\t(\d+)", Path(f"/proc/{server}/status").read_text())[1])  # type: ignore[index]
    os.kill(session, 9)
    with pytest.raises(DialError) as error:
        channel.finish(20)
    assert error.value.kind == "closed"


def test_the_name_leads_nowhere(place: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    config = place.keys.path("ssh_config")
    text = config.read_text()
    config.write_text(text.replace(f"HostName {HOST}", "HostName no-such-host.invalid"))
    try:
        error = _refusal(place)
    finally:
        config.write_text(text)
    assert error.kind == "no such host"
    assert "no-such-host.invalid" in error.what


def _by_another_ca(place: Door) -> None:
    if not place.keys.path("ca2").exists():
        keygen("-t", "ed25519", "-N", "", "-f", str(place.keys.path("ca2")))
    place.keys.certify("host", ca="ca2")


HOST_CERTIFICATES: dict[str, tuple[Callable[[Door], object], str, str]] = {
    "expired": (
        lambda p: p.keys.certify("host", valid="20200101:20200102"),
        "expired",
        "date -u",
    ),
    "future": (
        lambda p: p.keys.certify("host", valid="20400101:20410101"),
        "not yet valid",
        "date -u",
    ),
    "other name": (lambda p: p.keys.certify("host", principal="fort"), "host key", "name"),
    "other CA": (_by_another_ca, "host key", "certify"),
}


@pytest.mark.parametrize("case", HOST_CERTIFICATES)
def test_a_host_that_does_not_prove_itself(place: Door, case: str) -> None:
    change, kind, now = HOST_CERTIFICATES[case]
    change(place)
    place.again()
    try:
        error = _refusal(place)
        with _dial(place) as dial, pytest.raises(DialError) as login:
            dial.run("login", "true", place.port)
    finally:
        place.keys.certify("host")
        place.again()
    assert (error.kind, error.code) == (kind, Exit.REFUSED)
    assert login.value.kind == kind
    assert now in error.now


def test_a_host_without_any_certificate(place: Door) -> None:
    place.certified = False
    place.again()
    try:
        error = _refusal(place)
    finally:
        place.certified = True
        place.again()
    assert error.kind == "host key"
    assert "certified" in error.what


USER_CERTIFICATES: dict[str, tuple[Callable[[Door], object], str, str]] = {
    "expired": (
        lambda p: p.keys.certify("receive", valid="20200101:20200102"),
        "expired",
        "until 2020-01-0",
    ),
    "future": (
        lambda p: p.keys.certify("receive", valid="20400101:20410101"),
        "not yet valid",
        "from 2040-01-01",
    ),
    "another account": (
        lambda p: p.keys.certify("receive", principal="toor"),
        "permission denied",
        "the server's clock may be wrong",
    ),
    "none": (
        lambda p: p.keys.path("receive-cert.pub").unlink(),
        "permission denied",
        "no readable certificate",
    ),
}


@pytest.mark.parametrize("case", USER_CERTIFICATES)
def test_a_key_that_is_not_let_in(place: Door, case: str) -> None:
    change, kind, what = USER_CERTIFICATES[case]
    change(place)
    try:
        error = _refusal(place)
    finally:
        place.keys.certify("receive")
    assert (error.kind, error.code) == (kind, Exit.REFUSED)
    assert what in error.what


def test_a_revoked_certificate(place: Door) -> None:
    serial = place.keys.certify("receive")
    place.keys.revoke(serial)
    revoked = place.directory / "revoked"
    revoked.write_bytes(place.keys.path("receive.pub").read_bytes())
    try:
        error = _refusal(place)
    finally:
        revoked.write_bytes(b"")
        place.keys.certify("receive")
    assert error.kind == "revoked"
    assert f"serial {serial}," in error.what


def test_a_private_key_that_others_can_read(place: Door) -> None:
    key = place.keys.path("receive")
    key.chmod(0o644)
    try:
        error = _refusal(place)
    finally:
        key.chmod(0o600)
    assert error.kind == "bad key"
    assert "600" in error.now


SAID = {
    "ssh: connect to host 192.0.2.1 port 22: No route to host": "unreachable",
    "ssh: connect to host 192.0.2.1 port 22: Operation timed out": "timeout",
    "ssh: Could not resolve hostname x: Name does not resolve": "no such host",
    "@ WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED! @\nHost key verification": "host key",
    "@       WARNING: REVOKED HOST KEY DETECTED!               @": "revoked",
    "Timeout, server 192.0.2.1 not responding.": "silent",
    "client_loop: send disconnect: Broken pipe": "closed",
    "Not allowed at this time": "closed",
    "/k/ssh_config: line 3: Bad configuration option: hostkeyalias": "other",
    "something new": "other",
    "": "other",
}


@pytest.mark.parametrize("said", SAID)
def test_the_words_of_ssh(said: str) -> None:
    error = explain(said, "login", 22, certificate=None, revoked=False, now=0)
    assert error.kind == SAID[said]
    assert error.what.endswith(".")
    assert error.now.endswith(".")


def test_a_certificate_for_ever_has_no_date() -> None:
    assert refusals._utc((1 << 64) - 1) == "for ever"


# --- a thief ------------------------------------------------------------------------------------


@pytest.mark.parametrize("who", ["deliver", "receive"])
def test_a_stolen_key_can_do_one_thing(place: Door, dial: SshDial, who: str) -> None:
    assert dial.tries(who, place.port) == ()  # type: ignore[arg-type]


def test_what_a_careless_server_allows_is_found(place: Door) -> None:
    commands = dict(place.keys.commands)
    place.keys.commands["receive"] = CARELESS
    place.keys.certify("receive", clear=False)
    place.again(OPEN)
    try:
        with _dial(place) as dial:
            found = dial.tries("receive", place.port)
    finally:
        place.keys.commands.update(commands)
        place.keys.certify("receive")
        place.again(LOCKED)
    words = " ".join(found)
    for loot in ("'id'", "'inventory; id'", "shell", "scp", "pty", "X11", "agent", "reached"):
        assert loot in words, loot
    assert re.search(r"bind ports of the server: 127\.0\.0\.1:\d+", words)


def test_a_careless_server_that_gives_files_only(place: Door) -> None:
    commands = dict(place.keys.commands)
    place.keys.commands["receive"] = (
        'case $SSH_ORIGINAL_COMMAND in *sftp*) exec "$(command -v sftp-server || '
        'echo /usr/lib/openssh/sftp-server)" ;; hold) cat ;; *) exit 77 ;; esac'
    )
    place.keys.certify("receive")
    try:
        with _dial(place) as dial:
            found = dial.tries("receive", place.port)
    finally:
        place.keys.commands.update(commands)
        place.keys.certify("receive")
    assert len(found) == 1
    assert "sftp" in found[0]


def test_a_thief_who_is_not_let_in_proves_nothing(place: Door) -> None:
    place.keys.certify("receive", valid="20200101:20200102")
    try:
        with _dial(place) as dial, pytest.raises(DialError) as error:
            dial.tries("receive", place.port)
    finally:
        place.keys.certify("receive")
    assert error.value.kind == "expired"


def test_the_config_of_the_keyring_is_what_is_used(place: Door) -> None:
    assert sshconfig.write(place.keys.keyring) == ()
