"""The telnet port behaves like QEMU's."""

from __future__ import annotations

import socket
import threading
import time
from typing import Any

import pytest

from zrwizard.rehearsal import Rehearsal, Start, variant
from zrwizard.rehearsal.telnet import GREETING

PLAIN = variant("restore", start=Start.PLAIN)


def test_it_greets_once_and_then_carries_bytes(begin: Any, wire: Any) -> None:
    console = wire(begin(PLAIN))
    assert console.until(GREETING) == GREETING
    console.until(b"# ")
    console.send("echo hi\r")
    assert console.until(b"\r\n# ") == b"echo hi\r\nhi\r\n# "


def test_a_second_client_hears_nothing_until_the_first_leaves(begin: Any, wire: Any) -> None:
    made = begin(PLAIN)
    first = wire(made)
    first.until(GREETING)
    second = wire(made)
    assert second.quiet(0.4) == b""
    first.close()
    assert second.until(GREETING) == GREETING


def test_a_taken_console_is_silent(begin: Any, wire: Any) -> None:
    assert wire(begin("console-taken")).quiet(0.5) == b""


def test_commands_are_taken_out_three_bytes_each_even_across_reads(begin: Any, wire: Any) -> None:
    console = wire(begin(PLAIN))
    console.until(b"# ")
    console.send(b"echo a\xff")
    time.sleep(0.05)
    console.send(b"\xfd")
    time.sleep(0.05)
    console.send(b"\x01b\r")
    assert b"\r\nab\r\n" in console.until(b"ab\r\n# ")


def test_a_two_byte_command_swallows_the_next_byte(begin: Any, wire: Any) -> None:
    console = wire(begin(PLAIN))
    console.until(b"# ")
    console.send(b"echo \xff\xf1Xyz\r")
    console.until(b"\r\nyz\r\n")


def test_a_0xff_from_the_guest_is_not_doubled(begin: Any, wire: Any) -> None:
    console = wire(begin(PLAIN))
    console.plain()
    console.send("printf 'A\\377B'\r")
    console.until(b"A\xffB")


def test_hanging_up_ends_nothing(begin: Any, wire: Any) -> None:
    made = begin(PLAIN)
    console = wire(made)
    console.plain()
    console.run("kept=yes")
    made.hang_up()
    again = wire(made)
    again.until(GREETING)
    assert again.run("echo $kept") == (0, "yes\n")


def test_output_while_nobody_is_connected_is_lost(begin: Any, wire: Any) -> None:
    made = begin(variant("restore", start=Start.PLAIN, power_on_at_connect=False))
    made.run(":")
    console = wire(made)
    assert console.until(GREETING) == GREETING
    assert console.quiet(0.3) == b""
    console.send("\r")
    console.until(b"# ")


def test_it_listens_on_loopback_only_and_stops_at_power_off(begin: Any, wire: Any) -> None:
    made = begin(PLAIN)
    assert made.url.startswith("telnet://127.0.0.1:")
    console = wire(made)
    console.until(b"# ")
    console.send("poweroff\r")
    console.until(b"acpi0: Powering system off\r\n")
    console.quiet(0.5)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", int(made.url.rsplit(":", 1)[1])), timeout=1)


def test_it_ends_fast_and_leaves_no_thread() -> None:
    before = threading.active_count()
    with Rehearsal(speed=1, scenario=PLAIN) as made:
        made.run("daemon -f sleep 1000; daemon -f sh -c 'sleep 1000 | cat'")
        began = time.monotonic()
    assert time.monotonic() - began < 2
    assert threading.active_count() == before
