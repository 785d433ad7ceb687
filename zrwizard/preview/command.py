"""`zrwizard preview`: from its arguments to its exit code.

0 is no differences, 1 differences, as diff(1) has it; everything from 2 is trouble, and so is a
list of which something is missing.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from zrwizard import cli
from zrwizard.console.errors import Cancelled, ConsoleError
from zrwizard.flows.moves import Answers
from zrwizard.flows.preview import PREVIEW
from zrwizard.freebsd.errors import ParseError
from zrwizard.line import LineError, parse
from zrwizard.preview import arguments, both, one
from zrwizard.preview.arguments import Form, Misused, Wanted
from zrwizard.preview.calling import Call, take_secrets
from zrwizard.preview.printing import OutputLost, end_line, say, write
from zrwizard.run import crash, state
from zrwizard.run.events import Exit
from zrwizard.run.outcome import Outcome
from zrwizard.secrets import Secrets
from zrwizard.shell.readonly import NotReadOnly

BROKEN_PIPE = 141


def run(args: argparse.Namespace, secrets: Secrets, state_dir: Path) -> int:
    """Do what `zrwizard preview` asks for; return the exit code. Says everything by itself."""
    try:
        return _run(args, secrets, state_dir)
    except BrokenPipeError:
        return BROKEN_PIPE
    except Exception as error:
        return _fail(args, _outcome(error, secrets, state_dir))


def _run(args: argparse.Namespace, secrets: Secrets, state_dir: Path) -> int:
    arguments.check(args)
    take_secrets(args, secrets)
    asked = arguments.wanted(args)
    urls = [url for url in (args.console, args.here, args.there) if url]
    for url in urls:
        _check_console(url)
    if _wants_screens(args):
        return _screens(args, asked, secrets, state_dir)
    if not args.here:
        arguments.check_one(args, asked)
        _check_agreed(asked, args)
    if args.steal:
        _free(urls, state_dir)
    with cli.signals() as cancel:
        call = Call(args, asked, secrets, state_dir, cancel)
        return both.run(call) if args.here else one.run(call)


def _check_console(url: str) -> None:
    if url.startswith(cli.REHEARSAL):
        cli.real_console(url)
    else:
        parse(url)


def _check_agreed(asked: Wanted, args: argparse.Namespace) -> None:
    """Raise `NotReadOnly` where the live files are wanted and zfs may not make its snapshot."""
    if asked.newer is not None or asked.agree_temporary or args.list or args.get is not None:
        return
    raise NotReadOnly(
        "To compare with the live files, zfs diff makes a snapshot of its own (zfs-diff-…) in each "
        "dataset and destroys it again. That writes to the pool, and was not agreed to; nothing "
        "was asked.",
        "Agree with --agree-temporary-snapshot, or compare with the newest snapshot: --to newest.",
    )


def _free(urls: list[str], state_dir: Path) -> None:
    from zrwizard.terminal import command  # noqa: PLC0415 - pexpect loads slowly

    for url in urls:
        if not url.startswith(cli.REHEARSAL):
            command.free(state.locks_dir(state_dir), url)


# --- the screens ----------------------------------------------------------------------------------


def _wants_screens(args: argparse.Namespace) -> bool:
    told = args.older or args.list or args.get is not None or args.here or args.headless
    plain = arguments.form(args) is Form.LINES
    return bool(not told and plain and sys.stdin.isatty() and sys.stdout.isatty())


def _screens(args: argparse.Namespace, asked: Wanted, secrets: Secrets, state_dir: Path) -> int:
    from zrwizard import app  # noqa: PLC0415 - Textual is loaded for screens only

    if args.steal and args.console:
        _free([args.console], state_dir)
    given = {"preview.tree": asked.root} if asked.root else {}
    request = cli.Request(
        PREVIEW, args.console, Answers(given), secrets, state_dir, style=args.style
    )
    return app.run(request, secrets=secrets, state_dir=state_dir, style=args.style)


# --- how it fails ---------------------------------------------------------------------------------


def _outcome(error: Exception, secrets: Secrets, state_dir: Path) -> Outcome:
    """Return what an error means: its exit code, what happened, what to do now."""
    match error:
        case Misused() | cli.UsageError():
            return Outcome(Exit.USAGE, error.what, error.now)
        case cli.Stopped():
            return error.outcome
        case LineError():
            return Outcome(Exit.USAGE, error.what, error.now)
        case LookupError() if error.args and type(error) is LookupError:
            return Outcome(Exit.USAGE, str(error.args[0]), "--list shows what there is.")
        case ParseError():
            return Outcome(
                Exit.USAGE,
                f"The machine's answer is not understood: {error}.",
                "Nothing was changed there. Please report this line.",
            )
        case OutputLost():
            return Outcome(Exit.USAGE, error.reason)
        case Cancelled():
            return Outcome(Exit.INTERRUPTED, "Stopped by the operator.")
        case NotReadOnly():
            return Outcome(Exit.REFUSED, error.what, error.now)
        case ConsoleError():
            return Outcome(Exit.UNREACHABLE, error.what, error.now)
        case _:
            return crash.outcome(error, state_dir, secrets)


def _fail(args: argparse.Namespace, outcome: Outcome) -> int:
    """Say how it failed; return the exit code, which is never that of differences."""
    code = int(Exit.USAGE if outcome.exit is Exit.FAILED else outcome.exit)
    say(f"{outcome.what} {outcome.now}".rstrip())
    if args.json:
        try:
            write(end_line(code, outcome.what, outcome.now))
        except (BrokenPipeError, OutputLost):
            return code
    return code
