"""Who takes part, where each comes from, and how one is run in a process of its own."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]
HOME = Path.home() / ".cache" / "zrwizard" / "bench"
_SPARE = 20.0
_INSTALL_SECONDS = 300


@dataclass(frozen=True, slots=True)
class Contestant:
    """`script` with `flags` under rivals/; `package` is what pip installs, empty for none.

    `checks` says what is known about a command's result once it is back.
    """

    name: str
    script: str
    checks: str
    flags: tuple[str, ...] = ()
    package: str = ""


PLAIN = Contestant("os.read, rolling tail", "plain.py", "status")
RAW = Contestant("os.read, stty -opost", "plain.py", "status", ("--raw",))
PEXPECT = Contestant("pexpect, defaults", "pexpect_spawn.py", "nothing")
TUNED = Contestant("pexpect, tuned", "pexpect_spawn.py", "nothing", ("--tuned",))
OURS = Contestant("zrwizard", "", "command, status, output; once")
RIVALS = (
    Contestant("labgrid ShellDriver", "labgrid_shell.py", "status", package="labgrid>=25,<27"),
    Contestant("aexpect, defaults", "aexpect_shell.py", "status", package="aexpect>=1.8,<2"),
    Contestant("aexpect, 1 ms", "aexpect_shell.py", "status", ("--tuned",), "aexpect>=1.8,<2"),
    Contestant("scrapli 1", "scrapli_channel.py", "nothing", package="scrapli>=2025,<2026"),
)


@dataclass(slots=True)
class Outcome:
    """What one contestant printed; `said` is the reason where it did not come to its end."""

    name: str
    checks: str
    said: str = ""
    version: str = ""
    figures: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def bulk(self) -> list[dict[str, Any]]:
        """The bulk figures of the largest size, most often several."""
        return list(self.figures.get("bulk", {}).get("largest", []))

    def take(self, row: dict[str, Any]) -> None:
        """Add one JSON line."""
        kind = row.pop("kind")
        if kind == "ready":
            self.version = row["version"]
        elif kind == "bulk":
            held = self.figures.setdefault("bulk", {"largest": []})["largest"]
            if held and held[0]["bytes"] < row["bytes"]:
                held.clear()
            held.append(row)
        else:
            self.figures[kind] = row


def interpreter(contestant: Contestant) -> str:
    """Return the python that runs a contestant: ours, or that of the rivals' environment."""
    return str(HOME / "bin" / "python") if contestant.package else sys.executable


def run(contestant: Contestant, arguments: list[str], seconds: float) -> Outcome:
    """Run a contestant's adapter; one that takes more than `seconds` is ended."""
    outcome = Outcome(contestant.name, contestant.checks)
    python = interpreter(contestant)
    if contestant.package and not Path(python).exists():
        outcome.said = "not set up: run with --setup"
        return outcome
    words = [python, str(HERE / "rivals" / contestant.script), *contestant.flags, *arguments]
    _follow(outcome, words, seconds)
    return outcome


def run_ours(part: str, arguments: list[str], seconds: float) -> Outcome:
    """Run a part of our own contestant likewise."""
    outcome = Outcome(OURS.name, OURS.checks)
    words = [sys.executable, "-m", "tests.bench.console.ours", part, *arguments]
    _follow(outcome, words, seconds)
    return outcome


def _follow(outcome: Outcome, words: list[str], seconds: float) -> None:
    """Take a child's lines as they come; its whole process group ends with it."""
    child = subprocess.Popen(
        words,
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert child.stdout is not None
    assert child.stderr is not None
    lines: queue.Queue[str | None] = queue.Queue()
    errors: list[str] = []
    reader = threading.Thread(target=_read, args=(child.stdout, lines), daemon=True)
    reader.start()
    threading.Thread(target=lambda: errors.extend(child.stderr or ()), daemon=True).start()
    stop = time.monotonic() + seconds + _SPARE
    try:
        while (line := lines.get(timeout=max(0.0, stop - time.monotonic()))) is not None:
            if line.startswith("{"):
                outcome.take(json.loads(line))
        if child.wait(timeout=10):
            outcome.said = _reason(errors)
    except (queue.Empty, subprocess.TimeoutExpired):
        outcome.said = f"ended after {seconds + _SPARE:.0f} s"
    finally:
        if child.poll() is None:
            os.killpg(child.pid, signal.SIGKILL)
            child.wait()


def _read(stream: Any, lines: queue.Queue[str | None]) -> None:
    for line in stream:
        lines.put(line)
    lines.put(None)


def _reason(errors: list[str]) -> str:
    """Return the last line of a traceback, short enough for a table."""
    said = [line.strip() for line in errors if line.strip()]
    reason = said[-1] if said else "failed without a word"
    if "ModuleNotFoundError" in reason:
        return "not installed: run with --setup"
    return reason[:100]


def set_up() -> list[str]:
    """Make the rivals' environment and install each rival; return a sentence a package."""
    if not (HOME / "bin" / "python").exists():
        subprocess.run([sys.executable, "-m", "venv", str(HOME)], check=True)
    said = []
    for package in sorted({rival.package for rival in RIVALS}):
        words = [str(HOME / "bin" / "python"), "-m", "pip", "install", "-q", package]
        try:
            done = subprocess.run(
                words, capture_output=True, text=True, timeout=_INSTALL_SECONDS, check=False
            )
            reason = "installed" if done.returncode == 0 else _reason(done.stderr.splitlines())
        except subprocess.TimeoutExpired:
            reason = f"pip did not end in {_INSTALL_SECONDS} s"
        said.append(f"{package}: {reason}")
    return said
