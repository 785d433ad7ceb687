"""The path that is looked at in detail, and what is known of it so far."""

from __future__ import annotations

from dataclasses import dataclass

from zrwizard.flows.preview import shown
from zrwizard.preview.content import DirectorySums, Versions
from zrwizard.preview.desk import Failed, Inspect, Inspected, Sum, Summed
from zrwizard.preview.events import Kind, Pair


@dataclass(slots=True)
class Target:
    """One path of a comparison. `kind` is its own change's letter, "" where it has none."""

    pair: Pair
    path: bytes
    new_path: bytes | None
    kind: str
    type: str
    request: Inspect | Sum | None = None
    versions: Versions | None = None
    sums: DirectorySums | None = None
    problem: str = ""

    @property
    def title(self) -> str:
        """The path, for people."""
        renamed = f" -> {shown(self.new_path)}" if self.new_path is not None else ""
        return f"{self.kind or ' '} {shown(self.path)}{renamed}"

    @property
    def copyable(self) -> bool:
        """Whether there is an older version of it that can be copied: a file's."""
        return self.kind != Kind.ADDED and self.type == "F" and self.pair.older is not None

    @property
    def tag(self) -> str:
        """The older snapshot's name behind the @."""
        return (self.pair.older or "").partition("@")[2]

    @property
    def is_directory(self) -> bool:
        """Whether either version is a directory, as far as is known."""
        sides = (self.versions.older, self.versions.newer) if self.versions is not None else ()
        return self.type == "/" or any(s.stat is not None and s.stat.type == "/" for s in sides)

    def take(self, news: Inspected | Summed | Failed) -> bool:
        """Take an answer; False where it belongs to another path."""
        if news.request is not self.request:
            return False
        self.request = None
        match news:
            case Inspected(versions=versions):
                self.versions = versions
            case Summed(sums=sums):
                self.sums = sums
            case Failed(what=what, now=now):
                self.problem = f"{what} {now}".strip()
        return True
