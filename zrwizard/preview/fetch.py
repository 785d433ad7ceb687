"""An old version of a file, copied through the console to the operator's machine."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from zrwizard.shell.readonly import ReadOnly


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
    """Copy the regular file `source` of the target (see `reach.in_snapshot`) into `to`, mode 600.

    What came so far lies in `to` with `.part` behind its name and is gone on with the next time.
    `done` hears (bytes here, bytes in all). Nothing is written on the target, and no file that is
    already there is written over here. Raises `Refused` (what is no regular file, what cannot be
    read, what exists here already), `Cancelled` once `stop` is set, other `ConsoleError`s, and
    `OSError` where `to` cannot be written.
    """
    raise NotImplementedError
