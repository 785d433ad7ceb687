"""One path of a comparison: what it was and what it is, read from the snapshots, limited in size."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from enum import StrEnum

from zrwizard.freebsd.stat import Stat
from zrwizard.preview.events import Pair
from zrwizard.shell.readonly import ReadOnly

HEAD = 64 * 1024
"""Bytes of a file that are read for its text."""
HASHED = 256 * 1024 * 1024
"""Bytes up to which a file's SHA-256 is taken without being asked for."""
ENTRIES = 200_000
"""Entries of a directory that are counted at most."""


@dataclass(frozen=True, slots=True)
class Side:
    """A path at one of the two moments.

    `lines` are those of a text file, without their ends, of its first `HEAD` bytes where `whole`
    is False. `sha256` is in hexadecimal, of the whole file. `target` is what a symbolic link
    points to. `reason` is a sentence on what was not read and why, "" where all was.
    """

    exists: bool
    stat: Stat | None = None
    lines: tuple[str, ...] | None = None
    encoding: str = ""
    whole: bool = True
    sha256: str | None = None
    target: bytes | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Versions:
    """Both sides of a path; `new_path` only of a renamed one.

    `same` says whether the contents are equal, None where that is not known.
    """

    pair: Pair
    path: bytes
    new_path: bytes | None
    older: Side
    newer: Side
    same: bool | None


class Mark(StrEnum):
    """What a row of a side-by-side text is."""

    SAME = " "
    CHANGED = "|"
    REMOVED = "<"
    ADDED = ">"
    SKIPPED = "…"
    """Lines that are equal were left out here, or the rest is not shown; `older` says it."""


@dataclass(frozen=True, slots=True)
class Row:
    """One row: line numbers from 1 (0 where there is no line) and the texts of both sides."""

    mark: Mark
    older_number: int
    older: str
    newer_number: int
    newer: str


@dataclass(frozen=True, slots=True)
class Sums:
    """What lies in and below a directory; `bytes` are the sizes of its files, hard links once.

    None where it was not counted; with `whole` False there is more. `reason` says why.
    """

    files: int | None
    directories: int | None
    others: int | None
    bytes: int | None
    whole: bool = True
    reason: str = ""


@dataclass(frozen=True, slots=True)
class DirectorySums:
    """The sums of a directory at both moments."""

    older: Sums
    newer: Sums


def versions(
    shell: ReadOnly,
    pair: Pair,
    path: bytes,
    new_path: bytes | None = None,
    *,
    head: int = HEAD,
    hashed: int = HASHED,
    stop: threading.Event | None = None,
) -> Versions:
    """Look at both sides of `path` (an absolute one, as in `Change`).

    `hashed` is how large a file may be for its checksum to be taken: raise it where the operator
    asks for it. A live file is not read where reading would change its access time: `reason` says
    so. Raises `ConsoleError`, and `Cancelled` once `stop` is set.
    """
    raise NotImplementedError


def side_by_side(versions: Versions, *, context: int = 3, most: int = 2_000) -> tuple[Row, ...]:
    """The lines of both sides beside each other, `context` equal ones around each change.

    At most `most` rows; () where neither side is text.
    """
    raise NotImplementedError


def sums(
    shell: ReadOnly,
    pair: Pair,
    path: bytes,
    new_path: bytes | None = None,
    *,
    entries: int = ENTRIES,
    limit: float = 60.0,
    stop: threading.Event | None = None,
) -> DirectorySums:
    """Count what lies in and below the directory `path` at both moments.

    At most `entries` of them, in at most `limit` seconds a side. Raises as `versions` does.
    """
    raise NotImplementedError
