"""An operator's side whose acts are functions, in a directory of its own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from zrwizard.facts import Facts, OwnFacts
from zrwizard.plan import Local
from zrwizard.run.operator import OperatorError, Say
from zrwizard.secrets import Secret

Do = Callable[[Local, Say], str]


class Side:
    """`acts` maps the name of an act to what it does; `kept` holds secrets by name."""

    def __init__(self, directory: Path, **acts: Do) -> None:
        directory.mkdir(mode=0o700, exist_ok=True)
        self.directory = directory
        self.acts = acts
        self.kept: dict[str, Secret] = {}
        self.done: list[str] = []
        self.looked: list[str] = []
        self.broken = ""
        self.closed = 0

    def look(self, facts: Facts, name: str) -> Facts:
        self.looked.append(name)
        if self.broken:
            raise OperatorError(self.broken, "Mend it.")
        return replace(facts, own=OwnFacts(name, str(self.directory)))

    def do(self, local: Local, say: Say) -> str:
        self.done.append(local.act)
        return self.acts[local.act](local, say)

    def place(self, name: str) -> Path:
        if "/" in name:
            raise OperatorError(f"{name} is no name.", "Report it.")
        return self.directory / name

    def secret(self, name: str) -> Secret | None:
        return self.kept.get(name)

    def close(self) -> None:
        self.closed += 1
