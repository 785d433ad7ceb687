"""The telnet filter, byte by byte and over a real socket."""

from __future__ import annotations

import contextlib
import os
import re
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pexpect
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zrwizard.line import LineError, open_line, parse
from zrwizard.line import open as opening
from zrwizard.line.telnet import QEMU_GREETING, Telnet


@contextmanager
def server(serve: Callable[[socket.socket], None]) -> Iterator[int]:
    listener = socket.create_server(("127.0.0.1", 0))
    done = threading.Event()

    def accept() -> None:
        peer, _ = listener.accept()
        with peer:
            serve(peer)
            done.wait(10)

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        done.set()
        thread.join(5)
        listener.close()


@given(st.binary(max_size=200), st.lists(st.integers(1, 7), max_size=60))
def test_after_qemus_greeting_every_byte_passes_however_it_is_split(data, cuts):
    telnet, wire, plain = Telnet(), QEMU_GREETING + data, b""
    for cut in [*cuts, len(wire)]:
        plain += telnet.decode(wire[:cut])[0]
        wire = wire[cut:]
    assert plain == data


def test_a_common_server_is_answered_once_per_demand():
    telnet = Telnet()
    greeting = bytes([255, 251, 1, 255, 251, 3, 255, 253, 24, 255, 253, 31])
    plain, reply = telnet.decode(greeting + b"login: ")
    assert plain == b"login: "
    assert reply == bytes([255, 253, 1, 255, 253, 3, 255, 252, 24, 255, 252, 31])
    assert telnet.decode(greeting) == (b"", b"")


def test_subnegotiation_and_doubled_ff_split_over_reads():
    telnet = Telnet()
    wire = b"a" + bytes([255, 250, 24, 1, 255, 240]) + b"b" + bytes([255, 255]) + b"c"
    plain = b"".join(telnet.decode(wire[n : n + 1])[0] for n in range(len(wire)))
    assert plain == b"ab\xffc"


def test_cr_is_bare_only_in_binary_and_ff_is_doubled():
    telnet = Telnet()
    assert telnet.encode(b"ls\r\xff") == b"ls\r\x00\xff\xff"
    telnet.decode(QEMU_GREETING)
    assert telnet.encode(b"ls\r\xff") == b"ls\r\xff\xff"


def test_cr_nul_is_a_cr_until_the_server_is_in_binary():
    telnet = Telnet()
    assert telnet.decode(b"a\r\0b\r\n\r")[0] == b"a\rb\r\n\r"
    assert telnet.decode(b"\0\0c\0")[0] == b"\0c\0"
    assert telnet.decode(bytes([255, 251, 0])) == (b"", bytes([255, 253, 0]))
    assert telnet.decode(b"a\r\0b")[0] == b"a\r\0b"


def test_options_that_are_taken_back_are_given_back_and_can_return():
    telnet = Telnet()
    binary_on, binary_off = bytes([255, 253, 0]), bytes([255, 254, 0])
    assert telnet.decode(binary_on)[1] == bytes([255, 251, 0])
    assert telnet.decode(binary_on)[1] == b""
    assert telnet.encode(b"\r") == b"\r"
    assert telnet.decode(binary_off)[1] == bytes([255, 252, 0])
    assert telnet.encode(b"\r") == b"\r\0"
    assert telnet.decode(binary_off)[1] == b""
    assert telnet.decode(binary_on)[1] == bytes([255, 251, 0])
    echo_on, echo_off = bytes([255, 251, 1]), bytes([255, 252, 1])
    answers = [telnet.decode(demand)[1] for demand in (echo_off, echo_on, echo_off, echo_on)]
    assert answers == [b"", *(bytes([255, verb, 1]) for verb in (253, 254, 253))]


def test_each_timing_mark_is_answered():
    telnet = Telnet()
    for _ in range(3):
        assert telnet.decode(bytes([255, 253, 6]))[1] == bytes([255, 252, 6])


@given(
    st.lists(
        st.one_of(
            st.binary(max_size=20).filter(lambda data: b"\xff" not in data and b"\r" not in data),
            st.tuples(st.sampled_from([251, 252, 253, 254]), st.integers(0, 255)),
            st.sampled_from([241, 242, 246, 249]),
            st.binary(max_size=20).map(lambda data: data.replace(b"\xff", b"")).map(bytearray),
        ),
        max_size=60,
    ),
    st.lists(st.integers(1, 5), max_size=100),
)
def test_any_number_of_commands_split_anywhere_leaves_the_data_whole(pieces, cuts):
    """Commands, options and subnegotiations in any number between bytes of data."""
    wire, plain = b"\xff\xf1", b""
    for piece in pieces:
        match piece:
            case bytearray():
                wire += b"\xff\xfa\x18" + bytes(piece) + b"\xff\xff\xff\xf0"
            case bytes():
                wire += piece
                plain += piece
            case int():
                wire += bytes([255, piece])
            case verb, option:
                wire += bytes([255, verb, option])
    telnet, got = Telnet(), b""
    for cut in [*cuts, len(wire)]:
        got += telnet.decode(wire[:cut])[0]
        wire = wire[cut:]
    assert got == plain


