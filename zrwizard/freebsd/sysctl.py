"""sysctl(8): the few values that a survey asks for."""

from __future__ import annotations

import re

from . import sh, text
from .errors import ParseError

TOOL = "sysctl"
_DISK = re.compile(r"[A-Za-z][A-Za-z0-9_/.-]*", re.ASCII)
_FIRMWARE = frozenset({"BIOS", "UEFI", "XEN"})


def value(name: str) -> str:
    """Command: the value of `name` alone."""
    return sh.command("sysctl", "-n", name)


def set_value(name: str, new: str) -> str:
    """Command: set `name`; prints `name: old -> new`."""
    return sh.command("sysctl", f"{name}={new}")


def parse_disks(output: str) -> tuple[str, ...]:
    """Disk names of `kern.disks` in a stable order; the kernel lists the newest first.

    Includes cd0; an empty answer is no disk. Raises ParseError. Facts B1.
    """
    names = output.split()
    for name in names:
        if not _DISK.fullmatch(name):
            raise ParseError(TOOL, "not a disk name in kern.disks", name)
    return tuple(sorted(set(names), key=_by_number))


def _by_number(name: str) -> tuple[str, int]:
    stem = name.rstrip("0123456789")
    return stem, int(name[len(stem) :] or 0)


def parse_bootmethod(output: str) -> str:
    """`BIOS`, `UEFI` or `XEN`: how the running medium was booted. Raises ParseError."""
    method = output.strip()
    if method not in _FIRMWARE:
        raise ParseError(TOOL, "not a boot method", output)
    return method


def parse_consoles(output: str) -> tuple[str, ...]:
    """Names of the kernel's consoles in `kern.console`, such as `ttyu0` and `ttyv0`, main first.

    Behind the slash are those that could be: sys/kern/kern_cons.c.
    """
    return tuple(name for name in output.strip().partition("/")[0].split(",") if name)


def parse_number(output: str) -> int:
    """A whole number such as `hw.physmem` (bytes) or `kern.consmute`. Raises ParseError."""
    return text.whole(TOOL, "the value", output.strip())
