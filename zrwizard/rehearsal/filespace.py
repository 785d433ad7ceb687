"""Paths of an installed host: through mounted data sets, `.zfs/snapshot`, and symbolic links.

The files themselves are the data sets' trees.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from zrwizard.rehearsal.rawname import narrow, wide
from zrwizard.rehearsal.shellcopy import ShellCopy, View
from zrwizard.rehearsal.zfsfiles import FileTree, Node
from zrwizard.rehearsal.zfsstate import Snapshot

LINKS = 32
CONTROL = 0xFFFFFFFFFFFF
"""Object numbers from here on down are those of `.zfs` itself."""


class Lack(Exception):
    """A path leads nowhere; the text is errno's."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a path led. `control`: a directory of `.zfs` itself, with these names in it."""

    path: bytes
    view: View
    tree: FileTree
    node: Node
    rel: bytes
    snap: Snapshot | None = None
    control: tuple[bytes, ...] | None = None

    @property
    def writable(self) -> bool:
        """Can files change here?"""
        return self.snap is None and self.control is None and self.view.writable

    def names(self) -> list[bytes]:
        """What is in this directory, in order."""
        if self.control is not None:
            return list(self.control)
        return sorted(self.tree.entries.get(self.node.number, {}))

    @property
    def size(self) -> int:
        """st_size."""
        return 2 + len(self.control) if self.control is not None else self.tree.shown(self.node)

    @property
    def device(self) -> int:
        """st_dev: another one for every mounted file system and snapshot."""
        guid = self.snap.guid if self.snap else self.view.ds.guid
        return guid & 0xFFFFFFFF


@dataclass(frozen=True, slots=True)
class Outside:
    """A path that no data set holds: /tmp, /dev and their like."""

    path: bytes


def join(parts: list[bytes]) -> bytes:
    """An absolute path."""
    return b"/" + b"/".join(parts)


