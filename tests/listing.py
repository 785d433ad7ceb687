"""Rows of `zfs list` in the columns that the inventory asks for; each is named, in any order."""

from __future__ import annotations

from zrwizard.freebsd import inventory

_DATASET = {"type": "filesystem", "guid": 1, "createtxg": 1, "creation": 1000, "referenced": 50}
_DATASET |= {"usedbydataset": 50, "usedbysnapshots": 0, "usedbyrefreservation": 0}
_DATASET |= {"compression": "lz4", "compressratio": "1.00", "mountpoint": "/m", "canmount": "on"}
_SNAPSHOT = {"type": "snapshot", "creation": 1000, "userrefs": 0, "referenced": 50}


def dataset(name: str, **cells: object) -> str:
    """A file system (or `type="volume"`), with a line feed."""
    return _row(_DATASET | {"name": name} | cells)


def snapshot(name: str, txg: int, guid: int, **cells: object) -> str:
    """A snapshot that was made in transaction group `txg`."""
    made = {"name": name, "createtxg": txg, "guid": guid, "creation": 1000 + txg}
    return _row(_SNAPSHOT | made | cells)


def bookmark(name: str) -> str:
    """A bookmark."""
    return _row({"name": name, "type": "bookmark", "guid": 3, "createtxg": 2, "creation": 1000})


def _row(cells: dict[str, object]) -> str:
    columns = inventory.COLUMNS.split(",")
    assert cells.keys() <= set(columns), cells
    return "\t".join(str(cells.get(column, "-")) for column in columns) + "\n"
