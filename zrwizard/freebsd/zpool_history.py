"""zpool-history(8): what became of datasets: renamed, destroyed, promoted, made, received.

The command is given `TZ=UTC0`, so its times are UTC whatever the target's zone is, and no change to
summer time blurs them; `UTC0` is POSIX and needs no zone files on a rescue medium. (Of output that
was got otherwise, `parse` takes the zone as `date +%z` prints it.)

zfs joins the words of a command by blanks and quotes nothing. As blanks are legal in names, a name
is taken to begin where a word is the pool's name or begins with it and `/` or `@`; a line that can
be read in two ways is passed over. bectl(8) and other programs that use the library leave no such
lines, only internal events, which are read too where they were asked for (`-i`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from .errors import ParseError

TOOL = "zpool history"
_HEADING = re.compile(r"History for '([^'\n]+)':")
_LINE = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2}\.[0-9]{2}:[0-9]{2}:[0-9]{2}) (.+)", re.ASCII)
_COMMAND = re.compile(r"zfs ([a-z]+)((?: -\S+)*)( .*)")
_INTERNAL = re.compile(r"\[txg:([0-9]{1,19})\] ([a-z ]+?) (\S.*?) \([0-9]+\)(.*)", re.ASCII)
_ZONE = re.compile(r"([+-])([0-9]{2})([0-9]{2})", re.ASCII)


class What(StrEnum):
    """What a command did to a dataset."""

    CREATE = "create"
    CLONE = "clone"
    RECEIVE = "receive"
    RENAME = "rename"
    PROMOTE = "promote"
    DESTROY = "destroy"
    ROLLBACK = "rollback"
    SNAPSHOT = "snapshot"


_WORDS = {what.value: what for what in What} | {"recv": What.RECEIVE, "snap": What.SNAPSHOT}
_INSIDE = {word: What(word) for word in ("create", "clone", "rename", "promote", "destroy")}


@dataclass(frozen=True, slots=True)
class Event:
    """One command of the history, which succeeded: `when` in seconds since 1970.

    `names` are the datasets and snapshots in it (rename: old and new; clone: the snapshot and the
    new; receive: the target as it was typed). `recursive` is the option -r (destroy also -R).
    `txg` is known of internal events only.
    """

    when: int
    what: What
    names: tuple[str, ...]
    recursive: bool = False
    txg: int | None = None


def history(pool: str | None) -> tuple[str, ...]:
    """Command: what changed a pool (None: each), oldest first, times in UTC, for `parse`."""
    return ("env", "TZ=UTC0", "zpool", "history", *((pool,) if pool else ()))


def parse(output: str, *, zone: str = "+0000") -> tuple[Event, ...]:
    """What became of datasets, in the order of the history; `zone` is that of its times.

    Other lines are passed over: a command's own words may hold a newline. Raises ParseError where
    there is no heading (`History for 'POOL':`) before them, or no such zone.
    """
    offset = _offset(zone)
    events: list[Event] = []
    pool: str | None = None
    for line in output.replace("\r\n", "\n").split("\n"):
        heading = _HEADING.fullmatch(line)
        if heading:
            pool = heading[1]
            continue
        dated = _LINE.fullmatch(line)
        if dated and pool is None:
            raise ParseError(TOOL, "a command stands before the pool's name", line)
        if dated and pool is not None:
            when = _seconds(dated[1])
            event = None if when is None else _event(when - offset, dated[2], pool)
            if event:
                events.append(event)
    if pool is None and output.strip():
        raise ParseError(TOOL, "no pool is named", output)
    return tuple(events)


def _offset(zone: str) -> int:
    found = _ZONE.fullmatch(zone.strip())
    if not found:
        raise ParseError("date +%z", "not a time zone such as +0130", zone)
    east = timedelta(hours=int(found[2]), minutes=int(found[3])).total_seconds()
    return int(east) if found[1] == "+" else -int(east)


def _seconds(text: str) -> int | None:
    try:
        return int(datetime.strptime(text, "%Y-%m-%d.%H:%M:%S").replace(tzinfo=UTC).timestamp())
    except ValueError:
        return None


def _event(when: int, text: str, pool: str) -> Event | None:
    inside = _INTERNAL.fullmatch(text)
    if inside:
        return _internal(when, int(inside[1]), inside[2], inside[3], inside[4])
    command = _COMMAND.fullmatch(text)
    what = _WORDS.get(command[1]) if command else None
    if not command or what is None:
        return None
    names = _names(command[3], pool)
    options = command[2]
    recursive = bool(
        re.search(r" -[a-zA-Z]*r" if what is not What.DESTROY else " -[a-zA-Z]*[rR]", options)
    )
    match what, names:
        case What.RENAME | What.CLONE, (old, new):
            return Event(when, what, (old, new), recursive)
        case What.CREATE | What.RECEIVE, (*_, new):
            # Options may name the pool too (-o origin=...), but what is made comes last.
            return Event(when, what, (new,))
        case What.DESTROY | What.PROMOTE | What.ROLLBACK, (name,):
            return Event(when, what, (name,), recursive)
        case What.SNAPSHOT, (_, *_) if all("@" in name for name in names):
            return Event(when, what, tuple(names), recursive)
        case _:
            return None


def _names(text: str, pool: str) -> list[str]:
    pieces = re.split(rf" (?={re.escape(pool)}(?:[/@ ]|$))", text)
    return [piece.strip(" ") for piece in pieces[1:]]


def _internal(when: int, txg: int, word: str, name: str, rest: str) -> Event | None:
    what = _INSIDE.get(word)
    match what:
        case None:
            return None
        case What.RENAME:
            _, arrow, new = rest.partition("-> ")
            return Event(when, what, (name, new.strip()), txg=txg) if arrow and new else None
        case What.CLONE:
            found = re.search(r"origin=(\S.*?) \([0-9]+\)", rest)
            return Event(when, what, (found[1], name), txg=txg) if found else None
        case _:
            return Event(when, what, (name,), txg=txg)
