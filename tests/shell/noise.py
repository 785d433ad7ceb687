"""A real pty with a real sh, and a line to it that lies: noise, loss, doubling, delay, cuts."""

from __future__ import annotations

import os
import random
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pexpect

from zrwizard.console.console import Console
from zrwizard.console.transcript import Transcript
from zrwizard.secrets import Secrets
from zrwizard.shell.session import ShellSession

SHELLS = {
    "dash": ("/bin/dash" if Path("/bin/dash").exists() else "/bin/sh", []),
    "bash-posix": ("/bin/bash", ["--posix", "--norc", "--noprofile"]),
    "busybox-ash": ("/bin/busybox", ["ash"]),
}
KERNEL = (
    b"em0: link state changed to DOWN\r\n",
    b"GEOM_ELI: Device da0.eli created.\r\n",
    b"ZFS filesystem version: 5\r\n",
    b"\x07ugen0.2: <Kingston DataTraveler> at usbus0\r\n",
    b"login: ",
    b"# ",
    b"Password:",
    b"0",
    b"000:255",
    b"\x1eE",
    b"\x1f",
)


@dataclass(frozen=True)
class Faults:
    """Chances per byte: `noise` inserts a kernel line, `lost`/`doubled` hit what is typed."""

    noise: float = 0.0
    lost: float = 0.0
    doubled: float = 0.0
    tiny_reads: bool = False
    delay: float = 0.0


class LyingLine:
    """Wraps a pexpect spawn; faults begin when `armed` is set, reproducibly from `seed`."""

    def __init__(self, spawn: Any, faults: Faults, seed: int) -> None:
        self.spawn = spawn
        self.faults = faults
        self.armed = True
        self._in, self._out = random.Random(seed), random.Random(seed + 1)
        self._left = b""

    def read_nonblocking(self, size: int, timeout: float) -> bytes:
        data = self._left or self.spawn.read_nonblocking(size, timeout)
        self._left = b""
        if self.faults.tiny_reads:
            data, self._left = data[:1], data[1:]
        if self.faults.delay:
            time.sleep(self._out.random() * self.faults.delay)
        if not (self.armed and self.faults.noise):
            return data
        noisy = bytearray()
        for byte in data:
            if self._out.random() < self.faults.noise:
                noisy += self._out.choice(KERNEL)
            noisy.append(byte)
        return bytes(noisy)

    def send(self, data: bytes) -> int:
        if self.armed:
            kept = bytearray()
            for byte in data:
                chance = self._in.random()
                if chance < self.faults.lost:
                    continue
                kept.append(byte)
                if chance > 1 - self.faults.doubled:
                    kept.append(byte)
            data = bytes(kept)
        return self.spawn.send(data)

    def close(self, force: bool = False) -> None:
        self.spawn.close(force=force)


def root_in_name(directory: Path) -> Path:
    """A directory with an id(1) that says root, for people who run the tests as themselves."""
    directory.mkdir(exist_ok=True)
    (directory / "id").write_text("#!/bin/sh\necho 0\n")
    (directory / "id").chmod(0o755)
    return directory


def spawn_shell(kind: str = "dash") -> Any:
    program, args = SHELLS[kind]
    root = root_in_name(Path(tempfile.gettempdir()) / f"zrwizard-id-{os.getpid()}")
    spawn = pexpect.spawn(
        program,
        args,
        env={"PATH": f"{root}:/usr/sbin:/usr/bin:/sbin:/bin", "PS1": "# ", "TERM": "vt100"},
        dimensions=(24, 80),
        maxread=65536,
    )
    spawn.delaybeforesend = spawn.delayafterread = None
    spawn.delayafterclose = spawn.delayafterterminate = 0.02
    return spawn


def open_session(
    kind: str = "dash",
    faults: Faults | None = None,
    seed: int = 1,
    *,
    token: str = "abc123",
    log: Path | None = None,
    secrets: Secrets | None = None,
    cancel: threading.Event | None = None,
) -> tuple[ShellSession, LyingLine]:
    """Return a session over a lying line; the bring-up itself passes the same faults."""
    line = LyingLine(spawn_shell(kind), faults or Faults(), seed)
    line.armed = False
    secrets = secrets or Secrets()
    console = Console(line, Transcript(log, secrets, "test"), cancel or threading.Event())
    session = ShellSession(
        console, token, password=lambda: secrets.get("console"), on_state=lambda _: None
    )
    line.armed = True
    return session, line
