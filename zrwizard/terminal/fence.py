"""Keeps the console's output off the last row of the operator's terminal, where our status stands.

The terminal does the work: a scroll region (DECSTBM) without its last row. Only what would break
that region, or address the row behind it, is rewritten on its way; all else passes as it is. A
program that uses the last row on purpose, because the target believes in a larger window than it
has, gets it: the fence is taken down until the console is back at a prompt.
"""

from __future__ import annotations

import re

_ESC = b"\x1b"
_WATCHED = re.compile(
    rb"\x1b\[(?P<n>[0-9;]*)(?P<f>[HfdrJsu])|\x1b\[\?(?P<m>[0-9;]*)(?P<s>[hl])|\x1b(?P<e>[78c])"
    rb"|\x1b\[!p|\x1b#8"
)
_PARTIAL = re.compile(rb"\x1b(?:\[[0-?]*[ -/]*|[\]PX^_][^\x07\x1b]{0,4000}|[ -/]*)?")
_PARTIAL_CHARACTER = re.compile(rb"[\xc2-\xf4][\x80-\xbf]{0,2}\Z")
_SAVE, _RESTORE = b"\x1b7", b"\x1b8"
_LEFT_ON = (b"9", b"1000", b"1002", b"1003", b"1004", b"1005", b"1006", b"1015", b"2004", b"1")
_ALTERNATE = (b"47", b"1047", b"1049")
_ORIGIN, _COLUMNS, _CURSOR, _WRAP = b"6", b"3", b"25", b"7"


