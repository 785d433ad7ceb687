"""A little ZFS of names and guids: pools made by commands, and a receiver of streams.

It shares nothing with the planner: what it refuses, zfs(8) would refuse too.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import count

from tests import listing
from zrwizard.transfer.forest import Decomposition, Stream


@dataclass(frozen=True)
class Snap:
    tag: str
    guid: int
    txg: int


@dataclass
class Data:
    kind: str = "filesystem"
    snaps: list[Snap] = field(default_factory=list)
    origin: int | None = None
    """The guid of the snapshot that it was cloned from."""
    key: str | None = None
    """Its encryption root."""


class Impossible(Exception):
    """zfs would refuse."""


class Pool:
    """Datasets by name, changed as zfs(8) changes them."""

    def __init__(self, root: str) -> None:
        self.sets: dict[str, Data] = {root: Data()}
        self._next = count(1)

    def owner(self, guid: int) -> tuple[str, int]:
        for name, data in self.sets.items():
            for at, snap in enumerate(data.snaps):
                if snap.guid == guid:
                    return name, at
        raise Impossible(f"no snapshot {guid}")

    def create(self, name: str, kind: str = "filesystem", *, encrypted: bool = False) -> None:
        parent = self.sets.get(name.rpartition("/")[0])
        if name in self.sets or parent is None or parent.kind != "filesystem":
            raise Impossible(name)
        self.sets[name] = Data(kind, key=name if encrypted else parent.key)

    def snapshot(self, name: str, tag: str) -> None:
        if any(snap.tag == tag for snap in self.sets[name].snaps):
            raise Impossible(f"{name}@{tag}")
        number = next(self._next)
        # Guids look like those of zfs: any of 64 bits, and in no order.
        guid = (number * 0x9E3779B97F4A7C15) % 2**64
        self.sets[name].snaps.append(Snap(tag, guid, number))

    def clone(self, guid: int, name: str) -> None:
        owner, _ = self.owner(guid)
        origin, parent = self.sets[owner], self.sets.get(name.rpartition("/")[0])
        if name in self.sets or parent is None or parent.kind != "filesystem":
            raise Impossible(name)
        if origin.key not in (None, parent.key):
            raise Impossible("a clone has the key of its origin, and inherits it")
        self.sets[name] = Data(origin.kind, origin=guid, key=origin.key)

    def promote(self, name: str) -> None:
        """The clone takes its origin's older snapshots; the origin becomes a clone of it."""
        clone = self.sets[name]
        if clone.origin is None:
            raise Impossible(name)
        owner, at = self.owner(clone.origin)
        old = self.sets[owner]
        moved, kept = old.snaps[: at + 1], old.snaps[at + 1 :]
        if {snap.tag for snap in moved} & {snap.tag for snap in clone.snaps}:
            raise Impossible("a name is taken")
        clone.snaps, old.snaps = moved + clone.snaps, kept
        clone.origin, old.origin = old.origin, clone.origin

    def destroy_snapshot(self, guid: int) -> None:
        if any(data.origin == guid for data in self.sets.values()):
            raise Impossible("it has clones")
        owner, at = self.owner(guid)
        del self.sets[owner].snaps[at]

    def lines(self, below: str) -> list[str]:
        """What `zfs list` prints of it, in the columns that the inventory asks for."""
        rows = []
        for name, data in sorted(self.sets.items()):
            if name != below and not name.startswith(below + "/"):
                continue
            origin = "-"
            if data.origin is not None:
                owner, at = self.owner(data.origin)
                origin = f"{owner}@{self.sets[owner].snaps[at].tag}"
            key = data.key or "-"
            sizes = {"usedbydataset": 500, "usedbysnapshots": 50}
            cells = {"type": data.kind, "origin": origin, "encryptionroot": key, **sizes}
            rows.append(listing.dataset(name, **cells))
            rows += [
                listing.snapshot(
                    f"{name}@{snap.tag}", snap.txg, snap.guid, referenced=100, encryptionroot=key
                )
                for snap in data.snaps
            ]
        return rows


