"""Trees of datasets with a past, made in a guest by a seed: every fate that a child can have.

Below `seeds/sN`, with the snapshots `A` and `B`:

    (root) kid kid/deep "two words"    there all the time; a name with a blank
    elsewhere                          mounted outside of its parent's mountpoint
    late                               created between the moments
    noolder nonewer                    their snapshot A or B was destroyed afterwards
    gone                               destroyed between the moments
    before -> after                    renamed between the moments; with odd seeds there is another
                                       dataset by the old name since
    base fork                          fork is a clone of base@A that was promoted: fork@A is base's
    noauto                             not mounted (canmount=noauto)
    vol                                a volume

The first seed has all of them; the second and the later ones have fewer, for the sake of time.
All of it lies in a pool of its own, in a file, so that nothing else on the guest is touched.
"""

from __future__ import annotations

from dataclasses import dataclass

from zrwizard.preview.events import Fate

from .changes import Grower, quoted
from .machines import Guest

POOL = "seeds"
MOUNT = "/seeds"
FILE = "/run/seeds.img"
SIZE = 320 << 20
OLDER, NEWER = "A", "B"
FEW = ("", "kid", "before", "after")
"""What every seed has."""
SOME = (*FEW, "base", "fork")
COMPARED = ("", "kid", "kid/deep", "two words", "elsewhere", "after", "base", "fork")
"""The datasets, relative to the root, whose files can be compared as they are."""


@dataclass(frozen=True, slots=True)
class Child:
    """One dataset and what the preview must make of it. What is compared, and where its files are,
    stands there only if it can be compared."""

    fate: Fate
    older: str = ""
    newer: str = ""
    mount: str = ""
    was: str | None = None


@dataclass(frozen=True, slots=True)
class Past:
    """One tree of datasets: its root, and every dataset of it, now or once, by name."""

    root: str
    children: dict[str, Child]

    def compared(self) -> dict[str, Child]:
        """Those whose files can be compared as they are."""
        names = [f"{self.root}/{name}".rstrip("/") for name in COMPARED]
        return {name: self.children[name] for name in names if name in self.children}


def make_pool(guest: Guest) -> None:
    """An empty pool, with access times on, as on a system that nobody has tuned."""
    guest.run(
        f"busybox dd if=/dev/zero of={FILE} bs=1 count=0 seek={SIZE} status=none && mkdir {MOUNT} "
        f"&& zpool create -O mountpoint={MOUNT} -O compression=lz4 -O atime=on -O relatime=off "
        f"{POOL} {FILE}"
    )


def destroy_pool(guest: Guest) -> None:
    guest.run(f"zpool destroy -f {POOL}; rm -f {FILE}; rmdir {MOUNT}", check=False)


def lay(guest: Guest, seed: int) -> Past:
    """Make the tree `seeds/sN`, which must not be there yet."""
    root, mount = f"{POOL}/s{seed}", f"{MOUNT}/s{seed}"
    far = f"/far away {seed}"
    names = tuple(name for name in _PLANTED if has(seed, name))
    growers = {name: Grower(f"{seed} {name}") for name in names}
    places = {name: f"{mount}/{name}".rstrip("/") for name in (*names, "fork", "after", "late")}
    places["elsewhere"] = far
    plants = [_within(places[n], growers[n].plant(6 if n else 40)) for n in names]
    _sh(guest, _creates(root, far, names), *plants, f"zfs snapshot -r {root}@{OLDER}\n".encode())
    changes = [
        _within(places[n], growers[n].change(15 if n else 0))
        for n in names
        if n not in ("gone", "base", "before")
    ]
    _sh(guest, *changes, _events(root, seed), _later(seed, places, growers), _ends(root, seed))
    children = _children(root, mount, far, seed)
    return Past(
        root,
        {
            name: child
            for name, child in children.items()
            if has(seed, name.removeprefix(root).lstrip("/"))
        },
    )


def has(seed: int, name: str) -> bool:
    """Whether the tree of a seed has that dataset."""
    return seed == 0 or name in (SOME if seed == 1 else FEW)


_PLANTED = (
    *("", "kid", "kid/deep", "two words", "elsewhere", "noolder", "nonewer", "gone", "before"),
    *("base", "noauto"),
)


