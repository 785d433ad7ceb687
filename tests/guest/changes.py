"""Makes trees of files with every kind of change between two snapshots, by a seed.

A `Grower` keeps a model of one directory, only to know what it may do next, and collects sh text
that does it. What zfs then has to say is never taken from this model: `compare.py` reads both
snapshots.

One thing is left out on purpose, and looked at by a test of its own: a file whose most recently
made hard link is removed again from another directory than its remaining names. An object knows
the directory of one name only, and `zfs diff` leaves out or misreports such files (openzfs #13283).
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial

HOSTILE = (
    b"plain",
    b"with space",
    b" leading",
    b"trailing ",
    b"tab\there",
    b"new\nline",
    b"ends in newline\n",
    b"carriage\rreturn",
    b"caf\xc3\xa9",
    b"\xff\xfe not utf-8",
    b"half \xe2\x82",
    b"arrow -> arrow",
    b"tab\tnewline\n -> both",
    b"-rf",
    b"--",
    b"-",
    b"quo'te",
    b'dou"ble',
    b"$(touch pwned)",
    b"`touch pwned`",
    b"; touch pwned;",
    b"$HOME",
    b"back\\slash",
    b"\\0040",
    b"\\0012\\n",
    b"*",
    b"?[a]{b}",
    b"\x1b[31mred\x1b[0m",
    b"\x1b]0;title\x07",
    b"\x7f",
    b"\x01\x02",
    b"\xe2\x80\xaetxt.exe",
    b"(on_delete_queue)",
    b"M\tF\t",
    b"name\t(+1)",
    b"%s%n",
    b".hidden",
    b"...",
    b"#",
    b"~",
    b"x" * 255,
    b"\n" * 40,
)
FORBIDDEN = (b"", b".", b"..", b".zfs")
LONGEST_PATH = 700
"""Bytes below the mountpoint: FreeBSD's limit is 1024 for a whole path."""
TYPES = ("file", "directory", "link", "fifo", "block", "character", "socket")


ONE_BYTE = b"busybox dd if=/dev/zero bs=1 count=1 status=none seek=%s of="
"""Cuts a file there, or lets it grow to there with a hole."""


def quoted(text: bytes) -> bytes:
    """A word for sh, whatever it holds (but for NUL)."""
    return b"'" + text.replace(b"'", b"'\\''") + b"'"


@dataclass(eq=False)
class Node:
    """A file of the model: its names are pairs of (directory, name); a directory has one."""

    type: str
    names: list[tuple[Node, bytes]] = field(default_factory=list)
    entries: dict[bytes, Node] = field(default_factory=dict)
    home: Node | None = None
    """The directory in which a name of it was made last: the one that the object remembers."""


