"""aexpect's ShellSession: by default, and (`--tuned`) told to wait 1 ms instead of 100."""

from __future__ import annotations

import os
import sys
from importlib.metadata import version
from pathlib import Path

import common
from aexpect.client import ShellSession


def main() -> None:
    wait = 0.001 if "--tuned" in sys.argv else None
    sys.argv = [word for word in sys.argv if word != "--tuned"]
    args = common.arguments()
    # aexpect looks for its helper program in PATH only.
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    os.environ.update({**common.environment(), "PATH": path})
    session = ShellSession("/bin/sh")
    common.say("ready", version=version("aexpect"))
    session.cmd_output(f"stty -echo rows {common.ROWS} cols {common.COLUMNS}")
    try:
        common.commands(
            lambda: session.cmd_status_output("true", internal_timeout=wait)[0] == 0,
            args.commands,
            args.limit,
        )
        common.bulk(
            lambda command, _: session.cmd_output(command, 120, internal_timeout=wait).encode(),
            args,
        )
    finally:
        session.close()


if __name__ == "__main__":
    main()
