"""Which streams may run side by side, and how many: nothing but data."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zrwizard.mover import lanes
from zrwizard.mover.measure import Link
from zrwizard.transfer.forest import Stream

GB = 2**30


def stream(name: str, size: int, origin: str | None = None, tree: bool = False) -> Stream:
    return Stream(
        source=f"old{name}",
        target=f"new{name}",
        kind="filesystem",
        origin=None if origin is None else f"old{origin}",
        points=("a",),
        every=True,
        raw=tree,
        tree=tree,
        guid=1,
        size=size,
    )


# --- who goes with whom -------------------------------------------------------------------------


def test_subtrees_go_side_by_side_behind_their_parent() -> None:
    streams = [stream("", 0), stream("/a", GB), stream("/a/x", GB), stream("/b", 2 * GB)]
    assert lanes.assign(streams, [], 2) in [(0, 1, 1, 2), (0, 2, 2, 1)]


def test_a_clone_is_not_parted_from_its_origin() -> None:
    streams = [stream("", 0), stream("/a", GB), stream("/b", GB, "/a@s"), stream("/c", 2 * GB)]
    found = lanes.assign(streams, [], 3)
    assert found is not None
    assert found[1] in (0, found[2])


def test_what_a_tree_stream_brings_is_waited_for() -> None:
    streams = [stream("", 0), stream("/e", GB, tree=True), stream("/e/x/y", GB), stream("/c", GB)]
    found = lanes.assign(streams, [], 2)
    assert found is not None
    assert found[1] in (0, found[2])


def test_a_large_subtree_comes_apart() -> None:
    streams = [stream("", 0), stream("/a", 0), *(stream(f"/a/{n}", GB) for n in range(4))]
    found = lanes.assign(streams, [], 4)
    assert found is not None
    assert found[:2] == (0, 0)
    assert set(found[2:]) == {1, 2, 3, 4}


@pytest.mark.parametrize(
    ("streams", "renames", "number"),
    [
        ([stream("", 0), stream("/a", GB), stream("/b", GB)], [], 1),
        ([stream("", 0), stream("/a", GB), stream("/b", GB)], [("new/b", "new/c")], 2),
        ([stream("", 0), stream("/a", GB), stream("/a/b", GB)], [], 2),
        ([stream("", 20 * GB), stream("/a", GB), stream("/b", GB)], [], 2),
        ([], [], 2),
        ([stream("", GB)], [], 4),
    ],
    ids=["one lane", "renames", "a chain", "little to gain", "nothing", "one dataset"],
)
def test_one_after_the_other(
    streams: list[Stream], renames: list[tuple[str, str]], number: int
) -> None:
    assert lanes.assign(streams, renames, number) is None


@pytest.mark.parametrize("wrong", [0, -1, lanes.MOST + 1], ids=str)
def test_a_number_that_is_none(wrong: int) -> None:
    with pytest.raises(ValueError, match="lanes"):
        lanes.assign([], [], wrong)


@st.composite
def forests(draw: st.DrawFn) -> list[Stream]:
    """Datasets, each below an earlier one, some a clone of an earlier one."""
    names = [""]
    streams = [stream("", draw(st.integers(0, GB)))]
    for n in range(draw(st.integers(0, 30))):
        name = f"{draw(st.sampled_from(names))}/{n}"
        origin = draw(st.sampled_from([None, None, None, *names]))
        size = draw(st.sampled_from([0, 1000, GB, 5 * GB]))
        streams.append(stream(name, size, None if origin is None else f"{origin}@s"))
        names.append(name)
    return streams


@given(forests(), st.integers(2, lanes.MOST))
def test_nobody_waits_for_another_lane(streams: list[Stream], number: int) -> None:
    found = lanes.assign(streams, [], number)
    if found is None:
        return
    assert len(found) == len(streams)
    assert set(found) - {0} <= set(range(1, number + 1))
    of = {one.target: lane for one, lane in zip(streams, found, strict=True)}
    for one, lane in zip(streams, found, strict=True):
        parent = of.get(one.target.rpartition("/")[0], 0)
        origin = 0 if one.origin is None else of["new" + one.origin.partition("@")[0][3:]]
        assert {parent, origin} <= {0, lane}
    each = 4 * 2**20
    held = [
        sum(s.size + each for s, at in zip(streams, found, strict=True) if at == n)
        for n in range(5)
    ]
    assert held[0] + max(held[1:]) <= 0.9 * sum(held)


def test_ten_thousand_datasets() -> None:
    chain = [stream("", 0), stream("/c0", GB)]
    chain += [stream(f"/c{n}", n, f"/c{n - 1}@s") for n in range(1, 2000)]
    chain += [stream(f"/d{n}", GB) for n in range(8000)]
    found = lanes.assign(chain, [], 4)
    assert found is not None
    assert set(found) == {0, 1, 2, 3, 4}


def test_a_long_chain_that_outweighs_all() -> None:
    chain = [stream("", 0), stream("/c0", GB)]
    chain += [stream(f"/c{n}", GB, f"/c{n - 1}@s") for n in range(1, 2000)]
    chain += [stream(f"/d{n}", 0) for n in range(8000)]
    assert lanes.assign(chain, [], 4) is None


def test_the_file() -> None:
    assert lanes.text((0, 1, 2)) == "0\n1\n2\n"


# --- how many -----------------------------------------------------------------------------------

FAR = Link(0.1, 19e6, 39e6)
"""As it was measured with a round trip of 100 ms: docs/transfers.md."""


@pytest.mark.parametrize(
    ("link", "vdevs", "rotating", "number"),
    [
        (FAR, 1, False, 4),
        (FAR, 4, True, 4),
        (FAR, 2, True, 2),
        (FAR, 1, True, 1),
        (FAR, 1, None, 1),
        (FAR, 3, None, 3),
        (Link(0.02, 88e6, 150e6), 1, False, 2),
        (Link(0.1, 100e6, 120e6), 1, False, 1),
        (Link(0.0005, 100e6, 200e6), 1, False, 1),
        (Link(0.1, 0, 0), 1, False, 1),
    ],
    ids=[
        "solid state",
        "four vdevs",
        "two vdevs",
        "one spindle",
        "unknown disk",
        "unknown disks",
        "some gain",
        "no gain",
        "near",
        "nothing came",
    ],
)
def test_the_number(link: Link, vdevs: int, rotating: bool | None, number: int) -> None:
    assert lanes.number(link, data_vdevs=vdevs, rotating=rotating) == number
