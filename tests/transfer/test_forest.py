"""One stream a dataset: what comes is what `zfs send -R` would bring, in an order that works."""

from __future__ import annotations

from contextlib import suppress
from itertools import pairwise

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from tests import listing
from tests.transfer.pools import Data, Impossible, Pool, Receiver
from zrwizard.freebsd import inventory
from zrwizard.freebsd.errors import ParseError
from zrwizard.transfer.forest import Decomposition, History, Kind, NothingToSend, decompose

ROOT = "tank/hosts/a"
TAG = "now"


def source() -> Pool:
    pool = Pool("tank")
    pool.create("tank/hosts")
    pool.create(ROOT)
    return pool


def plan(pool: Pool, target: str = "zroot", history: History = History.ALL) -> Decomposition:
    return decompose(inventory.parse(pool.lines(ROOT)), ROOT, TAG, target, history=history)


def everywhere(pool: Pool, tag: str) -> None:
    for name in pool.sets:
        if name == ROOT or name.startswith(ROOT + "/"):
            pool.snapshot(name, tag)


def guid(pool: Pool, full: str) -> int:
    name, _, tag = full.partition("@")
    return next(snap.guid for snap in pool.sets[name].snaps if snap.tag == tag)


# --- what must come ------------------------------------------------------------------------------


def expected(pool: Pool) -> dict[str, Data]:
    """By its name below the root, what is sent: all with the snapshot whose parents have it too."""
    found: dict[str, Data] = {}
    for name, data in sorted(pool.sets.items(), key=lambda item: item[0].count("/")):
        tags = [snap.tag for snap in data.snaps]
        if TAG not in tags or not (name == ROOT or name.startswith(ROOT + "/")):
            continue
        short = name[len(ROOT) :]
        if short and short.rpartition("/")[0] not in found:
            continue
        found[short] = Data(data.kind, data.snaps[: tags.index(TAG) + 1], data.origin, data.key)
    held = {snap.guid for data in found.values() for snap in data.snaps}
    for short, data in found.items():
        if not short or data.origin not in held:
            data.origin = None
    return found


def came(pool: Pool, made: Decomposition, target: str) -> dict[str, Data]:
    receiver = Receiver(pool, target)
    if "/" in target:
        receiver.pool.create(target.rpartition("/")[0])
    receiver.take(made)
    return {
        name[len(target) :]: data
        for name, data in receiver.pool.sets.items()
        if name == target or name.startswith(target + "/")
    }


def check(pool: Pool, target: str, history: History) -> Decomposition:
    made = plan(pool, target, history)
    wanted, got = expected(pool), came(pool, made, target)
    assert set(got) == set(wanted)
    # What a note of an encryption root names may have roots of its own below it.
    own = {note.dataset for note in made.notes if note.kind is Kind.OWN_ROOT}
    for short, data in wanted.items():
        there = got[short]
        assert (there.kind, there.origin) == (data.kind, data.origin), short
        guids = [snap.guid for snap in there.snaps]
        if history is History.ALL:
            assert guids == [snap.guid for snap in data.snaps], short
        else:
            assert guids[-1] == data.snaps[-1].guid
            assert set(guids) <= {snap.guid for snap in data.snaps}
        assert (there.key is None) == (data.key is None)
        if data.key and not any((ROOT + short + "/").startswith(top + "/") for top in own):
            same = data.key[len(ROOT) :] if data.key.startswith(ROOT) else None
            # A root that lies above what is sent is not there; the topmost one takes its place.
            assert there.key == target + (same if same is not None else _top(wanted, short))
    left_out = {note.dataset for note in made.notes if note.kind is Kind.LEFT_OUT}
    below = {name for name in pool.sets if name.startswith(ROOT)}
    assert left_out == {name for name in below if name[len(ROOT) :] not in wanted}
    whole = {note.dataset for note in made.notes if note.kind is Kind.WHOLE}
    assert whole == {
        ROOT + short
        for short, data in wanted.items()
        if pool.sets[ROOT + short].origin is not None and data.origin is None
    }
    return made


def _top(wanted: dict[str, Data], short: str) -> str:
    while short and wanted[short.rpartition("/")[0]].key == wanted[short].key:
        short = short.rpartition("/")[0]
    return short


# --- any forest ----------------------------------------------------------------------------------

NAMES = ("usr", "var", "ROOT", "b e", "ünï")


