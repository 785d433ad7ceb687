"""A preview on standard output, as it becomes known: lines for people, JSON lines for programs."""

from __future__ import annotations

import json
import os
import select
import sys
from typing import Any, Protocol, assert_never

from zrwizard.flows.preview import shown
from zrwizard.headless import printable
from zrwizard.preview.events import (
    Began,
    Change,
    Coverage,
    DatasetBegan,
    DatasetEnded,
    Ended,
    Estimated,
    Fate,
    Found,
    Kind,
    Pair,
    Sized,
    Told,
)
from zrwizard.preview.export import change_record, path_fields
from zrwizard.report.words import size

_OUT = 1


class OutputLost(Exception):
    """Standard output takes no more; `reason` is a sentence. A reader that left is no such case."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def write(data: bytes) -> None:
    """Write all of `data` to standard output, unbuffered.

    Raises `BrokenPipeError` where the reader left, `OutputLost` for everything else.
    """
    view = memoryview(data)
    try:
        while view:
            try:
                view = view[os.write(_OUT, view) :]
            except BlockingIOError:
                # Whoever gave us this pipe reads it without blocking; the flag is theirs as well.
                select.select([], [_OUT], [])
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OutputLost(f"Standard output cannot be written: {error.strerror}.") from None


def say(text: str) -> None:
    """Print a sentence for the operator on standard error; a lost terminal costs the view only."""
    try:
        print(f"zrwizard: {printable(text)}", file=sys.stderr, flush=True)
    except (OSError, ValueError):
        return


class Printer(Protocol):
    """Prints what a comparison tells, as it comes. Raises as `write` does."""

    def hear(self, told: Told) -> None:
        """Print one piece of news."""
        ...

    def end(self, code: int, what: str, now: str, changes: int) -> None:
        """Print how it ended; `what` is empty where all is known."""
        ...


# --- JSON lines -----------------------------------------------------------------------------------


def line(record: dict[str, Any]) -> bytes:
    """Return one JSON line."""
    return json.dumps(record).encode() + b"\n"


class JsonPrinter:
    """One JSON object a line; `type` says what it is, and `end` is the last."""

    def hear(self, told: Told) -> None:
        """See `Printer.hear`."""
        match told:
            case Began():
                pairs = [_pair(pair) for pair in told.pairs]
                moments = {"root": told.root, "older": told.older, "newer": told.newer}
                write(line({"type": "begin", **moments, "datasets": pairs}))
            case Found():
                name = told.pair.dataset
                write(b"".join(line(_change(name, change)) for change in told.changes))
            case Sized():
                name = told.pair.dataset
                write(
                    b"".join(
                        line(
                            {"type": "size", "dataset": name}
                            | path_fields("path", path)
                            | {"before": old, "after": new}
                        )
                        for path, old, new in told.sizes
                    )
                )
            case DatasetEnded():
                known = {"coverage": told.coverage, "changes": told.count, "reason": told.reason}
                write(line({"type": "dataset", **_pair(told.pair), **known}))
            case Estimated():
                guessed = {"written": told.written, "logical": told.logical, "stream": told.stream}
                write(line({"type": "estimate", "dataset": told.pair.dataset, **guessed}))
            case DatasetBegan() | Ended():
                pass
            case _:
                assert_never(told)

    def end(self, code: int, what: str, now: str, changes: int) -> None:
        """See `Printer.end`."""
        write(end_line(code, what, now, changes=changes))


def end_line(code: int, what: str, now: str, **more: Any) -> bytes:
    """Return the last JSON line: the exit code, whether something is missing, and why."""
    known = {"exit": code, "partial": bool(what), "reason": what, "now": now}
    return line({"type": "end", **known, **more})


def _pair(pair: Pair) -> dict[str, Any]:
    return {
        "dataset": pair.dataset,
        "fate": pair.fate,
        "older": pair.older,
        "newer": pair.newer,
        **({} if pair.mount is None else path_fields("mount", pair.mount)),
        "was": pair.was,
        "why": pair.why,
    }


def _change(dataset: str, change: Change) -> dict[str, Any]:
    record = change_record(dataset, change)
    # `type` says here what kind of object the line is.
    return {"type": "change", "object": record.pop("type"), **record}


# --- lines for people -----------------------------------------------------------------------------


class LinePrinter:
    """Calm lines, each dataset under its name, as zfs diff prints them but harmless to look at."""

    def hear(self, told: Told) -> None:
        """See `Printer.hear`."""
        match told:
            case Began():
                self._line(f"{told.root}: from {told.older} to {told.newer or 'what is there now'}")
                for pair in told.pairs:
                    if pair.fate is not Fate.BOTH:
                        self._line(f"{_fate(pair)}")
            case DatasetBegan():
                self._line(f"{told.pair.dataset}:")
            case Found():
                rows = "".join(f"  {change_row(change)}\n" for change in told.changes)
                write(encoded(rows))
            case Sized():
                self._sizes(told)
            case DatasetEnded():
                self._ended(told)
            case Estimated():
                self._estimate(told)
            case Ended():
                pass
            case _:
                assert_never(told)

    def end(self, code: int, what: str, now: str, changes: int) -> None:
        """See `Printer.end`."""
        del code, now
        partial = "; this is not all" if what else ""
        self._line(f"{counted(changes, 'change')}{partial}")

    def _line(self, text: str) -> None:
        write(encoded(printable(text) + "\n"))

    def _ended(self, told: DatasetEnded) -> None:
        match told.coverage:
            case Coverage.WHOLE:
                said = counted(told.count, "change")
                said += f". {told.reason}" if told.reason else ""
            case Coverage.PARTIAL:
                said = f"{counted(told.count, 'change')} so far, and it is partial: {told.reason}"
            case Coverage.NONE if told.pair.fate in (Fate.CREATED, Fate.DESTROYED):
                return
            case Coverage.NONE:
                said = f"not compared: {told.reason or told.pair.why}"
            case _:
                assert_never(told.coverage)
        self._line(f"  {told.pair.dataset}: {said}")

    def _sizes(self, told: Sized) -> None:
        before = sum(old for _, old, _ in told.sizes if old is not None)
        after = sum(new for _, _, new in told.sizes if new is not None)
        files = counted(len(told.sizes), "path")
        self._line(
            f"  {told.pair.dataset}: {files} looked at, {size(before)} before, {size(after)} after"
        )

    def _estimate(self, told: Estimated) -> None:
        parts = []
        if told.written is not None:
            parts.append(f"{size(told.written)} written")
        if told.logical is not None:
            parts.append(f"{size(told.logical)} before compression")
        if told.stream is not None:
            parts.append(f"a send would carry about {size(told.stream)}")
        if parts:
            self._line(f"  {told.pair.dataset}: {', '.join(parts)}")


def change_row(change: Change) -> str:
    """Return a change in one line without anything that a terminal would obey."""
    row = f"{change.kind} {change.type} {shown(change.path)}"
    if change.new_path is not None:
        row += f" -> {shown(change.new_path)}"
    if change.kind == Kind.MODIFIED and change.links:
        row += f" ({change.links:+d} hard links)"
    return row


def _fate(pair: Pair) -> str:
    text = f"{pair.dataset}: {pair.fate}"
    if pair.was is not None:
        text += f", it was {pair.was}"
    return f"{text} ({pair.why})" if pair.why else text


def counted(count: int, one: str) -> str:
    """Return `1 change`, `2 changes`."""
    return f"{count} {one}" if count == 1 else f"{count} {one}s"


def encoded(text: str) -> bytes:
    """Return `text` as standard output takes it; what it cannot show is escaped."""
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    return text.encode(encoding, "backslashreplace")
