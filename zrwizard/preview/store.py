"""Where a million changed paths are kept: columns of numbers, one name each, sums by directory.

A path is a node; a node with something below it is a directory as well and has a number of its own,
always higher than that of the directory above. Numbers are never given anew and nothing is removed,
so a screen may hold on to them. An object for each path would take a gigabyte; this takes about
170 bytes (tests/bench/README.md).
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence

from zrwizard.preview.events import Change
from zrwizard.preview.records import BITS, LEFT, Counts, Fact

_FIELD = 32
_LOW = (1 << _FIELD) - 1
_ONE = {kind: 1 << _FIELD * at for at, kind in enumerate("+-MR")}
# What a path's first change adds to the counts of its directory: the change, and one path.
_PATH = 1 << _FIELD * 4
_FIRST = {kind: one + _PATH for kind, one in _ONE.items()}
_ANY = 15
_DIRECTORY = ord("/")
_CACHED = 1 << 14
_MOST = (1 << 63) - 1
UNKNOWN = -1
"""A time or a number of bytes that is not known; so is one that no clock or disk can hold."""

Sizes = Sequence[tuple[bytes, int | None, int | None]]
_More = tuple[str, str, int, int, int, int]


class Store:
    """The columns. By node: `names`, `home` (the directory it is in), `masks`, `types`, `whens`,
    `owners` (dataset), `came` and `went` (the other end of a rename, -1), `number` (as a
    directory, -1). By directory: `kids(at)` (name to node), `nodes`, `up`, `sums` and two flags of
    whoever shows the tree, `opened` and `fresh`; `fresh` falls with every change below.
    """

    def __init__(self) -> None:
        self.names: list[bytes] = [b"/"]
        self.home = array("I", [0])
        self.masks = bytearray(1)
        self.types = bytearray([_DIRECTORY])
        self.whens = array("q", [-1])
        self.owners = array("I", [0])
        self.came = array("i", [-1])
        self.went = array("i", [-1])
        self.number = array("i", [0])
        # A dict takes 232 bytes, so one entry stands for itself by its node, and -1 for none.
        self._kids: list[dict[bytes, int] | int] = [-1]
        self.nodes = array("I", [0])
        self.up = array("I", [0])
        self.sums: list[int] = [0]
        self.opened = bytearray(1)
        self.fresh = bytearray(1)
        self.datasets: list[str] = []
        self.mounts: dict[int, str] = {}
        self.links: dict[int, int] = {}
        self.before = array("q")
        self.after = array("q")
        self.touched: list[int] = []
        """Nodes that were there already and have changed; whoever follows them empties it."""
        self._more: dict[int, list[_More]] = {}
        self._dataset: dict[str, int] = {}
        # Of directories: the sums of what is below, and of how many paths they are known.
        self._before: list[int] = []
        self._after: list[int] = []
        self._sized: list[int] = []
        # Changes come in the order of object numbers, so those of one directory mostly together.
        self._where: dict[bytes, int] = {b"": 0}

    # --- putting in

    def add(self, dataset: str, changes: Sequence[Change]) -> None:
        """Put changes of a dataset in; the sums above them are right afterwards."""
        owner = self._owner(dataset)
        names, home, masks, types, whens = (
            self.names, self.home, self.masks, self.types, self.whens
        )  # fmt: skip
        where, sums = self._where, dict[int, int]()
        here: bytes | None = None
        kids = self._unfold(0)
        at = run = 0
        count = len(names)
        for kind, type_, path, new_path, links, when in changes:
            head, _, name = (path if new_path is None else new_path).rpartition(b"/")
            if head != here:
                if run:
                    sums[at] = sums.get(at, 0) + run
                    run = 0
                self._fold(at, kids)
                found = where.get(head)
                at = self._directory(head, owner) if found is None else found
                kids, here, count = self._unfold(at), head, len(names)
            if name and (node := kids.setdefault(name, count)) == count:
                count += 1
                names.append(name)
                home.append(at)
                masks.append(BITS[kind])
                types.append(ord(type_))
                try:
                    whens.append(when)
                except OverflowError:
                    whens.append(UNKNOWN)
                run += _FIRST[kind]
                if links:
                    self.links[node] = links
                if new_path is None:
                    continue
                self._moved(path, type_, node, owner)
            else:
                # A path that ends in a slash is a dataset's root.
                node = node if name else self._node(head, owner)
                change = Change(kind, type_, path, new_path, links, when)
                at_home, one = self.home[node], self._again(node, change, owner)
                sums[at_home] = sums.get(at_home, 0) + one
            count = len(names)
        if run:
            sums[at] = sums.get(at, 0) + run
        self._fold(at, kids)
        self._level(owner)
        self._raise_sums(sums)

    def mark(self, dataset: str, mount: bytes) -> int:
        """Note where a dataset is mounted; return that node."""
        owner = self._owner(dataset)
        node = self._node(mount, owner)
        self._level(owner)
        self.mounts[node] = dataset
        self.stale(self.home[node])
        return node

    def _again(self, node: int, change: Change, owner: int) -> int:
        """Take one more change of a node that is there; return what it adds to the counts."""
        self._level(owner)
        kind, type_, path, new_path, links, when = change
        first = not self.masks[node] & _ANY
        known = [] if first else self._more.setdefault(node, [])
        if not first and not known:
            known.append(self._single(node))
        source = -1 if new_path is None else self._moved(path, type_, node, owner)
        known.append((kind, type_, owner, links, when, source))
        # What is there now says more about a replaced path than what was there before.
        if first or kind != "-":
            self.types[node], self.owners[node] = ord(type_), owner
            self.whens[node] = when if abs(when) <= _MOST else UNKNOWN
            self.links.pop(node, None)
            if links:
                self.links[node] = links
        self.masks[node] |= BITS[kind]
        self.touched.append(node)
        return _FIRST[kind] if first else _ONE[kind]

    def _moved(self, path: bytes, type_: str, node: int, owner: int) -> int:
        """Mark where a renamed node came from; return that one."""
        source = self._node(path, owner)
        self._level(owner)
        self.came[node], self.went[source] = source, node
        if not self.masks[source]:
            self.types[source] = ord(type_)
        self.masks[source] |= LEFT
        self.touched.append(source)
        self.stale(self.home[source])
        return source

    def _single(self, node: int) -> _More:
        """The change of a node that has only one."""
        kind = next(kind for kind, bit in BITS.items() if self.masks[node] & bit)
        return (
            kind,
            chr(self.types[node]),
            self.owners[node],
            self.links.get(node, 0),
            self.whens[node],
            self.came[node] if kind == "R" else -1,
        )

    def _node(self, path: bytes, owner: int) -> int:
        """The node of a path, made without a change of its own if need be."""
        head, _, name = path.rstrip(b"/").rpartition(b"/")
        return self._enter(self._directory(head, owner), name, owner) if name else 0

    def _enter(self, at: int, name: bytes, owner: int) -> int:
        kids, count = self._kids[at], len(self.names)
        if isinstance(kids, dict):
            node = kids.setdefault(name, count)
        elif kids < 0:
            node = self._kids[at] = count
        else:
            node = kids if self.names[kids] == name else self._unfold(at).setdefault(name, count)
        if node == len(self.names):
            self.names.append(name)
            self.home.append(at)
            self.masks.append(0)
            self.types.append(_DIRECTORY)
            self.whens.append(-1)
            self._level(owner)
        return node

    def _directory(self, head: bytes, owner: int) -> int:
        missing, rest = [], head
        while (at := self._where.get(rest, -1)) < 0:
            rest, _, name = rest.rpartition(b"/")
            if name:
                missing.append(name)
        self._level(owner)
        for name in reversed(missing):
            node = self._enter(at, name, owner)
            at = self.become(node)
        if len(self._where) >= _CACHED:
            self._where.clear()
            self._where[b""] = 0
        self._where[head] = at
        return at

    def become(self, node: int) -> int:
        """Make a node a directory if it is none yet; return its number."""
        if self.number[node] >= 0:
            return self.number[node]
        at = self.number[node] = len(self._kids)
        self._kids.append(-1)
        self.nodes.append(node)
        self.up.append(self.home[node])
        self.sums.append(0)
        self.opened.append(0)
        self.fresh.append(0)
        return at

    def _unfold(self, at: int) -> dict[bytes, int]:
        """Return a directory's entries for adding to them."""
        kids = self._kids[at] = self.kids(at)
        return kids

    def _fold(self, at: int, kids: dict[bytes, int]) -> None:
        """Give a dict back that is not worth its bytes."""
        if len(kids) < 2:
            self._kids[at] = next(iter(kids.values()), -1)

    def _owner(self, dataset: str) -> int:
        owner = self._dataset.setdefault(dataset, len(self.datasets))
        if owner == len(self.datasets):
            self.datasets.append(dataset)
        return owner

    def _level(self, owner: int) -> None:
        """Bring the columns that mostly hold the same to the length of the others."""
        lacking = len(self.names) - len(self.number)
        if lacking:
            nothing = b"\xff" * (4 * lacking)  # -1 each
            self.number.frombytes(nothing)
            self.came.frombytes(nothing)
            self.went.frombytes(nothing)
            self.owners.extend([owner] * lacking)

    def stale(self, at: int) -> None:
        """Let whoever shows a directory, or one above it, look again."""
        fresh, up = self.fresh, self.up
        fresh[at] = 0
        while at:
            at = up[at]
            fresh[at] = 0

    def _raise_sums(self, added: dict[int, int]) -> None:
        sums, fresh, up = self.sums, self.fresh, self.up
        for start, amount in added.items():
            at = start
            sums[at] += amount
            fresh[at] = 0
            while at:
                at = up[at]
                sums[at] += amount
                fresh[at] = 0

    # --- bytes

    def size(self, sizes: Sizes) -> None:
        """Take the bytes of paths that are here; those that are not are passed over."""
        lacking = len(self.names) - len(self.before)
        if lacking:
            nothing = b"\xff" * (8 * lacking)
            self.before.frombytes(nothing)
            self.after.frombytes(nothing)
        lacking = len(self._kids) - len(self._sized)
        for column in (self._before, self._after, self._sized):
            column.extend([0] * lacking)
        added: dict[int, list[int]] = {}
        for path, before, after in sizes:
            node = self.find(path)
            if node is None:
                continue
            if not self.masks[node] & _ANY and self.went[node] >= 0:
                node = self.went[node]
            more = self._resize(node, _held(before), _held(after))
            known = added.setdefault(self.home[node], [0, 0, 0])
            for field, amount in enumerate(more):
                known[field] += amount
        for start, (old, new, sized) in added.items():
            for at in (start, *self.above(self.nodes[start])):
                self._before[at] += old
                self._after[at] += new
                self._sized[at] += sized

    def _resize(self, node: int, before: int | None, after: int | None) -> tuple[int, int, int]:
        """Take a node's bytes; return by how much the sums above it grow."""
        old, new = self.sizes(node)
        self.before[node] = -1 if before is None else before
        self.after[node] = -1 if after is None else after
        self.touched.append(node)
        known, was = (before, after) != (None, None), (old, new) != (None, None)
        return (before or 0) - (old or 0), (after or 0) - (new or 0), known - was

    def sizes(self, node: int) -> tuple[int | None, int | None]:
        """Return a path's own bytes before and after."""
        if node >= len(self.before):
            return None, None
        before, after = self.before[node], self.after[node]
        return (before if before >= 0 else None), (after if after >= 0 else None)

    def largest(self, node: int) -> int:
        """Return the larger of a path's bytes before and after, -1 where neither is known."""
        return max(self.before[node], self.after[node]) if node < len(self.before) else -1

    # --- reading

    @property
    def directories(self) -> int:
        """How many directories there are; they are numbered from 0."""
        return len(self._kids)

    def kids(self, at: int) -> dict[bytes, int]:
        """Return the nodes in a directory by their names, in the order of their arrival."""
        kids = self._kids[at]
        if isinstance(kids, dict):
            return kids
        return {} if kids < 0 else {self.names[kids]: kids}

    def find(self, path: bytes) -> int | None:
        """Return the node of a path."""
        at, node = 0, 0
        for name in path.split(b"/"):
            if name:
                found = self.kids(at).get(name) if at >= 0 else None
                if found is None:
                    return None
                node, at = found, self.number[found]
        return node

    def path(self, node: int) -> bytes:
        """Return a node's absolute path."""
        parts: list[bytes] = []
        while node:
            parts.append(self.names[node])
            node = self.nodes[self.home[node]]
        return b"/" + b"/".join(reversed(parts))

    def above(self, node: int) -> Iterable[int]:
        """Yield the directories above a node, by number, the nearest first."""
        while node:
            at = self.home[node]
            yield at
            node = self.nodes[at]

    def facts(self, node: int) -> tuple[Fact, ...]:
        """Return every change of a path."""
        if not self.masks[node] & _ANY:
            return ()
        more = self._more.get(node) or [self._single(node)]
        return tuple(
            Fact(kind, type_, self.datasets[owner], links, when, self.path(source))
            if source >= 0
            else Fact(kind, type_, self.datasets[owner], links, when)
            for kind, type_, owner, links, when, source in more
        )

    def counts(self, node: int) -> Counts:
        """Return the counts of a node and all below it."""
        at = self.number[node]
        packed = self.sums[at] if at >= 0 else 0
        known = [0, 0, 0]
        if 0 <= at < len(self._sized):
            known = [self._before[at], self._after[at], self._sized[at]]
        # The root is in itself, so its own are among its sums.
        if node and self.masks[node] & _ANY:
            packed += _PATH
            for kind, *_ in self._more.get(node) or [self._single(node)]:
                packed += _ONE[kind]
        own = self.sizes(node)
        if node and own != (None, None):
            known = [known[0] + (own[0] or 0), known[1] + (own[1] or 0), known[2] + 1]
        return Counts(*(packed >> _FIELD * field & _LOW for field in range(5)), *known)

    def dataset(self, node: int) -> str | None:
        """Return the dataset of a path: its change's own, else that of the nearest mount above."""
        if self.masks[node]:
            return self.datasets[self.owners[node]]
        while node not in self.mounts:
            if not node:
                return None
            node = self.nodes[self.home[node]]
        return self.mounts[node]


def _held(size: int | None) -> int | None:
    return size if size is None or 0 <= size <= _MOST else None
