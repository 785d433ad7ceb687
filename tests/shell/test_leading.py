"""From every state of FreeBSD 12 to 15 to a real sh, over a console that follows the facts."""

from __future__ import annotations

import os
import threading
from itertools import product
from pathlib import Path

import pytest
from streams import DUAL, DUAL_VIDEO, SERIAL, VIDEO, Machine, Shown
from together import at_once

from zrwizard.console.errors import Cancelled, LoginRefused, Unidentified
from zrwizard.secrets import Secret, Secrets
from zrwizard.shell import looking
from zrwizard.shell.connect import open_shell

QUICK = looking.Pace(quiet=0.12, first=0.25, still=0.6, probe=0.25, gone=3.0, line=1.0)
RELEASES = (13, 14, 15)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(looking, "PACE", QUICK)


def lead(url: str, password: str | None = None, log: Path | None = None) -> None:
    """Open a shell, run one command in it, close it."""
    secrets = Secrets()
    if password is not None:
        secrets.add(Secret("console", password))
    token = f"{os.getpid():x}{threading.get_ident():x}"
    shell = open_shell(url, token=token, secrets=secrets, cancel=threading.Event(), log=log)
    try:
        assert shell.run("echo $((40 + 2)); exit 7").status == 7
        shell.run(f"rm -rf {shell.home}")
    finally:
        shell.close()


def test_the_menu_while_it_counts_down():
    def check(release: int, cons: str) -> None:
        with Machine(release, cons=cons) as made:
            lead(made.url)
            assert made.accidents == []
            assert made.typed_in("menu") == (b"5\r" if cons in {VIDEO, DUAL_VIDEO} else b"\r")
            assert made.typed_in("terminal") == b"\x15vt100\r"
            assert made.typed_in("dialog") == (b"l" if release == 15 else b"s")

    at_once(check, product(RELEASES, (VIDEO, DUAL, DUAL_VIDEO, SERIAL)))


def test_the_menu_that_was_stopped():
    """12 has no `Cons`, and 5 is its kernel: nothing but Enter is for us there."""

    def check(release: int, cons: str) -> None:
        with Machine(release, start="stopped", cons=cons, media=False) as made:
            lead(made.url)
            assert made.accidents == []
            assert made.typed_in("menu") == (b"5\r" if cons == VIDEO else b"\r")

    at_once(check, [(12, DUAL), *product(RELEASES, (VIDEO, DUAL))])


def test_a_menu_that_loses_a_key_is_asked_again_only_after_it_was_seen():
    with Machine(14, start="stopped", cons=VIDEO, loses=1) as made:
        lead(made.url)
        assert made.accidents == []
        assert made.typed_in("menu") == b"55\r"


def test_what_stands_before_the_menu_or_beside_it():
    def check(release: int, start: str) -> None:
        with Machine(release, start=start, cons=VIDEO, countdown=3) as made:
            lead(made.url)
            assert made.accidents == []

    at_once(check, product(RELEASES, ("ok", "no menu", "boot blocks", "options")))


def test_where_several_installers_run_a_login_is_preferred_to_a_shell():
    def check(release: int) -> None:
        with Machine(release, several=True, countdown=2) as made:
            lead(made.url)
            assert made.accidents == []
            assert made.typed_in("dialog") == b"l"
            assert made.typed_in("login") == b"\x15root\r"

    at_once(check, [(14,), (15,)])


def test_the_states_after_the_kernel():
    def check(release: int, start: str) -> None:
        with Machine(release, start=start, media=start == "dialog") as made:
            lead(made.url)
            assert made.accidents == []

    at_once(check, product(RELEASES, ("dialog", "login", "single user")))


def test_a_password_goes_to_its_prompt_only(tmp_path):
    def check(release: int, start: str) -> None:
        log = tmp_path / f"{release}-{start}"
        with Machine(release, start=start, media=False, password="kept to itself") as made:
            lead(made.url, "kept to itself", log)
            assert made.accidents == []
            assert made.typed_in("password") == b"kept to itself\r"
        assert "kept to itself" not in log.read_text()

    at_once(check, product(RELEASES, ("login", "insecure")))


def test_a_wrong_password_is_refused_after_three_tries():
    with (
        Machine(14, start="login", media=False, password="kept") as made,
        pytest.raises(LoginRefused, match="three"),
    ):
        lead(made.url, "wrong")
    assert made.typed_in("password") == b"wrong\r" * 3


