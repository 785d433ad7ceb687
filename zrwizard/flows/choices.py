"""What the answers of `restore` mean once they were checked: one frozen record a subject."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from zrwizard.facts import DiskFacts
from zrwizard.flows.shapes import Shape
from zrwizard.freebsd import cksum, ssh
from zrwizard.freebsd.gpart import Entry
from zrwizard.freebsd.inventory import Inventory
from zrwizard.freebsd.layout import Layout
from zrwizard.freebsd.tree import SnapshotSet
from zrwizard.plan import Identity
from zrwizard.transfer.forest import Decomposition, History, Stream


@dataclass(frozen=True, slots=True)
class Network:
    """How the target gets at the network. `replaces` is an older default gateway to remove."""

    nic: str
    mode: str
    address: str = ""
    prefix: int = 0
    gateway: str | None = None
    nameserver: str | None = None
    replaces: str | None = None
    live: bool = True


@dataclass(frozen=True, slots=True)
class Login:
    """Where to log in, with which confirmed host key."""

    session: ssh.Session
    key: ssh.HostKey

    @property
    def name(self) -> str:
        """`user@host:port`."""
        return f"{self.session.user}@{self.session.host}:{self.session.port}"


@dataclass(frozen=True, slots=True)
class Source:
    """What is restored: the tree below `root` as it was at `@tag`, to be started from `boot`.

    `boot` is the boot environment's dataset on the server. With `received` the tree came there with
    properties: those are restored, and not what the server set for itself since.
    """

    root: str
    chosen: SnapshotSet
    boot: str
    tree: Inventory
    received: bool

    @property
    def tag(self) -> str:
        """The part of the snapshot's name behind the @."""
        return self.chosen.tag

    @property
    def snapshot(self) -> str:
        """The snapshot's full name."""
        return f"{self.root}@{self.tag}"


@dataclass(frozen=True, slots=True)
class Carriage:
    """How the tree comes over: as one `zfs send -R` where `whole`, else a stream for each dataset.

    `sizes` are the bytes of each dataset on the server, as estimated; `limit` is in bytes a second,
    0 for none. `form` are the options of zfs-send(8) that send blocks as they lie on disk.
    """

    history: History
    whole: bool
    form: tuple[str, ...]
    sizes: Mapping[str, int]
    limit: int

    @property
    def total(self) -> int:
        """The estimate for everything, in bytes."""
        return sum(self.sizes.values())

    def sized(self, streams: Iterable[Stream]) -> tuple[Stream, ...]:
        """Return `streams` with what the server guesses of their datasets."""
        return tuple(replace(one, size=self.sizes.get(one.source, 0)) for one in streams)


@dataclass(frozen=True, slots=True)
class Lanes:
    """Which streams come side by side: the lane of each, see `mover.lanes`; none: one by one.

    `reason` says to people how that came about, empty where there is nothing to say.
    """

    of: tuple[int, ...] = ()
    reason: str = ""

    @property
    def count(self) -> int:
        """How many streams come side by side."""
        return len(set(self.of) - {0}) or 1


@dataclass(frozen=True, slots=True)
class Place:
    """Where it goes: the disk, and the table that will be on it."""

    disk: DiskFacts
    identity: Identity
    layout: Layout
    sizes: tuple[int | None, ...]

    @property
    def entries(self) -> tuple[Entry, ...]:
        """The rows of the new table by their index."""
        return tuple(sorted(self.layout.table.entries, key=lambda entry: entry.index))

    @property
    def has_contents(self) -> bool:
        """Whether the survey found a partition table on the disk, known or not."""
        return self.identity.contents != str(cksum.of(b""))

    def has(self, kind: str) -> bool:
        """Return whether the new table has a row of that type."""
        return any(entry.type == kind for entry in self.entries)

    def of_type(self, kind: str) -> Entry:
        """Return the row of that type; StopIteration where there is none."""
        return next(entry for entry in self.entries if entry.type == kind)

    @property
    def labels(self) -> tuple[str, ...]:
        """The GPT labels that the plan gives."""
        return tuple(entry.label for entry in self.entries)


@dataclass(frozen=True, slots=True)
class Choices:
    """Everything that the plan is made of; `made` is what comes, under its names in `pool`.

    `places` are the pool's disks, in the order of `shape`; `spares` are disks that stand by. `mend`
    says who agrees to changes of the restored system's settings, `renew` whether it gets a new
    hostid, `seal` whether swap is encrypted, see `plan.Mend`.
    """

    token: str
    home: str
    network: Network
    login: Login
    source: Source
    carriage: Carriage
    made: Decomposition
    lanes: Lanes
    places: tuple[Place, ...]
    spares: tuple[Place, ...]
    shape: Shape
    pool: str
    compatibility: str | None
    compatibility_reason: str
    boot_files: frozenset[str]
    boot_method: str
    finish: str
    encrypted: bool = False
    mend: str = "ask"
    renew: bool = False
    seal: bool = False

    @property
    def every(self) -> tuple[Place, ...]:
        """All disks that are erased: those of the pool, then the spares."""
        return (*self.places, *self.spares)

    @property
    def bios(self) -> bool:
        """Whether a BIOS can start the disks."""
        return self.places[0].has("freebsd-boot")

    @property
    def uefi(self) -> bool:
        """Whether UEFI can start the disks."""
        return self.places[0].has("efi")

    @property
    def bios_needed(self) -> bool:
        """Whether nothing but a BIOS will start them: the plan knows no other, or the machine."""
        return self.bios and (self.boot_method != "UEFI" or not self.uefi)

    @property
    def uefi_needed(self) -> bool:
        """Whether nothing but UEFI will start them: the plan knows no other, or the machine."""
        return self.uefi and (self.boot_method == "UEFI" or not self.bios)

    @property
    def several(self) -> bool:
        """Whether more than one disk is erased, so that steps must say which one they mean."""
        return len(self.every) > 1

    def step_id(self, word: str, place: Place) -> str:
        """Return the id of a step for the disk of `place`; of a single one the bare `word`."""
        return f"{word}-{place.disk.name}" if self.several else word

    def titled(self, title: str, place: Place, joint: str = "of") -> str:
        """Return the title of a step, with its disk where there are several."""
        return f"{title} {joint} {place.disk.name}" if self.several else title
