"""The tree of changes in the forms that other programs and people read.

All of them yield text line by line, in the order of the tree, whatever the screen's filter is. Why
a list is not whole stands first in each. Nothing in a name breaks a form or reaches a terminal:
what a terminal could obey is shown as `\\xNN`, and where that is not the exact name, its bytes
stand beside it in base64.
"""

from __future__ import annotations

import csv
import io
import json
import re
from base64 import b64encode
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import islice
from typing import Any

from zrwizard.flows.preview import shown
from zrwizard.preview.events import Change, Coverage
from zrwizard.preview.records import Counts, Fact, Note, word
from zrwizard.preview.store import UNKNOWN
from zrwizard.preview.summary import Line, summarise
from zrwizard.preview.tree import ROOT, Tree
from zrwizard.report.words import size

TYPES = {
    "F": "file",
    "/": "directory",
    "@": "symbolic link",
    "B": "block device",
    "C": "character device",
    "|": "fifo",
    "=": "socket",
    ">": "door",
    "P": "port",
}
"""What the letters of `Change.type` are called in an export; any other is "unknown"."""

_KINDS = {"+": "added", "-": "removed", "M": "modified", "R": "renamed"}
_BITS = {"+": 1, "-": 2, "M": 4, "R": 8}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SECOND = 1_000_000_000
_LAST = (1 << 63) // _SECOND


def to_json_lines(tree: Tree) -> Iterator[str]:
    """Yield one JSON object a changed path, each with its newline, in ASCII.

    `dataset`, `path`, `kind` (added, removed, modified, renamed, replaced), `type` (`TYPES`),
    `new_path` of a renamed one (its `path` is then the old one, as in zfs diff), `links` (by how
    many the hard links changed), `time` (RFC 3339, UTC, null if not known), `before` and `after` in
    bytes (null if not known). A path that is no UTF-8 has `path_base64`, or `new_path_base64`, with
    its exact bytes. A path of which zfs told more than once has them all in `facts`.

    An object without `path` says why the list is not whole: `coverage` (partial, none), `reason`,
    and `dataset`, null where all are meant.
    """
    for note in tree.notes:
        said = {"dataset": note.dataset, "coverage": note.coverage.value, "reason": note.reason}
        yield json.dumps(said) + "\n"
    for node, path in tree.entries():
        row, facts = tree.sizes(node), tree.facts(node)
        record = _record(facts[-1], path)
        if len(facts) > 1:
            now = next((fact for fact in reversed(facts) if fact.kind != "-"), facts[-1])
            record = _record(now, path) | {"kind": _all(facts)}
            if record["kind"] == "replaced":
                record |= _path("path", path)
                record.pop("new_path", None)
                record.pop("new_path_base64", None)
            record["facts"] = [_record(fact, path) for fact in facts]
        yield json.dumps(record | {"before": row[0], "after": row[1]}) + "\n"


def change_record(dataset: str, change: Change) -> dict[str, Any]:
    """Return one change as `to_json_lines` has it, for what is printed as it becomes known."""
    old = None if change.new_path is None else change.path
    fact = Fact(change.kind, change.type, dataset, change.links, change.when, old)
    return _record(fact, change.new_path or change.path)


def path_fields(key: str, path: bytes) -> dict[str, str]:
    """Return a path under `key`, and where it is no UTF-8 its exact bytes as `KEY_base64`."""
    return _path(key, path)


def _all(facts: tuple[Fact, ...]) -> str:
    mask = 0
    for fact in facts:
        mask |= _BITS[fact.kind]
    return word(mask)


def _record(fact: Fact, path: bytes) -> dict[str, Any]:
    record: dict[str, Any] = {"dataset": fact.dataset}
    if fact.old_path is None:
        record |= _path("path", path)
    else:
        record |= _path("path", fact.old_path) | _path("new_path", path)
    record |= {"kind": _KINDS[fact.kind], "type": TYPES.get(fact.type, "unknown")}
    return record | {"links": fact.links, "time": _time(fact.when)}


def _path(key: str, path: bytes) -> dict[str, str]:
    try:
        return {key: path.decode()}
    except UnicodeDecodeError:
        return {key: shown(path), f"{key}_base64": b64encode(path).decode()}


def _time(when: int) -> str | None:
    """Nanoseconds since 1970 as RFC 3339; None for a time that is not known, or no clock shows."""
    seconds, rest = divmod(when, _SECOND)
    if when == UNKNOWN or abs(seconds) > _LAST:
        return None
    return f"{_second(seconds)}.{rest:09}Z"


@lru_cache(4096)
def _second(seconds: int) -> str:
    return (_EPOCH + timedelta(seconds=seconds)).isoformat()[:19]


# --- CSV ------------------------------------------------------------------------------------------

COLUMNS = (
    "kind",
    "type",
    "dataset",
    "path",
    "path_base64",
    "new_path",
    "new_path_base64",
    "links",
    "time",
    "before",
    "after",
    "note",
)
"""The columns of `to_csv`."""

_FORMULA = ("=", "+", "-", "@", "＝", "＋", "－", "＠")


