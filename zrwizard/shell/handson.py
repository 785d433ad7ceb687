"""The console in a person's hands, between two commands of the wizard."""

from __future__ import annotations

import threading
from typing import Protocol

from zrwizard.console.console import Console
from zrwizard.console.errors import ConsoleError
from zrwizard.console.screen import Screen
from zrwizard.console.states import SIZE_QUERY, SIZE_REPLY


class Held(Protocol):
    """The session whose console is lent; `ready` says whether our own shell stands there."""

    console: Console
    screen: Screen
    ready: bool

    def take_back(self) -> None:
        """Go up again from what the console shows; raises `ConsoleError` where it cannot."""
        ...

    def hands_off(self, adrift: ConsoleError | None) -> None:
        """End the loan; with `adrift` every later command raises it."""
        ...


class HandsOn:
    """The console in a person's hands: keys go there, its screen comes back."""

    def __init__(self, session: Held) -> None:
        self._session = session
        self._console = session.console
        self._screen = session.screen
        self._lock = threading.Lock()
        self._screen.reset()
        self._console.on_output = self.feed
        self._console.write(b"\x15zh\r")

    def feed(self, data: bytes) -> None:
        """Draw what arrives; called by the console's reader."""
        with self._lock:
            self._screen.feed(data)
        if SIZE_QUERY in data:
            self._console.write(SIZE_REPLY)

    def write(self, data: bytes) -> None:
        """Type `data`."""
        self._console.write(data)

    def lines(self) -> list[str]:
        """Return the screen's rows."""
        with self._lock:
            return self._screen.lines()

    @property
    def cursor(self) -> tuple[int, int]:
        """The cursor's column and row, from 0."""
        with self._lock:
            return self._screen.cursor

    def give_back(self) -> None:
        """Hand the console back to the wizard; raises `ConsoleError` if it cannot go on."""
        adrift: ConsoleError | None = None
        try:
            self._console.on_output = None
            self._console.unread()
            self._session.take_back()
        except ConsoleError as error:
            adrift = error
            raise
        finally:
            self._session.hands_off(adrift)
