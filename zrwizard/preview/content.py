"""One path of a comparison: what it was and what it is, read from snapshots, limited in size."""

from __future__ import annotations

import threading
from dataclasses import dataclass

from zrwizard.freebsd.stat import Absent, Stat
from zrwizard.preview.beside import Mark, Row, beside
from zrwizard.preview.counting import Sums, count
from zrwizard.preview.events import Pair
from zrwizard.preview.reach import is_snapshot, newer_path, older_path
from zrwizard.preview.reading import Target, decoded, sha256_here
from zrwizard.shell.readonly import ReadOnly

__all__ = [
    "ENTRIES",
    "HASHED",
    "HEAD",
    "DirectorySums",
    "Mark",
    "Row",
    "Side",
    "Sums",
    "Versions",
    "side_by_side",
    "sums",
    "versions",
]

HEAD = 64 * 1024
"""Bytes of a file that are read for its text."""
HASHED = 256 * 1024 * 1024
"""Bytes up to which a file's SHA-256 is taken without being asked for."""
ENTRIES = 200_000
"""Entries of a directory that are counted at most."""
_UNREACHED = "Nothing leads to it: its dataset is not mounted, or lacks the snapshot."
_UNREADABLE = "It cannot be read."


@dataclass(frozen=True, slots=True)
class Side:
    """A path at one of the two moments.

    `lines` are those of a text file, without their ends, of its first `HEAD` bytes where `whole`
    is False; `ended` says whether the last of them has its end. `sha256` is in hexadecimal, of the
    whole file. `target` is what a symbolic link points to. `reason` is a sentence on what was not
    read and why, "" where all was; `exists` is False then too where nobody could look.
    """

    exists: bool
    stat: Stat | None = None
    lines: tuple[str, ...] | None = None
    encoding: str = ""
    whole: bool = True
    ended: bool = True
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
    target = Target(shell, stop)
    ways = _ways(target, pair, path, new_path)
    found = iter(target.stat(*(way for way in ways if way is not None)))
    looked = [next(found) if way is not None else None for way in ways]
    readers = _readers(target, pair, looked, head, hashed)
    older, newer = (
        _side(way, seen, reader) for way, seen, reader in zip(ways, looked, readers, strict=True)
    )
    return Versions(pair, path, new_path, older, newer, _same(older, newer))


