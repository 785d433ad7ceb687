"""Pools, datasets and snapshots as plain data, and the arithmetic of their space.

The ZFS of the simulated machines keeps files as bytes and everything else ("bulk") as a number,
so that a gigabyte of a host costs nothing here.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from zrwizard.rehearsal.zfsfiles import FileTree, blocks, only_in
from zrwizard.rehearsal.zfsprops import DEFAULTS, NOT_INHERITED

Tree = dict[str, bytes | None]
"""Files below a mount point by relative path; None is a directory."""


@dataclass(slots=True)
class Snapshot:
    """A snapshot: what the dataset held, and its place in history."""

    name: str
    guid: int
    createtxg: int
    creation: int
    referenced: int
    used: int
    files: Tree
    bulk: int
    fresh: int = 0
    """Bytes that were written since the snapshot before it."""
    holds: dict[str, int] = field(default_factory=dict)
    tree: FileTree | None = None
    """The files with all that they are, where the dataset has its `tree`."""


@dataclass(slots=True)
class Dataset:
    """A file system or volume. `rel` is its name below the pool, empty for the pool's own root."""

    rel: str
    guid: int
    createtxg: int
    creation: int
    local: dict[str, str] = field(default_factory=dict)
    received: dict[str, str] = field(default_factory=dict)
    hidden: set[str] = field(default_factory=set)
    snapshots: list[Snapshot] = field(default_factory=list)
    files: Tree = field(default_factory=dict)
    bulk: int = 0
    origin: str = ""
    mounted_at: str = ""
    pending: int = 0
    """Bytes of a receive that is running."""
    busy: bool = False
    bookmarks: dict[str, tuple[int, int]] = field(default_factory=dict)
    kind: str = "filesystem"
    tree: FileTree | None = None
    """Where it is there, the files are these and not `files` and `bulk`."""
    origin_tree: FileTree | None = None
    token: str = ""
    """The receive_resume_token of a receive that was interrupted."""
    key: str = ""
    """`available` or `unavailable` of an encrypted one."""
    inherits_key: bool = False
    """It is encrypted with the key of the dataset above."""

    def snapshot(self, name: str) -> Snapshot | None:
        """The snapshot called `name`."""
        return next((s for s in self.snapshots if s.name == name), None)


@dataclass(slots=True)
class Member:
    """A device of a pool: as it is called in zpool's listings, and where on which disk it is."""

    device: str
    disk: str
    offset: int


@dataclass(slots=True)
class Group:
    """A top-level vdev: `mirror`, `raidz1` …, or empty for a single device."""

    kind: str
    members: list[Member]


@dataclass(slots=True)
class Pool:
    """A pool; `device`, `disk` and `offset` are its first device.

    `active_on` is the name of the machine that has it imported.
    """

    name: str
    guid: int
    device: str
    disk: str
    offset: int
    size: int
    ashift: int
    props: dict[str, str] = field(default_factory=dict)
    features: dict[str, str] = field(default_factory=dict)
    datasets: dict[str, Dataset] = field(default_factory=dict)
    active_on: str = ""
    exported: bool = False
    last_host: str = ""
    last_hostid: int = 0
    last_access: float = 0.0
    altroot: str = ""
    txg: int = 4
    scan: str = ""
    checkpoint: str = ""
    history: list[str] = field(default_factory=list)
    internal: list[tuple[str, str]] = field(default_factory=list)
    """What zpool history -i adds: (stamp, text)."""
    load_guid: int = 0
    destroyed: bool = False
    readonly: bool = False
    groups: list[Group] = field(default_factory=list)
    """Its vdevs; one of a single device where none were given."""
    spares: list[Member] = field(default_factory=list)
    health: str = "ONLINE"
    """As it was when it was imported."""
    ratio: float = 1.0
    """What of a byte on its devices is data: less than 1 with raidz."""

    def __post_init__(self) -> None:
        if not self.groups:
            self.groups = [Group("", [Member(self.device, self.disk, self.offset)])]

    @property
    def devices(self) -> list[Member]:
        """All of its devices, the spares last."""
        return [member for group in self.groups for member in group.members] + self.spares

    def full(self, ds: Dataset) -> str:
        """`pool/rel`."""
        return f"{self.name}/{ds.rel}" if ds.rel else self.name

    def children(self, ds: Dataset) -> list[Dataset]:
        """Every dataset below, at any depth."""
        head = f"{ds.rel}/" if ds.rel else ""
        return [d for d in self.datasets.values() if d is not ds and d.rel.startswith(head)]

    def ordered(self) -> list[Dataset]:
        """All datasets, depth first, siblings by name (as zfs list sorts them)."""
        return sorted(self.datasets.values(), key=lambda d: d.rel.split("/") if d.rel else [])

    @property
    def base(self) -> int:
        """What an empty file system occupies."""
        return 24576 if self.ashift == 9 else 98304

    def next_txg(self) -> int:
        """A transaction group for the next change."""
        self.txg += 2
        return self.txg


