"""What there is to compare: every fate of a dataset, told by what the tools print."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.preview.rows import T0, Rows, answer
from zrwizard.freebsd import ParseError, sh
from zrwizard.preview import inventory
from zrwizard.preview.events import Fate, Pair
from zrwizard.preview.inventory import (
    Inventory,
    NotThere,
    look_commands,
    more_commands,
    pairs,
    timeline,
)


def simple() -> Rows:
    """A tree with @A at 20 and @B at 40, and a child."""
    return (
        Rows()
        .fs("tank/a", 10)
        .snap("tank/a@A", 20, 1)
        .snap("tank/a@B", 40, 2)
        .fs("tank/a/kid", 11)
        .snap("tank/a/kid@A", 20, 3)
        .snap("tank/a/kid@B", 40, 4)
    )


def by_name(
    rows: Rows | Inventory, older: str = "A", newer: str | None = "B", root: str = "tank/a"
) -> dict[str, Pair]:
    known = rows.inventory(root) if isinstance(rows, Rows) else rows
    found = pairs(known, root, older, newer, recursive=True)
    assert len({pair.dataset for pair in found}) == len(found)
    return {pair.dataset: pair for pair in found}


# --- pairs ------------------------------------------------------------------------------------


def test_both() -> None:
    assert pairs(simple().inventory(), "tank/a", "A", "B", recursive=True) == (
        Pair("tank/a", Fate.BOTH, "tank/a@A", "tank/a@B", b"/tank/a"),
        Pair("tank/a/kid", Fate.BOTH, "tank/a/kid@A", "tank/a/kid@B", b"/tank/a/kid"),
    )
    assert len(pairs(simple().inventory(), "tank/a", "A", "B", recursive=False)) == 1


def test_against_what_is_there_now() -> None:
    pair = by_name(simple(), newer=None)["tank/a/kid"]
    assert pair == Pair("tank/a/kid", Fate.BOTH, "tank/a/kid@A", "tank/a/kid", b"/tank/a/kid")
    assert pair.comparable


def test_parents_come_before_children_and_siblings_with_odd_names() -> None:
    rows = simple()
    for number, name in enumerate(["tank/a/kid/x", "tank/a/kid b", "tank/a/kid-c"]):
        rows.fs(name, 12).snap(f"{name}@A", 20, 50 + number).snap(f"{name}@B", 40, 60 + number)
    assert list(by_name(rows)) == [
        "tank/a", "tank/a/kid", "tank/a/kid/x", "tank/a/kid b", "tank/a/kid-c",
    ]  # fmt: skip


def test_children_that_lack_one() -> None:
    rows = simple().fs("tank/a/old", 12).snap("tank/a/old@A", 20, 5)
    rows.fs("tank/a/odd", 13).snap("tank/a/odd@B", 40, 6).fs("tank/a/none", 14)
    found = by_name(rows)
    old, odd, none = (found[f"tank/a/{name}"] for name in ("old", "odd", "none"))
    assert (old.fate, old.older, old.newer) == (Fate.LACKS_NEWER, "tank/a/old@A", None)
    assert old.why == "It has no snapshot @B."
    assert (odd.fate, odd.older, odd.newer) == (Fate.LACKS_OLDER, None, "tank/a/odd@B")
    assert odd.why == "It has no snapshot @A, though it was there already."
    assert none.fate is Fate.LACKS_OLDER
    assert not any(pair.comparable for pair in (old, odd, none))


def test_created_between_and_after() -> None:
    rows = simple().fs("tank/a/new", 30).snap("tank/a/new@B", 40, 5).fs("tank/a/later", 50)
    rows.fs("tank/a/clone", 31, origin="tank/a/kid@A").snap("tank/a/clone@B", 40, 6)
    found = by_name(rows)
    assert {found[f"tank/a/{name}"].fate for name in ("new", "later", "clone")} == {Fate.CREATED}
    assert found["tank/a/new"].why == "It was made after @A: all of it is new."
    assert found["tank/a/later"].why == "It was made after @B."
    assert "as a clone of tank/a/kid@A" in found["tank/a/clone"].why
    assert found["tank/a/new"].newer == "tank/a/new@B"


def test_the_wrong_way_round_is_said() -> None:
    found = by_name(simple(), older="B", newer="A")
    assert not any(pair.comparable for pair in found.values())
    assert "Here @B (2027-01-15 08:00:40 UTC) is not older than @A" in found["tank/a"].why


def test_only_a_child_has_them_the_wrong_way_round() -> None:
    rows = simple().fs("tank/a/kid/x", 12).snap("tank/a/kid/x@B", 21, 7)
    rows.snap("tank/a/kid/x@A", 33, 8)
    found = by_name(rows)
    assert found["tank/a"].comparable
    assert "choose them the other way round" in found["tank/a/kid/x"].why


def test_the_same_moment_twice() -> None:
    assert (
        by_name(simple(), older="A", newer="A")["tank/a"].why == "@A was chosen for both moments."
    )


def test_volumes() -> None:
    rows = simple().vol("tank/a/vol", 12).snap("tank/a/vol@A", 20, 5).snap("tank/a/vol@B", 40, 6)
    pair = by_name(rows)["tank/a/vol"]
    assert (pair.fate, pair.older, pair.newer) == (Fate.VOLUME, "tank/a/vol@A", "tank/a/vol@B")
    assert pair.mount is None
    assert not pair.comparable


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ({"mounted": False}, "It is not mounted: agree to a read-only mount"),
        ({"mounted": False, "canmount": "noauto"}, "(canmount=noauto)"),
        ({"mounted": False, "canmount": "off"}, "canmount=off"),
        ({"mounted": False, "key": "unavailable"}, "zfs load-key"),
        ({"mounted": False, "key": "available"}, "agree to a read-only mount"),
        ({"mounted": False, "point": "legacy"}, "mountpoint=legacy"),
        ({"mounted": False, "point": "none"}, "mountpoint=none"),
    ],
)
def test_unmounted_ones_say_what_would_help(how: dict[str, str], words: str) -> None:
    rows = simple().fs("tank/a/x", 12, **how).snap("tank/a/x@A", 20, 5).snap("tank/a/x@B", 40, 6)  # type: ignore[arg-type]
    pair = by_name(rows)["tank/a/x"]
    assert (pair.fate, pair.mount, pair.comparable) == (Fate.BOTH, None, False)
    assert words in pair.why


def test_legacy_but_mounted_by_hand() -> None:
    rows = simple().fs("tank/a/x", 12, point="legacy", mounted=False)
    rows.listed[-1] = rows.listed[-1].replace("\tno\t", "\tyes\t")
    rows.mounts.append("tank/a/x\t\t/by hand\t\tzfs\tro\t\t0 0")
    rows.snap("tank/a/x@A", 20, 5).snap("tank/a/x@B", 40, 6)
    pair = by_name(rows)["tank/a/x"]
    assert pair.mount == b"/by hand"
    assert pair.comparable


# --- renamed, destroyed, moved ----------------------------------------------------------------


def test_renamed_between() -> None:
    rows = simple().did(20, "zfs snapshot -r tank/a@A").did(30, "zfs rename tank/a/boy tank/a/kid")
    pair = by_name(rows)["tank/a/kid"]
    assert (pair.fate, pair.was, pair.comparable) == (Fate.RENAMED, "tank/a/boy", True)
    assert by_name(rows)["tank/a"].was is None


def test_renamed_before_is_not_told() -> None:
    rows = simple().did(15, "zfs rename tank/a/boy tank/a/kid").did(20, "zfs snapshot -r tank/a@A")
    assert by_name(rows)["tank/a/kid"] == by_name(simple())["tank/a/kid"]


@pytest.mark.parametrize("first", ["rename", "snapshot"])
def test_within_one_second_the_order_of_the_history_decides(first: str) -> None:
    rename, snapshot = "zfs rename tank/a/boy tank/a/kid", "zfs snapshot -r tank/a@A"
    commands = (rename, snapshot) if first == "rename" else (snapshot, rename)
    rows = simple().did(20, commands[0]).did(20, commands[1])
    assert by_name(rows)["tank/a/kid"].was == (None if first == "rename" else "tank/a/boy")


def test_several_renames_and_parents() -> None:
    rows = simple().did(20, "zfs snapshot -r tank/a@A")
    rows.did(21, "zfs rename tank/x/one tank/x/two").did(22, "zfs rename tank/x tank/a")
    rows.did(23, "zfs rename tank/a/two tank/a/kid").did(41, "zfs rename tank/q tank/r")
    found = by_name(rows)
    assert (found["tank/a"].was, found["tank/a/kid"].was) == ("tank/x", "tank/x/one")
    assert list(found) == ["tank/a", "tank/a/kid"]


def test_two_that_changed_places() -> None:
    rows = simple().fs("tank/a/b", 12).snap("tank/a/b@A", 20, 5).snap("tank/a/b@B", 40, 6)
    rows.did(21, "zfs rename tank/a/kid tank/a/tmp").did(22, "zfs rename tank/a/b tank/a/kid")
    rows.did(23, "zfs rename tank/a/tmp tank/a/b")
    found = by_name(rows)
    assert (found["tank/a/kid"].was, found["tank/a/b"].was) == ("tank/a/b", "tank/a/kid")


def test_destroyed_between() -> None:
    rows = simple().did(5, "zfs destroy tank/a/ancient").did(25, "zfs destroy -r tank/a/gone by")
    rows.did(26, "zfs create tank/a/brief").did(27, "zfs destroy tank/a/brief")
    rows.did(28, "zfs destroy tank/a/kid@old").did(29, "zfs destroy tank/b/far")
    found = by_name(rows)
    assert list(found) == ["tank/a", "tank/a/kid", "tank/a/gone by"]
    gone = found["tank/a/gone by"]
    assert (gone.fate, gone.older, gone.newer, gone.comparable) == (
        Fate.DESTROYED, None, None, False,
    )  # fmt: skip
    assert gone.why == (
        "It was destroyed on 2027-01-15 08:00:25 UTC, with all below it, as zpool history tells."
    )


def test_destroyed_under_another_name_and_made_anew() -> None:
    rows = simple().did(21, "zfs rename tank/a/x tank/a/y").did(22, "zfs destroy tank/a/y")
    rows.did(23, "zfs destroy tank/a/again").did(24, "zfs create tank/a/again")
    rows.fs("tank/a/again", 24).snap("tank/a/again@B", 40, 9)
    found = pairs(rows.inventory(), "tank/a", "A", "B", recursive=True)
    assert [(pair.dataset, pair.fate) for pair in found] == [
        ("tank/a", Fate.BOTH),
        ("tank/a/again", Fate.CREATED),
        ("tank/a/kid", Fate.BOTH),
        ("tank/a/again", Fate.DESTROYED),
        ("tank/a/x", Fate.DESTROYED),
    ]


def test_moved_out_of_the_tree_and_into_it() -> None:
    rows = (
        simple().did(21, "zfs rename tank/a/out tank/b/out").did(22, "zfs rename tank/in tank/a/in")
    )
    rows.fs("tank/a/in", 12).snap("tank/a/in@A", 20, 5).snap("tank/a/in@B", 40, 6)
    found = by_name(rows)
    assert (found["tank/a/in"].fate, found["tank/a/in"].was) == (Fate.RENAMED, "tank/in")
    out = found["tank/b/out"]
    assert (out.fate, out.was, out.comparable) == (Fate.RENAMED, "tank/a/out", False)
    assert out.why == "It does not belong to the tree any more; it is called tank/b/out now."
    rows.fs("tank/b", 1).fs("tank/b/out", 12)
    known = rows.inventory(None)
    assert by_name(known)["tank/b/out"] == out
    assert len(by_name(known)) == 4


def test_a_name_of_then_that_is_not_there_any_more() -> None:
    rows = simple().did(21, "zfs rename tank/a/x tank/a/y")
    pair = by_name(rows)["tank/a/x"]
    assert pair.fate is Fate.DESTROYED
    assert pair.why == "It was renamed to tank/a/y, which is not there any more."


def test_internal_events_go_by_their_transaction() -> None:
    rows = simple().did(500, "[txg:15] rename tank/a/girl (5) -> tank/a/kid")
    assert by_name(rows)["tank/a/kid"].was is None
    rows = simple().did(2, "[txg:21] rename tank/a/girl (5) -> tank/a/kid")
    assert by_name(rows)["tank/a/kid"].was == "tank/a/girl"


# --- promoted ---------------------------------------------------------------------------------


def promoted(*, mounted: bool = True) -> Rows:
    """tank/a/new was cloned from tank/a/kid@x and promoted, so kid's @A and @x are new's now."""
    return (
        Rows()
        .fs("tank/a", 10).snap("tank/a@A", 20, 1).snap("tank/a@B", 40, 2)
        .fs("tank/a/kid", 11, origin="tank/a/new@x").snap("tank/a/kid@B", 40, 4)
        .fs("tank/a/new", 31, mounted=mounted)
        .snap("tank/a/new@A", 20, 3).snap("tank/a/new@x", 30, 5).snap("tank/a/new@B", 40, 6)
    )  # fmt: skip


def test_promoted() -> None:
    found = by_name(promoted())
    assert found["tank/a/kid"] == Pair(
        "tank/a/kid", Fate.PROMOTED, "tank/a/new@A", "tank/a/kid@B", b"/tank/a/kid"
    )
    assert found["tank/a/kid"].comparable
    new = found["tank/a/new"]
    assert (new.fate, new.older, new.newer) == (Fate.CREATED, "tank/a/new@A", "tank/a/new@B")
    assert new.comparable
    assert by_name(promoted(), newer=None)["tank/a/kid"].newer == "tank/a/kid"


def test_promoted_after_both_moments() -> None:
    """Both snapshots went over, and are compared where they are now."""
    rows = (
        Rows()
        .fs("tank/a", 10).snap("tank/a@A", 20, 1).snap("tank/a@B", 40, 2)
        .fs("tank/a/kid", 11, origin="tank/a/new@B")
        .fs("tank/a/new", 50).snap("tank/a/new@A", 20, 3).snap("tank/a/new@B", 40, 6)
    )  # fmt: skip
    found = by_name(rows)
    assert found["tank/a/kid"] == Pair(
        "tank/a/kid", Fate.PROMOTED, "tank/a/new@A", "tank/a/new@B", b"/tank/a/new"
    )


def test_promoted_but_the_other_is_not_mounted() -> None:
    pair = by_name(promoted(mounted=False))["tank/a/kid"]
    assert pair.fate is Fate.PROMOTED
    assert pair.why.startswith("tank/a/new is needed too. It is not mounted")


def test_a_snapshot_behind_the_fork_is_the_others_alone() -> None:
    """kid hangs on new@x; a @A that new took after that was never kid's."""
    rows = (
        Rows()
        .fs("tank/a", 10).snap("tank/a@A", 35, 1).snap("tank/a@B", 40, 2)
        .fs("tank/a/kid", 11, origin="tank/a/new@x").snap("tank/a/kid@B", 40, 4)
        .fs("tank/a/new", 31).snap("tank/a/new@x", 30, 5).snap("tank/a/new@A", 35, 3)
    )  # fmt: skip
    assert by_name(rows)["tank/a/kid"].fate is Fate.LACKS_OLDER


