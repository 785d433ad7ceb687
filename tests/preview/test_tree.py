"""The tree of changes against a simple model of it, and what a screen relies on."""

from __future__ import annotations

import fnmatch
import random
from collections.abc import Iterable, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zrwizard.preview.events import (
    Began,
    Change,
    Coverage,
    DatasetEnded,
    Ended,
    Fate,
    Found,
    Pair,
    Sized,
)
from zrwizard.preview.records import Counts, Row
from zrwizard.preview.tree import ROOT, Tree

TANK = Pair("tank", Fate.BOTH, "tank@a", "tank@b", b"/tank")
CHILD = Pair("tank/child", Fate.BOTH, "tank/child@a", "tank/child@b", b"/tank/child")


def change(kind: str, path: bytes, new: bytes | None = None, type_: str = "F") -> Change:
    return Change(kind, type_, path, new, 0, 5)


def tree_of(*changes: Change, pair: Pair = TANK) -> Tree:
    tree = Tree()
    tree.add(pair, changes)
    return tree


def node(tree: Tree, path: bytes) -> int:
    found = tree.node(path)
    assert found is not None, path
    return found


def names(tree: Tree) -> list[tuple[int, bytes]]:
    return [(row.depth, row.name) for row in tree.rows(0, tree.row_count)]


def row_at(tree: Tree, path: bytes) -> Row:
    return tree.row(node(tree, path))


# --- where changes go -----------------------------------------------------------------------------


def test_datasets_are_merged_by_path_and_marked_at_their_mountpoints() -> None:
    tree = tree_of(change("M", b"/tank/a"))
    tree.add(CHILD, [change("+", b"/tank/child/x/y")])
    assert names(tree) == [(0, b"/"), (1, b"tank"), (2, b"a"), (2, b"child")]
    assert [row.dataset for row in tree.rows(0, 9)] == [None, "tank", None, "tank/child"]
    assert tree.dataset(node(tree, b"/tank/child/x")) == "tank/child"
    assert tree.dataset(node(tree, b"/tank/a")) == "tank"
    assert tree.dataset(ROOT) is None


def test_the_parents_word_on_a_mountpoint_and_the_childs_own_are_both_kept() -> None:
    tree = tree_of(change("M", b"/tank/child", type_="/"))
    tree.add(CHILD, [change("M", b"/tank/child/", type_="/")])
    facts = tree.facts(node(tree, b"/tank/child"))
    assert [(fact.kind, fact.dataset) for fact in facts] == [("M", "tank"), ("M", "tank/child")]
    assert tree.counts() == Counts(modified=2, paths=1)


def test_a_dataset_at_the_root_counts_its_root_once() -> None:
    pair = Pair("zroot", Fate.BOTH, "zroot@a", "zroot@b", b"/")
    tree = tree_of(change("M", b"/", type_="/"), change("+", b"/etc"), pair=pair)
    tree.size(pair, [(b"/", 3, 4)])
    assert tree.counts() == Counts(added=1, modified=1, paths=2, before=3, after=4, sized=1)
    assert tree.rows(0, 1)[0].dataset == "zroot"
    assert [path for _, path in tree.entries()] == [b"/", b"/etc"]


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_a_replaced_file_keeps_both_facts_in_whatever_order_they_come(order: Sequence[int]) -> None:
    both = [Change("-", "F", b"/tank/a", None, 0, 7), Change("+", "@", b"/tank/a", None, 0, 9)]
    tree = tree_of(*(both[at] for at in order))
    row = row_at(tree, b"/tank/a")
    assert (row.word, row.kinds, row.type) == ("replaced", "-+", "@")
    facts = tree.facts(row.node)
    assert {(fact.kind, fact.type, fact.when) for fact in facts} == {("-", "F", 7), ("+", "@", 9)}
    assert row.counts == Counts(added=1, removed=1, paths=1)
    assert tree.changes == 2


def test_a_renamed_file_stands_at_its_new_path_and_points_from_its_old_one() -> None:
    tree = tree_of(change("R", b"/tank/old/a", b"/tank/new/b"))
    new, old = row_at(tree, b"/tank/new/b"), row_at(tree, b"/tank/old/a")
    assert (new.word, new.kinds, new.came_from, new.went_to) == (
        "renamed",
        "R",
        b"/tank/old/a",
        None,
    )
    assert (old.word, old.kinds, old.went_to, old.came_from) == (
        "moved away",
        "",
        b"/tank/new/b",
        None,
    )
    assert old.counts == Counts()
    assert tree.counts() == Counts(renamed=1, paths=1)