class Fence:
    """A filter of the console's output for a terminal of `rows`, its last one ours while `up`."""

    def __init__(self, rows: int) -> None:
        self.rows = rows
        self.up = False
        self.dirty = False
        """Whether the status row may have been erased."""
        self._held = b""
        self._region: tuple[int, int] | None = None
        self._saved = False
        self._origin = False
        self._modes: set[bytes] = set()
        self._off: set[bytes] = set()
        self._end = b""

    # -- what passes --------------------------------------------------------------------------

    def through(self, data: bytes) -> bytes:
        """Return `data` as it may be written to the terminal."""
        data = self._held + data
        self._held = b""
        at = data.rfind(_ESC)
        if at >= 0 and _PARTIAL.fullmatch(data, at):
            data, self._held = data[:at], data[at:]
        if data:
            self._end = data[-3:]
        return _WATCHED.sub(self._rewrite, data) if _ESC in data else data

    def release(self) -> bytes:
        """Return what was held back as the beginning of a sequence that did not go on."""
        held, self._held, self._end = self._held, b"", b""
        return held

    @property
    def whole(self) -> bool:
        """Whether the last sequence and character are complete: something may be drawn between."""
        return not self._held and _PARTIAL_CHARACTER.search(self._end) is None

    @property
    def line_ended(self) -> bool:
        """Whether the last thing that passed was a newline: no wrapping is pending."""
        return not self._held and self._end.endswith(b"\n")

    @property
    def free(self) -> bool:
        """Whether a status may be drawn: no saved cursor of a program would be overwritten."""
        return self.up and self.whole and not self._saved and not self._origin

    @property
    def alternate(self) -> bool:
        """Whether a full-screen program has the terminal's other screen."""
        return not self._modes.isdisjoint(_ALTERNATE)

    def at_prompt(self) -> None:
        """No program runs that could come back to a cursor it has saved."""
        self._saved = False

    def _rewrite(self, match: re.Match[bytes]) -> bytes:
        whole = match[0]
        if match["f"]:
            return self._csi(whole, match["n"], match["f"])
        if match["s"]:
            return self._mode(whole, match["m"].split(b";"), match["s"] == b"h")
        if match["e"] in (b"7", b"8"):
            self._saved = match["e"] == b"7"
            return whole
        self.dirty = True
        if match["e"] == b"c":
            self._forget()
            return whole + self._own_region() if self.up else whole
        if whole == b"\x1b[!p":
            # A soft reset takes the region away but does not move the cursor, and saves nothing.
            self._region, self._saved, self._origin = None, False, False
            return whole + _SAVE + self._own_region() + _RESTORE if self.up else whole
        return whole

    def _csi(self, whole: bytes, numbers: bytes, final: bytes) -> bytes:
        match final:
            case b"s" | b"u":
                self._saved = final == b"s"
                return whole
            case b"J":
                self.dirty = True
                return whole
            case b"r":
                return self._margins(whole, numbers)
            case _:
                return self._moved(whole, numbers, final)

    def _moved(self, whole: bytes, numbers: bytes, final: bytes) -> bytes:
        """A cursor position: beyond the window it means its end, the very last row is asked for."""
        first, semicolon, rest = numbers.partition(b";")
        row = int(first or b"1")
        if not self.up or self._origin or row < self.rows:
            return whole
        if row > self.rows:
            return b"\x1b[%d%s%s%s" % (self.rows - 1, semicolon, rest, final)
        return self._down(keep=final == b"d") + whole

    def _margins(self, whole: bytes, numbers: bytes) -> bytes:
        parts = [int(part or b"0") for part in numbers.split(b";")]
        top, bottom = parts[0] or 1, (parts[1] if len(parts) > 1 else 0)
        if not self.up:
            self._region = (top, bottom) if bottom and (top, bottom) != (1, self.rows) else None
            return whole
        if bottom == self.rows:
            return self._down(keep=False) + whole
        bottom = min(bottom or self.rows, self.rows - 1)
        self._region = (top, bottom) if (top, bottom) != (1, self.rows - 1) else None
        return b"\x1b[%d;%dr" % (top, bottom)

    def _mode(self, whole: bytes, modes: list[bytes], on: bool) -> bytes:
        for mode in modes:
            if mode in _LEFT_ON or mode in _ALTERNATE:
                (self._modes.add if on else self._modes.discard)(mode)
            if mode in (_CURSOR, _WRAP):
                (self._off.discard if on else self._off.add)(mode)
            if mode == _ORIGIN:
                self._origin = on
            if mode in _ALTERNATE:
                self.dirty = True
            if mode == _COLUMNS and self.up:
                self.dirty = True
                return whole + self._own_region()
        return whole

    def _forget(self) -> None:
        self._region, self._saved, self._origin = None, False, False
        self._modes.clear()
        self._off.clear()

    # -- our row ------------------------------------------------------------------------------

    def _own_region(self) -> bytes:
        top, bottom = self._region or (1, self.rows - 1)
        return b"\x1b[%d;%dr" % (top, min(bottom, self.rows - 1))

    def raise_up(self) -> bytes:
        """Return what makes the last row ours; what stands there is scrolled up by one row."""
        self.up = self.dirty = True
        self._region, self._saved = None, False
        return b"\n\x1b[A" + _SAVE + self._own_region() + _RESTORE

    def _down(self, *, keep: bool) -> bytes:
        """Give the last row to the console; the cursor may be lost unless it is to be kept."""
        self.up = False
        row = b"\x1b[r\x1b[%d;1H\x1b[2K" % self.rows
        if self._region is not None:
            row += b"\x1b[%d;%dr" % self._region
        return _SAVE + row + _RESTORE if keep else row

    def give_up(self) -> bytes:
        """Return what gives the last row back, the cursor where it is."""
        return self._down(keep=True) if self.up else b""

    def status(self, text: bytes) -> bytes:
        """Return what draws `text` into our row, and leaves everything else as it is."""
        self.dirty = False
        # The region is set again each time: a program may have taken it away unnoticed.
        return b"".join(
            (
                _SAVE,
                self._own_region(),
                b"\x1b[%d;1H\x1b[0;7m\x0f\x1b(B" % self.rows,
                text,
                b"\x1b[0m\x1b[K",
                _RESTORE,
            )
        )

    def resized(self, rows: int) -> bytes:
        """Return what adapts to a terminal that has `rows` now; the fence is down after it."""
        old, was_up = self.rows, self.up
        self.rows, self.up, self._region = rows, False, None
        if not was_up:
            return b""
        wipe = b"\x1b[%d;1H\x1b[2K" % old if old <= rows else b""
        return _SAVE + b"\x1b[r" + wipe + _RESTORE

    def leave(self) -> bytes:
        """Return what undoes the fence, and what a program on the console has left switched on."""
        region, self._region = self._region, None
        left = self.give_up() if self.up else _SAVE + b"\x1b[r" + _RESTORE if region else b""
        for mode in sorted(self._modes):
            left += b"\x1b[?%sl" % mode
        for mode in sorted(self._off):
            left += b"\x1b[?%sh" % mode
        if self._origin:
            left += b"\x1b[?6l"
        self._forget()
        return left + b"\x1b[4l\x1b[0m\x0f\x1b(B\x1b>"
