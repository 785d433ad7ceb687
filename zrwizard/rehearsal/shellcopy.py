"""The virtual shell's copy of a host's files, as far as it can hold their names.

What the shell's own programs write there is taken over into the trees before anybody looks.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from zrwizard.rehearsal.rawname import narrow, wide
from zrwizard.rehearsal.zfsfiles import Blob, FileTree, Node
from zrwizard.rehearsal.zfsstate import Dataset, Pool, Snapshot

if TYPE_CHECKING:
    from zrwizard.rehearsal.machine import Machine

SHOWN = 1 << 20
"""Files above this size are not copied for the virtual shell."""


@dataclass(frozen=True, slots=True)
class View:
    """A mounted data set or UFS, or a mounted snapshot."""

    path: bytes
    pool: Pool | None
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


class ShellCopy:
    """The copies of all mounted data sets of one machine."""

    def __init__(self, machine: Machine) -> None:
        self._m = machine
        self._laid: dict[bytes, dict[bytes, float]] = {}

    def views(self) -> list[View]:
        """What is mounted and has files of its own kind, in the order of mounting."""
        kinds = ("zfs", "ufs")
        return [v for m in self._m.mounts if m.kind in kinds and (v := self._view(m)) is not None]

    def _view(self, mount: Any) -> View | None:
        if (ufs := self._m.ufs.get(mount.special)) is not None:
            writable = mount.options.split(",")[0] == "rw"
            atime = writable and "noatime" not in mount.options.split(",")
            return View(narrow(mount.path), None, ufs, None, writable, atime)
        name, _, tag = mount.special.partition("@")
        known = self._m.dataset(name)
        if known is None or known[1].tree is None:
            return None
        snap = known[1].snapshot(tag) if tag else None
        options = mount.options.split(",")
        writable = options[0] == "rw" and snap is None
        atime = writable and "noatime" not in options
        return View(narrow(mount.path), known[0], known[1], snap, writable, atime)

    def now(self) -> int:
        """The present moment in nanoseconds."""
        return int(self._m.clock.now() * 1e9)

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
                usual = None if kind == "@" else 0o777 if kind == "/" else 0o666
                mode = None if usual is None else usual & ~self._m.umask
                tree.put(rel, data, kind, mode=mode)
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
