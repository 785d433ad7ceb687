"""What a person typed, for the transcript: only what the machine has shown itself.

A terminal echoes commands and keeps passwords to itself, in every language. So a typed character
is noted once its echo has come, and as `<not shown>` otherwise; keys that draw nothing (arrows,
Enter, ^C) are noted as they are.
"""

from __future__ import annotations

import re
import time
from collections import deque
from collections.abc import Callable

NOT_SHOWN = b"<not shown>"
_PATIENCE = 1.5
_MOST = 4096
_LONGEST_KEY = 8
_PROMPT = re.compile(
    r"(?i)(pass ?(word|phrase|code)|kennwort|secret|\bpin\b|\botp\b|verification code)[^:]*[:?] ?$"
)


def asks_for_secret(line: str) -> bool:
    """Whether an unterminated line asks for something that must not be shown."""
    return _PROMPT.search(line) is not None


class Echoes:
    """Holds typed bytes until they are seen; `note` gets what may stand in the transcript."""

    def __init__(self, note: Callable[[bytes], None]) -> None:
        self._note = note
        self._held: deque[bytes] = deque()
        self._deadline = 0.0

    def typed(self, data: bytes, *, secret: bool) -> None:
        """Take a key or a paste; with `secret` its echo is not believed either."""
        if _is_key(data):
            self._held.append(data)
        else:
            pieces = [data[at : at + 1] for at in range(len(data))]
            # Marked with a NUL, a character is like no echo.
            self._held.extend(
                b"\0" + piece if secret and not _is_key(piece) else piece for piece in pieces
            )
        self._deadline = time.monotonic() + _PATIENCE
        if len(self._held) > _MOST:
            self._give_up(len(self._held))
        elif _is_key(self._held[0]):
            self.shown(b"")

    def shown(self, data: bytes) -> None:
        """Take what the machine wrote."""
        seen = bytearray()
        while self._held:
            head = self._held[0]
            if _is_key(head):
                seen += self._held.popleft()
                data = data.removeprefix(b"\r\n") if head == b"\r" else data
            elif data[:1] == head:
                seen += self._held.popleft()
                data = data[1:]
            else:
                break
        if seen:
            self._note(bytes(seen))
        if data and self._held:
            # Behind an Enter no echo of this line can come any more.
            ends = [at for at, piece in enumerate(self._held) if piece == b"\r"]
            self._give_up(ends[0] + 1 if ends else 0)

    def settle(self, *, at_once: bool = False) -> None:
        """Note what waited too long for its echo as not shown."""
        if self._held and (at_once or time.monotonic() > self._deadline):
            self._give_up(len(self._held))

    def _give_up(self, count: int) -> None:
        note = bytearray()
        for _ in range(count):
            piece = self._held.popleft()
            if _is_key(piece):
                note += piece
            elif not note.endswith(NOT_SHOWN):
                note += NOT_SHOWN
        if note:
            self._note(bytes(note))


def _is_key(data: bytes) -> bool:
    """Whether `data` is one key without a glyph: a control character or its sequence."""
    control = bool(data) and (0 < data[0] < 32 or data[0] == 127)
    return control and (len(data) == 1 or (data[0] == 27 and len(data) <= _LONGEST_KEY))
