"""The operator's side of a run of `server`: its acts on keys, and the trials over ssh."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from zrwizard.facts import Facts, OwnFacts
from zrwizard.freebsd import cksum
from zrwizard.keyring import age, ca, escrow, issue, krl, openssl_enc, sheet, sshconfig
from zrwizard.keyring.dial import Dial
from zrwizard.keyring.files import BUNDLE, KeyringError
from zrwizard.keyring.store import (
    CA,
    GELI_KEY,
    METADATA,
    PRIVATE,
    RECORD,
    ROLES,
    SHAPES,
    USERS,
    VAULT,
    Keyring,
    NoKeyring,
    Record,
)
from zrwizard.plan import Local
from zrwizard.run.events import Exit
from zrwizard.run.operator import MissingSecret, OperatorError, Say
from zrwizard.secrets import Secret, Secrets

GELI_SECRET = "geli-key"  # noqa: S105 - its name

_USER = re.compile(r"[a-z_][a-z0-9_-]{0,31}")


@dataclass(frozen=True, slots=True)
class Cost:
    """How dear a guess at a passphrase is: bcrypt rounds, scrypt's log2 N, PBKDF2 iterations."""

    rounds: int = ca.ROUNDS
    work: int = age.WORK
    iterations: int = openssl_enc.ITERATIONS


class OperatorSide:
    """Implements `run.operator.Operator`: keys below `root`, ssh by what `dial` returns.

    The keyring that was looked at or worked on last is the one whose files and secrets are meant.
    `clock` returns seconds since 1970.
    """

    def __init__(
        self,
        root: Path,
        secrets: Secrets,
        dial: Callable[[Keyring], Dial],
        *,
        cost: Cost = Cost(),
        clock: issue.Clock = time.time,
    ) -> None:
        self._root = root
        self._secrets = secrets
        self._make_dial = dial
        self._cost = cost
        self._clock = clock
        self._name = ""
        self._dials: dict[str, Dial] = {}

    # --- Operator ---------------------------------------------------------------------------------

    def look(self, facts: Facts, name: str) -> Facts:
        """Return `facts` with `own` for the keys called `name`; faults are told in `problem`."""
        self._name = name
        directory = str(self._root / name)
        try:
            keyring = Keyring.open(self._root, name)
            examine(keyring)
            own = OwnFacts(
                name,
                directory,
                there=True,
                serial=keyring.record.serial,
                size=keyring.record.size,
                metadata=metadata(keyring),
            )
        except NoKeyring:
            return replace(facts, own=OwnFacts(name, directory))
        except OperatorError as error:
            own = OwnFacts(name, directory, there=True, problem=f"{error.what} {error.now}")
            return replace(facts, own=own)
        return replace(facts, own=own)

    def do(self, local: Local, say: Say) -> str:
        """Do an act unless it was done; return what is so now. Raises `OperatorError`."""
        if not local.detail:
            raise _unknown(local)
        self._name = local.detail[0]
        try:
            return self._act(local, say)
        except OSError as error:
            raise KeyringError(
                f"“{local.act}” failed on this machine: {error.strerror or type(error).__name__}.",
                "Mend that, and start again: what was done is kept.",
            ) from None
        except MemoryError:
            raise KeyringError(
                f"“{local.act}” failed: this machine has too little free memory.",
                "The bundle's passphrase takes 256 MiB for a moment. Close something else.",
            ) from None

    def _act(self, local: Local, say: Say) -> str:
        name, *rest = local.detail
        match local.act, rest:
            case "keys", [shape, serial, size] if _are_numbers(size):
                return self._keys(name, shape, serial, int(size), "")
            case "keys", [shape, serial, size, part] if _are_numbers(size):
                return self._keys(name, shape, serial, int(size), part)
            case "certify", [host, port, user, pool, *days] if len(days) == 3 and _are_numbers(
                port, *days
            ):
                where = (host, int(port), user, pool)
                return self._certify(name, where, issue.Days(*(int(day) for day in days)))
            case "escrow", []:
                return self._escrow(name)
            case "sheet", lines:
                return self._sheet(name, tuple(lines))
            case trial, [port] if trial.startswith("trial-") and _are_numbers(port):
                return self._trial(trial.removeprefix("trial-"), name, int(port), say)
            case _:
                raise _unknown(local)

    def place(self, name: str) -> Path:
        """Return where the public file `name` belongs in the keyring that is worked on."""
        if name in PRIVATE or name == RECORD:
            raise KeyringError(
                f"{name} never leaves its directory, and nothing is ever put in its place.",
                "This is a fault of zrwizard's plan; please report it.",
            )
        return self._keyring().path(name)

    def secret(self, name: str) -> Secret | None:
        """Return the geli key for `geli-key`, None for any other name. Raises `OperatorError`."""
        if name != GELI_SECRET:
            return None
        keyring = self._keyring()
        if keyring.record.shape != VAULT:
            return None
        key = keyring.secret(GELI_KEY, GELI_SECRET)
        self._secrets.add(key)
        return key

    def close(self) -> None:
        """End every dial."""
        for dial in self._dials.values():
            dial.close()
        self._dials.clear()

    # --- the acts ---------------------------------------------------------------------------------

    def _keyring(self) -> Keyring:
        return Keyring.open(self._root, self._name)

    def _passphrase(self, name: str) -> Secret:
        secret = self._secrets.get(name)
        if secret is None:
            raise MissingSecret(name)
        return secret

    def _keys(self, name: str, shape: str, serial: str, size: int, part: str) -> str:
        secret = self._passphrase(issue.CA_PASSPHRASE)
        if shape not in SHAPES:
            raise KeyringError(f"A server is not of the shape {shape!r}.", "vault or plain.")
        issue.passphrase(secret)
        try:
            keyring = Keyring.open(self._root, name)
        except NoKeyring:
            now = int(self._clock())
            record = Record(name, shape, now, serial=serial, size=size, part=part)
            keyring = Keyring.create(self._root, record)
        _check_same_disk(keyring.record, shape, serial, size, part)
        with keyring.locked():
            keyring = keyring.reload()
            made = ["geli key"] if issue.ensure_geli_key(keyring) else []
            made += issue.ensure_pairs(keyring, secret, self._cost.rounds)
        if not made:
            return f"The keys of {name} are in {keyring.directory}; they were there before."
        return f"Made in {keyring.directory}: {', '.join(made)}."

    def _certify(self, name: str, where: tuple[str, int, str, str], days: issue.Days) -> str:
        secret = self._passphrase(issue.CA_PASSPHRASE)
        host, port, user, pool = where
        _check_where(host, port, user)
        keyring = Keyring.open(self._root, name)
        with keyring.locked():
            keyring = keyring.reload()
            record = replace(keyring.record, host=host, port=port, user=user, pool=pool)
            if record != keyring.record:
                keyring.save(record)
            issuer = issue.open_issuer(keyring, secret, int(self._clock()), self._cost.rounds)
            said = []
            for role in ROLES:
                entry, fresh = issuer.ensure(role, days.of(role))
                said.append(f"{role} {entry.serial}{'' if fresh else ' (as before)'}")
            krl.write(keyring)
            sshconfig.write(keyring)
        return f"Certificates of {name}, by serial number: {', '.join(said)}."

    def _escrow(self, name: str) -> str:
        secret = self._passphrase(escrow.PASSPHRASE)
        keyring = Keyring.open(self._root, name)
        with keyring.locked():
            keyring = keyring.reload()
            examine(keyring)
            found = metadata(keyring)
            if found != keyring.record.metadata:
                keyring.save(replace(keyring.record, metadata=found))
            return escrow.ensure(keyring, secret, self._cost.work, self._cost.iterations)

    def _sheet(self, name: str, lines: tuple[str, ...]) -> str:
        keyring = Keyring.open(self._root, name)
        with keyring.locked():
            keyring = keyring.reload()
            if keyring.record.notes != lines:
                keyring.save(replace(keyring.record, notes=lines))
            return f"The sheet to print: {sheet.write(keyring)}"

    def _trial(self, which: str, name: str, port: int, say: Say) -> str:
        from zrwizard.keyring import trial  # noqa: PLC0415 - pexpect loads slowly

        acts: dict[str, Callable[[Keyring, Dial, Say, int], str]] = {
            "login": trial.login,
            "single": trial.single,
            "deliver": trial.deliver,
            "receive": trial.receive,
            "cut": trial.cut,
        }
        if which not in acts:
            raise KeyringError(f"There is no trial called {which!r}.", f"{', '.join(acts)}.")
        keyring = Keyring.open(self._root, name)
        if name not in self._dials:
            self._dials[name] = self._make_dial(keyring)
        return acts[which](keyring, self._dials[name], say, port)


