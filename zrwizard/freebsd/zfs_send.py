"""zfs-send(8): the stream, its estimate, and what sending complains about."""

from __future__ import annotations

import re
from dataclasses import dataclass

from . import sh, size, text
from .errors import Diagnosis, ParseError, diagnose, rule

TOOL = "zfs send -nv"
_FULL = re.compile(r"full send of (.+?)(?: estimated size is (\S+))?")
_FROM = re.compile(r"send from (\S.*?) to (.+?)(?: estimated size is (\S+))?")
_TOTAL = re.compile(r"total estimated size is (\S+)")


@dataclass(frozen=True, slots=True)
class StreamEstimate:
    """One stream of a send: `base` is None for a full one, `bytes` a guess that may be 0."""

    snapshot: str
    base: str | None
    bytes: int


@dataclass(frozen=True, slots=True)
class Estimate:
    """What `zfs send -nv` guesses: the streams in their order and the total, in bytes.

    `exact_digits` says whether the numbers came unrounded (`-P`). It stays an estimate: real
    streams are larger or smaller (restore-pitfalls 21).
    """

    streams: tuple[StreamEstimate, ...]
    total: int
    exact_digits: bool


# --- commands ---------------------------------------------------------------------------------


def replicate(snapshot: str, *options: str) -> str:
    """Command: one stream with the snapshot's tree, properties and older snapshots.

    `options` say how blocks are sent (`-L`, `-c`, `-e`). Its standard error tells the progress, for
    `zfs_send_progress`.
    """
    return sh.command("zfs", "send", "-v", "-P", *options, "-R", snapshot)


def estimate(snapshot: str, *options: str) -> str:
    """Command: what `replicate` would send, on stdout, without sending it."""
    return sh.command("zfs", "send", "-nvP", *options, "-R", snapshot)


def estimate_between(
    older: str | None,
    newer: str,
    *,
    every: bool = False,
    compressed: bool = False,
    raw: bool = False,
) -> tuple[str, ...]:
    """Command: what a stream from one snapshot to another would hold, for `parse_estimate`.

    Without `older` it is a full stream. With `every` the snapshots between are in it too (-I).
    Both names are full. Without an option the guess counts blocks as they are before compression;
    with `compressed` (-c) and `raw` (-w, which needs no key) as they lie on disk.
    """
    form = ("-w",) if raw else ("-c",) if compressed else ()
    base = () if older is None else ("-I" if every else "-i", older)
    return ("zfs", "send", "-nvP", *form, *base, newer)


# --- parsers ----------------------------------------------------------------------------------


def parse_estimate(output: str) -> Estimate:
    """The estimate in both forms, with -P (tabs, bytes) and without. Raises ParseError. Facts B6.

    A size may be missing where zfs found none. Output without a total line was cut off.
    """
    streams: list[StreamEstimate] = []
    total: int | None = None
    exact = True
    for line in text.lines(output):
        parsed = _exact(line) if "\t" in line else _rounded(line)
        exact = exact and "\t" in line
        if isinstance(parsed, int):
            total = parsed
        else:
            streams.append(parsed)
    if total is None:
        raise ParseError(TOOL, "the total is missing", output)
    return Estimate(tuple(streams), total, exact)


def _exact(line: str) -> StreamEstimate | int:
    match line.split("\t"):
        case ["size", total]:
            return text.whole(TOOL, "the total", total)
        case ["full", name]:
            return StreamEstimate(name, None, 0)
        case ["full", name, count]:
            return StreamEstimate(name, None, text.whole(TOOL, "a size", count))
        case ["incremental", base, name]:
            return StreamEstimate(name, base, 0)
        case ["incremental", base, name, count]:
            return StreamEstimate(name, base, text.whole(TOOL, "a size", count))
        case _:
            raise ParseError(TOOL, "not a line of an estimate", line)


def _rounded(line: str) -> StreamEstimate | int:
    total = _TOTAL.fullmatch(line)
    if total:
        return size.parse_zfs(total[1])
    full = _FULL.fullmatch(line)
    if full:
        return StreamEstimate(full[1], None, size.parse_zfs(full[2] or "0"))
    later = _FROM.fullmatch(line)
    if later:
        return StreamEstimate(later[2], later[1], size.parse_zfs(later[3] or "0"))
    raise ParseError(TOOL, "not a line of an estimate", line)


# --- complaints -------------------------------------------------------------------------------

_RULES = (
    rule(
        "snapshot missing on a child",
        r"WARNING: could not send (?P<name>.+): does not exist",
        "{name} does not exist: a child dataset lacks the snapshot.",
        "Choose a snapshot that every dataset of the tree has.",
    ),
    rule(
        "snapshot missing on a child",
        r"cannot send '?(?P<name>[^':\n]+)'?: snapshot (?P<snap>\S+) does not exist",
        "{name} cannot be sent: {snap} does not exist.",
        "Choose a snapshot that every dataset of the tree has.",
    ),
    rule(
        "no such dataset",
        r"cannot open '(?P<name>[^']*)': dataset does not exist",
        "{name} does not exist on the server.",
        "Choose again from the list; it may have been destroyed meanwhile.",
    ),
    rule(
        "no permission",
        r"cannot (?:send|open) '(?P<name>[^']*)': permission denied",
        "The login may not send {name}.",
        "Log in as root, or give the user the right with zfs allow.",
    ),
    rule(
        "encrypted",
        r"encrypted dataset (?P<name>\S+) may not be sent with properties without the raw flag",
        "{name} is encrypted and needs a raw stream.",
        "Sending encrypted datasets is not offered yet; choose another source.",
    ),
    rule(
        "no base",
        r"incremental source \((?P<name>[^)]*)\) does not exist|not an earlier snapshot",
        "The snapshot that the stream builds upon is not there.",
        "Send in full.",
    ),
    rule(
        "receiver left",
        r"warning: cannot send '(?P<name>[^']*)': (?:Broken pipe|signal received)",
        "Sending {name} stopped because the receiving side went away.",
        "The reason stands in the receive log or in the connection, not here.",
    ),
    rule(
        "to a terminal",
        r"Stream can not be written to a terminal",
        "The stream was about to be written to the terminal.",
        "This is a fault of the wizard; please report it.",
    ),
)


def explain(stderr: str) -> Diagnosis | None:
    """What a known complaint of zfs send means and what to do now. Facts C5."""
    return diagnose(_RULES, stderr)
