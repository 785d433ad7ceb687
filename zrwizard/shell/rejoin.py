"""Finding a quiet shell of ours again, on a console that shows nothing of it."""

from __future__ import annotations

import time

from zrwizard.console.states import State
from zrwizard.shell.bringup import BringUp, Left
from zrwizard.shell.looking import STATUS
from zrwizard.shell.protocol import Frames

_MUTE = (State.SILENT, State.UNKNOWN, State.MESSAGES)
_PROBES = 3


def is_there(way: BringUp, frames: Frames, left: Left, patience: float) -> bool:
    """Return whether the quiet shell `left` has the console; waits while it is busy.

    ^T, which starts nothing, makes FreeBSD's kernel name what has the terminal (tty_info): our
    shell reading a line, or a command of ours that still runs. Where ^T was never answered, its
    helpers themselves are asked, for up to `patience` seconds.
    """
    if way.look(limit=2.0, quiet=0.5) not in _MUTE:
        return False
    until = time.monotonic() + patience
    unanswered = 0
    while way.look(limit=0.5, quiet=0.1) in _MUTE:
        frames.console.write(b"\x11\x15\x14")
        answer = frames.console.read_until_quiet(0.3, 1.5)
        status = STATUS.search(answer)
        if status is not None and status[2] == b"ttyin":
            if status[1] == b"sh" and frames.alive(left.token, tries=6):
                return True
            way.feed(frames.strangers_answer()[0])
            return False
        if status is None:
            unanswered += 1
            if left.answers_status and unanswered >= _PROBES:
                return False
            if not left.answers_status:
                if frames.alive(left.token, tries=2):
                    return True
                said, strange = frames.strangers_answer()
                way.feed(said)
                if strange:
                    return False
        if time.monotonic() > until:
            return False
    return False
