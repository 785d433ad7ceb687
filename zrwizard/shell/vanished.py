"""A root file system that is gone under the shell: its builtins work, commands do not.

`zpool import` without an altroot mounts a received tree over `/` (facts/restore-pitfalls, "Seen on
a real FreeBSD"): from then on every command is `not found`, `reboot` included.
"""

from __future__ import annotations

import re
import secrets

from zrwizard.console.console import Console
from zrwizard.console.errors import ConsoleError, NoAnswer
from zrwizard.shell.protocol import Frames

_THERE_OR_GONE = re.compile(
    rb"(?P<there>/bin/sh\b)|[\r\n]/bin/s\[h\]\s*[\r\n]|[Nn]o match|test: Command not found"
)
_QUESTIONS = (
    b"echo /bin/s[h]\r",
    # sh with `set -f` prints the pattern as well, so that it is asked a second time without one.
    b"test -x /bin/s'h' && echo /bin/'sh' || echo /bin/'s[h]'\r",
)


class RootVanished(ConsoleError):
    """The shell answers, but the commands of its system are not there any more."""

    def __init__(self) -> None:
        super().__init__(
            "The root file system is gone under the shell: its builtins answer, but no command "
            "is found, /bin/sh neither.",
            "Something was mounted over /, as `zpool import` without -N and -R does. Reset the "
            "machine or switch it off and on (reboot(8) is not there either), start the install "
            "media again, and import with `zpool import -N -R /mnt`.",
        )


def check_shell(console: Console) -> None:
    """Raise `RootVanished` where the shell at the prompt finds no /bin/sh.

    Ask before `exec /bin/sh`, which would end some shells. The question is one that csh and sh
    answer by themselves, a glob: `/bin/sh`, or the pattern as it was typed, or `No match`. A line
    that was damaged on its way, or no answer, is no evidence of anything.
    """
    for question in _QUESTIONS:
        console.write(question)
        answer = console.expect(_THERE_OR_GONE, 3.0)
        if answer is None or answer["there"]:
            return
    raise RootVanished


def check_commands(frames: Frames) -> None:
    """Raise `RootVanished` where a quiet sh finds no cksum(1): builtins only, `command -v` too."""
    nonce = secrets.token_hex(4)
    line = (
        f"command -v cksum >/dev/null && printf '\\036Y%s\\037' {nonce} "
        f"|| printf '\\036X%s\\037' {nonce}"
    )
    gone = 0
    while gone < 6:
        try:
            kind, _ = frames.ask(
                line, lambda kind, body: kind in (b"Y", b"X") and body == nonce.encode(), tries=6
            )
        except NoAnswer:
            return
        if kind == b"Y":
            return
        # A line that was damaged on its way can ask for another name.
        gone += 1
    raise RootVanished
