"""The mover's files as text: what is written, what is read, and the script itself."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests import shlint
from zrwizard import mover
from zrwizard.freebsd.errors import ParseError
from zrwizard.mover import Direction, Phase, State, Status
from zrwizard.transfer.forest import Stream

ONE = Stream("old/x", "new/x", "volume", "old@a", ("b", "c"), False, True, False, 2**63 + 1, 42)


def test_the_script_is_clean_sh(tmp_path: Path) -> None:
    path = tmp_path / "mover.sh"
    path.write_text(mover.SCRIPT)
    shlint.lint(path)


def test_every_status_is_in_the_script_and_has_its_words() -> None:
    head = mover.SCRIPT.split("PATH=")[0]
    for status in Status:
        assert mover.MEANING[status].what
        assert mover.MEANING[status].now
        assert str(status.value) in head
    assert set(mover.MEANING) == set(Status)


def test_a_listing() -> None:
    whole = replace(ONE, origin=None, points=("c",), every=True, raw=False, tree=True)
    assert mover.listing([ONE, whole], [("new/tmp", "new/y z")]) == (
        "stream\told/x\tnew/x\told@a\tb,c\tonly\traw\tone\t9223372036854775809\t42\n"
        "stream\told/x\tnew/x\t-\tc\tevery\tplain\ttree\t9223372036854775809\t42\n"
        "rename\tnew/tmp\tnew/y z\n"
    )


@pytest.mark.parametrize(
    "wrong",
    [
        replace(ONE, source=""),
        replace(ONE, target="a\tb"),
        replace(ONE, origin="a\nb"),
        replace(ONE, points=()),
        replace(ONE, points=("a,b",)),
        replace(ONE, source="-x"),
        replace(ONE, size=-1),
        replace(ONE, guid=2**64),
    ],
    ids=["empty", "tab", "newline", "no points", "comma", "option", "size", "guid"],
)
def test_what_cannot_stand_in_a_list(wrong: Stream) -> None:
    with pytest.raises(ValueError, match=r"."):
        mover.listing([wrong])


def test_settings_are_read_by_a_shell_as_they_were_meant(tmp_path: Path) -> None:
    text = mover.settings(
        direction=Direction.PUSH,
        ssh=["ssh", "-F", "/tmp/it's $HOME/cfg"],
        host="back up",
        shared=True,
        received=True,
        options=["-L", "-ce"],
        limit=7,
    )
    (tmp_path / "settings").write_text(text)
    told = subprocess.run(
        [
            shlint.SHELL,
            "-euc",
            '. ./settings; eval "set -- $ssh"; printf "%s|" "$@" "$host" $received $options',
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    words = ["ssh", "-F", "/tmp/it's $HOME/cfg", "-o", "BatchMode=yes"]
    words += ["back up", "yes", "-L", "-ce"]
    assert told.stdout == "|".join(words) + "|"


@pytest.mark.parametrize(
    "wrong",
    [{"options": ["-p;x"]}, {"patience": 0}, {"tick": -1}, {"limit": -1}],
    ids=["option", "patience", "tick", "limit"],
)
def test_settings_that_are_none(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"."):
        mover.settings(direction=Direction.PULL, ssh=["ssh"], host="h", shared=False, **wrong)


def test_a_state() -> None:
    text = "sending 2 6 1700000000 1700000005 10 20 30 40 5\nnew/a b\nDataset 2 of 6: x.\n"
    assert mover.parse_state(text) == State(
        phase=Phase.SENDING,
        target="new/a b",
        event="Dataset 2 of 6: x.",
        number=2,
        count=6,
        since=1700000000,
        at=1700000005,
        sent=10,
        size=20,
        had=30,
        finished=40,
        retries=5,
    )


@given(st.text() | st.from_regex(r"[a-z]+( \d+){8,10}\n.*\n.*\n"))
def test_a_state_or_its_own_error(text: str) -> None:
    try:
        state = mover.parse_state(text)
    except ParseError:
        return
    assert text.startswith(state.phase.value)
