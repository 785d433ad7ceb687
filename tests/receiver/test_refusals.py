"""What it does not do, and what it says then; what does not go, and what is done about it."""

from __future__ import annotations

import os
import signal

import pytest

from tests.receiver import standins
from tests.receiver.cases import Cases, Make, Outcome
from tests.receiver.server import SERIAL, SIZE, Server, until
from zrwizard import receiver

CASES = Cases()


def refused(server: Server, role: str, request: str, status: int, words: str) -> None:
    """The session ends by itself with one sentence on standard error, and nothing is open."""
    session = server.session(role, request)
    if role == "deliver":
        session.send(server.key)
        session.end()
    assert session.finish() == status, session.said
    assert words in session.said
    assert session.said.startswith("zr-receiver: ")
    assert session.said.count("\n") == 1
    assert session.printed == ""


# --- one at a time --------------------------------------------------------------------------------


@CASES.both
def a_second_hold(make: Make, shell: str) -> None:
    server = make(shell)
    hold = server.opened()
    refused(server, "receive", "hold", 75, "Another session holds the disk.")
    refused(server, "deliver", "", 75, "has its key")
    assert server.attached == ["da0.eli"]
    hold.end()
    assert hold.finish() == 0


@CASES.both
def a_second_receive(make: Make, shell: str) -> None:
    server = make(shell)
    stream = server.opened("receive data")
    until((server.world / "receiving").exists, "the receive")
    refused(server, "receive", "receive other", 75, "A receive is running already.")
    refused(server, "receive", "abandon data", 75, "A receive is running already.")
    stream.send(b"end\n")
    assert stream.finish() == 0
    assert server.shut


@CASES.one
def a_hold_is_refused_while_one_waits_for_its_key(make: Make, shell: str) -> None:
    server = make(shell, wait=3)
    first = server.session("receive", "hold")
    until(lambda: any((server.run / m / "open/want").exists() for m in server.marks), "the wait")
    refused(server, "receive", "hold", 75, "Another session holds the disk.")
    assert first.finish() == 70


@CASES.one
def two_at_the_same_moment(make: Make, shell: str) -> None:
    """One gets it, whoever; the other goes away, and takes nothing along."""
    server = make(shell)
    holds = [server.session("receive", "hold") for _ in range(4)]
    delivery = server.deliver()
    assert delivery.finish() == 0, delivery.said
    until(lambda: any(b"ready\n" in hold.out for hold in holds), "one that is ready")
    losers = [hold for hold in holds if b"ready\n" not in hold.out]
    assert [hold.finish() for hold in losers] == [75, 75, 75]
    assert server.attached == ["da0.eli"]
    winner = next(hold for hold in holds if hold not in losers)
    winner.end()
    assert winner.finish() == 0
    assert server.shut


# --- keys -----------------------------------------------------------------------------------------


def wrong(server: Server, key: bytes, status: int, words: str) -> None:
    hold = server.session("receive", "hold")
    bringing = server.deliver(key)
    assert bringing.finish() == status, bringing.said
    assert words in bringing.said
    assert hold.finish() == 74
    assert "The disk does not open: geli: Wrong key for da0." in hold.said
    server.stays_shut()
    assert len([call for call in server.calls("geli") if "attach" in call]) == 1


@CASES.both
def a_wrong_key(make: Make, shell: str) -> None:
    wrong(make(shell, delivery="stdin"), b"ab" * 64 + b"\n", 74, "Wrong key for da0.")


@CASES.both
def a_wrong_key_through_the_fifo(make: Make, shell: str) -> None:
    wrong(make(shell, delivery="fifo"), os.urandom(64), 74, "Wrong key for da0.")


@CASES.one
def an_empty_key(make: Make, shell: str) -> None:
    wrong(make(shell, delivery="stdin"), b"", 74, "The key was empty.")


@CASES.one
def an_empty_key_through_the_fifo(make: Make, shell: str) -> None:
    wrong(make(shell, delivery="fifo"), b"", 74, "The key was empty.")