def test_two_files_that_change_places() -> None:
    tree = tree_of(
        change("R", b"/tank/a", b"/tank/b"),
        change("R", b"/tank/b", b"/tank/a"),
        change("+", b"/tank/log"),
    )
    tree.add(TANK, [change("R", b"/tank/log", b"/tank/log.0")])
    for path, other in ((b"/tank/a", b"/tank/b"), (b"/tank/b", b"/tank/a")):
        row = row_at(tree, path)
        assert (row.word, row.came_from, row.went_to) == ("renamed", other, other)
    log = row_at(tree, b"/tank/log")
    assert (log.word, log.went_to, log.came_from) == ("added", b"/tank/log.0", None)
    assert tree.counts() == Counts(added=1, renamed=3, paths=4)


def test_a_file_over_a_removed_one_by_renaming() -> None:
    tree = tree_of(change("-", b"/tank/b"), change("R", b"/tank/a", b"/tank/b"))
    row = row_at(tree, b"/tank/b")
    assert (row.word, row.kinds, row.came_from) == ("replaced", "-R", b"/tank/a")
    removed, renamed = tree.facts(row.node)
    assert (removed.kind, removed.old_path) == ("-", None)
    assert (renamed.kind, renamed.old_path) == ("R", b"/tank/a")


def test_a_file_becomes_a_directory_with_changes_below() -> None:
    tree = tree_of(change("-", b"/tank/a"), change("+", b"/tank/a/b"))
    tree.add(TANK, [change("+", b"/tank/a", type_="/")])
    row = row_at(tree, b"/tank/a")
    assert (row.word, row.type, row.has_children) == ("replaced", "/", True)
    assert row.counts == Counts(added=2, removed=1, paths=2)


def test_bytes_add_up_are_replaced_and_follow_a_rename() -> None:
    tree = tree_of(
        change("M", b"/tank/d/a"), change("R", b"/tank/d/o", b"/tank/n"), change("-", b"/tank/d/x")
    )
    assert row_at(tree, b"/tank/d/a").before is None
    tree.size(TANK, [(b"/tank/d/a", 10, 30), (b"/tank/d/o", 5, 5), (b"/tank/d/x", 7, None)])
    tree.size(TANK, [(b"/tank/nowhere", 1, 1), (b"/tank/d/a", 10, 40)])
    assert row_at(tree, b"/tank/d").counts[5:] == (17, 40, 2)
    assert tree.counts()[5:] == (22, 45, 3)
    assert row_at(tree, b"/tank/n")[11:13] == (5, 5)
    assert row_at(tree, b"/tank/d/x")[11:13] == (7, None)
    tree.add(TANK, [change("+", b"/tank/e")])
    tree.size(TANK, [(b"/tank/e", None, 1)])
    assert tree.counts()[5:] == (22, 46, 4)


def test_numbers_that_no_clock_and_no_disk_can_hold_are_not_known() -> None:
    when = 10**28
    tree = tree_of(Change("+", "F", b"/tank/a", None, 1, when), Change("M", "F", b"/b", None, 0, 1))
    tree.add(TANK, [Change("+", "F", b"/tank/b", None, 0, when)] * 2)
    tree.size(TANK, [(b"/tank/a", None, 1 << 70), (b"/tank/b", (1 << 63) - 1, (1 << 63) - 1)])
    tree.size(TANK, [(b"/b", (1 << 63) - 1, 0)])
    assert [fact.when for fact in tree.facts(node(tree, b"/tank/a"))] == [-1]
    assert tree.row(node(tree, b"/tank/a")).after is None
    assert tree.counts().before == 2 * ((1 << 63) - 1)


NAME = st.binary(min_size=1, max_size=6).map(lambda raw: raw.replace(b"/", b"\n").strip(b"\0"))


@given(
    st.lists(
        st.tuples(
            st.sampled_from("+-MR"),
            st.lists(NAME, min_size=0, max_size=4),
            st.lists(NAME, max_size=3),
        ),
        max_size=12,
    ),
    st.text(max_size=4),
)
@settings(max_examples=150, deadline=None)
def test_no_name_makes_it_raise(
    told: list[tuple[str, list[bytes], list[bytes]]], text: str
) -> None:
    tree = Tree()
    for kind, parts, others in told:
        path, other = b"/" + b"/".join(parts), b"/" + b"/".join(others)
        tree.add(TANK, [change(kind, path, other if kind == "R" else None)])
    tree.open_all_below(ROOT)
    assert tree.changes == len(told)
    rows = tree.rows(0, 1000)
    assert [tree.index(row.node) for row in rows] == list(range(tree.row_count))
    tree.find(text)
    tree.filter(name=text)
    assert 0 <= tree.shown.shown <= tree.shown.total


