"""Two machines: snapshots are the same by guid, whatever they are called on either side."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.preview.rows import Rows
from zrwizard.freebsd import zfs_send
from zrwizard.preview.relate import Relation, relate


def one(here: Rows, there: Rows, name: str = "tank/a") -> Relation:
    found = relate(here.inventory(None), there.inventory(None), "tank/a", "bak/a")
    (relation,) = [row for row in found if row.here == name]
    return relation


def tags(relation: Relation) -> tuple[list[str], list[str]]:
    return (
        [snapshot.name for snapshot in relation.only_here],
        [snapshot.name for snapshot in relation.only_there],
    )


def live() -> Rows:
    return (
        Rows().fs("tank/a", 1).snap("tank/a@1", 10, 101).snap("tank/a@2", 20, 102)
        .snap("tank/a@3", 30, 103)
    )  # fmt: skip


def test_the_copy_is_behind() -> None:
    copy = Rows().fs("bak/a", 500).snap("bak/a@1", 501, 101)
    relation = one(live(), copy)
    assert relation == Relation(
        "tank/a", "bak/a", ("tank/a@1", "bak/a@1"), relation.only_here, (),
        ("zfs", "send", "-nvP", "-I", "tank/a@1", "tank/a@3"),
    )  # fmt: skip
    assert tags(relation) == (["tank/a@2", "tank/a@3"], [])


def test_the_copy_is_up_to_date_and_keeps_what_is_gone_here() -> None:
    copy = Rows().fs("bak/a", 500).snap("bak/a@0", 501, 100).snap("bak/a@3", 502, 103)
    relation = one(live(), copy)
    assert (relation.common, relation.next_send, relation.why) == (
        ("tank/a@3", "bak/a@3"), None, "",
    )  # fmt: skip
    assert tags(relation) == (["tank/a@1", "tank/a@2"], ["bak/a@0"])


def test_names_on_the_other_side_do_not_matter() -> None:
    copy = (
        Rows().fs("bak/a", 499).fs("bak/a/elsewhere", 500)
        .snap("bak/a/elsewhere@renamed", 501, 102).snap("bak/a/elsewhere@1", 502, 777)
    )  # fmt: skip
    found = relate(live().inventory(None), copy.inventory(None), "tank/a", "bak/a")
    assert [(row.here, row.there) for row in found] == [
        ("tank/a", "bak/a/elsewhere"), (None, "bak/a"),
    ]  # fmt: skip
    assert found[0].common == ("tank/a@2", "bak/a/elsewhere@renamed")
    assert [snapshot.name for snapshot in found[0].only_there] == ["bak/a/elsewhere@1"]
    assert found[1].why.startswith("Only the copy has it")


def test_equal_names_with_other_guids_are_not_the_same() -> None:
    copy = Rows().fs("bak/a", 500).snap("bak/a@1", 501, 901).snap("bak/a@3", 502, 903)
    relation = one(live(), copy)
    assert (relation.there, relation.common) == ("bak/a", None)
    assert "no snapshot in common" in relation.why
    assert relation.next_send == ("zfs", "send", "-nvP", "tank/a@3")
    assert tags(relation) == (["tank/a@1", "tank/a@2", "tank/a@3"], ["bak/a@1", "bak/a@3"])


def test_the_copy_has_snapshots_of_its_own_behind_the_common_one() -> None:
    copy = Rows().fs("bak/a", 500).snap("bak/a@2", 501, 102).snap("bak/a@own", 502, 900)
    relation = one(live(), copy)
    assert relation.next_send is not None
    assert "has 1 snapshot behind the common one that is not here" in relation.why
    copy.snap("bak/a@own2", 503, 901)
    assert "has 2 snapshots behind" in one(live(), copy).why


def test_the_copy_is_ahead() -> None:
    copy = Rows().fs("bak/a", 500).snap("bak/a@3", 501, 103).snap("bak/a@4", 502, 104)
    relation = one(live(), copy)
    assert relation.next_send is None
    assert relation.why == "The copy is ahead by 1 snapshot: nothing is to be sent from here."


def test_only_on_one_side() -> None:
    here = live().fs("tank/a/new", 5).snap("tank/a/new@3", 30, 203).fs("tank/a/bare", 6)
    there = Rows().fs("bak/a", 500).snap("bak/a@3", 501, 103).fs("bak/a/old", 502)
    there.snap("bak/a/old@1", 503, 301)
    found = relate(here.inventory(None), there.inventory(None), "tank/a", "bak/a")
    assert [(row.here, row.there) for row in found] == [
        ("tank/a", "bak/a"), ("tank/a/new", None), ("tank/a/bare", None), (None, "bak/a/old"),
    ]  # fmt: skip
    assert found[1].next_send == ("zfs", "send", "-nvP", "tank/a/new@3")
    assert found[1].why == "The copy does not have it: it has to be sent in full."
    assert found[2].next_send is None
    assert "without a snapshot it cannot be sent" in found[2].why
    assert [snapshot.tag for snapshot in found[3].only_there] == ["1"]


def test_of_several_copies_the_freshest_and_then_the_one_in_its_place() -> None:
    there = (
        Rows().fs("bak/a", 500).snap("bak/a@1", 501, 101)
        .fs("bak/a/fresh", 502).snap("bak/a/fresh@3", 503, 103)
    )  # fmt: skip
    assert one(live(), there).there == "bak/a/fresh"
    there.snap("bak/a@3", 504, 103)
    assert one(live(), there).there == "bak/a"


def test_a_clone_here_does_not_take_the_copy_of_its_origin() -> None:
    """Only the fresher of two that claim one copy gets it."""
    here = live().fs("tank/a/b", 11).snap("tank/a/b@x", 12, 101)
    there = Rows().fs("bak/a", 500).snap("bak/a@1", 501, 101).snap("bak/a@2", 502, 102)
    found = relate(here.inventory(None), there.inventory(None), "tank/a", "bak/a")
    assert [(row.here, row.there) for row in found] == [("tank/a", "bak/a"), ("tank/a/b", None)]


def test_without_its_key_the_blocks_are_sent_as_they_are() -> None:
    here = Rows().fs("tank/a", 1, key="unavailable", mounted=False).snap("tank/a@1", 10, 101)
    relation = one(here, Rows().fs("bak/a", 500))
    assert relation.next_send == ("zfs", "send", "-nvP", "-w", "tank/a@1")


@pytest.mark.parametrize(("root", "side"), [("tank/x", "here"), ("tank/a", "there")])
def test_a_root_that_is_not_there(root: str, side: str) -> None:
    with pytest.raises(LookupError, match=side):
        relate(live().inventory(None), live().inventory(None), root, "bak/a")


GUIDS = st.lists(st.integers(1, 12), unique=True, max_size=8)
TREES = st.lists(GUIDS, min_size=1, max_size=4)


def rows_of(root: str, trees: list[list[int]]) -> Rows:
    rows = Rows()
    for number, guids in enumerate(trees):
        name = root if number == 0 else f"{root}/n{number}"
        rows.fs(name, number + 1)
        for txg, guid in enumerate(guids):
            rows.snap(f"{name}@{txg}", 10 + txg, guid + 100)
    return rows


@given(TREES, TREES)
@settings(max_examples=200, deadline=None)
def test_every_dataset_once_and_the_newest_common_one(
    here: list[list[int]], there: list[list[int]]
) -> None:
    ours, theirs = rows_of("tank/a", here).inventory(None), rows_of("bak/a", there).inventory(None)
    found = relate(ours, theirs, "tank/a", "bak/a")
    assert sorted(row.here for row in found if row.here) == sorted(d.name for d in ours.datasets)
    assert sorted(row.there for row in found if row.there) == sorted(
        d.name for d in theirs.datasets
    )
    for row in found:
        if not row.here or not row.there:
            continue
        mine = [snapshot.guid for snapshot in ours.snapshots_of(row.here)]
        copy = {snapshot.guid: snapshot.name for snapshot in theirs.snapshots_of(row.there)}
        shared = [guid for guid in mine if guid in copy]
        if not shared:
            assert row.common is None
        else:
            assert row.common is not None
            assert row.common[1] == copy[shared[-1]]
        assert {snapshot.guid for snapshot in row.only_here} == set(mine) - set(copy)
        assert {snapshot.guid for snapshot in row.only_there} == set(copy) - set(mine)
        assert (row.next_send is None) == (not mine or mine[-1] in copy)


def test_the_forms_of_an_estimate() -> None:
    assert zfs_send.estimate_between("a@1", "a@2") == ("zfs", "send", "-nvP", "-i", "a@1", "a@2")
    assert zfs_send.estimate_between(None, "a@2", compressed=True)[-2:] == ("-c", "a@2")
