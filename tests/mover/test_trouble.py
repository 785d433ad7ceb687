"""What goes wrong on the way: each verdict, and what is done without one."""

from __future__ import annotations

import os
import signal
import subprocess
from dataclasses import replace

import pytest

from tests.mover.conftest import Make
from tests.mover.world import SLACK, World
from zrwizard.mover import Direction, Phase, Status


def cut_once(world: World, *at: int) -> None:
    """Leave half a stream on the receiving side: the last of those that are begun."""
    world.mode("cuts", "\n".join(map(str, at or (100_000,))))
    usual, world.changes = world.changes, {**world.changes, "first": 600, "longest": 600}
    process = world.start()
    world.changes = usual
    world.until(lambda: "broke off" in world.log)
    process.send_signal(signal.SIGTERM)
    assert process.wait(SLACK) == Status.STOPPED
    world.until(lambda: not world.alive())


def remove(world: World, name: str, tag: str) -> None:
    pool = world.pool(world.near)
    pool[name]["snaps"] = [snap for snap in pool[name]["snaps"] if snap["tag"] != tag]
    world.write(world.near, pool)


def alter(world: World, name: str, tag: str) -> None:
    pool = world.pool(world.near)
    for snap in pool[name]["snaps"]:
        if snap["tag"] == tag:
            snap["guid"] ^= 1
    world.write(world.near, pool)


# --- tokens -------------------------------------------------------------------------------------


def test_the_same_token_three_times_is_a_stall(make: Make) -> None:
    world = make()
    world.add("old", "new/x", a=200_000)
    cut_once(world)
    world.mode("stuck")
    process = world.start()
    world.until(lambda: world.book("abandoned"))
    (world.root / "mode" / "stuck").unlink()
    assert process.wait(SLACK) == Status.COMPLETE, world.log
    assert world.missing() == []
    assert world.book("abandoned") == ["new/x"]
    assert "The same resume token failed three times." in world.log
    assert sum(send["resumed"] for send in world.sends) == 3


@pytest.mark.parametrize("change", [remove, alter], ids=["gone", "another"])
def test_a_stale_token_is_dropped_and_the_dataset_goes_on(make: Make, change: object) -> None:
    world = make()
    world.add("old", "new/x", a=50_000, b=200_000, c=1000)
    assert callable(change)
    cut_once(world, 900_000, 100_000)
    change(world, "old", "b")
    assert world.run() is Status.COMPLETE, world.log
    assert world.missing() == []
    assert "The sender cannot go on with the resume token." in world.log
    assert world.book("abandoned") == ["new/x"]


def test_a_token_of_another_dataset_is_not_followed(make: Make) -> None:
    world = make()
    world.add("old/other", "new/x", a=200_000)
    cut_once(world)
    world.streams = []
    world.add("old/ours", "new/x", a=1000)
    assert world.run() is Status.COMPLETE, world.log
    assert world.missing() == []
    assert not any(send["resumed"] for send in world.sends)


# --- what is on the two sides -------------------------------------------------------------------


def test_a_pruned_snapshot_is_noticed_before_a_byte_is_sent(make: Make) -> None:
    world = make()
    world.add("old", "new", a=1000, b=1000)
    remove(world, "old", "b")
    assert world.run() is Status.PRUNED
    assert world.sends == []
    assert "old@b is gone" in world.state.event


def test_a_dataset_that_is_gone(make: Make) -> None:
    world = make()
    world.add("old/x", "new/x", a=1000)
    pool = world.pool("there")
    world.write("there", {"old": pool["old/x"]})
    assert world.run() is Status.PRUNED, world.log


def test_a_pool_that_is_not_there_yet_is_waited_for(make: Make) -> None:
    world = make()
    world.add("old/x", "new/x", a=1000)
    pool = world.pool("there")
    world.write("there", {})
    process = world.start()
    world.until(lambda: "The pool old is not there on the sending side." in world.log)
    world.write("there", {"old": pool["old/x"], **pool})
    assert Status(process.wait(60)) is Status.COMPLETE, world.log
    assert world.missing() == []


def test_a_changed_snapshot_is_noticed_before_a_byte_is_sent(make: Make) -> None:
    world = make()
    world.add("old", "new", a=1000, b=1000)
    alter(world, "old", "b")
    assert world.run() is Status.CHANGED
    assert world.sends == []


