"""What a survey found out: frozen, comparable, and data (JSON) for tests and resumed runs."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from zrwizard import jsonable
from zrwizard.freebsd import (
    camcontrol,
    geom,
    gpart,
    ifconfig,
    lastsector,
    mount,
    netstat,
    ssh,
    swapinfo,
    zfs,
    zfs_send,
    zpool,
)
from zrwizard.freebsd.geli import Attached
from zrwizard.freebsd.inventory import Inventory
from zrwizard.freebsd.zpool_features import Feature
from zrwizard.freebsd.zpool_import import Candidate
from zrwizard.mover.measure import Link

FORMAT = "zrwizard-facts-1"


class Use(StrEnum):
    """Why a disk is not free, the hardest reason first."""

    MEDIUM = "medium"
    MOUNTED = "mounted"
    POOL = "pool"
    SWAP = "swap"
    GELI = "geli"
    OPEN = "open"
    IMPORTABLE = "importable"


@dataclass(frozen=True, slots=True)
class Hold:
    """Somebody's claim on a disk: `what` names the pool, the mount point or the provider.

    `provider` is the part of the disk in question, as a name below /dev.
    """

    use: Use
    what: str
    provider: str


@dataclass(frozen=True, slots=True)
class DiskFacts:
    """One disk: what `geom disk list` says, its saved table, who holds it.

    `contents` is what `gpart backup NAME 2>/dev/null | cksum` printed. `table` is the table, None
    where there is none or it is of no known form. `metadata` are marks of geli, gmirror and so on.
    """

    disk: geom.Disk
    contents: str
    table: gpart.Table | None = None
    corrupt: bool = False
    holds: tuple[Hold, ...] = ()
    metadata: tuple[lastsector.Metadata, ...] = ()

    @property
    def name(self) -> str:
        """The name below /dev."""
        return self.disk.name

    @property
    def typed(self) -> str:
        """How an operator names exactly this disk: its serial number, else name and bytes."""
        return self.disk.ident or f"{self.name} {self.disk.mediasize}"


@dataclass(frozen=True, slots=True)
class TargetFacts:
    """The target as surveyed. Sizes in bytes, `clock` as `date -u +%FT%TZ` printed it.

    `boot_files` are the names in /boot, `compatibility` those in zpool's compatibility.d. `hung`
    are probes that did not come back within their deadline; what they would have said is missing.
    `serial` is the serial line (`ttyu0`) among its consoles, empty where none is, `serial_speed`
    its baud as the loader set it, empty where it did not.
    """

    uid: int
    system: str
    release: str
    arch: str
    memory: int
    boot_method: str
    clock: str
    disks: tuple[DiskFacts, ...]
    nics: tuple[ifconfig.Nic, ...]
    default_route: netstat.DefaultRoute | None
    boot_files: frozenset[str]
    zfs_version: tuple[int, int, int] | None
    compatibility: frozenset[str]
    tmp_free: int
    live: bool
    mounts: tuple[mount.Mount, ...] = ()
    pools: tuple[zpool.Pool, ...] = ()
    importable: tuple[Candidate, ...] = ()
    geli: tuple[Attached, ...] = ()
    swap: tuple[swapinfo.Swap, ...] = ()
    muted: bool = False
    serial: str = ""
    serial_speed: str = ""
    hung: tuple[str, ...] = ()

    def nic(self, name: str) -> ifconfig.Nic | None:
        """Return the interface called `name`."""
        return next((nic for nic in self.nics if nic.name == name), None)


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """What is known of the backup server; each part says what it was asked for.

    `endpoint` is `host port` for the keys, `login` is `user@host:port` for the listings.
    `tree` is None where `tree_of` does not exist there; it came there with properties where
    `tree_received`; `features` are those of the pool `features_of`, none where the login may not
    ask; `estimate_of` is the snapshot with the options of its stream, and `refused` says why that
    estimate failed. `link` is what the way to the login `link_of` brings, None where no measurement
    came to its end.
    """

    endpoint: str = ""
    keys: tuple[ssh.HostKey, ...] = ()
    login: str = ""
    roots: tuple[zfs.Root, ...] | None = None
    tree_of: str = ""
    tree: Inventory | None = None
    tree_received: bool = False
    link_of: str = ""
    link: Link | None = None
    features_of: str = ""
    features: Mapping[str, Feature] = field(default_factory=dict)
    estimate_of: str = ""
    estimate: zfs_send.Estimate | None = None
    refused: str = ""


@dataclass(frozen=True, slots=True)
class TextFile:
    """A text file of the target: `text` is None where there is none, `mode` its permissions.

    `odd` says why a file that is there was not read (no text, too large), empty where it was.
    """

    path: str
    text: str | None
    mode: int = 0o644
    odd: str = ""


@dataclass(frozen=True, slots=True)
class SystemFacts:
    """The installed system of a target that is to become a backup server.

    `openssh` is what `ssh -V` printed; `host_key` its ed25519 host key as one line of text, empty
    where it has none. `listening` are the TCP ports on which an sshd listens. `skew` is by how many
    seconds its clock is ahead of the operator's. `seeded` says whether its random source has
    answered at once. `paces` says whether the processor's frequency can be changed (powerd works).
    `marks` are the names of set-ups that zrwizard finished or began there before. `sealed` are the
    disks and partitions (names below /dev) that carry geli metadata, attached or not.
    """

    hostname: str
    openssh: str
    host_key: str
    listening: tuple[int, ...]
    files: tuple[TextFile, ...]
    etc_writable: bool
    skew: float
    ntp_running: bool
    seeded: bool
    paces: bool
    cam: tuple[camcontrol.Device, ...] = ()
    marks: tuple[str, ...] = ()
    sealed: tuple[str, ...] = ()

    def file(self, path: str) -> TextFile:
        """Return the file at `path`, as one that is not there where the survey has not seen it."""
        return next((file for file in self.files if file.path == path), TextFile(path, None))


@dataclass(frozen=True, slots=True)
class OwnFacts:
    """The keys of one backup server on the operator's machine, as far as a flow may know them.

    `directory` is their private directory. `there` says whether it holds keys already; `problem`
    why these cannot be used (unreadable, empty, open to others), empty where they can. `serial`
    and `size` (bytes) name the disk that their geli key belongs to, `metadata` the checksum of its
    saved geli metadata as cksum(1) prints it; empty and 0 where no disk was initialised yet.
    """

    name: str
    directory: str
    there: bool = False
    problem: str = ""
    serial: str = ""
    size: int = 0
    metadata: str = ""


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything that a flow may know. `token` names this run's directory and marks its pool."""

    token: str
    target: TargetFacts | None = None
    server: ServerFacts = field(default_factory=ServerFacts)
    system: SystemFacts | None = None
    own: OwnFacts | None = None
    prepared: frozenset[str] = frozenset()

    @property
    def home(self) -> str:
        """This run's private directory on the target."""
        return f"/tmp/zr-{self.token}"  # noqa: S108 - on the target, made with mode 700

    def to_json(self) -> str:
        """Return the facts as JSON; `from_json` reads them back unchanged."""
        return json.dumps({"format": FORMAT, **jsonable.dump(self)}, indent=1) + "\n"


def empty(token: str) -> Facts:
    """Return the facts of a run that has not looked at anything. ValueError for an odd token."""
    if not re.fullmatch(r"[a-z0-9]{4,32}", token):
        raise ValueError(f"a token is 4 to 32 lower-case letters and digits, not {token!r}")
    return Facts(token)


def from_json(text: str) -> Facts:
    """Return the facts that `Facts.to_json` wrote. ValueError on anything else."""
    data = json.loads(text)
    if not isinstance(data, dict) or data.pop("format", None) != FORMAT:
        raise ValueError("not the facts of a zrwizard survey of this version")
    facts = jsonable.load(Facts, data)
    assert isinstance(facts, Facts)  # noqa: S101 - for the type checker
    return facts