def test_where_zfs_diff_would_not_find_the_way() -> None:
    """libzfs compares as many characters of the origin as the tag has (get_snapshot_names)."""
    rows = promoted()
    rows.listed = [row.replace("@A\t", "@A-rather-long-name\t") for row in rows.listed]
    pair = by_name(rows, older="A-rather-long-name")["tank/a/kid"]
    assert pair.fate is Fate.PROMOTED
    assert "zfs diff does not find the way there" in pair.why


def test_the_roots_own_moment_went_over() -> None:
    rows = (
        Rows()
        .fs("tank/a", 10, origin="tank/new@x").snap("tank/a@B", 40, 2)
        .fs("tank/a/kid", 25).snap("tank/a/kid@B", 40, 4)
    )  # fmt: skip
    known = rows.inventory()
    asks = more_commands(known)
    assert [ask.name for ask in asks] == ["origin of tank/new", "mounts"]
    assert asks[0].argv[-1] == "tank/new"
    beyond = (
        Rows()
        .fs("tank/new", 31).snap("tank/new@A", 20, 3).snap("tank/new@x", 30, 5)
        .fs("tank/new/below", 9)
    )  # fmt: skip
    rows.mounts += beyond.mounts
    answers = {
        "origin of tank/new": beyond.answers()["list"],
        "mounts": rows.answers()["mounts"],
    }
    more = inventory.parse("tank/a", answers, known=known)
    assert more_commands(more) == ()
    assert more.dataset("tank/new/below") is None
    found = by_name(more)
    assert found["tank/a"].fate is Fate.PROMOTED
    assert found["tank/a"].comparable
    assert found["tank/a/kid"].fate is Fate.CREATED


