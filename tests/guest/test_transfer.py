"""Streams that survive, on real OpenZFS and real ssh: whole trees both ways, and cut on the way."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator

import pytest

from zrwizard.freebsd import ssh
from zrwizard.mover import Direction
from zrwizard.transfer.forest import Kind

from .conftest import Pair
from .forests import forest
from .likeness import differences, look
from .moving import SESSION, Move
from .wounds import WOUNDS, Cut, cut

pytestmark = pytest.mark.guest

COPY = "copy"
ALL = os.environ.get("ZRWIZARD_CUTS") == "all"
"""22 cuts and not one of each kind: the table in docs/transfers.md."""

FELL = """pkill -KILL -x zfs
tries=30
until zpool destroy wood
do tries=$((tries-1)); [ "$tries" -gt 0 ] || exit 1; sleep 1
done"""
"""A send to a client that has lost its power goes on waiting, and keeps the pool busy."""


@pytest.fixture
def wood(guests: Pair) -> Iterator[Pair]:
    """Both guests: hostB with an empty pool `wood` beside its backup, hostC with one `copy`."""
    guests.server.run("kldload -n zfs; zpool create -f -m none -O compression=lz4 wood /dev/vdb")
    guests.reset_target()
    guests.target.run(f"kldload -n zfs; zpool create -m none {COPY} /dev/vda")
    yield guests
    guests.server.run(FELL)


def test_a_tree_comes_over_and_goes_back_equal(wood: Pair) -> None:
    """42 datasets: clones of clones, one promoted, volumes, encrypted ones, 200 snapshots."""
    source = forest("wood/one", 1)
    source.build(wood.server)
    pull = Move.of(wood, source.root, f"{COPY}/one", Direction.PULL)
    assert {Kind.TREE, Kind.ASIDE} <= {note.kind for note in pull.made.notes}
    assert len(pull.made.sent) == len(source.datasets) >= 40
    there = look(wood.server, source.root)
    assert len(there.snapshots["many"]) > 200
    timed(pull)
    here = look(wood.target, f"{COPY}/one")
    assert not (found := differences(there, here)), "\n".join(found)
    # What a backup server sets for itself does not go back.
    own = "canmount=off readonly=on compression=gzip-9 zrwizard:kept=7"
    wood.target.run(f"zfs set {own} {COPY}/one", timeout=60)
    wood.target.run(f"zfs set readonly=on {COPY}/one/many", timeout=60)
    back = Move.of(wood, f"{COPY}/one", "wood/back", Direction.PUSH)
    assert (pull.received, back.received) == (False, True)
    timed(back)
    assert not (found := differences(here, look(wood.server, "wood/back"))), "\n".join(found)


def timed(move: Move) -> None:
    """Do it, and say how long it took."""
    move.prepare()
    began = time.monotonic()
    move.start()
    move.wait()
    took = time.monotonic() - began
    print(f"{move.direction}: {len(move.made.sent)} datasets in {took:.0f} s")


def test_a_transfer_that_is_cut_everywhere_comes_to_its_end(wood: Pair) -> None:
    kinds = list(WOUNDS)
    count = 22 if ALL else len(kinds)
    source = forest("wood/two", 2, count=22, snapshots=5, big=70 if ALL else 45)
    source.build(wood.server)
    move = Move.of(wood, source.root, f"{COPY}/two", Direction.PULL, limit=700_000)
    move.prepare()
    move.start()
    cuts: list[Cut] = []
    for number in range(count):
        cuts.append(cut(move, kinds[number % len(kinds)], 1_000_000))
        print(cuts[-1].row)
        assert cuts[-1].again <= cuts[-1].there + 0.05 * move.total
    assert move.pair.target.run(f"{ssh.check(SESSION)}").status == 0, "no connection to share"
    move.wait()
    # All of them together cost less than the transfer itself.
    assert sum(one.again for one in cuts) < move.total, cuts
    copy = look(wood.target, f"{COPY}/two")
    assert not (found := differences(look(wood.server, source.root), copy)), "\n".join(found)
