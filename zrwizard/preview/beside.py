"""Two texts beside each other, line by line. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from enum import StrEnum
from itertools import islice, zip_longest

_MOST_PAIRS = 1_000_000
Block = tuple[str, int, int, int, int]


class Mark(StrEnum):
    """What a row of a side-by-side text is."""

    SAME = " "
    CHANGED = "|"
    REMOVED = "<"
    ADDED = ">"
    SKIPPED = "…"
    """Lines that are equal were left out here, or the rest is not shown; `older` says it."""


@dataclass(frozen=True, slots=True)
class Row:
    """One row: line numbers from 1 (0 where there is no line) and the texts of both sides."""

    mark: Mark
    older_number: int
    older: str
    newer_number: int
    newer: str


def beside(
    older: Sequence[str],
    newer: Sequence[str],
    *,
    context: int,
    most: int,
    ended: tuple[bool, bool] = (True, True),
) -> tuple[Row, ...]:
    """The rows of both texts, `context` equal lines around each change, at most `most` rows.

    `ended` says of both sides whether the last line has its end. Where very many lines differ they
    are put beside each other in their order: to match them would take too long.
    """
    rows = list(islice(_rows(older, newer, context), most + 1))
    if ended[0] != ended[1]:
        marks = ("" if end else "(no newline at the end)" for end in ended)
        rows.append(Row(Mark.CHANGED, 0, next(marks), 0, next(marks)))
    if len(rows) > most:
        rows = [*rows[: max(0, most - 1)], _skipped("the rest is not shown")]
    return tuple(rows)


def _rows(older: Sequence[str], newer: Sequence[str], context: int) -> Iterator[Row]:
    blocks = _blocks(older, newer)
    for number, (kind, a, b, c, d) in enumerate(blocks):
        if kind != "equal":
            yield from _changed(older, newer, (kind, a, b, c, d))
            continue
        lead = 0 if number == 0 else min(context, b - a)
        tail = 0 if number == len(blocks) - 1 else min(context, b - a - lead)
        left_out = b - a - lead - tail
        for at in range(a, a + lead):
            yield _same(older, at, at - a + c)
        if left_out:
            yield _skipped("1 equal line" if left_out == 1 else f"{left_out:,} equal lines")
        for at in range(b - tail, b):
            yield _same(older, at, at - a + c)


def _blocks(older: Sequence[str], newer: Sequence[str]) -> list[Block]:
    """What is equal and what is not, as `SequenceMatcher.get_opcodes` tells it."""
    first, least = 0, min(len(older), len(newer))
    while first < least and older[first] == newer[first]:
        first += 1
    last = 0
    while last < least - first and older[-1 - last] == newer[-1 - last]:
        last += 1
    a, b = older[first : len(older) - last], newer[first : len(newer) - last]
    found: list[Block] = [("equal", 0, first, 0, first)] if first else []
    if len(a) * len(b) > _MOST_PAIRS:
        found.append(("replace", first, first + len(a), first, first + len(b)))
    else:
        found += [
            (kind, i + first, j + first, k + first, m + first)
            for kind, i, j, k, m in SequenceMatcher(None, a, b, autojunk=False).get_opcodes()
        ]
    if last:
        ends = (len(older) - last, len(older), len(newer) - last, len(newer))
        found.append(("equal", *ends))
    return found


def _changed(older: Sequence[str], newer: Sequence[str], block: Block) -> Iterator[Row]:
    _, a, b, c, d = block
    for i, k in zip_longest(range(a, b), range(c, d)):
        if i is None:
            yield Row(Mark.ADDED, 0, "", k + 1, newer[k])
        elif k is None:
            yield Row(Mark.REMOVED, i + 1, older[i], 0, "")
        else:
            yield Row(Mark.CHANGED, i + 1, older[i], k + 1, newer[k])


def _same(older: Sequence[str], i: int, k: int) -> Row:
    return Row(Mark.SAME, i + 1, older[i], k + 1, older[i])


def _skipped(text: str) -> Row:
    return Row(Mark.SKIPPED, 0, text, 0, "")
