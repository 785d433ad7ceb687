"""labgrid's ShellDriver over a console driver for a pty.

labgrid has drivers for serial devices and for pipes, none for the master side of a pty. This one
reads like its SerialDriver: at least `size` bytes, and all that already waits.
"""

from __future__ import annotations

import fcntl
import os
import pty
import select
import struct
import termios
from importlib.metadata import version
from typing import Any

import attr
import common
import pexpect
from labgrid import Target
from labgrid.driver import ShellDriver
from labgrid.driver.common import Driver
from labgrid.driver.consoleexpectmixin import ConsoleExpectMixin
from labgrid.factory import target_factory
from labgrid.protocol import ConsoleProtocol


@target_factory.reg_driver
@attr.s(eq=False)
class PtyDriver(ConsoleExpectMixin, Driver, ConsoleProtocol):  # type: ignore[misc]
    """A console that is `/bin/sh` on a pty."""

    txdelay = attr.ib(default=0.0)
    txchunk = attr.ib(default=1)

    def __attrs_post_init__(self) -> None:
        super().__attrs_post_init__()
        self._fd = -1

    def on_activate(self) -> None:
        pid, self._fd = pty.fork()
        if pid == 0:
            os.execve("/bin/sh", ["sh"], common.environment())  # noqa: S606
        size = struct.pack("HHHH", common.ROWS, common.COLUMNS, 0, 0)
        fcntl.ioctl(self._fd, termios.TIOCSWINSZ, size)

    def on_deactivate(self) -> None:
        os.close(self._fd)

    def open(self) -> None:
        """Nothing: activation has opened it."""

    def close(self) -> None:
        """Nothing: deactivation closes it."""

    def _read(self, size: int = 1, timeout: float = 0.0, max_size: int | None = None) -> bytes:
        if not select.select([self._fd], [], [], timeout)[0]:
            raise pexpect.TIMEOUT(f"nothing in {timeout} s")
        waiting = struct.unpack("i", fcntl.ioctl(self._fd, termios.FIONREAD, b"\0" * 4))[0]
        return os.read(self._fd, min(max(size, waiting), max_size or 65536))

    def _write(self, data: bytes) -> int:
        return os.write(self._fd, data)


def main() -> None:
    args = common.arguments()
    target: Any = Target("bench")
    console = PtyDriver(target, "console")
    shell = ShellDriver(
        target,
        "shell",
        prompt=common.PROMPT,
        login_prompt="login: ",
        username="root",
        await_login_timeout=1,
    )
    target.activate(console)
    common.say("ready", version=version("labgrid"))
    target.activate(shell)
    shell.run("stty -echo")
    common.commands(lambda: shell.run("true") == ([], [], 0), args.commands, args.limit)

    def take(command: str, _: int) -> bytes:
        lines, _none, status = shell.run(command, timeout=120)
        return "\n".join(lines).encode() if status == 0 else b"?"

    common.bulk(take, args)


if __name__ == "__main__":
    main()
