"""A raw telnet client for the rehearsal's console."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator

import pytest

from zrwizard.rehearsal import Rehearsal, Scenario

GREETING = bytes.fromhex("fffb01fffb03fffb00fffd00")


class Wire:
    """Bytes to and from a console."""

    def __init__(self, rehearsal: Rehearsal) -> None:
        host, port = rehearsal.url.removeprefix("telnet://").split(":")
        self.sock = socket.create_connection((host, int(port)), timeout=5)
        self.seen = b""

    def until(self, mark: bytes, seconds: float = 15.0) -> bytes:
        """Read until `mark` was seen; what came up to and with it."""
        deadline = time.monotonic() + seconds
        while mark not in self.seen:
            left = deadline - time.monotonic()
            if left <= 0:
                raise AssertionError(f"no {mark!r} in {self.seen[-2000:]!r}")
            self.sock.settimeout(left)
            try:
                piece = self.sock.recv(65536)
            except TimeoutError:
                continue
            if not piece:
                raise AssertionError(f"hung up before {mark!r}: {self.seen[-2000:]!r}")
            self.seen += piece
        end = self.seen.index(mark) + len(mark)
        taken, self.seen = self.seen[:end], self.seen[end:]
        return taken

    def quiet(self, seconds: float = 0.3) -> bytes:
        """Whatever comes until nothing has come for `seconds`."""
        self.sock.settimeout(seconds)
        while True:
            try:
                piece = self.sock.recv(65536)
            except TimeoutError:
                break
            if not piece:
                break
            self.seen += piece
        taken, self.seen = self.seen, b""
        return taken

    def send(self, data: str | bytes) -> None:
        """Type."""
        self.sock.sendall(data.encode() if isinstance(data, str) else data)

    def plain(self) -> None:
        """From a fresh plain prompt to a shell without prompt and echo."""
        self.send("exec /bin/sh\r")
        self.until(b"exec /bin/sh\r\n# ")
        self.send("set +o emacs +o vi; unset ENV HISTFILE; PS1= PS2=; stty -echo cols 250\r")
        self.until(b"cols 250\r\n")
        self.run(":")

    def run(self, command: str, seconds: float = 20.0) -> tuple[int, str]:
        """A command in the quiet shell: its status and what the terminal showed."""
        self.send(f"{command}\rprintf '\\036%d\\037' $?\r")
        shown = self.until(b"\x1e", seconds)[:-1]
        status = self.until(b"\x1f", seconds)[:-1]
        return int(status), shown.decode("utf-8", "replace").replace("\r\n", "\n")

    def close(self) -> None:
        """Hang up."""
        self.sock.close()


Starter = Callable[..., Rehearsal]


@pytest.fixture
def begin() -> Iterator[Starter]:
    """Start rehearsals that end with the test."""
    running: list[Rehearsal] = []

    def start(
        scenario: Scenario | str = "restore", speed: float = 100.0, **more: float
    ) -> Rehearsal:
        made = Rehearsal(
            speed=speed,
            scenario=scenario,
            seed=int(more.get("seed", 1)),
            noise=more.get("noise", 0.0),
        )
        made.__enter__()
        running.append(made)
        return made

    yield start
    for made in running:
        made.close()


@pytest.fixture(scope="session")
def wire_class() -> type[Wire]:
    """The class itself, for fixtures that live longer than a test."""
    return Wire


@pytest.fixture
def wire() -> Iterator[Callable[[Rehearsal], Wire]]:
    """Connect to a console; the connection ends with the test."""
    open_: list[Wire] = []

    def connect(rehearsal: Rehearsal) -> Wire:
        made = Wire(rehearsal)
        open_.append(made)
        return made

    yield connect
    for made in open_:
        made.close()
