"""geli(8): which encrypted providers are attached."""

from __future__ import annotations

from dataclasses import dataclass

from . import sh, text
from .errors import ParseError


@dataclass(frozen=True, slots=True)
class Attached:
    """An attached provider (`da0.eli`), its status and what it lies on (`da0`)."""

    name: str
    status: str
    component: str


def status() -> str:
    """Command: the attached providers; fails where the class is not loaded."""
    return sh.command("geli", "status")


def parse_status(output: str) -> tuple[Attached, ...]:
    """The attached providers; none for empty output. Raises ParseError. Facts B4."""
    found: list[Attached] = []
    for line in text.lines(output):
        words = line.split()
        if words == ["Name", "Status", "Components"]:
            continue
        if len(words) != 3:
            raise ParseError("geli status", "name, status and component were expected", line)
        found.append(Attached(*words))
    return tuple(found)
