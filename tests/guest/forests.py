"""Trees of datasets by a seed, with everything that makes a tree hard to bring over in pieces.

Each seed has the same kinds of things at other places: clones of snapshots of clones, a clone that
was promoted over its parent, renamed snapshots, volumes, datasets encrypted with keys of their own
and inherited ones, many snapshots on one, empty datasets, odd names, properties with odd values.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from shlex import quote as quoted

from .machines import Guest

LAST = "now"
"""The snapshot that every dataset has."""
PASSPHRASE = "forest pass"
"""Of every encrypted dataset; it is no secret of the product's."""
NOTES = ('it\'s "quoted" $HOME `no` \\n', "two\nlines", "tab\there", "caf\u00e9", "")
NAMES = ("with space", "o-d_d.na:me", "1", "a.b", "A_b", "-dash", "x" * 60)
BIG = "big"
"""The dataset in which cuts fall."""


@dataclass(frozen=True, slots=True)
class Forest:
    """A tree below `root`: its datasets, and the sh text that makes it."""

    root: str
    datasets: tuple[str, ...]
    text: str

    def build(self, guest: Guest) -> None:
        """Make it; the pool is there, and nothing below `root`."""
        guest.put("/run/forest.sh", self.text.encode(), "700")
        guest.run("sh -ex /run/forest.sh", timeout=400)


def forest(root: str, seed: int, *, count: int = 42, snapshots: int = 200, big: int = 24) -> Forest:
    """A forest of `count` datasets, one with `snapshots` snapshots and one with `big` MB."""
    made = _Maker(root, random.Random(seed))
    lines = list(made.lines(count, snapshots, big))
    return Forest(root, tuple(made.names), "\n".join([*_HEAD, *lines]) + "\n")


_HEAD = (
    f"p() {{ printf '%s\\n' '{PASSPHRASE}'; }}",
    # Nothing is mounted but where it is written to.
    'f() { mkdir -p /run/w && busybox mount -i -t zfs "$1" /run/w && '
    'head -c "$3" /dev/urandom >"/run/w/$2" && busybox umount /run/w; }',
)


class _Maker:
    def __init__(self, root: str, drawn: random.Random) -> None:
        self.root = root
        self.names = [root]
        self._drawn = drawn
        self._parents = [root]
        self._plains: list[str] = []

    def lines(self, count: int, snapshots: int, big: int) -> Iterator[str]:
        yield f"zfs create -o canmount=off -o mountpoint=none -o compression=lz4 {self.root}"
        yield from self._plain(count - 15)
        yield from self._clones()
        yield from self._volumes()
        yield from self._encrypted()
        yield from self._big(big)
        yield from self._many(snapshots)
        yield from self._settings()
        yield f"zfs snapshot -r {self.root}@{LAST}"
        yield from self._promoted()

    def _new(self, parent: str, name: str) -> str:
        full = f"{parent}/{name}"
        self.names.append(full)
        return quoted(full)

    def _plain(self, count: int) -> Iterator[str]:
        for number in range(count):
            odd = NAMES[number] if number < len(NAMES) else f"d{number}"
            parent = self._drawn.choice(self._parents[-6:])
            name = self._new(parent, odd)
            yield f"zfs create -u -o mountpoint=legacy {name}"
            if self._drawn.random() < 0.5:
                yield f"f {name} file {self._drawn.randrange(1, 60_000)}"
            if self._drawn.random() < 0.6 and "x" not in odd:
                self._parents.append(self.names[-1])
        self._plains = self.names[1:]
        yield f"zfs snapshot -r {self.root}@first"
        yield f"zfs snapshot -r {self.root}@second"
        for name in self._drawn.sample(self.names[1:], 3):
            yield f"zfs rename {quoted(name + '@first')} {quoted(name + '@fi rst-renamed')}"

    def _clones(self) -> Iterator[str]:
        """A clone of a snapshot of a clone of a snapshot of a clone."""
        source = self._drawn.choice(self.names[1:]) + "@second"
        for number in range(3):
            parent = self._drawn.choice(self._parents)
            clone = self._new(parent, f"clone{number}")
            yield f"zfs clone -o mountpoint=legacy {quoted(source)} {clone}"
            yield f"f {clone} own{number} 5000"
            source = f"{self.names[-1]}@grown{number}"
            yield f"zfs snapshot {quoted(source)}"

    def _volumes(self) -> Iterator[str]:
        thick, sparse = self._new(self.root, "thick"), self._new(self.root, "spa rse")
        yield f"zfs create -V 4m -o volmode=none {thick}"
        yield f"zfs create -s -V 64m -b 16k -o volmode=none -o compression=off {sparse}"
        clone = self._new(self.root, "volclone")
        yield f"zfs snapshot {self.root}/thick@v; zfs clone {self.root}/thick@v {clone}"

    def _encrypted(self) -> Iterator[str]:
        key = "-o encryption=on -o keyformat=passphrase -o pbkdf2iters=100000"
        vault, alone = self._new(self.root, "vault"), self._new(self.root, "alone")
        yield f"p | zfs create -u {key} -o mountpoint=legacy {vault}"
        heir = self._new(f"{self.root}/vault", "heir")
        yield f"zfs create -u {heir}; f {heir} secret 9000; zfs snapshot {heir}@s"
        clone = self._new(f"{self.root}/vault", "clone")
        yield f"zfs clone {heir}@s {clone}"
        yield f"p | zfs create -u {key} -o mountpoint=legacy {alone}; f {alone} secret 7000"

    def _big(self, size: int) -> Iterator[str]:
        name = self._new(self.root, BIG)
        yield f"zfs create -u -o mountpoint=legacy {name}; f {name} a {size * 700_000}"
        yield f"zfs snapshot {name}@half; f {name} b {size * 300_000}"

    def _many(self, count: int) -> Iterator[str]:
        name = self._new(self.root, "many")
        yield f"zfs create -u -o mountpoint=legacy {name}; n=0"
        yield f"while [ $n -lt {count} ]; do zfs snapshot {name}@auto-$n; n=$((n + 1)); done"

    def _settings(self) -> Iterator[str]:
        """Properties of every kind; a newline in a value is allowed."""
        for number, note in enumerate(NOTES):
            name = quoted(self._drawn.choice(self.names[1:20]))
            yield f"zfs set org.example:note{number}={quoted(note)} {name}"
        changes = ("atime=off", "recordsize=16k", "quota=900m", "canmount=noauto", "setuid=off")
        for change in (*changes, "compression=gzip-1", "mountpoint=none", "copies=2", "exec=off"):
            yield f"zfs set {change} {quoted(self._drawn.choice(self._plains))}"

    def _promoted(self) -> Iterator[str]:
        """A child from which its parent is cloned by now: `zfs send -R` cannot send that."""
        above, below = self._new(self.root, "above"), self._new(f"{self.root}/above", "below")
        yield f"zfs create -u -o mountpoint=legacy {above}; f {above} x 3000"
        yield f"zfs snapshot {above}@base; zfs clone {above}@base {below}; zfs promote {below}"
        yield f"zfs snapshot {above}@{LAST}; zfs snapshot {below}@{LAST}"