def test_an_origin_that_cannot_be_listed_is_told_and_not_asked_again() -> None:
    known = Rows().fs("tank/a", 10, origin="tank/new@x").snap("tank/a@B", 40, 2).inventory()
    answers = {
        "origin of tank/new": answer("", 1, "cannot open 'tank/new': permission denied\n"),
        "mounts": answer("tank/a\t\t\t/tank/a\t\t\tzfs\trw\t\t0 0\n"),
    }
    more = inventory.parse("tank/a", answers, known=known)
    assert more_commands(more) == ()
    assert more.problems == (
        "tank/new, which a clone comes from, is lacking: cannot open 'tank/new': permission denied",
    )


def test_no_such_root_and_no_such_moment() -> None:
    known = simple().inventory()
    with pytest.raises(LookupError, match="There is no dataset tank/b"):
        pairs(known, "tank/b", "A", "B", recursive=True)
    with pytest.raises(LookupError, match="Nothing in tank/a has a snapshot @C"):
        pairs(known, "tank/a", "C", "B", recursive=True)
    with pytest.raises(LookupError, match="Nothing in tank/a has a snapshot @C"):
        pairs(known, "tank/a", "A", "C", recursive=True)


# --- timeline ---------------------------------------------------------------------------------


def test_timeline() -> None:
    rows = simple().fs("tank/a/late", 30).snap("tank/a/late@B", 40, 5).snap("tank/a/kid@own", 33, 6)
    rows.fs("tank/ab", 2).snap("tank/ab@A", 20, 7).snap("tank/a/late@A", 45, 8, written=1)
    moments = timeline(rows.inventory(None), "tank/a")
    assert [(m.tag, m.count, m.total, m.complete, m.at_once) for m in moments] == [
        ("A", 3, 3, True, False), ("own", 1, 3, False, True), ("B", 3, 3, True, True),
    ]  # fmt: skip
    assert (moments[0].createtxg, moments[0].creation) == (20, T0 + 20)
    assert (moments[0].used, moments[0].referenced, moments[0].written) == (15, 900, 21)
    assert timeline(rows.inventory(None), "tank/nosuch") == ()


