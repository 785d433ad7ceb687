"""The exports: read back by other parsers, with names that want to break out of them."""

from __future__ import annotations

import csv
import io
import json
from base64 import b64decode
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token

from zrwizard.preview.events import Began, Change, Coverage, DatasetEnded, Ended, Fate, Found, Pair
from zrwizard.preview.export import (
    COLUMNS,
    FORMS,
    change_record,
    to_csv,
    to_json_lines,
    to_markdown,
)
from zrwizard.preview.summary import summarise
from zrwizard.preview.tree import ROOT, Tree

TANK = Pair("tank", Fate.BOTH, "tank@a", "tank@b", b"/tank")
CHILD = Pair("tank/child", Fate.BOTH, "tank/child@a", "tank/child@b", b"/tank/child")
HOSTILE = (
    b"/tank/new\nline",
    b"/tank/tab\there",
    b"/tank/\x1b[31mred\x1b]0;title\x07",
    b"/tank/\xff\xfe",
    b"/tank/a -> b",
    b"/tank/-rf",
    b'/tank/"quoted", and, commas',
    b"/tank/$(reboot);`reboot`|cell|",
    b"/tank/=1+1",
    b"/tank/<script>alert(1)<br>",
    b"/tank/[link](mailto:a@example.org)",
    b"/tank/**bold** _under_ ~~no~~",
    "/tank/\u202egpj.exe".encode(),
    rb"/tank/literal\x41\|",
    "/tank/Résumé 東京".encode(),
)


def tree_of(*changes: Change, ended: bool = True) -> Tree:
    tree = Tree()
    tree.tell(Began("tank", "a", "b", (TANK,)))
    tree.tell(Found(TANK, changes))
    if ended:
        tree.tell(DatasetEnded(TANK, Coverage.WHOLE, len(changes)))
        tree.tell(Ended(len(changes), False, "", 1.0))
    return tree


def added(*paths: bytes) -> Tree:
    return tree_of(*(Change("+", "F", path, None, 0, 0) for path in paths))


def objects(tree: Tree) -> list[dict[str, Any]]:
    return [json.loads(line) for line in to_json_lines(tree)]


def table(tree: Tree) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO("".join(to_csv(tree)), newline="")))


def path_of(record: dict[str, Any], key: str = "path") -> bytes:
    exact = record.get(f"{key}_base64")
    return b64decode(exact) if exact else str(record[key]).encode()


def many() -> Tree:
    tree = tree_of(
        Change("M", "F", b"/tank/m", None, 2, 1_700_000_000_123_456_789),
        Change("R", "/", b"/tank/old", b"/tank/new", 0, 1),
        Change("-", "F", b"/tank/r", None, 0, -2_500_000_000),
        Change("+", "@", b"/tank/r", None, 0, -1),
        Change("-", "F", b"/tank/s", None, 0, 3),
        Change("R", "F", b"/tank/t", b"/tank/s", 0, 4),
        Change("M", "?", b"/tank/", None, -1, 0),
    )
    tree.size(TANK, [(b"/tank/m", 1, 20), (b"/tank/r", 300, None), (b"/tank/s", 5, 6)])
    return tree


# --- JSON lines -----------------------------------------------------------------------------------


def test_json_has_one_object_a_changed_path_with_all_that_is_known() -> None:
    root, modified, renamed, replaced, over = objects(many())
    assert modified == {
        "dataset": "tank",
        "path": "/tank/m",
        "kind": "modified",
        "type": "file",
        "links": 2,
        "time": "2023-11-14T22:13:20.123456789Z",
        "before": 1,
        "after": 20,
    }
    assert (root["path"], root["type"], root["links"]) == ("/tank", "unknown", -1)
    assert (renamed["path"], renamed["new_path"]) == ("/tank/old", "/tank/new")
    assert (renamed["kind"], renamed["type"]) == ("renamed", "directory")
    assert (renamed["before"], renamed["after"]) == (None, None)
    assert (replaced["kind"], replaced["type"], replaced["time"]) == (
        "replaced",
        "symbolic link",
        None,
    )
    assert [(fact["kind"], fact["type"], fact["time"]) for fact in replaced["facts"]] == [
        ("removed", "file", "1969-12-31T23:59:57.500000000Z"),
        ("added", "symbolic link", None),
    ]
    assert (over["kind"], over["path"], "new_path" in over) == ("replaced", "/tank/s", False)
    assert (over["before"], over["after"]) == (5, 6)
    assert over["facts"][1]["path"] == "/tank/t"
    assert over["facts"][1]["new_path"] == "/tank/s"


