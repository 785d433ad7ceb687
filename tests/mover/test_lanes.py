"""Streams side by side: real movers in each shell, cut, paused, ended and started again."""

from __future__ import annotations

import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest

from tests import shlint
from tests.mover.conftest import Make
from tests.mover.world import SHELLS, SLACK, World
from zrwizard.mover import Direction, Phase, State, Status, lanes


def wide(world: World, size: int = 150_000) -> None:
    """A root, and three subtrees that do not wait for each other, a clone in one of them."""
    world.add("old", "new", a=1000)
    world.add("old/usr", "new/usr", a=size, b=size // 2)
    world.add("old/usr/src", "new/usr/src", "old/usr@a", x=size // 2)
    world.add("old/var", "new/var", a=size)
    world.add("old/a b", "new/a b", a=size, b=1000)
    world.lanes = [0, 1, 1, 2, 3]


def together(world: World) -> set[str]:
    """The datasets for which a `zfs send` runs at this moment."""
    sending = [words for words in world.alive() if "zfs.py send" in words]
    return {name for name in ("old/usr", "old/var", "old/a b") if any(name in w for w in sending)}


def test_the_script_is_clean_sh(tmp_path: Path) -> None:
    path = tmp_path / "lanes.sh"
    path.write_text(lanes.SCRIPT)
    shlint.lint(path)


@pytest.mark.parametrize(
    ("shell", "direction"),
    [(shell, Direction.PULL) for shell in SHELLS] + [("dash", Direction.PUSH)],
    ids=str,
)
def test_everything_comes_once(make: Make, shell: str, direction: Direction) -> None:
    world = make(shell=shell, direction=direction)
    wide(world)
    assert world.run() is Status.COMPLETE, world.log
    assert world.missing() == []
    state = world.state
    assert (state.phase, state.number, state.count) == (Phase.ENDED, 5, 5)
    assert state.finished == sum(stream.size for stream in world.streams)
    assert (state.target, state.event) == ("-", "All 5 datasets are there.")
    assert world.sends[0]["toname"] == "old@a"
    assert len(world.sends) == 7
    assert world.run() is Status.COMPLETE, world.log
    assert len(world.sends) == 7
    world.until(lambda: not world.alive() and not [*world.job.glob("**/*.[0-9][0-9]*")])
    assert "Lane 2: Dataset 1 of 1: old/var@a to new/var." in world.log


def test_they_run_side_by_side_and_their_state_is_the_sum(make: Make) -> None:
    world = make()
    wide(world, 3_000_000)
    world.mode("pace", "0.05")
    process = world.start()
    world.until(lambda: len(together(world)) == 3)
    seen: list[State] = []

    def all_three() -> bool:
        seen.append(world.state)
        return seen[-1].size == 9_000_000 and seen[-1].sent > 0

    world.until(all_three)
    state = seen[-1]
    assert (state.phase, state.number, state.count) == (Phase.SENDING, 2, 5)
    assert (state.finished, state.had, state.retries) == (1000, 0, 0)
    world.mode("pace", "0")
    process.terminate()
    assert process.wait(SLACK) == Status.STOPPED


@pytest.mark.parametrize("shell", sorted(SHELLS))
def test_cuts(make: Make, shell: str) -> None:
    world = make(shell=shell)
    wide(world)
    world.mode("cuts", "70000\n300\n40000\n90000\n120000")
    assert world.run() is Status.COMPLETE, world.log
    assert world.missing() == []
    assert any(send["resumed"] and send["offset"] for send in world.sends)
    assert world.state.retries >= 1


def begun(world: World) -> list[str]:
    """The datasets that have partly come."""
    return [name for name, one in world.pool("here").items() if one.get("partial")]


def sending(world: World) -> None:
    """Go on until all three lanes have brought something."""
    wide(world, 3_000_000)
    world.mode("pace", "0.05")
    world.start()
    world.until(lambda: world.pool("here").keys() >= {"new/usr", "new/var", "new/a b"})
    world.until(lambda: len(begun(world)) == 3 and world.state.sent > 0)


def test_a_pause_ends_all_streams_and_goes_on_with_each(make: Make) -> None:
    world = make()
    sending(world)
    (world.job / "pause").touch()
    world.until(lambda: world.state.phase is Phase.PAUSED)
    assert together(world) == set()
    sent = len(world.sends)
    world.mode("pace", "0")
    (world.job / "pause").unlink()
    assert world.started[0].wait(SLACK) == Status.COMPLETE, world.log
    assert world.missing() == []
    assert sum(send["resumed"] for send in world.sends[sent:]) == 3
    assert world.state.retries == 0


@pytest.mark.parametrize("shell", sorted(SHELLS))
def test_a_signal_ends_all_and_it_is_started_again(make: Make, shell: str) -> None:
    world = make(shell=shell)
    sending(world)
    world.started[0].terminate()
    assert world.started[0].wait(SLACK) == Status.STOPPED
    assert world.state.phase is Phase.ENDED
    assert "Stopped by a signal" in world.state.event
    world.until(lambda: not world.alive())
    assert len(begun(world)) == 3
    world.mode("pace", "0")
    assert world.run() is Status.COMPLETE, world.log
    assert world.missing() == []
    assert sum(send["resumed"] for send in world.sends) == 3
    # Of the others another stream came after the resumed one.
    assert (world.job / "resumed").read_text() == "new/var\n"


@pytest.mark.parametrize("shell", sorted(SHELLS))
def test_killed_it_takes_its_movers_with_it(make: Make, shell: str) -> None:
    world = make(shell=shell, changes={"grace": 2})
    sending(world)
    world.started[0].kill()
    world.started[0].wait(SLACK)
    world.until(lambda: not world.alive())
    world.mode("pace", "0")
    assert world.run() is Status.COMPLETE, world.log
    assert world.missing() == []


@pytest.mark.parametrize("whom", ["it", "group"])
def test_killed_at_many_points_and_started_again_at_once(make: Make, whom: str) -> None:
    world = make(changes={"grace": 2})
    wide(world)
    world.mode("pace", "0.01")
    for calls in range(2, 50, 8):
        process = world.start()
        world.until(
            lambda n=calls, p=process: len(world.book("calls")) >= n or p.poll() is not None
        )
        if whom == "it":
            process.kill()
        else:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    assert world.run() is Status.COMPLETE, world.log
    assert world.missing() == []
    world.until(lambda: not world.alive())


def test_a_lane_that_fails_ends_the_others(make: Make) -> None:
    world = make()
    wide(world, 3_000_000)
    world.mode("pace", "0.05")
    world.streams[4] = replace(world.streams[4], guid=7)
    assert world.run() is Status.CHANGED, world.log
    assert "old/a b@b is another snapshot" in world.state.event
    assert (world.state.phase, world.state.target) == (Phase.ENDED, "new/a b")
    world.until(lambda: not world.alive())


def test_no_lane_begins_where_the_beginning_fails(make: Make) -> None:
    world = make()
    wide(world)
    world.streams[0] = replace(world.streams[0], guid=7)
    assert world.run() is Status.CHANGED, world.log
    assert world.sends == []


def test_one_connection_is_opened_again_for_all_lanes(make: Make) -> None:
    world = make()
    wide(world)
    world.mode("cuts", "70000\n")
    assert world.run() is Status.COMPLETE, world.log
    assert len(world.book("masters")) <= 1


def test_the_limit_is_shared_out(make: Make) -> None:
    world = make(changes={"limit": 10})
    wide(world, 0)
    world.changes["limit"] = 3_000_001
    assert world.run() is Status.COMPLETE, world.log
    limits = [
        (world.job / f"lane.{n}" / "settings").read_text().split("\nlimit=")[-1].split()[0]
        for n in range(4)
    ]
    assert limits == ["3000001", "1000001", "1000001", "1000001"]


@pytest.mark.parametrize(
    ("numbers", "renames"),
    [([0, 1], []), ([0, 1, 1, 2, 30], []), ([0, 1, 1, 2, 3], [("new/var", "new/v")])],
    ids=["too few", "no lane", "renames"],
)
def test_what_it_does_not_take(
    make: Make, numbers: list[int], renames: list[tuple[str, str]]
) -> None:
    world = make()
    wide(world)
    world.lanes, world.renames = numbers, renames
    assert world.run() is Status.UNUSABLE
    assert world.sends == []
