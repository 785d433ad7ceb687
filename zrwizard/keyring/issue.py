"""Making a keyring's keys, and the certificates of its CA: each step looks first.

Killed anywhere and done again, the same keys and the same ledger come out of it.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable
from dataclasses import dataclass, replace

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from zrwizard.keyring import ca
from zrwizard.keyring.files import BUNDLE, KeyringError
from zrwizard.keyring.store import (
    CA,
    GELI_KEY,
    HOST_CERTIFICATE,
    HOST_KEY,
    USERS,
    VAULT,
    Issued,
    Keyring,
    Record,
)
from zrwizard.run.events import Exit
from zrwizard.run.operator import MissingSecret
from zrwizard.secrets import Secret, unfit

CA_PASSPHRASE = "ca-passphrase"  # noqa: S105 - its name
GELI_BYTES = 64
MAX_DAYS = 36500
PROTECTED = (CA, "login")

Clock = Callable[[], float]


@dataclass(frozen=True, slots=True)
class Days:
    """For how many days certificates are valid."""

    host: int = 3650
    login: int = 730
    single: int = 730

    def of(self, role: str) -> int:
        """Return the days of a certificate for `role`."""
        return {"host": self.host, "login": self.login}.get(role, self.single)


def passphrase(secret: Secret) -> bytes:
    """Return a passphrase's bytes; `KeyringError` where it cannot protect anything.

    It must be one line of text, so that it can be typed at age's, openssl's and ssh's prompts.
    """
    wrong = unfit(secret)
    if wrong:
        raise KeyringError(
            f"The secret “{secret.name}” will not do. {wrong}",
            "Choose a better one: a few words that nobody would guess together.",
            Exit.USAGE,
        )
    return secret.reveal()


# --- keys -----------------------------------------------------------------------------------------


def ensure_geli_key(keyring: Keyring) -> bool:
    """Make the vault's geli key unless it is there; whether it was made. Raises `KeyringError`.

    It is never replaced: without it the disk is lost. 512 bits from the system's random source, as
    128 hex digits and a newline, so that it can be printed and typed.
    """
    if keyring.record.shape != VAULT:
        return False
    made = False
    if not keyring.has(GELI_KEY):
        if keyring.record.geli:
            raise KeyringError(f"{keyring.path(GELI_KEY)}, the disk's key, is missing.", BUNDLE)
        keyring.write(GELI_KEY, (secrets.token_hex(GELI_BYTES) + "\n").encode())
        made = True
    digest = check_geli_key(keyring)
    if not keyring.record.geli:
        keyring.save(replace(keyring.record, geli=digest))
    return made


def check_geli_key(keyring: Keyring) -> str:
    """Return the SHA256 of the geli key; `KeyringError` where it is not the one that was made."""
    digest = hashlib.sha256(keyring.read(GELI_KEY)).hexdigest()
    if keyring.record.geli not in ("", digest):
        raise KeyringError(
            f"{keyring.path(GELI_KEY)} is not the key that was made for this disk.", BUNDLE
        )
    return digest


def ensure_pairs(keyring: Keyring, secret: Secret, rounds: int = ca.ROUNDS) -> tuple[str, ...]:
    """Make the CA's and the users' keys that are not there; return the names of those made.

    `secret` protects the CA and the login key; it must open those that are there already:
    `MissingSecret`. Raises `KeyringError`.
    """
    protection = passphrase(secret)
    made = []
    for role in (CA, *USERS):
        if not keyring.has(role):
            renew_pair(keyring, role, protection, rounds)
            made.append(role)
        elif role in PROTECTED:
            open_private(keyring, role, secret)
        ensure_public(keyring, role)
    return tuple(made)


def renew_pair(
    keyring: Keyring, role: str, protection: bytes, rounds: int = ca.ROUNDS
) -> Ed25519PublicKey:
    """Make a fresh key pair for `role`, in place of what is there; return its public key."""
    comment = f"{keyring.name}-{role}"
    pair = ca.make_key(protection if role in PROTECTED else None, comment, rounds)
    # The private half first: the public one can be made from it again at any time.
    keyring.write(role, pair.private)
    keyring.write(f"{role}.pub", pair.public.encode())
    return ca.open_public(pair.public)


def ensure_public(keyring: Keyring, role: str) -> Ed25519PublicKey:
    """Return the public key of `role`, its file made to fit the private one. `KeyringError`."""
    try:
        key = ca.public_of(keyring.read(role))
    except ca.KeyFormatError as error:
        raise _unfit(keyring, role, error) from None
    file, line = f"{role}.pub", ca.public_line(key, f"{keyring.name}-{role}")
    if not keyring.has(file) or keyring.text(file) != line:
        keyring.write(file, line.encode())
    return key


def open_private(keyring: Keyring, role: str, secret: Secret) -> Ed25519PrivateKey:
    """Return the private key of `role`. `MissingSecret` for a wrong one, `KeyringError`."""
    try:
        return ca.open_key(keyring.read(role), secret.reveal())
    except ca.WrongPassphrase:
        raise MissingSecret(secret.name, wrong=True) from None
    except ca.KeyFormatError as error:
        raise _unfit(keyring, role, error) from None


def public(keyring: Keyring, role: str) -> Ed25519PublicKey:
    """Return the public key of `role` as its file has it; writes nothing. `KeyringError`."""
    if role == "host":
        return host_key(keyring)
    try:
        return ca.open_public(keyring.text(f"{role}.pub"))
    except ca.KeyFormatError as error:
        raise _unfit(keyring, f"{role}.pub", error) from None


def host_key(keyring: Keyring) -> Ed25519PublicKey:
    """Return the server's host key, as it was fetched. Raises `KeyringError`."""
    if not keyring.has(HOST_KEY):
        raise KeyringError(
            f"{keyring.path(HOST_KEY)} is missing: the server's host key was not fetched yet.",
            "Go on with zrwizard server, or copy /etc/ssh/ssh_host_ed25519_key.pub there.",
        )
    try:
        return ca.open_public(keyring.text(HOST_KEY))
    except ca.KeyFormatError as error:
        raise _unfit(keyring, HOST_KEY, error) from None


