"""Paths of an installed host: through mounted data sets, `.zfs/snapshot`, and symbolic links.

The files themselves are the data sets' trees. The virtual shell sees a copy of them, as far as it
can hold their names; what it writes there is taken over before anybody looks.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from zrwizard.rehearsal.rawname import narrow, wide
from zrwizard.rehearsal.zfsfiles import ROOT, Blob, FileTree, Node
from zrwizard.rehearsal.zfsstate import Dataset, Pool, Snapshot

if TYPE_CHECKING:
    from zrwizard.rehearsal.machine import Machine

LINKS = 32
SHOWN = 1 << 20
"""Files above this size are not copied for the virtual shell."""
CONTROL = 0xFFFFFFFFFFFF
"""Object numbers from here on down are those of `.zfs` itself."""


class Lack(Exception):
    """A path leads nowhere; the text is errno's."""


@dataclass(frozen=True, slots=True)
class View:
    """A mounted data set, or a mounted snapshot of one."""

    path: bytes
    pool: Pool
    ds: Dataset
    snap: Snapshot | None
    writable: bool
    atime: bool

    @property
    def tree(self) -> FileTree:
        """Its files."""
        found = self.snap.tree if self.snap else self.ds.tree
        assert found is not None  # noqa: S101 - views are made of datasets with a tree
        return found

    @property
    def head(self) -> bytes:
        """What its paths begin with."""
        return b"" if self.path == b"/" else self.path


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


class FileSpace:
    """All paths of one machine. Only the rehearsal's own loop touches it."""

    def __init__(self, machine: Machine) -> None:
        self._m = machine
        self._laid: dict[bytes, dict[bytes, float]] = {}

    # Mounts

    def views(self) -> list[View]:
        """What is mounted and has files of its own kind, in the order of mounting."""
        return [v for m in self._m.mounts if m.kind == "zfs" and (v := self._view(m)) is not None]

    def _view(self, mount: Any) -> View | None:
        name, _, tag = mount.special.partition("@")
        known = self._m.dataset(name)
        if known is None or known[1].tree is None:
            return None
        snap = known[1].snapshot(tag) if tag else None
        options = mount.options.split(",")
        writable = options[0] == "rw" and snap is None
        atime = writable and "noatime" not in options
        return View(narrow(mount.path), known[0], known[1], snap, writable, atime)

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
            view.tree.put(rel, data)
        else:
            view.tree.write(rel, data)
        self.show(view, rel)
        return True

    def now(self) -> int:
        """The present moment in nanoseconds."""
        return int(self._m.clock.now() * 1e9)

    # The virtual shell's copy

    def lay(self, view: View) -> None:
        """Copy a mounted tree to where the virtual shell sees it."""
        laid = self._laid.setdefault(view.path, {})
        for rel, node in view.tree.walk():
            fs, path = self._fs(view, rel)
            if _put(fs, path, node):
                laid[rel] = _stamp(fs, path)

    def lay_tree(self, tree: FileTree, files: Any, head: str) -> None:
        """Copy a snapshot's tree below `head` of a virtual file system."""
        for rel, node in tree.walk():
            _put(files, head + wide(rel), node)

    def _fs(self, view: View, rel: bytes) -> tuple[Any, str]:
        return self._m.fs_for(wide(view.head + rel))

    def show(self, view: View, rel: bytes) -> None:
        """Bring one path of the copy up to date with the tree."""
        laid = self._laid.setdefault(view.path, {})
        fs, path = self._fs(view, rel)
        node = view.tree.at(rel)
        try:
            if fs.exists(path) and (node is None or node.kind != "/"):
                fs.remove(path, recursive=True)
        except (RuntimeError, OSError):
            return
        if node is None:
            for known in [k for k in laid if k == rel or k.startswith(rel + b"/")]:
                del laid[known]
        elif _put(fs, path, node):
            laid[rel] = _stamp(fs, path)
            for inner in view.tree.entries.get(node.number, {}):
                self.show(view, rel + b"/" + inner)

    def hide(self, view: View) -> None:
        """Take the copy of a data set away: it is unmounted."""
        self.sync()
        for rel in sorted(self._laid.pop(view.path, {}), reverse=True):
            fs, path = self._fs(view, rel)
            if fs.exists(path):
                fs.remove(path, recursive=False)

    def sync(self) -> None:
        """Take over what the virtual shell's own programs have written."""
        for view in self.views():
            if view.snap is None and view.path in self._laid:
                self._sync(view)

    def _sync(self, view: View) -> None:
        laid, tree = self._laid[view.path], view.tree
        seen = dict(self._copied(view))
        tree.now = self.now()
        for rel in sorted(laid.keys() - seen.keys(), reverse=True):
            if tree.at(rel) is not None:
                tree.remove(rel)
            del laid[rel]
        for rel in sorted(seen):
            kind, when, path = seen[rel]
            node = tree.at(rel)
            if laid.get(rel) == when and node is not None and node.kind == kind:
                continue
            laid[rel] = when
            if node is not None and node.kind != kind:
                tree.remove(rel)
                node = None
            data = self._contents(view, kind, path)
            if node is None:
                tree.put(rel, data, kind)
            elif kind != "/" and node.read() != data:
                tree.write(rel, data)

    def _contents(self, view: View, kind: str, path: str) -> bytes:
        fs, inner = self._m.fs_for(path)
        if kind == "/":
            return b""
        return narrow(fs.read_link(inner)) if kind == "@" else bytes(fs.read_file(inner))

    def _copied(self, view: View) -> Iterator[tuple[bytes, tuple[str, float, str]]]:
        """What the copy holds now: relative path, kind, when it was written, its whole path."""
        points = {m.path for m in self._m.mounts} | set(self._m.files)
        kinds = {"directory": "/", "symlink": "@"}
        waiting = [b""]
        while waiting:
            rel = waiting.pop()
            fs, path = self._fs(view, rel or b"/")
            for entry in fs.read_dir(path):
                inner = rel + b"/" + narrow(str(entry["name"]))
                whole = wide(view.head + inner)
                meta = entry["metadata"]
                kind = kinds.get(meta["file_type"], "F")
                if inner == b"/.zfs":
                    continue
                # Directories have no time here: reading one would cost more than it tells.
                yield inner, (kind, 0.0 if kind != "F" else meta["modified"], whole)
                if kind == "/" and whole not in points:
                    waiting.append(inner)


