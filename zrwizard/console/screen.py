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
            if not self._drawn(piece):
                # pyte 0.8.2 raises TypeError on private modes that the installer uses: go on
                # behind the sequence that it could not take, and byte by byte if that fails too.
                rest = _SEQUENCE.sub(b"", piece, count=1)
                if not self._drawn(rest):
                    for at in range(len(rest)):
                        self._drawn(rest[at : at + 1])

    def _drawn(self, piece: bytes) -> bool:
        """Draw `piece`; False where pyte could not, which leaves it a new parser."""
        try:
            self._stream.feed(piece)
        except Exception:
            self._stream = pyte.ByteStream(self._screen)
            return False
        return True

    def reset(self) -> None:
        """Forget all that was drawn."""
        self._screen.reset()

    def unjoin(self) -> None:
        """Blank the last column: no row of a full-screen program goes on in the next one.

        A prompt below such a row would be taken for the end of a line that was typed.
        """
        for row in range(self._screen.lines):
            self._screen.buffer[row][self._screen.columns - 1] = self._screen.default_char

    def _cells(self, row: int) -> list[str]:
        """Return what each column of `row` holds; the second one of a wide character is empty.

        pyte's own `display` fails on half a wide character that was overwritten.
        """
        line = self._screen.buffer[row]
        return [str(line[x].data) for x in range(self._screen.columns)]

    def lines(self) -> list[str]:
        """Return the rows, without trailing blanks."""
        return ["".join(self._cells(row)).rstrip() for row in range(self._screen.lines)]

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
        return "".join(self._cells(y)[:x])

    def _standout(self) -> bool:
        """Whether all that stands in the cursor's row is before it and in reverse video."""
        x, y = self.cursor
        line = self._screen.buffer[y]
        shown = [at for at in range(self._screen.columns) if str(line[at].data).strip()]
        return bool(shown) and shown[-1] < x and all(line[at].reverse for at in shown)

    def state(self, *, heard: bool = True) -> State:
        """Return what the screen shows; ask after some quiet only."""
        return classify(
            self.lines(),
            self.last_line(),
            self.cursor[1],
            heard=heard,
            width=self._screen.columns,
            standout=self._standout(),
        )
