"""The target's screens: question, dialog, login, shells, keys."""

from __future__ import annotations

from typing import Any

import pyte
import pytest

from zrwizard.rehearsal import Start, variant

QUESTION = b"Console type [vt100]: "
QUERY = b"\x1b7\x1b[r\x1b[999;999H\x1b[6n\x1b8\x00"


def to_dialog(console: Any) -> Any:
    console.until(QUESTION)
    console.send("\r")
    console.until(QUERY)
    console.send("\x1b[24;80R")
    return console.until(b"\x1b[12;24H\x1b(0\x1b(B\x1b[m")


def test_from_power_on_to_the_shell(begin: Any, wire: Any) -> None:
    made = begin()
    console = wire(made)
    boot = console.until(QUESTION)
    for line in (
        b"---<<BOOT>>---",
        b"vtblk0: 8192MB (16777216 512 byte sectors)",
        b"da0: Serial Number SCSI0001",
        b"Welcome to FreeBSD!",
    ):
        assert line in boot
    assert b"ada0" not in boot.partition(b"Trying to mount")[2]
    console.send("\r")
    console.until(QUERY)
    console.send("\x1b[24;80R")
    screen = pyte.Screen(80, 24)
    pyte.ByteStream(screen).feed(console.until(b"\x1b[12;24H\x1b(0\x1b(B\x1b[m"))
    assert any("begin an installation" in line for line in screen.display)
    console.send("s")
    shown = console.until(b"# ")
    assert b"When finished, type 'exit' to return to the installer.\r\n# " in shown
    console.send("exit\r")
    console.until(QUESTION)
    assert made.accidents == []


def test_without_an_answer_resizewin_gives_up(begin: Any, wire: Any) -> None:
    console = wire(begin())
    console.until(QUESTION)
    console.send("\r")
    console.until(b"resizewin: timeout reading from terminal\r\n")


@pytest.mark.parametrize("keys", ["i", "I", "\r", "\t\t\t\r"])
def test_starting_the_installation_is_an_accident(begin: Any, wire: Any, keys: str) -> None:
    made = begin(variant("restore", start=Start.DIALOG))
    console = wire(made)
    console.until(b"\x1b[12;24H\x1b(0\x1b(B\x1b[m")
    console.send(keys)
    console.until(b"the installation has begun")
    assert made.accidents == ["an installation was started from the installer's dialog"]


@pytest.mark.parametrize(
    ("keys", "mark"), [("l", b"login: "), ("\t\t\r", b"login: "), ("\x1b[C\r", b"# "), ("S", b"# ")]
)
def test_the_other_buttons(begin: Any, wire: Any, keys: str, mark: bytes) -> None:
    made = begin(variant("restore", start=Start.DIALOG))
    console = wire(made)
    console.until(b"\x1b[12;24H\x1b(0\x1b(B\x1b[m")
    console.send(keys)
    console.until(mark)
    assert made.accidents == []


def test_a_late_size_report_does_nothing_in_the_dialog(begin: Any, wire: Any) -> None:
    made = begin(variant("restore", start=Start.DIALOG))
    console = wire(made)
    console.until(b"\x1b[12;24H\x1b(0\x1b(B\x1b[m")
    console.send("\x1b[24;80R")
    console.quiet(0.3)
    assert made.state == "dialog"


def test_live_login_wants_no_password(begin: Any, wire: Any) -> None:
    console = wire(begin(variant("restore", start=Start.LIVE_LOGIN)))
    console.until(b"FreeBSD/amd64 (Amnesiac) (ttyu0)\r\r\n\r\r\nlogin: ")
    console.send("nobody\r")
    console.until(b"Password:")
    console.send("x\r")
    console.until(b"Login incorrect\r\nlogin: ")
    console.send("root\r")
    console.until(QUERY)
    console.send("\x1b[50;200R")
    console.until(b"root@:~ # ")
    console.send("stty size\r")
    console.until(b"50 200\r\n")
    console.send("exit\r")
    console.until(b"login: ")


def test_an_installed_system_wants_its_password(begin: Any, wire: Any) -> None:
    console = wire(begin(variant("restore", start=Start.PASSWORD_LOGIN)))
    console.until(b"(hostA) (ttyu0)")
    console.until(b"login: ")
    console.send("root\r")
    console.until(b"Password:")
    console.send("wrong\r")
    assert b"wrong" not in console.until(b"login: ")
    console.send("root\r")
    console.until(b"Password:")
    console.send("rehearse\r")
    console.until(b"root@hostA:~ # ")