# --- against a model ------------------------------------------------------------------------------


class Model:
    """The same by the plainest means: a dict of paths, everything computed anew."""

    def __init__(self) -> None:
        self.kinds: dict[bytes, str] = {}
        self.left: set[bytes] = set()
        self.sizes: dict[bytes, tuple[int, int]] = {}
        self.open = {b"/", b"/tank"}

    def add(self, changes: Iterable[Change]) -> None:
        for kind, _, path, new_path, *_ in changes:
            at = path if new_path is None else new_path
            self.kinds[at] = self.kinds.get(at, "") + kind
            if new_path is not None:
                self.left.add(path)

    def rows(self, keep: set[bytes] | None = None) -> list[tuple[bytes, Counts, int]]:
        marked = self.kinds.keys() | self.left | {b"/tank"}
        wanted = marked if keep is None else keep
        known = {above for path in wanted for above in self.above(path)} | wanted | {b"/"}
        seen = [path for path in known if all(up in self.open for up in self.above(path))]
        return [
            (path, self.counts(path), self.changed_below(path, wanted))
            for path in sorted(seen, key=lambda path: path.split(b"/") if path != b"/" else [])
        ]

    def above(self, path: bytes) -> list[bytes]:
        parts = path.strip(b"/").split(b"/")
        return [b"/"][: path != b"/"] + [
            b"/" + b"/".join(parts[:at]) for at in range(1, len(parts))
        ]

    def below(self, path: bytes) -> list[bytes]:
        return [kid for kid in self.kinds if path == kid or path in self.above(kid)]

    def changed_below(self, path: bytes, wanted: set[bytes]) -> int:
        return sum(1 for kid in self.below(path) if kid in wanted)

    def counts(self, path: bytes) -> Counts:
        kids = self.below(path)
        letters = "".join(self.kinds[kid] for kid in kids)
        sizes = [self.sizes[kid] for kid in kids if kid in self.sizes]
        return Counts(
            *(letters.count(kind) for kind in "+-MR"),
            paths=len(kids),
            before=sum(old for old, _ in sizes),
            after=sum(new for _, new in sizes),
            sized=len(sizes),
        )

    def matching(self, kinds: str, pattern: str, least: int) -> set[bytes]:
        found = set()
        for path in self.kinds.keys() | self.left:
            facts = self.kinds.get(path, "") + ("R" if path in self.left else "")
            name = path.decode().lower() if "/" in pattern else path.rpartition(b"/")[2].decode()
            is_glob = any(letter in pattern for letter in "*?[")
            said = (
                fnmatch.fnmatchcase(name.lower(), pattern.lower())
                if is_glob
                else pattern.lower() in name.lower()
            )
            size = max(self.sizes.get(path, (-1, -1)))
            if set(facts) & set(kinds or "+-MR") and said and (not least or size >= least):
                found.add(path)
        return found


def random_changes(dice: random.Random, count: int) -> list[Change]:
    def path() -> bytes:
        parts = [dice.choice("abcdEé") * dice.randint(1, 2) for _ in range(dice.randint(1, 5))]
        return "/".join(["/tank", *parts]).encode()

    found = []
    for _ in range(count):
        kind = dice.choice("++--MMMR")
        found.append(change(kind, path(), path() if kind == "R" else None))
    return found


FILTERS = [
    ("", "", 0),
    ("-", "", 0),
    ("+R", "a", 0),
    ("", "E", 0),
    ("", "é", 0),
    ("", "?a", 0),
    ("", "*D", 0),
    ("", "a/b", 0),
    ("M", "/tank/a", 0),
    ("", "*a/?b*", 0),
    ("", "", 60),
]


def shown_rows(tree: Tree) -> list[tuple[bytes, Counts, int]]:
    return [
        (tree.path(row.node), row.counts, row.shown) for row in tree.rows(0, tree.row_count + 9)
    ]


