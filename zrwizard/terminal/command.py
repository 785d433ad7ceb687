"""`zrwizard console`: from its arguments to its exit code."""

from __future__ import annotations

import argparse
import os
import sys
import threading
import time
from pathlib import Path

from zrwizard import cli
from zrwizard.console.console import Console
from zrwizard.console.errors import ConsoleError
from zrwizard.console.transcript import Transcript
from zrwizard.line import LineError, parse
from zrwizard.line.lock import spell
from zrwizard.run import state
from zrwizard.run.events import Exit
from zrwizard.run.outcome import Outcome
from zrwizard.secrets import Secret, SecretError, Secrets, read_spec
from zrwizard.shell.connect import open_console
from zrwizard.terminal import once, owner
from zrwizard.terminal.arguments import TIMEOUT
from zrwizard.terminal.attach import Attached, Ending, Why
from zrwizard.terminal.tty import OperatorTty
from zrwizard.terminal.view import amount

_SSH_FAILED = 255


def run(args: argparse.Namespace, secrets: Secrets, state_dir: Path) -> int | Outcome:
    """Do what `zrwizard console` asks for; return the exit code, or the outcome to be told.

    Raises `cli.UsageError`.
    """
    _check(args)
    for spec in args.secret:
        secrets.add(_secret(spec))
    simulated = args.url.startswith(cli.REHEARSAL)
    url = cli.real_console(args.url)
    if simulated and secrets.get("console") is None:
        secrets.add(_rehearsed(args.url))
    locks = None if simulated else state.locks_dir(state_dir)
    if args.steal and locks is not None:
        free(locks, url)
    if args.log is not None:
        _make_log(args.log)
    if args.exec is None and args.get is None and args.put is None:
        return _attach(args, url, secrets, locks)
    with cli.signals() as cancel:
        where = once.Where(url, secrets, state_dir, cancel, locks, args.log, args.verbose)
        if args.exec is not None:
            timeout = args.timeout or TIMEOUT
            return once.run_command(where, args.exec, timeout=timeout, stream=args.stream)
        if args.get is not None:
            return once.get(where, args.get[0], Path(args.get[1]))
        return once.put(where, Path(args.put[0]), args.put[1])


def free(locks: Path, url: str) -> None:
    """Take the line of `url` away from another zrwizard (`--steal`). Raises `cli.Stopped`."""
    try:
        owner.make_free(locks, url)
    except owner.NotAsked as error:
        raise cli.UsageError(f"{error}.", "Run it on a terminal, or end that one first.") from None
    except LineError as error:
        raise cli.Stopped(Outcome(Exit.UNREACHABLE, error.what, error.now)) from None


# --- what was asked for --------------------------------------------------------------------------


def _check(args: argparse.Namespace) -> None:
    if args.exec is None and (args.stream or args.timeout is not None):
        raise cli.UsageError("--stream and --timeout belong to --exec.")
    if args.exec is not None and not args.exec.strip():
        raise cli.UsageError("--exec has no command.", "Say, --exec 'uname -a'.")
    try:
        if not args.url.startswith(cli.REHEARSAL):
            parse(args.url)
    except LineError as error:
        raise cli.UsageError(error.what, error.now) from None
    alone = args.exec is None and args.get is None and args.put is None
    if alone and not sys.stdin.isatty():
        raise cli.UsageError(
            "Standard input is no terminal: what comes from a file would be typed unseen, and a "
            "stray Enter starts an installation.",
            "Give commands with --exec 'COMMAND', or run this on a terminal.",
        )


def _secret(spec: str) -> Secret:
    try:
        secret = read_spec(spec)
    except SecretError as error:
        raise cli.UsageError(f"{error}.") from None
    if secret.name != "console":
        raise cli.UsageError(
            f"--secret {secret.name}: a console needs no such secret.",
            "Root's password at its login is --secret console=file:PATH.",
        )
    return secret


