"""What a console shows instead of our quiet shell, and what is said of it."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest
from noise import KERNEL, LOGINS
from pexpect import TIMEOUT

from zrwizard.console.console import Console
from zrwizard.console.errors import MachineLost, Restarted
from zrwizard.console.transcript import Transcript
from zrwizard.secrets import Secret, Secrets
from zrwizard.shell import gone
from zrwizard.shell.protocol import Frames

RECORDED = Path(__file__).parents[1] / "console" / "recorded"
ANEW = {
    "panic": (RECORDED / "panic-mid-command-and-reboot.bin").read_bytes(),
    "reboot": (RECORDED / "reboot-live-login.bin").read_bytes(),
    "boot-blocks": b"\r\nFreeBSD/x86 boot\r\nDefault: zroot:/boot/loader\r\nboot: ",
    "seabios": b"in the middle of a lineSeaBIOS (version 1.16.2)\r\n",
    "linux": b"[    0.000000] Linux version 6.1.0 (x)\r\n",
    "poweroff": (RECORDED / "server-poweroff.bin").read_bytes(),
}


@pytest.mark.parametrize("seen", ANEW.values(), ids=ANEW)
def test_a_machine_that_starts_anew_is_told_at_once(seen: bytes) -> None:
    assert gone.at_once(seen)
    assert isinstance(gone.lost(seen), Restarted)


def test_a_panic_is_known_before_its_last_question() -> None:
    seen = ANEW["panic"].partition(b"Automatic reboot")[0]
    assert gone.at_once(seen)
    assert "Fatal trap 12" in gone.lost(seen).what


@pytest.mark.parametrize("seen", [*KERNEL, *LOGINS], ids=lambda seen: repr(seen[:20]))
def test_what_a_machine_says_that_goes_on_is_nothing(seen: bytes) -> None:
    assert not gone.at_once(b"\r\n" + seen)
    assert not gone.after_all(b"\r\n" + seen, b"{ zq ;}\r")


def test_the_echo_of_a_line_is_somebody_elses() -> None:
    typed = b"{ zc 9bbb4314 171843771 d true, ;}\r"
    assert gone.after_all(b"login: }\r\n" + typed + b"\nPassword:", typed)
    assert not gone.after_all(b"em0: link state changed to UP\r\n", b"")
    told = gone.lost(b"\r\nlogin: }\r\n" + typed + b"\nPassword:")
    assert not isinstance(told, Restarted)
    assert "zc 9bbb" not in told.what
    assert "'Password:'" in told.what


def test_nothing_is_told_of_a_screen_that_may_echo_a_secret() -> None:
    told = gone.lost(b"\r\nlogin: Y29ycmVjdCBob3JzZQ==", tell=False)
    assert "Y29y" not in told.what


class Echoing:
    """A terminal at which nobody of ours is: it echoes what is typed, and says `first` before."""

    def __init__(self, first: bytes) -> None:
        self.said = [first]
        self.typed = b""

    def read_nonblocking(self, _size: int, _timeout: float) -> bytes:
        if self.said:
            return self.said.pop(0)
        time.sleep(0.01)
        raise TIMEOUT("nothing")

    def send(self, data: bytes) -> None:
        self.typed += data
        self.said.append(data.replace(b"\x11", b"").replace(b"\x15", b"").replace(b"\r", b"\r\n"))

    def close(self, force: bool = False) -> None:
        del force


@pytest.mark.parametrize("secret", [False, True], ids=["plain", "secret"])
def test_a_prompt_that_only_echoes_is_given_up_soon(
    monkeypatch: pytest.MonkeyPatch, secret: bool
) -> None:
    monkeypatch.setattr("zrwizard.shell.protocol._DEAF", 1.0)
    line = Echoing(b"\r\nUser Access Verification\r\n\r\nUsername: ")
    console = Console(line, Transcript(None, Secrets(), "test"), threading.Event())
    frames = Frames(console)

    def speak() -> object:
        if secret:
            return frames.send_parts("ab12cd34", Secret("key", "x" * 40).reveal(), "key")
        return frames.ask("zc ab12cd34 12345 d true", lambda kind, body: False)

    with pytest.raises(MachineLost, match="something else has the console") as caught:
        speak()
    console.close()
    assert "eHh4" not in caught.value.what


def test_nothing_is_typed_to_a_machine_that_panics() -> None:
    line = Echoing(b"\r\npanic: page fault\r\ncpuid = 0\r\nUptime: 1m48s\r\n")
    console = Console(line, Transcript(None, Secrets(), "test"), threading.Event())
    frames = Frames(console)
    while b"Uptime" not in console.peek():
        time.sleep(0.01)
    with pytest.raises(Restarted, match="panic: page fault"):
        frames.ask("zq", lambda kind, body: False)
    console.close()
    assert line.typed == b""
