"""Whether what a preview told agrees with what is in the snapshots, piece by piece."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from zrwizard.preview import content, fetch, reach
from zrwizard.preview.events import Change, Estimated, Pair, Sized

from . import compare
from .compare import File, Files
from .hands import Hand
from .machines import Guest
from .past import Past


@dataclass
class Laid:
    """hostB with its trees, and what is in each of their snapshots."""

    guest: Guest
    pasts: dict[int, Past]
    files: dict[str, Files]

    def disagreements(self, tree: Past, told: Callable[[str], list[Change]]) -> list[str]:
        """What is not told as it is, over all datasets of a tree that can be compared."""
        wrong = []
        for name, child in tree.compared().items():
            older, newer = self.files[child.older], self.files[child.newer]
            wanted = compare.expected(child.mount.encode(), older, newer)
            wrong += [f"{name}: {line}" for line in compare.disagreement(told(name), wanted)]
        return wrong


def fates(pairs: dict[str, Pair], tree: Past) -> None:
    assert pairs.keys() == tree.children.keys()
    for name, child in tree.children.items():
        pair = pairs[name]
        assert pair.fate is child.fate, name
        assert pair.was == child.was, name
        assert pair.comparable == (name in tree.compared()), pair
        if name in tree.compared():
            mount = child.mount.encode()
            assert (pair.older, pair.newer, pair.mount) == (child.older, child.newer, mount), name


def sizes_agree(laid: Laid, hand: Hand, tree: Past) -> None:
    """Sizes of every changed file on both sides are those that stat(1) gave in the snapshots."""
    for name, child in tree.compared().items():
        below = child.mount.encode() + b"/"
        before = by_name(laid.files[child.older], below)
        after = by_name(laid.files[child.newer], below)
        told = {
            path: (old, new)
            for one in hand.told
            if isinstance(one, Sized) and one.pair.dataset == name
            for path, old, new in one.sizes
        }
        changes = [change for change in hand.of(name) if change.type == "F"]
        assert {change.path for change in changes} == told.keys()
        wanted: dict[bytes, set[tuple[int | None, int | None]]] = {}
        for change in changes:
            old = None if change.kind == "+" else before.get(change.path)
            new = None if change.kind == "-" else after.get(change.new_path or change.path)
            wanted.setdefault(change.path, set()).add((old, new))
        wrong = {path: told[path] for path, known in wanted.items() if told[path] not in known}
        assert not wrong, (name, wrong, {path: wanted[path] for path in wrong})


def by_name(files: Files, below: bytes) -> dict[bytes, int]:
    return {below + name: file.size for file in files.values() for name in file.names}


def estimates_agree(laid: Laid, hand: Hand, tree: Past) -> None:
    """Bytes written and in a stream are what zfs says beside the console."""
    told = {one.pair.dataset: one for one in hand.told if isinstance(one, Estimated)}
    for name, child in tree.compared().items():
        dataset, tag = child.older.split("@")
        since = tag if dataset == name else child.older
        said = laid.guest.lines(
            f"zfs send -nvP -i '{child.older}' '{child.newer}' | sed -n 's/^size.//p'\n"
            f"zfs get -Hp -o value 'written@{since}' '{child.newer}'"
        )
        assert [str(told[name].stream), str(told[name].written)] == said, name


def contents_agree(laid: Laid, hand: Hand, pair: Pair) -> None:
    """Both versions of some of each kind are what the snapshots hold."""
    assert pair.older
    assert pair.newer
    sides = (laid.files[pair.older], laid.files[pair.newer])
    changes = hand.of(pair.dataset)
    some = [
        change
        for kind in "M+-R"
        for type in "F@/|"
        for change in [one for one in changes if (one.kind, one.type) == (kind, type)][:1]
    ]
    assert len(some) > 8
    for change in some:
        told = content.versions(hand.shell(), pair, change.path, change.new_path)
        for side, files, name in zip(
            (told.older, told.newer),
            sides,
            (change.path, change.new_path or change.path),
            strict=True,
        ):
            assert pair.mount
            known = named(files, name.removeprefix(pair.mount + b"/"))
            assert side.exists == (known is not None), change
            if known is not None:
                version_agrees(side, known, change)
        if change.type == "/" and change.kind == "M":
            sums = content.sums(hand.shell(), pair, change.path)
            sums_agree(sums, sides, change.path.removeprefix(pair.mount + b"/"))


def named(files: Files, name: bytes) -> File | None:
    return next((file for file in files.values() if name in file.names), None)


def version_agrees(side: content.Side, known: File, change: Change) -> None:
    stat = side.stat
    assert stat is not None
    assert (stat.type, stat.mode, stat.uid, stat.gid) == (known.type, known.mode, *known.owner)
    assert (stat.size, stat.links) == (known.size, known.links), change
    assert (stat.mtime, stat.ctime) == (known.mtime, known.ctime), change
    if known.type != "F":
        return
    digest = side.sha256
    if side.lines is not None and side.whole:
        text = "\n".join(side.lines) + ("\n" if side.lines and side.ended else "")
        digest = hashlib.sha256(text.encode(side.encoding)).hexdigest()
    assert digest == known.digest, (change, side)


def sums_agree(sums: content.DirectorySums, sides: tuple[Files, Files], name: bytes) -> None:
    """Files are counted by name, bytes by file."""
    below = name + b"/" if name else b""
    for told, files in zip((sums.older, sums.newer), sides, strict=True):
        inside = [
            (file, path)
            for file in files.values()
            for path in file.names
            if path and path.startswith(below)
        ]
        assert told.whole, told
        assert told.files == sum(file.type == "F" for file, _ in inside), name
        assert told.directories == sum(file.type == "/" for file, _ in inside), name
        assert told.others == sum(file.type not in "F/" for file, _ in inside), name
        once = {file.inode: file.size for file, _ in inside if file.type == "F"}
        assert told.bytes == sum(once.values()), name


def fetched(
    laid: Laid, hand: Hand, pair: Pair, changes: dict[bytes, Change], directory: Path
) -> None:
    """The largest old version arrives whole."""
    assert pair.older
    assert pair.mount
    older = laid.files[pair.older]
    sizes = {
        path: file
        for path in changes
        if (file := named(older, path.removeprefix(pair.mount + b"/"))) is not None
    }
    path, file = max(sizes.items(), key=lambda item: item[1].size)
    source = reach.older_path(pair, path)
    assert source
    got = fetch.fetch(hand.shell(), source, directory / "old")
    assert (got.size, got.sha256) == (file.size, file.digest)
    assert hashlib.sha256((directory / "old").read_bytes()).hexdigest() == file.digest