# --- what is asked and what comes back --------------------------------------------------------


def test_the_commands() -> None:
    asks = look_commands("tank/with space")
    assert [ask.name for ask in asks] == ["list", "mountpoints", "mounts", "history", "release"]
    assert [ask.needed for ask in asks] == [True, False, True, False, False]
    assert asks[3].argv[-1] == "tank"
    assert asks[0].argv[-1] == "tank/with space"
    assert all(sh.join(ask.argv) for ask in asks)
    assert look_commands(None)[0].argv[-1].startswith("name,type,")


def test_what_is_known_of_a_dataset() -> None:
    rows = simple().fs("tank/a/enc", 12, key="unavailable", mounted=False, point="/e")
    known = rows.inventory()
    found = known.dataset("tank/a/enc")
    assert found is not None
    assert (found.encryption, found.keystatus, found.atime) == ("aes-256-gcm", "unavailable", True)
    assert (found.mountpoint, found.mounted) == (b"/e", False)
    assert (found.logical_used, found.logical_referenced, found.written) == (1800, 600, 7)
    assert (known.release, known.problems) == ("14.3-RELEASE", ())
    assert [snapshot.tag for snapshot in known.snapshots_of("tank/a")] == ["A", "B"]
    assert known.dataset("tank/a") is not None
    assert known.dataset("tank/a").encryption is None  # type: ignore[union-attr]
    assert len(known.below("tank/a/kid")) == 1


