"""A server that runs the receiver as it is, but for the three lines that say where things are."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import secrets
import select
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.receiver import standins
from zrwizard import receiver

SHELLS = {
    name: program
    for name, program in (
        ("dash", shutil.which("dash") or "/bin/sh"),
        ("ash", f"{shutil.which('busybox')} ash" if shutil.which("busybox") else ""),
    )
    if program
}
SERIAL = "WX11A1234567"
SIZE = 2000398934016
FORKING = threading.Lock()
"""A program that is being written must not be open in another thread's new child (ETXTBSY)."""
PATIENCE = 40.0
"""Seconds after which something will not come any more, on a busy machine."""


def until(condition: Callable[[], object], what: str, seconds: float = PATIENCE) -> None:
    """Return as soon as `condition` holds; AssertionError when it never did."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"never came: {what}")
        time.sleep(0.1)


class Session:
    """One run of the script, as sshd starts it."""

    def __init__(
        self, argv: list[str], request: str | bytes | None, *, parent: bool = False
    ) -> None:
        environ: dict[bytes, bytes] = {b"PATH": b"/usr/bin:/bin", b"HOME": b"/root"}
        if request is not None:
            raw = request.encode() if isinstance(request, str) else request
            environ[b"SSH_ORIGINAL_COMMAND"] = raw
        # A parent of its own, which stays, as the shell under some sshds does.
        if parent:
            argv = ["/bin/sh", "-c", '"$@"; exit $?', "sh", *argv]
        with FORKING:
            self.process = subprocess.Popen(
                argv,
                env=environ,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
        self.out = b""
        self.err = b""
        self._deaf = threading.Event()
        self._threads = [
            threading.Thread(target=self._read, args=(name,), daemon=True)
            for name in ("out", "err")
        ]
        for thread in self._threads:
            thread.start()

    def _read(self, name: str) -> None:
        pipe = self.process.stdout if name == "out" else self.process.stderr
        assert pipe is not None
        while not (name == "out" and self._deaf.is_set()):
            if select.select([pipe], [], [], 0.05)[0]:
                if not (data := os.read(pipe.fileno(), 65536)):
                    break
                setattr(self, name, getattr(self, name) + data)
        pipe.close()

    def send(self, data: bytes) -> None:
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.write(data)
            self.process.stdin.flush()

    def end(self) -> None:
        """Nothing more comes on its standard input."""
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()

    def deafen(self) -> None:
        """Whatever it prints from now on meets a closed pipe."""
        self._deaf.set()
        self._threads[0].join()

    def line(self, text: str) -> None:
        """Wait until it has printed `text` as a line."""
        wanted = text.encode() + b"\n"
        until(
            lambda: wanted in self.out or self.process.poll() is not None,
            f"{text} (it said {self.err!r})",
        )
        until(lambda: wanted in self.out, f"{text} (it ended: {self.err!r})", 2)

    def finish(self, seconds: float = PATIENCE) -> int:
        """Wait for its end; return its status, with `out` and `err` complete."""
        status = self.process.wait(seconds)
        for thread in self._threads:
            thread.join(5)
        return status

    @property
    def said(self) -> str:
        return self.err.decode(errors="replace")

    @property
    def printed(self) -> str:
        return self.out.decode(errors="replace")


class Server:
    """A world of stand-in tools, a copy of the script that looks for them, and its sessions."""

    def __init__(self, root: Path, shell: str = "dash", **settings: object) -> None:
        self.root = root
        self.world = root / "world"
        self.run = root / "run"
        self.sessions: list[Session] = []
        self.key = secrets.token_hex(64).encode() + b"\n"
        for directory in ("world/attached", "world/imported", "world/mode", "bin", "etc", "dev"):
            (root / directory).mkdir(parents=True)
        (self.world / "key.sum").write_text(hashlib.sha256(self.key).hexdigest() + "  -\n")
        for name, text in standins.programs(str(self.world)).items():
            self.program(name, text)
        interpreter = SHELLS[shell]
        (root / "bin/sh").symlink_to(interpreter.split()[0])
        self.script = root / "bin/zr-receiver"
        self.install(interpreter)
        self.configure(**settings)
        self.disks(standins.disk("ada0", "SECRET-ROOT", 80026361856), "da0")

    def install(self, interpreter: str) -> None:
        text = receiver.SCRIPT
        for wanted, new in (
            (r"^#!/bin/sh$", f"#!{interpreter}"),
            (r"^PATH=\S+", f"PATH={self.root}/bin:/usr/sbin:/usr/bin:/sbin:/bin"),
            (r"^CONFIGS=\S+ DEV=\S+", f"CONFIGS={self.root}/etc DEV={self.root}/dev"),
            (r" PLACES='[^']*'", f" PLACES='{self.run} {self.root}/fallback'"),
        ):
            text, count = re.subn(wanted, new, text, count=1, flags=re.MULTILINE)
            assert count == 1
        self.program("zr-receiver", text)

    def hurry(self, *pairs: tuple[str, str]) -> None:
        """Shorten waits of the script: each text is there and is replaced by the other."""
        text = self.script.read_text()
        for old, new in pairs:
            assert old in text
            text = text.replace(old, new)
        self.program("zr-receiver", text)

    def configure(self, **settings: object) -> None:
        given: dict[str, object] = {
            "shape": "vault",
            "serial": SERIAL,
            "size": SIZE,
            "pool": "wd",
            "wait": 30,
            "attach": 30,
        }
        text = receiver.config(**(given | settings))  # type: ignore[arg-type]
        (self.root / "etc/knox.conf").write_text(text)

    def program(self, name: str, text: str) -> None:
        with FORKING:
            (self.root / "bin" / name).write_text(text)
            (self.root / "bin" / name).chmod(0o755)

    def disks(self, others: str, *names: str) -> None:
        """Ours appears under each of `names`, beside `others`."""
        text = others + "".join(standins.disk(name, SERIAL, SIZE) for name in names)
        (self.world / "disks").write_text(text)
        for name in names:
            (self.root / "dev" / name).write_bytes(b"x" * 4096)

    def mode(self, word: str, value: object = "") -> None:
        (self.world / "mode" / word).write_text(f"{value}\n")

    def usual(self, word: str) -> None:
        (self.world / "mode" / word).unlink()

    def session(
        self, role: str, request: str | bytes | None = None, *, parent: bool = False
    ) -> Session:
        session = Session([str(self.script), "knox", role], request, parent=parent)
        self.sessions.append(session)
        return session

    def deliver(self, key: bytes | None = None) -> Session:
        session = self.session("deliver", "key")
        session.send(self.key if key is None else key)
        session.end()
        return session

    def opened(self, request: str = "hold", *, parent: bool = False) -> Session:
        """A session with its key delivered; for `hold` it is ready."""
        session = self.session("receive", request, parent=parent)
        delivery = self.deliver()
        assert delivery.finish() == 0, (delivery.said, session.said)
        assert delivery.printed == "accepted\n"
        if request == "hold":
            session.line("ready")
        return session

    # --- what is so -------------------------------------------------------------------------------

    @property
    def attached(self) -> list[str]:
        return sorted(path.name for path in (self.world / "attached").iterdir())

    @property
    def imported(self) -> list[str]:
        return sorted(path.name for path in (self.world / "imported").iterdir())

    @property
    def marks(self) -> list[str]:
        return sorted(path.name for path in self.run.iterdir()) if self.run.is_dir() else []

    def calls(self, *tools: str) -> list[str]:
        try:
            lines = (self.world / "calls").read_text().splitlines()
        except FileNotFoundError:
            return []
        return [line for line in lines if not tools or line.split()[0] in tools]

    @property
    def syslog(self) -> str:
        with contextlib.suppress(FileNotFoundError):
            return (self.world / "syslog").read_text()
        return ""

    def processes(self, text: str = "") -> list[int]:
        """Every process that has to do with this server, or has `text` in its arguments as well."""
        return [
            pid
            for pid, arguments in running()
            if str(self.root) in arguments and text in arguments and pid != os.getpid()
        ]

    def main(self, session: Session) -> int:
        """The main process of a session; under a parent it is that one's child."""
        until(lambda: self._mark_of(session), "the session's directory")
        return int(self._mark_of(session).split("+")[1])

    def main_of(self, text: str) -> int:
        """The main process of the one session whose arguments hold `text`."""
        pids = self.processes(text)
        return next(pid for pid in pids if any(f"+{pid}+" in mark for mark in self.marks))

    def worker(self, session: Session) -> int:
        mark = self.run / self._mark_of(session)
        until((mark / "open/worker").exists, "the worker")
        return int((mark / "open/worker").read_text().split()[0])

    def guardian(self, session: Session) -> int:
        mark = self.run / self._mark_of(session)
        until(lambda: (mark / "guard").exists() and (mark / "guard").read_text(), "the guardian")
        return int((mark / "guard").read_text())

    def _mark_of(self, session: Session) -> str:
        mine = {session.process.pid, *children(session.process.pid)}
        for name in self.marks:
            fields = name.split("+")
            if len(fields) == 3 and fields[1].isdigit() and int(fields[1]) in mine:
                return name
        return ""

    def stage(self, word: str) -> int:
        """Wait until a tool that was told to be slow there has come there; its pid."""
        path = self.world / f"stage.{word}"
        until(path.exists, f"the stage {word}")
        return int(path.read_text())

    @property
    def shut(self) -> bool:
        """Nothing attached, nothing imported, no mark, no process."""
        return not (self.attached or self.imported or self.marks or self.processes("zr-receiver"))

    def stays_shut(self, seconds: float = PATIENCE) -> None:
        until(
            lambda: self.shut,
            f"shut: {self.attached} {self.imported} {self.marks} {self.syslog}",
            seconds,
        )

    def close(self) -> None:
        """Kill whatever a failed test left behind: these are all of our own making."""
        for _ in range(3):
            for pid in self.processes():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        for session in self.sessions:
            with contextlib.suppress(subprocess.TimeoutExpired):
                session.process.wait(5)


def running() -> Iterator[tuple[int, str]]:
    """Every process of this machine and its arguments."""
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            with contextlib.suppress(OSError):
                raw = Path("/proc", entry, "cmdline").read_bytes()
                yield int(entry), raw.replace(b"\0", b" ").decode(errors="replace")


def children(pid: int) -> list[int]:
    try:
        text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    except OSError:
        return []
    return [int(word) for word in text.split()]