def _unfit(keyring: Keyring, file: str, error: ca.KeyFormatError) -> KeyringError:
    return KeyringError(f"{keyring.path(file)} cannot be used: {error}.", BUNDLE)


# --- certificates ---------------------------------------------------------------------------------


def certificate_file(role: str) -> str:
    """Return the name of the file with the certificate for `role`."""
    return HOST_CERTIFICATE if role == "host" else f"{role}-cert.pub"


def force_command(record: Record, role: str) -> str:
    """Return the one command that the certificate for `role` may run, empty for any."""
    if role not in ("deliver", "receive"):
        return ""
    from zrwizard import receiver  # noqa: PLC0415 - its script is read when it is imported

    return receiver.force_command(record.name, role)


def principals(record: Record, role: str) -> tuple[str, ...]:
    """Return whom the certificate for `role` stands for: the host's names, or the account."""
    if role == "host":
        return tuple(dict.fromkeys((record.name, record.host)))
    return (record.user,)


@dataclass(frozen=True, slots=True)
class Issuer:
    """A keyring's CA, opened: `key` signs at `now` (seconds since 1970).

    `secret` is the passphrase of the CA and of the login key.
    """

    keyring: Keyring
    key: Ed25519PrivateKey
    secret: Secret
    now: int
    rounds: int = ca.ROUNDS

    def ensure(self, role: str, days: int) -> tuple[Issued, bool]:
        """Issue the certificate for `role` unless a fitting one is there; whether it is new, too.

        One fits that says the same of the same key, is valid now, not revoked, and has more than
        half of its time left. A user's key whose certificate was revoked is replaced by a fresh
        one, as a stolen key must not be certified again. Raises `KeyringError`.
        """
        check_days(days)
        if (there := self.fitting(role, days)) is not None:
            return there, False
        return self.anew(role, days), True

    def anew(self, role: str, days: int, *, new_key: bool = False) -> Issued:
        """Issue a certificate for `role` whatever is there; with a fresh key if it must have one.

        It must where its key's certificate was revoked. Raises `KeyringError`.
        """
        check_days(days)
        public = self._public(role)
        if new_key or self._was_revoked(public):
            if role == "host":
                raise _revoked_host(self.keyring)
            public = renew_pair(self.keyring, role, passphrase(self.secret), self.rounds)
        return self.issue(role, days, public)

    def fitting(self, role: str, days: int) -> Issued | None:
        """Return the entry of the certificate that need not be issued again, if there is one."""
        entry = self.keyring.record.latest(role)
        if entry is None or entry.days != days or self._was_revoked(self._public(role)):
            return None
        if not entry.after <= self.now < entry.before - days * ca.DAY // 2:
            return None
        record = self.keyring.record
        print_ = ca.fingerprint(self._public(role))
        asked = (principals(record, role), force_command(record, role), print_)
        if asked != (entry.principals, entry.command, entry.fingerprint):
            return None
        try:
            found = ca.read_certificate(self.keyring.text(certificate_file(role)))
        except (KeyringError, ca.KeyFormatError):
            return None
        return entry if says(found, entry, ca.fingerprint(self.key.public_key())) else None

    def issue(self, role: str, days: int, public: Ed25519PublicKey) -> Issued:
        """Issue a certificate for `role` with the next serial number; return its entry.

        The ledger is written first: killed in between, the number is spent, never given again.
        """
        record = self.keyring.record
        entry = Issued(
            serial=self.keyring.next_serial(),
            role=role,
            identity=f"{record.name}-{role}",
            principals=principals(record, role),
            after=self.now - ca.EARLY,
            before=self.now + days * ca.DAY,
            days=days,
            fingerprint=ca.fingerprint(public),
            command=force_command(record, role),
        )
        self.keyring.enter(entry)
        terms = ca.Terms(entry.serial, entry.identity, entry.principals, entry.after, entry.before)
        if role == "host":
            line = ca.host_certificate(self.key, public, terms)
        else:
            line = ca.user_certificate(self.key, public, terms, entry.command)
        self.keyring.write(certificate_file(role), line.encode())
        return entry

    def _public(self, role: str) -> Ed25519PublicKey:
        return host_key(self.keyring) if role == "host" else ensure_public(self.keyring, role)

    def _was_revoked(self, public: Ed25519PublicKey) -> bool:
        print_ = ca.fingerprint(public)
        return any(one.fingerprint == print_ for one in self.keyring.record.revoked())


