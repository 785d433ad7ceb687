"""`sh mover.sh DIR` in a detached script: see `rehearsal.mover`."""

from __future__ import annotations

import re

from zrwizard.rehearsal.commands import Call, program
from zrwizard.rehearsal.errors import Fail
from zrwizard.rehearsal.mover import Mover
from zrwizard.rehearsal.moverlist import UNUSABLE

SCRIPT = re.compile(r"(?<![\w/])sh +(?='?[^\s']*mover\.sh)")
NAME = "__mover"


def played(text: str) -> str:
    """A script in which the mover is the program below, as the virtual shell cannot run it."""
    return SCRIPT.sub(f"{NAME} ", text)


@program(NAME)
async def mover(call: Call) -> int:
    """mover.sh DIR."""
    if not call.args or not call.exists(call.args[0]):
        raise Fail(f"sh: cannot open {call.args[0] if call.args else ''}\n", 2)
    if len(call.args) != 2:
        raise Fail("", UNUSABLE)
    return await Mover(call, call.args[1]).run()
