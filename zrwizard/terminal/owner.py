"""Taking a line away from another zrwizard: the operator is asked, by name and time, each time."""

from __future__ import annotations

import sys
from pathlib import Path

from zrwizard.line import LineError, parse
from zrwizard.line.lock import TERM_SECONDS, Holder, LineTaken, Lock, evict


class NotAsked(Exception):
    """Nobody can be asked here."""


def make_free(locks: Path, url: str, *, patience: float = TERM_SECONDS) -> None:
    """Return when no zrwizard holds the line of `url` any more.

    Asks on the terminal before anything is ended. Raises `NotAsked` where there is none, and
    `LineError` (`taken`) where the operator says no or the holder does not end.
    """
    address = parse(url)
    try:
        Lock.acquire(locks, address, "console").release()
        return
    except LineTaken as taken:
        if taken.holder is None:
            raise
        holder = taken.holder
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise NotAsked(
            f"--steal asks before it takes a line from {holder}, and there is no terminal to ask on"
        )
    question = f"{holder} has held {address} since {holder.duration()}; take it away?"
    if not _yes(question):
        raise LineError(f"The line {address} was left to {holder}.", taken=True)

    def again(of: Holder) -> bool:
        return _yes(
            f"{of} has not ended within {patience:.0f} s; kill it? It cannot tidy up then. "
            "A zrwizard that is started again goes on where it was;"
        )

    print("Asking it to end …", file=sys.stderr, flush=True)
    evict(locks, address, holder, again, patience=patience)


def _yes(question: str) -> bool:
    print(f"{question} Type yes: ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() == "yes"