def test_a_renamed_snapshot_is_told_by_its_new_name(make: Make) -> None:
    world = make()
    world.add("old", "new", a=1000, b=1000)
    pool = world.pool("there")
    pool["old"]["snaps"][1]["tag"] = "other"
    world.write("there", pool)
    assert world.run() is Status.CHANGED
    assert "is called other now" in world.log


def test_a_dataset_that_is_in_the_way(make: Make) -> None:
    world = make()
    world.add("old", "new/x", a=1000)
    world.made("here", "new/x")
    assert world.run() is Status.UNFIT
    assert world.sends == []


def test_a_receiver_that_went_another_way(make: Make) -> None:
    world = make()
    world.add("old", "new/x", a=1000)
    world.made("here", "new/x", other=10)
    assert world.run() is Status.UNFIT
    assert "does not have its newest snapshot" in world.log


def test_out_of_space(make: Make) -> None:
    world = make()
    world.add("old", "new", a=200_000)
    world.mode("space", "50000")
    assert world.run() is Status.FULL
    assert "| cannot receive new filesystem stream: out of space" in world.log
    assert len(world.sends) == 1


def test_a_parent_that_is_missing(make: Make) -> None:
    world = make()
    world.add("old", "new/none/x", a=1000)
    assert world.run() is Status.REFUSED
    assert len(world.sends) == 1


def test_what_came_with_large_blocks_goes_on_only_with_them(make: Make) -> None:
    world = make(changes={"options": ["-L"]})
    whole = world.add("old", "new/x", a=1000, b=1000)
    first = world.pool("there")["old"]["snaps"][0]["guid"]
    world.streams = [replace(whole, points=("a",), guid=first)]
    assert world.run() is Status.COMPLETE, world.log
    world.streams = [whole]
    world.changes = {"options": ["-c"]}
    assert world.run() is Status.REFUSED
    assert "it goes on only with that option" in world.log
    assert len(world.sends) == 2
    world.changes = {"options": ["-L"]}
    assert world.run() is Status.COMPLETE
    assert world.missing() == []


# --- the link -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("word", "status"), [("hostkey", Status.HOST_KEY), ("refuse", Status.LOGIN)], ids=str
)
def test_not_tried_again(make: Make, word: str, status: Status) -> None:
    world = make()
    world.add("old", "new", a=1000)
    world.mode(word)
    assert world.run() is status
    assert world.state.retries == 0


def test_a_login_that_is_refused_in_the_middle(make: Make) -> None:
    world = make()
    world.add("old", "new", a=200_000)
    world.mode("pace", "0.05")
    world.mode("cuts", "100000")
    process = world.start()
    world.until(lambda: world.sends)
    world.mode("refuse")
    assert process.wait(SLACK) == Status.LOGIN, world.log


def test_out_of_reach_for_longer_than_the_patience(make: Make) -> None:
    world = make(changes={"patience": 1})
    world.add("old", "new", a=1000)
    world.mode("down")
    assert world.run() is Status.UNREACHABLE
    assert world.state.retries >= 1


def test_a_server_that_comes_back(make: Make) -> None:
    world = make()
    world.add("old", "new", a=1000)
    world.mode("down")
    world.start()
    world.until(lambda: "Again in" in world.log and world.state.phase is Phase.WAITING)
    (world.root / "mode" / "down").unlink()
    assert world.started[0].wait(SLACK) == Status.COMPLETE, world.log
    assert world.missing() == []


@pytest.mark.parametrize("direction", list(Direction), ids=str)
def test_a_hung_link_is_told_from_a_slow_one(make: Make, direction: Direction) -> None:
    world = make(direction=direction, changes={"idle": 1, "probe": 2, "grace": 1})
    world.add("old", "new", a=200_000)
    world.mode("hang", "70000")
    assert world.run() is Status.COMPLETE, world.log
    assert world.missing() == []
    assert "The other side does not answer: this stream is ended." in world.log
    assert next(send["offset"] for send in world.sends if send["resumed"]) > 0


def test_a_slow_link_goes_on(make: Make) -> None:
    world = make(changes={"idle": 1})
    world.add("old", "new", a=40_000)
    world.mode("pace", "3.5")
    assert world.run() is Status.COMPLETE, world.log
    assert "but the other side answers: it goes on." in world.log
    assert len(world.sends) == 1


