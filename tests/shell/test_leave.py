"""Watching a machine that goes away and comes back, on a real pty with a real sh."""

from __future__ import annotations

import shlex
import time
from pathlib import Path

import pytest
from noise import KERNEL, open_session

from zrwizard.console.errors import NoAnswer

WENT = b"Syncing disks, vnodes remaining... 0 0 done\nUptime: 1m2s\nRebooting...\n"
CAME = b"---<<BOOT>>---\nStarting cron.\n\nMon Nov 23 13:34:04 UTC 2026\n"
GREETING = b"\nFreeBSD/amd64 (hostA) (ttyu0)\n\n"
CALCRU = b"calcru: runtime went backwards from 3 usec to 2 usec for pid 11 (idle)\n"


def watched(tmp_path: Path, said: bytes, timeout: float, begun: bytes = b"") -> str:
    """What `leave` returns where the machine says `said`, and then no more."""
    session, _ = open_session("dash", token=f"{time.monotonic_ns():x}"[-12:])
    path = tmp_path / "said"
    path.write_bytes(begun + said)
    try:
        text = f"cat {shlex.quote(str(path))}; exec sleep {timeout + 5}"
        return session.leave(text, until="login", timeout=timeout)
    finally:
        session.close()


@pytest.mark.parametrize(
    "asked",
    [
        pytest.param(b"login: ", id="whole"),
        pytest.param(b"login:" + CALCRU + b" ", id="before the blank"),
        pytest.param(b"login: " + CALCRU, id="behind it"),
        pytest.param(b"log" + CALCRU + b"in: ", id="in the word"),
        pytest.param(b"".join(KERNEL[:1]) + b"login: " + b"".join(KERNEL[:2]), id="around it"),
    ],
)
def test_a_kernel_message_in_the_question_hides_no_login(tmp_path: Path, asked: bytes) -> None:
    assert "(hostA) (ttyu0)" in watched(tmp_path, WENT + CAME + GREETING + asked, 20)


def test_a_greeting_that_is_broken_too_needs_the_question(tmp_path: Path) -> None:
    broken = GREETING.replace(b"hostA", b"ho" + CALCRU + b"stA")
    assert "login:" in watched(tmp_path, WENT + CAME + broken + b"login:" + CALCRU, 20)


@pytest.mark.parametrize(
    "said",
    [
        pytest.param(CAME + GREETING + CALCRU, id="never went down"),
        pytest.param(WENT + CAME + b"Last login: Mon Nov 23 on ttyu0\n# ", id="a login that was"),
        pytest.param(WENT + CAME + b"x" * 300 + b" login: y\n# ", id="in the middle of a line"),
        pytest.param(GREETING + WENT + CAME, id="of before"),
    ],
)
def test_what_is_no_login_is_waited_for(tmp_path: Path, said: bytes) -> None:
    with pytest.raises(NoAnswer):
        watched(tmp_path, said, 4)
