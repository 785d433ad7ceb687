"""What lies in and below a directory of the target, summed from ls(1) as it lists."""

from __future__ import annotations

import re
import threading
import time
from dataclasses import dataclass, field

from zrwizard.console.errors import Cancelled
from zrwizard.preview.asking import Spool
from zrwizard.preview.reach import argument
from zrwizard.shell.readonly import ReadOnly

_TICK = 0.1
_GRACE = 60.0
# The long format of ls(1), POSIX: with -i the inode first, with -n numbers for owner and group.
# With -q a name stays on its line; the headings of directories begin with the / of their path.
_ROW = re.compile(rb" *(\d{1,20}) +([-a-zA-Z?|=])[-a-zA-Z]{9}\S? +(\d+) +\d+ +\d+ +(\d+)[, ]")


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


def count(
    shell: ReadOnly,
    path: bytes,
    *,
    entries: int,
    limit: float,
    stop: threading.Event | None = None,
) -> Sums:
    """Count below the directory `path`, at most `entries` in at most `limit` seconds.

    Raises `Cancelled` once `stop` is set, and other `ConsoleError`s.
    """
    counter = _Counter()
    until = time.monotonic() + limit
    reason = ""
    argv = ("ls", "-lniRAq", "--", argument(path))
    with Spool(shell, argv, timeout=limit + _GRACE) as spool:
        while (piece := spool.take(_TICK)) is not None:
            counter.feed(piece)
            if stop is not None and stop.is_set():
                raise Cancelled("Stopped by the operator.", "Start it again to go on.")
            if counter.seen > entries:
                reason = f"Only the first {counter.seen:,} entries were counted."
            elif time.monotonic() > until:
                reason = f"It was counted for {limit:.0f} s, and there is more."
            if reason:
                break
        else:
            result = spool.result()
            if result.status:
                said = "".join(c if c.isprintable() else "?" for c in result.errors[:200].strip())
                reason = f"Not all of it could be listed: {said or result.status}."
    return counter.sums(reason)


@dataclass(slots=True)
class _Counter:
    """Sums over the lines of ls."""

    files: int = 0
    directories: int = 0
    others: int = 0
    size: int = 0
    _linked: set[bytes] = field(default_factory=set)
    _rest: bytes = b""

    @property
    def seen(self) -> int:
        return self.files + self.directories + self.others

    def feed(self, data: bytes) -> None:
        whole, newline, rest = (self._rest + data).rpartition(b"\n")
        self._rest = rest
        if newline:
            for line in whole.split(b"\n"):
                self._line(line)

    def _line(self, line: bytes) -> None:
        row = _ROW.match(line)
        if not row:
            return
        if row[2] == b"d":
            self.directories += 1
        elif row[2] != b"-":
            self.others += 1
        else:
            self.files += 1
            if row[3] == b"1" or row[1] not in self._linked:
                self.size += int(row[4])
            if row[3] != b"1":
                self._linked.add(row[1])

    def sums(self, reason: str) -> Sums:
        return Sums(self.files, self.directories, self.others, self.size, not reason, reason)
