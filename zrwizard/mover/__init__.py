"""The detached job that moves datasets: its script, its list, its settings, its state.

`mover.sh` runs on the machine that receives (pull) or sends (push). Its head holds the contract of
the files that are written and read here. This room writes and reads text and does nothing.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from importlib import resources

from zrwizard.freebsd import sh
from zrwizard.freebsd.errors import ParseError
from zrwizard.transfer.forest import Stream

SCRIPT = resources.files(__name__).joinpath("mover.sh").read_text(encoding="utf-8")
"""The mover: POSIX sh for FreeBSD's base system, called as `sh mover.sh DIR`."""
LIST, SETTINGS, STATE, LOG, PAUSE, RESUMED = "list", "settings", "state", "log", "pause", "resumed"
"""The names of the files in the mover's directory."""

_NUMBERS = 10
_NUMBER = re.compile(r"\d{1,20}", re.ASCII)
_UNFIT = re.compile(r"[\x00-\x1f\x7f]")
_LONGEST = 10**6
_WIDEST = 10**15


class Direction(StrEnum):
    """Which way the datasets go, seen from the machine on which the mover runs."""

    PULL = "pull"
    PUSH = "push"


class Phase(StrEnum):
    """What the mover is doing."""

    LOOKING = "looking"
    SENDING = "sending"
    WAITING = "waiting"
    PAUSED = "paused"
    RENAMING = "renaming"
    ENDED = "ended"


class Status(IntEnum):
    """The mover's exit statuses, all that there are; `MEANING` has the words for each."""

    COMPLETE = 0
    CHANGED = 10
    PRUNED = 11
    UNFIT = 12
    FULL = 13
    REFUSED = 14
    UNREACHABLE = 15
    HOST_KEY = 16
    LOGIN = 17
    STOPPED = 18
    UNUSABLE = 19


@dataclass(frozen=True, slots=True)
class Meaning:
    """An exit status in words: `what` happened, and what to do `now`."""

    what: str
    now: str


MEANING = {
    Status.COMPLETE: Meaning("Every dataset is there.", "Nothing more is to be done."),
    Status.CHANGED: Meaning(
        "A snapshot on the sending side is not the one that was planned.",
        "Read the sending side's inventory again and plan anew; what is there already is kept.",
    ),
    Status.PRUNED: Meaning(
        "A snapshot or dataset that was planned is gone from the sending side.",
        "Choose a snapshot that is still there and plan anew; hold it against pruning (zfs hold).",
    ),
    Status.UNFIT: Meaning(
        "What the receiving side already holds under that name does not fit the stream.",
        "Look at the dataset that the log names; move it away or destroy it, then start again.",
    ),
    Status.FULL: Meaning(
        "The receiving side has no space left, or a quota is reached.",
        "Make room or raise the quota, then start again: it goes on where it was.",
    ),
    Status.REFUSED: Meaning(
        "zfs or ssh refuses, and would refuse again.",
        "The log's last lines have its words; mend their cause, then start again.",
    ),
    Status.UNREACHABLE: Meaning(
        "The other side was out of reach for longer than the patience.",
        "Look at the network and the other machine, then start again: it goes on where it was.",
    ),
    Status.HOST_KEY: Meaning(
        "The other side shows a host key that was not confirmed.",
        "Stop. Find out from its administrator whether the key was changed.",
    ),
    Status.LOGIN: Meaning(
        "The other side refused the login.",
        "Log in again, then start again: it goes on where it was.",
    ),
    Status.STOPPED: Meaning(
        "A signal stopped it.", "Start it again when you like: it goes on where it was."
    ),
    Status.UNUSABLE: Meaning(
        "Its list or its settings cannot be used, or nothing can be written beside them.",
        "Look whether its directory is there and has space; write the files again.",
    ),
}
"""What each status means and what to do now."""


@dataclass(frozen=True, slots=True)
class State:
    """What the mover said of itself last.

    Dataset `number` of `count` is `target`; `phase` began at `since` and this was written at `at`
    (seconds since 1970 on the mover's machine). In bytes: `sent` of the running stream as the
    sender counts them, `size` of it as the sender estimated (0 unknown), `had` what of this dataset
    had come before, `finished` what the finished datasets were, as planned where they had come
    before. `retries` counts streams that were tried again, `event` is the last line for people.
    """

    phase: Phase
    target: str
    event: str
    number: int
    count: int
    since: int
    at: int
    sent: int
    size: int
    had: int
    finished: int
    retries: int