def test_a_slow_console_is_answered_once():
    """Its menu, its echo and its login take longer than any quiet that we wait for."""
    with Machine(14, cons=VIDEO, media=False, password="kept", countdown=3, lag=0.7) as made:
        lead(made.url, "kept")
        assert made.accidents == []
        assert made.typed_in("menu") == b"5\r"
        assert made.typed_in("login") == b"\x15root\r"
        assert made.typed_in("password") == b"kept\r"


def test_a_login_that_timed_out_is_begun_anew():
    with Machine(13, start="login", media=False, password="kept", timed_out=True) as made:
        lead(made.url, "kept")
        assert made.accidents == []
        assert made.typed_in("login").count(b"root\r") == 2


def test_an_installed_system_from_power_on_with_an_editing_shell():
    shell = ("/bin/bash", "--norc", "--noprofile")
    with Machine(15, media=False, password="kept", countdown=1, shell=shell) as made:
        lead(made.url, "kept")
        assert made.accidents == []


def test_a_kernel_message_behind_the_prompt_takes_nothing_away():
    """One that is scribbled over the menu or the dialog leaves a screen that is shown."""

    def check(start: str) -> None:
        message = b"em0: link state changed to UP\r\n"
        with Machine(14, start=start, cons=DUAL, kernel_says=message) as made:
            if start in {"stopped", "dialog"}:
                with pytest.raises(Unidentified) as caught:
                    lead(made.url)
                assert "em0: link" in caught.value.screen
                assert made.typed_in("dialog").strip(b"\x11\x0c\x15\x14") == b""
            else:
                lead(made.url)
            assert made.accidents == []

    at_once(check, [("stopped",), ("ok",), ("login",), ("dialog",)])


@pytest.mark.parametrize("start", ["mountroot", "debugger"])
def test_a_kernel_prompt_is_shown_with_what_can_be_done_and_gets_no_key(start):
    with Machine(14, start=start) as made:
        with pytest.raises(Unidentified) as caught:
            lead(made.url)
        assert made.typed == []
    assert {"mountroot": "lists the disks", "debugger": "bt"}[start] in caught.value.now
    assert {"mountroot": "mountroot>", "debugger": "db>"}[start] in caught.value.screen


BY_HAND = [
    b"OK ",
    b"boot: ",
    b"Password:",
    b"root@:~ # su - jo\r\nPassword:",
    b"root@10.0.2.2's password: ",
    b"Enter passphrase for ada0p3: ",
    b"root@:~ # ssh a\r\ncontinue connecting (yes/no/[fingerprint])? ",
    b"text\r\n~\r\n~\r\n~\r\n~\r\n\x1b[24;1H-- INSERT --\x1b[1;1H",
    b"text\r\n" * 3 + b"\x1b[24;1H/etc/rc.conf: unmodified: line 1\x1b[1;1H",
    b"\x1b[H\x1b[J FreeBSD Installer\r\n\r\n\x1b[8;20H Keymap Selection\x1b[12;30H",
    b"\x1b[H\x1b[J FreeBSD Installer\r\n\r\n\x1b[8;20H ZFS Configuration\x1b[12;30H",
    b"The operating system has halted.\r\nPlease press any key to reboot.\r\n\r\n",
    b"Are you sure that you want to destroy ada0? [y/N] ",
    b">>> ",
    b"sqlite> ",
]


def test_nothing_is_typed_where_no_key_is_known_to_be_safe():
    def check(screen: bytes) -> None:
        with Shown(screen) as peer:
            with pytest.raises(Unidentified) as caught:
                lead(peer.url, "the secret")
            assert peer.typed == b""
        assert caught.value.screen.strip() != ""
        assert caught.value.now

    at_once(check, [(screen,) for screen in BY_HAND])


def test_somebody_elses_login_is_answered_with_nothing_and_then_is_ours():
    with Shown(b"\r\nlogin: jo\r\nPassword:", b"\r\nLogin incorrect\r\nlogin: ") as peer:
        with pytest.raises(LoginRefused):
            lead(peer.url, "the secret")
        assert peer.typed.startswith(b"\r\x15root\r")
        assert b"the secret" not in peer.typed


def test_a_panic_is_waited_for_and_no_key_stops_the_restart():
    said = (
        b"panic: page fault\r\ncpuid = 0\r\nUptime: 1m48s\r\n"
        b"Automatic reboot in 15 seconds - press a key on the console to abort\r\n"
    )
    with Shown(said) as peer:
        cancel = threading.Event()
        threading.Timer(3.0, cancel.set).start()
        with pytest.raises(Cancelled):
            open_shell(peer.url, token="ab", secrets=Secrets(), cancel=cancel)
        assert peer.typed == b""
