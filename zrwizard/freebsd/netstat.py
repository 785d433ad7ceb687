"""netstat(1): traffic of an interface once a second, and the default route."""

from __future__ import annotations

import re
from dataclasses import dataclass

from . import sh, text
from .errors import ParseError

_NUMBERS = re.compile(r"\s*\d{1,20}(?:\s+\d{1,20}){7}\s*", re.ASCII)
_COLUMNS = 8


@dataclass(frozen=True, slots=True)
class Row:
    """What passed in one interval: packets, errors, drops, bytes in; packets, errors, bytes out."""

    packets_in: int
    errors_in: int
    drops_in: int
    bytes_in: int
    packets_out: int
    errors_out: int
    bytes_out: int
    collisions: int


@dataclass(frozen=True, slots=True)
class DefaultRoute:
    """The gateway and the interface of an IPv4 default route."""

    gateway: str
    interface: str


# --- commands ---------------------------------------------------------------------------------


def watch(nic: str) -> str:
    """Command: one row a second, until it is killed."""
    return sh.command("netstat", "-I", nic, "-w", "1")


def routes() -> str:
    """Command: the routing tables with numeric addresses."""
    return sh.command("netstat", "-rn")


# --- parsers ----------------------------------------------------------------------------------


def parse_rows(output: str) -> tuple[Row, ...]:
    """The rows of `watch`; headers and noise are skipped, an unfinished last line too. Facts B3.

    Split on blanks: the header's columns overflow. Never raises.
    """
    complete = output.split("\n")[:-1]
    return tuple(Row(*map(int, line.split())) for line in complete if _NUMBERS.fullmatch(line))


def parse_default_route(output: str) -> DefaultRoute | None:
    """The IPv4 default route of `netstat -rn`, None if there is none. Raises ParseError.

    Columns are found by the header, since some come and go between releases.
    """
    family = ""
    columns: list[str] = []
    for line in text.lines(output):
        words = line.split()
        if words[0] in ("Internet:", "Internet6:"):
            family, columns = words[0], []
        elif words[0] == "Destination":
            columns = words
        elif family == "Internet:" and words[0] in ("default", "0.0.0.0/0"):
            return _default(columns, words, line)
    if not family and "Routing tables" not in output and output.strip():
        raise ParseError("netstat -rn", "no routing table", output)
    return None


def _default(columns: list[str], words: list[str], line: str) -> DefaultRoute:
    if "Netif" not in columns or len(words) <= columns.index("Netif"):
        raise ParseError("netstat -rn", "the default route names no interface", line)
    return DefaultRoute(words[1], words[columns.index("Netif")])
