"""A rehearsed backup server: answers, practice secrets, practice keys, and the ssh to it."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

from zrwizard.flows.moves import Answers
from zrwizard.keyring import ca, refusals
from zrwizard.keyring.channel import DialError, Reply, Who
from zrwizard.keyring.dial import Dial
from zrwizard.keyring.files import KeyringError
from zrwizard.keyring.operator import Cost, OperatorSide
from zrwizard.keyring.store import Keyring
from zrwizard.rehearsal import Rehearsal
from zrwizard.rehearsal.box import ADDRESS
from zrwizard.run.operator import OperatorError
from zrwizard.run.state import make_private
from zrwizard.secrets import Secret, Secrets

NAME = "knox"
CA_WORDS = "practice words for the CA"
ESCROW_WORDS = "practice words for the bundle"
"""Printed wherever a rehearsal is: they protect practice keys only."""
_LOOK = "Look at what it says, then try again."


def practice(made: Rehearsal) -> tuple[tuple[str, str, str], ...]:
    """Return the secrets of the rehearsal: their names, what they are for people, and the words."""
    return (
        ("console", "root's password at the console", made.scenario.root_password),
        ("ca-passphrase", "passphrase of the CA", CA_WORDS),
        ("escrow-passphrase", "passphrase of the escrow bundle", ESCROW_WORDS),
    )


def words(made: Rehearsal) -> tuple[tuple[str, str], ...]:
    """Return what an operator of the rehearsal must know: (what, value) pairs."""
    told = answers(made)
    return (
        ("the server's name", NAME),
        ("its address", told["server.host"]),
        ("disk to erase", told["target.disk"]),
        *((what, value) for _, what, value in practice(made)),
    )


def answers(made: Rehearsal) -> Answers:
    """Return the answers with which the rehearsed set-up goes through."""
    return Answers(
        {
            "server.name": NAME,
            "server.shape": "vault",
            "server.host": ADDRESS,
            "target.disk": made.scenario.disk_serial,
            "disk.pool": "backup",
            "source.dataset": "zroot",
        }
    )


def give(made: Rehearsal, secrets: Secrets) -> None:
    """Put the practice secrets among those that are given."""
    for name, _, value in practice(made):
        secrets.add(Secret(name, value))


def fresh_keys(state_dir: Path) -> Path:
    """Return an empty place for practice keys below `state_dir`; those of another time are gone."""
    root = make_private(state_dir / "rehearsals") / "keys"
    shutil.rmtree(root, ignore_errors=True)
    return make_private(root)


def operator(
    made: Rehearsal, root: Path, secrets: Secrets, cost: Cost | None = None
) -> OperatorSide:
    """Return this machine's side of the rehearsed set-up: real keys in `root`, simulated ssh."""
    made.keyring = root / NAME

    def dial(ring: Keyring) -> Dial:
        return made.dial(ring.directory, _Why(ring), Reply)

    return OperatorSide(root, secrets, dial, cost=cost or Cost())


class _Why:
    """Makes the errors of the simulated ssh as those of the real one are made."""

    def __init__(self, ring: Keyring) -> None:
        self._ring = ring

    def __call__(self, kind: str, said: str, who: str, port: int) -> OperatorError:
        """Return why it failed: `kind` and a sentence, or else ssh's own words."""
        if kind:
            return DialError(kind, said, _LOOK)
        key: Who = "login" if who == "login" else "deliver" if who == "deliver" else "receive"
        return refusals.explain(
            said,
            key,
            port,
            certificate=self._certificate(key),
            revoked=self._revoked(key),
            now=time.time(),
        )

    def _certificate(self, who: Who) -> ca.Certificate | None:
        try:
            return ca.read_certificate(self._ring.text(f"{who}-cert.pub"))
        except (KeyringError, ValueError):
            return None

    def _revoked(self, who: Who) -> bool:
        last = self._ring.reload().record.latest(who)
        return last is not None and bool(last.revoked)
