"""A VT screen, fed only while the console is not in our own quiet shell (pyte is slow)."""

from __future__ import annotations

import re
from typing import Any

import pyte

from zrwizard.console.states import State, classify

COLUMNS, ROWS = 80, 24
_BEFORE_ESCAPE = re.compile(rb"(?=\x1b)")
_SEQUENCE = re.compile(rb"^\x1b(\[[0-9;?]*[@-~]|.)?", re.DOTALL)


class Screen:
    """80x24 by default. Sequences that pyte cannot parse reset its parser, never the caller."""

    def __init__(self, columns: int = COLUMNS, rows: int = ROWS) -> None:
        self._screen: Any = pyte.Screen(columns, rows)
        self._stream: Any = pyte.ByteStream(self._screen)

    def feed(self, data: bytes) -> None:
        """Draw `data`."""
        for piece in _BEFORE_ESCAPE.split(data):
            try:
                self._stream.feed(piece)
            except Exception:
                # pyte 0.8.2 raises TypeError on private modes that the installer uses: a new
                # parser goes on behind the sequence that it could not take.
                self._stream = pyte.ByteStream(self._screen)
                self._stream.feed(_SEQUENCE.sub(b"", piece, count=1))

    def reset(self) -> None:
        """Forget all that was drawn."""
        self._screen.reset()

    def lines(self) -> list[str]:
        """Return the rows, without trailing blanks."""
        return [str(row).rstrip() for row in self._screen.display]

    def text(self) -> str:
        """Return the rows as one text without the empty ones at the end."""
        return "\n".join(self.lines()).rstrip("\n")

    @property
    def cursor(self) -> tuple[int, int]:
        """The cursor's column and row, from 0."""
        return self._screen.cursor.x, self._screen.cursor.y

    def last_line(self) -> str:
        """Return the cursor's row up to the cursor: the unterminated line, blanks included."""
        x, y = self.cursor
        return str(self._screen.display[y])[:x]

    def state(self, *, heard: bool = True) -> State:
        """Return what the screen shows; ask after some quiet only."""
        return classify(self.lines(), self.last_line(), self.cursor[1], heard=heard)
