"""A session like the product's own: helper functions, frames, files, detached jobs."""

from __future__ import annotations

import base64
import re
import time
from typing import Any

import pytest

from zrwizard.rehearsal import Start, variant

PLAIN = variant("restore", start=Start.PLAIN)
HELPER = r"""
_id=- _rc=-
zq() { printf '\036E%s:%03d:%s\037' "$_id" "$_rc" "$_id"; }
zx() { _c=$(printf %s "$3" | b64decode -r; echo .); _c=${_c%.}
_k=$(printf %s "$_c" | cksum)
if [ "${_k%% *}" != "$2" ]; then printf '\036N%s\037' "$1"; return; fi
if [ "$1" = "$_id" ]; then zq; return; fi
_id=$1 _rc=-
(eval "$_c") </dev/null >/tmp/o 2>/tmp/e; _rc=$?
zq; b64encode -r x </tmp/o; printf '\036.\037'; }
trap 'printf "\036I\037"' INT
"""


def posix_cksum(data: bytes) -> int:
    """The CRC of cksum(1), bit by bit."""
    crc = 0
    size = len(data)
    tail = bytearray()
    while size:
        tail.append(size & 255)
        size >>= 8
    for byte in data + bytes(tail):
        crc ^= byte << 24
        for _ in range(8):
            crc = (crc << 1 ^ (0x04C11DB7 if crc & 0x80000000 else 0)) & 0xFFFFFFFF
    return ~crc & 0xFFFFFFFF


class Session:
    """The protocol's host side, as small as it can be."""

    def __init__(self, console: Any) -> None:
        self.console = console
        console.plain()
        for line in HELPER.strip().splitlines():
            console.send(line + "\r")
        assert console.run("type zx >/dev/null")[0] == 0
        self.number = 0

    def line(self, id_: str, text: str, check: int | None = None) -> str:
        data = text.encode()
        crc = posix_cksum(data) if check is None else check
        return f"zx {id_} {crc} {base64.b64encode(data).decode()}\r"

    def run(self, text: str) -> tuple[int, bytes]:
        self.number += 1
        id_ = f"a{self.number}"
        self.console.send(self.line(id_, text))
        frame = re.search(rb"E(\w+):(\d{3}):(\w+)", self.console.until(b"\x1f"))
        assert frame is not None
        assert frame[1].decode() == id_
        body = self.console.until(b"\x1e.\x1f").partition(b"\x1e")[0]
        return int(frame[2]), base64.b64decode(b"".join(body.split()))


@pytest.fixture
def session(begin: Any, wire: Any) -> Session:
    made = Session(wire(begin(PLAIN, speed=50)))
    return made


@pytest.mark.parametrize("status", [0, 1, 2, 77, 126, 127, 255])
def test_every_status_comes_back(session: Session, status: int) -> None:
    assert session.run(f"exit {status}") == (status, b"")


def test_bytes_come_back_as_they_are(session: Session) -> None:
    status, out = session.run("cat /boot/gptzfsboot")
    assert (status, len(out)) == (0, 131072)
    assert session.run("printf '\\000\\377\\033\\036x'") == (0, b"\0\xff\x1b\x1ex")
    assert session.run("cksum < /boot/gptzfsboot") == (0, f"{posix_cksum(out)} 131072\n".encode())


def test_a_damaged_command_is_not_run(session: Session) -> None:
    session.console.send(session.line("zz", "touch /tmp/run", check=5))
    assert b"Nzz" in session.console.until(b"\x1f")
    assert session.run("ls /tmp/run")[0] == 1


def test_an_id_runs_once(session: Session) -> None:
    for _ in range(3):
        session.console.send(session.line("once", "echo x >> /tmp/count; exit 4"))
        assert b"Eonce:004:once" in session.console.until(b"\x1f")
        session.console.quiet(0.1)
    assert session.run("wc -l < /tmp/count")[1].split() == [b"1"]


def test_stdin_is_empty_and_the_shell_survives(session: Session) -> None:
    assert session.run("cat; echo end") == (0, b"end\n")
    assert session.run("exit 9")[0] == 9
    assert session.run("set -e; false; echo no")[0] == 1
    assert session.run("stty -a")[0] == 1
    assert session.run("echo alive") == (0, b"alive\n")


def test_the_interrupt_trap_speaks(session: Session) -> None:
    session.console.send(session.line("slow", "sleep 100000"))
    time.sleep(0.3)
    session.console.send("\x03")
    session.console.until(b"\x1eI\x1f")
    session.console.send("zq\r")
    session.console.until(b"Eslow:")
    session.console.quiet(0.1)
    assert session.run("echo alive") == (0, b"alive\n")


def test_asking_on_the_terminal_works_with_both_outputs_redirected(session: Session) -> None:
    session.run("dhclient em0")
    console = session.console
    console.send(
        "(eval 'ssh -o UserKnownHostsFile=/tmp/kh -o StrictHostKeyChecking=accept-new -o "
        "ControlMaster=yes -o ControlPath=/tmp/cm -p 2223 -fN root@10.0.2.2') "
        ">/tmp/o 2>/tmp/e; echo R''C $?\r"
    )
    console.until(b"(root@10.0.2.2) Password for root@hostB:")
    console.send("rehearse\r")
    shown = console.until(b"RC 0\r\n")
    assert b"rehearse" not in shown
    assert session.run("ssh -o ControlPath=/tmp/cm root@10.0.2.2 'uname -n; exit 5'") == (
        5,
        b"hostB\n",
    )


def test_a_detached_job_lives_without_the_line(session: Session) -> None:
    session.run(
        "mkdir -p -m 700 /tmp/j; printf '%s\\n' 'cd /tmp/j' 'echo $$ > pid' '(' "
        "'for i in 1 2 3; do uname -n; echo $i; sleep 20; done; exit 6' "
        "') > log 2>&1 < /dev/null' 'echo $? > rc' > /tmp/j/run; cd /tmp/j; "
        "daemon -f sh run"
    )
    assert session.run("kill -0 $(cat /tmp/j/pid)")[0] == 0
    assert b"1" in session.run("cat /tmp/j/log")[1]
    assert session.run("ls /tmp/j/rc")[0] == 1
    deadline = time.monotonic() + 10
    while session.run("cat /tmp/j/rc")[0] and time.monotonic() < deadline:
        time.sleep(0.1)
    assert session.run("cat /tmp/j/rc /tmp/j/log")[1].split() == [b"6", b"1", b"2", b"3"]
    assert session.run("kill -0 $(cat /tmp/j/pid)")[0] == 1


def test_a_job_can_be_killed_by_its_group(session: Session) -> None:
    session.run("daemon -f -p /tmp/pid sh -c 'sleep 9000 | cat'")
    assert session.run("kill -TERM -- -$(cat /tmp/pid)")[0] == 0
    time.sleep(0.2)
    assert b"sleep 9000" not in session.run("ps -axww -o pid,command")[1]


def test_a_meter_adds_up_while_the_pipe_goes_on(session: Session) -> None:
    session.run(
        "dhclient em0; cd /tmp; echo \"netstat -I em0 -w 1 | awk 'NF >= 7 && \\$1 ~ "
        '/^[0-9]+\\$/ { n += \\$4; s += 1; print s, n > \\"/tmp/total\\"; '
        'close(\\"/tmp/total\\") }\'" > /tmp/meter; daemon -f sh /tmp/meter'
    )
    time.sleep(0.6)
    first = int(session.run("cat /tmp/total")[1].split()[0])
    time.sleep(0.6)
    assert int(session.run("cat /tmp/total")[1].split()[0]) > first > 0
