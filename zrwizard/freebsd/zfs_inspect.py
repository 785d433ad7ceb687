"""zfs-list(8) in all the detail that a preview needs, and what was written since a snapshot."""

from __future__ import annotations

from dataclasses import dataclass


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
