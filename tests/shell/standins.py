"""A session on a real sh whose first programs are a test's own."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import pexpect

from tests.shell.noise import Faults, LyingLine, as_login_does, root_in_name
from zrwizard.console.console import Console
from zrwizard.console.transcript import Transcript
from zrwizard.secrets import Secrets
from zrwizard.shell.session import ShellSession

_NUMBERS = count(1)


def write(directory: Path, programs: Mapping[str, str]) -> Path:
    """Put `programs`, by their names, into `directory`; return it."""
    root_in_name(directory)
    for name, text in programs.items():
        (directory / name).write_text(text)
        (directory / name).chmod(0o755)
    return directory


@contextmanager
def opened(
    programs: Path, *, token: str, faults: Faults | None = None, log: Path | None = None
) -> Iterator[ShellSession]:
    """Yield a session that finds `programs` first; its home and its shell are gone afterwards.

    `faults` begin when the session is there.
    """
    spawn = pexpect.spawn(
        "/bin/sh",
        [],
        env={"PATH": f"{programs}:/usr/sbin:/usr/bin:/sbin:/bin", "PS1": "# ", "TERM": "vt100"},
        dimensions=(24, 80),
        maxread=65536,
        preexec_fn=as_login_does,
    )
    spawn.delaybeforesend = spawn.delayafterread = None
    spawn.delayafterclose = spawn.delayafterterminate = 0.02
    line = LyingLine(spawn, faults or Faults(), 1)
    line.armed = False
    console = Console(line, Transcript(log, Secrets(), "test"), threading.Event())
    session = ShellSession(
        console,
        f"{token}{os.getpid():x}{next(_NUMBERS):x}",
        password=lambda: None,
        on_state=lambda _: None,
    )
    line.armed = True
    try:
        yield session
    finally:
        line.armed = False
        session.run(f"rm -rf {session.home}")
        session.close()
