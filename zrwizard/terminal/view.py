"""What the console shows, told beside the bytes that pass: pyte is too slow to stand in their way.

It is fed in quiet moments only. When more has come meanwhile than it can take in one of them, it
begins anew with the newest bytes (pyte 0.8.2 draws 0.26 MB/s; facts of the console).
"""

from __future__ import annotations

from zrwizard.console.screen import Screen
from zrwizard.console.states import State

_MOST = 12_000
_PROMPTS = (State.ROOT_SHELL, State.USER_SHELL, State.LOGIN, State.SINGLE_USER)


class View:
    """A screen of `rows` and `columns` that lags behind and catches up."""

    def __init__(self, rows: int, columns: int) -> None:
        self._size = (rows, columns)
        self._screen = Screen(columns, rows)
        self._newest = bytearray()
        self._behind = 0
        self._anew = False
        self._heard = False

    def note(self, data: bytes) -> None:
        """Keep bytes for later."""
        self._heard = True
        self._newest += data
        self._behind += len(data)
        if len(self._newest) > 4 * _MOST:
            del self._newest[:-_MOST]

    def resize(self, rows: int, columns: int) -> None:
        """Draw anew for another size."""
        self._anew = self._anew or (rows, columns) != self._size
        self._size = (rows, columns)

    def catch_up(self) -> None:
        """Draw what was noted; takes some 50 ms at most."""
        if self._anew or self._behind > _MOST:
            rows, columns = self._size
            self._screen = Screen(columns, rows)
            newest = bytes(self._newest[-_MOST:])
            # The first line may lack its beginning, and a sequence in it as well.
            self._screen.feed(newest.partition(b"\n")[2] if len(newest) == _MOST else newest)
        elif self._behind:
            self._screen.feed(bytes(self._newest[-self._behind :]))
        self._behind, self._anew = 0, False

    def state(self) -> State:
        """Return what is shown; ask after `catch_up`, in a quiet moment."""
        return self._screen.state(heard=self._heard)

    @property
    def at_prompt(self) -> bool:
        """Whether a prompt ends the screen's text, as none does inside a full-screen program."""
        below = self._screen.lines()[self._screen.cursor[1] + 1 :]
        return self.state() in _PROMPTS and not any(below)

    def text(self) -> str:
        """Return the screen's rows."""
        return self._screen.text()


def words(state: State) -> str:
    """Return a state as the status line says it."""
    match state:
        case State.SILENT:
            return "silent"
        case State.UNKNOWN:
            return "state not known"
        case _:
            return str(state)


def amount(count: int) -> str:
    """Return a count of bytes in few characters."""
    if count < 1000:
        return f"{count} B"
    value = float(count)
    for unit in ("kB", "MB", "GB"):
        value /= 1000
        if value < 1000:
            return f"{value:.1f} {unit}"
    return f"{value / 1000:.1f} TB"


def status_row(columns: int, address: str, state: str, counts: str, minutes: str) -> bytes:
    """Return the status row, one column short of `columns` so that no terminal wraps.

    What matters least is left out first where the row is narrow.
    """
    room = columns - 1
    hint = "~. leaves, ~? helps"
    for parts in (
        (address, state, counts, minutes, hint),
        (address, state, counts, hint),
        (address, state, minutes, hint),
        (address, state, hint),
        (state, hint),
    ):
        row = " " + " | ".join(part for part in parts if part) + " "
        if len(row) <= room:
            break
    return row[:room].ljust(room).encode("ascii", "replace")
