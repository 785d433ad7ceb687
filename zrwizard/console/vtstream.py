"""Bytes become what a `Grid` shows, and the answers that a terminal gives to queries.

A sequence may be split anywhere. What is not known is left out and nothing after it is lost; a
control character within a sequence takes effect at once, as on a VT100.
"""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass

from zrwizard.console.look import Row
from zrwizard.console.vt import CURSOR_KEYS, KEYPAD, PASTE, Grid

_TOKEN = re.compile(
    rb"(?P<text>[^\x00-\x1f\x7f]+)"
    rb"|\x1b\[(?P<csi>[\x20-\x3f]*)(?P<final>[\x40-\x7e])"
    rb"|\x1b[\]PX^_][^\x07\x18\x1a\x1b\n]*(?:\x07|\x1b\\|[\x18\x1a]|(?=[\x1b\n]))"
    rb"|\x1b(?P<mid>[\x20-\x2f]+)(?P<last>[\x30-\x7e])"
    rb"|\x1b(?P<esc>[\x30-\x4f\x51-\x57\x59\x5a\x5c\x60-\x7e])"
    rb"|(?P<control>[\x00-\x1a\x1c-\x1f\x7f])"
)
_UNFINISHED = re.compile(rb"\x1b(\[[\x20-\x3f]*|[\]PX^_][^\x07\x18\x1a\x1b\n]*|[\x20-\x2f]*)")
_LONGEST = 4096
_MANY = 32
_TERMINAL = b"\x1b[?1;2c"
_SECOND = b"\x1b[>0;0;0c"


@dataclass(frozen=True, slots=True)
class View:
    """What a screen shows now. An unchanged row is the same object as the time before."""

    rows: tuple[Row, ...]
    columns: int
    cursor: tuple[int, int]
    cursor_shown: bool
    bells: int
    cursor_keys: bool
    paste: bool


