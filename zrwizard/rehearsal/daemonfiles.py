"""Files of a machine as its daemons see them: by whole paths, and without words on errors."""

from __future__ import annotations

from typing import TYPE_CHECKING

from zrwizard.rehearsal.filespace import Lack, Place
from zrwizard.rehearsal.rawname import narrow

if TYPE_CHECKING:
    from zrwizard.rehearsal.machine import Machine


def place(m: Machine, path: str) -> Place | None:
    """The object at `path` on a disk of the machine, None where there is none."""
    if m.space is None:
        return None
    try:
        found = m.space.find(narrow(path))
    except Lack:
        return None
    return found if isinstance(found, Place) else None


def read(m: Machine, path: str) -> bytes | None:
    """A file's contents, None where it cannot be read."""
    if m.space is not None:
        try:
            if (data := m.space.read(narrow(path))) is not None:
                return data
        except Lack:
            return None
    fs, inner = m.fs_for(path)
    try:
        return bytes(fs.read_file(inner))
    except (RuntimeError, OSError):
        return None


def write(m: Machine, path: str, data: bytes, *, append: bool = False) -> None:
    """Write or append; nothing happens where that cannot be, as in a daemon's log."""
    old = (read(m, path) or b"") if append else b""
    try:
        if m.space is not None and m.space.write(narrow(path), old + data):
            return
        fs, inner = m.fs_for(path)
        fs.write_file(inner, old + data)
    except (Lack, RuntimeError, OSError):
        return


def remove(m: Machine, path: str) -> None:
    """Unlink a file; silent where there is none."""
    found = place(m, path)
    if found is not None and found.writable and m.space is not None:
        found.tree.now = m.space.now()
        found.tree.remove(found.rel)
        m.space.show(found.view, found.rel)
