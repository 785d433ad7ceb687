"""What the operator types: bytes for the console, and escapes at a line's beginning (cu(1))."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum

HELP = """\
At the beginning of a line:
  ~.   leave                   ~?  this help
  ~~   type a tilde            ~b  send a break, where the line can
  ~s   what the console shows  ~l  start or stop the log
  ~^Z  suspend; the line is not read until zrwizard goes on
What is typed stands in a log as <not shown> unless the console echoes it.
"""
_TILDE = b"~"
_ENDS = b"\r\n"
# The terminal's own answers (cursor position, device attributes) are not typed by anybody.
_REPLY = re.compile(rb"\x1b\[[0-9;?>]*[Rcn]")


class Do(Enum):
    """What an escape asks for; the value is the key after the tilde."""

    LEAVE = b"."
    HELP = b"?"
    BREAK = b"b"
    STATE = b"s"
    LOG = b"l"
    SUSPEND = b"\x1a"


_BY_KEY = {action.value: action for action in Do}


@dataclass(frozen=True, slots=True)
class Send:
    """Bytes for the console."""

    data: bytes


class Escapes:
    """Finds the escapes in what is typed; a tilde waits for the key that follows it."""

    def __init__(self) -> None:
        self._at_start = True
        self._tilde = False

    def feed(self, data: bytes) -> list[Send | Do]:
        """Return what `data` means, in order."""
        if not self._tilde and _REPLY.fullmatch(data):
            return [Send(data)]
        found: list[Send | Do] = []
        plain = bytearray()
        for byte in data:
            key = bytes([byte])
            if self._tilde:
                self._tilde = False
                action = _BY_KEY.get(key)
                if action is not None:
                    if plain:
                        found.append(Send(bytes(plain)))
                        plain.clear()
                    found.append(action)
                    self._at_start = True
                    continue
                if key != _TILDE:
                    plain += _TILDE
            elif self._at_start and key == _TILDE:
                self._tilde = True
                continue
            plain += key
            self._at_start = byte in _ENDS
        if plain:
            found.append(Send(bytes(plain)))
        return found
