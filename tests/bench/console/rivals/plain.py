"""Plain `os.read` and a rolling tail: the limit that nothing on a pty can be faster than.

With `--raw` the terminal does no output processing (`stty -opost`): no CR before each LF.
"""

from __future__ import annotations

import sys

import common


def main() -> None:
    raw = "--raw" in sys.argv
    if raw:
        sys.argv.remove("--raw")
    args = common.arguments()
    common.say("ready", version="")
    with common.quiet_sh() as shell:
        if raw:
            shell.ask("stty -opost")

        def take(command: str, size: int) -> bool:
            counted = 0

            def add(length: int) -> None:
                nonlocal counted
                counted += length

            status = shell.count(command, add)
            with open(args.file, "rb") as file:
                lines = 0 if raw else file.read(size).count(b"\n")
            return status == 0 and counted == size + lines + len("\x1e0\x1f")

        common.commands(shell.minimal, args.commands, args.limit, "bare")
        common.commands(lambda: shell.ask("true") == 0, args.commands, args.limit)
        common.bulk(take, args)


if __name__ == "__main__":
    main()
