"""Where a run gets what was not given beforehand: secrets, and the operator's word."""

from __future__ import annotations

from collections.abc import Callable

from zrwizard.plan import Problem
from zrwizard.secrets import Secret

SecretSource = Callable[[str, Problem | None], Secret | None]
"""Gives a secret by name, or None; the problem says why the one given before will not do."""


Agreement = Callable[[str, str, str], bool | None]
"""Asks for the operator's word: a title, the reasons, and the difference; None: nobody is there."""
