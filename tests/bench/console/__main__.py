"""`python -m tests.bench.console`: ours beside others, in one run, as a table.

See README.md beside this package for what is measured, and how.
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from tests.bench.console import contestants, table
from tests.bench.console.contestants import OURS, PEXPECT, PLAIN, RAW, RIVALS, TUNED, Outcome
from tests.bench.console.rivals import common


def main() -> int:
    """Run what was asked for; return 0, or 1 where anything came out wrong."""
    args = _arguments()
    if args.setup:
        print("\n".join(contestants.set_up()))
    with tempfile.TemporaryDirectory() as here:
        file = Path(here, "lines")
        write_lines(file, args.bytes)
        if args.memory:
            return _memory(args, file)
        return _race(args, file)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.console")
    parser.add_argument("--commands", type=int, default=200, help="how many `true` (200)")
    parser.add_argument("--bytes", type=int, default=50_000_000, help="of output (50 million)")
    parser.add_argument("--limit", type=float, default=12.0, help="seconds a rival, each part")
    parser.add_argument("--rivals", choices=("all", "pexpect"), default="all")
    parser.add_argument("--line-bytes", type=int, default=65536, help="of a file; 0: no slow line")
    parser.add_argument("--speed", type=int, default=115_200, help="of the slow line, in baud")
    parser.add_argument("--memory", action="store_true", help="only: memory while 1 GB streams")
    parser.add_argument("--memory-bytes", type=int, default=1_000_000_000)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")
    parser.add_argument(
        "--setup", action="store_true", help=f"install rivals in {contestants.HOME}"
    )
    return parser.parse_args()


def write_lines(file: Path, size: int) -> None:
    """Write `size` bytes of text that does not repeat, in lines of 76 characters."""
    with file.open("wb") as out:
        left = size + common.LINE
        while left > 0:
            block = base64.b64encode(os.urandom(57 * 4096))
            lines = b"\n".join(block[at : at + 76] for at in range(0, len(block), 76)) + b"\n"
            left -= out.write(lines[:left])


def _race(args: argparse.Namespace, file: Path) -> int:
    print(_machine(), flush=True)
    outcomes = []
    for outcome in _outcomes(args, file):
        outcomes.append(outcome)
        print(f"  {outcome.name}: {outcome.said or 'done'}", file=sys.stderr, flush=True)
    ours = next(outcome for outcome in outcomes if outcome.name == OURS.name)
    bare = outcomes[0].figures.get("bare", {}).get("median")
    between = ours.figures.get("commands", {}).get("bare")
    limit = table.rate(outcomes[0])
    print(table.table(outcomes, bare, limit, args.bytes))
    if bare and between:
        print(
            f"\nbare round trip of one builtin to a quiet sh: {bare * 1e3:.3f} ms in a row, "
            f"{between * 1e3:.3f} ms in turn with ours"
        )
    print("\n".join(table.aims(ours, limit, table.rate(outcomes[1]))))
    if args.line_bytes:
        words = ["--bytes", str(args.line_bytes), "--speed", str(args.speed)]
        slow = contestants.run_ours("line", words, 10 * args.line_bytes / args.speed * 10)
        print("\n".join(table.files(slow, args.speed)))
        outcomes.append(slow)
    _write(args, outcomes)
    return 0 if _all_right(outcomes) else 1


def _outcomes(args: argparse.Namespace, file: Path) -> Iterator[Outcome]:
    """The limits first, then ours, then the rivals; one after the other, never two at once."""
    words = ["--commands", str(args.commands), "--bytes", str(args.bytes)]
    words += ["--limit", str(args.limit), "--file", str(file)]
    patience = 3 * args.limit
    yield contestants.run(PLAIN, words, patience)
    yield contestants.run(RAW, words, patience)
    yield contestants.run_ours("speed", words, patience)
    rivals = (TUNED, PEXPECT, *(RIVALS if args.rivals == "all" else ()))
    for rival in rivals:
        yield contestants.run(rival, words, patience)


def _memory(args: argparse.Namespace, file: Path) -> int:
    print(_machine(), flush=True)
    words = ["--bytes", str(args.memory_bytes), "--file", str(file)]
    outcome = contestants.run_ours("memory", words, 600)
    print(table.memory(outcome))
    _write(args, [outcome])
    return 0 if _all_right([outcome]) else 1


def _all_right(outcomes: list[Outcome]) -> bool:
    """Whether our own figures are there and right; a rival that fails is only told about."""
    for outcome in outcomes:
        if outcome.name != OURS.name:
            continue
        rows = [row for kind, row in outcome.figures.items() if kind != "bulk"] + outcome.bulk
        if outcome.said or not rows:
            return False
        if any(row.get("wrong", 0) or not row.get("right", True) for row in rows):
            return False
    return True


def _write(args: argparse.Namespace, outcomes: list[Outcome]) -> None:
    if args.json:
        figures = {"machine": _machine(), "outcomes": [asdict(outcome) for outcome in outcomes]}
        args.json.write_text(json.dumps(figures, indent=1) + "\n")


def _machine() -> str:
    shell = Path("/bin/sh").resolve().name
    load = os.getloadavg()[0]
    return (
        f"{time.strftime('%Y-%m-%d')}, {platform.system()} {platform.release()}, "
        f"{os.cpu_count()} cores, load {load:.1f}, Python {platform.python_version()}, "
        f"/bin/sh = {shell}, pty 80x24"
    )


if __name__ == "__main__":
    sys.exit(main())
