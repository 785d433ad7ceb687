"""What FreeBSD 14.0-CURRENT really printed on its serial console, recognised state by state."""

from __future__ import annotations

from pathlib import Path

import pytest

from zrwizard.console.screen import Screen
from zrwizard.console.states import State

RECORDED = Path(__file__).parent / "recorded"


def shown(data: bytes) -> State:
    screen = Screen()
    screen.feed(data)
    return screen.state(heard=bool(data))


@pytest.mark.parametrize(
    ("file", "upto", "state"),
    [
        ("live-iso-power-on-to-shell.bin", b"Console type [vt100]: ", State.TERMINAL),
        ("live-iso-power-on-to-shell.bin", b"\x1b[m\x1b[12;24H\x1b(0\x1b(B\x1b[m", State.DIALOG),
        ("live-iso-power-on-to-shell.bin", b"return to the installer.\r\n# ", State.ROOT_SHELL),
        ("live-iso-power-on-to-shell.bin", b"Starting local daemons:\r\n", State.UNKNOWN),
        ("server-power-on-to-login-and-shell.bin", b"\r\nlogin: ", State.LOGIN),
        ("server-power-on-to-login-and-shell.bin", b"\r\nPassword:", State.PASSWORD),
        ("server-power-on-to-login-and-shell.bin", b"root@hostB:~ # ", State.ROOT_SHELL),
        ("reboot-live-login.bin", b"\r\nlogin: ", State.LOGIN),
        ("reboot-live-login.bin", b"root@:~ # ", State.ROOT_SHELL),
        ("reboot-live-login.bin", b"Rebooting...\r\n", State.UNKNOWN),
    ],
)
def test_recorded_states(file, upto, state):
    data = (RECORDED / file).read_bytes()
    at = data.index(upto) + len(upto)
    assert shown(data[:at]) is state


@pytest.mark.parametrize(
    ("text", "state"),
    [
        ("", State.SILENT),
        ("Enter full pathname of shell or RETURN for /bin/sh: ", State.SINGLE_USER),
        ("root@:/ # ", State.ROOT_SHELL),
        ("[root@host ~]# ", State.ROOT_SHELL),
        ("$ ", State.USER_SHELL),
        ("jo@host:~ $ ", State.USER_SHELL),
        ("db> ", State.KERNEL_PROMPT),
        ("mountroot> ", State.KERNEL_PROMPT),
        ("OK ", State.LOADER),
        ("Console type [xterm]: ", State.TERMINAL),
        ("root@10.0.2.2's password: ", State.PASSWORD),
        ("(root@10.0.2.2) Password for root@hostA:", State.PASSWORD),
        ("continue connecting (yes/no/[fingerprint])? ", State.HOST_KEY),
        ("> ", State.CONTINUATION),
        ("50 # of things", State.UNKNOWN),
        ("em0: link state changed to UP\r\n", State.UNKNOWN),
    ],
)
def test_single_lines(text, state):
    assert shown(text.encode()) is state


def test_no_prefix_of_a_power_on_is_taken_for_a_prompt_that_is_not_there():
    """Whatever instant the line goes quiet at, only states that stand there are recognised."""
    data = (RECORDED / "live-iso-power-on-to-shell.bin").read_bytes()
    terminal = data.index(b"Console type [vt100]: ")
    screen = Screen()
    fed = 0
    for at in range(0, terminal, 61):
        screen.feed(data[fed:at])
        fed = at
        state = screen.state(heard=True)
        assert state in {State.UNKNOWN, State.LOADER, State.SILENT}, (at, screen.text())


def test_a_sequence_that_pyte_cannot_parse_does_not_stop_the_screen():
    screen = Screen()
    screen.feed(b"\x1b[?1;2r\x1b[?5mlogin: ")
    assert "login: " in screen.last_line()
