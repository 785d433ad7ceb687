"""What the wizard and whoever speaks with the operator have in common."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Protocol

from zrwizard.flows.moves import Agree, Choose, EnterSecret, Option, Question
from zrwizard.plan import Plan, Problem
from zrwizard.run.events import Event, Exit
from zrwizard.run.journal import Unfinished
from zrwizard.secrets import Secret

RESUME_KEY = "run.resume"
FAILED_KEY = "run.failed"


@dataclass(frozen=True, slots=True)
class Back:
    """The operator wants the question before this one."""


@dataclass(frozen=True, slots=True)
class Confirmed:
    """The operator agrees to the plan; `typed` was typed as the identities of its disks."""

    typed: tuple[str, ...] = ()


class Stop(Exception):
    """A front end cannot go on: what is wrong, what to do now, and the exit code it means."""

    def __init__(self, what: str, now: str, code: Exit) -> None:
        super().__init__(what)
        self.what = what
        self.now = now
        self.code = code


class MissingAnswer(Stop):
    """A question that nobody is there to answer."""

    def __init__(self, what: str, now: str) -> None:
        super().__init__(what, now, Exit.USAGE)


class Front(Protocol):
    """Whoever speaks with the operator. May raise `Stop` and `Cancelled`."""

    def ask(self, question: Question, problem: Problem | None) -> str | Secret | Back:
        """Return the answer; `problem` says why the last one would not do."""
        ...

    def review(self, plan: Plan) -> Confirmed | Back:
        """Show the plan and return the confirmation; called again when it was wrong."""
        ...

    def emit(self, event: Event) -> None:
        """Take an event; never waits."""
        ...


def resume_question(found: Unfinished) -> Choose:
    """Ask whether to go on with a run that was found: `continue` or `fresh`."""
    when = time.strftime("%Y-%m-%d %H:%M", time.localtime(found.when))
    return Choose(
        key=RESUME_KEY,
        page="connect",
        title="An unfinished run was found",
        help=(
            "A run on this console was begun and has not ended well. Going on looks at the target "
            "first and skips what is proven. A new run surveys everything again."
        ),
        options=(
            Option("continue", f"Go on with the run of {when}", recommended=True),
            Option("fresh", "Begin a new run"),
        ),
        default="continue",
    )


def failed_question(can_go_back: bool) -> Choose:
    """Ask what to do after a failure before the plan: `again`, `back` or `stop`."""
    back = Option(
        "back",
        "Go back and change the last answer",
        locked=None if can_go_back else "nothing was asked yet",
    )
    return Choose(
        key=FAILED_KEY,
        page="working",
        title="This did not work",
        help="Nothing was erased so far. Try again when the cause is mended, or change an answer.",
        options=(Option("again", "Try again", recommended=True), back, Option("stop", "Stop")),
        default="again",
    )


def mend_question(path: str, reasons: str, shown: str) -> Agree:
    """Ask for the operator's word to change the restored system's file `path`."""
    return Agree(
        key=f"run.mend.{path}",
        page="working",
        title=f"May {path} of the restored system be changed?",
        help=f"{reasons} No leaves it as it is; the rest goes on.",
        text=shown,
        value="write",
    )


_SECRET_TITLES = {
    "console": "Root's password on the target's console",
    "server": "Password on the backup server",
    "key": "Private key for the backup server",
    "key-passphrase": "Passphrase of the private key",
    "disk-passphrase": "Passphrase of the encrypted disks",
    "ca-passphrase": "Passphrase of the certificate authority and the login key",
    "escrow-passphrase": "Passphrase of the escrow bundle",
}
_HERE = ("ca-passphrase", "escrow-passphrase")
"""Secrets that open what is kept on the operator's own machine, and never leave it."""


def secret_question(name: str) -> EnterSecret:
    """Ask for the secret `name` in the middle of a run."""
    return EnterSecret(
        key=f"secret.{name}",
        page="keys" if name in _HERE else "server",
        title=_SECRET_TITLES.get(name, f"The secret “{name}”"),
        help=(
            "It opens the keys on this machine, is typed on no other, and is kept nowhere."
            if name in _HERE
            else "It is typed into the prompt on the target, and kept nowhere."
        ),
        secret=name,
    )
