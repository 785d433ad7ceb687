"""Disks and network cards as plain data; gpart's arithmetic lives in `gpt.py`."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from zrwizard.rehearsal.geli import Geli
    from zrwizard.rehearsal.zfsstate import Pool


@dataclass(slots=True)
class Content:
    """What was written from one place of a disk on: raw head, a FAT, a pool's labels, GELI."""

    size: int = 0
    head: bytes = b""
    fat: dict[str, bytes | None] | None = None
    pool: Pool | None = None
    other: str = ""
    geli: Geli | None = None
    tail: bytes = b""
    """What a mirror or its like wrote into the last sector; `size` says where that was."""

    @property
    def blank(self) -> bool:
        """Nothing recognisable is here."""
        return not (
            self.head or self.fat is not None or self.pool or self.other or self.geli or self.tail
        )


@dataclass(slots=True)
class Partition:
    """One GPT entry; start and count in sectors."""

    index: int
    start: int
    count: int
    kind: str
    label: str
    uuid: str
    attributes: set[str] = field(default_factory=set)

    @property
    def end(self) -> int:
        """The last sector that belongs to it."""
        return self.start + self.count - 1


@dataclass(slots=True)
class Gpt:
    """A GUID partition table: usable sectors `first` to `last`, both included."""

    first: int
    last: int
    parts: dict[int, Partition] = field(default_factory=dict)
    pmbr: bytes = b""
    corrupt: bool = False


@dataclass(slots=True)
class Disk:
    """A disk. `contents` is keyed by the byte offset at which something was written."""

    name: str
    size: int
    serial: str
    descr: str = ""
    sector: int = 512
    stripe: int = 0
    heads: int = 16
    track: int = 63
    rotation: str = "unknown"
    attachment: str = ""
    vendor: str = ""
    bus: int = 0
    read_only: bool = False
    failing: bool = False
    """Every write ends with an input/output error."""
    zoned: bool = False
    table: Gpt | None = None
    contents: dict[int, Content] = field(default_factory=dict)
    opened: int = 0
    writes: int = 0
    other_owner: bool = False
    """Holds something that no rehearsal may touch."""
    rate: float = 50e6
    """Bytes that it reads in a second."""

    @property
    def sectors(self) -> int:
        """Number of sectors."""
        return self.size // self.sector

    def content(self, offset: int = 0) -> Content:
        """What was written at a byte offset (made blank where nothing was)."""
        return self.contents.setdefault(offset, Content())

    def overwrite(self, offset: int, content: Content) -> None:
        """Put `content` at `offset`; what began inside its range is gone."""
        end = offset + max(content.size, 1)
        for key in [k for k in self.contents if offset <= k < end]:
            del self.contents[key]
        self.contents[offset] = content
        self.writes += 1


EM_OPTIONS = (
    "481209b<RXCSUM,TXCSUM,VLAN_MTU,VLAN_HWTAGGING,VLAN_HWCSUM,WOL_MAGIC,VLAN_HWFILTER,NOMAP>"
)


@dataclass(slots=True)
class Nic:
    """An Ethernet card with its counters (packets and bytes since boot)."""

    name: str
    mac: str
    options: str = EM_OPTIONS
    media: str = "Ethernet autoselect (1000baseT <full-duplex>)"
    link: bool = True
    up: bool = False
    address: str = ""
    prefix: int = 24
    ipackets: int = 0
    ibytes: int = 0
    opackets: int = 0
    obytes: int = 0
    dhclient: int = 0

    def receive(self, size: int) -> None:
        """Count `size` payload bytes as they come off the wire, acknowledgements included."""
        packets = max(1, -(-size // 1448))
        self.ipackets += packets
        self.ibytes += size + packets * 66
        acks = -(-packets // 2)
        self.opackets += acks
        self.obytes += acks * 66


def make_uuid(rng: random.Random) -> str:
    """A version 1 UUID of the kind that FreeBSD writes into its tables."""
    return f"{rng.getrandbits(32):08x}-e5ed-11f1-{rng.getrandbits(14) | 0x8000:04x}-bd5c037f20bb"