@CASES.one
def a_key_too_large(make: Make, shell: str) -> None:
    wrong(make(shell, delivery="stdin"), b"k" * (receiver.KEY_LIMIT + 1), 77, "at most 64 KiB")


@CASES.one
def a_key_too_large_through_the_fifo(make: Make, shell: str) -> None:
    wrong(make(shell, delivery="fifo"), b"k" * (receiver.KEY_LIMIT + 9000), 77, "at most 64 KiB")


@CASES.both
def no_key(make: Make, shell: str) -> None:
    server = make(shell, wait=1, delivery="fifo")
    refused(server, "receive", "hold", 70, "No key came within 1 seconds.")
    assert server.shut


@CASES.one
def a_key_that_never_ends(make: Make, shell: str) -> None:
    server = make(shell, attach=1)
    hold = server.session("receive", "hold")
    delivery = server.session("deliver")
    delivery.send(server.key[:20])
    assert hold.finish() == 70
    assert "not there in full within 1 seconds" in hold.said
    assert delivery.finish() == 70
    server.stays_shut()


@CASES.both
def a_key_for_nobody(make: Make, shell: str) -> None:
    server = make(shell)
    refused(server, "deliver", "key", 70, "Nothing waits for a key.")
    assert server.shut


@CASES.one
def geli_that_fails_before_it_reads_the_key(make: Make, shell: str) -> None:
    """Facts F2, first point: the writer of a fifo would wait for ever."""
    server = make(shell, delivery="fifo")
    server.mode("nometadata")
    refused(server, "receive", "hold", 74, "Cannot read metadata from da0")
    refused(server, "deliver", "key", 70, "Nothing waits for a key.")
    server.stays_shut()


@CASES.one
def one_attach_for_one_key(make: Make, shell: str) -> None:
    """Facts F2, third and fourth point: a second writer has no part in it."""
    server = make(shell, delivery="fifo")
    server.mode("attach_slow", "x")
    hold = server.session("receive", "hold")
    first = server.deliver()
    server.stage("attach_slow")
    refused(server, "deliver", "key", 75, "just being given it")
    os.kill(server.main(hold), signal.SIGKILL)
    assert first.finish() == 70
    server.stays_shut()


# --- the disk -------------------------------------------------------------------------------------


@CASES.both
def the_disk_under_another_name(make: Make, shell: str) -> None:
    server = make(shell)
    server.disks(
        standins.disk("da0", "SOMEBODY-ELSE", SIZE) + standins.disk("da1", SERIAL, 1), "da7"
    )
    hold = server.opened()
    assert server.attached == ["da7.eli"]
    hold.end()
    assert hold.finish() == 0


@CASES.one
def no_such_disk(make: Make, shell: str) -> None:
    server = make(shell)
    server.disks(
        standins.disk("da0", "SOMEBODY-ELSE", SIZE) + standins.disk("da1", SERIAL, SIZE + 512)
    )
    refused(server, "receive", "hold", 69, "Not exactly one disk has our serial number and size.")
    assert not server.calls("geli")


@CASES.one
def two_such_disks(make: Make, shell: str) -> None:
    server = make(shell)
    server.disks("", "da0", "da1")
    refused(server, "receive", "hold", 69, "Not exactly one disk has our serial number and size.")
    assert not server.calls("geli")


@CASES.one
def serial_numbers_are_no_numbers(make: Make, shell: str) -> None:
    server = make(shell, serial="1E3")
    server.disks(standins.disk("da0", "1000", SIZE) + standins.disk("da1", "01E3", SIZE))
    refused(server, "receive", "hold", 69, "Not exactly one disk")


