"""From every state that the rehearsal can show to a root shell; and the ways in which it fails."""

from __future__ import annotations

import contextlib
import socket
import threading
from dataclasses import replace

import pytest

from zrwizard.console.errors import LoginRefused, Taken, Unidentified, Unreachable
from zrwizard.line import open as opening
from zrwizard.line.telnet import QEMU_GREETING
from zrwizard.rehearsal import Rehearsal
from zrwizard.rehearsal.scenario import SCENARIOS, Start
from zrwizard.secrets import Secret, Secrets
from zrwizard.shell import looking
from zrwizard.shell.connect import Watch, open_shell
from zrwizard.shell.session import ShellSession


def machine(start: Start, noise: float = 0.0, **switches: object) -> Rehearsal:
    scenario = replace(SCENARIOS["restore"], start=start, **switches)  # type: ignore[arg-type]
    return Rehearsal(noise=noise, scenario=scenario)


def shell_on(made: Rehearsal, password: str | None = "rehearse", **more: object) -> ShellSession:
    secrets = Secrets()
    if password is not None:
        secrets.add(Secret("console", password))
    return open_shell(
        made.url,
        token="abcd12",
        secrets=secrets,
        cancel=threading.Event(),
        **more,  # type: ignore[arg-type]
    )


@pytest.mark.parametrize("start", list(Start))
def test_every_start_leads_to_a_root_shell_and_starts_nothing(start):
    with machine(start) as made:
        shell = shell_on(made)
        assert shell.run("echo $((40 + 2)); exit 7").text == "42\n"
        assert shell.run("exit 7").status == 7
        shell.close()
        assert made.accidents == []


@pytest.mark.parametrize("start", [Start.QUESTION, Start.LIVE_LOGIN, Start.CSH])
def test_a_console_that_is_already_up_and_silent_is_found_out(start):
    """Attached late: whatever the console had shown is lost, as on a QEMU console."""
    with machine(start) as made:
        first = shell_on(made)
        first.close()
        second = shell_on(made)
        assert second.run("echo on").text == "on\n"
        second.close()
        assert made.accidents == []


def test_a_wrong_password_is_tried_three_times_then_refused(tmp_path):
    with machine(Start.PASSWORD_LOGIN) as made:
        with pytest.raises(LoginRefused, match="three") as caught:
            shell_on(made, "not-the-word", log=tmp_path / "log")
        assert "console=" in caught.value.now
    assert "not-the-word" not in (tmp_path / "log").read_text()
    assert "<secret:console>" in (tmp_path / "log").read_text()


def test_a_password_prompt_without_a_password_says_which_secret():
    with machine(Start.PASSWORD_LOGIN) as made, pytest.raises(LoginRefused, match="none was given"):
        shell_on(made, None)


def test_kernel_messages_between_the_lines_change_no_answer():
    with machine(Start.PLAIN, noise=0.15) as made:
        shell = shell_on(made)
        for number in range(15):
            result = shell.run(f"echo {number}; echo e >&2; exit {number}")
            assert (result.status, result.text) == (number, f"{number}\n")
        assert shell.run("seq 1 800 2>/dev/null || jot 800").text.split()[-1] == "800"
        shell.close()


def test_the_states_are_told_as_they_are_passed():
    seen: list[str] = []
    with machine(Start.QUESTION) as made:
        shell_on(made, watch=Watch(on_state=seen.append)).close()
    wanted = ["terminal type question", "installer dialog", "root shell", "shell ready"]
    assert [state for state in wanted if state in seen] == wanted


def test_a_second_client_is_told_that_the_console_is_taken(monkeypatch):
    monkeypatch.setattr(opening, "GREETING_SECONDS", 0.5)
    with machine(Start.PLAIN) as made:
        first = shell_on(made)
        with pytest.raises(Taken, match="somebody else"):
            shell_on(made)
        assert first.run("echo on").text == "on\n"
        first.close()


def test_nobody_at_the_port():
    with pytest.raises(Unreachable, match="refused"):
        open_shell(
            "telnet://127.0.0.1:1", token="abcd12", secrets=Secrets(), cancel=threading.Event()
        )


@pytest.mark.parametrize("shown", [b"OK ", b"mountroot> ", b"db> ", b"-- INSERT --"])
def test_nothing_is_typed_to_a_state_that_no_key_is_safe_in(shown, monkeypatch):
    """A peer that shows it and notes every byte that it is sent."""
    monkeypatch.setattr(looking, "PACE", looking.Pace(still=1.0))
    typed = bytearray()

    def serve(peer: socket.socket) -> None:
        peer.sendall(QEMU_GREETING + b"\x1b[H\x1b[J" + shown)
        peer.settimeout(60)
        with contextlib.suppress(OSError):
            while data := peer.recv(100):
                typed.extend(data)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=lambda: serve(listener.accept()[0]), daemon=True).start()
        port = listener.getsockname()[1]
        with pytest.raises(Unidentified) as caught:
            open_shell(
                f"telnet://127.0.0.1:{port}",
                token="abcd12",
                secrets=Secrets(),
                cancel=threading.Event(),
            )
    assert shown.decode().strip() in caught.value.screen
    assert typed == b""
