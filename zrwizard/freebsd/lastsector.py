"""Old GEOM metadata: geli, gmirror and their like mark a disk or partition in its last sector.

Who makes a new partition that ends where an old one did finds it again: the kernel would take the
new one for a part of the old mirror, or ask for the passphrase of what is no more. Sources:
sys/geom/mirror/g_mirror.h, sys/geom/eli/g_eli.h, sys/geom/label/g_label.h.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from . import sh
from .errors import ParseError

TOOL = "the last sectors"
_LINE = re.compile(r"(\S+) GEOM::([A-Z0-9]+) *(.*?) *", re.ASCII)
_KINDS = {
    "ELI": "geli",
    **{word: f"g{word.lower()}" for word in ("MIRROR", "STRIPE", "CONCAT", "LABEL", "JOURNAL")},
    "RAID3": "graid3",
}
_NAMED = ("MIRROR", "STRIPE", "CONCAT", "RAID3", "LABEL")
"""Whose metadata have the name right behind the version."""
_PRINTABLE = "LC_ALL=C tr -c '[:print:]' ' '"


@dataclass(frozen=True, slots=True)
class Metadata:
    """The metadata on `provider` (below /dev), of a tool such as geli or gmirror.

    `name` is that of the mirror or stripe, empty where there is none.
    """

    provider: str
    tool: str
    name: str = ""

    @property
    def what(self) -> str:
        """The tool, and what it calls it: `gmirror swap`, `geli`."""
        return f"{self.tool} {self.name}".rstrip()

    @property
    def meaning(self) -> str:
        """What it says of the disk or partition, as a clause."""
        if self.tool == "geli":
            return f"{self.provider} is encrypted with geli, and what it holds cannot be seen"
        return f"{self.provider} is a part of the {self.what}"


def search(disk: str) -> str:
    """Return sh text that prints what is found on a disk and its partitions, one line each.

    `disk` is a word of sh.
    """
    each = _read('"$p"')
    return (
        f"for p in /dev/{disk} /dev/{disk}[ps][0-9]*; do "
        f"x=$({each} | head -c 36 | {_PRINTABLE}); "
        'case "$x" in GEOM::*) printf \'%s %s\\n\' "${p#/dev/}" "$x" ;; esac; done'
    )


def _sector(device: str) -> str:
    """Set `s` to the size of a sector of `device`, and `n` to the number of the last one."""
    info = f"i=$(diskinfo {device} 2>/dev/null)"
    cut = "$(printf '%s\\n' \"$i\" | cut -f"
    return f'{info} && s={cut} 2) && n={cut} 4) && [ "$n" -gt 0 ] && n=$((n - 1))'


def _read(device: str) -> str:
    return f'{{ {_sector(device)} && dd if={device} bs="$s" skip="$n" count=1 2>/dev/null; }}'


def parse(output: str) -> tuple[Metadata, ...]:
    """What `search` printed. Raises ParseError."""
    found = []
    for line in output.split("\n"):
        if not line.strip():
            continue
        row = _LINE.fullmatch(line)
        if row is None:
            raise ParseError(TOOL, "a provider and its metadata were expected", line)
        provider, word, rest = row.groups()
        tool = _KINDS.get(word, f"GEOM {word.lower()}")
        found.append(Metadata(provider, tool, rest if word in _NAMED else ""))
    return tuple(found)


def wipe(provider: str) -> str:
    """Command: write zeros over the last sector of a provider; fails while it is in use."""
    device = sh.quote(f"/dev/{provider}")
    return (
        f"{_sector(device)} || exit 1\n"
        f'o=$(dd if=/dev/zero of={device} bs="$s" seek="$n" count=1 2>&1) || '
        "{ printf '%s\\n' \"$o\" >&2; exit 1; }"
    )


def is_clean(provider: str) -> str:
    """Command: succeeds if the last sector can be read and carries no metadata of GEOM."""
    device = sh.quote(f"/dev/{provider}")
    return (
        f"x=$({_read(device)} | head -c 7 | {_PRINTABLE}) && "
        'case "$x" in GEOM::* | "") false ;; esac'
    )