@pytest.mark.parametrize("seed", range(8))
def test_it_shows_what_the_model_shows_while_changes_arrive(seed: int) -> None:
    dice = random.Random(seed)
    tree, model = Tree(), Model()
    tree.mark(TANK)
    chosen = FILTERS[0]
    for _ in range(30):
        batch = random_changes(dice, dice.randint(0, 30))
        tree.add(TANK, batch)
        model.add(batch)
        paths = sorted(model.kinds.keys() | model.left)
        if batch and dice.random() < 0.3:
            sized = {path: (dice.randrange(100), dice.randrange(100)) for path in paths[::3]}
            fresh = {p: s for p, s in sized.items() if p in model.kinds and p not in model.sizes}
            tree.size(TANK, [(path, *size) for path, size in fresh.items()])
            model.sizes |= fresh
        if paths and dice.random() < 0.7:
            turned = dice.choice(paths)
            if tree.row(node(tree, turned)).has_children:
                assert tree.toggle(node(tree, turned)) == (turned not in model.open)
                model.open ^= {turned}
        if dice.random() < 0.3:
            chosen = dice.choice(FILTERS)
            tree.filter(chosen[0], chosen[1], chosen[2])
        keep = None if chosen == FILTERS[0] else model.matching(*chosen)
        expected = model.rows(keep)
        assert shown_rows(tree) == expected
        first = dice.randint(0, len(expected))
        some = [tree.path(row.node) for row in tree.rows(first, 5)]
        assert some == [path for path, *_ in expected[first : first + 5]]
        at = tree.node_at(first)
        assert (at is None) == (first == len(expected))
        assert at is None or tree.index(at) == first
        total = len(model.kinds)
        shown = total if keep is None else len(keep & model.kinds.keys())
        assert tree.shown == (shown, total)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("chosen", [FILTERS[0], FILTERS[1], FILTERS[6]])
def test_searching_goes_through_all_that_match_in_order_and_round(
    seed: int, chosen: tuple[str, str, int]
) -> None:
    batch = random_changes(random.Random(seed), 150)
    tree, model = tree_of(*batch), Model()
    model.add(batch)
    tree.filter(*chosen)
    tree.open_all_below(ROOT)
    shown = [tree.path(row.node) for row in tree.rows(1, tree.row_count)]
    tests = {
        "aa": lambda path: "aa" in _last(path),
        "É": lambda path: "é" in _last(path),
        "B*": lambda path: _last(path).startswith("b"),
        "a/c": lambda path: "a/c" in path.decode(),
    }
    for text, test in tests.items():
        expected = [path for path in shown if test(path)]
        tree.close_all_below(ROOT)
        found: list[bytes] = []
        at = tree.find(text)
        while at is not None and tree.path(at) not in found:
            found.append(tree.path(at))
            at = tree.find(text, at)
        assert found == expected
        assert tree.find(text) == (node(tree, expected[0]) if expected else None)
        assert at is None or tree.path(at) == expected[0]


def _last(path: bytes) -> str:
    return path.rpartition(b"/")[2].decode()


def test_a_search_finds_what_came_after_it_was_begun_and_directories_without_a_change() -> None:
    tree = tree_of(change("+", b"/tank/dir/a"))
    assert tree.find("zebra") is None
    tree.add(TANK, [change("+", b"/tank/zebra/a")])
    assert tree.find("ZEBRA") == node(tree, b"/tank/zebra")
    assert tree.find("dir", node(tree, b"/tank/dir")) == node(tree, b"/tank/dir")
    assert tree.find("") is None


# --- what a screen relies on ----------------------------------------------------------------------


def test_the_first_dataset_is_open_and_the_cursor_is_found_again() -> None:
    tree = Tree()
    tree.tell(Began("tank", "a", "b", (TANK, CHILD)))
    assert names(tree) == [(0, b"/"), (1, b"tank"), (2, b"child")]
    tree.tell(Found(TANK, (change("+", b"/tank/m"),)))
    cursor = node(tree, b"/tank/m")
    assert tree.index(cursor) == 3
    tree.tell(Found(TANK, tuple(change("+", b"/tank/%03d" % at) for at in range(200))))
    tree.tell(Found(CHILD, (change("+", b"/tank/child/x"),)))
    assert tree.index(cursor) == 203
    assert tree.node_at(203) == cursor
    assert tree.index(node(tree, b"/tank/child/x")) is None
    tree.open_to(node(tree, b"/tank/child/x"))
    assert tree.index(node(tree, b"/tank/child/x")) == 203
    assert tree.parent(cursor) == node(tree, b"/tank")
    assert tree.parent(ROOT) is None


def test_opening_all_goes_by_levels_and_stops_at_its_limit() -> None:
    paths = [b"/tank/%d/%d/%d" % (a, b, c) for a in range(5) for b in range(5) for c in range(5)]
    tree = tree_of(*(change("+", path) for path in paths))
    assert not tree.open_all_below(ROOT, 40)
    assert tree.row_count == 2 + 5 + 25 + 3 * 5
    assert tree.open_all_below(ROOT, 1000)
    assert tree.row_count == 2 + 5 + 25 + 125
    tree.close_all_below(node(tree, b"/tank"))
    assert tree.row_count == 2
    tree.toggle(node(tree, b"/tank"))
    assert tree.row_count == 7
    tree.toggle(ROOT)
    assert names(tree) == [(0, b"/")]
    assert not tree.toggle(node(tree, b"/tank/1/1/1"))
    tree.filter(name="3")
    tree.toggle(ROOT)
    assert tree.open_all_below(ROOT, 61 + 21)