@given(st.lists(st.tuples(st.sampled_from([251, 252, 253, 254]), st.integers(0, 7)), max_size=80))
def test_two_of_us_never_negotiate_for_ever(demands):
    """Whatever was asked, the answers die out when they meet a filter like ours."""
    here, there = Telnet(), Telnet()
    reply = here.decode(b"".join(bytes([255, verb, option]) for verb, option in demands))[1]
    for _ in range(20):
        reply = there.decode(reply)[1]
        reply = here.decode(reply)[1]
    assert reply == b""


def test_replies_of_the_reader_never_split_what_another_thread_types():
    """A slow peer that takes a little at a time and asks for timing marks all the while."""
    typed = b"\r\rx" * 20_000
    received = bytearray()

    def serve(peer: socket.socket) -> None:
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        peer.settimeout(10)
        while received.count(b"x") < 20_000:
            peer.sendall(b"\xff\xfd\x06x")
            data = peer.recv(3001)
            if not data:
                return
            received.extend(data)

    with server(serve) as port:
        spawn = open_line(f"telnet://127.0.0.1:{port}")
        with socket.socket(fileno=os.dup(spawn.child_fd)) as other:
            other.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        writer = threading.Thread(target=spawn.send, args=(typed,))
        writer.start()
        while writer.is_alive() or received.count(b"x") < 20_000:
            with contextlib.suppress(pexpect.TIMEOUT):
                spawn.read_nonblocking(100, 0.05)
        writer.join(10)
        spawn.close()
    data = bytes(received)
    for verb in range(251, 255):
        data = re.sub(rb"\xff" + bytes([verb]) + rb"[^\xff]", b"", data)
    assert data == b"\r\0\r\0x" * 20_000
    assert b"\r\xff" not in bytes(received)


def test_an_urgent_data_mark_leaves_no_iac_alone():
    """A Synch: telnetd sends the last byte of IAC DM as TCP urgent data."""

    def serve(peer: socket.socket) -> None:
        peer.sendall(b"\xff\xf1one ")
        peer.sendall(b"\xff")
        peer.send(b"\xf2", socket.MSG_OOB)
        peer.sendall(b"two")

    with server(serve) as port:
        spawn = open_line(f"telnet://127.0.0.1:{port}")
        spawn.expect_exact(b"one two", timeout=5)
        spawn.close()


def test_bytes_over_a_real_socket():
    def serve(peer: socket.socket) -> None:
        peer.sendall(QEMU_GREETING + b"# ")
        got = b""
        while not got.endswith(b"\r"):
            got += peer.recv(100)
        peer.sendall(b"got " + got)

    with server(serve) as port:
        spawn = open_line(f"telnet://127.0.0.1:{port}")
        spawn.expect_exact(b"# ", timeout=5)
        spawn.send(b"uname\r")
        spawn.expect_exact(b"got uname\r", timeout=5)
        with pytest.raises(pexpect.TIMEOUT):
            spawn.read_nonblocking(10, 0.05)
        spawn.close()


def test_end_of_file_is_told():
    def serve(peer: socket.socket) -> None:
        peer.sendall(QEMU_GREETING + b"bye")
        peer.shutdown(socket.SHUT_RDWR)

    with server(serve) as port:
        spawn = open_line(f"telnet://127.0.0.1:{port}")
        spawn.expect_exact(b"bye", timeout=5)
        with pytest.raises(pexpect.EOF):
            spawn.read_nonblocking(10, 5)
        spawn.close()


def test_a_console_that_says_nothing_is_taken(monkeypatch):
    monkeypatch.setattr(opening, "GREETING_SECONDS", 0.3)
    with server(lambda peer: None) as port:
        with pytest.raises(LineError, match="somebody else holds the console") as caught:
            open_line(f"telnet://127.0.0.1:{port}")
        assert caught.value.taken
        assert "raw=1" in caught.value.now


def test_nobody_there():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(LineError, match="refused") as caught:
        open_line(f"telnet://127.0.0.1:{port}")
    assert not caught.value.taken


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("localhost:4474", "not a console address"),
        ("telnet://localhost", "no port"),
        ("telnet://:4474", "no host"),
        ("telnet://h:99999", "not a console address"),
        ("telnet://h:1?speed=9600", "no option"),
        ("ssh://root:pw@h", "never holds a password"),
        ("serial://", "no device"),
        ("http://x", "not a console address"),
    ],
)
def test_bad_addresses_are_explained(url, says):
    with pytest.raises(LineError, match=says) as caught:
        parse(url)
    assert caught.value.now
    assert "pw" not in str(caught.value)


def test_good_addresses():
    assert str(parse("telnet://localhost:4474")) == "telnet://localhost:4474"
    assert parse("ssh://root@h").port == 22
    assert parse("serial:///dev/ttyU0?speed=9600").options == {"speed": "9600"}
    assert str(parse("telnet://[::1]:23")) == "telnet://[::1]:23"
    assert parse("local:").kind == "local"
