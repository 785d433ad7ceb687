"""zpool-features(7): which `compatibility=` keeps a new pool bootable by the restored release.

The restored system's own loader must read the pool, whatever medium created it (facts C4, E).
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from .uname import version_of

DIRECTORY = "/usr/share/zfs/compatibility.d"

# From the newest set of features that fits down to sets that every release reads.
_OLD = ("openzfs-2.0-freebsd", "compat-2021", "compat-2020", "compat-2019", "compat-2018")
_LADDER = ("openzfs-2.4", "openzfs-2.3", "openzfs-2.2", "openzfs-2.1-freebsd", *_OLD)
_NEWEST: tuple[tuple[tuple[int, int], str], ...] = (
    ((15, 1), "openzfs-2.4"),
    # 15.0 came with a release candidate of 2.4, so the step before is the safe one.
    ((15, 0), "openzfs-2.3"),
    ((14, 0), "openzfs-2.2"),
    ((13, 1), "openzfs-2.1-freebsd"),
)


@dataclass(frozen=True, slots=True)
class Choice:
    """`name` for `-o compatibility=`, None to leave the option out; `reason` in one sentence."""

    name: str | None
    reason: str


def choose(release: str | None, available: Collection[str]) -> Choice:
    """The feature set for a system of `release` (`14`, `13.2-RELEASE`; None if unknown).

    `available` are the names in `DIRECTORY` on the medium that creates the pool.
    """
    if not available:
        return Choice(
            None,
            "The install medium knows no feature sets; the pool gets the features of the medium, "
            "so use a medium no newer than the restored system.",
        )
    version = version_of(release) if release else None
    ladder = _LADDER[_LADDER.index(_newest(version)) :]
    name = next((candidate for candidate in ladder if candidate in available), None)
    what = f"FreeBSD {release.strip()}" if version and release else "a system of unknown release"
    if name is None:
        return Choice(
            None,
            f"The install medium has no feature set for {what}; the pool gets the features of "
            "the medium, so use a medium no newer than the restored system.",
        )
    if version is None:
        return Choice(name, f"The release is unknown: every FreeBSD since 13 can boot {name}.")
    if name != ladder[0]:
        return Choice(name, f"{what} could boot {ladder[0]}, which this medium lacks; {name} fits.")
    return Choice(name, f"The loader of {what} can boot a pool with the features of {name}.")


def _newest(version: tuple[int, int] | None) -> str:
    if version is not None:
        for since, name in _NEWEST:
            if version >= since:
                return name
    return _OLD[0]
