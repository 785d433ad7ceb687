"""`python -m tests.bench.preview`: a million lines of zfs diff, from text to the screen.

See README.md beside this package for what is measured, and how.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from tests.bench.preview import lines, terminal

ROOT = Path(__file__).resolve().parents[3]
MEMORY_KB = 400_000
FIRST = 0.3
FRAME = 0.05


def main() -> int:
    """Measure everything; return 0, or 1 where an aim was missed."""
    args = _arguments()
    texts = [text for _, text in lines.write(args.lines, args.seed)]
    with tempfile.TemporaryDirectory() as here:
        files = [Path(here, str(at)) for at in range(len(texts))]
        for file, text in zip(files, texts, strict=True):
            file.write_bytes(text)
        figures: dict[str, Any] = {"wc": _wc(files)}
        for work in ("split", "reader", "tree", "export"):
            figures[work] = _process(work, files)
    figures["screen"] = terminal.watch(texts, args.frames)
    count = sum(text.count(b"\n") for text in texts)
    print(f"{count:,} lines, {sum(map(len, texts)):,} bytes; {_where()}\n")
    _table(figures)
    held = _aims(figures)
    if args.json:
        args.json.write_text(json.dumps(figures, indent=1), encoding="utf-8")
    return 0 if held or args.unjudged else 1


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.preview")
    parser.add_argument("--lines", type=int, default=1_000_000, help="of zfs diff (1 million)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--frames", type=int, default=100, help="of each kind (100)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")
    parser.add_argument("--unjudged", action="store_true", help="return 0 even if an aim is missed")
    return parser.parse_args()


def _where() -> str:
    load = os.getloadavg()[0]
    return f"Python {platform.python_version()}, {os.cpu_count()} cores, load {load:.1f}"


def _wc(files: list[Path]) -> dict[str, Any]:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    words = ["wc", "-l", *map(str, files)]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"seconds": seconds, "lines": int(done.stdout.split()[-2])}


def _process(work: str, files: list[Path]) -> dict[str, Any]:
    words = [sys.executable, "-m", "tests.bench.preview.works", work, *map(str, files)]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{work} failed:\n{done.stderr}")
    figures: dict[str, Any] = json.loads(done.stdout)
    return figures


def _table(figures: dict[str, Any]) -> None:
    split = figures["split"]["seconds"]
    print(f"{'from the text':24} {'CPU s':>8} {'x split':>8} {'lines':>10} {'peak MB':>8}")
    for name, title in (
        ("wc", "wc -l"),
        ("split", "bare Python split loop"),
        ("reader", "zfs_diff.Reader"),
        ("tree", "Reader and Tree"),
    ):
        one = figures[name]
        peak = f"{one['peak_kb'] / 1000:8.0f}" if "peak_kb" in one and name != "tree" else ""
        peak = f"{one['filled_kb'] / 1000:8.0f}" if name == "tree" else peak
        ratio = one["seconds"] / split
        print(f"{title:24} {one['seconds']:8.2f} {ratio:8.2f} {one['lines']:10,} {peak}".rstrip())
    tree, export, screen = figures["tree"], figures["export"], figures["screen"]
    print(f"\n{'the tree':44} {'CPU ms':>9}")
    for name, title in (
        ("first", "first 24 rows, from the first byte"),
        ("open_all", f"open everything: {tree['rows']:,} rows"),
        ("scroll", "24 rows anywhere, median"),
        ("scroll_worst", "24 rows anywhere, worst"),
        ("toggle", "close a directory in the middle, 24 rows"),
        ("filter_kind", "filter by kind, first rows"),
        ("filter_name", "filter by a part of the name, first rows"),
        ("filter_glob", "filter by a glob, first rows"),
        ("find", "look for a name that is not there"),
        ("find_slice", "its longest slice"),
    ):
        print(f"{title:44} {tree[name] * 1000:9.2f}")
    for name in ("json", "csv", "markdown"):
        size = export[f"{name}_bytes"] / 1e6
        print(f"{f'export as {name}: {size:.0f} MB':44} {export[name] * 1000:9.0f}")
    print(f"\n{'the app on a pty of 80x24, ms':44} {'rows':>9} {'all of it':>9} {'worst':>9}")
    print(f"{'first row drawn, from the first line':44} {screen['first'] * 1000:9.0f}")
    print(f"{'all taken in':44} {'':9} {screen['over'] * 1000:9.0f}")
    for name, title in (("page", "a page on"), ("line", "a row on"), ("ends", "to either end")):
        cells = (screen[f"{name}{part}"] * 1000 for part in ("_rows", "", "_worst"))
        print(f"{f'{title}, median':44} {' '.join(f'{cell:9.1f}' for cell in cells)}")


def _aims(figures: dict[str, Any]) -> bool:
    tree, export, screen = figures["tree"], figures["export"], figures["screen"]
    split = figures["split"]["seconds"]
    frame = max(screen["page"], screen["line"], screen["ends"])
    judged = [
        ("memory of the tree, filled", tree["filled_kb"] / 1000, MEMORY_KB / 1000, "MB"),
        ("memory, all open, filtered", tree["peak_kb"] / 1000, MEMORY_KB / 1000, "MB"),
        ("memory, exported", export["peak_kb"] / 1000, MEMORY_KB / 1000, "MB"),
        ("memory of the app", screen["peak_kb"] / 1000, MEMORY_KB / 1000, "MB"),
        ("first row on the screen", screen["first"], FIRST, "s"),
        ("a frame, the slowest median", frame, FRAME, "s"),
    ]
    print(f"\n{'aim':32} {'measured':>10} {'limit':>8}")
    for name, value, limit, unit in judged:
        said = "held" if value < limit else "missed"
        print(f"{name:32} {value:10.3g} {limit:8.3g} {unit:2} {said}")
    print(f"{'the tree beside the split loop':32} {tree['seconds'] / split:10.3g} x")
    return all(value < limit for _, value, limit, _ in judged)


if __name__ == "__main__":
    raise SystemExit(main())