@CASES.one
def a_partition_by_its_label(make: Make, shell: str) -> None:
    server = make(shell, part="vault")
    (server.world / "parts.da0").write_text(standins.parts("da0", "boot0", "vault"))
    (server.root / "dev/da0p2").write_bytes(b"x" * 4096)
    hold = server.opened()
    assert server.attached == ["da0p2.eli"]
    hold.end()
    assert hold.finish() == 0
    (server.world / "parts.da0").write_text(standins.parts("da0", "vault", "vault"))
    refused(
        server, "receive", "hold", 69, "Not exactly one partition of our disk has the label vault"
    )


@CASES.one
def a_disk_that_cannot_be_read(make: Make, shell: str) -> None:
    server = make(shell)
    (server.root / "dev/da0").unlink()
    refused(server, "receive", "hold", 69, "The disk cannot be read.")


@CASES.both
def what_somebody_else_opened(make: Make, shell: str) -> None:
    """A disk that was attached by hand, or a pool of that name, is neither used nor closed."""
    server = make(shell)
    (server.world / "attached/da0.eli").touch()
    refused(server, "receive", "hold", 75, "Somebody else has attached the disk")
    assert server.attached == ["da0.eli"]
    (server.world / "attached/da0.eli").unlink()
    (server.world / "imported/wd").write_text("ada9\n")
    refused(server, "receive", "inventory", 75, "or imported the pool")
    assert server.imported == ["wd"]
    assert not [call for call in server.calls() if "detach" in call or "export" in call]


@CASES.one
def a_disk_that_is_attached_by_hand_in_that_moment(make: Make, shell: str) -> None:
    server = make(shell)
    server.mode("attach_slow", "x")
    hold = server.session("receive", "hold")
    server.program("sleep", "#!/bin/sh\n[ \"$1\" = 60 ] || exec /usr/bin/sleep \"$1\"\n"
                   f": >{server.world}/attached/da0.eli\n")  # fmt: skip
    server.deliver()
    assert hold.finish() == 74
    assert "Cannot access da0" in hold.said
    assert server.attached == ["da0.eli"]
    until(lambda: not server.marks, "the end")
    assert not [call for call in server.calls() if "detach" in call]


@CASES.one
def a_pool_that_does_not_come(make: Make, shell: str) -> None:
    server = make(shell)
    server.mode("nopool")
    hold = server.session("receive", "hold")
    assert server.deliver().finish() == 0
    assert hold.finish() == 74
    assert "cannot import 'wd': no such pool available" in hold.said
    assert server.shut


@CASES.one
def a_class_that_is_not_loaded(make: Make, shell: str) -> None:
    """`geli status` fails before the first attach: then nothing is attached."""
    server = make(shell)
    server.mode("noclass")
    hold = server.opened()
    server.usual("noclass")
    hold.end()
    assert hold.finish() == 0
    assert server.shut


# --- what does not go at once ---------------------------------------------------------------------


@CASES.both
def a_pool_that_is_busy_twice(make: Make, shell: str) -> None:
    server = make(shell)
    hold = server.opened()
    server.mode("export_busy", 2)
    server.mode("detach_busy", 1)
    hold.end()
    assert hold.finish() == 0
    assert hold.printed == "ready\nclosed\n"
    assert server.shut
    assert "zpool export -f wd" not in server.calls("zpool")


@CASES.one
def a_pool_that_goes_only_by_force(make: Make, shell: str) -> None:
    server = make(shell)
    hold = server.opened()
    server.mode("export_forced")
    hold.end()
    assert hold.finish() == 0
    assert server.shut
    exports = [call for call in server.calls("zpool") if "export" in call]
    assert exports[:4] == ["zpool export wd"] * 4
    assert exports[4:] == ["zpool export -f wd"]


@CASES.one
def an_export_that_hangs(make: Make, shell: str) -> None:
    server = make(shell)
    server.hurry(("within 30 zpool export", "within 1 zpool export"))
    hold = server.opened()
    server.mode("export_slow")
    hold.end()
    server.stage("export_slow")
    server.usual("export_slow")
    assert hold.finish() == 0
    assert server.shut
    assert [call for call in server.calls("zpool") if "export" in call] == [
        "zpool export wd",
        "zpool export -f wd",
    ]


