"""The files of a data set as ZFS keeps them: objects with numbers, and directories that name them.

A snapshot is a copy of a `FileTree`: objects are frozen and are replaced when they change, so a
copy costs two dictionaries. Times are nanoseconds since 1970.
"""

from __future__ import annotations

import random
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

ROOT = 34
"""The object number of a file system's root directory."""
FORMATS = {
    "F": stat.S_IFREG,
    "/": stat.S_IFDIR,
    "@": stat.S_IFLNK,
    "|": stat.S_IFIFO,
    "=": stat.S_IFSOCK,
    "C": stat.S_IFCHR,
    "B": stat.S_IFBLK,
}
"""File type bits by zfs diff's letter."""


@dataclass(frozen=True, slots=True)
class Blob:
    """Contents too large to keep: `size` bytes that follow from `seed`."""

    size: int
    seed: int

    def bytes(self) -> bytes:
        """The contents."""
        return random.Random(self.seed).randbytes(self.size)  # noqa: S311 - a simulation


@dataclass(frozen=True, slots=True)
class Node:
    """An object of a file system. `born` numbers its contents, `gen` its life."""

    number: int
    kind: str
    mode: int
    uid: int
    gid: int
    data: bytes | Blob
    links: int
    atime: int
    mtime: int
    ctime: int
    birth: int
    gen: int
    born: int
    flags: int = 0
    rdev: int = 0
    names: tuple[tuple[int, bytes], ...] = ()
    """Where it is named: (directory's number, name); the first is what zfs diff shows."""

    @property
    def size(self) -> int:
        """st_size; of a directory the number of its entries, as ZFS has it."""
        return self.data.size if isinstance(self.data, Blob) else len(self.data)

    def read(self) -> bytes:
        """The contents of a file, the target of a symbolic link."""
        return self.data.bytes() if isinstance(self.data, Blob) else self.data

    @property
    def st_mode(self) -> int:
        """Type and permission bits."""
        return FORMATS[self.kind] | self.mode

    @property
    def space(self) -> tuple[int, int]:
        """Bytes on disk and bytes before compression."""
        if self.kind != "F" or not self.size:
            return (4096, 512) if self.kind == "/" else (0, 0)
        logical = -(-self.size // 512) * 512
        squeezed = logical if isinstance(self.data, Blob) or logical <= 4096 else logical * 2 // 5
        return -(-squeezed // 4096) * 4096, logical


Blocks = dict[tuple[int, int], tuple[int, int]]
"""What a tree keeps on disk: bytes on disk and before compression, by (object, contents)."""


@dataclass(slots=True)
class FileTree:
    """Objects by number and directories by theirs. `now` stamps what changes."""

    nodes: dict[int, Node] = field(default_factory=dict)
    entries: dict[int, dict[bytes, int]] = field(default_factory=dict)
    now: int = 0
    counter: int = 0
    next_number: int = 2
    free: list[int] = field(default_factory=list)
    queue: set[int] = field(default_factory=set)
    """Objects without a name that a process still holds open."""
    version: int = 0
    known: tuple[int, Blocks] | None = None
    """What `blocks` has found of a version."""

    def begin(self, now: int, first: int = 2, mode: int = 0o755) -> None:
        """Make the root directory; new objects are numbered from `first` on."""
        self.now, self.next_number = now, first
        self.counter += 1
        self.version += 1
        self.entries[ROOT] = {}
        self.nodes[ROOT] = Node(
            ROOT, "/", mode, 0, 0, b"", 2, now, now, now, now, self.counter, self.counter
        )

    def copy(self) -> FileTree:
        """The tree as it is now: a snapshot."""
        return FileTree(
            dict(self.nodes),
            {n: dict(e) for n, e in self.entries.items()},
            self.now,
            self.counter,
            self.next_number,
            list(self.free),
            set(self.queue),
            self.version,
            self.known,
        )

    # Looking

    def child(self, directory: int, name: bytes) -> Node | None:
        """What `name` is in a directory."""
        if name == b".":
            return self.nodes[directory]
        if name == b"..":
            return self.nodes[self.parent(directory)]
        number = self.entries.get(directory, {}).get(name)
        return None if number is None else self.nodes[number]

    def parent(self, directory: int) -> int:
        """The directory above; the root is its own."""
        names = self.nodes[directory].names
        return names[0][0] if names else ROOT

    def path(self, number: int) -> bytes:
        """The path of an object from the root on, with a leading slash; empty for the root."""
        if number in self.queue:
            return b"(on_delete_queue)"
        parts: list[bytes] = []
        while number != ROOT:
            number, name = self.nodes[number].names[0]
            parts.append(name)
        return b"".join(b"/" + p for p in reversed(parts))

    def at(self, path: bytes) -> Node | None:
        """The object at a path below the root, without following links."""
        node: Node | None = self.nodes[ROOT]
        for part in path.split(b"/"):
            if part:
                node = self.child(node.number, part) if node and node.kind == "/" else None
            if node is None:
                return None
        return node

    def walk(self, directory: int = ROOT) -> Iterator[tuple[bytes, Node]]:
        """Every name below with its object, parents first, siblings in order."""
        head = self.path(directory)
        for name, number in sorted(self.entries[directory].items()):
            node = self.nodes[number]
            yield head + b"/" + name, node
            if node.kind == "/":
                yield from self.walk(number)

    def shown(self, node: Node) -> int:
        """st_size as stat(2) tells it: a directory counts its entries and the two dots."""
        return len(self.entries[node.number]) + 2 if node.kind == "/" else node.size

    # Changing

    def put(
        self,
        path: bytes,
        data: bytes | Blob = b"",
        kind: str = "F",
        *,
        mode: int | None = None,
        uid: int = 0,
        gid: int = 0,
        flags: int = 0,
    ) -> Node:
        """Make a new object at `path`, whose directory exists."""
        directory, name = self._where(path)
        if name in self.entries[directory.number]:
            raise FileExistsError(path)
        number = self._number()
        self.counter += 1
        usual = {"/": 0o755, "@": 0o755, "|": 0o644, "=": 0o755}.get(kind, 0o644)
        links = 2 if kind == "/" else 1
        node = Node(
            number,
            kind,
            usual if mode is None else mode,
            uid,
            gid,
            data,
            links,
            self.now,
            self.now,
            self.now,
            self.now,
            self.counter,
            self.counter,
            flags,
            names=((directory.number, name),),
        )
        self.nodes[number] = node
        if kind == "/":
            self.entries[number] = {}
        self._enter(directory.number, name, number, 1 if kind == "/" else 0)
        return node

    def write(self, path: bytes, data: bytes | Blob) -> None:
        """New contents of the file at `path`."""
        self.version += 1
        node = self._node(path)
        self.counter += 1
        self.nodes[node.number] = replace(
            node, data=data, mtime=self.now, ctime=self.now, born=self.counter
        )

    def change(self, path: bytes, **fields: int) -> None:
        """New owner, mode or flags: only the change time tells."""
        self.version += 1
        node = self._node(path)
        self.nodes[node.number] = replace(node, ctime=self.now, **fields)  # type: ignore[arg-type]

    def touch(self, number: int, atime: int) -> None:
        """Somebody read it."""
        self.version += 1
        self.nodes[number] = replace(self.nodes[number], atime=atime)

    def link(self, path: bytes, new: bytes) -> None:
        """A further hard link."""
        node, (directory, name) = self._node(path), self._where(new)
        self.nodes[node.number] = replace(
            node,
            links=node.links + 1,
            ctime=self.now,
            names=(*node.names, (directory.number, name)),
        )
        self._enter(directory.number, name, node.number, 0)

    def move(self, path: bytes, new: bytes) -> None:
        """rename(2); what is in the way is removed first."""
        if (old := self.at(new)) is not None and old is not self._node(path):
            self.remove(new)
        node, (directory, name) = self._node(path), self._where(new)
        source, was = self._where(path)
        deeper = 1 if node.kind == "/" else 0
        self._leave(source.number, was, deeper)
        names = tuple(
            (directory.number, name) if n == (source.number, was) else n for n in node.names
        )
        self.nodes[node.number] = replace(node, ctime=self.now, names=names)
        self._enter(directory.number, name, node.number, deeper)

    def remove(self, path: bytes, *, open_still: bool = False) -> None:
        """unlink(2) or rmdir(2); `open_still`: a process holds the file open."""
        node, (directory, name) = self._node(path), self._where(path)
        if node.kind == "/":
            for inner in list(self.entries[node.number]):
                self.remove(path.rstrip(b"/") + b"/" + inner)
            del self.entries[node.number]
        self._leave(directory.number, name, 1 if node.kind == "/" else 0)
        names = tuple(n for n in node.names if n != (directory.number, name))
        if names or open_still:
            self.nodes[node.number] = replace(
                node, links=node.links - 1, ctime=self.now, names=names
            )
            self.queue |= set() if names else {node.number}
            return
        del self.nodes[node.number]
        self.free.append(node.number)

    def _where(self, path: bytes) -> tuple[Node, bytes]:
        head, _, name = path.rstrip(b"/").rpartition(b"/")
        directory = self.at(head)
        if directory is None or directory.kind != "/":
            raise FileNotFoundError(path)
        return directory, name

    def _node(self, path: bytes) -> Node:
        node = self.at(path)
        if node is None:
            raise FileNotFoundError(path)
        return node

    def _number(self) -> int:
        number = self.next_number
        while number in self.nodes:
            number += 1
        self.next_number = number + 1
        return number

    def reuse(self) -> None:
        """The next new object takes the number of the one that was removed last."""
        self.next_number = self.free.pop()

    def _enter(self, directory: int, name: bytes, number: int, links: int) -> None:
        self.entries[directory][name] = number
        self._stamp(directory, links)

    def _leave(self, directory: int, name: bytes, links: int) -> None:
        del self.entries[directory][name]
        self._stamp(directory, -links)

    def _stamp(self, directory: int, links: int) -> None:
        self.counter += 1
        self.version += 1
        node = self.nodes[directory]
        self.nodes[directory] = replace(
            node,
            links=node.links + links,
            mtime=self.now,
            ctime=self.now,
            born=self.counter,
        )


def blocks(tree: FileTree | None) -> Blocks:
    """The space of a tree's objects, and of the blocks in which the objects themselves stand.

    Such a block has 32 objects: a change of an owner alone writes no file, but one of these.
    """
    if tree is None:
        return {}
    if tree.known is None or tree.known[0] != tree.version:
        found = {(n.number, n.born): n.space for n in tree.nodes.values()}
        stamps: dict[int, int] = {}
        for node in tree.nodes.values():
            at = node.number // 32
            stamps[at] = hash((stamps.get(at, 0), node.number, node.ctime, node.atime))
        found |= {(-1 - at, stamp): (4096, 16384) for at, stamp in stamps.items()}
        tree.known = tree.version, found
    return dict(tree.known[1])


def only_in(tree: FileTree | None, *others: FileTree | None) -> tuple[int, int]:
    """Bytes (on disk, before compression) that `tree` has and none of the others."""
    mine = blocks(tree)
    for other in others:
        for key in blocks(other):
            mine.pop(key, None)
    return sum(v[0] for v in mine.values()), sum(v[1] for v in mine.values())
