"""What is done with the lines, each in a process of its own: `works.py WORK FILE...` prints JSON.

`split` is the bare loop that any Python program would need, `reader` decodes, `tree` decodes and
puts it all into the tree, then does with it what a screen does. Seconds are those of the processor,
which others that share the machine move less.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tests.bench.preview import lines

PIECE = 1 << 16


def main() -> int:
    """Do the work that the first argument names on the files behind it."""
    figures = WORKS[sys.argv[1]]([Path(name) for name in sys.argv[2:]])
    print(json.dumps(figures | {"peak_kb": peak()}))
    return 0


def _pieces(file: Path) -> Iterator[bytes]:
    with file.open("rb", buffering=0) as source:
        while piece := source.read(PIECE):
            yield piece


def peak() -> int:
    """Return the most memory that this process ever had, in kB (VmHWM)."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.split("VmHWM:")[1].split()[0])


def _split(files: list[Path]) -> dict[str, Any]:
    began, count = time.process_time(), 0
    for file in files:
        with file.open("rb") as source:
            for line in source:
                line.rstrip(b"\n").split(b"\t")
                count += 1
    return {"seconds": time.process_time() - began, "lines": count}


def _reader(files: list[Path]) -> dict[str, Any]:
    from zrwizard.freebsd.zfs_diff import Reader

    began, count = time.process_time(), 0
    for pair, file in zip(lines.PAIRS, files, strict=True):
        reader = Reader(pair.mount)
        for piece in _pieces(file):
            count += len(reader.feed(piece))
        reader.close()
    return {"seconds": time.process_time() - began, "lines": count}


def _tree(files: list[Path]) -> dict[str, Any]:
    # Held against the limit with all that a front end has loaded.
    import textual.app  # noqa: F401

    from zrwizard.freebsd.zfs_diff import Reader
    from zrwizard.preview.tree import Tree

    bare = peak()
    began = time.process_time()
    tree, first = Tree(), 0.0
    for pair, file in zip(lines.PAIRS, files, strict=True):
        reader = Reader(pair.mount)
        for piece in _pieces(file):
            tree.add(pair, reader.feed(piece))
            if not first and len(tree.rows(0, 24)) == 24:
                first = time.process_time() - began
        reader.close()
    whole = time.process_time() - began
    figures = {"seconds": whole, "lines": tree.changes, "first": first, "bare_kb": bare}
    return figures | {"filled_kb": peak()} | _use(tree)


def _use(tree: Any) -> dict[str, Any]:
    """Do what a screen does, on all of it; seconds of each."""
    figures: dict[str, Any] = {"paths": tree.counts().paths}

    def timed(name: str, work: Callable[[], object]) -> None:
        began = time.process_time()
        work()
        figures[name] = time.process_time() - began

    timed("open_all", lambda: tree.open_all_below(0, 10**9) and tree.rows(0, 24))
    figures["rows"] = tree.row_count
    steps = []
    for at in range(0, tree.row_count, max(1, tree.row_count // 200)):
        began = time.process_time()
        tree.rows(at, 24)
        steps.append(time.process_time() - began)
    figures["scroll"], figures["scroll_worst"] = statistics.median(steps), max(steps)
    middle = tree.parent(tree.node_at(tree.row_count // 2))
    timed("toggle", lambda: tree.toggle(middle) or tree.rows(tree.row_count // 2, 24))
    figures["opened_kb"] = peak()
    timed("filter_kind", lambda: tree.filter("-") and tree.rows(0, 24))
    timed("filter_name", lambda: tree.filter(name="report") and tree.rows(0, 24))
    timed("filter_glob", lambda: tree.filter(name="*.jp?") and tree.rows(0, 24))
    tree.filter()
    steps = []
    finding = tree.find_steps("no such name")
    for _ in range(10**6):
        began = time.process_time()
        if next(finding, None) is None:
            break
        steps.append(time.process_time() - began)
    figures["find"], figures["find_slice"] = sum(steps), max(steps, default=0.0)
    return figures


def _export(files: list[Path]) -> dict[str, Any]:
    from zrwizard.freebsd.zfs_diff import Reader
    from zrwizard.preview.export import FORMS
    from zrwizard.preview.tree import Tree

    tree = Tree()
    for pair, file in zip(lines.PAIRS, files, strict=True):
        reader = Reader(pair.mount)
        for piece in _pieces(file):
            tree.add(pair, reader.feed(piece))
    figures: dict[str, Any] = {"filled_kb": peak()}
    for name, (_, form) in FORMS.items():
        began = time.process_time()
        figures[f"{name}_bytes"] = sum(len(line) for line in form(tree))
        figures[name] = time.process_time() - began
    return figures


WORKS: dict[str, Callable[[list[Path]], dict[str, Any]]] = {
    "split": _split,
    "reader": _reader,
    "tree": _tree,
    "export": _export,
}

if __name__ == "__main__":
    raise SystemExit(main())
