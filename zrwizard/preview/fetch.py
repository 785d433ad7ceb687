"""An old version of a file, copied through the console to the operator's machine."""

from __future__ import annotations

import errno
import hashlib
import os
import stat as modes
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from io import BufferedRandom
from pathlib import Path

from zrwizard.console.errors import LineCut, NoAnswer, Refused
from zrwizard.freebsd.stat import Absent
from zrwizard.preview.reach import argument
from zrwizard.preview.reading import Target
from zrwizard.shell.readonly import ReadOnly

BLOCK = 64 * 1024
_FIRST, _MOST = 16, 1024
"""Blocks of a piece: each is checked as it comes, so that a damaged one costs only itself."""
_TRIES = 8
_SLOWEST_LINE = 300
_KINDS = {
    "/": "a directory",
    "@": "a symbolic link",
    "|": "a FIFO",
    "=": "a socket",
    "B": "a device",
    "C": "a device",
}


@dataclass(frozen=True, slots=True)
class Fetched:
    """A file that arrived whole: where it lies, its bytes, its SHA-256 in hexadecimal."""

    path: Path
    size: int
    sha256: str


def fetch(
    shell: ReadOnly,
    source: bytes,
    to: Path,
    done: Callable[[int, int], None] = lambda _done, _all: None,
    *,
    stop: threading.Event | None = None,
) -> Fetched:
    """Copy the regular file `source` of the target (see `reach.older_path`) into `to`, mode 600.

    What came so far lies in `to` with `.part` behind its name and is gone on with the next time.
    `done` hears (bytes here, bytes in all), at times in the console reader's thread. Nothing is
    written on the target, and no file that is already there is written over here. Raises `Refused`
    (what lies in no snapshot, what is no regular file, what cannot be read, what exists here
    already), `Cancelled` once `stop` is set, other `ConsoleError`s, and `OSError` where `to` cannot
    be written.
    """
    _not_there(to)
    target = Target(shell, stop)
    size = _size(target, source)
    there = target.sha256(source, size)
    if there is None:
        raise Refused(f"{_named(source)} cannot be read on the target.", "Look at it by hand.")
    part = to.with_name(to.name + ".part")
    with _opened(part) as stream:
        resumed = stream.seek(0, os.SEEK_END) // BLOCK * BLOCK
        resumed = resumed if resumed <= size else 0
        _Copy(shell, source, size, stream, done, stop).go(resumed)
        here = _digest(stream)
        if here != there and resumed:
            # What lay there was of another file, or its end had not been checked.
            _Copy(shell, source, size, stream, done, stop).go(0)
            here = _digest(stream)
        os.fsync(stream.fileno())
    if here != there:
        part.unlink()
        raise NoAnswer(f"What arrived of {_named(source)} is not what is there.", "Try again.")
    _put(part, to)
    return Fetched(to, size, here)


def _size(target: Target, source: bytes) -> int:
    if b"/.zfs/snapshot/" not in source:
        raise Refused(
            f"{_named(source)} lies in no snapshot.", "Only old versions are copied by a preview."
        )
    found = target.stat(source)[0]
    if isinstance(found, Absent):
        raise Refused(f"{_named(source)} cannot be found: {found.reason}.", "Check its name.")
    if found.type != "F":
        kind = _KINDS.get(found.type, "something else")
        raise Refused(f"{_named(source)} is {kind}, no regular file.", "Choose a file.")
    return found.size


@dataclass(slots=True)
class _Copy:
    """Carries a file over in pieces, each checked before the next one is asked for."""

    shell: ReadOnly
    source: bytes
    size: int
    stream: BufferedRandom
    done: Callable[[int, int], None]
    stop: threading.Event | None
    blocks: int = _FIRST
    failed: int = 0

    def go(self, at: int) -> None:
        """Carry what stands behind offset `at`, a whole number of blocks."""
        self.stream.truncate(at)
        self.done(at, self.size)
        while at < self.size:
            began = time.monotonic()
            try:
                came = self._piece(at)
            except (NoAnswer, LineCut) as error:
                self._again(at, error)
                continue
            self.failed = 0
            if came != min(self.blocks * BLOCK, self.size - at):
                raise Refused(
                    f"{_named(self.source)} ended after {at + came:,} of {self.size:,} bytes.",
                    "Look at the target: zpool status -v tells of damaged files.",
                )
            at += came
            if time.monotonic() - began < 2.0:
                self.blocks = min(_MOST, self.blocks * 2)

    def _piece(self, at: int) -> int:
        """Carry `blocks` blocks behind `at`; return how many bytes came."""
        self.stream.seek(at)
        came = 0

        def sink(data: bytes) -> None:
            nonlocal came
            self.stream.write(data)
            came += len(data)
            self.done(at + came, self.size)

        if self.failed > 1:
            # The line damages streams: in blocks that are asked for again one by one, then.
            result = self.shell.run(self._dd(at), timeout=self._patience())
            sink(result.out)
        else:
            result = self.shell.stream(self._dd(at), sink, timeout=self._patience(), stop=self.stop)
        self.stream.flush()
        if result.status:
            raise Refused(
                f"{_named(self.source)} cannot be read on the target.",
                "Look at the target: zpool status -v tells of damaged files.",
            )
        return came

    def _again(self, at: int, error: NoAnswer | LineCut) -> None:
        self.failed += 1
        if self.failed > _TRIES:
            raise error
        self.stream.truncate(at)
        self.blocks = max(1, self.blocks // 4)
        # A line that was cut is opened again by this.
        self.shell.run(("uname",))

    def _dd(self, at: int) -> tuple[str, ...]:
        where = (f"skip={at // BLOCK}", f"count={self.blocks}")
        return ("dd", f"if={argument(self.source)}", f"bs={BLOCK}", *where)

    def _patience(self) -> float:
        return 120.0 + self.blocks * BLOCK / _SLOWEST_LINE


# --- this side ------------------------------------------------------------------------------------


def _not_there(to: Path) -> None:
    if to.is_symlink() or to.exists():
        raise Refused(f"{to} exists already.", "Choose another name, or move it away.")


def _opened(part: Path) -> BufferedRandom:
    """The file for what came so far, private; no link is followed, nothing but a file taken."""
    try:
        number = os.open(part, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK, 0o600)
    except OSError as error:
        if error.errno in {errno.ELOOP, errno.ENXIO, errno.EISDIR}:
            raise Refused(f"{part} is no regular file.", "Move it away.") from None
        raise
    if not modes.S_ISREG(os.fstat(number).st_mode):
        os.close(number)
        raise Refused(f"{part} is no regular file.", "Move it away.")
    os.fchmod(number, 0o600)
    return os.fdopen(number, "r+b")


def _digest(stream: BufferedRandom) -> str:
    stream.seek(0)
    return hashlib.file_digest(stream, "sha256").hexdigest()


def _put(part: Path, to: Path) -> None:
    """Give the whole file its name, unless something has that name by now."""
    try:
        os.link(part, to)
    except FileExistsError:
        raise Refused(f"{to} exists by now; what came lies in {part}.", "Rename it.") from None
    except OSError:
        # A file system without hard links (FAT): there is a moment in between, then.
        _not_there(to)
        part.rename(to)
        return
    part.unlink()


def _named(path: bytes) -> str:
    text = path.decode("utf-8", "backslashreplace")
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)