class Receiver:
    """A pool that takes streams in their order and refuses as zfs receive does."""

    def __init__(self, source: Pool, target: str) -> None:
        self.source = source
        self.pool = Pool(target.partition("/")[0])
        self.root = target

    def take(self, plan: Decomposition) -> None:
        for stream in plan.streams:
            if stream.tree:
                self._tree(stream)
            else:
                self._one(stream)
        for old, new in plan.renames:
            self._rename(old, new)

    def _new(self, target: str, like: Data, origin: int | None, key: str | None) -> Data:
        parent = target.rpartition("/")[0]
        if target == self.pool_name and not self.pool.sets[target].snaps:
            if origin is not None:
                raise Impossible("a pool's own dataset is no clone")
        elif target in self.pool.sets or parent not in self.pool.sets:
            raise Impossible(f"{target} exists, or its parent does not")
        if origin is not None:
            self.pool.owner(origin)
        made = Data(like.kind, origin=origin, key=key)
        self.pool.sets[target] = made
        return made

    @property
    def pool_name(self) -> str:
        return self.root.partition("/")[0]

    def _one(self, stream: Stream) -> None:
        data = self.source.sets[stream.source]
        tags = [snap.tag for snap in data.snaps]
        origin = None
        if stream.origin is not None:
            owner, _, tag = stream.origin.partition("@")
            origin = next(s.guid for s in self.source.sets[owner].snaps if s.tag == tag)
            if origin != data.origin:
                raise Impossible(f"{stream.origin} is not the origin of {stream.source}")
        if stream.raw != (data.key is not None):
            raise Impossible("an encrypted dataset goes raw, and no other")
        # Received alone, a raw dataset is an encryption root.
        made = self._new(stream.target, data, origin, stream.target if data.key else None)
        places = [tags.index(tag) for tag in stream.points]
        if places != sorted(set(places)):
            raise Impossible("the points are not in their order")
        for before, after in zip([None, *places], places, strict=False):
            first = after if before is None or not stream.every else before + 1
            made.snaps += data.snaps[first : after + 1]
        if made.snaps[-1].guid != stream.guid:
            raise Impossible("it does not end with the planned snapshot")

    def _tree(self, stream: Stream) -> None:
        (last,) = stream.points
        inside = [
            n for n in self.source.sets if n == stream.source or n.startswith(stream.source + "/")
        ]
        tops = {name: stream.target + name[len(stream.source) :] for name in inside}
        wait = sorted(inside)
        while wait:
            # -R brings a clone behind its origin, and fails where it cannot.
            ready = [n for n in wait if self._may(n, tops, stream)]
            if not ready:
                raise Impossible(f"the stream of {stream.source} cannot be made")
            name = ready[0]
            wait.remove(name)
            data = self.source.sets[name]
            at = [snap.tag for snap in data.snaps].index(last)
            key = data.key and tops.get(data.key, stream.target)
            self._new(tops[name], data, data.origin, key).snaps = data.snaps[: at + 1]

    def _may(self, name: str, tops: dict[str, str], stream: Stream) -> bool:
        parent = tops[name].rpartition("/")[0]
        if name != stream.source and parent not in self.pool.sets:
            return False
        origin = self.source.sets[name].origin
        return origin is None or any(
            snap.guid == origin for data in self.pool.sets.values() for snap in data.snaps
        )

    def _rename(self, old: str, new: str) -> None:
        if old not in self.pool.sets or new in self.pool.sets:
            raise Impossible(f"{old} cannot be renamed {new}")
        if new.rpartition("/")[0] not in self.pool.sets:
            raise Impossible(f"{new} would lie nowhere")
        for name in [n for n in self.pool.sets if n == old or n.startswith(old + "/")]:
            data = self.pool.sets.pop(name)
            if data.key and (data.key == old or data.key.startswith(old + "/")):
                data = replace(data, key=new + data.key[len(old) :])
            self.pool.sets[new + name[len(old) :]] = data