def metadata(keyring: Keyring) -> str:
    """Return what cksum(1) prints for the saved geli metadata, empty where there is none yet."""
    return str(cksum.of(keyring.read(METADATA))) if keyring.has(METADATA) else ""


def examine(keyring: Keyring) -> None:
    """Raise `KeyringError` for the first file that is not what the record says, or is unsound.

    What is still missing because its maker was stopped is no fault; a lost geli key is.
    """
    for file in keyring.files():
        keyring.read(file)
    if keyring.record.shape == VAULT and (keyring.record.geli or keyring.has(METADATA)):
        if not keyring.has(GELI_KEY):
            raise KeyringError(f"{keyring.path(GELI_KEY)}, the disk's key, is missing.", BUNDLE)
        issue.check_geli_key(keyring)
    for role in (CA, *USERS):
        if keyring.has(role):
            try:
                ca.public_of(keyring.read(role))
            except ca.KeyFormatError as error:
                raise KeyringError(
                    f"{keyring.path(role)} cannot be used: {error}.", BUNDLE
                ) from None


def _check_same_disk(record: Record, shape: str, serial: str, size: int, part: str) -> None:
    """Raise `KeyringError` where the keyring is another disk's: its key opens that one only."""
    if (record.serial, record.size, record.part) != (serial, size, part):
        mine = f"{record.serial or 'without a serial number'} ({record.size} bytes)"
        raise KeyringError(
            f"The keys called “{record.name}” belong to another disk: {mine}{_of(record.part)}.",
            "Give this server another name, or move that directory away if the disk is gone.",
            Exit.REFUSED,
        )
    if record.shape != shape:
        raise KeyringError(
            f"The keys called “{record.name}” are those of a {record.shape} server.",
            "Give this server another name.",
            Exit.REFUSED,
        )


def _of(part: str) -> str:
    return f", partition {part}" if part else ""


def _check_where(host: str, port: int, user: str) -> None:
    if not sshconfig.is_host(host) or not 1 <= port <= 65535 or not _USER.fullmatch(user):
        raise KeyringError(
            f"{user!r} on {host!r}, port {port}, is no place that ssh can reach.",
            "Give a host name or an address, a port, and an account.",
            Exit.USAGE,
        )


def _are_numbers(*words: str) -> bool:
    return all(word.isascii() and word.isdecimal() for word in words)


def _unknown(local: Local) -> KeyringError:
    return KeyringError(
        f"This machine knows no act “{local.act}” with {len(local.detail)} words.",
        "This is a fault of zrwizard's plan; please report it.",
    )
