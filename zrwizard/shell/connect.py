"""From a console URL to a root shell."""

from __future__ import annotations

import json
import os
import re
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from zrwizard.console.console import Console
from zrwizard.console.errors import MachineLost, Taken, Unreachable
from zrwizard.console.screen import Screen
from zrwizard.console.transcript import Transcript
from zrwizard.line import LineError, open_line, parse
from zrwizard.line.lock import Lock
from zrwizard.secrets import Secrets
from zrwizard.shell.bringup import Left
from zrwizard.shell.session import ShellSession


def _nothing(_: str) -> None:
    return None


@dataclass(frozen=True, slots=True)
class Watch:
    """Who wants to know what the console shows while it is being brought up."""

    on_state: Callable[[str], None] = _nothing


def open_console(
    url: str,
    *,
    secrets: Secrets,
    cancel: threading.Event,
    log: Path | None = None,
    watch: Watch | None = None,
    locks: Path | None = None,
    purpose: str = "console",
) -> Console:
    """Return the console at `url`, to which nothing was typed yet. Raises a `ConsoleError`.

    In the directory `locks` the line is marked as ours, for `purpose`, until the console is closed.
    """
    watch = watch or Watch()
    lock = Lock()
    try:
        address = parse(url)
        if locks is not None:
            lock = Lock.acquire(locks, address, purpose)
        watch.on_state(f"opening {address}")
        spawn = open_line(address)
    except LineError as error:
        lock.release()
        raise (Taken if error.taken else Unreachable)(error.what, error.now) from None
    except BaseException:
        lock.release()
        raise
    console = Console(spawn, Transcript(log, secrets, str(address)), cancel)
    console.on_close = lock.release
    return console


def open_shell(
    url: str,
    *,
    token: str,
    secrets: Secrets,
    cancel: threading.Event,
    log: Path | None = None,
    memory: Path | None = None,
    watch: Watch | None = None,
    locks: Path | None = None,
    purpose: str = "console",
) -> ShellSession:
    """Return a root shell on the console at `url`.

    `token` (hex) names its private directory `/tmp/zr-TOKEN` there: with the same token a later
    call finds the same directory and its jobs. `log` is the transcript's path. `memory` is a file
    that remembers, over a crash of this program, that a quiet shell of ours sits on that console.
    `locks` and `purpose` are as for `open_console`. Raises a `ConsoleError`.
    """
    watch = watch or Watch()
    console = open_console(
        url,
        secrets=secrets,
        cancel=cancel,
        log=log,
        watch=watch,
        locks=locks,
        purpose=purpose,
    )
    address = console.transcript.title
    memo = _Memo(memory, address)
    screen = Screen()
    try:
        session = ShellSession(
            console,
            token,
            screen,
            password=lambda: secrets.get("console"),
            on_state=watch.on_state,
            left=memo.read(),
            reopen=lambda: open_line(url),
        )
    except MachineLost as error:
        console.close()
        said = [line for line in screen.lines() if line.strip()]
        raise Unreachable(
            f"The line to {address} ended before a shell was reached."
            + (f" It said: {said[-1].strip()}" if said else f" {error.what}"),
            "Reach the console by hand once, mend what it complains about, then start again.",
        ) from None
    except BaseException:
        console.close()
        raise
    memo.write(Left(token, session.answers_status))
    session.on_close = memo.forget
    return session


class _Memo:
    """One small file: which console has a quiet shell of ours, and its token."""

    def __init__(self, path: Path | None, address: str) -> None:
        self._path = path
        self._address = address

    def read(self) -> Left | None:
        """Return what was left on this console, or None."""
        if self._path is None:
            return None
        try:
            row = json.loads(self._path.read_text())[self._address]
            left = Left(str(row["token"]), bool(row["answers_status"]))
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return left if re.fullmatch(r"[0-9a-f]+", left.token) else None

    def write(self, left: Left | None) -> None:
        """Remember what is left on this console, or forget it."""
        if self._path is None:
            return
        try:
            data = json.loads(self._path.read_text())
        except (OSError, ValueError):
            data = {}
        data.pop(self._address, None)
        if left:
            data[self._address] = asdict(left)
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        fresh = self._path.with_suffix(f".{os.getpid()}")
        fresh.write_text(json.dumps(data))
        fresh.replace(self._path)

    def forget(self) -> None:
        """The console was handed back."""
        self.write(None)
