"""`zrwizard keys`: the keys of backup servers on this machine; shown, checked, issued, revoked.

Exit codes: 0 all is well, 1 something needs doing or failed, 2 the command line will not do or a
passphrase is missing.
"""

from __future__ import annotations

import argparse
import getpass
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from zrwizard.keyring import escrow, health, install, issue, krl, sheet, sshconfig
from zrwizard.keyring.dial import SshDial
from zrwizard.keyring.files import KeyringError
from zrwizard.keyring.install import Installation
from zrwizard.keyring.operator import Cost
from zrwizard.keyring.store import CA, HOST_CERTIFICATE, ROLES, SHEET, Keyring, names, root
from zrwizard.run.events import Exit
from zrwizard.run.operator import MissingSecret, OperatorError
from zrwizard.secrets import Secret, SecretError, Secrets, read_spec

COST = Cost()
TRIES = 3
BROKEN_PIPE = 141
T = TypeVar("T")
_SECRETS = f"{issue.CA_PASSPHRASE}, {escrow.PASSPHRASE}"


def add_keys(parser: argparse.ArgumentParser) -> None:
    """Give `parser` the arguments of `zrwizard keys`."""
    acts = parser.add_subparsers(dest="keys", metavar="ACT", required=True)
    acts.add_parser("list", help="the servers whose keys are here")
    _named(acts.add_parser("show", help="what the keys are for, fingerprints, certificates"))
    check = _named(acts.add_parser("check", help="whether all is sound, valid and in the bundle"))
    _add_secret(check)
    one = _named(acts.add_parser("issue", help="issue a certificate anew"))
    one.add_argument("role", choices=ROLES)
    one.add_argument("--days", type=int, metavar="N", help="how long it is valid")
    one.add_argument("--new-key", action="store_true", help="with a fresh key, not for host")
    _add_install(one)
    _add_secret(one)
    revoke = _named(acts.add_parser("revoke", help="revoke a certificate"))
    revoke.add_argument("serial", type=int, metavar="SERIAL")
    _add_install(revoke)
    _add_secret(revoke)
    _named(acts.add_parser("sheet", help="write and print the sheet, and ssh's config, anew"))
    bundle = _named(acts.add_parser("escrow", help="write the escrow bundle, and open it again"))
    bundle.add_argument(
        "--new-passphrase", action="store_true", help="the bundle gets another passphrase"
    )
    _add_secret(bundle)