def test_a_time_that_no_clock_shows_is_not_known() -> None:
    record = change_record("tank", Change("+", "F", b"/tank/a", None, 0, 10**28))
    assert record["time"] is None


@pytest.mark.parametrize("form", FORMS)
def test_no_name_reaches_a_terminal_as_more_than_text(form: str) -> None:
    text = "".join(FORMS[form][1](added(*HOSTILE)))
    assert all(char.isprintable() or char in "\r\n" for char in text)
    lines = text.splitlines()
    assert sum("/tank/new" in line for line in lines) == 1
    assert not any(line.startswith("line") for line in lines)


@given(st.lists(st.binary(min_size=1, max_size=12), max_size=6, unique=True))
@example([b"\xff", b"\\xff", "\\xff\u200b".encode(), b"\xed\xa0\x80", b"'=1", b"\r\n", b"\x85"])
@settings(deadline=None)
def test_every_path_comes_back_exactly_from_json_and_csv(raw: list[bytes]) -> None:
    paths = {b"/tank/" + name.replace(b"/", b"%").strip(b"\0") for name in raw}
    paths.discard(b"/tank/")
    tree = added(*paths)
    assert [path_of(record) for record in objects(tree)] == sorted(paths)
    assert [path_of(record) for record in table(tree)] == sorted(paths)
    for line in to_json_lines(tree):
        assert line.isascii()
        assert line.count("\n") == 1
    tree = tree_of(*(Change("R", "F", path, path + b"~", 0, 0) for path in sorted(paths)))
    for records in (objects(tree), table(tree)):
        assert {(path_of(one), path_of(one, "new_path")) for one in records} == {
            (path, path + b"~") for path in paths
        }


# --- CSV ------------------------------------------------------------------------------------------


def test_csv_has_a_row_a_change_and_ends_lines_as_rfc_4180_wants() -> None:
    lines = list(to_csv(many()))
    assert lines[0] == ",".join(COLUMNS) + "\r\n"
    assert all(line.endswith("\r\n") for line in lines)
    rows = table(many())
    assert [row["kind"] for row in rows] == [
        "modified", "modified", "renamed", "removed", "added", "removed", "renamed",
    ]  # fmt: skip
    assert [(row["before"], row["after"]) for row in rows] == [
        ("", ""), ("1", "20"), ("", ""), ("300", ""), ("", ""), ("5", ""), ("", "6"),
    ]  # fmt: skip
    assert (rows[2]["path"], rows[2]["new_path"]) == ("/tank/old", "/tank/new")
    assert rows[3]["time"] == "1969-12-31T23:59:57.500000000Z"


@pytest.mark.parametrize("sign", ["=", "+", "-", "@", "＝", "＋", "－", "＠"])
def test_csv_has_no_cell_that_a_spreadsheet_takes_for_a_formula(sign: str) -> None:
    tree = tree_of(Change("+", "=", b"/tank/a", None, 0, 0), ended=False)
    bad = f'{sign}cmd|" /C calc"!A0'
    pair = Pair(bad, Fate.BOTH, None, None, None)
    tree.end(pair, Coverage.PARTIAL, bad)
    rows = table(tree)
    assert rows[0]["dataset"] == rows[0]["note"] == "'" + bad
    numbers = {"links", "before", "after"}
    for row in rows:
        for column, cell in row.items():
            assert column in numbers or not cell.startswith(("=", "+", "-", "@", sign))


# --- Markdown -------------------------------------------------------------------------------------


def tokens(text: str) -> Iterator[Token]:
    for token in MarkdownIt("gfm-like", {"linkify": False}).parse(text):
        yield token
        yield from token.children or ()


def cells(text: str) -> list[list[str]]:
    """Every row of every table as a Markdown reader sees it."""
    rows: list[list[str]] = []
    is_cell = False
    for token in MarkdownIt("gfm-like", {"linkify": False}).parse(text):
        if token.type == "tr_open":
            rows.append([])
        elif token.type == "inline" and is_cell:
            rows[-1].append("".join(child.content for child in token.children or ()))
        is_cell = token.type in ("th_open", "td_open")
    return rows