def _stamp(fs: Any, path: str) -> float:
    """When a file of the virtual shell was written; 0 for anything else."""
    found = fs.stat(path)
    return float(found["modified"]) if found["file_type"] == "file" else 0.0


def _put(fs: Any, path: str, node: Node) -> bool:
    """Copy one object; False where the virtual file system cannot hold it."""
    if node.kind not in "F/@" or (isinstance(node.data, Blob) and node.size > SHOWN):
        return False
    try:
        if node.kind == "/":
            if not fs.exists(path):
                fs.mkdir(path, recursive=False)
        elif node.kind == "@":
            fs.symlink(wide(node.read()), path)
        else:
            fs.write_file(path, node.read())
            fs.chmod(path, node.mode & 0o777)
    except (RuntimeError, OSError):
        return False
    return True


def adopt(files: Any, tree: FileTree, leave: set[str]) -> None:
    """Make objects of everything that a virtual file system holds, but for the paths `leave`."""
    waiting = ["/"]
    while waiting:
        at = waiting.pop()
        for entry in sorted(files.read_dir(at), key=lambda e: str(e["name"])):
            path = f"{at.rstrip('/')}/{entry['name']}"
            kind, mode = entry["metadata"]["file_type"], int(entry["metadata"]["mode"]) & 0o777
            if path in leave:
                tree.put(narrow(path), kind="/")
            elif kind == "directory":
                tree.put(narrow(path), kind="/")
                waiting.append(path)
            elif kind == "symlink":
                tree.put(narrow(path), narrow(files.read_link(path)), "@")
            else:
                tree.put(narrow(path), bytes(files.read_file(path)), mode=mode)


__all__ = ["ROOT", "FileSpace", "Lack", "Outside", "Place", "View", "adopt"]