@CASES.one
def a_disk_that_does_not_go_at_all(make: Make, shell: str) -> None:
    """It says so, to the operator and to the log; the guardian goes on until it does."""
    server = make(shell)
    server.hurry(
        ("until_ 60 test", "until_ 1 test"), ("do sleep 20", "do sleep 1"), ("-le 7", "-le 5")
    )
    hold = server.opened()
    server.mode("detach_busy", 1000)
    hold.end()
    assert hold.finish() == 74
    assert "The disk does not go; the server goes on trying." in hold.said
    assert "closed" not in hold.printed
    until(lambda: "auth.crit knox: the disk or its pool does not go" in server.syslog, "the log")
    assert server.attached == ["da0.eli"]
    server.mode("detach_busy", 0)
    server.stays_shut()


# --- what it is started with ----------------------------------------------------------------------


@CASES.one
def a_private_place_only(make: Make, shell: str) -> None:
    server = make(shell)
    server.run.symlink_to(server.root / "elsewhere")
    (server.root / "elsewhere").mkdir(mode=0o700)
    (server.root / "fallback").mkdir(mode=0o755)
    refused(server, "receive", "hold", 74, "There is no private place on the server.")
    (server.root / "fallback").chmod(0o700)
    hold = server.opened()
    assert not list((server.root / "elsewhere").iterdir())
    assert list((server.root / "fallback").iterdir())
    hold.end()
    assert hold.finish() == 0
    assert not list((server.root / "fallback").iterdir())
    if os.geteuid() == 0:
        os.chown(server.root / "fallback", 12345, 0)
        refused(server, "receive", "hold", 74, "There is no private place on the server.")


GOOD = receiver.config(shape="vault", serial=SERIAL, size=SIZE, pool="wd")
BAD = {
    "empty": "",
    "missing": GOOD.replace("pool=wd\n", ""),
    "twice": GOOD + "pool=wd\n",
    "unknown": GOOD + "colour=red\n",
    "no sign": GOOD.replace("pool=wd", "pool wd"),
    "command": GOOD.replace("pool=wd", "pool=$(touch canary)"),
    "backquote": GOOD.replace("serial=" + SERIAL, "serial=`touch canary`"),
    "semicolon": GOOD.replace("force=no", "force=no; touch canary"),
    "option": GOOD.replace("pool=wd", "pool=-f"),
    "octal": GOOD.replace("wait=60", "wait=060"),
    "not a number": GOOD.replace("attach=60", "attach=1+1"),
    "endless": GOOD.replace("wait=60", "wait=99999"),
    "shape": GOOD.replace("shape=vault", "shape=open"),
    "blank": GOOD.replace("pool=wd", "pool= wd"),
    "return": GOOD.replace("\n", "\r\n"),
    "nul": GOOD.replace("pool=wd", "pool=wd\0"),
    "not text": GOOD.replace("pool=wd", "pool=w\xe9"),
}


@CASES.one
def settings_that_cannot_be(make: Make, shell: str) -> None:
    server = make(shell)
    file = server.root / "etc/knox.conf"
    for name, text in BAD.items():
        file.write_bytes(text.encode("latin-1"))
        session = server.session("receive", "hold")
        assert (session.finish(), name) == (64, name)
        assert "not there, or not as it should be" in session.said
        assert session.said.count("\n") == 1, (name, session.said)
    file.unlink()
    refused(server, "receive", "hold", 64, "not there, or not as it should be")
    assert not list(server.root.rglob("canary"))
    assert not os.path.exists("canary")
    file.write_text(
        "# Written by hand.\n" + "".join(sorted(GOOD.splitlines(keepends=True))).rstrip("\n")
    )
    hold = server.opened()
    hold.end()
    assert hold.finish() == 0


@pytest.mark.parametrize("case", CASES.names)
def test_refusal(outcome: Outcome, case: str) -> None:
    outcome(case)
