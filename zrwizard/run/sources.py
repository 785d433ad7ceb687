"""Where a run gets secrets from that were not given beforehand."""

from __future__ import annotations

from collections.abc import Callable

from zrwizard.plan import Problem
from zrwizard.secrets import Secret

SecretSource = Callable[[str, Problem | None], Secret | None]
"""Gives a secret by name, or None; the problem says why the one given before will not do."""