def _rehearsed(url: str) -> Secret:
    from zrwizard import rehearse  # noqa: PLC0415 - the simulated machines load slowly

    made = rehearse.machines(url.removeprefix(cli.REHEARSAL))
    return Secret("console", made.scenario.root_password)


def _make_log(path: Path) -> None:
    """Make the log's file, which must be new: two consoles in one file play as none."""
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    except FileExistsError:
        raise cli.UsageError(f"{path} is there already.", "Name a new file for --log.") from None
    except OSError as error:
        raise cli.UsageError(f"{path} cannot be written: {error.strerror}.") from None


# --- the operator's terminal on the console ------------------------------------------------------


class _Logs:
    """Starts and stops the log of one console; each start is a file of its own."""

    def __init__(self, console: Console, secrets: Secrets, path: Path | None) -> None:
        self._console = console
        self._secrets = secrets
        self._first = path
        self.path = path
        self._number = 1

    def toggle(self) -> str:
        """Stop the log, or start a new one; return what was done."""
        title = self._console.transcript.title
        old, written = self._console.transcript, self.path
        if written is not None:
            self._console.transcript = Transcript(None, self._secrets, title)
            self.path = None
            old.close()
            return f"the log {written} ends here"
        path = self._next()
        try:
            _make_log(path)
            self._console.transcript = Transcript(path, self._secrets, title)
        except (cli.UsageError, OSError) as error:
            return f"no log: {error}"
        self.path = path
        return f"logging into {path}; passwords do not go there"

    def _next(self) -> Path:
        stamp = time.strftime("%Y%m%d-%H%M%S")
        base = self._first or Path(f"zrwizard-console-{stamp}.cast")
        path = base
        while path.exists():
            self._number += 1
            path = base.with_name(f"{base.stem}-{self._number}{base.suffix}")
        return path


def _attach(
    args: argparse.Namespace, url: str, secrets: Secrets, locks: Path | None
) -> int | Outcome:
    console: Console | None = None
    try:
        console = open_console(
            url, secrets=secrets, cancel=threading.Event(), log=args.log, locks=locks
        )
        logs = _Logs(console, secrets, args.log)
        tty = OperatorTty()
        try:
            ending = Attached(
                console,
                tty,
                args.url if args.url.startswith(cli.REHEARSAL) else console.transcript.title,
                status=not args.no_status,
                toggle_log=logs.toggle,
            ).run()
        finally:
            tty.close()
    except ConsoleError as error:
        return Outcome(Exit.UNREACHABLE, error.what, error.now)
    finally:
        if console is not None:
            console.close()
    return _ended(ending, console, args.url)


def _ended(ending: Ending, console: Console, url: str) -> int | Outcome:
    """Say how it ended, on standard error; return the exit code."""
    counts = f"{amount(ending.received)} in, {amount(ending.sent)} out"
    after = f"after {spell(ending.seconds)}, {counts}"
    match ending.why:
        case Why.LEFT:
            print(f"zrwizard: left {url} {after}.", file=sys.stderr)
            return Exit.DONE
        case Why.SIGNAL | Why.GONE:
            return Outcome(Exit.INTERRUPTED, f"Stopped by a signal {after}.")
        case Why.CUT:
            if _shell_ended(console, url):
                print(f"zrwizard: the shell at {url} ended {after}.", file=sys.stderr)
                return Exit.DONE
            what = ending.error.what if ending.error else "The console line ended."
            return Outcome(Exit.UNREACHABLE, f"{what.rstrip('.')} ({after}).", _AGAIN)


_AGAIN = "Check the machine and the line; then run the same command again."


def _shell_ended(console: Console, url: str) -> bool:
    """Whether a line's end is but the end of its shell: somebody typed exit."""
    status = getattr(console.spawn, "exitstatus", None)
    kind = "" if url.startswith(cli.REHEARSAL) else parse(url).kind
    return status is not None and (kind == "local" or (kind == "ssh" and status != _SSH_FAILED))
