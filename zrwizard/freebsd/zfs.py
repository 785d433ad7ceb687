"""zfs(8): datasets listed, properties read and set, mounts.

A whole tree: `inventory`, and reasoning over it `tree`. Streams: `zfs_send`, `zfs_receive`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from . import sh, text
from .errors import ParseError

TOOL = "zfs list"
_VERSION = re.compile(r"zfs-(?:kmod-)?(\d{1,4})\.(\d{1,4})(?:\.(\d{1,4}))?\S*", re.ASCII)


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


def list_guids(root: str) -> str:
    """Command: name and guid of every snapshot below `root`, for `parse_guids`."""
    return sh.command("zfs", "list", "-Hp", "-t", "snapshot", "-o", "name,guid", "-r", root)


def guid_checksum(root: str) -> str:
    """Command: the checksum of the sorted guid list; of what: `tree.guid_text`."""
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
