"""The arguments of `zrwizard console`."""

from __future__ import annotations

import argparse
from pathlib import Path

TIMEOUT = 3600.0
STEAL = "take the line away from another zrwizard that holds it; asks first"
_DESCRIPTION = """\
Connects this terminal to the console of a machine; ~. at the beginning of a line leaves, ~? helps.
With --exec, --get or --put the console is brought to a root shell, one thing is done, and it is
handed back; the exit status is the command's own then, and 4 with a message on standard error
where the console itself failed.
"""
_LOG = """\
write a transcript of both directions (asciicast v2, mode 0600) into a new FILE; what is typed
stands there only where the console echoed it: passwords are <not shown>
"""


def add_console(sub: argparse.ArgumentParser) -> None:
    """Add them to the parser of the sub-command."""
    sub.description = _DESCRIPTION
    sub.add_argument(
        "url",
        metavar="URL",
        help="telnet://HOST:PORT, ssh://USER@HOST:PORT, serial:///dev/…, local:, rehearsal://NAME",
    )
    what = sub.add_mutually_exclusive_group()
    what.add_argument("--exec", metavar="COMMAND", help="run one sh command as root")
    what.add_argument(
        "--get", nargs=2, metavar=("REMOTE", "LOCAL"), help="fetch a file, checked by its cksum(1)"
    )
    what.add_argument(
        "--put", nargs=2, metavar=("LOCAL", "REMOTE"), help="bring a file there, checked likewise"
    )
    sub.add_argument(
        "--timeout",
        type=_seconds,
        metavar="S",
        help=f"seconds that the command may take (with --exec; default {TIMEOUT:.0f})",
    )
    sub.add_argument(
        "--stream",
        action="store_true",
        help="pass the output on as it comes, any size of it (with --exec)",
    )
    sub.add_argument(
        "--secret",
        metavar="console=SOURCE",
        action="append",
        default=[],
        help="root's password at a login: file:PATH, env:VARIABLE or fd:NUMBER",
    )
    sub.add_argument("--log", metavar="FILE", type=Path, help=_LOG)
    sub.add_argument(
        "--no-status", action="store_true", help="no status line in the terminal's last row"
    )
    sub.add_argument("--steal", action="store_true", help=STEAL)
    sub.add_argument(
        "-v",
        "--verbose",
        action="store_true",
        help="say on standard error what the console shows on the way to the shell",
    )


def _seconds(text: str) -> float:
    value = float(text)
    if not 0 < value < float("inf"):
        raise ValueError(text)
    return value
