"""Where the files of a pair are reached: below the mountpoint, and in `.zfs/snapshot`. Pure."""

from __future__ import annotations

from zrwizard.preview.events import Pair


def text(path: bytes) -> str:
    """`path` as an argument of a command; every byte of it reaches the target (see `Command`)."""
    return path.decode("utf-8", "surrogateescape")


def relative(mount: bytes, path: bytes) -> bytes | None:
    """What stands in `path` behind `mount`, b"" for the mountpoint itself; None if not below it."""
    root = mount.rstrip(b"/")
    if path.rstrip(b"/") == root:
        return b""
    return path[len(root) + 1 :] if path.startswith(root + b"/") else None


def in_snapshot(mount: bytes, snapshot: str, path: bytes) -> bytes | None:
    """Where `path`, below `mount`, is read as it was in `snapshot` (`pool/fs@tag`).

    `mount` is the mountpoint of the snapshot's own dataset. None where `path` is not below it.
    """
    rest = relative(mount, path)
    if rest is None:
        return None
    tag = snapshot.partition("@")[2].encode()
    return b"/".join(part for part in (mount.rstrip(b"/"), b".zfs/snapshot", tag, rest) if part)


def is_snapshot(name: str) -> bool:
    """Whether `name` is a snapshot's, and not that of a dataset as it is now."""
    return "@" in name


def below(mount: bytes, rest: bytes) -> bytes:
    """The path of `rest` below `mount`."""
    return mount.rstrip(b"/") + b"/" + rest


def crosses(pair: Pair) -> bool:
    """Whether the older snapshot lies in another dataset than the newer side (a promotion)."""
    return pair.older is not None and pair.older.partition("@")[0] != pair.dataset
