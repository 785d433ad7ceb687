"""What is known of a keyring without any passphrase, and what of it needs doing."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from zrwizard.keyring import ca, escrow, issue, krl, sshconfig
from zrwizard.keyring.files import KeyringError
from zrwizard.keyring.operator import examine, metadata
from zrwizard.keyring.store import (
    CA,
    KNOWN_HOSTS,
    METADATA,
    REVOKED,
    ROLES,
    SSH_CONFIG,
    USERS,
    VAULT,
    Issued,
    Keyring,
)

WARN_DAYS = 30


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that needs doing: what is wrong, and what to do now."""

    what: str
    now: str

    def __str__(self) -> str:
        return f"{self.what} {self.now}"


def faults(keyring: Keyring, now: int) -> tuple[Fault, ...]:
    """Return everything that needs doing, as far as it shows without a passphrase.

    `now` is in seconds since 1970. A file that cannot be used ends the search: it comes first.
    """
    try:
        examine(keyring)
        found = [*_unfinished(keyring), *_metadata(keyring)]
        for role in ROLES:
            found += _certificate(keyring, role, now)
        found += _derived(keyring)
        trouble = escrow.trouble(keyring)
    except KeyringError as error:
        return (Fault(error.what, error.now),)
    if trouble:
        found.append(Fault(trouble, f"zrwizard keys escrow {keyring.name}"))
    return tuple(found)


def _unfinished(keyring: Keyring) -> list[Fault]:
    missing = [role for role in (CA, *USERS) if not keyring.has(role)]
    if keyring.record.shape == VAULT and not keyring.record.geli:
        missing.insert(0, "geli.key")
    if not missing:
        return []
    return [Fault(f"Not made yet: {', '.join(missing)}.", "Go on with zrwizard server.")]


def _metadata(keyring: Keyring) -> list[Fault]:
    if keyring.record.shape != VAULT:
        return []
    found = metadata(keyring)
    if not found:
        return [
            Fault(
                f"{METADATA} is missing: there is no copy of the disk's geli metadata.",
                "Go on with zrwizard server, or fetch it: geli backup (see the sheet).",
            )
        ]
    if keyring.record.metadata not in ("", found):
        return [
            Fault(
                f"{METADATA} has changed since the escrow bundle was written.",
                "If the disk was not initialised again, put it back from the escrow bundle.",
            )
        ]
    return []


def _certificate(keyring: Keyring, role: str, now: int) -> list[Fault]:
    entry = keyring.record.latest(role)
    if entry is None:
        return []
    anew = f"zrwizard keys issue {keyring.name} {role}"
    if entry.revoked:
        return [Fault(f"The certificate for {role} (serial {entry.serial}) is revoked.", anew)]
    try:
        found = ca.read_certificate(keyring.text(issue.certificate_file(role)))
        keys = {ca.fingerprint(issue.public(keyring, role))}
        if role in USERS:
            keys.add(ca.fingerprint(ca.public_of(keyring.read(role))))
        authority = ca.fingerprint(issue.public(keyring, CA))
    except ca.KeyFormatError as error:
        return [Fault(f"The certificate for {role} cannot be used: {error}.", anew)]
    if not issue.says(found, entry, authority) or keys != {entry.fingerprint}:
        return [Fault(f"The certificate for {role} is not the one in the record.", anew)]
    days = (entry.before - now) // ca.DAY
    if now >= entry.before:
        return [Fault(f"The certificate for {role} expired on {day(entry.before)}.", anew)]
    if now < entry.after:
        return [
            Fault(
                f"The certificate for {role} is valid from {day(entry.after)} only.",
                "This machine's clock is wrong: date -u",
            )
        ]
    if days < WARN_DAYS:
        left = f"{days} days" if days > 1 else "a day"
        return [Fault(f"The certificate for {role} expires in {left}.", anew)]
    return []


def _derived(keyring: Keyring) -> list[Fault]:
    """Return the public files that do not say what the record says; they can be made again."""
    if not keyring.record.host:
        return []
    wanted = {
        SSH_CONFIG: sshconfig.config(keyring),
        KNOWN_HOSTS: sshconfig.known_hosts(keyring),
        REVOKED: krl.spec(keyring.record),
    }
    other = [
        file
        for file, text in wanted.items()
        if not keyring.has(file) or keyring.read(file) != text.encode()
    ]
    if not other:
        return []
    what = f"{' and '.join(other)} does not fit the record or this place."
    return [Fault(what, f"zrwizard keys sheet {keyring.name} writes it anew.")]


# --- for people -----------------------------------------------------------------------------------


def overview(keyring: Keyring) -> list[str]:
    """Return what a keyring is and has, in lines; no secret. Raises `KeyringError`."""
    record = keyring.record
    rows = [
        f"{record.name}: a {record.shape} server; keys in {keyring.directory}",
        f"disk      {record.serial or 'without a serial number'}, {record.size} bytes"
        + (f", partition {record.part}" if record.part else ""),
    ]
    if record.pool:
        rows.append(f"pool      {record.pool}")
    if record.host:
        rows.append(f"server    {record.user}@{record.host}, port {record.port}")
    rows += [f"{who:<9} {print_}" for who, print_ in fingerprints(keyring)]
    note = escrow.finished(keyring)
    rows.append(f"bundle    {'finished' if note else 'none yet'}")
    if record.issued:
        rows += ["", f"{'serial':>6}  {'for':<8} {'from':<11} {'until':<11} key"]
        rows += [_row(one) for one in sorted(record.issued, key=lambda one: one.serial)]
    return rows


def fingerprints(keyring: Keyring) -> list[tuple[str, str]]:
    """Return the fingerprint of each public key that is there, by role. Raises `KeyringError`."""
    return [
        (role, ca.fingerprint(issue.public(keyring, role)))
        for role in ("host", CA, *USERS)
        if keyring.has(f"{role}.pub")
    ]


def _row(one: Issued) -> str:
    until = f"revoked {day(one.revoked)}" if one.revoked else day(one.before)
    return f"{one.serial:>6}  {one.role:<8} {day(one.after):<11} {until:<11} {one.fingerprint}"


def day(seconds: int) -> str:
    """Return the date (UTC) of a time in seconds since 1970."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d")
