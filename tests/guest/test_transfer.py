"""Streams that survive, on real OpenZFS and real ssh: whole trees both ways, and cut on the way."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from zrwizard.mover import Direction, Phase
from zrwizard.transfer.forest import Kind

from .conftest import Pair
from .forests import BIG, Forest, forest
from .knox import unplugged
from .likeness import differences, look
from .machines import Guest
from .moving import Move, begun

pytestmark = pytest.mark.guest

MB = 1 << 20
COPY = "copy"
IMPORT = "zpool list wood >/dev/null 2>&1 || zpool import -N -d /dev/vdb wood"


@pytest.fixture(scope="module")
def wood(guests: Pair) -> Iterator[Pair]:
    """Both guests, hostB with an empty pool `wood` beside its backup."""
    guests.server.run("kldload -n zfs; zpool create -m none -O compression=lz4 wood /dev/vdb")
    guests.reset_target()
    guests.target.run("kldload -n zfs; zpool create -m none copy /dev/vda")
    yield guests
    guests.server.run("zpool destroy wood")


def test_a_tree_comes_over_and_goes_back_equal(wood: Pair) -> None:
    source = forest("wood/one", 1)
    source.build(wood.server)
    pull = Move.of(wood, source.root, f"{COPY}/one", Direction.PULL)
    assert {Kind.TREE, Kind.ASIDE} <= {note.kind for note in pull.made.notes}
    assert len(pull.made.sent) == len(source.datasets) >= 40
    pull.prepare()
    began = time.monotonic()
    pull.start()
    pull.wait()
    print(f"pulled {len(source.datasets)} datasets in {time.monotonic() - began:.0f} s")
    there, here = look(wood.server, source.root), look(wood.target, f"{COPY}/one")
    assert differences(there, here) == []
    push = Move.of(wood, f"{COPY}/one", "wood/back", Direction.PUSH)
    push.prepare()
    began = time.monotonic()
    push.start()
    push.wait()
    print(f"pushed them back in {time.monotonic() - began:.0f} s")
    assert differences(here, look(wood.server, "wood/back")) == []
    wood.server.run("zfs destroy -R wood/one; zfs destroy -R wood/back", timeout=120)
    wood.target.run(f"zfs destroy -R {COPY}/one", timeout=120)