def _revoked_host(keyring: Keyring) -> KeyringError:
    return KeyringError(
        f"The host key of {keyring.name} was revoked with its certificate: it cannot have another.",
        f"Make a new one on the server (ssh-keygen -t ed25519), and put its public half here, as "
        f"{keyring.path(HOST_KEY)}; then do the same again.",
        Exit.REFUSED,
    )


def open_issuer(keyring: Keyring, secret: Secret, now: int, rounds: int = ca.ROUNDS) -> Issuer:
    """Return the CA, opened with its passphrase. Raises `MissingSecret`, `KeyringError`."""
    return Issuer(keyring, open_private(keyring, CA, secret), secret, now, rounds)


def says(found: ca.Certificate, entry: Issued, authority: str) -> bool:
    """Whether the certificate `found` is the one that the ledger's `entry` tells of."""
    options = (("force-command", entry.command),) if entry.command else ()
    extensions = ("permit-pty",) if entry.role == "login" else ()
    return found == ca.Certificate(
        host=entry.role == "host",
        serial=entry.serial,
        identity=entry.identity,
        principals=entry.principals,
        after=entry.after,
        before=entry.before,
        options=options,
        extensions=extensions,
        fingerprint=entry.fingerprint,
        authority=authority,
    )


def check_days(days: int) -> None:
    """Raise `KeyringError` for a validity that no certificate of ours has."""
    if not 1 <= days <= MAX_DAYS:
        raise KeyringError(
            f"A certificate cannot be valid for {days} days.",
            f"Take a number from 1 to {MAX_DAYS}.",
            Exit.USAGE,
        )
