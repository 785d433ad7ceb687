"""zpool history: events with their times and names, whatever else stands in it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zrwizard.freebsd import ParseError, sh, zpool_history
from zrwizard.freebsd.zpool_history import Event, What, parse

Recorded = Callable[..., str]
HEAD = "History for 'tank':\n"


def at(text: str) -> int:
    return int(datetime.strptime(text, "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC).timestamp())


def one(command: str) -> Event | None:
    events = parse(f"{HEAD}2026-01-02.03:04:05 {command}\n")
    assert len(events) < 2
    return events[0] if events else None


@pytest.mark.parametrize(
    ("command", "what", "names", "recursive"),
    [
        ("zfs rename tank/a tank/b", What.RENAME, ("tank/a", "tank/b"), False),
        ("zfs rename -f -p tank/a tank/b/c", What.RENAME, ("tank/a", "tank/b/c"), False),
        ("zfs rename tank/a b tank/c  d", What.RENAME, ("tank/a b", "tank/c  d"), False),
        ("zfs rename -r tank/a@x tank/a@y", What.RENAME, ("tank/a@x", "tank/a@y"), True),
        ("zfs destroy tank/a", What.DESTROY, ("tank/a",), False),
        ("zfs destroy -r tank/a b", What.DESTROY, ("tank/a b",), True),
        ("zfs destroy -fR tank/a", What.DESTROY, ("tank/a",), True),
        ("zfs destroy tank/a@x,y", What.DESTROY, ("tank/a@x,y",), False),
        ("zfs promote tank/a", What.PROMOTE, ("tank/a",), False),
        ("zfs create tank/a", What.CREATE, ("tank/a",), False),
        ("zfs create -o mountpoint=/x y -p tank/a b", What.CREATE, ("tank/a b",), False),
        ("zfs create -s -V 1073741824 tank/vol", What.CREATE, ("tank/vol",), False),
        ("zfs clone -o a:b=tank tank/a@x tank/c", What.CLONE, ("tank/a@x", "tank/c"), False),
        ("zfs clone tank/a b@x y tank/c", What.CLONE, ("tank/a b@x y", "tank/c"), False),
        ("zfs receive -u -F tank/a", What.RECEIVE, ("tank/a",), False),
        ("zfs recv -d tank", What.RECEIVE, ("tank",), False),
        ("zfs rollback -r tank/a@x", What.ROLLBACK, ("tank/a@x",), True),
        ("zfs snapshot -r tank@x", What.SNAPSHOT, ("tank@x",), True),
        ("zfs snap tank/a@x tank/b c@x", What.SNAPSHOT, ("tank/a@x", "tank/b c@x"), False),
    ],
)  # fmt: skip
def test_commands(command: str, what: What, names: tuple[str, ...], recursive: bool) -> None:
    assert one(command) == Event(at("2026-01-02 03:04:05"), what, names, recursive)


@pytest.mark.parametrize(
    "command",
    [
        "zpool create tank vtbd0",
        "zfs set org:note=zfs rename tank/a tank/b tank/c",
        "zfs rename tank/a tank/b tank/c",
        "zfs rename tank/a other/b",
        "zfs rename tankard/a tankard/b",
        "zfs rename",
        "zfs destroy",
        "zfs mount -a",
        "zfs snapshot tank",
        "[txg:5] set tank/a (54) mountpoint=/x",
        "ioctl destroy",
        "",
    ],
)
def test_what_is_none_of_it_or_not_clear_is_passed_over(command: str) -> None:
    assert one(command) is None


@pytest.mark.parametrize(
    ("command", "what", "names"),
    [
        ("[txg:812] rename tank/a b (387) -> tank/c d", What.RENAME, ("tank/a b", "tank/c d")),
        ("[txg:812] destroy tank/a (387) (bptree, mintxg=1)", What.DESTROY, ("tank/a",)),
        ("[txg:812] create tank/a (387) ", What.CREATE, ("tank/a",)),
        ("[txg:812] promote tank/a (387)  ", What.PROMOTE, ("tank/a",)),
        (
            "[txg:812] clone tank/c (90) origin=tank/a@x (55)",
            What.CLONE,
            ("tank/a@x", "tank/c"),
        ),
    ],
)
def test_internal_events_tell_their_transaction(
    command: str, what: What, names: tuple[str, ...]
) -> None:
    assert one(command) == Event(at("2026-01-02 03:04:05"), what, names, txg=812)


def test_as_recorded(recorded: Recorded) -> None:
    text = HEAD.replace("tank", "zroot") + recorded("zpool history -i zroot | tail -5")
    (event,) = parse(text)
    assert event == Event(at("2026-11-21 20:49:45"), What.SNAPSHOT, ("zroot/usr/home@three",))
    text = HEAD.replace("tank", "zroot") + recorded("zpool history zroot | tail -3")
    assert parse(text) == ()


def test_pools_and_order() -> None:
    text = (
        "History for 'a':\n2026-01-02.03:04:05 zfs destroy a/x\n"
        "2026-01-02.03:04:04 zfs destroy b/x\n\n\n"
        "History for 'b':\n2026-01-02.03:04:03 zfs destroy b/x\n"
    )
    assert [event.names for event in parse(text)] == [("a/x",), ("b/x",)]


def test_a_newline_in_a_value_is_not_the_end() -> None:
    text = (
        HEAD + "2026-01-02.03:04:05 zfs set a:b=1\n\x1b[31m zfs destroy tank/x\n"
        "2026-99-99.03:04:05 zfs destroy tank/y\n"
    )
    assert parse(text) == ()


@pytest.mark.parametrize(
    ("zone", "hour"), [("+0000", 3), ("+0200\n", 1), ("-0530", 8), ("-0000", 3)]
)
def test_zones(zone: str, hour: int) -> None:
    (event,) = parse(HEAD + "2026-01-02.03:04:05 zfs destroy tank/a\n", zone=zone)
    minute = 34 if zone == "-0530" else 4
    assert event.when == at(f"2026-01-02 {hour:02d}:{minute:02d}:05")


def test_utc_is_asked_for_in_a_way_that_needs_no_zone_files() -> None:
    argv = zpool_history.history("tank/../x")
    assert argv == ("env", "TZ=UTC0", "zpool", "history", "tank/../x")
    assert zpool_history.history(None)[-1] == "history"
    shown = sh.join((*argv[:2], "date", "-d", "@0", "+%F.%T"))
    done = subprocess.run(
        ["sh", "-c", shown],
        capture_output=True, text=True, check=True, env=os.environ | {"TZ": "Asia/Tokyo"},
    )  # fmt: skip
    assert done.stdout == "1970-01-01.00:00:00\n"


@pytest.mark.parametrize("text", ["hello\n", "2026-01-02.03:04:05 zfs destroy tank/a\n"])
def test_nonsense(text: str) -> None:
    with pytest.raises(ParseError):
        parse(text)


@pytest.mark.parametrize("zone", ["", "UTC", "+1", "+01:00", "0100"])
def test_no_zones(zone: str) -> None:
    with pytest.raises(ParseError):
        parse(HEAD, zone=zone)


WORDS = st.sampled_from(
    [
        *(
            "zfs ",
            "rename ",
            "destroy ",
            "snapshot ",
            "create ",
            "tank",
            "tank/a",
            " ",
            "-r ",
            "@x",
        ),
        *("\n", "2026-01-02.03:04:05 ", "9999-12-31.23:59:59 ", "0001-01-01.00:00:00 "),
        *("[txg:1] ", " (5)", "-> ", "History for 'tank':\n"),
    ]
)


@given(st.one_of(st.text(max_size=200), st.lists(WORDS, max_size=30).map("".join)))
@settings(max_examples=300, deadline=None)
def test_arbitrary_text_raises_nothing_else(text: str) -> None:
    try:
        events = parse(text, zone="-2359")
    except ParseError as failure:
        assert failure.tool == zpool_history.TOOL  # noqa: PT017
    else:
        assert all(event.names for event in events)