def test_a_filter_half_made_has_no_effect_and_sees_what_arrives_meanwhile() -> None:
    tree = tree_of(*(change("+-"[at % 2], b"/tank/%06d" % at) for at in range(45_000)))
    steps = tree.filter_steps("-")
    progress = [next(steps), next(steps)]
    assert 0 < progress[0] < progress[1] < 1
    tree.add(TANK, [change("-", b"/tank/000000"), change("-", b"/tank/late")])
    assert tree.shown == (45_001, 45_001)
    for _ in steps:
        pass
    assert tree.shown == (22_502, 45_001)
    assert tree.index(node(tree, b"/tank/000000")) == 2
    assert tree.index(node(tree, b"/tank/000002")) is None
    abandoned = tree.filter_steps("+")
    next(abandoned)
    del abandoned
    assert tree.shown == (22_502, 45_001)
    assert tree.filter() == (45_001, 45_001)


def test_a_file_comes_into_view_when_its_size_is_known() -> None:
    tree = tree_of(change("+", b"/tank/a"), change("+", b"/tank/b"))
    assert tree.filter(min_size=100) == (0, 2)
    tree.size(TANK, [(b"/tank/a", None, 100), (b"/tank/b", 99, 1)])
    assert tree.shown == (1, 2)
    assert [row.name for row in tree.rows(0, 9)] == [b"/", b"tank", b"a"]


def test_a_mark_that_turns_into_a_change_is_counted_once_it_is_one() -> None:
    tree = tree_of(change("R", b"/tank/a", b"/tank/b"))
    assert tree.filter("R") == (1, 1)
    assert [row.name for row in tree.rows(0, 9)] == [b"/", b"tank", b"a", b"b"]
    tree.add(TANK, [change("R", b"/tank/c", b"/tank/a")])
    assert tree.shown == (2, 2)
    assert [row.shown for row in tree.rows(0, 9)] == [2, 2, 1, 1, 0]


def test_a_wide_directory_stays_sorted_however_its_entries_arrive() -> None:
    dice = random.Random(3)
    left = [b"/tank/%05d" % at for at in range(3000)]
    dice.shuffle(left)
    tree = Tree()
    tree.mark(TANK)
    while left:
        size = dice.choice((1, 3, 64, 65, 400))
        tree.add(TANK, [change("+", path) for path in left[:size]])
        del left[:size]
        found = [row.name for row in tree.rows(2, 3000)]
        assert found == sorted(found)
        assert len(found) == 3000 - len(left)


def test_a_path_of_a_thousand_directories_is_no_deeper_than_the_stack() -> None:
    deep = b"/tank" + b"/d" * 2000
    tree = tree_of(change("+", deep))
    tree.open_to(node(tree, deep))
    assert tree.row_count == 2002
    assert tree.rows(2001, 1)[0].depth == 2001
    assert tree.index(node(tree, deep)) == 2001
    assert [path for _, path in tree.entries()] == [deep]


# --- what is missing ------------------------------------------------------------------------------


def test_it_is_partial_until_all_have_ended_and_says_why() -> None:
    tree = Tree()
    tree.tell(Began("tank", "a", "b", (TANK, CHILD)))
    assert tree.partial
    assert [note.dataset for note in tree.notes] == ["tank", "tank/child"]
    tree.tell(DatasetEnded(TANK, Coverage.WHOLE, 0))
    tree.tell(DatasetEnded(CHILD, Coverage.NONE, 0, "It is a volume."))
    assert not tree.partial
    assert [(note.dataset, note.reason) for note in tree.notes] == [
        ("tank/child", "It is a volume.")
    ]
    tree.tell(Sized(TANK, ()))
    tree.tell(Ended(0, True, "The time was up.", 1.0))
    assert tree.partial
    assert [note.reason for note in tree.notes] == ["It is a volume.", "The time was up."]


def test_a_comparison_that_ended_before_a_dataset_was_reached() -> None:
    tree = Tree()
    tree.tell(Began("tank", "a", "b", (TANK, CHILD)))
    tree.tell(DatasetEnded(TANK, Coverage.PARTIAL, 3, "zfs diff broke off."))
    tree.tell(Ended(3, True, "cancelled", 1.0))
    assert tree.partial
    assert [note.reason for note in tree.notes] == ["zfs diff broke off.", "cancelled"]
