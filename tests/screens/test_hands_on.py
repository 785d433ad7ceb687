"""Taking the console over by hand, and giving it back."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from screens.handson import Terminal
from screens.keys import key_bytes, paste_bytes
from screens.pane import Pane
from screens.style import Style
from zrwizard.console.errors import NoAnswer
from zrwizard.console.vtstream import View, Vt
from zrwizard.flows.moves import Choose, Enter, Option

CHOICE = Choose(
    "disk", "disk", "Which disk?", "Pick one.", (Option("ada0", "ada0", ("ada0",)),), ("DISK",)
)
ASK = Enter("server.host", "source", "Backup server?", "Its name.")


class FakeHands:
    """A console that echoes what is typed; as the real one, one thread only."""

    def __init__(self, lock: threading.RLock, rows: int = 24, fail: bool = False) -> None:
        self.lock = lock
        self.typed = b""
        self.back = False
        self.fail = fail
        self.refuse = ""
        self.forced: list[bool] = []
        self.problem = ""
        self.sizes: list[tuple[int, int]] = []
        self.vt = Vt(80, rows)
        self.vt.feed(b"".join(b"row %d\r\n" % n for n in range(rows - 1)) + b"# ")

    def write(self, data: bytes) -> None:
        self.typed += data
        self.vt.feed(data.replace(b"\r", b""))

    def view(self) -> View:
        return self.vt.view()

    def resize(self, rows: int, columns: int) -> None:
        self.sizes.append((rows, columns))

    def give_back(self, *, force: bool, keep: threading.Event) -> str:
        self.forced.append(force)
        if self.refuse and not force:
            return self.refuse
        self.lock.release()
        self.back = True
        if self.fail:
            raise NoAnswer("The console does not answer any more.", "Look at the machine.")
        return ""


def test_keys_go_to_the_console_until_it_is_given_back(drive: Any, done: Any) -> None:
    lock = threading.RLock()
    hands: list[FakeHands] = []
    busy, go = threading.Event(), threading.Event()

    def take(rows: int, columns: int) -> FakeHands:
        assert (rows, columns) == (22, 80)
        lock.acquire()
        hands.append(FakeHands(lock, rows))
        return hands[0]

    def work(desk: Any) -> Any:
        with lock:
            desk.take = take
            busy.set()
            go.wait(10)
        desk.ask(ASK, None)
        return done

    async def story(d: Any) -> None:
        await d.until(busy.is_set, "the command")
        await d.see("by hand")
        await d.press("ctrl+o")
        await d.see("Waiting for the running command to end")
        assert not hands
        go.set()
        await d.see("The console is yours.")
        await d.type("ls -q?")
        await d.press("tab", "ctrl+c", "ctrl+q", "escape", "up", "enter")
        await d.see("# ls -q?")
        assert "row 0" in d.text
        await d.snapshot("hands-on")
        assert hands[0].typed == b"ls -q?\t\x03\x11\x1b\x1b[A\r"
        await d.press("ctrl+right_square_bracket")
        await d.see("Backup server?")
        assert hands[0].back

    drive(work, story)


@pytest.mark.parametrize("key", ["ctrl+o", "question_mark", "ctrl+q"])
def test_what_is_dismissed_twice_takes_no_page_away(drive: Any, done: Any, key: str) -> None:
    def work(desk: Any) -> Any:
        desk.take = lambda rows, _columns: FakeHands(threading.RLock(), rows)
        desk.ask(CHOICE, None)
        return done

    async def story(d: Any) -> None:
        await d.see("Which disk?")
        await d.see("^o by hand")
        page = d.app.screen
        await d.press(key)
        await d.until(lambda: isinstance(d.app.screen, Pane), "the pane")
        pane = d.app.screen
        # A key and the clock see in the same moment that it is over.
        pane.dismiss(None)
        pane.dismiss(None)
        await d.see("Which disk?")
        assert d.app.screen is page

    drive(work, story)


def test_waiting_for_it_can_be_given_up(drive: Any, done: Any) -> None:
    lock = threading.RLock()
    go, taken = threading.Event(), threading.Event()
    hands = FakeHands(lock)

    def take(rows: int, columns: int) -> FakeHands:
        go.wait(10)
        lock.acquire()
        taken.set()
        return hands

    def work(desk: Any) -> Any:
        desk.take = take
        desk.ask(ASK, None)
        return done

    async def story(d: Any) -> None:
        await d.see("Backup server?")
        await d.see("^o by hand")
        await d.press("ctrl+o")
        await d.see("Waiting")
        await d.press("escape")
        go.set()
        await d.see("Backup server?")
        await d.until(lambda: hands.back, "the console given back")
        assert hands.typed == b""

    drive(work, story)


def test_a_console_that_does_not_come_back_says_so(drive: Any, done: Any) -> None:
    lock = threading.RLock()

    def take(rows: int, columns: int) -> FakeHands:
        lock.acquire()
        return FakeHands(lock, fail=True)

    def work(desk: Any) -> Any:
        desk.take = take
        desk.ask(ASK, None)
        return done

    async def story(d: Any) -> None:
        await d.see("Backup server?")
        await d.press("ctrl+o")
        await d.see("The console is yours.")
        await d.press("ctrl+right_square_bracket")
        await d.see("The console does not answer any more.")

    drive(work, story)


@pytest.mark.parametrize(
    ("key", "character", "sent"),
    [
        ("space", " ", b" "),
        ("ctrl+at", "\x00", b"\x00"),
        ("ctrl+right_square_bracket", "\x1d", b"\x1d"),
        ("ctrl+j", "\n", b"\n"),
        ("shift+tab", None, b"\x1b[Z"),
        ("delete", None, b"\x1b[3~"),
        ("ctrl+left", None, b"\x1bb"),
        ("shift+f5", None, b"\x1b[15;2~"),
        ("f1", None, b"\x1bOP"),
        ("f12", None, b"\x1b[24~"),
        ("alt+f", "f", b"\x1bf"),
        ("alt+shift+b", "B", b"\x1bB"),
        ("alt+full_stop", ".", b"\x1b."),
        ("alt+enter", "\r", b"\x1b\r"),
        ("alt+up", None, b"\x1b[1;3A"),
        ("super+a", "a", b""),
        ("a", "a", b"a"),
        ("enter", "\r", b"\r"),
        ("ctrl+d", "\x04", b"\x04"),
        ("ctrl+z", None, b"\x1a"),
        ("backspace", "\x7f", b"\x7f"),
        ("left", None, b"\x1b[D"),
        ("f5", None, b"\x1b[15~"),
        ("f25", None, b""),
        ("ü", "ü", "ü".encode()),
    ],
)
def test_keys_as_bytes(key: str, character: str | None, sent: bytes) -> None:
    assert key_bytes(key, character) == sent


@pytest.mark.parametrize(
    ("key", "sent"), [("up", b"\x1bOA"), ("end", b"\x1bOF"), ("ctrl+left", b"\x1b[1;5D")]
)
def test_cursor_keys_as_the_program_wants_them(key: str, sent: bytes) -> None:
    assert key_bytes(key, None, cursor_keys=True) == sent


def test_a_paste_cannot_end_its_own_brackets() -> None:
    assert paste_bytes("a\r\nb\nc", bracketed=False) == b"a\rb\rc"
    wrapped = paste_bytes("a\x1b[201~reboot\n", bracketed=True)
    assert wrapped == b"\x1b[200~a[201~reboot\r\x1b[201~"


def lent(hands: FakeHands) -> Any:
    """A wizard that waits, and gives the console to the operator at once."""

    def take(rows: int, columns: int) -> FakeHands:
        hands.lock.acquire()
        return hands

    def work(desk: Any) -> Any:
        desk.take = take
        desk.ask(ASK, None)
        return None

    return work


def test_a_console_that_cannot_go_back_stays_in_hand_and_says_why(drive: Any, done: Any) -> None:
    hands = FakeHands(threading.RLock())
    hands.refuse = "vi is open on the console. Leave it with Esc and :q!"
    work = lent(hands)

    async def story(d: Any) -> None:
        await d.see("Backup server?")
        await d.press("ctrl+o")
        await d.see("The console is yours.")
        await d.press("ctrl+right_square_bracket")
        await d.see("vi is open on the console. Leave it with Esc and :q! Then press ^] again;")
        await d.snapshot("hands-on-refused")
        await d.type(":q")
        await d.until(lambda: "vi is open" not in d.words, "the sentence gone")
        await d.press("ctrl+right_square_bracket")
        await d.see("vi is open on the console.")
        await d.press("ctrl+right_square_bracket")
        await d.see("Backup server?")
        assert hands.forced == [False, False, True]
        assert hands.typed == b":q"

    drive(lambda desk: work(desk) or done, story)


def test_a_line_that_is_cut_is_said_in_the_pane(drive: Any, done: Any) -> None:
    hands = FakeHands(threading.RLock(), fail=True)
    work = lent(hands)

    async def story(d: Any) -> None:
        await d.see("Backup server?")
        await d.press("ctrl+o")
        await d.see("The console is yours.")
        hands.problem = "The console line ended: the line was closed."
        await d.see("The console line ended: the line was closed. Press ^].")
        await d.press("ctrl+right_square_bracket")
        await d.see("The console does not answer any more.")

    drive(lambda desk: work(desk) or done, story)


CELLS = (
    b"\x1b[2J\x1b[H\x1b[1mbold\x1b[m \x1b[7mreverse\x1b[m \x1b[4munderline\x1b[m "
    b"\x1b[31;44mcolour\x1b[m \x1b[38;5;208m256\x1b[m\r\n\x1b(0lqqk\x1b(B \xe6\xbc\xa2 wide"
)


def styles(app: Any, y: int) -> dict[str, Any]:
    """Return the style of each piece of a row as it goes to the terminal."""
    strip = app.screen._compositor.render_strips()[y]
    return {text.strip(): style for text, style, _ in strip if text.strip()}


@pytest.mark.parametrize("style", [Style.FULL, Style.CONSOLE])
def test_cells_look_as_on_the_console(drive: Any, done: Any, style: Style) -> None:
    hands = FakeHands(threading.RLock())
    hands.vt.feed(CELLS)
    work = lent(hands)

    async def story(d: Any) -> None:
        await d.press("ctrl+o")
        await d.see("underline")
        look = styles(d.app, 1)
        assert look["bold"].bold
        assert look["reverse"].reverse
        assert look["underline"].underline
        if style is Style.CONSOLE:
            assert (look["colour"].color.name, look["colour"].bgcolor.name) == ("red", "blue")
            assert look["256"].color.is_system_defined
            assert d.rows[2].startswith("+--+ ?? wide")
        else:
            assert look["colour"].color != look["256"].color
            assert d.rows[2].startswith("┌──┐ 漢 wide")
        marked = [
            (text, piece.reverse)
            for text, piece, _ in d.app.screen._compositor.render_strips()[2]
            if piece.reverse
        ]
        assert marked == [(" ", True)]
        hands.vt.feed(b"\x1b[?25l")
        await d.until(
            lambda: not any(p.reverse for _, p, _ in d.app.screen._compositor.render_strips()[2]),
            "no cursor",
        )
        await d.press("ctrl+right_square_bracket")

    drive(lambda desk: work(desk) or done, story, style=style)


def test_only_changed_rows_are_drawn(drive: Any, done: Any, monkeypatch: Any) -> None:
    hands = FakeHands(threading.RLock(), rows=22)
    work = lent(hands)
    drawn: list[int] = []
    real = Terminal.render_line

    def counted(self: Terminal, y: int) -> Any:
        drawn.append(y)
        return real(self, y)

    monkeypatch.setattr(Terminal, "render_line", counted)

    async def story(d: Any) -> None:
        await d.press("ctrl+o")
        await d.see("row 20")
        drawn.clear()
        hands.vt.feed(b"\x1b[3;1Hchanged")
        await d.see("changed")
        assert set(drawn) == {2, 21}
        await d.press("ctrl+right_square_bracket")

    drive(lambda desk: work(desk) or done, story)


def test_a_screen_larger_than_the_pane_shows_the_part_with_the_cursor(
    drive: Any, done: Any
) -> None:
    hands = FakeHands(threading.RLock(), rows=30)
    work = lent(hands)

    async def story(d: Any) -> None:
        await d.press("ctrl+o")
        await d.see("larger than this pane: 8 rows hidden")
        assert d.rows[22].startswith("#")
        assert d.rows[1] == "row 8"
        assert hands.sizes == [(22, 80)]
        await d.press("ctrl+right_square_bracket")

    drive(lambda desk: work(desk) or done, story)
