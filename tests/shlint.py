"""Checks of sh text by tools that not every machine has; .ci/run installs all of them."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

SHELL = shutil.which("dash") or "/bin/sh"
"""The strictest POSIX shell of this machine."""


def parses(text: str) -> bool:
    """Whether `text` is sh as far as its grammar goes."""
    done = subprocess.run(
        [SHELL, "-n"], input=text.encode() + b"\n", capture_output=True, check=False
    )
    return done.returncode == 0


def lint(path: Path) -> None:
    """Raise unless the script parses and, where shellcheck is there, shellcheck approves."""
    subprocess.run([SHELL, "-n", str(path)], check=True)
    if shutil.which("shellcheck"):
        subprocess.run(["shellcheck", "-s", "sh", str(path)], check=True)
