"""A `Shell` that is this machine's real sh in a temporary directory; nothing of it is a mock.

`fail` maps a substring of a command to the exception that is raised in place of running it, which
is how a console that dies is played.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from zrwizard.console.errors import ConsoleError, NoAnswer, Refused
from zrwizard.secrets import Secret
from zrwizard.shell.api import Job, Result, Rule, unheard

WRAP = "sh {d}/run >{d}/log 2>&1; echo $? >{d}/rc.new; mv {d}/rc.new {d}/rc"


class RealShell:
    """Runs `sh -c` with `bin` first in PATH and ROOT in the environment; jobs outlive it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.home = str(root / "home")
        self.on_cut = unheard
        (root / "home").mkdir(exist_ok=True, mode=0o700)
        (root / "bin").mkdir(exist_ok=True)
        self.typed: list[str] = []
        self.fail: dict[str, Callable[[], ConsoleError]] = {}
        self.closed = False
        self.left: list[str] = []

    @property
    def environ(self) -> dict[str, str]:
        path = f"{self.root / 'bin'}:{os.environ['PATH']}"
        return {**os.environ, "PATH": path, "ROOT": str(self.root)}

    def tool(self, name: str, text: str) -> None:
        """Put a program called `name` on the target."""
        path = self.root / "bin" / name
        path.write_text("#!/bin/sh\n" + text)
        path.chmod(0o755)

    def _fall(self, text: str) -> None:
        self.typed.append(text)
        for part, error in self.fail.items():
            if part in text:
                raise error()

    def run(self, text: str, *, timeout: float = 30.0) -> Result:
        return self._ran(text, b"", timeout)

    def feed(self, text: str, secret: Secret, *, timeout: float = 120.0) -> Result:
        return self._ran(text, secret.reveal(), timeout)

    def _ran(self, text: str, given: bytes, timeout: float) -> Result:
        self._fall(text)
        began = time.monotonic()
        try:
            done = subprocess.run(
                ["sh", "-c", text],
                input=given,
                capture_output=True,
                timeout=timeout,
                env=self.environ,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise NoAnswer("No answer in time.", "Look at the console.") from None
        return Result(done.returncode, done.stdout, done.stderr, time.monotonic() - began)

    def talk(self, text: str, rules: tuple[Rule, ...] = (), *, timeout: float = 120.0) -> Result:
        """Answers each prompt that the command shows; one that no rule knows is `Refused`."""
        self._fall(text)
        began = time.monotonic()
        process = subprocess.Popen(
            ["sh", "-c", text],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=self.environ,
        )
        assert process.stdin is not None
        assert process.stdout is not None
        shown, uses = b"", dict.fromkeys(rules, 0)
        while True:
            piece = os.read(process.stdout.fileno(), 4096)
            if not piece:
                break
            shown += piece
            last = shown.rsplit(b"\n", 1)[-1].decode()
            if not last.endswith((": ", ":", "? ")):
                continue
            rule = next((r for r in rules if re.search(r.pattern, last)), None)
            if rule is None or uses[rule] >= rule.max_uses:
                process.kill()
                process.wait()
                name = rule.answer if rule else last
                raise Refused(f"{name!r} was not accepted: it was asked for again.", "Check it.")
            uses[rule] += 1
            process.stdin.write(rule.answer.reveal() + b"\n")
            process.stdin.flush()
        status = process.wait(timeout)
        return Result(status, shown, b"", time.monotonic() - began)

    def upload(self, path: str, data: bytes | Secret, mode: int = 0o600) -> None:
        self._fall(f"upload {path}")
        target = Path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data.reveal() if isinstance(data, Secret) else data)
        target.chmod(mode)

    def download(self, path: str, to: Path) -> None:
        self._fall(f"download {path}")
        if not Path(path).is_file():
            raise Refused(f"Cannot read {path} on the target: not a file", "Check its name.")
        to.write_bytes(Path(path).read_bytes())
        to.chmod(0o600)

    def _dir(self, name: str) -> Path:
        return Path(self.home) / "jobs" / name

    def start_job(self, name: str, script: str) -> None:
        self._fall(f"start_job {name}")
        where = self._dir(name)
        where.mkdir(parents=True, exist_ok=True)
        for old in where.iterdir():
            old.unlink()
        (where / "run").write_text(script)
        (where / "log").touch()
        process = subprocess.Popen(
            ["sh", "-c", WRAP.format(d=where)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            env=self.environ,
        )
        (where / "pid").write_text(f"{process.pid}\n")

    def job(self, name: str) -> Job:
        self._fall(f"job {name}")
        where = self._dir(name)
        if not (where / "pid").exists():
            return Job(False, False, None)
        rc = where / "rc"
        status = int(rc.read_text()) if rc.exists() else None
        return Job(True, status is None and _alive(int((where / "pid").read_text())), status)

    def stop_job(self, name: str) -> None:
        pid = self._dir(name) / "pid"
        if pid.exists():
            try:
                os.killpg(int(pid.read_text()), signal.SIGKILL)
            except ProcessLookupError:
                return

    def leave(
        self, text: str, *, until: str, timeout: float, secret: Secret | None = None
    ) -> str:
        self._fall(text)
        self.left.append(text)
        return f"screen after {text}: {until}"

    def close(self) -> None:
        self.closed = True


def _alive(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rsplit(")", 1)[-1].split()[0] != "Z"
