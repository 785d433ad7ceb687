"""pexpect as most programs use it, and (`--tuned`) with all that its manual offers for speed.

Both wait for a prompt. pexpect has no way of its own to learn a status; none is read.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from typing import Any

import common
import pexpect


def by_default() -> tuple[Any, Callable[[], None]]:
    """Return a spawn whose every option is pexpect's own, and its wait for the prompt."""
    child = pexpect.spawn(
        "/bin/sh", env=common.environment(), dimensions=(common.ROWS, common.COLUMNS)
    )
    return child, lambda: child.expect(re.escape(common.PROMPT), timeout=120)


def tuned() -> tuple[Any, Callable[[], None]]:
    """Return a spawn with bytes, no delays, large reads and a search window."""
    child = pexpect.spawn(
        "/bin/sh",
        env=common.environment(),
        dimensions=(common.ROWS, common.COLUMNS),
        maxread=65536,
        searchwindowsize=200,
        use_poll=True,
    )
    child.delaybeforesend = None
    child.delayafterread = None
    return child, lambda: child.expect_exact(common.PROMPT.encode(), timeout=120)


def main() -> None:
    make = tuned if "--tuned" in sys.argv else by_default
    sys.argv = [word for word in sys.argv if word != "--tuned"]
    args = common.arguments()
    child, prompt = make()
    common.say("ready", version=pexpect.__version__)
    prompt()
    child.sendline("stty -echo")
    prompt()

    def run(command: str) -> bytes:
        child.sendline(command)
        prompt()
        return bytes(child.before)

    common.commands(lambda: run("true") == b"", args.commands, args.limit)
    common.bulk(lambda command, _: run(command), args)
    child.close(force=True)


if __name__ == "__main__":
    main()