class Maker:
    """Does drawn commands to a pool; those that zfs would refuse change nothing."""

    def __init__(self, data: st.DataObject) -> None:
        self.data, self.pool = data, source()

    def pick(self) -> str:
        return self.data.draw(st.sampled_from(sorted(self.pool.sets)))

    def new(self) -> str:
        return f"{self.pick()}/{self.data.draw(st.sampled_from(NAMES))}"

    def snap(self) -> int:
        snaps = [s.guid for data in self.pool.sets.values() for s in data.snaps]
        if not snaps:
            raise Impossible("no snapshot yet")
        return self.data.draw(st.sampled_from(sorted(snaps)))

    def step(self) -> None:
        draw = self.data.draw
        match draw(
            st.sampled_from(
                ["create"] * 3
                + ["snap"] * 3
                + ["clone"] * 4
                + ["promote"] * 3
                + ["volume", "crypt", "prune"]
            )
        ):
            case "create":
                self.pool.create(self.new())
            case "volume":
                self.pool.create(self.new(), "volume")
            case "crypt":
                self.pool.create(self.new(), encrypted=True)
            case "snap":
                self.pool.snapshot(self.pick(), draw(st.sampled_from("abcdef")))
            case "clone":
                self.pool.clone(self.snap(), self.new())
            case "promote":
                self.pool.promote(self.pick())
            case _:
                self.pool.destroy_snapshot(self.snap())


@settings(max_examples=400, deadline=None)
@given(st.data())
def test_any_forest_comes_as_a_whole(data: st.DataObject) -> None:
    maker = Maker(data)
    for _ in range(data.draw(st.integers(0, 30))):
        with suppress(Impossible):
            maker.step()
    pool = maker.pool
    missing = data.draw(st.sets(st.sampled_from(sorted(pool.sets)), max_size=2))
    for name in sorted(pool.sets):
        if name == ROOT or name not in missing:
            pool.snapshot(name, TAG)
    for _ in range(data.draw(st.integers(0, 8))):
        with suppress(Impossible):
            maker.step()
    for name in sorted({ROOT} | data.draw(st.sets(st.sampled_from(sorted(pool.sets))))):
        with suppress(Impossible):
            pool.snapshot(name, TAG)
    target = data.draw(st.sampled_from(["zroot", "zroot/old/a"]))
    made = check(pool, target, data.draw(st.sampled_from(History)))
    for kind in {note.kind for note in made.notes}:
        event(kind)


# --- by name -------------------------------------------------------------------------------------


def test_a_host_with_boot_environments() -> None:
    pool = source()
    for name in ("ROOT", "ROOT/default", "usr", "var"):
        pool.create(f"{ROOT}/{name}")
    pool.create(f"{ROOT}/swapvol", "volume")
    everywhere(pool, "2026-01")
    pool.clone(guid(pool, f"{ROOT}/ROOT/default@2026-01"), f"{ROOT}/ROOT/14.1")
    everywhere(pool, TAG)
    made = check(pool, "zroot", History.ALL)
    rows = [(s.source.removeprefix(ROOT), s.target, s.points, s.origin) for s in made.streams]
    assert rows == [
        ("", "zroot", ("2026-01", TAG), None),
        ("/ROOT", "zroot/ROOT", ("2026-01", TAG), None),
        ("/ROOT/default", "zroot/ROOT/default", ("2026-01", TAG), None),
        ("/ROOT/14.1", "zroot/ROOT/14.1", (TAG,), f"{ROOT}/ROOT/default@2026-01"),
        ("/swapvol", "zroot/swapvol", ("2026-01", TAG), None),
        ("/usr", "zroot/usr", ("2026-01", TAG), None),
        ("/var", "zroot/var", ("2026-01", TAG), None),
    ]
    assert all(s.every and not s.raw and not s.tree and s.size == 550 for s in made.streams)
    assert (made.renames, made.notes) == ((), ())


def test_only_the_chosen_snapshot_and_what_clones_build_upon() -> None:
    pool = source()
    pool.create(f"{ROOT}/be")
    for tag in ("a", "b", "c"):
        everywhere(pool, tag)
    pool.clone(guid(pool, f"{ROOT}/be@b"), f"{ROOT}/new")
    everywhere(pool, TAG)
    made = check(pool, "zroot", History.CHOSEN)
    assert [(s.points, s.every, s.size) for s in made.streams] == [
        ((TAG,), False, 100),
        (("b", TAG), False, 100),
        ((TAG,), False, 550),
    ]
    assert [note.kind for note in made.notes] == [Kind.HISTORY]


