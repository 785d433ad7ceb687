"""`python -m tests.bench.planning`: from the text of `zfs list` to one stream a dataset.

See README.md beside this package for what is measured, and how.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[3]
TOP, LAST, TARGET = "tank/hosts/a", "auto-now", "zroot"
SECONDS, MEMORY_KB = 3.0, 500_000


def main() -> int:
    """Measure everything; return 0, or 1 where an aim was missed."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.planning")
    parser.add_argument("--datasets", type=int, default=1000)
    parser.add_argument("--snapshots", type=int, default=1000, help="of each dataset")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")
    parser.add_argument("--unjudged", action="store_true", help="return 0 even if an aim is missed")
    parser.add_argument("--work", nargs=2, metavar=("WORK", "FILE"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.work:
        work, file = args.work
        print(json.dumps(WORKS[work](Path(file)) | {"peak_kb": _peak()}))
        return 0
    with tempfile.TemporaryDirectory() as here:
        file = Path(here, "listing")
        size = write(file, args.datasets, args.snapshots, args.seed)
        figures = {work: _process(work, file) for work in WORKS}
    held = _table(figures, size)
    if args.json:
        args.json.write_text(json.dumps(figures, indent=1), encoding="utf-8")
    return 0 if held or args.unjudged else 1


def write(file: Path, datasets: int, snapshots: int, seed: int) -> int:
    """Write what `zfs list` prints of such a tree, a tenth of it clones; return its bytes."""
    drawn = random.Random(seed)
    names = [TOP]
    tags = [f"auto-{n:05}" for n in range(snapshots - 1)] + [LAST]
    with file.open("w", encoding="utf-8") as out:
        for number in range(datasets):
            if number:
                above = drawn.choice(names[-50:])
                above = above if above.count("/") < 9 else TOP
                names.append(f"{above}/d{number:04}")
            name = names[-1]
            # Clones build upon what was made before them, as they do.
            clone = number % 10 == 9
            origin = f"{drawn.choice(names[:-1])}@{drawn.choice(tags)}" if clone else "-"
            numbers = f"{drawn.getrandbits(64)}\t{number + 1}\t1700000000\t-\t98304\t98304\t4096\t0"
            out.write(f"{name}\tfilesystem\t{numbers}\tlz4\t1.53\t{origin}\t-\t/{name}\ton\n")
            for at, tag in enumerate(tags):
                numbers = f"{drawn.getrandbits(64)}\t{datasets * (at + 1) + number}\t1700000000"
                rest = "\t-\t-\t-\t-\t1.53\t-\t-\t-\t-\n"
                out.write(f"{name}@{tag}\tsnapshot\t{numbers}\t0\t98304{rest}")
    return file.stat().st_size


def _split(file: Path) -> dict[str, Any]:
    began, count = time.process_time(), 0
    with file.open(encoding="utf-8") as lines:
        for line in lines:
            line.rstrip("\n").split("\t")
            count += 1
    return {"seconds": time.process_time() - began, "lines": count}


def _plan(file: Path) -> dict[str, Any]:
    from zrwizard.freebsd import inventory
    from zrwizard.transfer.forest import decompose

    began = time.process_time()
    with file.open(encoding="utf-8") as lines:
        found = inventory.parse(lines)
    parsed = time.process_time() - began
    made = decompose(found, TOP, LAST, TARGET)
    return {
        "seconds": time.process_time() - began,
        "parsed": parsed,
        "lines": len(found) + sum(len(one.snapshots.tags) for one in found.values()),
        "streams": len(made.streams),
        "clones": sum(stream.origin is not None for stream in made.streams),
    }


WORKS: dict[str, Callable[[Path], dict[str, Any]]] = {"split": _split, "plan": _plan}


def _peak() -> int:
    """Return the most memory that this process ever had, in kB (VmHWM)."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.split("VmHWM:")[1].split()[0])


def _process(work: str, file: Path) -> dict[str, Any]:
    words = [sys.executable, "-m", "tests.bench.planning", "--work", work, str(file)]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{work} failed:\n{done.stderr}")
    figures: dict[str, Any] = json.loads(done.stdout)
    return figures


def _table(figures: dict[str, Any], size: int) -> bool:
    split, plan = figures["split"], figures["plan"]
    load = os.getloadavg()[0]
    print(
        f"{split['lines']:,} lines, {size:,} bytes; Python {platform.python_version()}, "
        f"{os.cpu_count()} cores, load {load:.1f}\n"
    )
    print(f"{'from the text':28} {'CPU s':>8} {'x split':>8} {'peak MB':>8}")
    for title, seconds, peak in (
        ("bare Python split loop", split["seconds"], split["peak_kb"]),
        ("inventory.parse", plan["parsed"], 0),
        ("parse and decompose", plan["seconds"], plan["peak_kb"]),
    ):
        ratio = seconds / split["seconds"]
        print(f"{title:28} {seconds:8.2f} {ratio:8.2f} {f'{peak / 1000:8.0f}' if peak else ''}")
    print(f"\n{plan['streams']:,} streams, {plan['clones']:,} of clones")
    held = plan["seconds"] < SECONDS and plan["peak_kb"] < MEMORY_KB
    print(f"under {SECONDS:.0f} s and {MEMORY_KB // 1000} MB: {'held' if held else 'missed'}")
    return held


if __name__ == "__main__":
    raise SystemExit(main())
