"""One owner for a line: a file for each console address, held with flock(2).

The kernel drops the lock with its owner, however that one ends, so nothing stale is ever found.
Its owner removes the file while it still holds the lock; who locks one looks whether it is still
the file of that name.
"""

from __future__ import annotations

import fcntl
import getpass
import ipaddress
import json
import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self
from urllib.parse import quote

import psutil

from zrwizard.line.address import Address, LineError

TERM_SECONDS = 15.0
_WRITING_SECONDS = 0.5
_CLOCK_SLACK = 5.0
_HOUR, _DAY = 3600, 86400


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds a line: process, account, since when (seconds of the epoch), what it does there."""

    pid: int
    user: str
    since: float
    purpose: str

    def __str__(self) -> str:
        return f"{self.user}'s zrwizard {self.purpose} (pid {self.pid})"

    def duration(self, now: float | None = None) -> str:
        """Return since when, and how long that is: "14:02, 23 minutes"."""
        now = time.time() if now is None else now
        begun = time.localtime(self.since)
        today = begun[:3] == time.localtime(now)[:3]
        clock = time.strftime("%H:%M" if today else "%Y-%m-%d %H:%M", begun)
        return f"{clock}, {spell(now - self.since)}"


class LineTaken(LineError):
    """Another process holds the line; `holder` is None where it cannot be told which."""

    def __init__(self, address: Address, holder: Holder | None) -> None:
        who = f"{holder} holds it since {holder.duration()}" if holder else "another zrwizard"
        super().__init__(
            f"The line {address} is taken: {who}.",
            "Wait until it ends, or leave it there; --steal asks and takes the line away from it.",
            taken=True,
        )
        self.holder = holder


def spell(seconds: float) -> str:
    """Return a length of time in words: "less than a minute", "23 minutes", "1 hour 5 minutes"."""
    whole = max(0, int(seconds))
    if whole < 60:
        return "less than a minute"
    if whole < _HOUR:
        return _count(whole // 60, "minute")
    if whole < _DAY:
        return f"{_count(whole // _HOUR, 'hour')} {_count(whole % _HOUR // 60, 'minute')}"
    return f"{_count(whole // _DAY, 'day')} {_count(whole % _DAY // _HOUR, 'hour')}"


def _count(number: int, word: str) -> str:
    return f"{number} {word}{'' if number == 1 else 's'}"


def key(address: Address) -> str:
    """Return what two spellings of the same line share; empty where a line needs no owner.

    Names are not looked up: only this machine's own are known to be one, and a device's links.
    """
    match address.kind:
        case "local":
            return ""
        case "serial":
            path = os.path.realpath(address.path)
            # FreeBSD's call-in and call-out devices are one port (uart(4)).
            return path.replace("/dev/cua", "/dev/tty", 1)
        case _:
            return f"{_host(address.host)}:{address.port}"


def _host(name: str) -> str:
    plain = name.lower().rstrip(".")
    if plain == "localhost":
        return "127.0.0.1"
    try:
        found = ipaddress.ip_address(plain)
    except ValueError:
        return plain
    return "127.0.0.1" if found == ipaddress.IPv6Address("::1") else found.compressed


class Lock:
    """A line that is ours until `release`, or until this process ends; without `fd` no lock."""

    def __init__(self, fd: int | None = None, path: Path | None = None) -> None:
        self._fd = fd
        self._path = path

    @classmethod
    def acquire(cls, directory: Path, address: Address, purpose: str) -> Self:
        """Return the lock of `address`, kept in `directory`; a local line has nothing to lock.

        `purpose` tells others what we do there: the sub-command only, never its arguments. Raises
        `LineTaken`, and `LineError` where `directory` cannot be written.
        """
        name = key(address)
        if not name:
            return cls()
        path = directory / f"{quote(name, safe='')}.lock"
        try:
            directory.mkdir(parents=True, exist_ok=True, mode=0o700)
            fd = _locked(path)
        except OSError as error:
            raise LineError(
                f"Cannot note in {directory} who uses the line: {error.strerror}.",
                "Make it writable, or say with XDG_STATE_HOME where the state shall be kept.",
            ) from None
        if fd is None:
            raise LineTaken(address, _await_holder(path))
        holder = Holder(os.getpid(), _user(), time.time(), purpose)
        os.write(fd, json.dumps(asdict(holder)).encode())
        return cls(fd, path)

    def release(self) -> None:
        """Give the line up; twice is once."""
        fd, self._fd = self._fd, None
        if fd is not None and self._path is not None:
            with suppress(OSError):
                if _is(fd, self._path):
                    self._path.unlink()
            os.close(fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


def _locked(path: Path) -> int | None:
    """Return a descriptor that holds the lock on the file `path` as it is now, emptied."""
    while True:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(fd)
            return None
        except BaseException:
            os.close(fd)
            raise
        if _is(fd, path):
            os.ftruncate(fd, 0)
            return fd
        # It was removed meanwhile: a lock on that file keeps nobody out.
        os.close(fd)


def _is(fd: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(fd), path.stat())
    except FileNotFoundError:
        return False


def _await_holder(path: Path) -> Holder | None:
    """Return who holds `path`; one that has just locked it may need a moment to say so."""
    deadline = time.monotonic() + _WRITING_SECONDS
    while (holder := _read(path)) is None and time.monotonic() < deadline:
        time.sleep(0.02)
    return holder


def _read(path: Path) -> Holder | None:
    try:
        row = json.loads(path.read_text())
        return Holder(int(row["pid"]), str(row["user"]), float(row["since"]), str(row["purpose"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return f"uid {os.getuid()}"


# --- taking it away ----------------------------------------------------------------------------


def evict(
    directory: Path,
    address: Address,
    holder: Holder,
    again: Callable[[Holder], bool],
    *,
    patience: float = TERM_SECONDS,
) -> None:
    """End the process `holder`, which was seen to hold the line, and wait until the line is free.

    It gets SIGTERM, on which a wizard ends in good order; after `patience` seconds, and only when
    `again` says so, SIGKILL. Raises `LineError` where it cannot be done, or shall not.
    """
    for number in (signal.SIGTERM, signal.SIGKILL):
        current = _holder_now(directory, address)
        if current is None:
            return
        if current != holder:
            raise LineTaken(address, current)
        _signal(holder, number)
        if _freed(directory, address, holder, patience):
            return
        if number is signal.SIGTERM and not again(holder):
            break
    raise LineError(
        f"The line {address} is still taken: {holder} has not ended.",
        "Look at what it does; end it yourself, then try again.",
        taken=True,
    )


def _holder_now(directory: Path, address: Address) -> Holder | None:
    """Return who holds the line at this moment, None where nobody does."""
    try:
        Lock.acquire(directory, address, "console").release()
    except LineTaken as taken:
        if taken.holder is None:
            raise
        return taken.holder
    return None


def _freed(directory: Path, address: Address, holder: Holder, patience: float) -> bool:
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        if _holder_now(directory, address) != holder:
            return True
        time.sleep(0.1)
    return False


def _signal(holder: Holder, number: signal.Signals) -> None:
    """Send `number` to the holder, if the process of that number is still the one that locked."""
    now = "End it yourself, or ask its owner to; then try again."
    try:
        process = psutil.Process(holder.pid)
        younger = process.create_time() > holder.since + _CLOCK_SLACK
        ours = process.uids().real == os.getuid()
    except psutil.NoSuchProcess:
        return
    except psutil.Error as error:
        raise LineError(f"Cannot look at {holder}: {error}.", now, taken=True) from None
    if younger:
        raise LineError(f"Process {holder.pid} is not the one that took the line.", now, taken=True)
    if not ours:
        raise LineError(f"{holder} runs under another account.", now, taken=True)
    if holder.pid == os.getpid():
        raise LineError("This same process holds the line.", "Leave it there first.", taken=True)
    try:
        os.kill(holder.pid, number)
    except ProcessLookupError:
        return
    except PermissionError:
        raise LineError(f"{holder} may not be ended by you.", now, taken=True) from None
