"""The telnet filter, byte by byte and over a real socket."""

from __future__ import annotations

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
