"""One command, or one file, over a console: its bytes are ours, and so is its exit status."""

from __future__ import annotations

import os
import select
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from zrwizard.console.errors import Cancelled, ConsoleError, MachineLost, Refused, Unidentified
from zrwizard.run import state
from zrwizard.run.events import Exit
from zrwizard.run.outcome import Outcome
from zrwizard.secrets import Secrets
from zrwizard.shell.connect import Watch, open_shell
from zrwizard.shell.session import ShellSession
from zrwizard.terminal.view import amount

_OUT, _ERR = 1, 2
_BROKEN_PIPE = 141
_TIDY_SECONDS = 15.0
_STOP_SECONDS = 3.0
_PROGRESS_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class Where:
    """The console, and what is needed to get a root shell on it."""

    url: str
    secrets: Secrets
    state_dir: Path
    cancel: threading.Event
    locks: Path | None
    log: Path | None = None
    verbose: bool = False


def run_command(where: Where, text: str, *, timeout: float, stream: bool) -> int | Outcome:
    """Run `text` once; its output goes to ours. Return its exit status, or why there is none."""

    def work(session: ShellSession) -> int | Outcome:
        session.reconnect_for = min(session.reconnect_for, timeout)
        if stream:
            result = session.stream(text, lambda data: _write(_OUT, data), timeout=timeout)
        else:
            result = session.run(text, timeout=timeout)
        with suppress(BrokenPipeError):
            _write(_ERR, result.err)
        with suppress(BrokenPipeError):
            _write(_OUT, result.out)
        return result.status

    return _with_shell(where, "console --exec", work)


def get(where: Where, remote: str, local: Path) -> int | Outcome:
    """Fetch the file `remote` into `local`; return 0, or why it is not there."""
    to = local / Path(remote).name if local.is_dir() else local

    def work(session: ShellSession) -> int | Outcome:
        with _progress() as done:
            return _file(lambda: session.download(remote, to, done=done), f"{to} cannot be written")

    return _with_shell(where, "console --get", work)


def put(where: Where, local: Path, remote: str) -> int | Outcome:
    """Bring the file `local` to `remote` with its permissions; return 0, or why it is not there."""
    try:
        data, mode = local.read_bytes(), local.stat().st_mode & 0o777
    except OSError as error:
        return Outcome(Exit.USAGE, f"{local} cannot be read: {error.strerror}.")

    def work(session: ShellSession) -> int | Outcome:
        with _progress() as done:
            return _file(
                lambda: session.upload(remote, data, mode, done=done), f"{remote} cannot be written"
            )

    return _with_shell(where, "console --put", work)


def _file(carry: Callable[[], None], what: str) -> int | Outcome:
    try:
        carry()
    except Refused as error:
        return Outcome(Exit.FAILED, error.what, error.now)
    except OSError as error:
        return Outcome(Exit.FAILED, f"{what}: {error.strerror}.")
    return Exit.DONE


# --- a shell, for one thing ----------------------------------------------------------------------


def _with_shell(
    where: Where, purpose: str, work: Callable[[ShellSession], int | Outcome]
) -> int | Outcome:
    """Bring the console to a root shell, do `work`, tidy up and hand the console back."""
    try:
        session = open_shell(
            where.url,
            token=state.new_token(),
            secrets=where.secrets,
            cancel=where.cancel,
            log=where.log,
            memory=where.state_dir / "consoles.json",
            watch=Watch(on_state=_say if where.verbose else _nothing),
            locks=where.locks,
            purpose=purpose,
        )
    except ConsoleError as error:
        return _failed(error, where.secrets)
    try:
        answer = work(session)
    except BrokenPipeError:
        answer = _BROKEN_PIPE
    except MachineLost as error:
        session.close()
        return _failed(error, where.secrets)
    except ConsoleError as error:
        if isinstance(error, Cancelled):
            _stop(session)
        answer = _failed(error, where.secrets)
    except BaseException:
        session.close()
        raise
    _hand_back(session)
    return answer


def _failed(error: ConsoleError, secrets: Secrets) -> Outcome:
    """Return the outcome of a console that failed, or of an operator who stopped it."""
    if isinstance(error, Cancelled):
        return Outcome(Exit.INTERRUPTED, "Stopped by the operator.")
    return Outcome(Exit.UNREACHABLE, _with_screen(error, secrets), error.now)


def _with_screen(error: ConsoleError, secrets: Secrets) -> str:
    """Return what happened; a console that was not recognised is shown, for a person to judge."""
    if not isinstance(error, Unidentified) or not error.screen.strip():
        return error.what
    rows = [f"  | {row}" for row in secrets.redact_text(error.screen).split("\n")]
    return "\n".join([error.what, *rows, ""])


def _stop(session: ShellSession) -> None:
    """Interrupt the command that our shell runs: the operator wants the console back."""
    session.console.cancel = threading.Event()
    with suppress(ConsoleError):
        session.console.write(b"\x11\x03")
        session.console.read_until_quiet(0.3, _STOP_SECONDS)


def _hand_back(session: ShellSession) -> None:
    """Remove our directory from the target, and give the shell back to people."""
    limit = threading.Event()
    session.console.cancel = limit
    session.reconnect_for = 0.0
    timer = threading.Timer(_TIDY_SECONDS, limit.set)
    timer.daemon = True
    timer.start()
    try:
        session.run(f"rm -rf {session.home}", timeout=_TIDY_SECONDS)
    except ConsoleError as error:
        session.console.transcript.mark(f"{session.home} was left there: {error.what}")
    finally:
        timer.cancel()
        session.close()


# --- what is said --------------------------------------------------------------------------------


def _write(fd: int, data: bytes) -> None:
    """Write all of `data`, unbuffered: nothing is left for the interpreter to flush at its end."""
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(fd, view) :]
        except BlockingIOError:
            # Whoever gave us this pipe reads it without blocking; the flag is theirs as well.
            select.select([], [fd], [])


def _nothing(_: str) -> None:
    return None


def _say(text: str) -> None:
    print(f"zrwizard: {text}", file=sys.stderr, flush=True)


@contextmanager
def _progress() -> Iterator[Callable[[int, int], None]]:
    """Yield what shows how far a file is, on a terminal only."""
    if not sys.stderr.isatty():
        yield lambda _passed, _size: None
        return
    began = shown = time.monotonic()

    def done(passed: int, size: int) -> None:
        nonlocal shown
        now = time.monotonic()
        if now - shown < _PROGRESS_SECONDS and passed < size:
            return
        shown = now
        rate = amount(int(passed / max(0.001, now - began)))
        share = f"{100 * passed // size} %" if size else "100 %"
        text = f"{amount(passed)} of {amount(size)}, {share}, {rate}/s"
        print(f"\r{text:<60}", end="", file=sys.stderr, flush=True)

    try:
        yield done
    finally:
        if shown != began:
            print(file=sys.stderr)
