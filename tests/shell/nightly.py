"""The nightly fuzz: many runs of `test_noise.py` beside each other, and one table of what came.

    python tests/shell/nightly.py --commands 200000 --into DIR

Every run has a seed of its own, and a report in DIR; a seed that has passed is not run again, so
that a night that was cut off is gone on with. The campaigns wait most of the time, and the target's
processes take the rest: two processors take five runs of sixteen campaigns.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
TEST = "tests/shell/test_noise.py::test_nothing_wrong_is_ever_reported"


def run(seed: int, commands: int, at_once: int, into: Path) -> bool:
    """Run `commands` with `seed`; return whether every test passed. Its log is in `into` too."""
    passed = into / f"{seed}.passed"
    if passed.exists():
        return True
    env = os.environ | {
        "ZRWIZARD_FUZZ_COMMANDS": str(commands),
        "ZRWIZARD_FUZZ_SEED": str(seed),
        "ZRWIZARD_FUZZ_AT_ONCE": str(at_once),
        "ZRWIZARD_FUZZ_REPORT": str(into / f"{seed}.json"),
    }
    with (into / f"{seed}.log").open("w") as log:
        argv = ["nice", "-n", "19", sys.executable, "-m", "pytest", "-n", "0", TEST]
        argv += ["--basetemp", str(into / f"{seed}.tmp")]
        code = subprocess.run(
            argv, cwd=ROOT, env=env, stdout=log, stderr=subprocess.STDOUT, check=False
        ).returncode
    if code == 0:
        passed.touch()
    return code == 0


def table(reports: Iterable[Path]) -> str:
    """Return a table in Markdown of what became of the commands in `reports`, by cell."""
    rows = [row for report in reports for row in json.loads(report.read_text())]
    lines = ["| cell | begun | exact | honest errors |", "| --- | ---: | ---: | --- |"]
    for cell in dict.fromkeys(row["cell"] for row in rows):
        lines.append(_line(cell, [row for row in rows if row["cell"] == cell]))
    return "\n".join([*lines, _line("**all**", rows)])


def _line(name: str, rows: list[dict[str, Any]]) -> str:
    errors: Counter[str] = Counter()
    for row in rows:
        errors.update(row["errors"])
    kinds = ", ".join(f"{count:,} {kind}" for kind, count in sorted(errors.items())) or "0"
    begun, exact = (sum(row[key] for row in rows) for key in ("commands", "ok"))
    mark = "" if all(row["exact"] for row in rows) or name.startswith("*") else " ¹"
    return f"| {name}{mark} | {begun:,} | {exact:,} | {kinds} |"


def main() -> int:
    """Run what has not been run yet; print the table. 1 where a run failed."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--commands", type=int, default=200_000, help="over all runs")
    parser.add_argument("--each", type=int, default=10_000, help="commands of one run")
    parser.add_argument("--seed", type=int, default=1, help="of the first run")
    parser.add_argument("--beside", type=int, default=5, help="runs beside each other")
    parser.add_argument("--at-once", type=int, default=16, help="campaigns of a run")
    parser.add_argument("--into", type=Path, required=True, help="directory for the reports")
    args = parser.parse_args()
    args.into.mkdir(parents=True, exist_ok=True)
    seeds = range(args.seed, args.seed + -(-args.commands // args.each))
    with ThreadPoolExecutor(args.beside) as pool:
        passed = list(
            pool.map(lambda seed: run(seed, args.each, args.at_once, args.into.resolve()), seeds)
        )
    print(table(sorted(args.into.glob("*.json"))))
    failed = [seed for seed, good in zip(seeds, passed, strict=True) if not good]
    if failed:
        print(f"Failed, see their logs: {failed}")
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
