"""What FreeBSD really printed on its serial console, and what facts say it prints, recognised."""

from __future__ import annotations

from pathlib import Path

import pytest

from zrwizard.console.screen import Screen
from zrwizard.console.states import State

RECORDED = Path(__file__).parent / "recorded"
ON_THE_WAY = {State.UNKNOWN, State.SILENT, State.MESSAGES, State.STARTING, State.GOING_DOWN}


def shown(data: bytes) -> State:
    screen = Screen()
    screen.feed(data)
    return screen.state(heard=bool(data))


@pytest.mark.parametrize(
    ("file", "upto", "state"),
    [
        ("live-iso-power-on-to-shell.bin", b"Boot \x1b[1mO\x1b[22mptions\x1b[2", State.UNKNOWN),
        ("live-iso-power-on-to-shell.bin", b"in 2 seconds. [Space] to pause ", State.LOADER_MENU),
        ("live-iso-power-on-to-shell.bin", b"pause \r\n\x1b[25;0H", State.LOADER_MENU),
        ("live-iso-power-on-to-shell.bin", b"Loading kernel...\r\n", State.STARTING),
        ("live-iso-power-on-to-shell.bin", b"Console type [vt100]: ", State.TERMINAL),
        ("live-iso-power-on-to-shell.bin", b"\x1b[m\x1b[12;24H\x1b(0\x1b(B\x1b[m", State.DIALOG),
        ("live-iso-power-on-to-shell.bin", b"return to the installer.\r\n# ", State.ROOT_SHELL),
        ("live-iso-power-on-to-shell.bin", b"Starting local daemons:\r\n", State.STARTING),
        ("server-power-on-to-login-and-shell.bin", b"\r\nlogin: ", State.LOGIN),
        ("server-power-on-to-login-and-shell.bin", b"\r\nPassword:", State.PASSWORD),
        ("server-power-on-to-login-and-shell.bin", b"root@hostB:~ # ", State.ROOT_SHELL),
        ("reboot-live-login.bin", b"\r\nlogin: ", State.LOGIN),
        ("reboot-live-login.bin", b"login: nobody\r\nPassword:", State.PASSWORD),
        ("reboot-live-login.bin", b"Login incorrect\r\nlogin: ", State.LOGIN),
        ("reboot-live-login.bin", b"root@:~ # ", State.ROOT_SHELL),
        ("reboot-live-login.bin", b"Rebooting...\r\n", State.GOING_DOWN),
        ("server-poweroff.bin", b"Powering system off\r\n", State.GOING_DOWN),
        ("panic-mid-command-and-reboot.bin", b"panic: page fault\r\n", State.PANIC),
        ("panic-mid-command-and-reboot.bin", b"Uptime: 1m48s\r\n", State.GOING_DOWN),
        ("panic-mid-command-and-reboot.bin", b"console to abort\r\n", State.PANIC),
        ("panic-mid-command-and-reboot.bin", b"Rebooting...\r\n", State.GOING_DOWN),
        ("panic-mid-command-and-reboot.bin", b"\r\nlogin: ", State.LOGIN),
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
        ("\r\n\r\n", State.SILENT),
        ("Enter full pathname of shell or RETURN for /bin/sh: ", State.SINGLE_USER),
        ("root@:/ # ", State.ROOT_SHELL),
        ("root@host:/tmp/x y # ", State.ROOT_SHELL),
        ("[root@host ~]# ", State.ROOT_SHELL),
        ("root@debian:~# ", State.ROOT_SHELL),
        ("root@host /tmp# ", State.ROOT_SHELL),
        ("hostA# ", State.ROOT_SHELL),
        ("$ ", State.USER_SHELL),
        ("jo@host:~ $ ", State.USER_SHELL),
        ("host% ", State.USER_SHELL),
        ("jo@host ~> ", State.USER_SHELL),
        ("db> ", State.DEBUGGER),
        ("db{1}> bt", State.DEBUGGER),
        ("db> bt\r\nkdb_enter() at 0x1\r\n--More--\r", State.DEBUGGER),
        ("mountroot> ", State.MOUNTROOT),
        ("mountroot> zfs:zro", State.MOUNTROOT),
        ("OK ", State.UNKNOWN),
        ("root@:~ # echo OK\r\nOK ", State.UNKNOWN),
        ("Type '?' for a list of commands, 'help' for more detailed help.\r\nOK ", "prompt"),
        ("FreeBSD/amd64 EFI loader, Revision 3.0\r\n\r\nOK ", "prompt"),
        ("OK set boot_serial=YES\r\nOK ", "prompt"),
        ("boot: ", State.UNKNOWN),
        ("\r\nFreeBSD/x86 boot\r\nDefault: zroot:/boot/loader\r\nboot: ", State.BOOT_PROMPT),
        (
            "Hit [Enter] to boot immediately, or any other key for command prompt.\r\n",
            State.LOADER_COUNTDOWN,
        ),
        ("Booting [/boot/kernel/kernel] in 9 seconds... ", State.LOADER_COUNTDOWN),
        ("Console type [xterm]: ", State.TERMINAL),
        ("Console type [vt100]: xte", State.TERMINAL),
        ("login: roo", State.LOGIN),
        ("Login timed out after 300 seconds\r\n\r\nlogin: ", State.LOGIN),
        ("Last login: ", State.UNKNOWN),
        ("Last login: Sat Nov 21 21:12:20 on ttyu0", State.UNKNOWN),
        ("root@10.0.2.2's password: ", State.PASSWORD),
        ("(root@10.0.2.2) Password for root@hostA:", State.PASSWORD),
        ("Enter passphrase for ada0p3: ", State.PASSPHRASE),
        ("GELI Passphrase for disk0p4: ", State.PASSPHRASE),
        ("continue connecting (yes/no/[fingerprint])? ", State.HOST_KEY),
        ("> ", State.CONTINUATION),
        ("? ", State.CONTINUATION),
        ("quote> ", State.CONTINUATION),
        ("root@host:~ # rm -rf /x", State.HALF_TYPED),
        ("# rm -rf /x\x1b[9D", State.HALF_TYPED),
        ("# echo " + "/x" * 60, State.HALF_TYPED),
        ("(reverse-i-search)`ech': echo 1", State.SEARCH),
        ("(failed reverse-i-search)`q': ", State.SEARCH),
        ("bck:rm", State.SEARCH),
        ("one\r\n--More--(35%)", State.PAGER),
        ("one\r\n\x1b[7mshort.txt (END)\x1b[m", State.PAGER),
        ("one\r\n\x1b[7mmessages\x1b[m", State.PAGER),
        ("one\r\nlines 1-23/100 23%", State.PAGER),
        ("x\r\n" * 23 + ":", State.PAGER),
        (":", State.UNKNOWN),
        ("~\r\n" * 20, State.EDITOR),
        ("\x1b[24;1H-- INSERT --\x1b[H", State.EDITOR),
        ("\x1b[24;1H/etc/rc.conf: unmodified: line 1\x1b[H", State.EDITOR),
        ("^[ (escape) menu ^y search prompt ^k delete line\r\ntext\x1b[H\x1b[9B", State.EDITOR),
        ("last pid:   812;  load averages:  0.10,  0.05,  0.01\r\n18 processes:\r\n", "top"),
        ("dT: 1.001s  w: 1.000s\r\n L(q)  ops/s    r/s\r\n", "top"),
        ("last pid: 8;  load averages: 0.1\r\n# sleep 9\r\n", State.UNKNOWN),
        ("Please press any key to reboot.\r\n\r\n", State.HALTED),
        ("50 # of things", State.UNKNOWN),
        ("em0: link state changed to UP\r\n", State.MESSAGES),
        ("# em0: link state changed to UP\r\n", State.BURIED),
        ("root@:~ # GEOM_ELI: Device da0.eli created.\r\nda0: removed\r\n", State.BURIED),
        ("# rmem0: link state changed to UP\r\n", State.BURIED),
        ("login: em0: link state changed to UP\r\n", State.LOGIN),
        ("Console tyem0: link state changed to UP\r\npe [vt100]: ", State.TERMINAL),
        ("db> ugen0.2: <Kingston DataTraveler> at usbus0\r\n", State.DEBUGGER),
        ("some text em0: link state changed to UP\r\n", State.MESSAGES),
        ("Would you like to continue? [y/N] ", State.UNKNOWN),
        (">>> ", State.UNKNOWN),
    ],
)
def test_what_stands_at_the_cursor(text, state):
    short = {"prompt": State.LOADER_PROMPT, "top": State.MONITOR}
    assert shown(text.encode()) is short.get(state, state)