def test_single_user_and_csh(begin: Any, wire: Any) -> None:
    console = wire(begin(variant("restore", start=Start.SINGLE_USER)))
    console.until(b"Enter full pathname of shell or RETURN for /bin/sh: ")
    console.send("\r")
    console.until(b"# ")
    console = wire(begin(variant("restore", start=Start.CSH)))
    console.until(b"root@:~ # ")
    console.send("ls 2>&1\r")
    console.until(b"Ambiguous output redirect.\r\n")
    console.plain()
    assert console.run("echo ok 2>&1") == (0, "ok\n")


def test_a_person_finds_a_shell_that_behaves(begin: Any, wire: Any) -> None:
    console = wire(begin(variant("restore", start=Start.PLAIN)))
    console.until(b"# ")
    console.send("if true\r")
    console.until(b"\r\n> ")
    console.send("then echo yes; fi\r")
    console.until(b"\r\nyes\r\n# ")
    console.send("echo 'a\rb'\r")
    console.until(b"> a\r\nb\r\n# ")
    console.send("cat <<X\rone\rX\r")
    console.until(b"> one\r\n# ")
    console.send("echo wrnog\x7f\x7f\x7fong\r")
    console.until(b"\r\nwrong\r\n# ")
    console.send("rm -rf /\x15echo safe\r")
    console.until(b"\r\nsafe\r\n# ")
    console.send("nosuch\r")
    console.until(b"nosuch: not found\r\n# ")
    console.send("false; echo $?\r")
    console.until(b"\r\n1\r\n# ")
    console.send("half a line\x03")
    console.until(b"^C\r\n# ")
    console.send("sleep 100000\r")
    console.until(b"100000\r\n")
    console.quiet(0.1)
    console.send("\x03")
    console.until(b"^C\r\n# ")
    console.send("echo $?\r")
    console.until(b"\r\n130\r\n# ")
    console.send("echo )\r")
    console.until(b"Syntax error")
    console.send("read a b; echo $b.$a\rone two\r")
    console.until(b"two.one\r\n# ")
    console.send("sh\recho $((6*7))\rexit 3\recho $?\r")
    console.until(b"42\r\n# ")
    console.until(b"3\r\n# ")


def test_flow_control_and_status(begin: Any, wire: Any) -> None:
    console = wire(begin(variant("restore", start=Start.PLAIN)))
    console.plain()
    console.send("\x13")
    console.send("echo held\r")
    console.until(b"held")  # any key lets the output go on
    console.send("\x14")
    console.until(b"load: ")


def test_a_line_that_is_too_long_rings_the_bell(begin: Any, wire: Any) -> None:
    console = wire(begin(variant("restore", start=Start.PLAIN)))
    console.plain()
    console.send(b"#" + b"x" * 23500)
    assert b"\x07" in console.until(b"\x07")
    console.send("\x15")
    console.quiet(0.2)
    assert console.run("echo still") == (0, "still\n")


def test_long_lines_wrap_at_the_margin_while_the_editor_is_on(begin: Any, wire: Any) -> None:
    console = wire(begin(variant("restore", start=Start.PLAIN)))
    console.until(b"# ")
    console.send("echo " + "y" * 100 + "\r")
    shown = console.until(b"\r\n# ")
    assert b" \b" in shown.partition(b"\r\n")[0]


def test_kernel_messages_fall_into_output_until_they_are_muted(begin: Any, wire: Any) -> None:
    made = begin(variant("restore", start=Start.PLAIN), noise=0.8)
    console = wire(made)
    console.quiet(0.3)
    console.send("stty -echo; for i in 1 2 3 4 5 6 7 8; do uname -a; done; echo en''d\r")
    shown = console.until(b"end")
    assert any(
        sign in shown
        for sign in (b"ugen0", b"em0: link", b"random:", b"calcru", b"pid 9", b"Limiting", b"uhid0")
    )
    console.send("sysctl kern.consmute=1; echo mut''ed\r")
    console.until(b"muted")
    console.quiet(0.2)
    made.kernel_message("GEOM: nobody sees this")
    console.send("for i in 1 2 3 4 5 6 7 8; do echo line; done; echo en''d\r")
    assert console.until(b"end").count(b"line\r\n") == 8


def test_a_tree_over_the_root_leaves_a_machine_without_commands(begin: Any, wire: Any) -> None:
    made = begin(variant("restore", start=Start.PLAIN))
    console = wire(made)
    console.plain()
    console.run("zpool create -m none p vtbd0; zfs create -o mountpoint=/ p/r")
    status, shown = console.run("uname")
    assert status == 127
    assert "not found" in shown
    assert any("mounted over the live system's root" in a for a in made.accidents)
