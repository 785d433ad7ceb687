"""Taking the console over by hand, and giving it back."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from screens.handson import key_bytes
from zrwizard.console.errors import NoAnswer
from zrwizard.flows.moves import Enter

ASK = Enter("server.host", "source", "Backup server?", "Its name.")


class FakeHands:
    """A console of 24 rows that echoes what is typed; as the real one, one thread only."""

    def __init__(self, lock: threading.RLock, fail: bool = False) -> None:
        self.lock = lock
        self.typed = b""
        self.back = False
        self.fail = fail

    def write(self, data: bytes) -> None:
        self.typed += data

    def lines(self) -> list[str]:
        rows = [f"row {n}" for n in range(23)]
        return [*rows, "# " + self.typed.decode("utf-8", "replace").replace("\r", "")]

    @property
    def cursor(self) -> tuple[int, int]:
        return len(self.lines()[-1]), 23

    def give_back(self) -> None:
        self.lock.release()
        self.back = True
        if self.fail:
            raise NoAnswer("The console does not answer any more.", "Look at the machine.")


def test_keys_go_to_the_console_until_it_is_given_back(drive: Any, done: Any) -> None:
    lock = threading.RLock()
    hands: list[FakeHands] = []
    busy, go = threading.Event(), threading.Event()

    def take() -> FakeHands:
        lock.acquire()
        hands.append(FakeHands(lock))
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
        assert "row 22" in d.text
        await d.snapshot("hands-on")
        assert hands[0].typed == b"ls -q?\t\x03\x11\x1b\x1b[A\r"
        await d.press("ctrl+right_square_bracket")
        await d.see("Backup server?")
        assert hands[0].back

    drive(work, story)


def test_waiting_for_it_can_be_given_up(drive: Any, done: Any) -> None:
    lock = threading.RLock()
    go, taken = threading.Event(), threading.Event()
    hands = FakeHands(lock)

    def take() -> FakeHands:
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

    def take() -> FakeHands:
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
        ("a", "a", b"a"),
        ("enter", "\r", b"\r"),
        ("ctrl+d", "\x04", b"\x04"),
        ("ctrl+z", None, b"\x1a"),
        ("backspace", "\x7f", b"\x7f"),
        ("left", None, b"\x1b[D"),
        ("f5", None, b""),
        ("ü", "ü", "ü".encode()),
    ],
)
def test_keys_as_bytes(key: str, character: str | None, sent: bytes) -> None:
    assert key_bytes(key, character) == sent
