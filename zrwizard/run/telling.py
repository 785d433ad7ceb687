"""Everything that is typed on the target, told as events and passed through the redaction."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any

from zrwizard.plan import Feed
from zrwizard.run.events import Answered, Event, Typed
from zrwizard.run.outcome import cut
from zrwizard.secrets import Secret, Secrets
from zrwizard.shell.api import Result, Rule, Shell

Emit = Callable[[Event], None]


def redact_event(event: Event, secrets: Secrets) -> Event:
    """Return `event` with every known secret in its texts masked."""
    changed: dict[str, Any] = {}
    for field in fields(event):
        value = getattr(event, field.name)
        if isinstance(value, str) and value:
            safe = secrets.redact_text(value)
            if safe != value:
                changed[field.name] = safe
    return replace(event, **changed) if changed else event


class Teller:
    """Asks the shell on behalf of one step and tells what was typed and answered."""

    def __init__(self, shell: Shell, emit: Emit) -> None:
        self.shell = shell
        self.emit = emit

    def run(self, step: str, role: str, text: str, timeout: float) -> Result:
        """Run `text` in data mode. Raises `ConsoleError`."""
        self.emit(Typed(step, role, text))
        return self._told(step, role, self.shell.run(text, timeout=timeout))

    def talk(
        self, step: str, role: str, text: str, rules: tuple[Rule, ...], timeout: float
    ) -> Result:
        """Run `text` on the terminal with its prompts answered. Raises `ConsoleError`."""
        self.emit(Typed(step, role, text))
        return self._told(step, role, self.shell.talk(text, rules, timeout=timeout))

    def feed(self, step: str, role: str, shown: str, action: Feed, secret: Secret) -> Result:
        """Run the command of `action` with `secret` as its input. Raises `ConsoleError`."""
        self.emit(Typed(step, role, shown))
        result = self.shell.feed(action.text, secret, timeout=action.timeout)
        return self._told(step, role, result)

    def quietly(self, step: str, role: str, text: str, timeout: float) -> Result:
        """Run `text`, which was told in other words, and tell its answer."""
        return self._told(step, role, self.shell.run(text, timeout=timeout))

    def _told(self, step: str, role: str, result: Result) -> Result:
        self.emit(Answered(step, role, result.status, cut(result.both), result.seconds))
        return result
