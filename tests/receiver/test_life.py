"""The whole life of a hold and of a receive, with both ways of delivery, under both shells."""

from __future__ import annotations

import os
import signal
import subprocess
from functools import partial

import pytest

from tests.receiver import standins
from tests.receiver.cases import Cases, Make, Outcome
from tests.receiver.server import SHELLS, Server, Session, until

CASES = Cases()


def answer(server: Server, request: str) -> Session:
    session = server.session("receive", request)
    session.end()
    session.finish()
    return session


def a_hold(delivery: str, make: Make, shell: str) -> None:
    server = make(shell, delivery=delivery)
    hold = server.opened()
    assert (server.attached, server.imported) == (["da0.eli"], ["wd"])
    inventory = answer(server, "inventory")
    assert inventory.printed.split("\t")[:3] == ["wd", "filesystem", "77"]
    assert answer(server, "health").printed == "  pool: wd\n state: ONLINE\n"
    assert answer(server, "space").printed == "value of used,available wd\n"
    assert answer(server, "token data/a").printed == "value of receive_resume_token wd/data/a\n"
    assert answer(server, "abandon data").printed == "abandoned wd/data\n"
    stream = server.session("receive", "receive data/a")
    stream.send(b"a\nb\nend\n")
    assert stream.finish() == 0, stream.said
    assert (server.world / "received").read_text() == "a\nb\nend\n"
    assert hold.process.poll() is None
    hold.end()
    assert hold.finish() == 0
    assert hold.printed == "ready\nclosed\n"
    assert not hold.said
    assert server.shut
    assert [call for call in server.calls("geli") if "attach" in call] == [
        f"geli attach -p -k {_key_source(server, delivery)} da0"
    ]
    assert "zfs receive -s -u wd/data/a" in server.calls("zfs")
    assert "knox: the pool is open" in server.syslog
    assert "knox: the disk is detached" in server.syslog


def _key_source(server: Server, delivery: str) -> str:
    if delivery == "stdin":
        return "-"
    call = next(call for call in server.calls("geli") if "attach" in call)
    assert str(server.run) in call
    return call.split()[4]


def a_receive_of_its_own(delivery: str, make: Make, shell: str) -> None:
    server = make(shell, delivery=delivery)
    stream = server.session("receive", "receive .")
    stream.send(b"a\nend\n")
    assert server.deliver().finish() == 0
    assert stream.finish() == 0, stream.said
    assert (stream.printed, stream.said) == ("", "")
    assert "zfs receive -s -u wd" in server.calls("zfs")
    assert server.shut


@CASES.both
def a_question_of_its_own(make: Make, shell: str) -> None:
    server = make(shell)
    question = server.opened("inventory")
    assert question.finish() == 0, question.said
    assert question.printed.startswith("wd\t")
    assert server.shut


@CASES.both
def a_guardian_that_was_killed(make: Make, shell: str) -> None:
    """The end of the session is in order all the same: another one is called."""
    server = make(shell)
    hold = server.opened()
    os.kill(server.guardian(hold), signal.SIGKILL)
    hold.end()
    assert hold.finish() == 0, hold.said
    assert hold.printed == "ready\nclosed\n"
    assert server.shut


@CASES.both
def somebody_else_has_the_number(make: Make, shell: str) -> None:
    """A stale mark and stale records name a process that is another one now: it is left alone."""
    server = make(shell)
    innocent = subprocess.Popen(["sleep", "300"])
    try:
        stale = server.run / f"knox+{innocent.pid}+0123456789abcdef"
        (stale / "open").mkdir(parents=True)
        server.run.chmod(0o700)
        for mark in ("hold", "receive"):
            (server.run / f"knox+{mark}").symlink_to(stale.name)
        (stale / "open/worker").write_text(f"{innocent.pid}\n0123456789abcdef\n")
        (stale / "open/ask").write_text(f"{innocent.pid}\nzfs receive -s -u wd\n")
        (stale / "guard").write_text(f"{innocent.pid}\n")
        stream = server.opened("receive data")
        stream.send(b"end\n")
        assert stream.finish() == 0
        assert server.shut
        assert innocent.poll() is None
    finally:
        innocent.kill()
        innocent.wait()


@CASES.both
def the_key_may_come_first(make: Make, shell: str) -> None:
    server = make(shell)
    delivery = server.deliver()
    until(lambda: server.processes("knox deliver"), "the delivery")
    hold = server.session("receive", "hold")
    hold.line("ready")
    assert delivery.finish() == 0
    hold.end()
    assert hold.finish() == 0
    assert server.shut


@CASES.both
def what_zfs_says_comes_back(make: Make, shell: str) -> None:
    server = make(shell)
    server.mode("nospace")
    stream = server.opened("receive data")
    stream.send(b"a\nend\n")
    assert stream.finish() == 1
    assert stream.said == "cannot receive new filesystem stream: out of space\n"
    assert server.shut


@CASES.both
def rollback_only_where_it_was_agreed(make: Make, shell: str) -> None:
    server = make(shell, force=True)
    stream = server.opened("receive data")
    stream.send(b"end\n")
    assert stream.finish() == 0
    assert "zfs receive -s -u -F wd/data" in server.calls("zfs")


@CASES.both
def plain_leaves_its_pool_imported(make: Make, shell: str) -> None:
    server = make(shell, shape="plain", part="zfs0")
    (server.world / "parts.da0").write_text(standins.parts("da0", "(null)", "zfs0"))
    stream = server.session("receive", "receive data")
    stream.send(b"end\n")
    assert stream.finish() == 0, stream.said
    assert (server.imported, server.attached, server.marks) == (["wd"], [], [])
    assert (server.world / "imported/wd").read_text() == "da0p2\n"
    hold = server.session("receive", "hold")
    hold.line("ready")
    hold.end()
    assert hold.finish() == 0
    assert [call for call in server.calls("zpool") if "import" in call] == [
        f"zpool import -N -f -o cachefile=none -d {server.root}/dev/da0p2 wd"
    ]
    assert server.imported == ["wd"]
    assert not server.calls("geli")
    refused = server.deliver()
    assert refused.finish() == 77
    assert "not encrypted" in refused.said


for _way in ("stdin", "fifo"):
    for _shell in sorted(SHELLS):
        CASES.add(f"a_hold-{_way}", partial(a_hold, _way), _shell)
        CASES.add(f"a_receive_of_its_own-{_way}", partial(a_receive_of_its_own, _way), _shell)


@pytest.mark.parametrize("case", CASES.names)
def test_life(outcome: Outcome, case: str) -> None:
    outcome(case)
