"""Where the files of a pair are reached: below the mountpoint, and in `.zfs/snapshot`. Pure."""

from __future__ import annotations

from zrwizard.preview.events import Pair


def argument(path: bytes) -> str:
    """`path` as an argument of a command; every byte of it reaches the target (see `Command`)."""
    return path.decode("utf-8", "surrogateescape")


def is_snapshot(name: str) -> bool:
    """Whether `name` is a snapshot's, and not that of a dataset as it is now."""
    return "@" in name


def relative(mount: bytes, path: bytes) -> bytes | None:
    """What stands in `path` behind `mount`, b"" for the mountpoint itself; None if not below it."""
    root = mount.rstrip(b"/")
    if path.rstrip(b"/") == root:
        return b""
    return path[len(root) + 1 :] if path.startswith(root + b"/") else None


def below(mount: bytes, rest: bytes) -> bytes:
    """The path of `rest` below `mount`."""
    return mount.rstrip(b"/") + b"/" + rest


def in_snapshot(mount: bytes, snapshot: str, path: bytes) -> bytes | None:
    """Where `path`, below `mount`, is read as it was in `snapshot` (`pool/fs@tag`).

    `mount` is the mountpoint of the snapshot's own dataset. None where `path` is not below it.
    """
    rest = relative(mount, path)
    return None if rest is None else _joined(mount, snapshot, rest)


def crosses(pair: Pair) -> str | None:
    """The dataset of the older snapshot where it is another than the newer side's (promotions).

    The pair's mount is that of the newer side's dataset.
    """
    owner = (pair.older or "").partition("@")[0]
    return owner if owner and owner != (pair.newer or pair.dataset).partition("@")[0] else None


def older_path(pair: Pair, path: bytes, owner_mount: bytes | None = None) -> bytes | None:
    """Where the older version of `path` is read; None where nothing leads to it.

    `path` is as zfs diff names it, below the pair's mount. Where the older snapshot belongs to
    another dataset (`crosses`), `owner_mount` is where that one is mounted.
    """
    if pair.older is None or pair.mount is None:
        return None
    mount = owner_mount if crosses(pair) else pair.mount
    rest = relative(pair.mount, path)
    return None if mount is None or rest is None else _joined(mount, pair.older, rest)


def newer_path(pair: Pair, path: bytes) -> bytes | None:
    """Where the newer version of `path` is read, the live file where the newer side is now."""
    if pair.newer is None or pair.mount is None:
        return None
    if is_snapshot(pair.newer):
        return in_snapshot(pair.mount, pair.newer, path)
    return None if relative(pair.mount, path) is None else path


def _joined(mount: bytes, snapshot: str, rest: bytes) -> bytes:
    tag = snapshot.partition("@")[2].encode()
    below = mount.rstrip(b"/") + b"/.zfs/snapshot/" + tag
    return below + b"/" + rest if rest else below
