"""What `zfs send -v -P` tells on its standard error: how many bytes of which snapshot went out.

Before the first byte a line for each snapshot with its estimate, then a row about once a second,
`HH:MM:SS<tab>BYTES<tab>SNAPSHOT`; each snapshot counts from nought (zfs-send(8), facts B6).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from . import sh

_ROW = re.compile(r"\d\d:\d\d:\d\d\t(\d{1,20})\t(\S.*)", re.ASCII)
_PREVIEW = re.compile(r"(?:full|incremental|size)\t.*")

_DIGEST = r"""
function flush() { if (row != "") print row; row = "" }
function take(line,    name) {
    if (line ~ /^(full|incremental|size)\t/) return
    if (line !~ /^[0-9][0-9]:[0-9][0-9]:[0-9][0-9]\t[0-9]+\t/) { flush(); print line; return }
    name = substr(line, 10); sub(/^[0-9]+\t/, "", name)
    if (name != last) flush()
    row = line; last = name
}
NR > 1 { take(held) }
{ held = $0 }
END { sub(/\.$/, "", held); flush(); printf "%s", held }
"""


@dataclass(frozen=True, slots=True)
class Row:
    """One row: `bytes` of the stream of `snapshot` (its full name there) have been sent."""

    snapshot: str
    bytes: int


@dataclass(frozen=True, slots=True)
class SendLog:
    """What the sender has told so far. Feed it what was added to the log since.

    `snapshot` is the one that is being sent, `bytes` of it went out, `before` are the bytes of
    the snapshots before it, as far as rows told of them: one that took less than a second has no
    row. `said` holds the lines of the last feed that are no progress, each with its end.
    """

    snapshot: str = ""
    bytes: int = 0
    before: int = 0
    said: str = ""
    partial: str = ""

    @property
    def total(self) -> int:
        """Bytes that went out; more may have, but not less."""
        return self.before + self.bytes

    def feed(self, added: str) -> SendLog:
        """The log with `added` behind it; an unfinished last line waits for its rest."""
        *complete, partial = (self.partial + added).split("\n")
        snapshot, count, before = self.snapshot, self.bytes, self.before
        said: list[str] = []
        for line in complete:
            row = parse_row(line)
            if row is None:
                if not _PREVIEW.fullmatch(line):
                    said.append(line + "\n")
            elif row.snapshot == snapshot:
                count = max(count, row.bytes)
            else:
                snapshot, count, before = row.snapshot, row.bytes, before + count
        return SendLog(snapshot, count, before, "".join(said), partial)


def parse_row(line: str) -> Row | None:
    """The row of progress that `line` is, None where it is something else. Never raises."""
    found = _ROW.fullmatch(line.rstrip("\r"))
    return Row(found[2], int(found[1])) if found else None


def digest() -> str:
    """Command: a log on standard input without its estimates, a snapshot's rows but the last one.

    The input ends in a `.` that is not the log's: without it awk(1) would end an unfinished last
    line, which has to come out as it is.
    """
    return f"LC_ALL=C awk {sh.quote(_DIGEST.strip())}"