def test_a_parent_that_was_promoted_away_is_put_together_in_the_end() -> None:
    pool = source()
    pool.create(f"{ROOT}/p")
    pool.snapshot(f"{ROOT}/p", "a")
    pool.clone(guid(pool, f"{ROOT}/p@a"), f"{ROOT}/p/c")
    pool.create(f"{ROOT}/p/c/d")
    pool.promote(f"{ROOT}/p/c")
    everywhere(pool, TAG)
    made = check(pool, "zroot", History.ALL)
    assert [(s.source.removeprefix(ROOT), s.target) for s in made.streams] == [
        ("", "zroot"),
        ("/p/c", "zroot/zrwizard-aside-1"),
        ("/p", "zroot/p"),
        ("/p/c/d", "zroot/zrwizard-aside-1/d"),
    ]
    assert made.renames == (("zroot/zrwizard-aside-1", "zroot/p/c"),)
    assert [note.kind for note in made.notes] == [Kind.ASIDE]


def test_an_encryption_root_comes_with_its_heirs() -> None:
    pool = source()
    pool.create(f"{ROOT}/home", encrypted=True)
    pool.create(f"{ROOT}/home/ann")
    pool.create(f"{ROOT}/alone", encrypted=True)
    everywhere(pool, "a")
    everywhere(pool, TAG)
    made = check(pool, "zroot", History.ALL)
    rows = [(s.source.removeprefix(ROOT), s.raw, s.tree, s.points, s.size) for s in made.streams]
    assert rows == [
        ("", False, False, ("a", TAG), 550),
        ("/alone", True, False, ("a", TAG), 550),
        ("/home", True, True, (TAG,), 1100),
    ]
    assert [(note.kind, note.dataset) for note in made.notes] == [(Kind.TREE, f"{ROOT}/home")]


def test_an_encryption_root_whose_heir_lacks_the_snapshot_comes_one_by_one() -> None:
    pool = source()
    for name in ("home", "home/ann", "home/ann/mail", "home/tmp"):
        pool.create(f"{ROOT}/{name}", encrypted=name == "home")
    everywhere(pool, "a")
    for name in ("", "/home", "/home/ann", "/home/ann/mail"):
        pool.snapshot(ROOT + name, TAG)
    made = check(pool, "zroot", History.ALL)
    assert [stream.tree for stream in made.streams] == [False] * 4
    assert {note.kind for note in made.notes} == {Kind.LEFT_OUT, Kind.OWN_ROOT}


def test_an_encryption_root_that_builds_upon_others_comes_one_by_one() -> None:
    pool = source()
    for name in ("plain", "e", "e/in"):
        pool.create(f"{ROOT}/{name}", encrypted=name == "e")
    everywhere(pool, "a")
    pool.clone(guid(pool, f"{ROOT}/plain@a"), f"{ROOT}/e/clone")
    everywhere(pool, TAG)
    made = check(pool, "zroot", History.ALL)
    assert [stream.tree for stream in made.streams] == [False] * 5
    assert [(note.kind, note.dataset) for note in made.notes] == [(Kind.OWN_ROOT, f"{ROOT}/e")]


def test_an_encryption_root_with_a_circle_in_it_comes_one_by_one() -> None:
    pool = source()
    for name in ("e", "e/p"):
        pool.create(f"{ROOT}/{name}", encrypted=name == "e")
    pool.snapshot(f"{ROOT}/e/p", "a")
    pool.clone(guid(pool, f"{ROOT}/e/p@a"), f"{ROOT}/e/p/c")
    pool.promote(f"{ROOT}/e/p/c")
    everywhere(pool, TAG)
    made = check(pool, "zroot", History.ALL)
    assert [stream.tree for stream in made.streams] == [False] * 4
    assert [(note.kind, note.dataset) for note in made.notes] == [
        (Kind.OWN_ROOT, f"{ROOT}/e"),
        (Kind.ASIDE, f"{ROOT}/e/p/c"),
    ]


