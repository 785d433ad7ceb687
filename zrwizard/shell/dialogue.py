"""The prompts of one command on the terminal, and their answers."""

from __future__ import annotations

import re
from dataclasses import dataclass

from zrwizard.console.console import Console
from zrwizard.console.errors import Refused
from zrwizard.secrets import Secret
from zrwizard.shell.api import Rule


@dataclass(slots=True)
class _Prompt:
    """A rule at work: its compiled pattern, and how often it was used."""

    rule: Rule
    pattern: re.Pattern[str]
    uses: int = 0


class Dialogue:
    """Answers the prompts of one command; a prompt is the last, unterminated line in a quiet."""

    def __init__(self, console: Console, rules: tuple[Rule, ...]) -> None:
        self._console = console
        self._prompts = [_Prompt(rule, re.compile(rule.pattern)) for rule in rules]
        self._shown = b""
        self._answered_at = -1
        self._guard: tuple[Secret, int] | None = None

    def seen(self, data: bytes) -> None:
        """Note what stands on the terminal since the last frame; answer a prompt at its end."""
        if data != self._shown:
            self._shown = data
            self._check_echo(data)
            return
        line = data.replace(b"\r", b"\n").rsplit(b"\n", 1)[-1].decode("utf-8", "replace")
        if not line or len(data) == self._answered_at:
            return
        for prompt in self._prompts:
            if prompt.pattern.search(line):
                self._answer(prompt)
                return

    def _answer(self, prompt: _Prompt) -> None:
        rule = prompt.rule
        if prompt.uses >= rule.max_uses:
            self._console.write(b"\x03")
            raise Refused(
                f"{rule.answer!r} was not accepted: it was asked for again.",
                "Check it, and start again; nothing was changed.",
            )
        prompt.uses += 1
        self._answered_at = len(self._shown)
        self._guard = (rule.answer, len(self._shown))
        self._console.write_secret(rule.answer)

    def _check_echo(self, data: bytes) -> None:
        if self._guard is None:
            return
        secret, at = self._guard
        value = secret.reveal()
        if value and value in data[at:]:
            self._console.write(b"\x03")
            raise Refused(
                f"The terminal showed {secret!r} as it was typed; that was no password prompt.",
                "Change that password if others can see this console.",
            )

    def transcript(self) -> bytes:
        """Return what was shown, with the answers masked."""
        shown = self._shown
        for prompt in self._prompts:
            if value := prompt.rule.answer.reveal():
                shown = shown.replace(value, repr(prompt.rule.answer).encode())
        return shown