def side_by_side(versions: Versions, *, context: int = 3, most: int = 2_000) -> tuple[Row, ...]:
    """The lines of both sides beside each other, `context` equal ones around each change.

    At most `most` rows; () unless what is there is text on both sides. A side that does not exist
    has no lines.
    """
    sides = (versions.older, versions.newer)
    if not any(side.exists for side in sides):
        return ()
    if any(side.lines is None for side in sides if side.exists):
        return ()
    rows = beside(
        versions.older.lines or (),
        versions.newer.lines or (),
        context=context,
        most=most,
        ended=(versions.older.ended, versions.newer.ended),
    )
    if all(side.whole for side in sides):
        return rows
    return (*rows, Row(Mark.SKIPPED, 0, "only the beginning was read", 0, ""))


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

    At most `entries` of them, in at most `limit` seconds a side. A live directory is not counted
    where reading it would change access times, or where something else is mounted below it. One
    that was not there counts nothing. Raises as `versions` does.
    """
    target = Target(shell, stop)
    ways = _ways(target, pair, path, new_path)
    found = iter(target.stat(*(way for way in ways if way is not None)))
    sides = []
    for live, way in zip((False, _is_live(pair)), ways, strict=True):
        seen = next(found) if way is not None else None
        reason = _no_directory(seen)
        if not reason and live and way is not None and isinstance(seen, Stat):
            reason = _not_live(target, pair) or _crossed(target, way)
        if isinstance(seen, Absent) and not reason:
            sides.append(Sums(0, 0, 0, 0))
        elif reason or way is None:
            sides.append(Sums(None, None, None, None, False, reason))
        else:
            sides.append(count(shell, way, entries=entries, limit=limit, stop=stop))
    return DirectorySums(*sides)


# --- one side -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Reader:
    """How a side may be read: not at all where `forbidden` says why."""

    target: Target
    head: int
    hashed: int
    forbidden: str = ""


def _ways(
    target: Target, pair: Pair, path: bytes, new_path: bytes | None
) -> tuple[bytes | None, bytes | None]:
    """Where both versions are read, None where nothing leads to one."""
    older = older_path(pair, path, target.owner_mount(pair))
    return older, newer_path(pair, new_path or path)


def _is_live(pair: Pair) -> bool:
    return pair.newer is not None and not is_snapshot(pair.newer)


def _readers(
    target: Target, pair: Pair, looked: list[Stat | Absent | None], head: int, hashed: int
) -> tuple[_Reader, _Reader]:
    forbidden = ""
    if _is_live(pair) and isinstance(looked[1], Stat):
        forbidden = _not_live(target, pair)
    return _Reader(target, head, hashed), _Reader(target, head, hashed, forbidden)


def _not_live(target: Target, pair: Pair) -> str:
    if target.keeps_access_times(pair.dataset):
        return (
            f"{pair.dataset} keeps access times (atime=on), which reading would change: "
            "what is there now was not read."
        )
    return ""


def _crossed(target: Target, way: bytes) -> str:
    if way.rstrip(b"/") + b"/" in target.mounted():
        return "Other file systems are mounted below it, so what is there now was not counted."
    return ""


def _no_directory(seen: Stat | Absent | None) -> str:
    match seen:
        case None:
            return _UNREACHED
        case Absent():
            return "" if seen.missing else f"It cannot be looked at: {seen.reason}."
        case Stat(type="/"):
            return ""
        case _:
            return "It is no directory."


def _side(way: bytes | None, seen: Stat | Absent | None, reader: _Reader) -> Side:
    if way is None or seen is None:
        return Side(False, reason=_UNREACHED)
    if isinstance(seen, Absent):
        return Side(False, reason="" if seen.missing else f"It cannot be looked at: {seen.reason}.")
    if reader.forbidden and seen.type in "F@":
        return Side(True, seen, reason=reader.forbidden)
    if seen.type == "@":
        points = reader.target.link(way)
        return Side(True, seen, target=points, reason="" if points is not None else _UNREADABLE)
    return _file(way, seen, reader) if seen.type == "F" else Side(True, seen)


def _file(way: bytes, seen: Stat, reader: _Reader) -> Side:
    data = reader.target.head(way, reader.head) if seen.size else b""
    if data is None:
        return Side(True, seen, reason=_UNREADABLE)
    whole = seen.size <= len(data)
    found = decoded(data, whole=whole)
    text, encoding = found or ("", "")
    lines = tuple(text.removesuffix("\n").split("\n")) if text else ()
    digest, reason = _digest(way, seen, data if whole else None, reader)
    if found and not whole:
        reason = f"Only the first {len(data):,} of {seen.size:,} bytes were read. {reason}".strip()
    return Side(
        exists=True,
        stat=seen,
        lines=lines if found else None,
        encoding=encoding,
        whole=whole,
        ended=not text or text.endswith("\n") or not whole,
        sha256=digest,
        reason=reason,
    )


def _digest(way: bytes, seen: Stat, data: bytes | None, reader: _Reader) -> tuple[str | None, str]:
    """The file's SHA-256, or None and why; from what was read, if that was all of it."""
    if data is not None:
        return sha256_here(data), ""
    if seen.size > reader.hashed:
        return None, (
            f"Its SHA-256 was not taken: {seen.size:,} bytes may take long. It is when asked for."
        )
    digest = reader.target.sha256(way, seen.size)
    return digest, "" if digest else "Its SHA-256 could not be taken."


def _same(older: Side, newer: Side) -> bool | None:
    if older.stat is None or newer.stat is None:
        known = not (older.reason or newer.reason)
        return False if known and older.exists != newer.exists else None
    if older.stat.type != newer.stat.type:
        return False
    if older.stat.type == "F" and older.stat.size != newer.stat.size:
        return False
    if older.target is not None and newer.target is not None:
        return older.target == newer.target
    if older.sha256 is not None and newer.sha256 is not None:
        return older.sha256 == newer.sha256
    return None