@pytest.mark.parametrize("missing", ["list", "mounts"])
def test_what_is_needed(missing: str) -> None:
    answers = simple().answers() | {
        missing: answer("", 1, "cannot open 'tank/a': dataset does not exist\n")
    }
    with pytest.raises(NotThere, match="dataset does not exist") as caught:
        inventory.parse("tank/a", answers)
    assert caught.value.now.endswith(".")


@pytest.mark.parametrize(
    ("missing", "words"),
    [("history", "renamed and destroyed datasets are not known"), ("mountpoints", "mountpoints")],
)
@pytest.mark.parametrize("how", ["failed", "absent", "nonsense"])
def test_what_is_not_needed_becomes_a_problem(missing: str, words: str, how: str) -> None:
    answers = simple().answers()
    if how == "absent":
        del answers[missing]
    else:
        answers[missing] = answer("x\n", int(how == "failed"), "no way\n")
    known = inventory.parse("tank/a", answers)
    if missing == "history" or how != "nonsense":
        assert words in known.problems[0]
        assert ("no way" in known.problems[0]) == (how == "failed")
    else:
        assert known.problems[0] == "The mountpoint of tank/a cannot be told for certain."
    assert known.mounts == {"tank/a": b"/tank/a", "tank/a/kid": b"/tank/a/kid"}