@pytest.mark.parametrize(
    ("file", "upto"),
    [
        ("live-iso-power-on-to-shell.bin", b"Console type [vt100]: "),
        ("server-power-on-to-login-and-shell.bin", b"\r\nlogin: "),
        ("reboot-live-login.bin", b"Console type [vt100]: "),
        ("panic-mid-command-and-reboot.bin", b"Console type [vt100]: "),
        ("server-poweroff.bin", b"Connection closed"),
    ],
)
def test_wherever_the_line_goes_quiet_only_what_stands_there_is_recognised(file, upto):
    """Every 9th byte, the menu while it is drawn and the one that lingers included."""
    data = (RECORDED / file).read_bytes()
    drawn = data.find(b"[Space] to pause")
    kernel = data.find(b"Loading kernel")
    screen, fed = Screen(), 0
    for at in range(0, data.index(upto), 9):
        screen.feed(data[fed:at])
        fed = at
        state = screen.state(heard=at > 0)
        allowed = set(ON_THE_WAY)
        if b"Fatal trap" in data[:at]:
            allowed.add(State.PANIC)
        if drawn > 0 and drawn - 200 < at <= kernel + 10:
            allowed.add(State.LOADER_MENU)
        assert state in allowed, (at, state, screen.text())


def test_a_dialog_while_it_is_drawn_is_no_dialog_that_takes_a_key():
    data = (RECORDED / "live-iso-power-on-to-shell.bin").read_bytes()
    start = data.index(b" FreeBSD Installer")
    words = data.index(b"begin an installation")
    screen = Screen()
    screen.feed(data[:start])
    for at in range(start, words):
        screen.feed(data[at : at + 1])
        assert screen.state() in {State.UNKNOWN, State.SILENT, State.INSTALLER}


def test_a_dialog_that_lingers_above_other_text_is_over():
    data = (RECORDED / "reboot-live-login.bin").read_bytes()
    start = data.index(b"\x1b[24;1H\r\x1b[?1l")
    end = data.index(b"login: ", start)
    screen = Screen()
    screen.feed(data[:start])
    for at in range(start, end):
        screen.feed(data[at : at + 1])
        if at > start + 10:
            assert screen.state() not in {State.DIALOG, State.INSTALLER}, screen.text()


def test_every_state_is_words_for_people():
    for state in State:
        assert str(state) == str(state).lower()
        assert len(state) < 40
