"""What a FreeBSD kernel and syslogd print onto a console, and lines with it taken out.

A kernel message lands between any two bytes (facts on FreeBSD, A10). On the screen the line that
it hit is then its beginning, the message, and the rest at the cursor, one row below.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

_MESSAGE = re.compile(
    r"""(?:
    [a-z][a-z_]*\d+(?:\.\d+)?:\ \S.*            # em0: link state changed to UP
    | [a-z]+\d+\ at\ [a-z]+\d+\b.*              # da0 at vtscsi0 bus 0 scbus2 target 0 lun 0
    | \([a-z]+\d*:\w+:\d+:\d+:\w+\):\ .*        # (da0:umass-sim0:0:0:0): READ(10)...
    | GEOM(?:_[A-Z]+)?:\ .*
    | ZFS\ (?:filesystem|storage\ pool)\ version:\ .*
    | ZFS(?:\ WARNING)?:\ .*
    | (?:random|arc4random|Timecounter|WARNING|Limiting|swap_pager|sonewconn|arp|CAM)\b:?\ .*
    | kernel:\ .*
    | pid\ \d+\ \([^)]*\),.*
    | interrupt\ storm\ .*
    | load:\ \d+\.\d+\ +cmd:\ .*
    | [A-Z][a-z]{2}\ [\ \d]\d\ \d\d:\d\d:\d\d\ .*?\S+(?:\[\d+\])?:\ .*   # through syslogd
    | [A-Z][a-z]{2}\ [\ \d]\d\ \d\d:\d\d:\d\d\ .*\blast\ message\ repeated\ .*
    )""",
    re.VERBOSE,
)


def is_message(line: str) -> bool:
    """Whether the whole of `line` is a kernel's or syslogd's message."""
    return _MESSAGE.fullmatch(line) is not None


def ends_with_message(line: str) -> bool:
    """Whether a message stands at the end of `line`, whatever it was printed behind."""
    return any(_MESSAGE.fullmatch(line, at) for at in range(len(line)))


def without_messages(above: list[str], at_cursor: str) -> Iterator[str]:
    """Yield what the cursor's line can have been before messages landed in it.

    `above` are the lines over it. A message's own beginning may not be told from the end of what
    stood before it, so there are several.
    """
    for line in reversed(above[-8:]):
        starts = [at for at in range(len(line)) if _MESSAGE.fullmatch(line, at)]
        if not starts:
            return
        for at in starts:
            if at:
                yield line[:at] + at_cursor
        if starts[0] != 0:
            return
