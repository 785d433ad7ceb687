"""uname(1): which system and release."""

from __future__ import annotations

import re
from dataclasses import dataclass

from . import sh, text
from .errors import ParseError

_RELEASE = re.compile(r"([0-9]{1,4})(?:\.([0-9]{1,4}))?(?:[.-].*)?", re.ASCII)


@dataclass(frozen=True, slots=True)
class System:
    """`uname -s -r -m`: `FreeBSD`, `14.1-RELEASE-p3`, `amd64`."""

    name: str
    release: str
    machine: str

    @property
    def version(self) -> tuple[int, int] | None:
        """Major and minor number of the release (`14.1-RELEASE` is (14, 1)); None if unreadable."""
        return version_of(self.release)


def version_of(release: str) -> tuple[int, int] | None:
    """(major, minor) of a release name; a missing minor number is 0. None where there is none."""
    found = _RELEASE.fullmatch(release.strip())
    return (int(found[1]), int(found[2] or 0)) if found else None


def system() -> str:
    """Command: system, release, machine on one line."""
    return sh.command("uname", "-s", "-r", "-m")


def parse(output: str) -> System:
    """The three words of `uname -s -r -m`. Raises ParseError."""
    words = text.one_line("uname", output).split()
    if len(words) != 3:
        raise ParseError("uname", "system, release and machine were expected", output)
    return System(*words)