def tree_bytes(files: Tree, sector: int) -> int:
    """What `files` occupy, rounded up to sectors."""
    return sum(-(-len(data) // sector) * sector for data in files.values() if data)


def referenced(pool: Pool, ds: Dataset) -> int:
    """Bytes that the live dataset refers to."""
    if ds.tree is not None:
        return pool.base + sum(disk for disk, _ in blocks(ds.tree).values())
    return pool.base + ds.bulk + tree_bytes(ds.files, 1 << pool.ashift)


def used_by_dataset(pool: Pool, ds: Dataset) -> int:
    """Bytes that destroying the dataset alone would free (little for a clone)."""
    if ds.tree is not None:
        return pool.base + only_in(ds.tree, ds.origin_tree)[0]
    if ds.origin:
        return 8192 if not ds.pending else ds.pending
    return referenced(pool, ds) + ds.pending


def used_by_snapshots(ds: Dataset) -> int:
    """Bytes held by snapshots only."""
    if ds.tree is None:
        return sum(s.used for s in ds.snapshots)
    held = {k: v for s in ds.snapshots for k, v in blocks(s.tree).items()}
    for key in (*blocks(ds.tree), *blocks(ds.origin_tree)):
        held.pop(key, None)
    return sum(disk for disk, _ in held.values())


def neighbours(ds: Dataset, snap: Snapshot) -> tuple[FileTree | None, FileTree | None]:
    """The trees of the snapshot before and of what came after."""
    at = ds.snapshots.index(snap)
    before = ds.snapshots[at - 1].tree if at else ds.origin_tree
    after = ds.snapshots[at + 1].tree if at + 1 < len(ds.snapshots) else ds.tree
    return before, after


def snapshot_used(ds: Dataset, snap: Snapshot) -> int:
    """Bytes that only this snapshot holds."""
    return snap.used if snap.tree is None else only_in(snap.tree, *neighbours(ds, snap))[0]


def written_since(pool: Pool, ds: Dataset, snap: Snapshot | None, base: str) -> int | None:
    """The property written@BASE of a dataset or of its snapshot; None: there is no such base."""
    older = ds.snapshot(base.rpartition("@")[2])
    if older is None or (snap is not None and snap.createtxg < older.createtxg):
        return None
    tree = snap.tree if snap else ds.tree
    if tree is not None and older.tree is not None:
        return only_in(tree, older.tree)[0]
    return max(0, (snap.referenced if snap else referenced(pool, ds)) - older.referenced)


def logical(tree: FileTree | None) -> int:
    """Bytes of a tree before compression."""
    return sum(plain for _, plain in blocks(tree).values())


def used_by_children(pool: Pool, ds: Dataset) -> int:
    """Bytes of everything below, and for the root the pool's own metadata."""
    extra = (115200 - 24576 if pool.ashift == 9 else 417792 - 98304) if not ds.rel else 0
    return extra + sum(used_by_dataset(pool, c) + used_by_snapshots(c) for c in pool.children(ds))


def used(pool: Pool, ds: Dataset) -> int:
    """The `used` property."""
    return used_by_dataset(pool, ds) + used_by_snapshots(ds) + used_by_children(pool, ds)


def allocated(pool: Pool) -> int:
    """The pool's `allocated` property."""
    return used(pool, pool.datasets[""])


def available(pool: Pool) -> int:
    """The `available` property: the pool less its slop space (1/32, 128 MiB at least)."""
    size = int(pool.size * pool.ratio)
    slop = max(size // 32, min(128 << 20, size // 2))
    return max(0, size - slop - allocated(pool))


def usable_size(raw: int) -> int:
    """A pool's `size` on a device of `raw` bytes: labels off, whole metaslabs."""
    asize = raw - (4608 << 10)
    shift = 29
    if asize >> 29 < 16:
        shift = min(29, max(24, (asize // 16).bit_length()))
    elif asize >> 29 > 200:
        shift = (asize // 200).bit_length()
    return (asize >> shift) << shift


def parent_of(pool: Pool, ds: Dataset) -> Dataset | None:
    """The dataset above, None for the pool's root."""
    if not ds.rel:
        return None
    return pool.datasets.get(ds.rel.rpartition("/")[0])


def lookup(pool: Pool, ds: Dataset, prop: str) -> tuple[str | None, str]:
    """Raw value and source of a settable property; (None, "-") where none is known."""
    if prop in ds.local:
        return ds.local[prop], "local"
    if prop in ds.received and prop not in ds.hidden:
        return ds.received[prop], "received"
    above: Dataset | None = ds
    if prop not in NOT_INHERITED:
        while (above := parent_of(pool, above) if above else None) is not None:
            value, source = own(above, prop)
            if value is not None:
                if prop == "mountpoint" and value.startswith("/"):
                    tail = ds.rel[len(above.rel) :].lstrip("/")
                    value = f"{value.rstrip('/')}/{tail}"
                del source
                return value, f"inherited from {pool.full(above)}"
    if prop == "mountpoint":
        return f"/{pool.full(ds)}", "default"
    return (DEFAULTS[prop], "default") if prop in DEFAULTS else (None, "-")


def own(ds: Dataset, prop: str) -> tuple[str | None, str]:
    """Value and source of what the dataset itself carries."""
    if prop in ds.local:
        return ds.local[prop], "local"
    if prop in ds.received and prop not in ds.hidden:
        return ds.received[prop], "received"
    return None, "-"


def encryption_root(pool: Pool, ds: Dataset) -> str:
    """The full name of the dataset whose key it has, `-` where it is not encrypted."""
    above = parent_of(pool, ds)
    if ds.key and ds.inherits_key and above is not None:
        return encryption_root(pool, above)
    return pool.full(ds) if ds.key else "-"


def mountpoint(pool: Pool, ds: Dataset) -> str:
    """Where it would mount, altroot applied; `none` or `legacy` as they are."""
    value = lookup(pool, ds, "mountpoint")[0] or "none"
    if not value.startswith("/"):
        return value
    if not pool.altroot:
        return value
    return pool.altroot if value == "/" else pool.altroot.rstrip("/") + value


def canmount(pool: Pool, ds: Dataset) -> str:
    """`on`, `off` or `noauto`."""
    return lookup(pool, ds, "canmount")[0] or "on"
