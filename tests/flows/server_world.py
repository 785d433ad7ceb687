"""A world for the flow `server`: an installed box with two USB disks, and keys or none."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from zrwizard import facts as known
from zrwizard.facts import DiskFacts, Facts, OwnFacts, SystemFacts, TargetFacts, TextFile
from zrwizard.flows.moves import Answers, Look, Move
from zrwizard.flows.server import SERVER

HERE = Path(__file__).parent.parent
TOKEN = "0123456789ab"
SERIAL = "WX11A1234567"
SIZE = 2000365289472
METADATA = "1234567890 512"
DIRECTORY = "/home/hugh/.local/share/zrwizard/keys/knox"

ANSWERS = {
    "server.name": "knox",
    "server.shape": "vault",
    "server.scope": "all",
    "target.disk": SERIAL,
    "disk.whole": "yes",
    "disk.pool": "wd",
    "server.host": "192.0.2.20",
    "server.port": "22",
    "server.trial_port": "2222",
    "keys.delivery": "stdin",
    "keys.host_days": "3650",
    "keys.login_days": "730",
    "keys.single_days": "365",
    "receive.force": "no",
    "system.files": "all",
    "system.root": "noatime",
    "system.swap": "encrypt",
    "reach.how": "forward",
    "reach.name": "knox.example.org",
    "reach.address": "keep",
    "source.dataset": "zroot",
    "source.user": "hugh",
    "secret.ca-passphrase": "given",
    "secret.escrow-passphrase": "given",
}

_BOX = known.from_json((HERE / "machines" / "box.facts.json").read_text())


def box() -> tuple[TargetFacts, SystemFacts]:
    """Return the recorded box: its own disk, a new USB disk, and one with an old pool."""
    assert _BOX.target is not None
    assert _BOX.system is not None
    return _BOX.target, _BOX.system


@dataclass
class ServerWorld:
    """A machine, its system, and what there is of keys; `looks` are those that were asked for."""

    target: TargetFacts = field(default_factory=lambda: box()[0])
    system: SystemFacts = field(default_factory=lambda: box()[1])
    own: OwnFacts | None = None
    facts: Facts = field(default_factory=lambda: known.empty(TOKEN))
    looks: list[Look] = field(default_factory=list)

    def changed(self, **changes: Any) -> ServerWorld:
        """Return another world; names of TargetFacts and of SystemFacts may be given."""
        here = {k: v for k, v in changes.items() if hasattr(self.target, k)}
        there = {k: v for k, v in changes.items() if k not in here}
        return ServerWorld(replace(self.target, **here), replace(self.system, **there), self.own)

    def disk(self, name: str, **changes: Any) -> ServerWorld:
        """Return a world whose disk `name` is another; names of DiskFacts and of Disk count."""

        def other(disk: DiskFacts) -> DiskFacts:
            if disk.name != name:
                return disk
            inner = {k: v for k, v in changes.items() if hasattr(disk.disk, k) and k != "name"}
            outer = {k: v for k, v in changes.items() if k not in inner}
            return replace(disk, disk=replace(disk.disk, **inner), **outer)

        return self.changed(disks=tuple(map(other, self.target.disks)))

    def text(self, path: str, text: str | None, odd: str = "") -> ServerWorld:
        """Return a world where the file at `path` is another."""
        files = tuple(f for f in self.system.files if f.path != path)
        return self.changed(files=(*files, TextFile(path, text, odd=odd)))

    def keys(self, **changes: Any) -> ServerWorld:
        """Return a world with keys called knox; of the new USB disk, set up, unless said else."""
        own = OwnFacts("knox", DIRECTORY, there=True, serial=SERIAL, size=SIZE, metadata=METADATA)
        return ServerWorld(self.target, self.system, replace(own, **changes))

    def see(self, move: Look) -> None:
        """Add to the facts what `move` asks for."""
        self.looks.append(move)
        match move.what, move.detail:
            case "target", ():
                self.facts = replace(self.facts, target=self.target)
            case "system", ():
                self.facts = replace(self.facts, system=self.system)
            case "own", (name,):
                own = self.own if self.own is not None and self.own.name == name else None
                place = DIRECTORY.removesuffix("knox") + name
                self.facts = replace(self.facts, own=own or OwnFacts(name, place))
            case _:
                raise AssertionError(move)

    def walk(self, answers: Answers) -> Move:
        """Return the first move that is no look."""
        for _ in range(6):
            move = SERVER.next_move(self.facts, answers)
            if not isinstance(move, Look):
                return move
            self.see(move)
        raise AssertionError("the flow goes round in circles")


def full(**changes: str) -> Answers:
    """Return every answer, with changes whose keys have `__` for the dot."""
    return Answers({**ANSWERS, **{k.replace("__", "."): v for k, v in changes.items()}})
