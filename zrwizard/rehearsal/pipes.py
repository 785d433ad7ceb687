"""Fifos that are read in the background, though the virtual shell has none that waits for its data.

`cksum <fifo >result &` finds a mark instead of data and prints a promise. What `tee fifo` then
passes on is kept, and `wait` puts the checksum where the promise stands.
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from zrwizard.rehearsal.machine import Machine

_MARK = b"\x01FIFO "


def mark(path: str) -> bytes:
    """What stands in a fifo that nobody has written to."""
    return _MARK + path.encode() + b"\n"


def marked(data: bytes) -> str:
    """The fifo that this was read from; empty if from none."""
    return data[len(_MARK) : -1].decode("utf-8", "replace") if data.startswith(_MARK) else ""


def promise(machine: Machine, path: str) -> str:
    """What a reader in the background prints for now."""
    machine.promises.setdefault(path, b"")
    return f"promised {path}\n"


def settle(machine: Machine, line: Callable[[bytes], str]) -> None:
    """Replace every promise by what its reader prints of the data that came."""
    for path, data in list(machine.promises.items()):
        fs, directory = machine.fs_for(posixpath.dirname(path))
        for entry in fs.read_dir(directory):
            inner = f"{directory.rstrip('/')}/{entry['name']}"
            wanted = f"promised {path}\n".encode()
            if entry["metadata"]["file_type"] != "file" or entry["metadata"]["size"] != len(wanted):
                continue
            if bytes(fs.read_file(inner)) == wanted:
                fs.write_file(inner, line(data).encode())
        del machine.promises[path]
