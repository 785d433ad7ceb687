"""The operator's machine in a temporary place, with keys at a price that tests can pay."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from zrwizard.keyring import ca
from zrwizard.keyring.operator import Cost, OperatorSide
from zrwizard.keyring.store import Keyring
from zrwizard.plan import Local
from zrwizard.secrets import Secret, Secrets

CA_PASS = "three tame otters"
ESCROW_PASS = "a quiet harbour wall"
NOW = 1_790_000_000
CHEAP = Cost(rounds=1, work=10, iterations=1000)
SERIAL, SIZE = "WX11A1234567", 2_000_398_934_016
METADATA = b"GEOM::ELI\0\0\0\0\0\0\0" + bytes(range(256)) + bytes(239)


def no_dial(_keyring: Keyring) -> object:
    raise AssertionError("nothing dials here")


@dataclass
class Bench:
    """The operator's side at a place, with a clock that is set by hand."""

    root: Path
    secrets: Secrets = field(default_factory=Secrets)
    now: float = NOW
    said: list[str] = field(default_factory=list)

    def side(self) -> OperatorSide:
        return OperatorSide(
            self.root,
            self.secrets,
            no_dial,  # type: ignore[arg-type]
            cost=CHEAP,
            clock=lambda: self.now,
        )

    def give(self, name: str, value: str) -> None:
        self.secrets.add(Secret(name, value))

    def do(self, act: str, *detail: str) -> str:
        said = self.side().do(Local(act, detail, act), self.said.append)
        self.said.append(said)
        return said

    def make(self, shape: str = "vault", serial: str = SERIAL, size: int = SIZE) -> str:
        return self.do("keys", "knox", shape, serial, str(size))

    def fetched(self, host: str | None = None) -> None:
        """Put what a run fetches from the server beside the keys."""
        side = self.side()
        side.look(_facts(), "knox")
        self.keyring().write("geli.metadata", METADATA)
        line = host or ca.make_key(None, "root@knox").public
        self.keyring().write("host.pub", line.encode())

    def certify(
        self, *days: int, port: int = 22, host: str = "127.0.0.1", user: str = "root"
    ) -> str:
        terms = [str(day) for day in days or (3650, 730, 730)]
        return self.do("certify", "knox", host, str(port), user, "backup", *terms)

    def everything(self) -> Keyring:
        self.make()
        self.fetched()
        self.certify()
        self.do("escrow", "knox")
        self.do("sheet", "knox", "BIOS: power on after power loss", "Router: 2222 -> knox:22")
        self.do("escrow", "knox")
        return self.keyring()

    def keyring(self) -> Keyring:
        return Keyring.open(self.root, "knox")


def _facts() -> object:
    from zrwizard.facts import empty

    return empty("abcd1234")