class Grower:
    """The model of one directory tree, and the sh text that makes it so, from `lines`."""

    def __init__(self, seed: int | str) -> None:
        self.pick = random.Random(seed)
        self.root = Node("directory")
        self.lines: list[bytes] = []
        self.counter = 0
        self.old: list[Node] = []

    # -- reading the model ------------------------------------------------------------------------

    def path(self, node: Node, name: int = 0) -> bytes:
        """The path of one of the node's names, beginning with './'."""
        words: list[bytes] = []
        place = node
        while place.names:
            up, word = place.names[name]
            words.append(word)
            place, name = up, 0
        return b"/".join([b".", *reversed(words)])

    def nodes(self, *types: str) -> list[Node]:
        """Every node, or those of some types, each once, the root excepted."""
        found: dict[int, Node] = {}
        waiting = [self.root]
        while waiting:
            for node in waiting.pop().entries.values():
                if id(node) not in found:
                    found[id(node)] = node
                    waiting.append(node)
        return [node for node in found.values() if not types or node.type in types]

    def directories(self) -> list[Node]:
        return [self.root, *self.nodes("directory")]

    def was(self, *types: str) -> Node:
        """One that was there when `settle` was called, still is, and has a single name."""
        here = self.nodes(*types)
        return self.pick.choice([n for n in here if n in self.old and len(n.names) == 1])

    def settle(self) -> bytes:
        """The text so far; what there is now counts as old from here on."""
        text, self.lines = b"\n".join([*self.lines, b""]), []
        self.old = self.nodes()
        return text

    # -- acting -----------------------------------------------------------------------------------

    def sh(self, *words: bytes | str) -> None:
        self.lines.append(b" ".join(w.encode() if isinstance(w, str) else w for w in words))

    def text(self) -> str:
        self.counter += 1
        return f"{self.counter} {self.pick.getrandbits(60):x}"

    def fresh(self, inside: Node | None = None, *, room: int = 0) -> tuple[Node, bytes]:
        """A directory and a name that is free in it."""
        while True:
            place = inside or self.pick.choice(self.directories())
            name = self.pick.choice(HOSTILE)
            if name in place.entries or self.pick.random() < 0.3:
                name = name[:200] + b".%d" % self.pick.randrange(1000)
            length = len(self.path(place)) + len(name)
            if name not in (*FORBIDDEN, *place.entries) and length + room < LONGEST_PATH:
                return place, name
            if inside is not None and length + room >= LONGEST_PATH - 255:
                inside = None

    def name(self, node: Node, place: Node, name: bytes) -> None:
        node.names.append((place, name))
        place.entries[name] = node
        node.home = place

    def unname(self, node: Node, number: int = 0) -> None:
        place, name = node.names.pop(number)
        del place.entries[name]

    def make(self, type: str, place: Node | None = None, name: bytes | None = None) -> Node:
        """Make something new, at a free place unless one is given."""
        if place is None or name is None:
            place, name = self.fresh(self.root if type == "socket" else None)
            while type == "socket" and len(name) > 90:  # the limit of an address
                place, name = self.fresh(self.root)
        node = Node(type)
        self.name(node, place, name)
        self.lines.append(self.maker(node))
        return node

    def maker(self, node: Node) -> bytes:
        path = quoted(self.path(node))
        match node.type:
            case "directory":
                return b"mkdir " + path
            case "file":
                return b"echo " + quoted(self.text().encode()) + b" > " + path
            case "link":
                target = self.pick.choice([self.path(n) for n in self.directories()] + [*HOSTILE])
                return b"ln -s -- " + quoted(target) + b" " + path
            case "fifo":
                return b"mkfifo " + path
            case "socket":
                wait = b"until [ -S %s ]; do kill -0 $! || exit; sleep 0.05; done" % path
                return b"nc -lU %s & %s; kill $!; wait $! || :" % (path, wait)
            case "block" | "character":
                numbers = f"{node.type[0]} {self.pick.randrange(250)} {self.pick.randrange(250)}"
                return b"mknod " + path + b" " + numbers.encode()
            case _:
                raise AssertionError(node.type)

    def remove(self, node: Node) -> None:
        """Remove a node and all of its names, a directory with what is in it."""
        for number in range(len(node.names)):
            self.sh("rm -rf", quoted(self.path(node, number)))
        self.forget(node)

    def forget(self, node: Node) -> None:
        for child in list(node.entries.values()):
            for number in reversed(range(len(child.names))):
                if child.names[number][0] is node:
                    self.unname(child, number)
            if not child.names:
                self.forget(child)
        while node.names:
            self.unname(node)

    def move(self, node: Node, place: Node, name: bytes, number: int = 0) -> None:
        before = self.path(node, number)
        self.unname(node, number)
        self.name(node, place, name)
        self.sh("mv -f", quoted(before), quoted(self.path(node, len(node.names) - 1)))

    def inside(self, node: Node, place: Node) -> bool:
        """Whether a place is the node itself or somewhere below it."""
        while place is not node and place.names:
            place = place.names[0][0]
        return place is node

    # -- the tree at the first moment -------------------------------------------------------------

    def plant(self, size: int) -> bytes:
        """A tree of about `size` nodes with some of each type. Returns the text."""
        for _ in range(1 + size // 6):
            self.make("directory")
        place = self.root
        for level in range(2 + size // 4):
            place = self.make("directory", place, b"deep%d" % level)
        self.make("file", place, b"at the end")
        for type in TYPES:
            for _ in range(1 + size // 20):
                self.make(type)
        for _ in range(size):
            self.make("file")
        for _ in range(1 + size // 10):
            self.link(self.pick.choice(self.nodes("file")))
        node = self.make("file")
        path = quoted(self.path(node))
        self.sh(ONE_BYTE % b"400000" + path)
        return self.settle()

    def link(self, node: Node) -> None:
        place, name = self.fresh()
        self.sh("ln", quoted(self.path(node)), quoted(self.path(place) + b"/" + name))
        self.name(node, place, name)

    # -- the changes ------------------------------------------------------------------------------

    def change(self, count: int = 0) -> bytes:
        """`count` kinds of change in any order, by default each once and some more of any kind.
        Returns the text."""
        kinds: list[Callable[[], object]] = [*self.kinds()]
        todo = kinds + self.pick.choices(kinds, k=25)
        self.pick.shuffle(todo)
        del todo[count or len(todo) :]
        for act in todo:
            try:
                act()
            except IndexError:  # nothing is left that it could be done to
                continue
        return self.settle()

    def kinds(self) -> Iterable[Callable[[], object]]:
        for type in TYPES:
            yield partial(self._add, type)
            yield partial(self._remove, type)
            yield partial(self._move_one, type, elsewhere=False)
            yield partial(self._move_one, type, elsewhere=True)
        yield partial(self._write, b"echo appended >> ")
        yield partial(self._write, b"echo anew > ")
        yield partial(self._write, b": > ")
        yield partial(self._write, ONE_BYTE % b"200000")
        yield partial(self._write, ONE_BYTE % b"3")
        yield self._same_again
        for type in ("file", "directory", "fifo", "block"):
            for words in (b"chmod 751 ", b"chown 5:7 ", b"touch -c -d '2019-02-03 04:05:06' "):
                yield partial(self._write, words, type)
        yield self._move_and_write
        yield self._move_directory_and_change_inside
        yield self._swap
        yield self._replace
        yield self._replace_by_rename
        yield self._other_type
        yield self._there_and_back
        yield self._add_and_remove
        yield self._link_old
        yield self._link_new
        yield self._drop_link
        yield self._rename_link

    def _add(self, type: str) -> None:
        node = self.make(type)
        if type == "directory":
            self.make("file", node, b"inside")
            self.make("directory", node, b"further")

    def _remove(self, type: str) -> None:
        node = self.was(type)
        if type != "directory" or self.lonely(node):
            self.remove(node)

    def lonely(self, directory: Node) -> bool:
        """Whether no file below it has a name elsewhere too."""
        below = [n for n in self.nodes() if any(self.inside(directory, d) for d, _ in n.names)]
        return all(self.inside(directory, d) for n in below for d, _ in n.names)

    def _move_one(self, type: str, *, elsewhere: bool) -> None:
        self._move(self.was(type), elsewhere=elsewhere)

    def _move(self, node: Node, *, elsewhere: bool) -> None:
        place = node.names[0][0]
        if elsewhere:
            others = [d for d in self.directories() if not self.inside(node, d) and d is not place]
            place = self.pick.choice(others)
        room = 500 if node.type == "directory" else 0
        place, name = self.fresh(place, room=room)
        if self.inside(node, place) or self._deepest(node) + len(self.path(place)) > LONGEST_PATH:
            return
        self.move(node, place, name)

    def _deepest(self, node: Node) -> int:
        """The length of the longest path below a node, from its own place on."""
        below = [1 + self._deepest(child) for child in node.entries.values()]
        return max((len(n) for _, n in node.names), default=0) + max(below, default=0)

    def _write(self, words: bytes, type: str = "file") -> None:
        self.sh(words + quoted(self.path(self.was(type))))

    def _same_again(self) -> None:
        path = quoted(self.path(self.was("file")))
        self.sh("cp", path, "/tmp/same && cat /tmp/same >", path)

    def _move_and_write(self) -> None:
        node = self.was("file")
        self._move(node, elsewhere=True)
        self.sh("echo more >>", quoted(self.path(node)))

    def _move_directory_and_change_inside(self) -> None:
        full = [n for n in self.nodes("directory") if n in self.old and n.entries]
        node = self.pick.choice(full)
        self._move(node, elsewhere=self.pick.random() < 0.5)
        self.make("file", *self.fresh(node))
        for child in list(node.entries.values()):
            if child.type == "file" and len(child.names) == 1 and self.pick.random() < 0.4:
                self.sh("echo inside >>", quoted(self.path(child)))

    def _swap(self) -> None:
        one, two = self.was("file"), self.was("file")
        if one is not two:
            (place, name), (place2, name2) = one.names[0], two.names[0]
            self.move(one, *self.fresh(self.root))
            self.move(two, place, name)
            self.move(one, place2, name2)

    def _replace(self) -> None:
        node = self.was("file")
        place, name = node.names[0]
        self.remove(node)
        self.make("file", place, name)

    def _replace_by_rename(self) -> None:
        node = self.was("file")
        place, name = node.names[0]
        new = self.make("file")
        self.forget(node)
        self.move(new, place, name)

    def _other_type(self) -> None:
        node = self.was("file", "link", "fifo")
        place, name = node.names[0]
        self.remove(node)
        other = self.pick.choice([t for t in ("directory", "link", "fifo") if t != node.type])
        self.make(other, place, name)

    def _there_and_back(self) -> None:
        """Renamed and renamed back: its change time is another, so it counts as modified."""
        node = self.was("file")
        place, name = node.names[0]
        self.move(node, *self.fresh(self.root))
        self.move(node, place, name)

    def _add_and_remove(self) -> None:
        """What comes and goes between the moments: only its directory shows it."""
        self.remove(self.make("file"))

    def _link_old(self) -> None:
        self.link(self.was("file"))

    def _link_new(self) -> None:
        self.link(self.make("file"))

    def _linked(self) -> Node:
        return self.pick.choice([n for n in self.nodes("file") if len(n.names) > 1])

    def _drop_link(self) -> None:
        """Never the last of its names in the directory that the object remembers; see above."""
        node = self._linked()
        for number in range(len(node.names)):
            left = [place for n, (place, _) in enumerate(node.names) if n != number]
            if node.home in left:
                self.sh("rm -f", quoted(self.path(node, number)))
                self.unname(node, number)
                return

    def _rename_link(self) -> None:
        node = self._linked()
        self.move(node, *self.fresh(), number=len(node.names) - 1)
