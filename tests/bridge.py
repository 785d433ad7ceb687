"""A console on a TCP port: a shell on a real pty behind a telnet server like QEMU's.

The shell lives on when its client goes, as a machine does; one client at a time is served.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
import tempfile
import threading
from pathlib import Path

import pexpect

GREETING = bytes([255, 251, 1, 255, 251, 3, 255, 251, 0, 255, 253, 0])


class Bridge:
    """Serves `program` on `port`; `greet=False` is raw TCP (`?raw=1`)."""

    def __init__(
        self,
        program: str = "/bin/sh",
        args: tuple[str, ...] = (),
        *,
        greet: bool = True,
        size: tuple[int, int] = (24, 80),
    ) -> None:
        self.shell = pexpect.spawn(
            program,
            list(args),
            env={"PATH": f"{_root_in_name()}:{os.environ['PATH']}", "PS1": "# ", "TERM": "vt100"},
            dimensions=size,
        )
        self.shell.delaybeforesend = self.shell.delayafterclose = None
        self._greet = greet
        self._server = socket.create_server(("127.0.0.1", 0))
        self._server.settimeout(0.1)
        self.port = self._server.getsockname()[1]
        self._stop = threading.Event()
        self._cut = threading.Event()
        self.refusing = False
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"telnet://127.0.0.1:{self.port}{'' if self._greet else '?raw=1'}"

    def cut(self, *, refuse: bool = False) -> None:
        """Drop the client, and with `refuse` every later one."""
        if refuse:
            self.refusing = True
            self._server.close()
        self._cut.set()

    def _serve(self) -> None:
        while not self._stop.is_set():
            try:
                peer, _ = self._server.accept()
            except TimeoutError:
                continue
            except OSError:
                return
            self._cut.clear()
            with contextlib.closing(peer), contextlib.suppress(OSError):
                if self._greet:
                    peer.sendall(GREETING)
                self._pass(peer)

    def _pass(self, peer: socket.socket) -> None:
        while not (self._stop.is_set() or self._cut.is_set()):
            ready, _, _ = select.select([peer, self.shell.child_fd], [], [], 0.05)
            if peer in ready:
                data = peer.recv(4096)
                if not data:
                    return
                os.write(self.shell.child_fd, data)
            if self.shell.child_fd in ready:
                peer.sendall(os.read(self.shell.child_fd, 4096))

    def __enter__(self) -> Bridge:
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._server.close()
        self._thread.join(2)
        self.shell.close(force=True)


def _root_in_name() -> Path:
    """A directory with an id(1) that says root, for people who run the tests as themselves."""
    directory = Path(tempfile.gettempdir()) / f"zrwizard-id-{os.getpid()}"
    directory.mkdir(exist_ok=True)
    (directory / "id").write_text("#!/bin/sh\necho 0\n")
    (directory / "id").chmod(0o755)
    return directory