def test_the_root_must_be_among_what_came() -> None:
    with pytest.raises(ParseError):
        inventory.parse("tank/other", simple().answers())
    rows = simple()
    rows.listed.append(rows.listed[0])
    with pytest.raises(ParseError):
        rows.inventory()


def test_hostile_mountpoints_are_not_believed() -> None:
    """What follows a newline in a mountpoint looks like the rows of others."""
    rows = simple()
    evil = "/x\ntank/a\t/evil"
    rows.fs("tank/a/z", 12, point=evil)
    rows.mounts.append("tank/a\t\t\t/evil\t\t\tzfs\trw\t\t0 0")
    known = rows.inventory()
    assert known.dataset("tank/a").mountpoint is None  # type: ignore[union-attr]
    assert known.dataset("tank/a/z").mountpoint is None  # type: ignore[union-attr]
    assert known.mounts.get("tank/a") != b"/evil"
    assert known.mounts["tank/a/kid"] == b"/tank/a/kid"
    assert any("tank/a" in problem for problem in known.problems)


def test_mounts_of_odd_names_and_letters() -> None:
    rows = (
        simple()
        .fs("tank/a/kid b", 12, point="/srv/with space")
        .fs("tank/a/kid b/c", 13, point="/é")
    )
    rows.mounts[-1] = rows.mounts[-1].replace("/é", "/??")  # as libxo prints it in the C locale
    known = rows.inventory()
    assert known.mounts["tank/a/kid b"] == b"/srv/with space"
    assert known.mounts["tank/a/kid b/c"] == "/é".encode()
    assert known.mounts["tank/a/kid"] == b"/tank/a/kid"


def test_a_mount_over_others_hides_them() -> None:
    rows = Rows().fs("tank/a", 1, point="/").fs("tank/a/usr", 2, point="/usr")
    rows.fs("tank/a/usr/home", 3, point="/usr/home").fs("tank/a/b", 4, point="/usrb")
    rows.mounts.append("tmpfs\t\t\t/usr\t\t\ttmpfs\trw\t\t0 0")
    known = rows.inventory()
    assert known.hidden == {"tank/a/usr", "tank/a/usr/home"}
    assert known.mounts["tank/a"] == b"/"


def test_as_a_real_openzfs_told_it() -> None:
    """Recorded on OpenZFS 2.1: renames, a destruction, a promotion, a hostile mountpoint."""
    recorded = json.loads((Path(__file__).parent / "openzfs.json").read_text("utf-8"))
    answers = {name: answer("\n".join(lines)) for name, lines in recorded.items()}
    known = inventory.parse("tank/a", answers)
    assert known.problems == (
        "The mountpoint of tank/a cannot be told for certain.",
        "The mountpoint of tank/a/young cannot be told for certain.",
    )
    assert known.mounts["tank/a/with space"] == b"/tank/a/with space"
    assert more_commands(known) == ()
    told = [
        (pair.dataset, pair.fate, pair.older, pair.newer, pair.was, pair.comparable)
        for pair in pairs(known, "tank/a", "A", "B", recursive=True)
    ]
    both = [f"tank/a/with space@{tag}" for tag in "AB"]
    assert told == [
        ("tank/a", Fate.BOTH, "tank/a@A", "tank/a@B", None, True),
        ("tank/a/enc", Fate.CREATED, None, "tank/a/enc@B", None, False),
        ("tank/a/girl", Fate.RENAMED, "tank/a/girl@A", "tank/a/girl@B", "tank/a/boy", False),
        ("tank/a/kid", Fate.PROMOTED, "tank/a/new@A", "tank/a/kid@B", None, True),
        ("tank/a/new", Fate.CREATED, "tank/a/new@A", "tank/a/new@B", None, True),
        ("tank/a/off", Fate.BOTH, "tank/a/off@A", "tank/a/off@B", None, False),
        ("tank/a/vol", Fate.VOLUME, "tank/a/vol@A", "tank/a/vol@B", None, False),
        ("tank/a/with space", Fate.BOTH, *both, None, True),
        ("tank/a/young", Fate.CREATED, None, "tank/a/young@B", None, False),
        ("tank/a/gone", Fate.DESTROYED, None, None, None, False),
        ("tank/b/out", Fate.RENAMED, None, None, "tank/a/out", False),
    ]
    # What zfs diff refused there: `Not an earlier snapshot from the same fs: invalid name`.
    swapped = by_name(known, older="A-rather-long-name")["tank/a/kid"]
    assert "choose them the other way round" in swapped.why
    assert [(m.tag, m.count, m.total) for m in timeline(known, "tank/a")] == [
        ("A", 6, 9), ("x", 1, 9), ("B", 9, 9), ("A-rather-long-name", 9, 9),
    ]  # fmt: skip


