"""hostA's pool: its data sets, its snapshots, and the history that zpool keeps of four weeks."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from datetime import UTC, datetime

from zrwizard.rehearsal import previewstory
from zrwizard.rehearsal.previewstory import EVE, HAN, LUCAS, WWW, Files
from zrwizard.rehearsal.zfsfiles import FileTree, only_in
from zrwizard.rehearsal.zfsstate import Dataset, Pool, Snapshot, referenced

TREE = "zroot"
FIRST, OLDER, NEWER, LAST = "2025-08-01", "2025-08-08", "2025-08-15", "2025-08-22"
"""The recursive snapshots; between OLDER and NEWER most of it happened."""
INSTALLED = 1753776000
GIB = 1 << 30
SEED = 20250815

Story = Callable[[Files], None]
# rel, properties, owner, first object number, first, between, after
Row = tuple[str, dict[str, str], int, int, Story, Story, Story]
_NO = previewstory.nothing
LAYOUT: tuple[Row, ...] = (
    ("", {"mountpoint": "/zroot", "compression": "lz4", "atime": "off"}, 0, 2, _NO, _NO, _NO),
    ("ROOT", {"mountpoint": "none"}, 0, 2, _NO, _NO, _NO),
    (
        "ROOT/default",
        {"mountpoint": "/", "canmount": "noauto"},
        0,
        128,
        _NO,
        previewstory.system_between,
        _NO,
    ),
    (
        "archive",
        {"mountpoint": "/archive", "canmount": "noauto"},
        0,
        2,
        previewstory.archive_first,
        previewstory.archive_between,
        _NO,
    ),
    (
        "data",
        {"mountpoint": "/data", "recordsize": "1048576"},
        0,
        128,
        previewstory.data_first,
        previewstory.data_between,
        previewstory.data_after,
    ),
    ("home", {"mountpoint": "/home"}, 0, 2, _NO, _NO, _NO),
    (
        "home/han",
        {},
        HAN,
        2,
        previewstory.han_first,
        previewstory.han_between,
        previewstory.han_after,
    ),
    (
        "home/luke",
        {},
        LUCAS,
        2,
        previewstory.lucas_first,
        previewstory.lucas_between,
        _NO,
    ),
    ("jails", {"mountpoint": "/jails"}, 0, 2, _NO, _NO, _NO),
    ("jails/build", {}, 0, 2, previewstory.eve_first, _NO, _NO),
    ("var", {"mountpoint": "/var", "canmount": "off"}, 0, 2, _NO, _NO, _NO),
    ("var/crash", {"exec": "off", "setuid": "off"}, 0, 2, _NO, _NO, _NO),
    (
        "var/log",
        {"exec": "off", "setuid": "off"},
        0,
        2,
        previewstory.log_first,
        previewstory.log_between,
        previewstory.log_after,
    ),
    (
        "var/mail",
        {"atime": "on"},
        HAN,
        2,
        previewstory.mail_first,
        previewstory.mail_between,
        _NO,
    ),
    ("var/tmp", {"setuid": "off"}, 0, 2, previewstory.eve_first, previewstory.lucas_first, _NO),
    ("vault", {"encryption": "aes-256-gcm"}, 0, 2, previewstory.eve_first, _NO, _NO),
    (
        "vm0",
        {"volsize": str(8 * GIB)},
        0,
        2,
        previewstory.disk_first,
        previewstory.disk_between,
        _NO,
    ),
    (
        "www",
        {"mountpoint": "/usr/local/www"},
        WWW,
        2,
        previewstory.www_first,
        previewstory.www_between,
        _NO,
    ),
)


def moment(tag: str, hour: int = 2, minute: int = 10) -> int:
    """Seconds since 1970 at that time of the day that a snapshot is named after."""
    return int(datetime.fromisoformat(f"{tag}T{hour:02d}:{minute:02d}:00+00:00").timestamp())


class Teller:
    """Makes the pool and tells its story, with the history that zpool keeps of it."""

    def __init__(self, pool: Pool) -> None:
        self.pool = pool
        self.dice = random.Random(SEED)  # noqa: S311 - a simulation
        self.now = INSTALLED
        self.files: dict[str, Files] = {}
        self.numbers: dict[str, int] = {}

    def log(self, command: str, *inner: tuple[str, str], more: str = "") -> int:
        """Write a command and what it does into the history; its transaction group."""
        stamp = datetime.fromtimestamp(self.now, UTC).strftime("%Y-%m-%d.%H:%M:%S")
        txg = max(self.pool.next_txg(), (self.now - INSTALLED) // 5 + 12)
        self.pool.txg = txg
        for what, name in inner:
            text = f"[txg:{txg}] {what} {name} ({self.number(name)}) {more}"
            self.pool.internal.append((stamp, text))
        self.pool.history.append(f"{stamp} {command}")
        return txg

    def number(self, name: str) -> int:
        """The object number of a data set or snapshot."""
        return self.numbers.setdefault(name, 54 + 9 * len(self.numbers))

    def create(self, row: Row) -> None:
        """zfs create, and the files that came with it."""
        rel, props, owner, first, story, _, _ = row
        self.now += 61
        full = f"{self.pool.name}/{rel}" if rel else self.pool.name
        given = " ".join(f"-o {k}={v}" for k, v in props.items())
        if rel:
            kind = "-V 8G " if "volsize" in props else f"{given} " * bool(given)
            txg = self.log(f"zfs create {kind}{full}", ("create", full))
        else:
            txg = self.log("zpool create -o altroot=/mnt -O compression=lz4 -m none zroot vtbd0p4")
        ds = Dataset(rel, self.dice.getrandbits(63), txg, self.now, local=dict(props))
        ds.kind = "volume" if "volsize" in props else "filesystem"
        ds.key = "unavailable" if "encryption" in props else ""
        ds.tree = FileTree()
        ds.tree.begin(self.now * 10**9, first, 0o750 if owner else 0o755)
        self.pool.datasets[rel] = ds
        self.files[rel] = Files(ds.tree, owner, owner, len(self.files) + 3)
        self.point(rel)
        self.tell(rel, story)

    def point(self, rel: str, *, gone: bool = False) -> None:
        """The directory that a data set is mounted on, in the one above it."""
        above, _, name = rel.rpartition("/")
        if above not in ("home", "jails"):
            return
        parent = self.files[above]
        parent.at(self.now)
        if gone:
            parent.remove(name)
        else:
            parent.put(name, kind="/")

    def tell(self, rel: str, story: Story) -> None:
        """Part of a data set's story happens now."""
        files = self.files[rel]
        files.at(self.now + 30)
        story(files)

    def snapshot(self, tag: str, rels: Iterable[str] | None = None, command: str = "") -> None:
        """zfs snapshot, recursive unless `rels` says of what."""
        chosen = [d for d in self.pool.ordered() if rels is None or d.rel in rels]
        names = [f"{self.pool.full(d)}@{tag}" for d in chosen]
        txg = self.log(
            command or f"zfs snapshot -r {self.pool.name}@{tag}", *(("snapshot", n) for n in names)
        )
        for ds in chosen:
            assert ds.tree is not None  # noqa: S101 - `create` gives every one its tree
            before = ds.snapshots[-1].tree if ds.snapshots else ds.origin_tree
            ds.snapshots.append(
                Snapshot(
                    tag,
                    self.dice.getrandbits(63),
                    txg,
                    self.now,
                    referenced(self.pool, ds),
                    0,
                    {},
                    0,
                    only_in(ds.tree, before)[1],
                    tree=ds.tree.copy(),
                )
            )

    def forget(self, rel: str, tag: str) -> None:
        """zfs destroy of one snapshot."""
        full = f"{self.pool.name}/{rel}@{tag}"
        self.log(f"zfs destroy {full}", ("destroy", full))
        ds = self.pool.datasets[rel]
        ds.snapshots = [s for s in ds.snapshots if s.name != tag]

    def rename(self, rel: str, new: str) -> None:
        """zfs rename."""
        name = self.pool.name
        self.log(
            f"zfs rename {name}/{rel} {name}/{new}",
            ("rename", f"{name}/{rel}"),
            more=f"-> {name}/{new}",
        )
        self.numbers[f"{name}/{new}"] = self.number(f"{name}/{rel}")
        ds = self.pool.datasets.pop(rel)
        ds.rel = new
        self.pool.datasets[new] = ds
        self.point(rel, gone=True)
        self.point(new)
        self.files[new] = self.files.pop(rel)

    def destroy(self, rel: str) -> None:
        """zfs destroy -r."""
        full = f"{self.pool.name}/{rel}"
        self.log(f"zfs destroy -r {full}", ("destroy", full))
        self.point(rel, gone=True)
        del self.pool.datasets[rel], self.files[rel]

    def promote(self, rel: str, new: str, tag: str, where: str) -> None:
        """zfs clone and zfs promote: the snapshots go over to the clone."""
        name = self.pool.name
        old = self.pool.datasets[rel]
        self.now += 120
        options = f"-o mountpoint={where}"
        txg = self.log(
            f"zfs clone {options} {name}/{rel}@{tag} {name}/{new}",
            ("clone", f"{name}/{new}"),
            more=f"origin={name}/{rel}@{tag} ({self.number(f'{name}/{rel}@{tag}')})",
        )
        base = old.snapshots[-1].tree
        assert base is not None  # noqa: S101 - `snapshot` gives every one its tree
        clone = Dataset(new, self.dice.getrandbits(63), txg, self.now, local={"mountpoint": where})
        clone.tree = base.copy()
        # What the two write from here on is not the same, though numbered alike.
        clone.tree.counter += 10**6
        self.now += 60
        self.log(f"zfs promote {name}/{new}", ("promote", f"{name}/{new}"))
        clone.snapshots, old.snapshots = old.snapshots, []
        old.origin, old.origin_tree = f"{name}/{new}@{tag}", base
        self.pool.datasets[new] = clone
        self.files[new] = Files(clone.tree, WWW, WWW, 77)


