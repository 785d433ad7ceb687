"""`python -m tests.bench.transfer`: our transfer of a tree beside the one that is typed by hand.

See README.md beside this package for what is measured, and how.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from pathlib import Path

from tests.guest.conftest import Pair, started
from tests.guest.forests import LAST
from tests.guest.machines import build_image
from tests.guest.moving import HOME, SESSION, Move
from zrwizard.freebsd import sh, ssh
from zrwizard.mover import Direction

MOST = 1.03
TREE, COPY = "wood/tree", "copy/tree"
HAND, OURS = "by hand", "zrwizard"
_LONGEST = 1800


def main() -> int:
    """Measure everything; return 0, or 1 where the aim was missed."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.transfer")
    parser.add_argument("--datasets", type=int, default=4)
    parser.add_argument("--megabytes", type=int, default=64, help="in each of them")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")
    parser.add_argument("--unjudged", action="store_true", help="return 0 even if it is missed")
    args = parser.parse_args()
    with started(build_image()) as pair:
        _build(pair, args.datasets, args.megabytes)
        move = Move.of(pair, TREE, COPY, Direction.PULL)
        move.prepare()
        pair.target.run(f"{ssh.login(SESSION)} 2>/dev/null", timeout=60)
        ways = {
            HAND: f"{ssh.run(SESSION, sh.command('zfs', 'send', '-R', f'{TREE}@{LAST}'))} | "
            f"zfs receive -Fu {COPY}",
            OURS: f"sh {HOME}/m/mover.sh {HOME}/m",
        }
        figures: dict[str, list[float]] = {way: [] for way in ways}
        for number in range(args.rounds + 1):
            # In turn, so that both see the same load; what reads first warms the cache for all.
            for way in sorted(ways, reverse=number % 2 == 1):
                took = _timed(pair, ways[way])
                print(f"round {number}: {way} {took:.1f} s", flush=True)
                if number:
                    figures[way].append(took)
    held = _table(figures, args.datasets, args.megabytes)
    if args.json:
        args.json.write_text(json.dumps(figures, indent=1), encoding="utf-8")
    return 0 if held or args.unjudged else 1


def _build(pair: Pair, datasets: int, megabytes: int) -> None:
    """Make the tree, half of it random bytes and half text, and the pool that gets it."""
    lines = [
        "kldload -n zfs; zpool create -f -m none -O compression=lz4 wood /dev/vdb",
        f"zfs create {TREE}",
    ]
    for number in range(datasets):
        name = f"{TREE}/d{number}"
        lines += [
            f"zfs create {name}; mkdir -p /run/w; busybox mount -i -t zfs {name} /run/w",
            f"head -c {megabytes << 19} /dev/urandom >/run/w/random",
            f"yes 'a line of {name}' | head -c {megabytes << 19} >/run/w/text",
            "busybox umount /run/w",
        ]
    lines.append(f"zfs snapshot -r {TREE}@{LAST}; zpool sync")
    pair.server.put("/run/tree.sh", "\n".join(lines).encode(), "700")
    pair.server.run("sh -ex /run/tree.sh", timeout=_LONGEST)
    pair.target.run("kldload -n zfs; zpool create -f -m none copy /dev/vda")


def _timed(pair: Pair, command: str) -> float:
    """Return the seconds that `command` takes on hostC until all of it is on the disk."""
    pair.target.run(f"zfs destroy -r {COPY} 2>/dev/null; zpool sync; rm -f {HOME}/m/state; sleep 2")
    began = time.monotonic()
    pair.target.run(f"{{ {command}; }} >/dev/null 2>&1 && zpool sync", timeout=_LONGEST)
    return time.monotonic() - began


def _table(figures: dict[str, list[float]], datasets: int, megabytes: int) -> bool:
    load = os.getloadavg()[0]
    print(f"\n{datasets} datasets of {megabytes} MB, load {load:.1f}\n")
    print(f"{'':10} {'median s':>9} {'least':>7} {'most':>7}")
    for way, taken in figures.items():
        print(f"{way:10} {statistics.median(taken):9.1f} {min(taken):7.1f} {max(taken):7.1f}")
    ratios = [ours / hand for ours, hand in zip(figures[OURS], figures[HAND], strict=True)]
    ratio = statistics.median(ratios)
    verdict = "held" if ratio <= MOST else "missed"
    print(f"\nours / by hand, median of {len(ratios)}: {ratio:.3f}; at most {MOST}: {verdict}")
    return ratio <= MOST


if __name__ == "__main__":
    raise SystemExit(main())