@given(
    st.dictionaries(
        st.sampled_from(["list", "mountpoints", "mounts", "history", "release"]),
        st.builds(
            answer,
            st.one_of(
                st.binary(max_size=80),
                st.sampled_from([r.out for r in simple().answers().values()]),
            ),
            st.sampled_from([0, 0, 0, 1]),
        ),
    )
)
@settings(max_examples=200, deadline=None)
def test_arbitrary_answers_raise_nothing_else(answers: dict[str, inventory.Result]) -> None:
    try:
        known = inventory.parse("tank/a", answers)
        pairs(known, "tank/a", "A", "B", recursive=True)
        timeline(known, "tank/a")
    except (ParseError, LookupError) as failure:
        assert str(failure)  # noqa: PT017


NAMES = ["tank/a", "tank/a/b", "tank/a/b/c", "tank/a/d", "tank/e", "tank/e/f", "tank/e/f/g"]


def above(name: str) -> str:
    return name.rpartition("/")[0]


@st.composite
def pasts(draw: st.DrawFn) -> tuple[dict[str, int], dict[str, int], list[str]]:
    """Renames at random: the names of numbered datasets before, after, and the commands."""
    then: dict[str, int] = {"tank/a": 0}
    for name in NAMES[1:]:
        if (above(name) == "tank" or above(name) in then) and draw(st.booleans()):
            then[name] = len(then)
    now, commands = dict(then), list[str]()
    for number in range(draw(st.integers(0, 6))):
        old = draw(st.sampled_from(sorted(now)))
        new = draw(
            st.sampled_from([*NAMES, f"tank/n{number}", f"{old}{number}", f"tank/a/n{number}"])
        )
        there = above(new) == "tank" or above(new) in now
        if new in now or not there or new.startswith(old + "/"):
            continue
        now = {
            new + name[len(old) :] if name == old or name.startswith(old + "/") else name: held
            for name, held in now.items()
        }
        commands.append(f"zfs rename {old} {new}")
    return then, now, commands


@example(
    (
        {"tank/a": 0, "tank/a/b": 1, "tank/e": 2},
        {"tank/c": 0, "tank/a/b": 1, "tank/a": 2},
        [
            "zfs rename tank/a/b tank/b",
            "zfs rename tank/a tank/c",
            "zfs rename tank/e tank/a",
            "zfs rename tank/b tank/a/b",
        ],
    )
)
@given(pasts())
@settings(max_examples=200, deadline=None)
def test_names_of_then_whatever_was_renamed(
    past: tuple[dict[str, int], dict[str, int], list[str]],
) -> None:
    then, now, commands = past
    rows = Rows()
    for name in sorted(now):
        rows.fs(name, 1).snap(f"{name}@A", 20, 100 + now[name])
    for number, command in enumerate(commands):
        rows.did(21 + number, command)
    known = rows.inventory(None)
    before = {number: name for name, number in then.items()}
    for root in sorted(now):
        for name, pair in by_name(known, newer=None, root=root).items():
            old = before[now[name]]
            assert pair.was == (None if old == name else old)
