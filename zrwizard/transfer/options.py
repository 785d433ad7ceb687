"""Which options make zfs-send(8) send blocks as they lie on disk, as far as both pools allow."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from zrwizard.freebsd.zpool_features import Feature

LARGE, COMPRESSED, EMBEDDED = "-L", "-c", "-e"
_ALGORITHMS = ("lz4_compress", "zstd_compress")
SINCE_2_0 = "zstd_compress"
"""It came with OpenZFS 2.0, and a pool has a row for each feature that the machine knows."""

Features = Mapping[str, Feature]
NEW_POOL: Features = dict.fromkeys((*_ALGORITHMS, "large_blocks", "embedded_data"), Feature.ENABLED)
"""What a pool that OpenZFS 2.0 or later makes has, in each set that `compatibility` names."""


class Before(StrEnum):
    """How the snapshots came that the receiving side already has of these datasets."""

    NOTHING = "there are none"
    LARGE = "with -L"
    SPLIT = "without -L"
    UNKNOWN = "that is not known"


class NotKnown(ValueError):
    """Neither with -L nor without it is it certain that no data is lost."""


def options(
    sending: Features, receiving: Features, *, before: Before, encrypts: bool
) -> tuple[str, ...]:
    """Return those of `-L`, `-c` and `-e` that the features of both pools allow.

    * `-L` sends blocks above 128 KiB whole: both pools have large_blocks.
    * `-c` sends compressed blocks as they are, `-e` those that lie in their block pointers (both
      have embedded_data): what is active of lz4_compress and zstd_compress on the sending pool is
      on in the receiving one. `encrypts` says that the receiving side encrypts what comes, in a
      dataset with a key of its own: it takes no `-e` then.
    * `-w` has all three in itself, and a resumed stream keeps the options of its beginning.

    A dataset goes on as it began. With `-L` after streams without it, an OpenZFS older than 2.0
    fills files with zeroes when it receives, and without `-L` after streams with it, it loses what
    was in large blocks (openzfs #6224). So `before` decides. Where it is UNKNOWN, `-L` is left out:
    OpenZFS 2.0 and later then refuses a dataset that holds large blocks ("requires -L") and loses
    nothing; it is LARGE, and is tried again as that. An older one does not notice, so `NotKnown` is
    raised if its pool has large blocks at all.

    Remember what was used with the transfer: all of its streams take the same options, and so do
    later ones into the same datasets.
    """
    known = all(
        _on(receiving, algorithm)
        for algorithm in _ALGORITHMS
        if sending.get(algorithm) is Feature.ACTIVE
    )
    embedded = known and not encrypts and _both(sending, receiving, "embedded_data")
    chosen = {
        LARGE: _large(sending, receiving, before),
        COMPRESSED: known,
        EMBEDDED: embedded,
    }
    return tuple(option for option, wanted in chosen.items() if wanted)


def _large(sending: Features, receiving: Features, before: Before) -> bool:
    match before:
        case Before.NOTHING:
            return _both(sending, receiving, "large_blocks")
        case Before.LARGE:
            return True
        case Before.SPLIT:
            return False
        case Before.UNKNOWN:
            holds = receiving.get("large_blocks") is Feature.ACTIVE
            if holds and SINCE_2_0 not in receiving:
                raise NotKnown(
                    "It is not known whether these datasets came with -L, and the receiving ZFS is "
                    "too old to notice the wrong choice: receive them anew under another name."
                )
            return False


def _on(features: Features, name: str) -> bool:
    return name in features and features[name].on


def _both(sending: Features, receiving: Features, name: str) -> bool:
    return _on(sending, name) and _on(receiving, name)
