"""zfs-list(8) in all the detail that a preview needs, and what was written since a snapshot."""

from __future__ import annotations

import os
from collections.abc import Collection
from dataclasses import dataclass

from . import text
from .errors import ParseError

TOOL = "zfs list"
_KINDS = frozenset({"filesystem", "volume"})


@dataclass(frozen=True, slots=True)
class Dataset:
    """A file system or volume (`kind`), as zfs list tells of it. Bytes; seconds since 1970.

    `written` is what was written since the newest snapshot. `mountpoint` is the property (with the
    altroot before it), `none` and `legacy` included, None of a volume and where it is not known.
    `mounted`, `canmount` and `atime` are of file systems only (`atime` None: not known, a volume).
    `keystatus` is `available`, `unavailable`, or None where it is not encrypted.
    """

    name: str
    kind: str
    guid: int
    creation: int
    createtxg: int
    used: int
    referenced: int
    written: int
    logical_used: int
    logical_referenced: int
    origin: str | None
    canmount: str | None
    mounted: bool
    atime: bool | None
    encryption: str | None
    keystatus: str | None
    mountpoint: bytes | None = None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One snapshot, `name` in full. Bytes, `creation` in seconds since 1970.

    `used` is what only it holds, `written` what was written between the one before and it.
    """

    name: str
    guid: int
    creation: int
    createtxg: int
    used: int
    referenced: int
    written: int
    logical_referenced: int

    @property
    def dataset(self) -> str:
        """The dataset that it belongs to."""
        return self.name.partition("@")[0]

    @property
    def tag(self) -> str:
        """The part behind the @."""
        return self.name.partition("@")[2]


# --- commands ---------------------------------------------------------------------------------

_COLUMNS = (
    "name,type,guid,creation,createtxg,used,referenced,written,logicalused,logicalreferenced,"
    "origin,canmount,mounted,atime,encryption,keystatus"
)


def list_all(root: str | None, depth: int | None = None) -> tuple[str, ...]:
    """Command: file systems, volumes and snapshots of `root` (None: of every pool).

    `depth` 1 keeps to the dataset itself with its snapshots. For `parse`. None of the columns can
    hold a tab or a newline, which a mountpoint can: see `list_mountpoints`.
    """
    reach = ("-r",) if depth is None else ("-d", str(depth))
    kinds = "filesystem,volume,snapshot"
    return ("zfs", "list", "-Hp", *reach, "-t", kinds, "-o", _COLUMNS, *((root,) if root else ()))


def list_mountpoints(root: str | None) -> tuple[str, ...]:
    """Command: the mountpoint of every file system of `root`, for `parse_mountpoints`."""
    return (
        "zfs", "list", "-H", "-r", "-t", "filesystem", "-o", "name,mountpoint",
        *((root,) if root else ()),
    )  # fmt: skip


def written(newer: str, older: str) -> tuple[str, ...]:
    """Command: the bytes written between a snapshot and a later one (or now), for `parse_bytes`.

    `older` is a snapshot's full name, `newer` that of a snapshot or dataset. What was freed since
    does not count against it (`written@` of zfsprops(7), which takes a full name where the older
    one belongs to another dataset, as after a promotion).
    """
    dataset, _, tag = older.partition("@")
    since = tag if newer.partition("@")[0] == dataset else older
    return ("zfs", "get", "-Hp", "-o", "value", f"written@{since}", newer)


# --- parsers ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Listed:
    """Datasets and snapshots in the order printed."""

    datasets: tuple[Dataset, ...]
    snapshots: tuple[Snapshot, ...]


def parse(output: str) -> Listed:
    """The rows of `list_all`. Raises ParseError, also for a row that stands there twice."""
    datasets: dict[str, Dataset] = {}
    snapshots: dict[str, Snapshot] = {}
    for line in text.lines(output):
        row = text.cells(TOOL, line, 16)
        name = row[0]
        if name in datasets or name in snapshots:
            raise ParseError(TOOL, "a name stands there twice", name)
        if row[1] == "snapshot":
            snapshots[name] = _snapshot(row)
        elif row[1] in _KINDS:
            datasets[name] = _dataset(row)
        else:
            raise ParseError(TOOL, "neither a dataset nor a snapshot", line)
    return Listed(tuple(datasets.values()), tuple(snapshots.values()))


def _snapshot(row: list[str]) -> Snapshot:
    if row[0].count("@") != 1 or row[0].startswith("@"):
        raise ParseError(TOOL, "not the name of a snapshot", row[0])
    guid, creation, createtxg, used, referenced, written = _numbers(row[2:8])
    (logical,) = _numbers(row[9:10])
    return Snapshot(row[0], guid, creation, createtxg, used, referenced, written, logical)


def _dataset(row: list[str]) -> Dataset:
    guid, creation, createtxg, used, referenced, written, all_used, all_referenced = _numbers(
        row[2:10]
    )
    atime, encryption, keystatus = (text.absent(cell) for cell in row[13:16])
    return Dataset(
        name=row[0],
        kind=row[1],
        guid=guid,
        creation=creation,
        createtxg=createtxg,
        used=used,
        referenced=referenced,
        written=written,
        logical_used=all_used,
        logical_referenced=all_referenced,
        origin=text.absent(row[10]),
        canmount=text.absent(row[11]),
        mounted=row[12] == "yes",
        atime={"on": True, "off": False}.get(atime or ""),
        encryption=None if encryption == "off" else encryption,
        keystatus=None if keystatus == "none" else keystatus,
    )


def _numbers(cells: list[str]) -> list[int]:
    # The dash stands for nothing, as in `written` of a dataset whose key is not loaded.
    return [0 if cell == "-" else text.whole(TOOL, "a column", cell) for cell in cells]


def parse_mountpoints(output: bytes, names: Collection[str]) -> dict[str, bytes]:
    """The mountpoints of `list_mountpoints`, of the file systems `names`.

    A mountpoint may hold a newline, and what follows it could look like another's row. So one whose
    row is followed by a line of no known name, or that has two rows, is left out, for it is not
    certain.
    """
    found: dict[str, bytes] = {}
    doubtful: set[str] = set()
    last: str | None = None
    for line in output.removesuffix(b"\n").split(b"\n"):
        head, _, point = line.partition(b"\t")
        name = os.fsdecode(head)
        if name in names and name not in found and point:
            found[name] = point
            last = name
            continue
        doubtful.update(known for known in (name, last) if known is not None)
    return {name: point for name, point in found.items() if name not in doubtful}


def parse_bytes(output: str) -> int | None:
    """The bytes of `written`; None where zfs cannot tell (`-`). Raises ParseError."""
    cell = text.one_line("zfs get", output)
    return None if cell == "-" else text.whole("zfs get", "written", cell)
