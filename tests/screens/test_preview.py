"""The preview's pages: driven by keys, fed by a machine that answers what a test says."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from screens.app import ZrApp
from screens.desk import Desk, Intent
from screens.preview import filter as filters
from screens.preview import saving
from screens.preview.changes import ChangesPage
from screens.preview.guide import suggested
from screens.style import Style
from screens.widgets.changetree import ChangeTree, brief, few
from tests.screens.conftest import Driver
from zrwizard.console.errors import Cancelled, MachineLost, Refused
from zrwizard.flows import preview as plans
from zrwizard.flows.moves import Answers
from zrwizard.freebsd.stat import Stat
from zrwizard.freebsd.zfs_inspect import Dataset, Snapshot
from zrwizard.plan import Plan, Problem
from zrwizard.preview.content import DirectorySums, Side, Sums, Versions
from zrwizard.preview.desk import Compare, Fetch, Inspect, OfferCopy, OfferMount, PreviewDesk, Sum
from zrwizard.preview.events import (
    Began,
    Change,
    Coverage,
    DatasetBegan,
    DatasetEnded,
    Ended,
    Estimated,
    Fate,
    Found,
    Pair,
    Sized,
    Told,
)
from zrwizard.preview.inventory import Inventory
from zrwizard.preview.tree import Tree
from zrwizard.run.events import Answered, RunFinished, Typed
from zrwizard.secrets import Secrets

DAY = 86_400
WHEN = 1_700_000_000
HOSTILE = b"evil\x1b[31m\n$(reboot)\xff"


def dataset(name: str, *, kind: str = "filesystem", mounted: bool = True) -> Dataset:
    return Dataset(
        name=name,
        kind=kind,
        guid=abs(hash(name)),
        creation=WHEN,
        createtxg=1,
        used=5 << 30,
        referenced=4 << 30,
        written=7 << 20,
        logical_used=8 << 30,
        logical_referenced=6 << 30,
        origin=None,
        canmount="on",
        mounted=mounted,
        atime=False,
        encryption=None,
        keystatus=None,
    )


def snapshot(name: str, day: int) -> Snapshot:
    return Snapshot(
        name, abs(hash(name)), WHEN + day * DAY, 10 + day, day << 20, 1 << 30, 3 << 20, 0
    )


INVENTORY = Inventory(
    root=None,
    datasets=(
        dataset("zroot"),
        dataset("zroot/usr"),
        dataset("zroot/var", mounted=False),
        dataset("zroot/vol", kind="volume"),
    ),
    snapshots=(
        snapshot("zroot@daily-1", 1),
        snapshot("zroot@daily-2", 2),
        snapshot("zroot@daily-3", 3),
        snapshot("zroot/usr@daily-2", 2),
        snapshot("zroot/usr@daily-3", 3),
        snapshot("zroot/var@daily-2", 2),
        snapshot("zroot/var@daily-3", 3),
    ),
    mounts={"zroot": b"/zroot", "zroot/usr": b"/zroot/usr"},
    release="14.3-RELEASE",
)


def pair(name: str, mount: bytes | None, why: str = "") -> Pair:
    return Pair(name, Fate.BOTH, f"{name}@daily-2", f"{name}@daily-3", mount, why=why)


ROOT = pair("zroot", b"/zroot")
USR = pair("zroot/usr", b"/zroot/usr")
VAR = pair("zroot/var", None, "It is not mounted, so zfs diff cannot be asked about it.")


def change(kind: str, path: bytes, type_: str = "F", new: bytes | None = None) -> Change:
    return Change(kind, type_, path, new, 0, WHEN * 10**9)


ROOT_CHANGES = (
    change("M", b"/zroot/etc", "/"),
    change("M", b"/zroot/etc/rc.conf"),
    change("+", b"/zroot/etc/new.conf"),
    change("-", b"/zroot/etc/old.conf"),
    change("R", b"/zroot/etc/a name", new=b"/zroot/etc/another name"),
    change("+", b"/zroot/" + HOSTILE),
)
USR_CHANGES = (
    change("+", b"/zroot/usr/bin/tool"),
    change("-", b"/zroot/usr/bin/tool2", "@"),
)
STORY: tuple[Told, ...] = (
    Began("zroot", "daily-2", "daily-3", (ROOT, USR, VAR)),
    DatasetBegan(ROOT, "zfs diff -FHt zroot@daily-2 zroot@daily-3"),
    Found(ROOT, ROOT_CHANGES),
    DatasetEnded(ROOT, Coverage.WHOLE, 6),
    DatasetBegan(USR, "zfs diff -FHt zroot/usr@daily-2 zroot/usr@daily-3"),
    Found(USR, USR_CHANGES),
    DatasetEnded(USR, Coverage.PARTIAL, 2, "zfs diff stopped: it could not read an object."),
    DatasetEnded(VAR, Coverage.NONE, 0, VAR.why),
    Sized(
        ROOT,
        (
            (b"/zroot/etc/rc.conf", 900, 2_500_000),
            (b"/zroot/etc/new.conf", None, 12),
        ),
    ),
    Estimated(ROOT, 7 << 20, 9 << 20, 8 << 20),
    Ended(8, True, "2 of 3 datasets were not compared whole.", 4.2),
)


def stat(size: int, mode: int = 0o644, type_: str = "F") -> Stat:
    times = [WHEN * 10**9] * 4
    return Stat(type_, mode, 0, 0, "root", "wheel", size, 1, 77, "", *times)


def text_versions(wanted: Inspect) -> Versions:
    old = Side(True, stat(900), ("one", "two \x1b[2Jcleared", "three"), "utf-8", sha256="a" * 64)
    new = Side(
        True, stat(2_500_000, 0o600), ("one", "two", "three", "four"), "utf-8", sha256="b" * 64
    )
    return Versions(wanted.pair, wanted.path, wanted.new_path, old, new, same=False)


@dataclass
class Machine:
    """A `Hand` that does what a test says; `asked` is what was asked of it, in order."""

    story: tuple[Told, ...] = STORY
    token: str = "abc123"
    asked: list[object] = field(default_factory=list)
    pause_at: int | None = None
    go_on: threading.Event = field(default_factory=threading.Event)
    versions: Callable[[Inspect], Versions] = text_versions
    content: bytes = b"old content\n"
    lost: bool = False
    carried: list[Plan] = field(default_factory=list)

    def look(self, stop: threading.Event) -> Inventory:
        self.asked.append("look")
        return INVENTORY

    def compare(self, wanted: Compare, tell: Callable[[Told], None], stop: threading.Event) -> None:
        self.asked.append(wanted)
        for at, told in enumerate(self.story):
            if at == self.pause_at:
                while not self.go_on.wait(0.02):
                    if stop.is_set():
                        tell(Ended(6, True, "It was stopped by the operator.", 1.0))
                        return
            if self.lost and at > 3:
                raise MachineLost("The line to the console was cut.", "Start again.")
            tell(told)

    def inspect(self, wanted: Inspect, stop: threading.Event) -> Versions:
        self.asked.append(wanted)
        return self.versions(wanted)

    def sums(self, wanted: Sum, stop: threading.Event) -> DirectorySums:
        self.asked.append(wanted)
        return DirectorySums(Sums(3, 1, 0, 4096), Sums(5, 1, 0, 5 << 20))

    def fetch(self, wanted: Fetch, done: Callable[[int, int], None], stop: threading.Event) -> str:
        self.asked.append(wanted)
        done(3, len(self.content))
        if self.pause_at == -1:
            while not stop.wait(0.02):
                pass
            raise Cancelled("Stopped by the operator.", "What came so far is kept.")
        wanted.to.write_bytes(self.content)
        return f"{wanted.to}: {len(self.content)} bytes, SHA-256 {'a' * 64}"

    def copy_plan(self, wanted: OfferCopy) -> Plan:
        self.asked.append(wanted)
        source = b"/zroot/.zfs/snapshot/daily-2/etc/rc.conf"
        made = plans.copy_plan(self.token, "zroot", source, wanted.path, "daily-2")
        assert not isinstance(made, Problem)
        return made

    def mount_plan(self, wanted: OfferMount) -> Plan:
        self.asked.append(wanted)
        return plans.mount_plan(self.token, "/tmp/zr-abc123", ["zroot/var"])

    def carry(self, plan: Plan, stop: threading.Event) -> tuple[bool, str]:
        self.carried.append(plan)
        if self.pause_at == -2:
            return False, "umount said no. Look at the target by hand."
        return True, "All is proven."


Story = Callable[[Driver], Awaitable[None]]


@pytest.fixture(autouse=True)
def in_utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.fixture
def look(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., ZrApp]:
    """Return a function that plays a story of keys over a machine."""
    monkeypatch.chdir(tmp_path)

    def run(
        machine: Machine,
        story: Story,
        *,
        style: Style = Style.FULL,
        size: tuple[int, int] = (80, 24),
        given: dict[str, str] | None = None,
    ) -> ZrApp:
        def work(desk: Desk) -> RunFinished:
            preview = PreviewDesk(desk.cancel)
            desk.serving(preview)
            desk.emit(Typed("", "look", "zfs list -Hp"))
            desk.emit(Answered("", "look", 0, "zroot\n", 0.1))
            preview.serve(machine)
            return RunFinished(0, "", "", "", 0.0)

        app = ZrApp(
            tuple,
            work,
            secrets=Secrets(),
            state_dir=tmp_path / "state",
            style=style,
            start=Intent(
                "preview",
                "Look at what changed",
                "telnet://127.0.0.1:4474",
                Answers(given or {}),
            ),
        )

        async def go() -> None:
            async with app.run_test(size=size) as pilot:
                await story(Driver(pilot, app))
                if app.desk is not None:
                    app.desk.cancel.set()

        asyncio.run(go())
        return app

    return run


async def to_changes(driver: Driver, words: str = "Partial (i says more)") -> None:
    """Go from the list of trees to the changes between the two newest snapshots."""
    await driver.see("Which tree do you want to look at?")
    await driver.press("enter")
    await driver.see("Mark two moments")
    await driver.press("enter")
    await driver.see(words)


def tree_of(driver: Driver) -> ChangeTree:
    page = driver.app.screen
    assert isinstance(page, ChangesPage)
    return page.pane


async def put_cursor(driver: Driver, name: str) -> None:
    """Search a name, as an operator would."""
    await driver.press("slash")
    await driver.see("Search for this part of a name")
    await driver.press("ctrl+u")
    await driver.type(name)
    await driver.press("enter")
    await driver.until(lambda: (row := tree_of(driver).row) and name.encode() in row.name, name)


# --- trees and moments ----------------------------------------------------------------------------


def test_trees_and_moments(look: Any) -> None:
    machine = Machine()

    async def story(driver: Driver) -> None:
        await driver.see("Which tree do you want to look at?")
        await driver.snapshot("preview-trees")
        await driver.press("enter")
        await driver.see("From A @daily-2 to B @daily-3")
        await driver.snapshot("preview-moments")
        assert "by hand" not in driver.text
        await driver.press("ctrl+o", "o")
        assert "console in your hands" not in driver.words

    look(machine, story)


def test_two_moments_are_picked_and_put_in_order(look: Any) -> None:
    machine = Machine()

    async def story(driver: Driver) -> None:
        await driver.see("Which tree")
        await driver.press("enter")
        await driver.see("From A @daily-2 to B @daily-3")
        await driver.press("end", "b")
        await driver.see("From A @daily-1 to B @daily-2")
        await driver.press("r", "l")
        await driver.see("this dataset only, at most 1 min 00 s")
        await driver.press("enter")
        await driver.until(lambda: len(machine.asked) == 2, "the comparison")

    look(machine, story)
    wanted = machine.asked[1]
    assert isinstance(wanted, Compare)
    assert (wanted.older, wanted.newer) == ("daily-1", "daily-2")
    assert (wanted.recursive, wanted.limit) == (False, 60.0)


def test_now_is_compared_only_after_a_yes(look: Any) -> None:
    machine = Machine()

    async def story(driver: Driver) -> None:
        await driver.see("Which tree")
        await driver.press("enter")
        await driver.see("Mark two moments")
        await driver.press("home", "a")
        await driver.see("can only be B")
        await driver.press("b")
        await driver.see("to B now")
        await driver.press("enter")
        await driver.see("needs a temporary snapshot")
        await driver.snapshot("preview-temporary")
        await driver.press("enter")
        await driver.press("n")
        await driver.see("Mark two moments")
        assert machine.asked == ["look"]
        await driver.press("enter")
        await driver.see("needs a temporary snapshot")
        await driver.press("y")
        await driver.see("i says more")

    look(machine, story)
    wanted = machine.asked[1]
    assert isinstance(wanted, Compare)
    assert wanted.newer is None


# --- the tree -------------------------------------------------------------------------------------


def test_the_tree_by_keys(look: Any) -> None:
    async def story(driver: Driver) -> None:
        await to_changes(driver)
        await driver.see("Partial (i says more): 2 of 3 datasets")
        await driver.snapshot("preview-changes")
        await put_cursor(driver, "rc.conf")
        await driver.see("/zroot/etc/rc.conf")
        await driver.snapshot("preview-changes-open")
        row = tree_of(driver).row
        assert row is not None
        assert row.kinds == "M"
        await driver.press("left")
        row = tree_of(driver).row
        assert row is not None
        assert row.name == b"etc"
        await driver.press("left")
        row = tree_of(driver).row
        assert row is not None
        assert not row.is_open
        await driver.press("right")
        row = tree_of(driver).row
        assert row is not None
        assert row.is_open

    look(Machine(), story)


def test_the_tree_in_the_console_style_is_ascii(look: Any) -> None:
    async def story(driver: Driver) -> None:
        await to_changes(driver)
        await driver.see("Partial (i says more): 2 of 3 datasets")
        assert all(row.isascii() for row in driver.rows)
        await driver.snapshot("preview-changes-console")
        await put_cursor(driver, "rc.conf")
        await driver.press("d")
        await driver.see("A (older)")
        assert all(row.isascii() for row in driver.rows)

    look(Machine(), story, style=Style.CONSOLE)


def test_hostile_names_cannot_move_the_cursor_or_colour_the_terminal(look: Any) -> None:
    async def story(driver: Driver) -> None:
        await to_changes(driver)
        await put_cursor(driver, "evil")
        assert "\x1b" not in driver.text
        await driver.see("evil\\x1b[31m\\x0a$(reboot)\\xff")

    look(Machine(), story)


def test_the_filter_by_kind_size_and_name(look: Any) -> None:
    async def story(driver: Driver) -> None:
        await to_changes(driver)
        await driver.press("f")
        await driver.see("Show only")
        await driver.type("+ *.conf")
        await driver.press("enter")
        await driver.see("Shown: 1 of")
        await driver.until(lambda: "[zroot/usr]" not in driver.text, "less")
        assert "etc" in driver.text
        await driver.press("f")
        await driver.press("ctrl+u")
        await driver.type(">lots")
        await driver.press("enter")
        await driver.see("lots is no size")
        await driver.press("f")
        await driver.press("ctrl+u", "enter")
        await driver.see("[zroot/usr]")

    look(Machine(), story)


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ("", filters.Filter()),
        ("+", filters.Filter("+")),
        ("M+ >10M *.conf", filters.Filter("+M", "*.conf", 10 << 20)),
        ('"M"', filters.Filter("", "M")),
        ('- "a name"', filters.Filter("-", "a name")),
        (">1.5K", filters.Filter("", "", 1536)),
        ("+-MR", filters.Filter()),
        ('"say "hi""', filters.Filter("", 'say "hi"')),
    ],
)
def test_a_filter_is_one_line(line: str, wanted: filters.Filter) -> None:
    assert filters.read(line) == wanted
    assert filters.read(wanted.text) == wanted


@pytest.mark.parametrize("line", [">", ">x", ">1Q", '"open'])
def test_a_filter_that_will_not_do_is_a_sentence(line: str) -> None:
    with pytest.raises(filters.FilterError):
        filters.read(line)


def test_what_was_not_found_is_said(look: Any) -> None:
    async def story(driver: Driver) -> None:
        await to_changes(driver)
        await driver.press("slash")
        await driver.type("nowhere")
        await driver.press("enter")
        await driver.see("Nothing that is shown has nowhere in its name.")

    look(Machine(), story)


def test_the_datasets_and_why_they_are_not_whole(look: Any) -> None:
    async def story(driver: Driver) -> None:
        await to_changes(driver)
        await driver.press("i")
        await driver.see("What came of each dataset")
        await driver.snapshot("preview-datasets")
        await driver.press("escape")
        await driver.see("i says more")

    look(Machine(), story)


# --- while it runs --------------------------------------------------------------------------------


def test_results_are_there_while_it_runs_and_cancelling_marks_them_partial(look: Any) -> None:
    machine = Machine(pause_at=4)

    async def story(driver: Driver) -> None:
        await to_changes(driver, "$ zfs diff -FHt zroot@daily-2")
        await driver.see("etc")
        assert "6 changes, " in driver.words
        await driver.press("c")
        await driver.see("Partial (i says more): It was stopped by the operator.")
        assert "etc" in driver.text

    look(machine, story)


def test_leaving_while_it_runs_ends_it(look: Any) -> None:
    machine = Machine(pause_at=4)

    async def story(driver: Driver) -> None:
        await to_changes(driver, "$ zfs diff -FHt zroot@daily-2")
        await driver.press("ctrl+q")
        await driver.see("Leave the wizard?")
        await driver.press("y")
        await driver.until(lambda: driver.app.return_code is not None, "the end")

    app = look(machine, story)
    assert app.return_code == 0


def test_a_console_that_is_lost_is_a_sentence_and_what_was_found_stays(look: Any) -> None:
    async def story(driver: Driver) -> None:
        await to_changes(driver, "Partial (i says more): The line to the console was cut.")
        assert "etc" in driver.text
        await put_cursor(driver, "rc.conf")
        await driver.press("d")
        await driver.see("The line to the console was cut. Start again.")
        await driver.press("q")
        await driver.see("Partial (i says more)")

    look(Machine(lost=True), story)


def test_a_comparison_that_fails_is_a_sentence(look: Any) -> None:
    class Refusing(Machine):
        def compare(self, wanted: Any, tell: Any, stop: Any) -> None:
            raise Refused("zroot is gone.", "Look again.")

    async def story(driver: Driver) -> None:
        await to_changes(driver, "Partial (i says more): zroot is gone.")
        await driver.see("zroot is gone. Look again.")

    look(Refusing(), story)


# --- one path -------------------------------------------------------------------------------------


def test_both_versions_of_a_file(look: Any) -> None:
    machine = Machine()

    async def story(driver: Driver) -> None:
        await to_changes(driver)
        await put_cursor(driver, "rc.conf")
        await driver.press("enter")
        await driver.see("A (older)")
        await driver.see("four")
        await driver.snapshot("preview-detail")
        await driver.press("q")
        await driver.see("i says more")
        row = tree_of(driver).row
        assert row is not None
        assert row.name == b"rc.conf"

    look(machine, story)
    assert machine.asked[2] == Inspect(ROOT, b"/zroot/etc/rc.conf", None)


def test_a_renamed_file_is_looked_at_under_both_names(look: Any) -> None:
    machine = Machine()

    async def story(driver: Driver) -> None:
        await to_changes(driver)
        await put_cursor(driver, "another name")
        await driver.press("d")
        await driver.see("A (older)")

    look(machine, story)
    assert machine.asked[2] == Inspect(ROOT, b"/zroot/etc/a name", b"/zroot/etc/another name")


def test_a_directory_is_summed_up(look: Any) -> None:
    def directories(wanted: Inspect) -> Versions:
        sides = [Side(True, stat(7, 0o755, "/")) for _ in range(2)]
        return Versions(wanted.pair, wanted.path, None, sides[0], sides[1], same=None)

    async def story(driver: Driver) -> None:
        await to_changes(driver)
        await put_cursor(driver, "etc")
        await driver.press("d")
        await driver.see("What lies in and below it:")
        await driver.see("bytes 4.0 KiB 5.0 MiB")
        assert "get it" not in driver.text

    look(Machine(versions=directories), story)


def test_getting_a_version_never_overwrites(look: Any, tmp_path: Path) -> None:
    machine = Machine()
    (tmp_path / "mine").write_text("precious")

    async def story(driver: Driver) -> None:
        await to_changes(driver)
        await put_cursor(driver, "rc.conf")
        await driver.press("g")
        await driver.see("Copy the older version to this file")
        await driver.see("rc.conf.daily-2")
        await driver.press("ctrl+u")
        await driver.type("mine")
        await driver.press("enter")
        await driver.see("is there already; nothing is overwritten")
        await driver.press("g", "enter")
        await driver.see("Copied to")

    look(machine, story)
    assert (tmp_path / "mine").read_text() == "precious"
    assert (tmp_path / "rc.conf.daily-2").read_bytes() == machine.content
    assert machine.asked[2:] == [Fetch(ROOT, b"/zroot/etc/rc.conf", tmp_path / "rc.conf.daily-2")]


def test_a_copy_under_way_can_be_cancelled(look: Any) -> None:
    async def story(driver: Driver) -> None:
        await to_changes(driver)
        await put_cursor(driver, "rc.conf")
        await driver.press("d")
        await driver.see("A (older)")
        await driver.press("g")
        await driver.see("Copy the older version")
        await driver.press("enter")
        await driver.see("Copying: 3 Bytes of 12 Bytes. c cancels.")
        await driver.press("c")
        await driver.see("What came so far is kept.")

    look(Machine(pause_at=-1), story)


def test_an_added_file_has_no_version_to_get(look: Any) -> None:
    async def story(driver: Driver) -> None:
        await to_changes(driver)
        await put_cursor(driver, "new.conf")
        await driver.press("g", "b")
        await driver.press("d")
        await driver.see("A (older)")
        assert "get it" not in driver.text

    machine = Machine()
    look(machine, story)
    assert [type(one) for one in machine.asked[2:]] == [Inspect]


@pytest.mark.parametrize(
    ("path", "name"),
    [
        (b"/a/rc.conf", "rc.conf.t"),
        (b"/a/-rf $(x)\n", "rf___x__x0a.t"),
        (b"/a/..", "t"),
        (b"/a/" + b"x" * 300, "x" * 200),
    ],
)
def test_the_suggested_name_is_harmless(path: bytes, name: str) -> None:
    assert suggested(path, "t") == name


# --- plans ----------------------------------------------------------------------------------------


def test_a_copy_beside_the_file_is_a_plan_that_needs_a_yes(look: Any) -> None:
    machine = Machine()

    async def story(driver: Driver) -> None:
        await to_changes(driver)
        await put_cursor(driver, "rc.conf")
        await driver.press("b")
        await driver.see("y runs it; n goes back")
        await driver.snapshot("preview-plan")
        await driver.press("enter", "n")
        await driver.see("i says more")
        assert machine.carried == []
        await driver.press("b")
        await driver.see("y runs it; n goes back")
        await driver.press("y")
        await driver.see("Done and proven:")

    look(machine, story)
    assert len(machine.carried) == 1
    assert machine.carried[0].title.endswith("/zroot/etc/rc.conf.zr-daily-2")


def test_what_is_not_mounted_is_mounted_after_a_yes_and_compared_again(look: Any) -> None:
    machine = Machine()

    async def story(driver: Driver) -> None:
        await to_changes(driver)
        await driver.press("m")
        await driver.see("unmounted again when the preview ends")
        assert machine.carried == []
        await driver.press("y")
        await driver.see("Comparing again")
        await driver.until(lambda: len(machine.asked) == 5, "the second comparison")
        await driver.press("ctrl+q")
        await driver.see("What was mounted for the preview is unmounted first")
        await driver.press("n")

    look(machine, story)
    assert [type(one).__name__ for one in machine.asked] == [
        "str",
        "Compare",
        "OfferMount",
        "str",
        "Compare",
    ]


def test_a_plan_that_fails_says_why(look: Any) -> None:
    async def story(driver: Driver) -> None:
        await to_changes(driver)
        await driver.press("m")
        await driver.see("y runs it; n goes back")
        await driver.press("y")
        await driver.see("umount said no. Look at the target by hand.")

    look(Machine(pause_at=-2), story)


# --- export, traffic, help ------------------------------------------------------------------------


def test_the_tree_is_exported_in_three_forms(look: Any, tmp_path: Path) -> None:
    async def story(driver: Driver) -> None:
        await to_changes(driver)
        await driver.press("e")
        await driver.see("Save to this file")
        await driver.press("enter")
        await driver.see("Saved to")
        for name in ("out.csv", "out.md"):
            await driver.press("e", "ctrl+u")
            await driver.type(name)
            await driver.press("enter")
            saved = f"/{name}"
            await driver.until(lambda: saved in driver.words.replace(" ", ""), saved)  # noqa: B023
        await driver.press("e", "enter")
        await driver.see("is there already; nothing is overwritten")
        await driver.press("e", "ctrl+u")
        await driver.type("out.pdf")
        await driver.press("enter")
        await driver.see("The ending says the form")

    look(Machine(), story)
    saved = tmp_path / "preview-zroot-daily-2-daily-3.json"
    rows = [json.loads(line) for line in saved.read_text().splitlines()]
    assert "rc.conf" in saved.read_text()
    assert len(rows) >= 8
    assert saved.stat().st_mode & 0o777 == 0o600
    assert "rc.conf" in (tmp_path / "out.csv").read_text()
    assert "rc.conf" in (tmp_path / "out.md").read_text()


def test_a_save_that_is_not_run_to_its_end_leaves_no_file(tmp_path: Path) -> None:
    tree = Tree()
    tree.tell(STORY[0])
    tree.tell(STORY[2])
    steps = saving.save_steps(tree, str(tmp_path / "half.csv"))
    assert 0 <= next(steps) <= 1
    assert (tmp_path / "half.csv").exists()
    steps.close()
    assert not (tmp_path / "half.csv").exists()


def test_what_was_given_on_the_command_line_is_chosen(look: Any) -> None:
    async def story(driver: Driver) -> None:
        await driver.see("From A @daily-1 to B now, this dataset only")

    given = {"preview.tree": "zroot", "preview.from": "daily-1", "preview.to": "now"}
    look(Machine(), story, given={**given, "preview.recursive": "no"})


def test_a_tree_that_is_not_there_is_said(look: Any) -> None:
    async def story(driver: Driver) -> None:
        await driver.see("There is no dataset zrot.")
        await driver.see("Which tree do you want to look at?")

    look(Machine(), story, given={"preview.tree": "zrot"})


def test_traffic_and_help(look: Any) -> None:
    async def story(driver: Driver) -> None:
        await to_changes(driver)
        await driver.press("t")
        await driver.see("$ zfs list -Hp")
        await driver.press("question_mark")
        await driver.see("Help: Changes")
        await driver.see("Mount what is not mounted")
        await driver.press("escape")
        await driver.see("i says more")

    look(Machine(), story)


def test_every_key_of_the_pages_is_one_that_any_terminal_sends() -> None:
    from screens.preview.agree import AgreePage
    from screens.preview.base import BACK, QUIT
    from screens.preview.detail import DetailPage
    from screens.preview.timeline import TimelinePage
    from screens.preview.trees import TreesPage

    for page in (TreesPage, TimelinePage, ChangesPage, DetailPage, AgreePage):
        seen: set[str] = set()
        for command in (*page.TABLE, BACK, QUIT):
            plain = [key for key in command.keys if not (key[0] == "f" and key[1:].isdigit())]
            assert plain, command
            assert not seen & set(command.keys), command
            seen |= set(command.keys)


# --- large trees ----------------------------------------------------------------------------------


def many(count: int) -> Iterator[Change]:
    for number in range(count):
        path = b"/zroot/d%03d/e%03d/file-%07d" % (number // 10_000, number // 100 % 100, number)
        yield change("+-M"[number % 3], path)


def test_first_rows_and_frames_of_a_large_tree(look: Any) -> None:
    changes = tuple(many(100_000))
    steps = [Found(ROOT, changes[at : at + 2000]) for at in range(0, len(changes), 2000)]
    story_told: tuple[Told, ...] = (
        Began("zroot", "daily-2", "daily-3", (ROOT,)),
        DatasetBegan(ROOT, "zfs diff -FHt zroot@daily-2 zroot@daily-3"),
        *steps,
        DatasetEnded(ROOT, Coverage.WHOLE, len(changes)),
        Ended(len(changes), False, "", 1.0),
    )
    times: list[float] = []

    machine = Machine(story=story_told)

    async def story(driver: Driver) -> None:
        await to_changes(driver, "changes")
        await driver.until(lambda: "d000" in driver.text, "the first rows")
        await driver.see("100,000 changes in", seconds=60)
        pane = tree_of(driver)
        await driver.press("end", "home")
        assert pane.row is not None
        pane._tree.open_all_below(0)
        pane.sync()
        for _ in range(100):
            began = time.thread_time()
            pane.move_to(pane._cursor + 997)
            for y in range(pane.size.height):
                pane.render_line(y)
            times.append(time.thread_time() - began)

    look(machine, story)
    assert sorted(times)[len(times) * 95 // 100] < 0.05


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0"), (999, "999"), (1000, "1.0K"), (1536, "1.5K"), (10_200, "10K"), (999 << 20, "999M")],
)
def test_bytes_fit_a_column(count: int, text: str) -> None:
    assert brief(count) == text


def test_numbers_fit_a_column() -> None:
    assert [few(n) for n in (9_999, 10_000, 1_234_567)] == ["9999", "10k", "1m"]
    assert max(len(brief(7 * 10**n)) for n in range(20)) <= 5


def test_the_worker_does_one_request_after_the_other_and_drops_what_was_cancelled() -> None:
    leave = threading.Event()
    desk = PreviewDesk(leave)
    machine = Machine(pause_at=1)
    thread = threading.Thread(target=desk.serve, args=(machine,), daemon=True)
    first = Compare("zroot", "a", "b", True, None, 0, False)
    second = Compare("zroot", "b", "c", True, None, 0, False)
    desk.ask(first)
    desk.ask(second)
    thread.start()
    end = time.monotonic() + 5
    while not machine.asked and time.monotonic() < end:
        time.sleep(0.01)
    desk.cancel()
    machine.pause_at = None
    desk.ask(Compare("zroot", "c", "d", True, None, 0, False))
    while len(machine.asked) < 2 and time.monotonic() < end:
        time.sleep(0.01)
    leave.set()
    thread.join(5)
    assert not thread.is_alive()
    assert [one.older for one in machine.asked if isinstance(one, Compare)] == ["a", "c"]
