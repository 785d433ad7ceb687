"""The command line's arguments; what is done with them is in `cli`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from zrwizard import __version__
from zrwizard.preview.arguments import add_preview
from zrwizard.terminal.arguments import STEAL, add_console

RESTORE, SERVER = "restore", "server"


def parser(argv: Sequence[str] = ()) -> argparse.ArgumentParser:
    """Return the parser of the command line; it ends the process with 2 on its own errors.

    What only some commands need is there where `argv` names the command.
    """
    top = argparse.ArgumentParser(
        prog="zrwizard",
        description="Restores root-on-ZFS FreeBSD machines over any console, and sets up the "
        "servers that keep their backups.",
        epilog="Without a command the screens are started.",
    )
    top.add_argument("--version", action="version", version=f"zrwizard {__version__}")
    top.add_argument(
        "--style",
        choices=("auto", "full", "console"),
        default="auto",
        help="the look of the screens; console is for serial terminals",
    )
    commands = top.add_subparsers(dest="command", metavar="COMMAND")
    _add_restore(commands.add_parser("restore", help="restore a machine from its backup server"))
    _add_server(commands.add_parser("server", help="set up a backup server on another computer"))
    keys = commands.add_parser("keys", help="the keys of backup servers on this machine")
    if "keys" in argv:
        from zrwizard.keyring.command import add_keys  # noqa: PLC0415 - cryptography loads slowly

        add_keys(keys)
    add_console(
        commands.add_parser("console", help="a console as it is, or one command on it (--exec)")
    )
    add_preview(
        commands.add_parser("preview", help="what changed between snapshots; nothing is written")
    )
    template = commands.add_parser("answers", help="print a commented answers file")
    template.add_argument("flow", choices=(RESTORE, SERVER))
    rehearse = commands.add_parser(
        "rehearse", help="do it on simulated machines; nothing of this machine is touched"
    )
    rehearse.add_argument(
        "flow",
        nargs="?",
        choices=(
            *(RESTORE + kind for kind in ("", "-mirror", "-encrypted", "-moved", "-far")),
            SERVER,
            "preview",
        ),
        default=RESTORE,
    )
    _add_output(rehearse)
    rehearse.add_argument(
        "--seed",
        type=int,
        default=1,
        metavar="N",
        help="seed of the simulated machines (default 1)",
    )
    rehearse.add_argument(
        "--speed",
        type=_positive,
        default=None,
        metavar="X",
        help="how many times faster than real time they run",
    )
    return top


def _add_restore(sub: argparse.ArgumentParser) -> None:
    _add_guided(sub, RESTORE, "server, key, key-passphrase, disk-passphrase")
    sub.add_argument("--host-key", metavar="SHA256:…", help="the server's host key fingerprint")


def _add_server(sub: argparse.ArgumentParser) -> None:
    _add_guided(sub, SERVER, "ca-passphrase, escrow-passphrase")
    sub.add_argument(
        "--keys",
        metavar="DIR",
        type=Path,
        help="where the keys are kept, in a directory NAME below DIR (default: "
        "~/.local/share/zrwizard/keys)",
    )


def _add_guided(sub: argparse.ArgumentParser, flow: str, secrets: str) -> None:
    """Add what every guided flow takes; `secrets` names those that it may ask for."""
    sub.add_argument(
        "--console",
        metavar="URL",
        default="",
        help="telnet://HOST:PORT, ssh://USER@HOST:PORT, serial:///dev/…, local:",
    )
    sub.add_argument(
        "--answers",
        metavar="FILE",
        type=Path,
        help=f"TOML file with the answers (see: zrwizard answers {flow})",
    )
    _add_output(sub)
    sub.add_argument(
        "--confirm-erase",
        metavar="IDENTITY",
        action="append",
        default=[],
        help="the disk's serial number (or its name and size in bytes); again for each disk",
    )
    sub.add_argument(
        "--secret",
        metavar="NAME=SOURCE",
        action="append",
        default=[],
        help="a secret: NAME=file:PATH, env:VARIABLE or fd:NUMBER; names: console, " + secrets,
    )
    sub.add_argument(
        "--plan",
        choices=("json", "sh", "md"),
        help="print the plan and stop before the disk is touched",
    )
    sub.add_argument(
        "--fresh", action="store_true", help="begin a new run although an unfinished one is there"
    )
    sub.add_argument("--steal", action="store_true", help=STEAL)


def _add_output(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("--headless", action="store_true", help="no screens, no questions")
    sub.add_argument("--json", action="store_true", help="one event a line (with --headless)")
    sub.add_argument(
        "--style",
        choices=("auto", "full", "console"),
        default=argparse.SUPPRESS,
        help=argparse.SUPPRESS,
    )


def _positive(text: str) -> float:
    value = float(text)
    if not 0 < value < float("inf"):
        raise ValueError(text)
    return value
