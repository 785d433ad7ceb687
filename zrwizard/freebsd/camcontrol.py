"""camcontrol(8): which devices the CAM layer sees. Facts B1."""

from __future__ import annotations

import re
from dataclasses import dataclass

from . import sh, text
from .errors import ParseError

_ROW = re.compile(r"<(.*)>\s+at scbus(\d+) target (\d+) lun ([0-9a-f]+) \(([^()]*)\)")


@dataclass(frozen=True, slots=True)
class Device:
    """One device: what it calls itself, its bus, and its names (`da0`, `pass0`)."""

    label: str
    bus: int
    names: tuple[str, ...]


def devices() -> str:
    """Command: the devices; disks of virtio-blk and nvd never appear."""
    return sh.command("camcontrol", "devlist")


def parse_devices(output: str) -> tuple[Device, ...]:
    """The devices; none for empty output. Raises ParseError."""
    found: list[Device] = []
    for line in text.lines(output):
        match = _ROW.fullmatch(line.strip())
        if match is None:
            raise ParseError("camcontrol devlist", "a device was expected", line)
        found.append(Device(match[1], int(match[2]), tuple(match[5].split(","))))
    return tuple(found)