class Vt:
    """A terminal of a given size; `feed` it, look at it with `view`. Not thread-safe."""

    def __init__(self, columns: int = 80, rows: int = 24) -> None:
        self.grid = Grid(columns, rows)
        self._held = b""
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._replies = bytearray()
        self._rows: list[Row] = []
        self.bells = 0

    def feed(self, data: bytes) -> bytes:
        """Draw `data`; return what a terminal answers to the queries in it."""
        data, self._held = self._held + data, b""
        at = 0
        while at < len(data):
            match = _TOKEN.match(data, at)
            if match is None:
                data, at = self._odd(data, at)
            else:
                at = match.end()
                self._token(match)
        replies = bytes(self._replies)
        self._replies.clear()
        return replies

    def _odd(self, data: bytes, at: int) -> tuple[bytes, int]:
        """Hold an unfinished sequence back, or take a control character out of one."""
        begun = _UNFINISHED.match(data, at)
        if begun is None:
            return data, at + 1
        end = begun.end()
        if end == len(data):
            if end - at <= _LONGEST:
                self._held = data[at:]
            return data, end
        odd = data[end]
        if odd == 0x1B or odd >= 0x80:
            return data, end
        if odd in (0x18, 0x1A):
            return data, end + 1
        self._control(odd)
        return data[:end] + data[end + 1 :], at

    def _token(self, match: re.Match[bytes]) -> None:
        kind, found = match.lastgroup, match.groupdict()
        if kind == "text":
            if text := self._decoder.decode(found["text"]):
                self.grid.draw(text)
            return
        if broken := self._decoder.decode(b"", final=True):
            self.grid.draw(broken)
        match kind:
            case "control":
                self._control(found["control"][0])
            case "final":
                self._csi(found["csi"], found["final"].decode())
            case "last":
                self._designate(found["mid"], found["last"].decode())
            case "esc":
                self._escape(found["esc"].decode())

    def _control(self, code: int) -> None:
        grid = self.grid
        match code:
            case 7:
                self.bells += 1
            case 8:
                grid.cursor.x = max(0, grid.column - 1)
            case 9:
                grid.tab()
            case 10 | 11 | 12:
                grid.linefeed()
            case 13:
                grid.cursor.x = 0
            case 14:
                grid.shift_out()
            case 15:
                grid.shift_in()

    def _designate(self, mid: bytes, last: str) -> None:
        if mid in (b"(", b")"):
            self.grid.define_charset(last, mid.decode())
        elif mid == b"#" and last == "8":
            self.grid.alignment_display()

    def _escape(self, final: str) -> None:
        grid = self.grid
        match final:
            case "7":
                grid.save_cursor()
            case "8":
                grid.restore_cursor()
            case "D":
                grid.index()
            case "E":
                grid.cursor.x = 0
                grid.index()
            case "H":
                grid.tabstops.add(grid.column)
            case "M":
                grid.reverse_index()
            case "Z":
                self._replies += _TERMINAL
            case "c":
                grid.reset()
            case "=" | ">":
                grid.switch(KEYPAD, final == "=", private=True)

    def _csi(self, body: bytes, final: str) -> None:
        kind = body[:1] if body[:1] in (b"<", b"=", b">", b"?") else b""
        middle = bytes(byte for byte in body if byte < 0x30)
        numbers = _numbers(body[len(kind) :])
        match kind + middle:
            case b"":
                self._plain(final, numbers)
            case b"?" if final in "hl":
                for number in numbers:
                    self.grid.switch(number, final == "h", private=True)
            case b"?" if final in "JK":
                self._plain(final, numbers)
            case b"?" if final == "n" and numbers[0] == 6:
                self._replies += b"\x1b[?" + self._position() + b"R"
            case b">" if final == "c" and not numbers[0]:
                self._replies += _SECOND
            case b"!" if final == "p":
                self.grid.soft_reset()

    def _plain(self, final: str, numbers: list[int]) -> None:
        grid, count = self.grid, max(1, numbers[0])
        second = numbers[1] if len(numbers) > 1 else 0
        match final:
            case "A":
                grid.cursor_up(count)
            case "B" | "e":
                grid.cursor_down(count)
            case "C" | "a":
                grid.cursor.x = min(grid.column + count, grid.columns - 1)
            case "D":
                grid.cursor.x = max(0, grid.column - count)
            case "E":
                grid.cursor_down1(count)
            case "F":
                grid.cursor_up1(count)
            case "G" | "`":
                grid.cursor.x = min(count, grid.columns) - 1
            case "H" | "f":
                grid.cursor_position(count, max(1, second))
            case "d":
                grid.cursor_to_line(count)
            case "I":
                for _ in range(min(count, grid.columns)):
                    grid.tab()
            case "Z":
                for _ in range(min(count, grid.columns)):
                    grid.back_tab()
            case "J":
                grid.erase_in_display(numbers[0])
            case "K" if numbers[0] < 3:
                grid.erase_in_line(numbers[0])
            case "X":
                grid.erase_characters(count)
            case "@":
                grid.insert_characters(count)
            case "P":
                grid.delete_characters(count)
            case "L":
                grid.insert_lines(count)
            case "M":
                grid.delete_lines(count)
            case "S" | "T" if len(numbers) == 1:
                grid.scroll(count if final == "S" else -count)
            case "b":
                grid.repeat(count)
            case "m":
                grid.select_graphic_rendition(*numbers)
            case "r":
                grid.set_margins(numbers[0], second)
            case _:
                self._rare(final, numbers)

    def _rare(self, final: str, numbers: list[int]) -> None:
        grid = self.grid
        match final:
            case "g" if numbers[0] == 0:
                grid.tabstops.discard(grid.column)
            case "g" if numbers[0] == 3:
                grid.tabstops.clear()
            case "h" | "l":
                for number in numbers:
                    grid.switch(number, final == "h", private=False)
            case "s":
                grid.save_cursor()
            case "u":
                grid.restore_cursor()
            case "c" if not numbers[0]:
                self._replies += _TERMINAL
            case "n" if numbers[0] == 5:
                self._replies += b"\x1b[0n"
            case "n" if numbers[0] == 6:
                self._replies += b"\x1b[" + self._position() + b"R"
            case "t" if numbers[0] == 18:
                self._replies += f"\x1b[8;{grid.lines};{grid.columns}t".encode()

    def _position(self) -> bytes:
        """Return the cursor's row and column, which is the size for resizewin(1): it goes there."""
        grid = self.grid
        origin = grid.margins.top if grid.margins and (6 << 5) in grid.mode else 0
        return f"{grid.cursor.y - origin + 1};{grid.column + 1}".encode()

    # -- what is seen -----------------------------------------------------------------------------

    def view(self) -> View:
        """Return what is to be shown; only rows that changed are made anew."""
        grid = self.grid
        if len(self._rows) != grid.lines:
            self._rows = [()] * grid.lines
            grid.dirty.update(range(grid.lines))
        for y in grid.dirty:
            if y < grid.lines:
                fresh = grid.runs(y)
                if fresh != self._rows[y]:
                    self._rows[y] = fresh
        grid.dirty.clear()
        return View(
            tuple(self._rows),
            grid.columns,
            (grid.column, grid.cursor.y),
            not grid.cursor.hidden,
            self.bells,
            CURSOR_KEYS in grid.flags,
            PASTE in grid.flags,
        )

    def lines(self) -> list[str]:
        """Return the rows as text, without trailing blanks."""
        return [str(row).rstrip() for row in self.grid.display]

    @property
    def cursor(self) -> tuple[int, int]:
        """The cursor's column and row, from 0."""
        return self.grid.column, self.grid.cursor.y

    def last_line(self) -> str:
        """Return the cursor's row up to the cursor, blanks included."""
        cells = self.grid.cells[self.grid.cursor.y]
        return "".join(cell.data for cell in cells[: self.grid.cursor.x])

    @property
    def full_screen(self) -> bool:
        """Whether a program has put the terminal into a state that no shell leaves it in."""
        grid = self.grid
        return bool(grid.alternate or grid.margins or grid.flags & {CURSOR_KEYS, KEYPAD})


def _numbers(body: bytes) -> list[int]:
    """Return the parameters; what is missing is 0, and `4:3` counts as 4, `38:5:1` as 38;5;1."""
    found: list[int] = []
    for part in body.split(b";")[:_MANY]:
        sub = [int(digits[:5]) if digits.isdigit() else 0 for digits in part.split(b":")]
        found += sub[:1] if sub[0] == 4 and sub[1:] != [0] else [24] if sub[0] == 4 else sub
    return found
