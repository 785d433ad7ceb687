r"""stat(1) of FreeBSD: what a path is, whose, how large and from when; links are not followed.

The row of a path begins with its number among the operands (`%@`, "the current file number" of
stat(1)), which stat counts on for paths that it could not look at. So rows are attributed exactly
although no name is printed: a name cannot be mistaken for a row, and a missing path shifts nothing.
The facts files do not tell of stat; the directives were read in usr.bin/stat/stat.c:

    %@ number, %p mode with the type in octal, %l links, %u %g numbers and %Su %Sg names of owner
    and group (a number or `(number)` where there is no name), %z size, %i inode, %Sf flags or `-`,
    %Fa %Fm %Fc %FB seconds.nanoseconds of access, change of content, change of inode, birth.
"""

from __future__ import annotations

import os
import re
import stat as modes
from dataclasses import dataclass

from .errors import ParseError

TOOL = "stat"
FORMAT = "%@%t%p%t%l%t%u%t%g%t%Su%t%Sg%t%z%t%i%t%Sf%t%Fa%t%Fm%t%Fc%t%FB"
_TYPES = {
    modes.S_IFREG: "F",
    modes.S_IFDIR: "/",
    modes.S_IFLNK: "@",
    modes.S_IFBLK: "B",
    modes.S_IFCHR: "C",
    modes.S_IFIFO: "|",
    modes.S_IFSOCK: "=",
}
_TIME = rb"\t(-?[0-9]{1,19})\.([0-9]{9})"
_ROW = re.compile(
    rb"([0-9]{1,9})\t([0-7]{1,7})\t([0-9]{1,20})\t([0-9]{1,10})\t([0-9]{1,10})"
    rb"\t([^\t]+)\t([^\t]+)\t([0-9]{1,20})\t([0-9]{1,20})\t([^\t]+)" + 4 * _TIME
)


@dataclass(frozen=True, slots=True)
class Stat:
    """What stat(1) tells of one path, which is not followed where it is a symbolic link.

    `type` is zfs diff's letter (F / @ B C | = or ?), `mode` the twelve permission bits, `size` is
    bytes, `flags` as chflags(1) names them (`uarch,nodump`, empty for none). Times are nanoseconds
    since 1970; `birth` is that of the file's making. `user` and `group` are numbers in text where
    the target knows no name.
    """

    type: str
    mode: int
    uid: int
    gid: int
    user: str
    group: str
    size: int
    links: int
    inode: int
    flags: str
    atime: int
    mtime: int
    ctime: int
    birth: int


@dataclass(frozen=True, slots=True)
class Absent:
    """A path that could not be looked at, and stat's reason (`No such file or directory`)."""

    reason: str

    @property
    def missing(self) -> bool:
        """Whether there is nothing by that name, rather than something that may not be seen."""
        return self.reason in {"No such file or directory", "Not a directory"}


def stat(*paths: bytes) -> tuple[str, ...]:
    """Command: one row for each of the absolute `paths` that is there, for `parse`.

    Exit status 1 where any could not be looked at. ValueError without a path (stat would look at
    its standard input), for a relative one and for one with a NUL.
    """
    if not paths:
        raise ValueError("stat needs a path")
    for path in paths:
        if not path.startswith(b"/") or b"\0" in path:
            raise ValueError("stat is asked about absolute paths only")
    return ("stat", "-f", FORMAT, "--", *map(os.fsdecode, paths))


def parse(paths: tuple[bytes, ...], out: bytes, err: bytes) -> tuple[Stat | Absent, ...]:
    """One answer for each of the `paths` that `stat` was asked for, in their order.

    `out` and `err` are its outputs. Raises ParseError for a row that stat does not print, or twice,
    or cut off, and where a path has neither a row nor a complaint (stat was killed).
    """
    if out and not out.endswith(b"\n"):
        raise ParseError(TOOL, "the last row broke off", _text(out[out.rfind(b"\n") + 1 :]))
    rows: dict[int, Stat] = {}
    for line in out.split(b"\n")[:-1]:
        number, told = _row(line)
        if not 1 <= number <= len(paths) or number in rows:
            raise ParseError(TOOL, f"row {number} was not asked for", _text(line))
        rows[number] = told
    found: list[Stat | Absent] = []
    rest = err
    for number, path in enumerate(paths, start=1):
        row = rows.get(number)
        if row is None:
            absent, rest = _reason(path, rest)
            found.append(absent)
        else:
            found.append(row)
    return tuple(found)


def _row(line: bytes) -> tuple[int, Stat]:
    match = _ROW.fullmatch(line)
    if not match:
        raise ParseError(TOOL, "not a row of the format asked for", _text(line))
    cells = match.groups()
    mode = int(cells[1], 8)
    flags = _text(cells[9])
    row = Stat(
        type=_TYPES.get(modes.S_IFMT(mode), "?"),
        mode=modes.S_IMODE(mode),
        uid=int(cells[3]),
        gid=int(cells[4]),
        user=_name(cells[5]),
        group=_name(cells[6]),
        size=int(cells[7]),
        links=int(cells[2]),
        inode=int(cells[8]),
        flags="" if flags == "-" else flags,
        atime=_time(cells[10], cells[11]),
        mtime=_time(cells[12], cells[13]),
        ctime=_time(cells[14], cells[15]),
        birth=_time(cells[16], cells[17]),
    )
    return int(cells[0]), row


def _time(seconds: bytes, fraction: bytes) -> int:
    # The fraction counts forwards also before 1970 (struct timespec), so it is always added.
    return int(seconds) * 1_000_000_000 + int(fraction)


def _name(cell: bytes) -> str:
    text = _text(cell)
    return text[1:-1] if text.startswith("(") and text.endswith(")") else text


def _reason(path: bytes, err: bytes) -> tuple[Absent, bytes]:
    """Why `path` has no row, and what of the complaints is left.

    They come in the order of the operands, each with the name as it was given, so that a newline
    in a name hides nothing.
    """
    for call in (b"stat", b"lstat"):
        begin = b"stat: " + path + b": " + call + b": "
        at = 0 if err.startswith(begin) else err.find(b"\n" + begin) + 1
        if at or err.startswith(begin):
            reason, _, rest = err[at + len(begin) :].partition(b"\n")
            return Absent(_text(reason)), rest
    raise ParseError(TOOL, "a path has neither a row nor a complaint", _text(path))


def _text(cell: bytes) -> str:
    return cell.decode("utf-8", "replace")