def test_markdown_keeps_every_hostile_name_in_its_cell_and_as_it_is() -> None:
    text = "".join(to_markdown(added(*HOSTILE)))
    kinds = {token.type for token in tokens(text)}
    assert not kinds & {
        "html_inline",
        "html_block",
        "link_open",
        "em_open",
        "s_open",
        "code_inline",
    }
    listed = [row for row in cells(text) if row[0] == "added"]
    assert all(len(row) == 4 for row in listed)
    names = [row[2] for row in listed]
    for path in HOSTILE:
        if b"\xff" not in path and path.decode().isprintable():
            assert path.decode() in names
    assert "/tank/new\\x0aline" in names
    assert "/tank/\\xff\\xfe" in names


def test_markdown_counts_everything_once_and_lists_the_first() -> None:
    tree = Tree()
    for top in range(12):
        for at in range(top + 1):
            path = b"/tank/%c/%d" % (97 + top, at)
            tree.add(TANK, [Change("+", "F", path, None, 0, 0)])
    tree.add(TANK, [Change("M", "F", b"/tank/file", None, 0, 0)])
    tree.size(TANK, [(b"/tank/a/0", 1024, 2048)])
    tree.end(TANK, Coverage.WHOLE)
    text = "".join(to_markdown(tree, paths=3))
    assert "79 changes of 79 paths; bytes are known of 1 of them." in text
    rows = cells(text)
    by_directory = [row for row in rows if len(row) == 7][1:]
    assert by_directory[-1][:5] == ["all", "78", "0", "1", "0"]
    assert by_directory[0][5:] == by_directory[-1][5:] != by_directory[1][5:]
    assert ["/tank/…", "0", "0", "1", "0"] in [row[:5] for row in by_directory]
    assert sum(int(row[1]) for row in by_directory[:-1]) == 78
    assert [row[2] for row in rows if len(row) == 4][1:] == ["/tank/a/0", "/tank/b/0", "/tank/b/1"]
    assert "\n76 more are not listed here.\n" in text


def test_the_summary_adds_up_and_stays_short() -> None:
    tree = Tree()
    for wide in range(500):
        tree.add(TANK, [Change("-", "F", b"/tank/wide/%d/x" % wide, None, 0, 0)])
    for top in range(9):
        for below in range(3):
            path = b"/tank/%d/%d/x" % (top, below)
            tree.add(TANK, [Change("+", "F", path, None, 0, 0)] * 2)
    lines = summarise(tree, 30)
    assert len(lines) <= 30
    assert sum(line.counts.changes for line in lines) == tree.counts(ROOT).changes == 554
    assert b"/tank/wide" in [line.path for line in lines]
    assert b"/tank/0/0" in [line.path for line in summarise(tree, 60)]
    assert summarise(Tree()) == []


# --- what is missing ------------------------------------------------------------------------------


@pytest.mark.parametrize("form", FORMS)
def test_a_partial_list_says_so_in_every_form(form: str) -> None:
    write: Callable[[Tree], Iterator[str]] = FORMS[form][1]
    change = Change("+", "F", b"/tank/a", None, 0, 0)
    assert "partial" not in "".join(write(tree_of(change)))
    assert "partial" in "".join(write(tree_of(change, ended=False)))
    tree = tree_of(change)
    tree.tell(DatasetEnded(CHILD, Coverage.NONE, 0, "It lacks the\nolder | snapshot."))
    tree.tell(DatasetEnded(TANK, Coverage.PARTIAL, 1, "zfs diff broke off after 3 s."))
    text = "".join(write(tree))
    assert "zfs diff broke off after 3 s." in text
    assert "It lacks the" in text
    assert text.index("broke off") < text.index("/tank/a")


def test_reasons_are_read_back() -> None:
    tree = tree_of(Change("+", "F", b"/tank/a", None, 0, 0))
    tree.end(TANK, Coverage.PARTIAL, "It broke\noff: | <b>.")
    tree.finish(True, "cancelled")
    first, second, change = objects(tree)
    assert first == {"dataset": "tank", "coverage": "partial", "reason": "It broke\noff: | <b>."}
    assert second == {"dataset": None, "coverage": "partial", "reason": "cancelled"}
    assert change["path"] == "/tank/a"
    assert [(row["kind"], row["note"]) for row in table(tree)] == [
        ("partial", "It broke\\x0aoff: | <b>."),
        ("partial", "cancelled"),
        ("added", ""),
    ]
    text = "".join(to_markdown(tree))
    assert "**This list is partial" in text
    assert "html_inline" not in {token.type for token in tokens(text)}


def test_nothing_changed() -> None:
    tree = tree_of()
    assert list(to_json_lines(tree)) == []
    assert len(list(to_csv(tree))) == 1
    assert "".join(to_markdown(tree)) == "# What changed\n\n0 changes of 0 paths.\n"