@pytest.mark.parametrize("direction", list(Direction), ids=str)
def test_a_stream_that_stands_still_is_begun_again(make: Make, direction: Direction) -> None:
    world = make(direction=direction, changes={"idle": 1, "stall": 3, "grace": 1})
    world.add("old", "new", a=200_000)
    world.mode("still", "70000")
    assert world.run() is Status.COMPLETE, world.log
    assert world.missing() == []
    assert "No byte came for 3 s, though the other side answers. Again in" in world.log
    assert next(send["offset"] for send in world.sends if send["resumed"]) > 0
    assert world.state.retries == 1


def test_a_stream_that_stands_still_each_time_is_not_tried_for_ever(make: Make) -> None:
    world = make(changes={"idle": 1, "stall": 2, "grace": 1})
    world.add("old", "new", a=200_000)
    world.mode("still", "1\n" * 9)
    assert world.run() is Status.REFUSED, world.log
    assert "failed three times" in world.log


# --- ended and started again --------------------------------------------------------------------


@pytest.mark.parametrize("whom", ["mover", "group"])
def test_killed_at_many_points_and_started_again(make: Make, whom: str) -> None:
    world = make(changes={"grace": 2})
    world.add("old", "new", a=150_000, b=80_000)
    world.add("old/be", "new/be", "old@b", x=150_000)
    world.mode("pace", "0.01")
    for calls in range(2, 40, 5):
        process = world.start()
        world.until(
            lambda n=calls, p=process: len(world.book("calls")) >= n or p.poll() is not None
        )
        if process.poll() is not None:
            break
        if whom == "mover":
            process.kill()
            process.wait()
        else:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    assert world.run() is Status.COMPLETE, world.log
    assert world.missing() == []
    world.until(lambda: not world.alive())


def test_what_it_started_ends_with_it(make: Make) -> None:
    world = make(changes={"grace": 2})
    world.add("old", "new", a=3_000_000)
    world.mode("pace", "0.05")
    process = world.start()
    world.until(lambda: world.sends and world.state.sent > 0)
    process.kill()
    process.wait()
    world.until(lambda: not world.alive())
    assert world.pool("here")["new"]["partial"]


def test_nothing_outlives_a_kill_that_comes_before_the_guardian_is_told(make: Make) -> None:
    world = make()
    world.add("old", "new", a=150_000)
    shim = world.root / "bin" / "mv"
    shim.write_text(
        "#!/bin/dash\n"
        '[ "$1" != pids.new ] || [ -e "$ZR_WORLD/killed" ] ||\n'
        '    { touch "$ZR_WORLD/killed"; kill -9 $PPID; exit; }\n'
        'exec /bin/mv "$@"\n'
    )
    shim.chmod(0o755)
    assert world.start().wait(SLACK) == -signal.SIGKILL
    world.until(lambda: not world.alive(), 60)
    assert world.run() is Status.COMPLETE, world.log
    assert world.missing() == []


def test_a_clean_stop(make: Make) -> None:
    world = make()
    world.add("old", "new", a=3_000_000)
    world.mode("pace", "0.05")
    process = world.start()
    world.until(lambda: world.sends and world.state.sent > 0)
    process.terminate()
    assert process.wait(SLACK) == Status.STOPPED
    assert world.state.phase is Phase.ENDED
    world.until(lambda: not world.alive())
    world.mode("pace", "0")
    assert world.run() is Status.COMPLETE
    assert world.missing() == []
    assert world.sends[-1]["offset"] > 0
    assert (world.job / "resumed").read_text() == "new\n"


def test_pause_and_go_on(make: Make) -> None:
    world = make()
    world.add("old", "new", a=1_000_000)
    world.mode("pace", "0.05")
    process = world.start()
    world.until(lambda: world.sends and world.state.sent > 0)
    (world.job / "pause").touch()
    world.until(lambda: world.state.phase is Phase.PAUSED)
    sent = len(world.sends)
    assert not [words for words in world.alive() if "send" in words]
    world.mode("pace", "0")
    assert len(world.sends) == sent
    (world.job / "pause").unlink()
    assert process.wait(SLACK) == Status.COMPLETE, world.log
    assert world.missing() == []
    assert world.sends[-1]["resumed"]
    assert world.state.retries == 0


def test_a_list_that_is_none(make: Make) -> None:
    world = make()
    world.start().wait(SLACK)
    (world.job / "list").write_text("nonsense\n")
    done = subprocess.run(["dash", str(world.job / "mover.sh"), str(world.job)], check=False)
    assert done.returncode == Status.UNUSABLE
