"""How many streams come side by side: what is measured first, and what follows from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest

from tests.flows.world import ANSWERS, World, target, with_disks
from zrwizard.flows.moves import Answers, Ask, Look, Move, Review
from zrwizard.mover import lanes
from zrwizard.mover.measure import Link
from zrwizard.plan import Transfer, Upload

MB = 1_000_000
FAR = Link(round_trip=0.08, one=24.0 * MB, two=47.0 * MB)
LARGE = ("ROOT/default", "swapvol", "var/mail it")

ONE = "full\thostA/ROOT/default@2025-08-08-deep\t2000000000\nsize\t2000000000\n"


def world(rotation: str = "0", disks: int = 1, each: int = 400 * MB) -> World:
    """Disks of that rotation rate, and a server on which three datasets take so many bytes each."""
    machine = with_disks(target("blank"), *[8] * disks)
    turning = tuple(
        replace(row, disk=replace(row.disk, rotationrate=rotation)) for row in machine.disks
    )
    at = World(replace(machine, disks=turning))
    rows = [f"full\thostA/{name}@2025-08-08-deep\t{each}\n" for name in LARGE]
    at.server["estimate"] = "".join(rows) + f"size\t{3 * each}\n"
    at.server["link"] = FAR
    return at


def walk(at: World, **changes: str) -> Move:
    given = {**ANSWERS, "server.host_key": at.server["fingerprint"]}
    given |= {key.replace("__", "."): value for key, value in changes.items()}
    if "target.disks" in given:
        del given["target.disk"]
    return at.walk(Answers(given))


def planned(at: World, **changes: str) -> tuple[Transfer, Mapping[str, Upload], tuple[str, ...]]:
    move = walk(at, **changes)
    assert isinstance(move, Review), move
    (transfer,) = (s.action for s in move.plan.steps if isinstance(s.action, Transfer))
    files = {s.id: s.action for s in move.plan.steps if isinstance(s.action, Upload)}
    return transfer, files, move.plan.notes


def measured(at: World) -> int:
    return sum(isinstance(move, Look) and move.what == "link" for move in at.moves)


def test_a_far_server_gives_streams_side_by_side() -> None:
    at = world()
    transfer, files, notes = planned(at)
    assert measured(at) == 1
    assert transfer.text.endswith("/mover/lanes.sh /tmp/zr-0123456789ab/mover")
    assert (transfer.lanes, files["mover-lanes-script"].content) == (3, lanes.SCRIPT)
    rows = (files["mover-lanes"].content or "").splitlines()
    streams = (files["mover-list"].content or "").splitlines()
    lane_of = {row.split("\t")[2]: lane for row, lane in zip(streams, rows, strict=True)}
    assert {lane_of[f"zroot/{name}"] for name in LARGE} == {"1", "2", "3"}
    assert lane_of["zroot"] == "0"
    assert (
        "Over the link one stream brings 22.9 MiB a second, two bring 44.8 MiB, and a round trip "
        "takes 80 ms: 3 streams come side by side."
    ) in notes


def alone(transfer: Transfer, files: Mapping[str, Upload]) -> bool:
    return "/mover.sh" in transfer.text and transfer.lanes == 1 and "mover-lanes" not in files


def test_a_near_server_gives_one_by_one_and_says_why() -> None:
    at = world()
    at.server["link"] = Link(round_trip=0.0004, one=110.0 * MB, two=112.0 * MB)
    transfer, files, notes = planned(at)
    assert alone(transfer, files)
    (note,) = (note for note in notes if note.startswith("Over the link"))
    assert note.endswith("takes 0 ms: the streams come one by one.")


def test_what_could_not_be_measured_is_said() -> None:
    at = world()
    at.server["link"] = None
    transfer, files, notes = planned(at)
    assert alone(transfer, files)
    assert measured(at) == 1
    assert "The link could not be measured: the streams come one by one." in notes


@pytest.mark.parametrize(
    ("at", "changes"),
    [
        (world(rotation="7200"), {}),
        (world(rotation="unknown"), {}),
        (world(each=20 * MB), {}),
        (world(), {"source.limit": "10m"}),
        (world(), {"source.way": "tree"}),
        (world(), {"source.streams": "1"}),
    ],
    ids=["turning", "unknown", "little", "limited", "whole", "told"],
)
def test_nothing_is_measured_where_nothing_could_be_won(at: World, changes: dict[str, str]) -> None:
    transfer, files, notes = planned(at, **changes)
    assert measured(at) == 0
    assert transfer.lanes == 1
    assert "mover-lanes" not in files
    assert not [note for note in notes if "one by one" in note or "side by side" in note]


def test_turning_disks_get_as_many_streams_as_the_pool_has_vdevs() -> None:
    at = world(rotation="7200", disks=4)
    names = ", ".join(f"ZRDISK{n:04}" for n in range(1, 5))
    transfer, _, _ = planned(at, **{"target.disks": names, "target.layout": "mirrors"})
    assert (measured(at), transfer.lanes) == (1, 2)
    at = world(rotation="7200", disks=4)
    transfer, _, _ = planned(at, **{"target.disks": names, "target.layout": "raidz1"})
    assert (measured(at), transfer.lanes) == (0, 1)


def test_the_answers_may_name_a_number() -> None:
    at = world(rotation="7200")
    transfer, files, notes = planned(at, **{"source.streams": "2"})
    assert (measured(at), transfer.lanes) == (0, 2)
    assert set((files["mover-lanes"].content or "").split()) == {"0", "1", "2"}
    assert not [note for note in notes if note.startswith("Over the link")]


def test_where_one_dataset_has_nearly_all_it_is_said_that_they_come_one_by_one() -> None:
    at = world()
    at.server["estimate"] = ONE
    transfer, files, notes = planned(at, **{"source.streams": "4"})
    assert alone(transfer, files)
    assert any("they come one by one" in note for note in notes)
    # Nobody asked for it: there is nothing to say.
    at = world()
    at.server["estimate"] = ONE
    _, _, notes = planned(at)
    assert measured(at) == 0
    assert not [note for note in notes if "one by one" in note]


@pytest.mark.parametrize(
    ("changes", "what", "now"),
    [
        ({"source.streams": "5"}, "'5' is not one of the choices.", "measured, 1, 2, 3, 4"),
        (
            {"source.streams": "2", "source.way": "tree"},
            "A stream for everything is one stream.",
            "Choose another way, or 1.",
        ),
    ],
    ids=["number", "whole"],
)
def test_a_wrong_answer_is_refused(changes: dict[str, str], what: str, now: str) -> None:
    move = walk(world(), **changes)
    assert isinstance(move, Ask)
    assert move.question.key == "source.streams"
    assert move.problem is not None
    assert move.problem.what == what
    assert now in move.problem.now


def test_another_login_is_measured_anew() -> None:
    at = world()
    planned(at)
    planned(at, **{"server.user": "backup"})
    assert measured(at) == 2