def listing(streams: Sequence[Stream], renames: Sequence[tuple[str, str]] = ()) -> str:
    """Return the list for `streams`, in their order, and the `renames` (old, new) after them.

    Raises ValueError for a name or a tag that cannot stand in a line, and for no points.
    """
    rows: list[tuple[str, ...]] = [
        (
            "stream",
            _name(stream.source),
            _name(stream.target),
            "-" if stream.origin is None else _name(stream.origin),
            ",".join(map(_tag, stream.points)) or _name(""),
            "every" if stream.every else "only",
            "raw" if stream.raw else "plain",
            "tree" if stream.tree else "one",
            str(_whole(stream.guid, 2**64)),
            str(_whole(stream.size, 2**63)),
        )
        for stream in streams
    ]
    rows += [("rename", _name(old), _name(new)) for old, new in renames]
    return "".join("\t".join(row) + "\n" for row in rows)


def settings(
    *,
    direction: Direction,
    ssh: Sequence[str],
    host: str,
    shared: bool,
    received: bool = False,
    options: Sequence[str] = (),
    limit: int = 0,
    patience: int = 3600,
    idle: int = 60,
    stall: int = 1800,
    probe: int = 20,
    answer: int = 120,
    grace: int = 10,
    tick: int = 10,
    first: int = 10,
    longest: int = 600,
) -> str:
    """Return the settings of one transfer, as sh assignments.

    The other side is reached by `ssh` (the words of ssh(1) without the host, BatchMode is added)
    and `host`; `shared` says that its configuration names a ControlPath. With `received` the
    sending side came by its properties with a stream: those are sent (-b), but for raw streams.
    `options` are more of zfs send; `limit` is in bytes a second (0 none). In seconds: `patience`
    with a link that brings nothing, `idle` until the link is looked at, `stall` until a stream that
    stands still while the other side answers is begun again, `probe` for its answer, `answer` for
    other questions, `grace` for a process to end. In tenths of a second: `tick` between two states,
    `first` and `longest` wait before another try. ValueError for what is no such number, and for an
    option that is none.
    """
    if not all(re.fullmatch(r"-[A-Za-z]+", option, re.ASCII) for option in options):
        raise ValueError(f"these are no options of zfs send: {' '.join(options)}")
    numbers = {
        "patience": patience,
        "idle": idle,
        "stall": stall,
        "probe": probe,
        "answer": answer,
        "grace": grace,
        "tick": tick,
        "first": first,
        "longest": longest,
    }
    for name, number in numbers.items():
        if not 0 < number < _LONGEST:
            raise ValueError(f"{name} is a number above nought, not {number}")
    texts = {
        "direction": direction.value,
        "ssh": sh.join([*ssh, "-o", "BatchMode=yes"]),
        "host": host,
        "shared": "yes" if shared else "no",
        "received": "yes" if received else "no",
        "options": " ".join(options),
        "limit": str(_whole(limit, _WIDEST)),
    } | {name: str(number) for name, number in numbers.items()}
    return "".join(f"{name}={sh.quote(text)}\n" for name, text in texts.items())


def parse_state(text: str) -> State:
    """Return what the file `state` holds. Raises ParseError for anything else."""
    match text.split("\n"):
        case [numbers, target, event, ""]:
            phase, *words = numbers.split(" ")
        case _:
            raise ParseError("mover", "its state does not have three lines", text)
    if phase not in set(Phase) or len(words) != _NUMBERS - 1:
        raise ParseError("mover", "not a state", text)
    if not all(map(_NUMBER.fullmatch, words)):
        raise ParseError("mover", "not a number in its state", text)
    return State(Phase(phase), target, event, *map(int, words))


def _name(text: str) -> str:
    if not text or text.startswith("-") or _UNFIT.search(text):
        raise ValueError(f"this cannot be the name of a dataset: {text!r}")
    return text


def _tag(text: str) -> str:
    if "," in text:
        raise ValueError(f"this cannot be the name of a snapshot: {text!r}")
    return _name(text)


def _whole(number: int, limit: int) -> int:
    if not 0 <= number < limit:
        raise ValueError(f"not a number from 0 to {limit - 1}: {number}")
    return number
