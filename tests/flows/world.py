"""A world for flows: answers what a flow looks at from recorded facts, and walks it to its plan."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from zrwizard import facts as known
from zrwizard.facts import Facts, TargetFacts
from zrwizard.flows.moves import Answers, Look, Move, Prepare
from zrwizard.flows.restore import RESTORE
from zrwizard.freebsd import inventory, ssh, zfs, zfs_send, zpool_features

HERE = Path(__file__).parent.parent
TOKEN = "0123456789ab"

ANSWERS = {
    "network.nic": "vtnet0",
    "network.mode": "static",
    "network.address": "10.99.0.1/24",
    "network.gateway": "none",
    "network.nameserver": "none",
    "server.host": "10.99.0.2",
    "server.port": "2223",
    "server.user": "root",
    "server.auth": "password",
    "secret.server": "given",
    "source.dataset": "hostA",
    "source.snapshot": "2025-08-08-deep",
    "source.boot_environment": "ROOT/default",
    "source.way": "every",
    "source.release": "14",
    "target.disk": "ZRDISK0001",
    "target.swap": "512m",
    "target.pool": "zroot",
    "target.geli": "no",
    "finish.action": "reboot",
}


def target(name: str) -> TargetFacts:
    """Return the target of a recorded machine."""
    text = (HERE / "machines" / f"{name}.facts.json").read_text()
    found = known.from_json(text).target
    assert found is not None
    return found


def with_disks(machine: TargetFacts, *sizes: int) -> TargetFacts:
    """Return the blank machine with these virtio disks alone, `ZRDISK0001` and on; in GiB."""
    pattern = next(disk for disk in machine.disks if disk.name == "vtbd0")
    disks = tuple(
        replace(
            pattern,
            disk=replace(
                pattern.disk,
                name=f"vtbd{number}",
                mediasize=size << 30,
                ident=f"ZRDISK{number + 1:04}",
            ),
        )
        for number, size in enumerate(sizes)
    )
    others = tuple(disk for disk in machine.disks if not disk.name.startswith("vtbd"))
    return replace(machine, disks=tuple(sorted((*disks, *others), key=lambda disk: disk.name)))


@dataclass
class World:
    """A target and a server; `moves` are those that a walk has made."""

    target: TargetFacts
    server: dict[str, Any] = field(
        default_factory=lambda: json.loads((HERE / "plans" / "server.json").read_text())
    )
    refuses: str = ""
    facts: Facts = field(default_factory=lambda: known.empty(TOKEN))
    moves: list[Move] = field(default_factory=list)

    def see(self, move: Look) -> None:
        """Add to the facts what `move` asks for."""
        server = self.facts.server
        match move.what:
            case "target":
                self.facts = replace(self.facts, target=self.target)
                return
            case "hostkey":
                keys = ssh.parse_scan(self.server["keys"])
                server = replace(server, endpoint=" ".join(move.detail), keys=keys)
            case "datasets":
                roots = zfs.parse_roots(self.server["roots"])
                server = replace(server, login=move.detail[0], roots=roots)
            case "tree":
                rows = [r for r in self.server["tree"] if r.startswith(move.detail[0])]
                tree = inventory.parse(rows) if rows else None
                server = replace(
                    server,
                    tree_of=move.detail[0],
                    tree=tree,
                    tree_received=self.server.get("received", False),
                )
            case "features":
                text = self.server["features"]
                features = zpool_features.parse(text) if text else {}
                server = replace(server, features_of=move.detail[0], features=features)
            case "estimate":
                estimate = (
                    None if self.refuses else zfs_send.parse_estimate(self.server["estimate"])
                )
                server = replace(
                    server,
                    estimate_of=" ".join(move.detail),
                    estimate=estimate,
                    refused=self.refuses,
                )
            case "link":
                server = replace(server, link_of=move.detail[0], link=self.server["link"])
            case _:
                raise AssertionError(move.what)
        self.facts = replace(self.facts, server=server)

    def walk(self, answers: Answers) -> Move:
        """Return the first move that is neither a look nor a preparation."""
        for _ in range(20):
            move = RESTORE.next_move(self.facts, answers)
            self.moves.append(move)
            match move:
                case Look():
                    self.see(move)
                case Prepare(mark=mark):
                    self.facts = replace(self.facts, prepared=self.facts.prepared | {mark})
                case _:
                    return move
        raise AssertionError("the flow goes round in circles")
