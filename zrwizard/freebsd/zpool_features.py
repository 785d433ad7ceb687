"""The features of a pool, as zpool-get(8) prints them; what they mean is in zpool-features(7)."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from . import sh, text
from .errors import ParseError

_TOOL = "zpool get"
_PREFIX = "feature@"

NEEDED_TO_READ = (
    *("blake3", "bookmark_v2", "bookmark_written", "device_removal", "draid"),
    *("dynamic_gang_header", "edonr", "embedded_data", "encryption", "extensible_dataset"),
    *("head_errlog", "hole_birth", "large_blocks", "large_dnode", "longname", "lz4_compress"),
    *("multi_vdev_crash_dump", "raidz_expansion", "redacted_datasets", "redaction_bookmarks"),
    *("sha512", "skein", "vdev_zaps_v2", "zstd_compress"),
)
"""Features without which an active pool cannot be read at all: not read-only compatible."""


class Feature(StrEnum):
    """The state of a feature: `ACTIVE` once something in the pool uses it."""

    DISABLED = "disabled"
    ENABLED = "enabled"
    ACTIVE = "active"

    @property
    def on(self) -> bool:
        """Whether the pool may hold what needs it."""
        return self is not Feature.DISABLED


def get(pool: str) -> str:
    """Command: every property of a pool with its value, among them all features."""
    return sh.command("zpool", "get", "-Hp", "-o", "property,value", "all", pool)


def parse(output: str) -> Mapping[str, Feature]:
    """The features that the machine's ZFS knows, by name; those it does not know have no row.

    Raises ParseError, also where no feature is among the properties: each pool of FreeBSD 9.2 and
    later has some.
    """
    found: dict[str, Feature] = {}
    for line in text.lines(output):
        name, value = text.cells(_TOOL, line, 2)
        if not name.startswith(_PREFIX):
            continue
        if value not in set(Feature):
            raise ParseError(_TOOL, "not the state of a feature", line)
        found[name.removeprefix(_PREFIX)] = Feature(value)
    if not found:
        raise ParseError(_TOOL, "no feature is among the properties", output)
    return found
