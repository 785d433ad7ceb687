"""The sheet to print and to keep with the server's papers: no secret is on it.

80 columns, pages of 60 lines parted by form feeds, plain ASCII but for what the flow hands in.
"""

from __future__ import annotations

from datetime import UTC, datetime

from zrwizard.freebsd import cksum
from zrwizard.keyring import ca, escrow, hand, issue
from zrwizard.keyring.hand import Section
from zrwizard.keyring.store import (
    CA,
    METADATA,
    SHEET,
    USERS,
    VAULT,
    Issued,
    Keyring,
    Record,
)

LENGTH = 60

_LOSS = (
    "The bundle lost (both of its files, and this directory): nobody can open the disk any more, "
    "and no backup on it can be read, by anyone, ever. Keep copies in two houses, and none of "
    "them on the server.",
    "The bundle's passphrase lost: the same, as soon as this directory is gone too. While the "
    "directory is there, write a new bundle with a new passphrase:",
    "    zrwizard keys escrow {name} --new-passphrase",
    "The CA's passphrase lost: nothing is lost on the disk, but no certificate can be issued any "
    "more, and the login key does not open. Set the server up again from its console.",
    "The bundle stolen: it is as strong as its passphrase. The directory or the geli key stolen: "
    "whoever has the disk too can read it. Make a new vault, and erase the old one.",
    "This sheet stolen: it tells what to look for, and opens nothing.",
)
_LOSS_PLAIN = (
    "The bundle lost, or its passphrase: nothing is lost on the disk, which is not encrypted. The "
    "keys are made again with zrwizard server, from the server's console.",
    "The CA's passphrase lost: no certificate can be issued any more, and the login key does not "
    "open. Set the server up again from its console.",
)


def text(keyring: Keyring) -> str:
    """Return the sheet of `keyring` as it is now. Raises `KeyringError`."""
    blocks = [[one.title.upper(), "", *one.laid_out(), ""] for one in _sections(keyring)]
    return _paged(blocks, f"Backup server {keyring.name}")


def write(keyring: Keyring) -> str:
    """Bring `sheet.txt` into line with the keyring; return its path. Raises `KeyringError`."""
    wanted = text(keyring).encode("utf-8", "backslashreplace")
    if not keyring.has(SHEET) or keyring.read(SHEET) != wanted:
        keyring.write(SHEET, wanted)
    return str(keyring.path(SHEET))


def _sections(keyring: Keyring) -> list[Section]:
    record = keyring.record
    loss = _LOSS if record.shape == VAULT else _LOSS_PLAIN
    note = escrow.finished(keyring)
    found = [
        _what(keyring),
        _fingerprints(keyring),
        Section("If something is lost", tuple(line.format(name=record.name) for line in loss)),
    ]
    if note is not None:
        found.append(hand.opening(record, note.iterations))
    place = Section(
        "The commands below", ("They are typed where the keys are:", f"    cd {keyring.directory}")
    )
    found += [place, *hand.sections(record), _certificates(record)]
    if record.notes:
        found.append(Section("What was noted at the set-up", record.notes))
    return found


def _what(keyring: Keyring) -> Section:
    record = keyring.record
    kind = (
        "a vault: its whole-disk encryption key (geli) never rests on it"
        if record.shape == VAULT
        else "a plain server: its disk is not encrypted by us"
    )
    rows = [
        f"{record.name} is {kind}.",
        f"Set up on {_day(record.created)} with zrwizard. This sheet holds no secret.",
        f"Disk: serial number {record.serial or '(none)'}, {record.size} bytes"
        + (f", partition {record.part}" if record.part else ", all of it"),
    ]
    if record.pool:
        rows.append(f"Pool: {record.pool}")
    if record.host:
        rows.append(f"Reached as {record.user} at {record.host}, port {record.port}")
    rows.append(f"Keys: {keyring.directory}")
    return Section("What this is", tuple(rows))


def _fingerprints(keyring: Keyring) -> Section:
    rows = [
        f"{f'{role} key' if role != CA else 'CA':<14}{ca.fingerprint(issue.public(keyring, role))}"
        for role in ("host", CA, *USERS)
        if keyring.has(f"{role}.pub")
    ]
    if keyring.has(METADATA):
        rows.append(f"geli metadata: cksum {cksum.of(keyring.read(METADATA))}")
    if keyring.record.geli:
        rows += ["geli key: sha256 of the file", f"    {keyring.record.geli}"]
    return Section("Fingerprints", tuple(rows))


def _certificates(record: Record) -> Section:
    if not record.issued:
        return Section("Certificates", ("None was issued yet.",))
    rows = [_row(one) for one in sorted(record.issued, key=lambda one: one.serial)]
    return Section("Certificates (serial, for, until)", tuple(rows))


def _row(one: Issued) -> str:
    until = f"revoked on {_day(one.revoked)}" if one.revoked else _day(one.before)
    return f"{one.serial:>5}  {one.role:<8}  {until}"


def _day(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d")


# --- on paper -------------------------------------------------------------------------------------


def _paged(blocks: list[list[str]], title: str) -> str:
    """Return the blocks on pages with a heading each; one that fits on a page is not parted."""
    room = LENGTH - 2
    pages: list[list[str]] = [[]]
    for block in blocks:
        if pages[-1] and len(pages[-1]) + len(block) > room:
            pages.append([])
        for row in block:
            if len(pages[-1]) == room:
                pages.append([])
            pages[-1].append(row)
    whole = [
        "\n".join([f"{title:<66}page {number} of {len(pages)}", "", *page]).rstrip("\n") + "\n"
        for number, page in enumerate(pages, 1)
    ]
    return "\f".join(whole)
