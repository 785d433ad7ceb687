"""What some lines can do besides passing bytes: a window's size, and the break of a serial line."""

from __future__ import annotations

import os
import termios
from typing import Any

from zrwizard.line.spawn import ByteSpawn, Plain
from zrwizard.line.telnet import BREAK, IAC, Telnet


def resize(spawn: Any, rows: int, columns: int) -> bool:
    """Tell the other end how large the window is; False where the line has no way to.

    A pty has one. Telnet's (RFC 1073) would be typed into the console by QEMU, which cannot parse
    it (facts of the console); a serial line has none.
    """
    if isinstance(spawn, ByteSpawn) or not hasattr(spawn, "setwinsize"):
        return False
    try:
        spawn.setwinsize(rows, columns)
    except OSError:
        return False
    return True


def send_break(spawn: Any) -> str:
    """Send a break; return an empty text, or why this line cannot."""
    if not isinstance(spawn, ByteSpawn):
        return "a pty has no break; this line cannot send one"
    if isinstance(spawn.filter, Telnet):
        if spawn.filter.qemu:
            return "QEMU's telnet console takes no break; its monitor does (chardev-send-break)"
        spawn.send_raw(bytes([IAC, BREAK]))
        return ""
    if isinstance(spawn.filter, Plain) and os.isatty(spawn.child_fd):
        try:
            termios.tcsendbreak(spawn.child_fd, 0)
        except termios.error as error:
            return f"the device refused: {error}"
        return ""
    return "plain TCP has no break; this line cannot send one"
