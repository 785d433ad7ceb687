"""One call of `zrwizard preview`: what it was given, and how it reaches a console."""

from __future__ import annotations

import argparse
import sys
import threading
from dataclasses import dataclass
from pathlib import Path

from zrwizard import cli
from zrwizard.headless import Lines
from zrwizard.preview.arguments import Misused, Wanted
from zrwizard.preview.printing import say
from zrwizard.preview.session import PATIENCE, Door
from zrwizard.run import state
from zrwizard.run.events import Event, Note, RunStarted, StepFailed, Typed
from zrwizard.secrets import Secret, SecretError, Secrets, read_spec
from zrwizard.shell.connect import Watch

_NAMES = ("console", "here", "there")


@dataclass(frozen=True, slots=True)
class Call:
    """The arguments, the question that they ask, and what is needed to answer it."""

    args: argparse.Namespace
    asked: Wanted
    secrets: Secrets
    state_dir: Path
    cancel: threading.Event

    def door(self, url: str, who: str = "console") -> Door:
        """Return the console at `url`; `who` names the secret that its login wants."""
        simulated = url.startswith(cli.REHEARSAL)
        real = cli.real_console(url)
        known = Secrets(dict(self.secrets.known))
        own = known.get(who)
        if own is not None:
            known.add(own.called("console"))
        elif simulated and known.get("console") is None:
            known.add(_rehearsed(url))
        return Door(
            url=real,
            name=url,
            secrets=known,
            state_dir=self.state_dir / "rehearsals" if simulated else self.state_dir,
            cancel=self.cancel,
            locks=None if simulated else state.locks_dir(self.state_dir),
            watch=Watch(on_state=_show_state),
            patience=min(PATIENCE, self.asked.limit or PATIENCE),
        )


def take_secrets(args: argparse.Namespace, secrets: Secrets) -> None:
    """Read the secrets that were named. Raises `Misused`."""
    for spec in args.secret:
        try:
            secret = read_spec(spec)
        except SecretError as error:
            raise Misused(f"{error}.") from None
        if secret.name not in _NAMES:
            raise Misused(
                f"--secret {secret.name}: a preview needs no such secret.",
                f"Root's password at a login is one of: {', '.join(_NAMES)}.",
            )
        secrets.add(secret)


def tell_plan(event: Event) -> None:
    """Print what an agreed plan does, on standard error: every command, and what went wrong."""
    match event:
        case RunStarted() | StepFailed() | Note() | Typed(role="act"):
            Lines(sys.stderr, tty=False).show(event)
        case _:
            return


def _show_state(text: str) -> None:
    if sys.stderr.isatty():
        say(text)


def _rehearsed(url: str) -> Secret:
    from zrwizard import rehearse  # noqa: PLC0415 - the simulated machines load slowly

    made = rehearse.machines(url.removeprefix(cli.REHEARSAL))
    return Secret("console", made.scenario.root_password)
