"""A VT for people: pyte's screen with what full-screen programs need beyond it.

pyte 0.8.2 keeps the cursor, tabs, margins, colours and character sets. It has no alternate screen,
scrolls the wrong way with a cursor outside the margins, and its parser raises on some private
modes; so cells, scrolling and modes are done here, and `vtstream.py` parses. The behaviour follows
xterm's control sequences (ctlseqs) and is compared with tmux in the tests.
"""

from __future__ import annotations

import unicodedata
from typing import Any

import pyte
from pyte import modes as mo
from pyte.screens import Char, Margins, wcwidth

from zrwizard.console.look import Look, Row, Run, look_of

MOST = 500
"""The most columns or rows that a screen is given."""
CURSOR_KEYS, KEYPAD, PASTE = 1, 66, 2004
"""Private modes that change what is sent: DECCKM, DECNKM and bracketed paste."""
_ALTERNATE = (47, 1047, 1049)


class Grid(pyte.Screen):
    """Cells in lists, an alternate screen, and modes; coordinates count from 0."""

    def __init__(self, columns: int, rows: int) -> None:
        self.columns, self.lines = columns, rows
        super().__init__(columns, rows)

    def reset(self) -> None:
        """Forget everything, as a terminal that was switched off and on."""
        super().reset()
        self.cells: list[list[Any]] = [self.blank_row() for _ in range(self.lines)]
        self.flags: set[int] = set()
        self.reversed_screen = False
        self.alternate = False
        self._main: list[list[Any]] = []
        self._saved: dict[bool, Any] = {}
        self._glyphs: dict[str, Any] = {}
        self._glyphs_for: Any = None
        self._wide = False
        self._last = ""

    # -- cells ------------------------------------------------------------------------------------

    def blank(self) -> Any:
        """Return an erased cell: the background colour stays, the rest does not."""
        return Char(" ", bg=self.cursor.attrs.bg) if hasattr(self, "cursor") else Char(" ")

    def blank_row(self) -> list[Any]:
        """Return an erased row."""
        return [self.blank()] * self.columns

    def draw(self, data: str) -> None:
        """Put text at the cursor, wrapping at the last column where DECAWM is set."""
        chars = self.g1_charset if self.charset else self.g0_charset
        text = data if chars is _LATIN and data.isascii() else data.translate(chars)
        if text:
            self._last = text[-1]
        if self._glyphs_for is not self.cursor.attrs:
            self._glyphs, self._glyphs_for = {}, self.cursor.attrs
        if text.isascii() and mo.IRM not in self.mode:
            self._draw_plain(text)
        else:
            for char in text:
                self._draw_one(char)
        if mo.DECAWM not in self.mode:
            self.cursor.x = self.column

    def _draw_plain(self, text: str) -> None:
        glyphs, attrs = self._glyphs, self.cursor.attrs
        for char in set(text) - glyphs.keys():
            glyphs[char] = attrs._replace(data=char)
        if mo.DECAWM not in self.mode:
            room = max(1, self.columns - min(self.cursor.x, self.columns - 1))
            text = text if len(text) <= room else text[: room - 1] + text[-1]
        while text:
            x = self._column_for(1)
            part, text = text[: self.columns - x], text[self.columns - x :]
            y = self.cursor.y
            self.cells[y][x : x + len(part)] = [glyphs[char] for char in part]
            self.cursor.x = x + len(part)
            self._mend(y)

    def _draw_one(self, char: str) -> None:
        width = wcwidth(char)
        if width <= 0:
            self._combine(char)
            return
        x, y = self._column_for(width), self.cursor.y
        if mo.IRM in self.mode:
            self.insert_characters(width)
        row = self.cells[y]
        row[x] = self.cursor.attrs._replace(data=char)
        if width == 2 and x + 1 < self.columns:
            row[x + 1] = self.cursor.attrs._replace(data="")
            self._wide = True
        self.cursor.x = min(x + width, self.columns)
        self._mend(y)

    def _column_for(self, width: int) -> int:
        """Return the column for a glyph of this width, on the next row where it must wrap."""
        if self.cursor.x + width > self.columns:
            if mo.DECAWM in self.mode:
                self.cursor.x = 0
                self.index()
            else:
                self.cursor.x = max(0, self.columns - width)
        return int(self.cursor.x)

    def _combine(self, char: str) -> None:
        if not unicodedata.combining(char) or not self.cursor.x:
            return
        row, x = self.cells[self.cursor.y], self.cursor.x - 1
        x -= row[x].data == "" and x > 0
        if len(row[x].data) < 4:
            row[x] = row[x]._replace(data=unicodedata.normalize("NFC", row[x].data + char))
            self.dirty.add(self.cursor.y)

    def _mend(self, y: int) -> None:
        """Mark a row as changed; halves of wide glyphs that lost the other one become blank."""
        self.dirty.add(y)
        if not self._wide:
            return
        row = self.cells[y]
        wide = [wcwidth(cell.data[:1] or " ") == 2 for cell in row]
        for x, cell in enumerate(row):
            lonely = cell.data == "" and not (x > 0 and wide[x - 1])
            if lonely or (wide[x] and x + 1 < len(row) and row[x + 1].data):
                row[x] = cell._replace(data=" ")

    def repeat(self, count: int) -> None:
        """Draw the last character again `count` times (REP)."""
        if self._last:
            self.draw(self._last * min(count, self.columns * self.lines))

    # -- moving -----------------------------------------------------------------------------------

    @property
    def column(self) -> int:
        """The cursor's column; pyte keeps one too many while a wrap is pending."""
        return min(int(self.cursor.x), self.columns - 1)

    def _region(self) -> tuple[int, int]:
        return self.margins or (0, self.lines - 1)

    def index(self) -> None:
        """Move down a row; at the bottom margin the region scrolls."""
        self.cursor.x = self.column
        if self.cursor.y == self._region()[1]:
            self.scroll(1)
        elif self.cursor.y < self.lines - 1:
            self.cursor.y += 1

    def reverse_index(self) -> None:
        """Move up a row; at the top margin the region scrolls."""
        self.cursor.x = self.column
        if self.cursor.y == self._region()[0]:
            self.scroll(-1)
        elif self.cursor.y > 0:
            self.cursor.y -= 1

    def scroll(self, count: int) -> None:
        """Scroll the region up by `count` rows, down where it is negative."""
        top, bottom = self._region()
        self._shift(top, bottom, count)

    def _shift(self, top: int, bottom: int, count: int) -> None:
        """Drop rows at one end of top…bottom and put blank ones in at the other."""
        size = bottom - top + 1
        fresh = [self.blank_row() for _ in range(min(abs(count), size))]
        rows = self.cells[top : bottom + 1]
        moved = rows[len(fresh) :] + fresh if count > 0 else fresh + rows[: size - len(fresh)]
        self.cells[top : bottom + 1] = moved
        self.dirty.update(range(top, bottom + 1))

    def cursor_up(self, count: int | None = None) -> None:
        """Move up; the top margin holds a cursor that is below it."""
        limit = self._region()[0] if self.cursor.y >= self._region()[0] else 0
        self.cursor.x, self.cursor.y = self.column, max(limit, self.cursor.y - (count or 1))

    def cursor_down(self, count: int | None = None) -> None:
        """Move down; the bottom margin holds a cursor that is above it."""
        bottom = self._region()[1]
        limit = bottom if self.cursor.y <= bottom else self.lines - 1
        self.cursor.x, self.cursor.y = self.column, min(limit, self.cursor.y + (count or 1))

    def cursor_position(self, line: int | None = None, column: int | None = None) -> None:
        """Go to a position counted from 1, in origin mode from the top margin."""
        self.cursor.x = min(max(1, column or 1), self.columns) - 1
        self.cursor_to_line(line)

    def cursor_to_line(self, line: int | None = None) -> None:
        """Go to a row counted from 1, in origin mode from the top margin."""
        top, bottom = self._region() if mo.DECOM in self.mode else (0, self.lines - 1)
        self.cursor.x, self.cursor.y = self.column, min(top + max(1, line or 1) - 1, bottom)

    def set_margins(self, top: int | None = None, bottom: int | None = None) -> None:
        """Set the scrolling region, rows counted from 1, and go home (DECSTBM)."""
        first, last = max(1, top or 1) - 1, min(bottom or self.lines, self.lines) - 1
        if first >= last:
            return
        self.margins = None if (first, last) == (0, self.lines - 1) else Margins(first, last)
        self.cursor_position()

    def tab(self) -> None:
        """Go to the next tab stop."""
        self.cursor.x = self.column
        super().tab()

    def back_tab(self) -> None:
        """Go to the tab stop before."""
        self.cursor.x = max((stop for stop in self.tabstops if stop < self.cursor.x), default=0)

    # -- inserting, deleting, erasing -------------------------------------------------------------

    def insert_lines(self, count: int | None = None) -> None:
        """Insert blank rows at the cursor (IL)."""
        self._edit_lines(-(count or 1))

    def delete_lines(self, count: int | None = None) -> None:
        """Delete rows from the cursor on (DL)."""
        self._edit_lines(count or 1)

    def _edit_lines(self, count: int) -> None:
        top, bottom = self._region()
        if top <= self.cursor.y <= bottom:
            self._shift(self.cursor.y, bottom, count)
            self.cursor.x = 0

    def insert_characters(self, count: int | None = None) -> None:
        """Insert blanks at the cursor (ICH)."""
        row, x = self.cells[self.cursor.y], self.column
        row[x:x] = [self.blank()] * min(count or 1, self.columns)
        del row[self.columns :]
        self._mend(self.cursor.y)

    def delete_characters(self, count: int | None = None) -> None:
        """Delete cells from the cursor on (DCH)."""
        row, x = self.cells[self.cursor.y], self.column
        del row[x : x + (count or 1)]
        row += [self.blank()] * (self.columns - len(row))
        self._mend(self.cursor.y)

    def erase_characters(self, count: int | None = None) -> None:
        """Erase cells from the cursor on (ECH)."""
        self._erase(self.cursor.y, self.column, self.column + (count or 1))

    def erase_in_line(self, how: int = 0, private: bool = False) -> None:
        """Erase to the end of the row, from its beginning, or all of it (EL)."""
        first = self.column if how == 0 else 0
        self._erase(self.cursor.y, first, self.column + 1 if how == 1 else self.columns)

    def erase_in_display(self, how: int = 0, *args: Any, **kwargs: Any) -> None:
        """Erase below, above, or everything (ED)."""
        y = self.cursor.y
        if how in (0, 1):
            self.erase_in_line(how)
        rows = {0: range(y + 1, self.lines), 1: range(y), 2: range(self.lines)}.get(how, ())
        for row in rows:
            self._erase(row, 0, self.columns)

    def _erase(self, y: int, first: int, last: int) -> None:
        last = min(last, self.columns)
        if first < last:
            self.cells[y][first:last] = [self.blank()] * (last - first)
            self._mend(y)

    def alignment_display(self) -> None:
        """Fill the screen with E (DECALN)."""
        self.cells = [[Char("E")] * self.columns for _ in range(self.lines)]
        self.margins = None
        self.cursor_position()
        self.dirty.update(range(self.lines))

    # -- saving, modes, size ----------------------------------------------------------------------

    def save_cursor(self) -> None:
        """Remember the cursor of this screen (DECSC)."""
        self._saved[self.alternate] = (
            *(self.cursor.x, self.cursor.y, self.cursor.attrs),
            *(self.g0_charset, self.g1_charset, self.charset),
            mo.DECOM in self.mode,
        )

    def restore_cursor(self) -> None:
        """Go back to the remembered cursor, home where there is none (DECRC)."""
        home = (0, 0, Char(" "), _LATIN, self.g1_charset, 0, False)
        x, y, attrs, g0, g1, charset, origin = self._saved.get(self.alternate, home)
        self.cursor.x, self.cursor.y = min(x, self.columns), min(y, self.lines - 1)
        self.cursor.attrs = attrs
        self.g0_charset, self.g1_charset, self.charset = g0, g1, charset
        self._mode(mo.DECOM, origin)

    def switch(self, number: int, on: bool, *, private: bool) -> None:
        """Set or reset one mode."""
        if not private:
            if number in (mo.IRM, mo.LNM):
                self._mode(number, on)
        elif number in _ALTERNATE:
            self._switch_screen(number, on)
        elif number == 1048:
            self.save_cursor() if on else self.restore_cursor()
        elif number == 25:
            self.cursor.hidden = not on
        elif number == 5:
            self.reversed_screen = on
            self.dirty.update(range(self.lines))
        elif number in (6, 7):
            self._mode(number << 5, on)
            if number == 6:
                self.cursor_position()
        elif on:
            self.flags.add(number)
        else:
            self.flags.discard(number)

    def _mode(self, value: int, on: bool) -> None:
        self.mode.add(value) if on else self.mode.discard(value)

    def _switch_screen(self, number: int, on: bool) -> None:
        if on is self.alternate:
            if number == 1049 and not on and False in self._saved:
                self.restore_cursor()
            return
        if on and number == 1049:
            self.save_cursor()
        self._main, self.cells = self.cells, self._main
        self.alternate = on
        if on:
            attrs, self.cursor.attrs = self.cursor.attrs, Char(" ")
            self.cells = [self.blank_row() for _ in range(self.lines)]
            self.cursor.attrs = attrs
        elif number == 1049:
            self.restore_cursor()
        self.dirty.update(range(self.lines))

    def soft_reset(self) -> None:
        """Reset modes, margins and colours, not what is drawn (DECSTR)."""
        self.mode, self.margins = {mo.DECAWM}, None
        self.flags.clear()
        self.cursor.hidden = False
        self.cursor.attrs = Char(" ")
        self.g0_charset, self.charset = _LATIN, 0

    def resize(self, lines: int | None = None, columns: int | None = None) -> None:
        """Change the size; rows above the cursor go first where there are fewer."""
        rows = min(max(2, lines or self.lines), MOST)
        wide = min(max(2, columns or self.columns), MOST)
        gone = max(0, min(self.cursor.y + 1, self.lines) - rows)
        self.cells = self._fitted(self.cells, gone, rows, wide)
        if self.alternate:
            self._main = self._fitted(self._main, gone, rows, wide)
        self.tabstops |= set(range(self.columns + -self.columns % 8, wide, 8))
        self.lines, self.columns, self.margins = rows, wide, None
        self.cursor.y = min(self.cursor.y - gone, rows - 1)
        self.cursor.x = min(self.cursor.x, wide - 1)
        self.dirty.update(range(rows))

    @staticmethod
    def _fitted(cells: list[list[Any]], gone: int, rows: int, wide: int) -> list[list[Any]]:
        kept = [(row + [Char(" ")] * wide)[:wide] for row in cells[gone : gone + rows]]
        return kept + [[Char(" ")] * wide for _ in range(rows - len(kept))]

    # -- what is seen -----------------------------------------------------------------------------

    @property
    def display(self) -> list[str]:
        """The rows as text."""
        return ["".join(cell.data for cell in row) for row in self.cells]

    def runs(self, y: int) -> Row:
        """Return a row as runs of one look; plain blanks at its end are left out."""
        runs: list[Run] = []
        text, look, before = "", Look(), None
        for cell in self.cells[y]:
            attributes = cell[1:]
            if attributes != before:
                before, now = attributes, look_of(attributes, self.reversed_screen)
                if now != look and text:
                    runs.append(Run(text, look))
                    text = ""
                look = now
            text += cell.data
        if look == Look():
            text = text.rstrip()
        return (*runs, Run(text, look)) if text else tuple(runs)


_LATIN = pyte.charsets.LAT1_MAP
