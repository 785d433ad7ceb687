"""zfs(8): datasets and snapshots listed, properties read and set, mounts.

The stream side lives in `zfs_send` and `zfs_receive`, reasoning over a tree in `tree`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from . import sh, text
from .errors import ParseError

TOOL = "zfs list"
TREE_COLUMNS = (
    "name,type,used,referenced,creation,createtxg,guid,origin,mountpoint,canmount,encryption"
)
_KINDS = frozenset({"filesystem", "volume"})
_VERSION = re.compile(r"zfs-(?:kmod-)?(\d{1,4})\.(\d{1,4})(?:\.(\d{1,4}))?\S*", re.ASCII)


@dataclass(frozen=True, slots=True)
class Dataset:
    """A file system or volume (`kind`). Bytes, `creation` in seconds since 1970.

    `origin` is the snapshot that it was cloned from. `encryption` is None where it is off.
    """

    name: str
    kind: str
    used: int
    referenced: int
    creation: int
    createtxg: int
    guid: int
    origin: str | None
    mountpoint: str | None
    canmount: str | None
    encryption: str | None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One snapshot, `name` in full (`pool/fs@tag`). Bytes, `creation` in seconds since 1970."""

    name: str
    used: int
    referenced: int
    creation: int
    createtxg: int
    guid: int

    @property
    def dataset(self) -> str:
        """The dataset that it belongs to."""
        return self.name.partition("@")[0]

    @property
    def tag(self) -> str:
        """The part behind the @."""
        return self.name.partition("@")[2]


@dataclass(frozen=True, slots=True)
class Listing:
    """Datasets and snapshots in the order printed."""

    datasets: tuple[Dataset, ...]
    snapshots: tuple[Snapshot, ...]


@dataclass(frozen=True, slots=True)
class Root:
    """A dataset near the top of a server, for choosing a source: bytes used, creation time."""

    name: str
    used: int
    creation: int


@dataclass(frozen=True, slots=True)
class Property:
    """One row of zfs get: `source` is `local`, `received`, `default`, `inherited from x`, `-`."""

    dataset: str
    name: str
    value: str
    source: str


# --- commands ---------------------------------------------------------------------------------


def version() -> str:
    """Command: user land and kernel versions; fails where ZFS is missing."""
    return sh.command("zfs", "version")


def list_roots(depth: int = 1) -> str:
    """Command: the file systems down to `depth`, for `parse_roots`."""
    return sh.command(
        "zfs", "list", "-Hp", "-d", str(depth), "-t", "filesystem", "-o", "name,used,creation"
    )


def list_tree(root: str) -> str:
    """Command: everything below and including `root`, for `parse_tree`."""
    kinds = "filesystem,volume,snapshot"
    return sh.command("zfs", "list", "-Hp", "-r", "-t", kinds, "-o", TREE_COLUMNS, root)


def list_guids(root: str) -> str:
    """Command: name and guid of every snapshot below `root`, for `parse_guids`."""
    return sh.command("zfs", "list", "-Hp", "-t", "snapshot", "-o", "name,guid", "-r", root)


def guid_checksum(root: str) -> str:
    """Command: the checksum of the sorted guid list; see `tree.expected_checksum`."""
    # A pipe inside a substitution hides a failing zfs list, but then the checksum cannot match.
    return sh.pipeline(list_guids(root), "LC_ALL=C sort", sh.command("cksum"))


def list_names(root: str) -> str:
    """Command: the names of all file systems and volumes below `root`, one a line."""
    return sh.command("zfs", "list", "-H", "-o", "name", "-t", "filesystem,volume", "-r", root)


def exists(name: str) -> str:
    """Command: succeeds if the dataset or snapshot exists; prints its name."""
    return sh.command("zfs", "list", "-H", "-o", "name", name)


def used(name: str) -> str:
    """Command: the bytes that a dataset and its descendants take."""
    return get_value(name, "used")


def get_value(name: str, prop: str) -> str:
    """Command: the bare, exact value of one property."""
    return sh.command("zfs", "get", "-Hp", "-o", "value", prop, name)


