"""The console's promises through QEMU's telnet serial, on a real kernel that talks in between.

Exact statuses and outputs, cuts, a second client, QEMU started anew, a reset, a panic; what was run
is looked at beside the console.
"""

from __future__ import annotations

import base64
import os
import random
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from zrwizard.console.errors import ConsoleError, MachineLost, Taken
from zrwizard.line import LineError, open_line
from zrwizard.secrets import Secret, Secrets
from zrwizard.shell.connect import open_shell
from zrwizard.shell.session import ShellSession

from . import machines
from .conftest import Pair
from .machines import Guest

pytestmark = pytest.mark.guest

COMMANDS = 40
SECRET = Secret("key", "correct horse " * 20)

MESSAGES = (
    "vtnet0: link state changed to UP",
    "GEOM_ELI: Device da0.eli created.",
    "login: ",
    "# ",
    "0",
    "000:255",
)


@dataclass
class Operator:
    """Somebody who holds hostC's console. A bring-up takes its time there: the tests share it."""

    pair: Pair
    directory: Path
    held: ShellSession | None = None

    @property
    def guest(self) -> Guest:
        return self.pair.target

    @property
    def log(self) -> Path:
        return self.directory / "log"

    def session(self) -> ShellSession:
        if self.held is None:
            secrets = Secrets()
            secrets.add(SECRET)
            self.held = open_shell(
                self.guest.console_url,
                token=f"{os.getpid():x}c0",
                secrets=secrets,
                cancel=threading.Event(),
                log=self.log,
                locks=self.directory,
            )
        return self.held

    def drop(self) -> None:
        """Let the console go as it is."""
        if self.held is not None:
            self.held.console.close()
            self.held = None


@pytest.fixture(scope="module")
def operator(guests: Pair, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operator]:
    """At hostC, whose kernel says something now and then, and more when `talking`."""
    guests.reset_target(options={"kmsg": "3"}, reboots=True)
    script = "\n".join(
        ["while :; do", *(f"echo '<2>{line}' >/dev/kmsg; sleep 0.2" for line in MESSAGES), "done"]
    )
    guests.target.put("/tmp/noise", script.encode())
    made = Operator(guests, tmp_path_factory.mktemp("console"))
    yield made
    made.drop()
    guests.reset_target(options={"kmsg": "3"})


@contextmanager
def talking(guest: Guest) -> Iterator[None]:
    """Let the guest's kernel say something on the console five times a second."""
    start = "setsid sh -c 'echo $$ >/tmp/noise.pid; exec sh /tmp/noise'"
    guest.run(f"{start} </dev/null >/dev/null 2>&1 &")
    try:
        yield
    finally:
        guest.run("kill $(cat /tmp/noise.pid)")


def cut(session: ShellSession) -> None:
    """Take the line away under the session, as a network does."""
    with socket.socket(fileno=os.dup(session.console._spawn.child_fd)) as sock:
        sock.shutdown(socket.SHUT_RDWR)


def test_commands_files_and_secrets_are_exact_under_kernel_messages(operator, tmp_path):
    pick, guest, session = random.Random(11), operator.guest, operator.session()
    with talking(guest):
        for number in range(COMMANDS):
            status = pick.randrange(256)
            data = pick.randbytes(4000 if number == 7 else pick.choice([0, 3, 20, 60, 300, 1300]))
            if len(data) > 60:
                guest.put("/tmp/data", data)
                printed = "cat /tmp/data"
            else:
                printed = "printf '" + "".join(f"\\{byte:03o}" for byte in data) + "'"
            text = f"echo {number} >>/tmp/ran; {printed}; echo e{number} >&2; exit {status}"
            result = session.run(text)
            assert (result.status, result.out) == (status, data), f"command {number}"
            assert result.err == f"e{number}\n".encode()
        every = bytes(range(256)) * 12
        session.upload(f"{session.home}/every", every)
        assert guest.run(f"cat {session.home}/every").stdout == every
        session.download(f"{session.home}/every", tmp_path / "every")
        assert (tmp_path / "every").read_bytes() == every
        session.upload(f"{session.home}/key", SECRET)
        assert guest.run(f"cat {session.home}/key").stdout == SECRET.reveal()
    assert guest.lines("cat /tmp/ran") == [str(number) for number in range(COMMANDS)]
    log = operator.log.read_text()
    assert "link state changed" in log, "the kernel was silent"
    assert "correct horse" not in log
    assert base64.b64encode(SECRET.reveal())[:24].decode() not in log
    assert "<secret:key>" in log


def test_cuts_in_the_middle_of_commands(operator):
    """At the command's beginning, while it runs, about its end; each has run once."""
    guest, session = operator.guest, operator.session()
    guest.run("rm -f /tmp/ran")
    session.start_job("long", "echo begun; sleep 10; echo over; exit 6")
    with talking(guest):
        for number, wait in enumerate((0.0, 0.15, 0.6)):
            timer = threading.Timer(wait, cut, [session])
            timer.start()
            result = session.run(f"echo {number} >>/tmp/ran; sleep 0.4; echo {number}; exit 5")
            timer.join()
            assert (result.status, result.text) == (5, f"{number}\n")
    deadline = time.monotonic() + 30
    while (job := session.job("long")).running and time.monotonic() < deadline:
        time.sleep(0.5)
    assert (job.known, job.status) == (True, 6)
    assert session.run(f"cat {session.home}/jobs/long/log").text == "begun\nover\n"
    assert guest.lines("cat /tmp/ran") == ["0", "1", "2"]


def test_a_second_client_gets_nothing_and_disturbs_nothing(operator):
    session, url = operator.session(), operator.guest.console_url
    with pytest.raises(LineError, match="somebody else") as caught:
        open_line(url)
    assert caught.value.taken
    again = {"secrets": Secrets(), "cancel": threading.Event(), "locks": operator.directory}
    with pytest.raises(Taken, match="holds"):
        open_shell(url, token="d0", **again)
    assert session.run("echo on; exit 3").status == 3


def test_a_panic_in_mid_command_is_never_a_status(operator):
    """The line stays: QEMU and its telnet port live on, only the machine behind it begins anew."""
    guest, session = operator.guest, operator.session()
    boot = guest.out("cat /proc/sys/kernel/random/boot_id").strip()
    with pytest.raises(ConsoleError):
        session.run("echo c >/proc/sysrq-trigger; sleep 60", timeout=10)
    operator.drop()
    anew = f"[ $(cat /proc/sys/kernel/random/boot_id) != {boot} ]"
    guest.wait_for(f"{anew} && test -e /run/zg/up", 120)
    assert operator.session().run("echo on; exit 4").status == 4


def test_qemu_that_is_started_anew_is_a_lost_machine(operator, monkeypatch):
    """Power off and on, with the console at the same port."""
    guest, session = operator.guest, operator.session()
    monkeypatch.setattr(machines, "free_port", lambda: guest.port)
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(session.run, "sleep 60; echo over", timeout=120)
        time.sleep(1)
        # Here, not in a thread: a QEMU ends with the thread that started it.
        operator.pair.reset_target(options={"kmsg": "3"}, reboots=True)
        with pytest.raises(MachineLost):
            running.result()
    operator.drop()
