"""What is revoked, as the text from which `ssh-keygen -k` makes a key revocation list (KRL)."""

from __future__ import annotations

from dataclasses import replace

from zrwizard.keyring.files import KeyringError
from zrwizard.keyring.store import REVOKED, Issued, Keyring, Record
from zrwizard.run.events import Exit


def spec(record: Record) -> str:
    """Return the spec of `record`: one `serial: N` for each revoked certificate, in order.

    Made with the CA's public key (`ssh-keygen -k -s ca.pub`), as serials belong to a CA. One
    without serials makes an empty list, which refuses nobody.
    """
    rows = [f"# Certificates of {record.name} that are revoked; for ssh-keygen -k -s ca.pub"]
    rows += [f"serial: {one.serial}" for one in record.revoked()]
    return "\n".join(rows) + "\n"


def write(keyring: Keyring) -> bool:
    """Bring `revoked.spec` into line with the ledger; whether it was changed. `KeyringError`."""
    wanted = spec(keyring.record).encode()
    if keyring.has(REVOKED) and keyring.read(REVOKED) == wanted:
        return False
    keyring.write(REVOKED, wanted)
    return True


def revoke(keyring: Keyring, serial: int, now: int) -> Issued:
    """Revoke the certificate `serial`, at `now` (seconds since 1970); return its entry.

    Done again it changes nothing. `KeyringError` where no such certificate was ever issued.
    """
    found = next((one for one in keyring.record.issued if one.serial == serial), None)
    if found is None:
        raise KeyringError(
            f"No certificate of {keyring.name} has the serial number {serial}.",
            f"zrwizard keys show {keyring.name} lists them.",
            Exit.USAGE,
        )
    if not found.revoked:
        found = replace(found, revoked=now)
        keyring.enter(found)
    write(keyring)
    return found
