"""What the answers of `server` mean once they were checked: one frozen record a subject."""

from __future__ import annotations

from dataclasses import dataclass

from zrwizard.facts import DiskFacts, SystemFacts
from zrwizard.freebsd import cksum
from zrwizard.freebsd.gpart import Entry
from zrwizard.freebsd.hardening import Machine
from zrwizard.freebsd.sshd import Version
from zrwizard.plan import Identity

VAULT = "vault"
PLAIN = "plain"
ALL = "all"
DISK = "disk"


@dataclass(frozen=True, slots=True)
class Purpose:
    """What is made: a server called `name`, of which shape, and how much of it now."""

    name: str
    shape: str
    scope: str

    @property
    def vault(self) -> bool:
        """Whether its disk is encrypted with a key that never rests there."""
        return self.shape == VAULT

    @property
    def whole(self) -> bool:
        """Whether the computer becomes the server now, and not the disk alone."""
        return self.scope == ALL


@dataclass(frozen=True, slots=True)
class Vessel:
    """The disk that will hold the backups.

    `entry` is the one row of its new table, None where the whole disk is encrypted; of a disk that
    is kept as it is only the label counts. `metadata` is the checksum of the geli metadata that
    a kept disk must carry.
    """

    disk: DiskFacts
    identity: Identity
    encrypted: bool
    pool: str
    entry: Entry | None = None
    keep: bool = False
    metadata: str = ""

    @property
    def part(self) -> str:
        """The GPT label of its partition, empty for a whole disk."""
        return self.entry.label if self.entry else ""

    @property
    def provider(self) -> str:
        """What is encrypted, or holds the pool: a name below /dev."""
        return f"gpt/{self.part}" if self.entry else self.disk.name

    @property
    def device(self) -> str:
        """What the pool lies on: a name below /dev."""
        return f"{self.provider}.eli" if self.encrypted else self.provider

    @property
    def has_contents(self) -> bool:
        """Whether the survey found a partition table on the disk, known or not."""
        return self.identity.contents != str(cksum.of(b""))

    @property
    def labels(self) -> tuple[str, ...]:
        """The GPT labels under which something on it may be in use."""
        return (self.part, f"{self.part}.eli") if self.entry else ()


@dataclass(frozen=True, slots=True)
class Access:
    """How the operator reaches the server, and which OpenSSH answers there."""

    host: str
    port: int
    trial_port: int
    version: Version


@dataclass(frozen=True, slots=True)
class Keys:
    """How the disk's key is delivered, and how long certificates are valid, in days."""

    delivery: str
    host_days: int
    login_days: int
    single_days: int


@dataclass(frozen=True, slots=True)
class Fixed:
    """A fixed IPv4 address for the interface `nic`."""

    nic: str
    address: str
    prefix: int
    gateway: str


@dataclass(frozen=True, slots=True)
class Tending:
    """What becomes of the system's own files."""

    files: bool
    root: str
    swap: str


@dataclass(frozen=True, slots=True)
class Reach:
    """How the server is reached once it stands in the other house; `name` empty for none."""

    how: str
    name: str
    address: str
    fixed: Fixed | None = None


@dataclass(frozen=True, slots=True)
class Source:
    """What will be backed up, and by whom; empty where nothing was said. Only told, never done."""

    dataset: str
    user: str


@dataclass(frozen=True, slots=True)
class Server:
    """What only a whole server has."""

    access: Access
    keys: Keys
    force: bool
    tending: Tending
    reach: Reach
    source: Source
    system: SystemFacts
    machine: Machine


@dataclass(frozen=True, slots=True)
class Plans:
    """Everything that the plan is made of; `server` is None where only the disk is set up.

    `directory` is where the keys lie on the operator's machine.
    """

    token: str
    home: str
    directory: str
    purpose: Purpose
    vessel: Vessel
    server: Server | None

    @property
    def name(self) -> str:
        """The server's name."""
        return self.purpose.name
