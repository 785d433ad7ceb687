"""How large changed files were and are, looked at in batches with stat(1)."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator

from zrwizard.freebsd import sh
from zrwizard.freebsd import stat as stats
from zrwizard.freebsd.errors import ParseError
from zrwizard.preview.asking import ask
from zrwizard.preview.events import Change, Kind, Pair
from zrwizard.preview.reach import argument, newer_path, older_path
from zrwizard.shell.readonly import ReadOnly

LONGEST_COMMAND = 6_000
"""Bytes of one command: far below what the shell's protocol carries on its worst line (60,000)."""
Size = tuple[bytes, int | None, int | None]


def wanted(changes: Iterable[Change]) -> Iterator[Change]:
    """Those of which a size tells something: regular files."""
    return (change for change in changes if change.type == "F")


def batches(
    pair: Pair, changes: Iterable[Change], owner_mount: bytes | None
) -> Iterator[list[tuple[Change, bytes | None, bytes | None]]]:
    """The changes with where their older and newer versions are read, by the command's length."""
    batch: list[tuple[Change, bytes | None, bytes | None]] = []
    length = 0
    for change in changes:
        older = newer = None
        if change.kind != Kind.ADDED:
            older = older_path(pair, change.path, owner_mount)
        if change.kind != Kind.REMOVED:
            newer = newer_path(pair, change.new_path or change.path)
        size = sum(len(sh.quote(argument(path))) + 1 for path in (older, newer) if path)
        if batch and length + size > LONGEST_COMMAND:
            yield batch
            batch, length = [], 0
        batch.append((change, older, newer))
        length += size
    if batch:
        yield batch


def look(
    shell: ReadOnly,
    batch: list[tuple[Change, bytes | None, bytes | None]],
    *,
    stop: threading.Event,
    timeout: float,
) -> tuple[Size, ...]:
    """The sizes of one batch, (path, before, after), None where not known.

    Raises `ConsoleError`.
    """
    paths = tuple(path for _, older, newer in batch for path in (older, newer) if path)
    if not paths:
        return tuple((change.path, None, None) for change, _, _ in batch)
    result = ask(shell, stats.stat(*paths), timeout=timeout, stop=stop)
    try:
        told = iter(stats.parse(paths, result.out, result.err))
    except ParseError:
        return tuple((change.path, None, None) for change, _, _ in batch)
    return tuple(
        (change.path, _size(next(told)) if older else None, _size(next(told)) if newer else None)
        for change, older, newer in batch
    )


def _size(found: stats.Stat | stats.Absent) -> int | None:
    return found.size if isinstance(found, stats.Stat) and found.type == "F" else None
