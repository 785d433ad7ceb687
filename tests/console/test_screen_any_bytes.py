"""Whatever bytes a console sends: never an exception, never a key but the answer to a query."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from zrwizard.console.errors import ConsoleError
from zrwizard.console.screen import Screen
from zrwizard.console.states import SIZE_QUERY, SIZE_REPLY, State, classify
from zrwizard.shell.bringup import BringUp, Left
from zrwizard.shell.leading import Leading
from zrwizard.shell.looking import Pace

RECORDED = sorted((Path(__file__).parent / "recorded").glob("*.bin"))
NO_TIME = Pace(quiet=0, first=0, still=0, probe=0, gone=0, line=0, resizing=0)
CHEAP = settings(
    max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True
)
KEYS = (
    b"\x1b[6n", b"\x1b[?5m", b"\x1b[?1;2r", b"\x1b[999;999H", b"\x1b[9999P", b"\x1b[9999L",
    b"\x1bc", b"\x1b(0", b"\x1b7", b"\x1b8", b"\xc2\x9b?5m", b"\xe4\xbd\xa0", b"\xff", b"\x0e",
    b"login: ", b"# ", b"> ", b"Password:", b"OK ", b"boot: ", b"db> ", b"\r\n", b"\r", b"\x08",
    b"em0: link state changed to UP\r\n", b"1. Boot Multi user [Enter]", b"\x1b[25;0H", b"(END)",
    b"begin an installation", b"\x1b[7m", b"~\r\n~\r\n", b"FreeBSD/x86 boot\r\n",
    b"login: root\r\n",
)  # fmt: skip
pieces = st.lists(st.one_of(st.binary(max_size=40), st.sampled_from(KEYS)), max_size=30)


class Tape:
    """A console that has said all that it will ever say, and notes what is typed."""

    class transcript:
        title = "telnet://somewhere:23"

    def __init__(self, data: list[bytes]) -> None:
        self.data = list(data)
        self.typed: list[bytes] = []

    def read(self, timeout: float) -> bytes:
        del timeout
        return self.data.pop(0) if self.data else b""

    def read_until_quiet(self, quiet: float, limit: float) -> bytes:
        del quiet, limit
        return b""

    def write(self, data: bytes) -> None:
        self.typed.append(data)


def way(tape: Tape) -> BringUp:
    return BringUp(tape, Screen(), lambda: None, lambda _: None, NO_TIME)  # type: ignore[arg-type]


def looked_at(data: list[bytes]) -> None:
    tape = Tape(data)
    state = way(tape).look(limit=60)
    assert isinstance(state, State)
    assert set(tape.typed) <= {SIZE_REPLY}
    assert len(tape.typed) <= b"".join(data).count(SIZE_QUERY)


@CHEAP
@given(pieces)
def test_arbitrary_bytes_are_looked_at_and_nothing_is_typed(data):
    looked_at([piece for piece in data if piece])


@CHEAP
@given(st.sampled_from(RECORDED), st.data())
def test_mutated_recordings_are_looked_at_and_nothing_is_typed(path, data):
    raw = path.read_bytes()
    start = data.draw(st.integers(0, len(raw) - 1))
    part = bytearray(raw[start : start + 1500])
    for at in data.draw(st.lists(st.integers(0, len(part) - 1), max_size=12)):
        match data.draw(st.sampled_from(["drop", "flip", "noise"])):
            case "drop":
                del part[at : at + 3]
            case "flip":
                part[at : at + 1] = data.draw(st.binary(min_size=1, max_size=1))
            case _:
                part[at:at] = data.draw(st.sampled_from(KEYS))
    size = data.draw(st.integers(1, 400))
    looked_at([bytes(part[at : at + size]) for at in range(0, len(part), size)])


@CHEAP
@given(
    st.lists(st.text(max_size=90), min_size=1, max_size=30),
    st.text(max_size=100),
    st.integers(0, 40),
    st.booleans(),
)
def test_classify_takes_any_screen(lines, at_cursor, row, standout):
    row = min(row, len(lines) - 1)
    assert isinstance(
        classify(lines, at_cursor, row, heard=True, width=80, standout=standout), State
    )


@CHEAP
@given(pieces)
def test_the_cursor_line_is_as_wide_as_the_cursor_says(data):
    screen = Screen()
    for piece in data:
        screen.feed(piece)
    x, y = screen.cursor
    assert 0 <= x <= 80
    assert 0 <= y < 24
    assert len(screen.lines()) == 24
    assert len(screen.text().splitlines()) <= 24


@pytest.mark.parametrize("left", [None, Left("ab12", True)])
def test_what_is_not_known_gets_probes_only_where_a_shell_of_ours_was_left(left):
    """And never a letter or Enter."""
    tape = Tape([b"Select a partition\r\n[ ] ada0p1\r\n"])
    with pytest.raises(ConsoleError, match="needs a hand"):
        way(tape).to_root_prompt(patience=30, left=left)
    typed = b"".join(tape.typed)
    assert set(typed) <= (set(b"\x11\x0c\x15\x14") if left else set())


@pytest.mark.parametrize("path", RECORDED, ids=lambda path: path.stem)
def test_recordings_cut_anywhere_get_no_key_that_was_not_asked_for(path):
    """At every 17th byte, quiet from there on: what would be typed, and would it be probed."""
    data = path.read_bytes()
    tape = Tape([])
    up = way(tape)
    expected = {
        State.LOADER_MENU: b"\r",
        State.TERMINAL: b"\x15vt100\r",
        State.LOGIN: b"\x15root\r",
        State.DIALOG: b"s",
        State.HALF_TYPED: b"\x05\x15",
    }
    for at in range(0, len(data), 17):
        up.feed(data[at : at + 17])
        state = up.look()
        tape.typed.clear()
        if state is State.PASSWORD:
            assert data[: at + 17].endswith((b"Password:", b"\r\nPassword:"))
            continue
        Leading(up, lambda: None).leads(state)
        assert b"".join(tape.typed) == expected.get(state, b""), (at, state, up.screen.text())
        before = not any(mark in data[:at] for mark in (b"Console type", b"\nlogin: "))
        if b"Loading kernel" in data[:at] and before:
            assert not up._may_be_ours(state, None), (at, state)


def test_a_size_query_that_somebody_answered_before_we_came_is_left_alone():
    """A terminal server that plays back what it had kept."""
    asked = b"\x1b7\x1b[r\x1b[999;999H\x1b[6n\x1b8\x00"
    tape = Tape([asked + b"resizewin: timeout reading from terminal\r\nroot@:~ # "])
    assert way(tape).look() is State.ROOT_SHELL
    assert tape.typed == []
    split = Tape([asked[:20], asked[20:], b"em0: link state changed to UP\r\n"])
    way(split).look()
    assert split.typed == [SIZE_REPLY]
