"""A pool over several disks: what may be chosen, in what shape, and what will not do."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.flows.world import ANSWERS, World, target, with_disks
from zrwizard.facts import Hold, Use
from zrwizard.flows import shapes
from zrwizard.flows.ask_disk import BY_SERIAL, SEVERAL
from zrwizard.flows.moves import Answers, Ask, Choose, ChooseMany, Enter, Move, Review, Stuck
from zrwizard.flows.shapes import Shape
from zrwizard.plan import Plan, from_json

GIB = 1 << 30


def world(*sizes: int) -> World:
    return World(with_disks(target("blank"), *sizes))


def answers(at: World, **changes: str | None) -> Answers:
    given = {**ANSWERS, "server.host_key": at.server["fingerprint"]}
    del given["target.disk"]
    for key, value in changes.items():
        if value is not None:
            given[f"target.{key}"] = value
    return Answers(given)


def mirror(at: World, **changes: str | None) -> Move:
    first = {"disks": "ZRDISK0001, ZRDISK0002", "layout": "mirror", "spares": "none"}
    return at.walk(answers(at, **{**first, **changes}))


def asked(move: Move) -> Ask:
    assert isinstance(move, Ask), move
    return move


def refused(move: Move, key: str) -> str:
    ask = asked(move)
    assert ask.question.key == key
    assert ask.problem is not None
    assert ask.problem.now
    return ask.problem.what


def planned(move: Move) -> Plan:
    assert isinstance(move, Review), move
    return move.plan


# --- the way through ------------------------------------------------------------------------------


def test_questions_of_several_disks_come_in_order() -> None:
    at = world(4, 4, 4)
    given = answers(at).drop("target.swap")
    keys = []
    replies = {"target.disk": SEVERAL, "target.disks": "ZRDISK0001, ZRDISK0002"}
    replies |= {"target.layout": "mirror", "target.spares": "ZRDISK0003", "target.swap": "1g"}
    while not isinstance(move := at.walk(given), Review):
        question = asked(move).question
        keys.append(question.key)
        given = given.put(question.key, replies[question.key])
    assert keys == list(replies)
    assert [disk.typed for disk in move.plan.disks] == ["ZRDISK0001", "ZRDISK0002", "ZRDISK0003"]
    assert move.plan.title == "Restore hostA@2025-08-08-deep onto vtbd0 and vtbd1 and vtbd2"


def test_several_is_offered_only_where_two_disks_could_be_chosen() -> None:
    blank = target("blank")
    for names, there in (({"vtbd0", "cd0"}, False), ({"vtbd0", "vtbd1", "cd0"}, True)):
        at = World(replace(blank, disks=tuple(d for d in blank.disks if d.name in names)))
        question = asked(at.walk(answers(at))).question
        assert isinstance(question, Choose)
        assert (SEVERAL in [option.value for option in question.options]) == there


def test_disks_are_taken_in_the_order_in_which_they_are_named() -> None:
    at = world(4, 4)
    plan = planned(mirror(at, disks="vtbd1, vtbd0"))
    assert [disk.name for disk in plan.disks] == ["vtbd1", "vtbd0"]


def test_one_disk_in_the_list_is_the_single_disk() -> None:
    at = world(4, 4)
    listed = planned(at.walk(answers(at, disks="ZRDISK0002")))
    single = planned(at.walk(answers(at, disk="ZRDISK0002")))
    assert listed == single


def test_spares_are_not_asked_for_where_none_is_left_or_of_use() -> None:
    blank = with_disks(target("blank"), 4, 4)
    at = World(replace(blank, disks=tuple(d for d in blank.disks if d.name.startswith("vtbd"))))
    assert isinstance(mirror(at, spares=None), Review)
    at = world(4, 4, 4)
    assert isinstance(mirror(at, layout="stripe", spares=None), Review)
    question = asked(mirror(at, spares=None)).question
    assert isinstance(question, ChooseMany)
    assert question.least == 0
    assert {o.label: o.locked is None for o in question.options}["vtbd2"]
    assert "smaller" in {o.label: o.locked or "" for o in question.options}["da0"]


# --- what will not do -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "says"),
    [
        pytest.param("ZRDISK0001, ZRDISK0001", "vtbd0 is named twice", id="twice"),
        pytest.param("ZRDISK0001, vtbd0", "vtbd0 is named twice", id="twice-by-name"),
        pytest.param("ZRDISK0001, NOSUCH", "no disk NOSUCH", id="unknown"),
    ],
)
def test_disks_that_cannot_be_meant(given: str, says: str) -> None:
    assert says in refused(mirror(world(4, 4), disks=given), "target.disks")


def test_several_and_none_named() -> None:
    at = world(4, 4)
    assert "not two disks" in refused(mirror(at, disk=SEVERAL, disks="none"), "target.disks")
    assert "not two disks" in refused(mirror(at, disk=SEVERAL, disks="vtbd0"), "target.disks")


def test_one_disk_and_several_at_once() -> None:
    assert "Both" in refused(mirror(world(4, 4), disk="ZRDISK0001"), "target.disk")


def test_two_disks_of_one_serial_number_cannot_be_told_apart() -> None:
    machine = with_disks(target("blank"), 4, 4)
    disks = tuple(
        replace(disk, disk=replace(disk.disk, ident="SAME"))
        if disk.name.startswith("vtbd")
        else disk
        for disk in machine.disks
    )
    at = World(replace(machine, disks=disks))
    assert "same serial number" in refused(mirror(at, disks="vtbd0, vtbd1"), "target.disks")


@pytest.mark.parametrize("use", [use for use in Use if use is not Use.IMPORTABLE])
def test_every_hard_claim_locks_each_of_the_disks(use: Use) -> None:
    machine = with_disks(target("blank"), 4, 4)
    disks = tuple(
        replace(disk, holds=(Hold(use, "x", disk.name),)) if disk.name == "vtbd1" else disk
        for disk in machine.disks
    )
    move = mirror(World(replace(machine, disks=disks)))
    assert isinstance(move, Stuck)
    assert move.exit == 3
    assert "vtbd1 is not written to" in move.problems[0].what


def test_an_old_pool_is_freed_by_its_serial_number_only() -> None:
    machine = with_disks(target("blank"), 4, 4)
    disks = tuple(
        replace(disk, holds=(Hold(Use.IMPORTABLE, "old", f"{disk.name}p4"),))
        if disk.name == "vtbd1"
        else disk
        for disk in machine.disks
    )
    at = World(replace(machine, disks=disks))
    assert isinstance(mirror(at, disks="vtbd0, vtbd1"), Stuck)
    ids = [step.id for step in planned(mirror(at)).steps]
    assert "old-labels-1-vtbd1" in ids
    question = asked(mirror(at, disk=SEVERAL, disks=None)).question
    assert isinstance(question, ChooseMany)
    locked = {option.label: option.locked for option in question.options}
    assert "it holds the pool old" in str(locked["vtbd1"])
    assert question.alone == (BY_SERIAL,)
    typed = asked(mirror(at, disk=SEVERAL, disks=BY_SERIAL)).question
    assert isinstance(typed, Enter)
    assert typed.key == "target.disks"


@pytest.mark.parametrize(
    ("count", "layout", "says"),
    [
        pytest.param(2, "mirrors", "four at least", id="mirrors-of-2"),
        pytest.param(5, "mirrors", "even number", id="mirrors-of-5"),
        pytest.param(5, "mirror", "two to four", id="mirror-of-5"),
        pytest.param(2, "raidz1", "takes 3 disks at least", id="raidz1-of-2"),
        pytest.param(3, "raidz2", "takes 4 disks", id="raidz2-of-3"),
        pytest.param(4, "raidz3", "takes 5 disks", id="raidz3-of-4"),
        pytest.param(3, "raid5", "not one of the choices", id="unknown"),
    ],
)
def test_layouts_that_the_disks_cannot_make(count: int, layout: str, says: str) -> None:
    disks = ", ".join(f"vtbd{number}" for number in range(count))
    move = mirror(world(*[4] * count), disks=disks, layout=layout)
    assert says in refused(move, "target.layout")


def test_a_tree_that_fits_a_stripe_but_no_mirror() -> None:
    at = world(4, 4)
    at.server["estimate"] = "full\thostA@2025-08-08-deep\t9000000000\nsize\t9000000000\n"
    at.server["tree"] = [
        row.replace("\t12000000\t12000000\t", "\t12000000\t6000000000\t")
        for row in at.server["tree"]
    ]
    question = asked(mirror(at, layout=None)).question
    assert isinstance(question, Choose)
    locked = {option.value: option.locked for option in question.options}
    assert "room for 3.6 GiB" in str(locked["mirror"])
    assert locked["stripe"] is None
    assert "room for 3.6 GiB" in refused(mirror(at), "target.layout")
    # Without swap a stripe has room; with it on both disks it has not.
    assert isinstance(mirror(at, layout="stripe", swap="0"), Review)
    assert "of swap the pool would have room" in refused(
        mirror(at, layout="stripe", swap="1g"), "target.swap"
    )


def test_a_spare_that_is_too_small_or_useless() -> None:
    at = world(4, 4, 3)
    assert "smaller" in refused(mirror(at, spares="ZRDISK0003"), "target.spares")
    assert "named twice" in refused(mirror(at, spares="ZRDISK0002"), "target.spares")
    at = world(4, 4, 4)
    assert "stripe" in refused(mirror(at, layout="stripe", spares="ZRDISK0003"), "target.spares")


def test_swap_counts_on_every_disk() -> None:
    at = world(4, 4)
    assert "too small" in refused(mirror(at, swap="3800m"), "target.swap")
    assert "multiple" in refused(mirror(at, swap="1000"), "target.swap")


def test_different_sizes_are_warned_about() -> None:
    plan = planned(mirror(world(6, 4)))
    assert any("the smallest, vtbd1, counts" in note for note in plan.notes)
    plan = planned(mirror(world(4, 4)))
    assert not any("differ in size" in note for note in plan.notes)


# --- shapes ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shape", "count", "expected"),
    [
        # `zfs list -p` of such pools: less labels and 1/32, raidz by its deflation of 128 KiB.
        pytest.param(Shape.SINGLE, 1, 1.0, id="single"),
        pytest.param(Shape.MIRROR, 3, 1.0, id="mirror"),
        pytest.param(Shape.MIRRORS, 6, 3.0, id="mirrors"),
        pytest.param(Shape.STRIPE, 3, 3.0, id="stripe"),
        pytest.param(Shape.RAIDZ1, 3, 3 * 32 / 48, id="raidz1-3"),
        pytest.param(Shape.RAIDZ1, 4, 4 * 32 / 44, id="raidz1-4"),
        pytest.param(Shape.RAIDZ2, 6, 6 * 32 / 48, id="raidz2-6"),
        pytest.param(Shape.RAIDZ3, 5, 5 * 32 / 80, id="raidz3-5"),
    ],
)
def test_room(shape: Shape, count: int, expected: float) -> None:
    each = 10 * GIB
    usable = (each - 5 * 1024 * 1024) * 31 / 32
    assert abs(shapes.room(shape, count, each) - usable * expected) < 1024


def test_status_rows() -> None:
    assert shapes.status_rows(Shape.MIRRORS, 4, 1) == (
        *("mirror-0", 0, 1),
        *("mirror-1", 2, 3),
        *("spares", 4),
    )
    assert shapes.status_rows(Shape.RAIDZ2, 4, 0) == ("raidz2-0", 0, 1, 2, 3)
    assert shapes.status_rows(Shape.STRIPE, 2, 0) == (0, 1)


# --- the plan as JSON, and who may confirm it -----------------------------------------------------


def test_a_plan_of_before_with_its_one_disk_is_read() -> None:
    at = world(4, 4)
    plan = planned(at.walk(answers(at, disk="ZRDISK0001")))
    text = plan.to_json()
    start, end = text.index('  "disks": ['), text.index('  "notes":')
    one = text[start:end].split("[", 1)[1].rsplit("]", 1)[0]
    assert from_json(text[:start] + f'  "disk": {one},\n' + text[end:]) == plan
    none = from_json(text[:start] + '  "disk": null,\n' + text[end:])
    assert none.disks == ()


@pytest.mark.parametrize(
    ("typed", "right"),
    [
        pytest.param(("ZRDISK0001", "ZRDISK0002"), True, id="all"),
        pytest.param(("ZRDISK0002", "ZRDISK0001"), True, id="any-order"),
        pytest.param(("ZRDISK0001",), False, id="one-missing"),
        pytest.param(("ZRDISK0001", "ZRDISK0001"), False, id="one-twice"),
        pytest.param(("ZRDISK0001", "ZRDISK0002", "ZRDISK0003"), False, id="one-too-many"),
        pytest.param(("ZRDISK0001", "vtbd1"), False, id="a-name"),
        pytest.param((), False, id="none"),
    ],
)
def test_every_disk_must_be_named(typed: tuple[str, ...], right: bool) -> None:
    assert planned(mirror(world(4, 4))).confirmed_by(typed) is right