def _named(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    parser.add_argument("name", metavar="NAME")
    return parser


def _add_install(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--install", action="store_true", help="bring it to the server over ssh at once"
    )


def _add_secret(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--secret",
        metavar="NAME=SOURCE",
        action="append",
        default=[],
        help=f"NAME=file:PATH, env:VARIABLE or fd:NUMBER; names: {_SECRETS}",
    )


def run(args: argparse.Namespace, secrets: Secrets) -> int:
    """Do what `zrwizard keys` asks for; return the exit code. Says everything by itself."""
    try:
        for spec in getattr(args, "secret", []):
            secrets.add(read_spec(spec))
        return int(_ACTS[args.keys](_Call(args, secrets)))
    except SecretError as error:
        _say(f"{error}. Secrets come from a file, a variable or a descriptor.")
        return int(Exit.USAGE)
    except OperatorError as error:
        _say(f"{error.what} {error.now}")
        return int(Exit.USAGE if error.code is Exit.USAGE else Exit.FAILED)
    except BrokenPipeError:
        # The rest has nowhere to go; nor has what Python would flush at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE
    except (OSError, MemoryError) as error:
        what = getattr(error, "strerror", None) or type(error).__name__
        _say(f"This machine did not let us: {what}. Mend that, and do the same again.")
        return int(Exit.FAILED)


def _say(text: str) -> None:
    print(f"zrwizard: {text}", file=sys.stderr)


# --- what is asked for ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Call:
    """One call of the command, and the passphrases that it has."""

    args: argparse.Namespace
    secrets: Secrets

    @property
    def name(self) -> str:
        return str(self.args.name)

    def keyring(self) -> Keyring:
        return Keyring.open(root(), self.name)

    def with_secret(self, name: str, act: Callable[[Secret], T], *, twice: bool = False) -> T:
        """Return what `act` does with the secret `name`; a wrong one is asked for again."""
        for attempt in range(1, TRIES + 1):
            secret = self.secrets.get(name) or self._ask(name, twice)
            self.secrets.add(secret)
            try:
                return act(secret)
            except MissingSecret:
                if attempt == TRIES or not _interactive():
                    raise
                _say(f"That {_words(name)} does not open it.")
                del self.secrets.known[name]
        raise AssertionError("unreachable")

    def _ask(self, name: str, twice: bool) -> Secret:
        if not _interactive():
            raise MissingSecret(name)
        try:
            typed = getpass.getpass(f"{_words(name)} of {self.name}: ")
            if twice and getpass.getpass("The same again: ") != typed:
                raise KeyringError("The two are not the same.", "Start again.", Exit.USAGE)
        except EOFError:
            raise MissingSecret(name) from None
        return Secret(name, typed)


def _interactive() -> bool:
    return sys.stdin.isatty() and sys.stderr.isatty()


def _words(name: str) -> str:
    return name.replace("-", " ").replace("ca ", "CA ").replace("escrow ", "escrow bundle's ")


def _now() -> int:
    return int(time.time())


# --- the acts -------------------------------------------------------------------------------------


def _list(_call: _Call) -> int:
    found = names(root())
    if not found:
        print(f"There are no keys in {root()}.")
    for name in found:
        try:
            record = Keyring.open(root(), name).record
        except OperatorError as error:
            print(f"{name:<16} {error.what} {error.now}")
        else:
            where = f"{record.user}@{record.host}:{record.port}" if record.host else "no address"
            print(f"{name:<16} {record.shape:<6} {where}, disk {record.serial or record.size}")
    return Exit.DONE


def _show(call: _Call) -> int:
    for row in health.overview(call.keyring()):
        print(row)
    return Exit.DONE


def _check(call: _Call) -> int:
    keyring = call.keyring()
    found = list(health.faults(keyring, _now()))
    if escrow.finished(keyring) is not None:
        if call.secrets.get(escrow.PASSPHRASE) or _interactive():
            try:
                call.with_secret(escrow.PASSPHRASE, lambda secret: escrow.verify(keyring, secret))
                print("The escrow bundle was opened, both forms, and is equal to the keys.")
            except KeyringError as error:
                found.append(health.Fault(error.what, error.now))
        else:
            print(
                "The escrow bundle was compared by its sums only; with --secret "
                f"{escrow.PASSPHRASE}=… it is opened."
            )
    for fault in dict.fromkeys(str(fault) for fault in found):
        print(fault)
    if not found:
        valid = f", and valid for {health.WARN_DAYS} days more" if keyring.record.issued else ""
        print(f"The keys of {keyring.name} are sound{valid}.")
    return Exit.FAILED if found else Exit.DONE


def _issue(call: _Call) -> int:
    role, keyring = str(call.args.role), call.keyring()
    if not keyring.record.host:
        raise KeyringError(
            f"{keyring.name} has no address yet: no certificate was issued.",
            "Go on with zrwizard server.",
        )
    if call.args.new_key and role == "host":
        raise KeyringError(
            "The host's key is on the server: no new one can be made here.",
            "Make it there, put its public half beside the keys as host.pub, and issue again.",
            Exit.USAGE,
        )
    latest = keyring.record.latest(role)
    days = call.args.days or (latest.days if latest else issue.Days().of(role))
    issue.check_days(days)
    call.with_secret(issue.CA_PASSPHRASE, lambda secret: issue.open_private(keyring, CA, secret))
    with keyring.locked():
        keyring = keyring.reload()
        issuer = issue.open_issuer(keyring, _known(call, issue.CA_PASSPHRASE), _now(), COST.rounds)
        entry = issuer.anew(role, days, new_key=call.args.new_key)
        _derive(keyring)
        print(
            f"Issued for {role}: serial {entry.serial}, until {health.day(entry.before)}, in "
            f"{keyring.path(issue.certificate_file(role))}."
        )
        _renew_bundle(call, keyring)
    if role == "host":
        _bring(call, keyring, install.certificate(keyring))
    elif latest is not None and not latest.revoked:
        print(f"The one before is still valid: zrwizard keys revoke {keyring.name} {latest.serial}")
    return Exit.DONE


def _revoke(call: _Call) -> int:
    keyring = call.keyring()
    with keyring.locked():
        keyring = keyring.reload()
        entry = krl.revoke(keyring, call.args.serial, _now())
        _derive(keyring)
        print(f"Revoked here: serial {entry.serial}, for {entry.role}.")
        _renew_bundle(call, keyring)
    _bring(call, keyring, install.revocation(keyring))
    others = [
        str(one.serial)
        for one in keyring.record.issued
        if one.fingerprint == entry.fingerprint and not one.revoked and one.before > _now()
    ]
    if others:
        print(f"The same key has other valid certificates: serial {', '.join(others)}.")
        print("If the key was stolen, revoke these too.")
    if keyring.record.latest(entry.role) == entry:
        print(f"A new one, with a fresh key: zrwizard keys issue {keyring.name} {entry.role}")
    return Exit.DONE


def _sheet(call: _Call) -> int:
    keyring = call.keyring()
    with keyring.locked():
        keyring = keyring.reload()
        _derive(keyring)
        print(sheet.text(keyring), end="")
    _say(f"This is {keyring.path(SHEET)} too; ssh's config beside it was brought up to date.")
    return Exit.DONE


def _escrow(call: _Call) -> int:
    keyring, anew = call.keyring(), bool(call.args.new_passphrase)
    first = escrow.finished(keyring) is None

    def act(secret: Secret) -> str:
        with keyring.locked():
            return escrow.ensure(
                keyring.reload(), secret, COST.work, COST.iterations, new_passphrase=anew
            )

    print(call.with_secret(escrow.PASSPHRASE, act, twice=first or anew))
    return Exit.DONE


def _known(call: _Call, name: str) -> Secret:
    secret = call.secrets.get(name)
    if secret is None:
        raise MissingSecret(name)
    return secret


def _derive(keyring: Keyring) -> None:
    """Bring everything public that is made from the record into line with it."""
    krl.write(keyring)
    if keyring.record.host and keyring.has(f"{CA}.pub"):
        sshconfig.write(keyring)
    sheet.write(keyring)


def _renew_bundle(call: _Call, keyring: Keyring) -> None:
    """Write the bundle anew where its passphrase can be had; else say that it is older now."""
    if escrow.finished(keyring) is None:
        return
    if call.secrets.get(escrow.PASSPHRASE) is None and not _interactive():
        print(f"The escrow bundle is older than this: zrwizard keys escrow {keyring.name}")
        return

    def act(secret: Secret) -> str:
        return escrow.ensure(keyring, secret, COST.work, COST.iterations)

    print(call.with_secret(escrow.PASSPHRASE, act))


def _bring(call: _Call, keyring: Keyring, what: Installation) -> None:
    """Bring `what` to the server where that was asked for, else say how."""
    if not call.args.install:
        put, then = install.by_hand(keyring, what)
        print("It counts only on the server. Do this now, or the same with --install:")
        print(f"  {put}\n  {then}")
        return
    dial = SshDial(keyring, call.secrets)

    def act(_secret: Secret) -> None:
        install.perform(keyring, what, dial)

    try:
        call.with_secret(issue.CA_PASSPHRASE, act)
    finally:
        dial.close()
    done = "host certificate" if what.file == HOST_CERTIFICATE else "list of revoked keys"
    print(f"The server has its new {done}.")


_ACTS: dict[str, Callable[[_Call], int]] = {
    "list": _list,
    "show": _show,
    "check": _check,
    "issue": _issue,
    "revoke": _revoke,
    "sheet": _sheet,
    "escrow": _escrow,
}
