"""scrapli 1's GenericDriver with its pty transport, started on `/bin/sh` instead of ssh.

It waits for a prompt; it reads no exit status.
"""

from __future__ import annotations

import os
from importlib.metadata import version

import common
from scrapli.driver.generic import GenericDriver


def main() -> None:
    args = common.arguments()
    os.environ.update(common.environment())
    size = {"rows": common.ROWS, "cols": common.COLUMNS}
    driver = GenericDriver(
        host="localhost",
        auth_bypass=True,
        auth_strict_key=False,
        transport="system",
        transport_options={"ptyprocess": size},
        comms_prompt_pattern=r"^zrbench>\s*$",
        comms_return_char="\n",
        timeout_ops=120,
        timeout_transport=120,
    )
    driver.transport.open_cmd = ["/bin/sh"]
    driver.open()
    common.say("ready", version=version("scrapli"))
    common.commands(lambda: driver.send_command("true").result == "", args.commands, args.limit)
    common.bulk(lambda command, _: driver.send_command(command).result.encode(), args)
    driver.close()


if __name__ == "__main__":
    main()
