"""Whole transfers: the real script in real shells, real bytes through real pipes."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.mover.conftest import Make
from tests.mover.world import SLACK, World
from zrwizard.mover import Direction, Phase, Status

BLOCK = 16384


def bytes_of(world: World) -> int:
    return sum(stream.size for stream in world.streams)


@pytest.mark.parametrize(
    ("shell", "direction"),
    [
        ("dash", Direction.PULL),
        ("ash", Direction.PULL),
        ("bash", Direction.PULL),
        ("dash", Direction.PUSH),
    ],
    ids=str,
)
def test_six_datasets_with_clones(make: Make, shell: str, direction: Direction) -> None:
    world = make(shell=shell, direction=direction)
    world.forest()
    assert world.run() is Status.COMPLETE, world.log
    assert world.missing() == []
    state = world.state
    assert (state.phase, state.number, state.count) == (Phase.ENDED, 6, 6)
    assert (state.finished, state.retries) == (bytes_of(world), 0)
    guids = [send["toguid"] for send in world.sends]
    assert len(guids) == len(set(guids)) == 11
    clones = {send["toname"] for send in world.sends if send["clone"]}
    assert clones == {"old/be1@x", "old/be2@z"}
    # Once more: all is there, so not a byte is sent.
    assert world.run() is Status.COMPLETE
    assert len(world.sends) == 11
    world.until(lambda: not world.alive() and not [*world.job.glob("*.[0-9]*")])


def test_twenty_cuts(make: Make) -> None:
    world = make()
    world.add("old", "new", a=600_000, b=300_000, c=200_000)
    world.add("old/be", "new/be", "old@b", x=500_000)
    cuts = [0, 1, 300, 600, 2000, 16384, 16900, 20000, 40000, 65536]
    cuts += [70001, 90000, 120000, 131072, 99, 50000, 33000, 150000, 222222, 80000]
    world.mode("cuts", "\n".join(map(str, cuts)))
    assert world.run() is Status.COMPLETE, world.log
    assert world.missing() == []
    assert (world.root / "mode" / "cuts").read_text() == ""
    heads = sum(len(str(send)) + 100 for send in world.sends)
    again = sum(map(int, world.book("relayed"))) - bytes_of(world)
    assert again <= len(cuts) * BLOCK + heads
    # A cut beyond the end of a stream is none.
    assert 15 <= world.state.retries == len(world.book("masters")) <= len(cuts)


@pytest.mark.parametrize("shell", ["ash", "bash"])
def test_cuts_in_the_other_shells(make: Make, shell: str) -> None:
    world = make(shell=shell)
    world.add("old", "new", a=200_000, b=100_000)
    world.mode("cuts", "70000\n300\n40000")
    assert world.run() is Status.COMPLETE, world.log
    assert world.missing() == []
    assert next(send["offset"] for send in world.sends if send["resumed"]) == 65536


def test_cuts_when_pushing(make: Make) -> None:
    world = make(direction=Direction.PUSH)
    world.add("old", "new", a=200_000, b=100_000)
    world.mode("cuts", "70000\n300\n40000")
    assert world.run() is Status.COMPLETE, world.log
    assert world.missing() == []
    assert any(send["resumed"] and send["offset"] for send in world.sends)


def test_only_the_chosen_snapshots(make: Make) -> None:
    world = make()
    stream = world.add("old", "new", a=50_000, b=1000, c=50_000, d=1000, e=10_000)
    tags = {snap["tag"]: snap["guid"] for snap in world.pool("there")["old"]["snaps"]}
    world.streams = [replace(stream, points=("b", "d"), every=False, guid=tags["d"])]
    assert world.run() is Status.COMPLETE, world.log
    assert world.missing() == []
    assert [send["toname"] for send in world.sends] == ["old@b", "old@d"]


def test_a_pool_that_holds_some_already(make: Make) -> None:
    world = make()
    world.forest()
    later = world.streams
    world.streams = later[:3]
    assert world.run() is Status.COMPLETE
    begun = len(world.sends)
    world.streams = later
    assert world.run() is Status.COMPLETE
    assert world.missing() == []
    names = {send["toname"].split("@")[0] for send in world.sends[begun:]}
    assert names == {"old/be1", "old/be2", "old/a b"}


@pytest.mark.parametrize(("received", "props"), [(False, "-p"), (True, "-b")], ids=["set", "came"])
def test_options_and_raw(make: Make, props: str, *, received: bool) -> None:
    world = make(changes={"options": ["-L", "-ce"], "received": received})
    world.add("old", "new", a=1000)
    world.add("old/x", "new/x", a=1000)
    world.streams[0] = replace(world.streams[0], raw=True)
    assert world.run() is Status.COMPLETE, world.log
    assert world.sends[0]["options"] == ["-v", "-P", "-p", "-L", "-ce", "-w"]
    assert world.sends[1]["options"] == ["-v", "-P", props, "-L", "-ce"]


def test_odd_names(make: Make) -> None:
    world = make(direction=Direction.PUSH)
    for name in ("a  b", "ünï it's $HOME", '"q"(1)&; touch x', "*?[a]"):
        world.add(f"old/{name}", f"new/{name}", **{"s p": 100, "2:é": 10})
    assert world.run() is Status.COMPLETE, world.log
    assert world.missing() == []


def test_a_bandwidth_limit(make: Make) -> None:
    world = make(changes={"limit": 131072})
    world.add("old", "new", a=400_000)
    began = world.start()
    assert began.wait(SLACK) == 0, world.log
    assert world.missing() == []
    log = [line for line in world.log.splitlines() if "ataset" in line]
    first, last = (
        sum(int(n) * 60**p for p, n in enumerate(reversed(line.split()[0].split(":"))))
        for line in (log[0], log[-1])
    )
    # Four rounds of at most 131,072 bytes, three seconds between the first and the last.
    assert (last - first) % 86400 >= 2


# --- trees and names ----------------------------------------------------------------------------


def encrypted(world: World) -> None:
    stream = world.add("old/e", "new/e", a=50_000, b=20_000)
    world.made("there", "old/e/x", a=100_000, b=30_000)
    world.made("there", "old/e/y", b=150_000)
    world.streams = [replace(stream, raw=True, tree=True)]


def test_a_tree_stream(make: Make) -> None:
    world = make()
    encrypted(world)
    assert world.run() is Status.COMPLETE, world.log
    assert set(world.pool("here")) == {"new", "new/e", "new/e/x", "new/e/y"}
    assert world.run() is Status.COMPLETE
    assert len(world.sends) == 5


def test_a_tree_stream_that_is_cut_is_sent_again_from_nothing(make: Make) -> None:
    world = make()
    encrypted(world)
    world.mode("cuts", "150000\n")
    assert world.run() is Status.COMPLETE, world.log
    assert set(world.pool("here")) == {"new", "new/e", "new/e/x", "new/e/y"}
    assert "is destroyed and sent again" in world.log


def test_a_strange_snapshot_keeps_a_tree_from_being_destroyed(make: Make) -> None:
    world = make()
    encrypted(world)
    world.made("here", "new/e", b=100)
    assert world.run() is Status.UNFIT
    assert "does not have" in world.log
    assert "new/e" in world.pool("here")


def test_renames_in_the_end_and_once_more(make: Make) -> None:
    world = make()
    world.add("old", "new/tmp", a=1000)
    world.add("old/kid", "new/kid", "old@a", x=1000)
    world.renames = [("new/tmp", "new/final")]
    assert world.run() is Status.COMPLETE, world.log
    assert world.missing() == []
    assert set(world.pool("here")) == {"new", "new/final", "new/kid"}
    assert world.run() is Status.COMPLETE, world.log
    assert len(world.sends) == 2
