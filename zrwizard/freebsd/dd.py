"""dd(1): how fast a disk is read, by a bounded read that throws the data away."""

from __future__ import annotations

import re
from dataclasses import dataclass

from . import sh, text
from .errors import ParseError

TOOL = "dd"
MIB = 1024 * 1024
_DONE = re.compile(
    r"(\d{1,20}) bytes(?: \([^()]*(?:\([^()]*\)[^()]*)*\))? (?:transferred in|copied,) "
    r"(\d{1,12}(?:\.\d{1,12})?(?:e-\d{1,2})?) s(?:ecs)?\b",
    re.ASCII,
)


@dataclass(frozen=True, slots=True)
class Speed:
    """A finished read: bytes, the seconds that it took, and the speed in bytes per second."""

    size: int
    seconds: float

    @property
    def rate(self) -> float:
        """Bytes per second; what took no measurable time counts as a microsecond."""
        return self.size / max(self.seconds, 1e-6)


def read(device: str, mebibytes: int = 100) -> str:
    """Command: read the first `mebibytes` MiB of /dev/`device`, and nothing more; writes nothing.

    What it says stands on standard error, as everywhere with dd(1). ValueError for no size.
    """
    if mebibytes < 1:
        raise ValueError("a read is at least one mebibyte")
    return sh.command("dd", f"if=/dev/{device}", "of=/dev/null", "bs=1m", f"count={mebibytes}")


def random(size: int = 64) -> str:
    """Command: succeeds once the random source has given `size` bytes; shows none of them."""
    return sh.command("dd", "if=/dev/random", "of=/dev/null", f"bs={size}", "count=1")


def parse(output: str) -> Speed:
    """The last `N bytes transferred in S secs` of what dd(1) said. Raises ParseError.

    The form of GNU dd (`N bytes (…) copied, S s, …`) is known too: a rescue system may have it.
    """
    found: re.Match[str] | None = None
    for line in text.lines(output):
        found = _DONE.match(line.strip()) or found
    if found is None:
        raise ParseError(TOOL, "no size and time were shown", output)
    return Speed(int(found[1]), float(found[2]))


def loss(before: Speed, after: Speed) -> float:
    """By how many percent `after` is slower than `before`; negative where it is faster."""
    if before.size == 0:
        raise ValueError("nothing was read before")
    return 100.0 * (1.0 - after.rate / before.rate)
