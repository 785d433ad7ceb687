"""Private files: written at once and with fsync, and read with suspicion.

A key that others can read, that is a link, or that belongs to somebody else is not used quietly.
"""

from __future__ import annotations

import fcntl
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from zrwizard.run.operator import OperatorError
from zrwizard.run.state import PRIVATE_DIR, PRIVATE_FILE

MAX_FILE = 1 << 20
NEW = ".new"
"""Ends the name of a file that is being written."""
BUNDLE = "Put it back from the escrow bundle (see its README, or the sheet)."


class KeyringError(OperatorError):
    """The keys cannot be used or written: what is wrong, and what to do now. Never a secret."""


def read_private(path: Path) -> bytes:
    """Return what the private file `path` holds; `KeyringError` tells every fault it can have."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        raise KeyringError(f"{path} is missing.", BUNDLE) from None
    except OSError as error:
        if path.is_symlink():
            raise KeyringError(
                f"{path} is a symbolic link, where a file of our own should be.",
                "Nothing of ours makes links. Look where it leads, and put the file itself there.",
            ) from None
        raise KeyringError(
            f"{path} cannot be read: {error.strerror}.", "Check its owner and its mode (0600)."
        ) from None
    try:
        _check_owned(path, os.fstat(handle), "file", stat.S_ISREG, PRIVATE_FILE)
        with os.fdopen(handle, "rb", closefd=False) as stream:
            data = stream.read(MAX_FILE + 1)
    except OSError as error:
        raise KeyringError(
            f"{path} cannot be read: {error.strerror}.", f"Check the disk. {BUNDLE}"
        ) from None
    finally:
        os.close(handle)
    if not data:
        raise KeyringError(f"{path} is empty.", BUNDLE)
    if len(data) > MAX_FILE:
        raise KeyringError(f"{path} is larger than {MAX_FILE} bytes: it is not ours.", BUNDLE)
    return data


def write_private(path: Path, data: bytes) -> None:
    """Write `data` to `path`, 0600, at once and with fsync; `KeyringError` where that fails.

    The old file is there, whole, until the new one is.
    """
    new = path.with_name(path.name + NEW)
    try:
        with suppress(FileNotFoundError):
            new.unlink()
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        with os.fdopen(os.open(new, flags, PRIVATE_FILE), "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        new.replace(path)
        sync_directory(path.parent)
    except OSError as error:
        with suppress(OSError):
            new.unlink()
        raise cannot("written", path, error) from None


def check_directory(directory: Path) -> None:
    try:
        status = directory.lstat()
    except OSError as error:
        raise cannot("looked at", directory, error) from None
    _check_owned(directory, status, "directory", stat.S_ISDIR, PRIVATE_DIR)
    if not os.access(directory, os.R_OK | os.X_OK):
        raise KeyringError(f"{directory} cannot be read.", f"chmod 700 {directory}")


def _check_owned(
    path: Path, status: os.stat_result, kind: str, is_kind: Callable[[int], bool], mode: int
) -> None:
    """Raise `KeyringError` unless `path` is a `kind` of our own that nobody else can open."""
    if not is_kind(status.st_mode):
        raise KeyringError(
            f"{path} is no plain {kind}.", f"Look at what is there, and put the {kind} itself back."
        )
    if status.st_uid != os.getuid():
        raise KeyringError(
            f"{path} belongs to user {status.st_uid}, not to you (user {os.getuid()}).",
            f"See who put it there; chown it only if it is yours: chown {os.getuid()} {path}",
        )
    if status.st_mode & 0o077:
        raise KeyringError(
            f"{path} is open to others (mode {status.st_mode & 0o777:04o}).",
            f"chmod {mode:o} {path}; if others use this machine, the keys may be known to them.",
        )


@contextmanager
def locked(directory: Path) -> Iterator[None]:
    try:
        handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise cannot("opened", directory, error) from None
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise KeyringError(
                f"Another zrwizard works with {directory} now.", "Wait until it has ended."
            ) from None
        for left in directory.glob(f"*{NEW}"):
            with suppress(OSError):
                left.unlink()
        yield
    finally:
        os.close(handle)


def sync_directory(directory: Path) -> None:
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def cannot(done: str, path: Path, error: OSError) -> KeyringError:
    return KeyringError(
        f"{path} cannot be {done}: {error.strerror}.",
        "Make room, or make its directory writable, and do the same again: nothing is lost.",
    )