def to_csv(tree: Tree) -> Iterator[str]:
    """Yield CSV (RFC 4180: a header, commas, CRLF, quotes doubled), one row a change.

    A replaced file has two rows, removed and added. Rows whose `kind` is `partial` or `none` say in
    `note` why the list is not whole. The columns mean what they mean in `to_json_lines`; a path is
    printable, and where that is not exact its bytes are in `path_base64`.

    A text that a spreadsheet would take for a formula, that is one which begins with `=`, `+`, `-`
    or `@` or their full-width forms, has a `'` before it. Paths never do: they begin with `/`.
    """
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")

    def taken() -> str:
        line = out.getvalue()
        out.seek(0)
        out.truncate()
        return line

    writer.writerow(COLUMNS)
    yield taken()
    for note in tree.notes:
        row = dict.fromkeys(COLUMNS, "")
        row |= {"kind": note.coverage.value, "note": _cell(note.reason)}
        row["dataset"] = _cell(note.dataset or "")
        writer.writerow(row.values())
        yield taken()
    for node, path in tree.entries():
        facts, sizes = tree.facts(node), tree.sizes(node)
        for fact in facts:
            # Of a replaced file the bytes before are those of the removed one.
            before = sizes[0] if len(facts) == 1 or fact.kind == "-" else None
            after = sizes[1] if len(facts) == 1 or fact.kind != "-" else None
            old, new = (path, None) if fact.old_path is None else (fact.old_path, path)
            # In the order of COLUMNS; csv writes None as nothing.
            writer.writerow((
                _KINDS[fact.kind],
                TYPES.get(fact.type, "unknown"),
                _cell(fact.dataset),
                *_cells(old),
                *(("", "") if new is None else _cells(new)),
                fact.links,
                _time(fact.when),
                before,
                after,
                "",
            ))  # fmt: skip
        yield taken()


def _printable(path: bytes) -> str:
    text = path.decode("utf-8", "backslashreplace")
    return text if text.isprintable() else shown(path)


def _cells(path: bytes) -> tuple[str, str]:
    """A path for people, and its bytes in base64 where that is not exact."""
    text = _printable(path)
    exact = text.encode() == path
    return (
        f"'{text}" if text.startswith(_FORMULA) else text,
        "" if exact else b64encode(path).decode(),
    )


@lru_cache(256)
def _cell(text: str) -> str:
    return _cells(text.encode("utf-8", "surrogateescape"))[0]


# --- Markdown -------------------------------------------------------------------------------------

# An underscore between letters means nothing in Markdown, and is frequent in names.
_SPECIAL = re.compile(r"[\\|`*\[\]<>&~:@!$^{}]|(?<![0-9A-Za-z])_|_(?![0-9A-Za-z])")


def to_markdown(tree: Tree, paths: int = 200, title: str = "What changed") -> Iterator[str]:
    """Yield a summary by directory and the first `paths` changed paths, line by line.

    Each change is counted in one row of the summary. Every sign that Markdown or HTML could obey is
    written as a character reference, so a name cannot leave its cell, nor be a link.
    """
    counts = tree.counts(ROOT)
    yield f"# {_escaped(title)}\n\n"
    yield from _missing(tree.notes, tree.partial)
    yield f"{_counted(counts.changes, 'change')} of {_counted(counts.paths, 'path')}"
    if counts.sized:
        yield f"; bytes are known of {counts.sized:,} of them"
    yield ".\n"
    if not counts.changes:
        return
    yield "\n## By directory\n\n"
    yield from _summary(summarise(tree), counts)
    few = counts.paths > paths
    yield f"\n## {f'The first {paths:,} paths' if few else 'All paths'}\n\n"
    yield "| what | type | path | dataset |\n| --- | --- | --- | --- |\n"
    for node, path in islice(tree.entries(), paths):
        yield _listed(tree.facts(node), path)
    if few:
        yield f"\n{counts.paths - paths:,} more are not listed here.\n"


def _missing(notes: tuple[Note, ...], partial: bool) -> Iterator[str]:
    if partial:
        yield "**This list is partial: there may be more changes.**\n\n"
    for note in notes:
        what = "partial" if note.coverage is Coverage.PARTIAL else "not compared"
        of = f"{_escaped(note.dataset)}, " if note.dataset is not None else ""
        yield f"* {of}{what}: {_escaped(note.reason or 'no reason is known')}\n"
    if notes:
        yield "\n"


def _summary(lines: list[Line], all_of_it: Counts) -> Iterator[str]:
    known = bool(all_of_it.sized)
    yield "| directory | added | removed | modified | renamed |"
    yield " before | after |\n" if known else "\n"
    yield "| --- | ---: | ---: | ---: | ---: |" + (" ---: | ---: |\n" if known else "\n")
    rows = [(_escaped(_printable(line.path)), line.counts) for line in lines]
    for name, counts in [*rows, ("**all**", all_of_it)]:
        cells = [name, *(f"{number:,}" for number in counts[:4])]
        if known:
            cells += [size(counts.before), size(counts.after)]
        yield f"| {' | '.join(cells)} |\n"


def _listed(facts: tuple[Fact, ...], path: bytes) -> str:
    last = facts[-1]
    name = _escaped(_printable(path))
    if last.old_path is not None:
        name += f" (was {_escaped(_printable(last.old_path))})"
    kind = TYPES.get(last.type, "unknown")
    return f"| {_all(facts)} | {kind} | {name} | {_escaped(last.dataset)} |\n"


def _counted(count: int, one: str) -> str:
    return f"{count:,} {one}" if count == 1 else f"{count:,} {one}s"


def _escaped(text: str) -> str:
    printable = _printable(text.encode("utf-8", "surrogateescape"))
    return _SPECIAL.sub(lambda found: f"&#{ord(found[0])};", printable)


FORMS: dict[str, tuple[str, Callable[[Tree], Iterator[str]]]] = {
    "json": (".jsonl", to_json_lines),
    "csv": (".csv", to_csv),
    "markdown": (".md", to_markdown),
}
"""The forms by their names, each with the ending of a file in it."""