def _creates(root: str, far: str, names: tuple[str, ...]) -> bytes:
    options = {"elsewhere": f"-o mountpoint='{far}'", "noauto": "-o canmount=noauto"}
    made = [f"zfs create {options.get(n, '')} '{root}/{n}'".replace("/'", "'") for n in names]
    if "noauto" in names:
        made += [f"zfs create -V 2m -o volmode=none {root}/vol", f"zfs mount {root}/noauto"]
    return ("\n".join(made) + "\n").encode()


def _events(root: str, seed: int) -> bytes:
    """What happens to the datasets themselves between the moments."""
    lines = [f"zfs rename {root}/before {root}/after"]
    if has(seed, "fork"):
        lines += [f"zfs clone {root}/base@{OLDER} {root}/fork"]
    if seed % 2:
        lines += [f"zfs create {root}/before"]
    if has(seed, "late"):
        lines += [f"zfs create {root}/late", f"zfs destroy -r {root}/gone"]
    return ("\n".join(lines) + "\n").encode()


def _later(seed: int, places: dict[str, str], growers: dict[str, Grower]) -> bytes:
    """Changes in what was renamed, cloned and made; the clone goes on from the same tree."""
    fork, late = Grower(f"{seed} base"), Grower(f"{seed} late")
    fork.plant(6)
    fork.pick.seed(f"{seed} fork")
    texts = [_within(places["after"], growers["before"].change(15))]
    if has(seed, "fork"):
        texts += [_within(places["base"], growers["base"].change(15))]
        texts += [_within(places["fork"], fork.change(15))]
    if has(seed, "late"):
        texts += [_within(places["late"], late.plant(2))]
    return b"".join(texts)


def _ends(root: str, seed: int) -> bytes:
    """The promotion, the newer moment, and what is destroyed after it."""
    lines = [f"zfs promote {root}/fork"] if has(seed, "fork") else []
    lines += [f"zfs snapshot -r {root}@{NEWER}"]
    if has(seed, "noauto"):
        lines += [f"zfs destroy {root}/noolder@{OLDER}", f"zfs destroy {root}/nonewer@{NEWER}"]
        lines += [f"zfs unmount {root}/noauto"]
    return ("\n".join(lines) + "\n").encode()


def _children(root: str, mount: str, far: str, seed: int) -> dict[str, Child]:
    def both(name: str) -> Child:
        full = f"{root}/{name}".rstrip("/")
        at = far if name == "elsewhere" else f"{mount}/{name}".rstrip("/")
        return Child(Fate.BOTH, f"{full}@{OLDER}", f"{full}@{NEWER}", at)

    found = {f"{root}/{name}".rstrip("/"): both(name) for name in COMPARED}
    found[f"{root}/after"] = Child(
        *(Fate.RENAMED, f"{root}/after@{OLDER}", f"{root}/after@{NEWER}", f"{mount}/after"),
        was=f"{root}/before",
    )
    # A clone that was promoted is younger than the snapshot that it holds, but can be compared.
    found[f"{root}/fork"] = Child(
        *(Fate.CREATED, f"{root}/fork@{OLDER}", f"{root}/fork@{NEWER}", f"{mount}/fork")
    )
    found[f"{root}/base"] = Child(
        *(Fate.PROMOTED, f"{root}/fork@{OLDER}", f"{root}/base@{NEWER}", f"{mount}/base")
    )
    for name, fate in (
        *(("late", Fate.CREATED), ("noolder", Fate.LACKS_OLDER), ("nonewer", Fate.LACKS_NEWER)),
        *(("gone", Fate.DESTROYED), ("noauto", Fate.BOTH), ("vol", Fate.VOLUME)),
        *([("before", Fate.CREATED)] if seed % 2 else []),
    ):
        found[f"{root}/{name}"] = Child(fate)
    return found


def _within(place: str, text: bytes) -> bytes:
    return b"cd %s\n%scd /\n" % (quoted(place.encode()), text)


def _sh(guest: Guest, *texts: bytes) -> None:
    guest.put("/run/past", b"set -e\n" + b"".join(texts))
    guest.run("sh /run/past", timeout=300)
