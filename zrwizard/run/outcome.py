"""How a plan's execution ended, and how failures become exit codes and sentences."""

from __future__ import annotations

import re
from dataclasses import dataclass

from zrwizard.console import errors
from zrwizard.plan import Phase, Step
from zrwizard.run.events import Exit

_HOST_KEY = re.compile(r"HOST IDENTIFICATION HAS CHANGED|Host key verification failed|REVOKED HOST")
_LINK = re.compile(
    r"ssh: connect to host|Could not resolve hostname|Connection (?:refused|closed|reset|timed out)"
    r"|Operation timed out|No route to host|Network is unreachable|kex_exchange_identification"
)
_REMEMBERED = "What was proven is kept: the same command again goes on from there."


@dataclass(frozen=True, slots=True)
class Outcome:
    """How it ended: the exit code, what happened, what to do now, and in which step."""

    exit: Exit
    what: str
    now: str = ""
    step: str = ""


class StepError(Exception):
    """A step did not do what it should."""

    def __init__(self, what: str, now: str, code: Exit = Exit.FAILED) -> None:
        super().__init__(what)
        self.what = what
        self.now = now
        self.code = code


def of_console(error: errors.ConsoleError) -> Outcome:
    """Return the outcome that a failing console means; `what` and `now` are the error's own."""
    match error:
        case errors.Cancelled():
            return Outcome(Exit.INTERRUPTED, error.what or "Stopped by the operator.", _REMEMBERED)
        case errors.MachineLost() | errors.NoAnswer():
            now = f"{error.now} {_REMEMBERED}".strip()
            return Outcome(Exit.UNREACHABLE, error.what, now)
        case _:
            return Outcome(Exit.UNREACHABLE, error.what, error.now)


def code_of_failure(step: Step, output: str) -> Exit:
    """Return the exit code of a command that failed, by its phase and by what it printed.

    A host key that is not the expected one is a refusal; a network that does not carry us to the
    server is an unreachable server; everything else is a failure.
    """
    if _HOST_KEY.search(output):
        return Exit.REFUSED
    if step.phase is Phase.NETWORK:
        return Exit.UNREACHABLE
    if step.phase is Phase.LOGIN and _LINK.search(output):
        return Exit.UNREACHABLE
    return Exit.FAILED


def last_lines(text: str, count: int = 6, width: int = 300) -> str:
    """Return the last lines of `text` that say something, each cut to `width` characters."""
    lines = [line.rstrip()[:width] for line in text.replace("\r", "\n").split("\n")]
    return "\n".join([line for line in lines if line.strip()][-count:])


def cut(text: str, limit: int = 4000) -> str:
    """Return `text` cut to a readable size: its beginning and its end."""
    if len(text) <= limit:
        return text
    half = limit // 2
    return f"{text[:half]}\n… {len(text) - 2 * half} characters left out …\n{text[-half:]}"