def test_a_root_that_was_promoted_away_comes_whole() -> None:
    pool = source()
    pool.snapshot(ROOT, "a")
    pool.clone(guid(pool, f"{ROOT}@a"), f"{ROOT}/c")
    pool.promote(f"{ROOT}/c")
    everywhere(pool, TAG)
    made = check(pool, "zroot", History.ALL)
    assert [(stream.target, stream.origin) for stream in made.streams] == [
        ("zroot", None),
        ("zroot/c", None),
    ]
    assert [(note.kind, note.dataset) for note in made.notes] == [(Kind.WHOLE, ROOT)]


def test_two_are_put_aside_one_in_the_other() -> None:
    pool = source()
    for top, child in (("p", "p/c"), ("p/c/x", "p/c/x/d")):
        pool.create(f"{ROOT}/{top}")
        pool.snapshot(f"{ROOT}/{top}", "a")
        pool.clone(guid(pool, f"{ROOT}/{top}@a"), f"{ROOT}/{child}")
        pool.promote(f"{ROOT}/{child}")
    everywhere(pool, TAG)
    made = check(pool, "zroot", History.ALL)
    assert [new for _, new in made.renames] == ["zroot/p/c", "zroot/p/c/x/d"]


def test_a_clone_of_a_snapshot_newer_than_the_chosen_one_comes_whole() -> None:
    pool = source()
    pool.create(f"{ROOT}/be")
    everywhere(pool, TAG)
    pool.snapshot(f"{ROOT}/be", "after")
    pool.clone(guid(pool, f"{ROOT}/be@after"), f"{ROOT}/new")
    pool.snapshot(f"{ROOT}/new", TAG)
    made = check(pool, "zroot", History.ALL)
    assert [stream.origin for stream in made.streams] == [None] * 3
    assert [(note.kind, note.dataset) for note in made.notes] == [(Kind.WHOLE, f"{ROOT}/new")]


def test_what_does_not_travel_is_said() -> None:
    lines = [
        listing.dataset(ROOT),
        listing.snapshot(f"{ROOT}@{TAG}", 2, 2, userrefs=3),
        listing.snapshot(f"{ROOT}@later", 4, 4, userrefs=1),
        listing.bookmark(f"{ROOT}#mark"),
    ]
    made = decompose(inventory.parse(lines), ROOT, TAG, "zroot")
    assert {(note.kind, note.text.split(":")[1]) for note in made.notes} == {
        (Kind.HOLDS, " 2 stay there."),
        (Kind.BOOKMARKS, " 1 stay there."),
    }


@pytest.mark.parametrize("root", ["tank/hosts/b", ROOT], ids=["absent", "without it"])
def test_without_the_snapshot_there_is_nothing_to_send(root: str) -> None:
    pool = source()
    pool.snapshot(ROOT, "other")
    with pytest.raises(NothingToSend, match=root):
        decompose(inventory.parse(pool.lines(ROOT)), root, TAG, "zroot")


# --- the listing ---------------------------------------------------------------------------------


def test_snapshots_are_put_in_the_order_in_which_they_were_made() -> None:
    pool = source()
    for tag in "abc":
        pool.snapshot(ROOT, tag)
    head, *rows = pool.lines(ROOT)
    found = inventory.parse([head, rows[2], rows[0], rows[1]])[ROOT].snapshots
    assert found.tags == ["a", "b", "c"]
    assert list(found.guids) == [snap.guid for snap in pool.sets[ROOT].snaps]
    assert all(a < b for a, b in pairwise(found.txgs))
    assert (found.find("b"), found.find("x")) == (1, None)


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("a\tb", "2 columns"),
        (listing.snapshot("p@a", 1, 1), "does not come before"),
        (listing.dataset("p", type="thing"), "not a dataset"),
        (listing.dataset("p", usedbydataset="x"), "usedbydataset"),
        (listing.dataset("p", compression="off", compressratio="x"), "compressratio"),
        (listing.dataset("p") + listing.snapshot("p@a", 1, -1), "number"),
    ],
    ids=["columns", "orphan", "kind", "size", "ratio", "guid"],
)
def test_nonsense_is_refused_in_words(line: str, what: str) -> None:
    with pytest.raises(ParseError, match=what):
        inventory.parse(line.split("\n"))


@given(st.lists(st.text(alphabet="a@#/\t-0 9\n", max_size=40), max_size=5))
def test_any_lines_are_understood_or_refused(lines: list[str]) -> None:
    with suppress(ParseError):
        inventory.parse(lines)
