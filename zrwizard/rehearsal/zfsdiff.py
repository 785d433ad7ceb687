"""What zfs diff finds between two trees, and how it prints it (facts/freebsd.md B5)."""

from __future__ import annotations

from collections.abc import Iterator

from zrwizard.rehearsal.zfsfiles import FileTree, Node


def escaped(name: bytes) -> bytes:
    """A name as zfs diff writes it without -h: four octal digits for all that is not plain."""
    return b"".join(bytes([b]) if 0x20 < b < 0x7F and b != 0x5C else b"\\%04o" % b for b in name)


class Writer:
    """Formats the lines of one comparison. `flags` are the letters that were given."""

    def __init__(self, mount: bytes, flags: str) -> None:
        self._mount = b"" if mount == b"/" else mount
        self._flags = flags

    def _name(self, path: bytes) -> bytes:
        whole = self._mount + (path or b"/")
        return whole if "h" in self._flags else escaped(whole)

    def _head(self, what: bytes, node: Node) -> bytes:
        seconds, rest = divmod(node.ctime, 10**9)
        stamp = b"%10d.%09d\t" % (seconds, rest) if "t" in self._flags else b""
        kind = node.kind.encode() + b"\t" if "F" in self._flags else b""
        return stamp + what + b"\t" + kind

    def file(self, what: bytes, node: Node, path: bytes) -> bytes:
        """An added, removed or modified one."""
        return self._head(what, node) + self._name(path) + b"\n"

    def links(self, node: Node, path: bytes, change: int) -> bytes:
        """One whose number of hard links changed."""
        return self._head(b"M", node) + self._name(path) + b"\t(%+d)\n" % change

    def rename(self, node: Node, old: bytes, new: bytes) -> bytes:
        """One that has another path now."""
        arrow = b"\t" if "H" in self._flags else b" -> "
        return self._head(b"R", node) + self._name(old) + arrow + self._name(new) + b"\n"


def lines(older: FileTree, newer: FileTree, writer: Writer) -> Iterator[bytes]:
    """The lines in zfs diff's order, which is that of the objects' numbers."""
    for number in sorted(older.nodes.keys() | newer.nodes.keys()):
        was, now = older.nodes.get(number), newer.nodes.get(number)
        if was is not now:
            yield b"".join(_one(older, newer, was, now, writer))


def _one(
    older: FileTree, newer: FileTree, was: Node | None, now: Node | None, writer: Writer
) -> Iterator[bytes]:
    if was is None:
        if now is not None:
            yield writer.file(b"+", now, newer.path(now.number))
        return
    old = older.path(was.number)
    if now is None:
        yield writer.file(b"-", was, old)
        return
    new = newer.path(now.number)
    if was.gen != now.gen:
        yield writer.file(b"-", was, old) + writer.file(b"+", now, new)
        return
    if was.ctime == now.ctime:
        return
    # An object on the delete queue has no links left: its count says nothing.
    change = now.links - was.links if "/" not in (was.kind, now.kind) and now.links else 0
    if change:
        yield writer.links(now, old if change > 0 else new, change)
    elif old == new:
        yield writer.file(b"M", now, old)
    else:
        yield writer.rename(now, old, new)
