"""What a machine that sends has: every dataset with its snapshots, from one listing.

A backup server may have a million snapshots, so they are columns of numbers, not objects.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from sys import intern
from typing import TYPE_CHECKING

from . import sh, text
from .errors import ParseError

if TYPE_CHECKING:
    Numbers = array[int]
else:
    # Python 3.11 cannot subscript it, and the hints are read when facts are loaded.
    Numbers = array

TOOL = "zfs list"
COLUMNS = (
    "name,type,guid,createtxg,creation,userrefs,referenced,usedbydataset,usedbysnapshots,"
    "usedbyrefreservation,compression,compressratio,origin,encryptionroot,mountpoint,canmount"
)
_DATASETS = frozenset({"filesystem", "volume"})


@dataclass(slots=True)
class Snapshots:
    """A dataset's snapshots, oldest first; the same place in each column is the same snapshot.

    `tags` are the names behind the @, `made` is in seconds since 1970, `referenced` in bytes;
    `held` counts those with a hold.
    """

    tags: list[str] = field(default_factory=list)
    guids: Numbers = field(default_factory=lambda: array("Q"))
    txgs: Numbers = field(default_factory=lambda: array("Q"))
    made: Numbers = field(default_factory=lambda: array("Q"))
    referenced: Numbers = field(default_factory=lambda: array("Q"))
    held: int = 0

    def sort(self) -> None:
        """Put them in the order in which they were made (createtxg), if they are not."""
        if all(a <= b for a, b in zip(self.txgs, self.txgs[1:], strict=False)):
            return
        order = sorted(range(len(self.tags)), key=self.txgs.__getitem__)
        self.tags = [self.tags[at] for at in order]
        for name in ("guids", "txgs", "made", "referenced"):
            column = getattr(self, name)
            setattr(self, name, array("Q", (column[at] for at in order)))

    def find(self, tag: str) -> int | None:
        """Return the place of `tag`, None where there is no such snapshot."""
        try:
            return self.tags.index(tag)
        except ValueError:
            return None


@dataclass(slots=True)
class Holding:
    """A dataset on the sending side: `kind` is "filesystem" or "volume".

    In bytes: `size` is what it and its snapshots hold alone, `reserved` what a volume may still
    want. A copy would be `grows` times as large, where compression is off by now. `made` is in
    seconds since 1970. `origin` is the snapshot that it was cloned from, `root` its encryption root
    (None where it is not encrypted).
    """

    name: str
    kind: str
    size: int
    origin: str | None
    root: str | None
    txg: int
    made: int
    reserved: int
    grows: float
    mountpoint: str | None
    canmount: str | None
    snapshots: Snapshots = field(default_factory=Snapshots)
    bookmarks: int = 0

    @property
    def parent(self) -> str:
        """The dataset that it lies in; "" for a pool's own."""
        return self.name.rpartition("/")[0]


Inventory = dict[str, Holding]
"""Every dataset by its name."""


def command(root: str) -> str:
    """Command: the inventory of everything below and including `root`, for `parse`."""
    kinds = "filesystem,volume,snapshot,bookmark"
    return sh.command("zfs", "list", "-Hp", "-r", "-t", kinds, "-o", COLUMNS, root)


def parse(lines: Iterable[str]) -> Inventory:
    """Return the inventory in the lines that `command` prints (zfsprops(7), facts B4).

    Takes an open file as well: nothing is kept of a line but its numbers. Raises ParseError.
    """
    found: Inventory = {}
    for row in _rows(lines):
        if row[1] in _DATASETS:
            found[row[0]] = _holding(row)
        elif row[1] == "snapshot":
            _add(found, row)
        elif row[1] == "bookmark":
            _of(found, row[0], "#").bookmarks += 1
        else:
            raise ParseError(TOOL, "not a dataset, a snapshot or a bookmark", "\t".join(row))
    for holding in found.values():
        holding.snapshots.sort()
    return found


def was_received(root: str) -> str:
    """Command: prints `received` if a dataset below and including `root` came with properties.

    One whose properties were all set again on this side says so only when it is asked for each by
    name, which is slow: that is left for the end, and asked of what is set here at all. Source:
    zfsprops(7), zfs-get(8).
    """
    every = ("zfs", "get", "-H", "-r", "-t", "filesystem,volume")
    came = sh.command(*every, "-s", "received", "-o", "name", "all", root)
    set_here = sh.command(*every, "-s", "local", "-o", "property", "all", root)
    both = sh.command(*every, "-s", "local", "-o", "name,received")
    return (
        f"n=$({came}) || exit 1\n"
        f"p=$({set_here} | sort -u | tr '\\n' ',')\n"
        '[ -n "$n" ] || [ -z "$p" ] || '
        f'n=$({both} "${{p%,}}" {sh.quote(root)} | '
        "awk -F '\\t' 'NF == 2 && $2 != \"-\" { print $1 }')\n"
        '[ -z "$n" ] || echo received'
    )


def _rows(lines: Iterable[str]) -> Iterator[list[str]]:
    width = COLUMNS.count(",") + 1
    for line in lines:
        row = line.rstrip("\r\n").split("\t")
        if len(row) == width:
            yield row
        elif row != [""]:
            raise ParseError(TOOL, f"a row has {len(row)} columns instead of {width}", line)


def _holding(row: list[str]) -> Holding:
    (name, kind, _, txg, made, _, _, alone, old, reserved) = row[:10]
    compression, ratio, origin, root, mountpoint, canmount = row[10:]
    size = text.whole(TOOL, "usedbydataset", alone) + text.whole(TOOL, "usedbysnapshots", old)
    return Holding(
        name=name,
        kind=kind,
        size=size,
        origin=text.absent(origin),
        root=text.absent(root),
        txg=text.whole(TOOL, "createtxg", txg),
        made=text.whole(TOOL, "creation", made),
        reserved=text.whole(TOOL, "usedbyrefreservation", reserved),
        grows=_ratio(ratio) if compression == "off" else 1.0,
        mountpoint=text.absent(mountpoint),
        canmount=text.absent(canmount),
    )


def _ratio(cell: str) -> float:
    """A compressratio; it is printed with an x behind it, and without (facts B4)."""
    try:
        return max(1.0, float(cell.removesuffix("x")))
    except ValueError:
        raise ParseError(TOOL, "compressratio is no number", cell) from None


def _add(found: Inventory, row: list[str]) -> None:
    snapshots = _of(found, row[0], "@").snapshots
    try:
        snapshots.guids.append(int(row[2]))
        snapshots.txgs.append(int(row[3]))
        snapshots.made.append(int(row[4]))
        snapshots.referenced.append(int(row[6]))
    except (ValueError, OverflowError):
        raise ParseError(TOOL, "a number is none", "\t".join(row)) from None
    # The same tags come again in every dataset.
    snapshots.tags.append(intern(row[0].partition("@")[2]))
    if row[5] not in ("0", "-"):
        snapshots.held += 1


def _of(found: Inventory, name: str, mark: str) -> Holding:
    try:
        return found[name.partition(mark)[0]]
    except KeyError:
        raise ParseError(TOOL, "its dataset does not come before it", name) from None