def tell_all(pool: Pool, base: FileTree) -> None:
    """The whole story of hostA's pool; `base` is the system as it was installed."""
    teller = Teller(pool)
    for row in LAYOUT:
        teller.create(row)
        if row[0] == "ROOT/default":
            _install(teller, base)
    teller.now = moment(FIRST)
    teller.snapshot(FIRST)
    teller.now = moment(OLDER)
    teller.snapshot(OLDER)
    _week(teller)
    teller.now = moment(NEWER)
    teller.snapshot(NEWER)
    teller.now += 3600
    teller.forget("var/crash", NEWER)
    teller.now = moment(LAST)
    teller.snapshot(LAST)
    teller.now = moment(LAST, 18)
    for rel, *_, after in LAYOUT:
        if rel in teller.files:
            teller.tell(rel, after)


def _install(teller: Teller, base: FileTree) -> None:
    files = teller.files["ROOT/default"]
    files.at(teller.now)
    for path, node in list(base.walk()):
        files.put(path[1:], node.data, node.kind, mode=node.mode)
    points = ("archive", "data", "home", "jails", "usr/local/www", "zroot")
    for point in (*points, *(f"var/{p}" for p in ("crash", "log", "mail", "tmp"))):
        files.put(point, kind="/")
    teller.tell("ROOT/default", previewstory.system_first)


def _week(teller: Teller) -> None:
    """What happened between OLDER and NEWER."""
    teller.now = moment("2025-08-10", 11, 42)
    teller.rename("home/luke", "home/lucas")
    teller.now += 300
    teller.create(("home/eve", {}, EVE, 2, previewstory.eve_first, _NO, _NO))
    teller.now = moment("2025-08-11", 9, 5)
    teller.destroy("jails/build")
    teller.now += 40
    teller.forget("var/tmp", OLDER)
    teller.now = moment("2025-08-12", 15, 0)
    site = f"{teller.pool.name}/www@before-upgrade"
    teller.snapshot("before-upgrade", ["www"], f"zfs snapshot {site}")
    teller.promote("www", "www-new", "before-upgrade", "/usr/local/www-new")
    teller.tell("www-new", previewstory.www_new)
    teller.tell("ROOT/default", lambda files: files.put("usr/local/www-new", kind="/"))
    teller.now = moment("2025-08-13", 20, 0)
    for rel, _, _, _, _, between, _ in LAYOUT:
        now = {"home/luke": "home/lucas"}.get(rel, rel)
        if now in teller.files:
            teller.tell(now, between)