class FileSpace(ShellCopy):
    """All paths of one machine. Only the rehearsal's own loop touches it."""

    def make_mountpoint(self, path: str) -> None:
        """Make the directory that a data set is mounted on, in the one above it."""
        self.sync()
        try:
            self.find(narrow(path))
        except Lack:
            room = self.room(narrow(path))
            if room is not None:
                room[0].tree.now = self.now()
                room[0].tree.put(room[1], kind="/")
                self.show(*room)

    def unmounted(self, mount: Any) -> bool:
        """Take the files of a mount away; False where they are not of here."""
        view = self._view(mount)
        if view is not None:
            self.hide(view)
        return view is not None

    def _deepest(self, path: bytes) -> bytes:
        """The mount point that holds `path`."""
        points = [narrow(m.path) for m in self._m.mounts]
        return max(
            (p for p in points if p in (b"/", path) or path.startswith(p + b"/")),
            key=len,
            default=b"/",
        )

    # Paths

    def find(self, path: bytes, *, follow: bool = True) -> Place | Outside:
        """Where an absolute path leads; `Lack` where it leads nowhere."""
        try:
            place = self._find(path, follow=follow)
        except Lack:
            fs, inner = self._m.fs_for(wide(path))
            if b"/.zfs" in path or not fs.exists(inner):
                raise
        else:
            if isinstance(place, Outside) or not self._stale(place):
                return place
        self.sync()
        return self._find(path, follow=follow)

    def _stale(self, place: Place) -> bool:
        """Has the virtual shell changed its copy of this since it was taken over?"""
        laid = self._laid.get(place.view.path, {})
        if not place.writable or (place.rel != b"/" and place.rel not in laid):
            return False
        fs, path = self._fs(place.view, place.rel)
        if not fs.exists(path):
            return place.node.kind != "@"
        if place.node.kind != "/":
            return bool(place.node.kind == "F" and fs.stat(path)["modified"] != laid[place.rel])
        head = place.rel.rstrip(b"/") + b"/"
        shown = {narrow(str(e["name"])) for e in fs.read_dir(path)} - {b".zfs"}
        return shown != {n for n in place.names() if head + n in laid}

    def _find(self, path: bytes, *, follow: bool) -> Place | Outside:
        left = [p for p in reversed(path.split(b"/")) if p not in (b"", b".")]
        at: list[bytes] = []
        hops = 0
        place = self._at(at)
        while left:
            part = left.pop()
            if isinstance(place, Outside):
                # Something may be mounted further down.
                at = at[:-1] if part == b".." else [*at, part]
                place = self._at(at)
                continue
            if place is None or place.node.kind != "/":
                raise Lack("Not a directory")
            if part == b"..":
                at = at[:-1]
                place = self._at(at)
                continue
            if len(part) > 255:
                raise Lack("File name too long")
            place = self._at([*at, part])
            if place is None:
                raise Lack("No such file or directory")
            last = not left and not path.endswith(b"/")
            if isinstance(place, Place) and place.node.kind == "@" and (follow or not last):
                hops += 1
                if hops > LINKS:
                    raise Lack("Too many levels of symbolic links")
                self.stamp(place)
                target = place.node.read()
                left += [p for p in reversed(target.split(b"/")) if p not in (b"", b".")]
                at = [] if target.startswith(b"/") else at
                place = self._at(at)
                continue
            at = [*at, part]
        if place is None:
            raise Lack("No such file or directory")
        return place

    def _at(self, at: list[bytes]) -> Place | Outside | None:
        """What a path without links in it names; None: nothing."""
        path = join(at)
        point = self._deepest(path)
        view = next((v for v in reversed(self.views()) if v.path == point), None)
        if view is None:
            return Outside(path)
        rest = at[len([p for p in point.split(b"/") if p]) :]
        if rest and rest[0] == b".zfs" and view.snap is None:
            return self._control(view, path, rest[1:])
        node = view.tree.at(b"/".join(rest))
        return None if node is None else Place(path, view, view.tree, node, join(rest), view.snap)

    def _control(self, view: View, path: bytes, rest: list[bytes]) -> Place | None:
        tags = tuple(sorted(s.name.encode() for s in view.ds.snapshots))
        when = view.ds.creation * 10**9
        if not rest or rest == [b"snapshot"]:
            node = Node(CONTROL - len(rest), "/", 0o555, 0, 0, b"", 2, when, when, when, when, 0, 0)
            return Place(
                path, view, view.tree, node, b"", control=(b"snapshot",) if not rest else tags
            )
        if rest[0] != b"snapshot":
            return None
        snap = view.ds.snapshot(rest[1].decode("utf-8", "replace"))
        if snap is None or snap.tree is None:
            return None
        inner = snap.tree.at(b"/".join(rest[2:]))
        return None if inner is None else Place(path, view, snap.tree, inner, join(rest[2:]), snap)

    def children(self, place: Place) -> Iterator[tuple[bytes, Place | Outside]]:
        """What is in a directory; mounted file systems stand for what they cover."""
        for name in place.names():
            inner = self._at([p for p in place.path.split(b"/") if p] + [name])
            if inner is not None:
                yield name, inner

    # Reading

    def stamp(self, place: Place) -> None:
        """Reading a live file moves its access time, unless the data set has atime off."""
        if place.writable and place.view.atime:
            place.tree.touch(place.node.number, int(self._m.clock.now() * 1e9))

    def read(self, path: bytes) -> bytes | None:
        """A file's contents; None outside. `Lack` where it cannot be read."""
        place = self.find(path)
        if isinstance(place, Outside):
            return None
        if place.node.kind == "/":
            raise Lack("Is a directory")
        if place.node.kind != "F":
            raise Lack("Operation not supported")
        self.stamp(place)
        return place.node.read()

    # Writing

    def room(self, path: bytes) -> tuple[View, bytes] | None:
        """The data set and the path in it where `path` can be made; None outside."""
        head, _, name = path.rstrip(b"/").rpartition(b"/")
        place = self.find(head or b"/")
        if isinstance(place, Outside):
            return None
        if place.node.kind != "/":
            raise Lack("Not a directory")
        if not place.writable:
            raise Lack("Read-only file system")
        inner = self._at([p for p in place.path.split(b"/") if p] + [name])
        if isinstance(inner, Outside):
            return None
        return place.view, (place.rel.rstrip(b"/") + b"/" + name)

    def write(self, path: bytes, data: bytes) -> bool:
        """Make or overwrite a file; False outside."""
        self.sync()
        try:
            place = self.find(path)
        except Lack:
            place = None
        if isinstance(place, Outside):
            return False
        if place is not None:
            if place.node.kind == "/":
                raise Lack("Is a directory")
            if not place.writable:
                raise Lack("Read-only file system")
            view, rel = place.view, place.rel
        else:
            room = self.room(path)
            if room is None:
                return False
            view, rel = room
        view.tree.now = self.now()
        if view.tree.at(rel) is None:
            view.tree.put(rel, data, mode=0o666 & ~self._m.umask)
        else:
            view.tree.write(rel, data)
        self.show(view, rel)
        return True