def get_received(name: str, prop: str) -> str:
    """Command: the value that came with the stream, `-` where none came."""
    return sh.command("zfs", "get", "-H", "-o", "received", prop, name)


def get(name: str, *props: str) -> str:
    """Command: properties with their sources, for `parse_properties`."""
    columns = "name,property,value,source"
    return sh.command("zfs", "get", "-Hp", "-o", columns, ",".join(props), name)


def set_property(name: str, prop: str, value: str) -> str:
    """Command: set one property."""
    return sh.command("zfs", "set", f"{prop}={value}", name)


def revert_to_received(name: str, prop: str) -> str:
    """Command: go back to the received value, or inherit where none was received."""
    return sh.command("zfs", "inherit", "-S", prop, name)


def mount_read_only(name: str) -> str:
    """Command: mount without changing a byte; lands below the pool's altroot."""
    return sh.command("zfs", "mount", "-o", "ro", name)


def unmount(name: str) -> str:
    """Command: unmount a dataset."""
    return sh.command("zfs", "unmount", name)


# --- parsers ----------------------------------------------------------------------------------


def parse_version(output: str) -> tuple[int, int, int]:
    """(2, 1, 99) of `zfs version`: the kernel module's where it is shown. Raises ParseError."""
    found = [match for line in text.lines(output) if (match := _VERSION.fullmatch(line.strip()))]
    if not found:
        raise ParseError("zfs version", "no version", output)
    last = found[-1]
    return int(last[1]), int(last[2]), int(last[3] or 0)


def parse_roots(output: str) -> tuple[Root, ...]:
    """The rows of `list_roots`. Raises ParseError."""
    found: list[Root] = []
    for line in text.lines(output):
        name, taken, creation = text.cells(TOOL, line, 3)
        found.append(
            Root(name, text.whole(TOOL, "used", taken), text.whole(TOOL, "creation", creation))
        )
    return tuple(found)


def parse_tree(output: str) -> Listing:
    """The rows of `list_tree`. Raises ParseError. Facts B4."""
    datasets: list[Dataset] = []
    snapshots: list[Snapshot] = []
    for line in text.lines(output):
        row = text.cells(TOOL, line, 11)
        name, kind = row[0], row[1]
        keys = ("used", "referenced", "creation", "createtxg", "guid")
        taken, referenced, creation, createtxg, guid = (
            text.whole(TOOL, key, cell) for key, cell in zip(keys, row[2:7], strict=True)
        )
        if kind == "snapshot":
            if name.count("@") != 1:
                raise ParseError(TOOL, "not the name of a snapshot", name)
            snapshots.append(Snapshot(name, taken, referenced, creation, createtxg, guid))
        elif kind in _KINDS:
            encryption = text.absent(row[10])
            datasets.append(
                Dataset(
                    name=name,
                    kind=kind,
                    used=taken,
                    referenced=referenced,
                    creation=creation,
                    createtxg=createtxg,
                    guid=guid,
                    origin=text.absent(row[7]),
                    mountpoint=text.absent(row[8]),
                    canmount=text.absent(row[9]),
                    encryption=None if encryption == "off" else encryption,
                )
            )
        else:
            raise ParseError(TOOL, "neither a dataset nor a snapshot", line)
    return Listing(tuple(datasets), tuple(snapshots))


def parse_guids(output: str) -> dict[str, int]:
    """Snapshot name to guid, of `list_guids`. Raises ParseError."""
    found: dict[str, int] = {}
    for line in text.lines(output):
        name, guid = text.cells(TOOL, line, 2)
        found[name] = text.whole(TOOL, "guid", guid)
    return found


def parse_value(output: str) -> str | None:
    """The one value of `get_value` or `get_received`; None for `-`. Raises ParseError."""
    return text.absent(text.one_line("zfs get", output))


def parse_used(output: str) -> int:
    """Bytes, of `used`. Raises ParseError."""
    return text.whole("zfs get", "used", text.one_line("zfs get", output))


def parse_properties(output: str) -> tuple[Property, ...]:
    """The rows of `get`. Raises ParseError."""
    return tuple(Property(*text.cells("zfs get", line, 4)) for line in text.lines(output))
