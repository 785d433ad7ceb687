"""The escrow bundle: everything that is needed to start anew, in one tar, encrypted twice.

`escrow.age` tells by itself when it was changed; `escrow.tar.enc` can be opened by the openssl of
any FreeBSD base system, and the SHA256 sums inside it tell. Both hold the very same tar. A bundle
counts only when both files were opened again from disk and compared with the keyring: then
`escrow.json` is written, which says of what they are.
"""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from dataclasses import dataclass

from zrwizard import jsonable
from zrwizard.keyring import age, hand, openssl_enc
from zrwizard.keyring.files import KeyringError
from zrwizard.keyring.issue import passphrase
from zrwizard.keyring.store import (
    ESCROW_AGE,
    ESCROW_ENC,
    ESCROW_NOTE,
    SHEET,
    Keyring,
)
from zrwizard.run.operator import MissingSecret
from zrwizard.secrets import Secret

PASSPHRASE = "escrow-passphrase"  # noqa: S105 - its name
README = "README"
SUMS = "SHA256SUMS"
_OWN = (ESCROW_AGE, ESCROW_ENC, ESCROW_NOTE, SHEET, README, SUMS)
_FORMAT = "zrwizard-escrow-1"
_ANEW = "Write the bundle anew: zrwizard keys escrow {}"


@dataclass(frozen=True, slots=True)
class Note:
    """What a finished bundle is of: SHA256 sums of the tar and of both files, and the rounds."""

    tar: str
    age: str
    enc: str
    iterations: int


class NotOpened(Exception):
    """A file of the bundle cannot be opened; `wrong` says that it may be the passphrase."""

    def __init__(self, why: str, *, wrong: bool) -> None:
        super().__init__(why)
        self.wrong = wrong


# --- what is in it --------------------------------------------------------------------------------


def contents(keyring: Keyring) -> dict[str, bytes]:
    """Return what the bundle holds, by name: every file of the keyring, how to use it, and sums.

    The sheet and the bundle itself are left out. Raises `KeyringError`.
    """
    tree = {file: keyring.read(file) for file in keyring.files() if file not in _OWN}
    tree[README] = hand.readme(keyring.record).encode("utf-8")
    tree[SUMS] = sums(tree)
    return tree


def sums(tree: dict[str, bytes]) -> bytes:
    """Return the lines that `sha256sum -c` checks, for all of `tree` but the sums themselves."""
    rows = [f"{_sha256(tree[file])}  {file}\n" for file in sorted(tree) if file != SUMS]
    return "".join(rows).encode("ascii")


def pack(keyring: Keyring) -> bytes:
    """Return the tar (ustar): the same bytes for the same keyring. Raises `KeyringError`."""
    tree, top = contents(keyring), keyring.name
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        place = _member(top, keyring.record.created)
        place.type, place.mode = tarfile.DIRTYPE, 0o700
        tar.addfile(place)
        for file in sorted(tree):
            member = _member(f"{top}/{file}", keyring.record.created)
            member.size = len(tree[file])
            tar.addfile(member, io.BytesIO(tree[file]))
    return buffer.getvalue()


def _member(name: str, when: int) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.mode, member.mtime = 0o600, when
    return member


def unpack(data: bytes) -> dict[str, bytes]:
    """Return what a bundle's tar holds, by name, after its own sums were checked. `NotOpened`.

    Nothing is written; anything but plain files in one directory is refused.
    """
    tree: dict[str, bytes] = {}
    tops = set()
    try:
        with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as tar:
            for member in tar:
                top, _slash, file = member.name.partition("/")
                tops.add(top)
                if member.isdir() and not file:
                    continue
                stream = tar.extractfile(member) if member.isreg() else None
                if stream is None or not file or "/" in file or file in tree:
                    raise NotOpened("what is in it is no bundle of ours", wrong=True)
                tree[file] = stream.read()
    except (tarfile.TarError, EOFError, ValueError, OSError):
        raise NotOpened("what is in it is no tar, or is cut short", wrong=True) from None
    if len(tops) != 1 or SUMS not in tree or tree[SUMS] != sums(tree):
        raise NotOpened("what is in it does not agree with its own SHA256 sums", wrong=True)
    return tree


# --- opening --------------------------------------------------------------------------------------


def open_age(data: bytes, secret: Secret) -> dict[str, bytes]:
    """Return what the age form `data` holds. Raises `NotOpened`."""
    try:
        return unpack(age.decrypt(data, secret.reveal()))
    except age.AgeError as error:
        raise NotOpened(str(error), wrong=isinstance(error, age.WrongPassphrase)) from None


def open_enc(data: bytes, secret: Secret, iterations: int) -> dict[str, bytes]:
    """Return what the openssl form `data` holds. Raises `NotOpened`."""
    try:
        return unpack(openssl_enc.decrypt(data, secret.reveal(), iterations))
    except openssl_enc.EncError as error:
        raise NotOpened(str(error), wrong=True) from None


def verify(keyring: Keyring, secret: Secret) -> None:
    """Open both files again from disk, and compare every file in them with the keyring's.

    Raises `MissingSecret` for a wrong passphrase and `KeyringError` for a bundle that is missing,
    damaged or stale.
    """
    note = finished(keyring)
    if note is None:
        raise KeyringError(f"{keyring.name} has no finished escrow bundle.", f"{_anew(keyring)}.")
    _compare(keyring, *_opened(keyring, secret, note.iterations))


def _opened(
    keyring: Keyring, secret: Secret, iterations: int
) -> tuple[dict[str, bytes], dict[str, bytes]]:
    """Return what both files hold; a passphrase that opens neither is a wrong one."""
    trees: dict[str, dict[str, bytes]] = {}
    faults: dict[str, NotOpened] = {}
    for file in (ESCROW_AGE, ESCROW_ENC):
        try:
            data = keyring.read(file)
            opened = (
                open_age(data, secret) if file == ESCROW_AGE else open_enc(data, secret, iterations)
            )
            trees[file] = opened
        except NotOpened as fault:
            faults[file] = fault
        except KeyringError as error:
            faults[file] = NotOpened(error.what, wrong=False)
    if not faults:
        return trees[ESCROW_AGE], trees[ESCROW_ENC]
    if not trees and any(fault.wrong for fault in faults.values()):
        raise MissingSecret(secret.name, wrong=True)
    said = "; ".join(f"{keyring.path(file)}: {fault}" for file, fault in faults.items())
    raise DamagedBundle(f"The escrow bundle is damaged. {said}.", f"{_anew(keyring)}.")


class DamagedBundle(KeyringError):
    """A file of the bundle does not open, although the passphrase is right."""


class StaleBundle(KeyringError):
    """The bundle is sound, but of another state of the keyring."""


def _compare(keyring: Keyring, *trees: dict[str, bytes]) -> None:
    now = contents(keyring)
    for tree in trees:
        other = sorted(file for file in now.keys() | tree.keys() if now.get(file) != tree.get(file))
        if other:
            raise StaleBundle(
                f"The escrow bundle is older than the keys: {', '.join(other)} changed since.",
                f"{_anew(keyring)}.",
            )


# --- writing --------------------------------------------------------------------------------------


def ensure(
    keyring: Keyring,
    secret: Secret,
    work: int = age.WORK,
    iterations: int = openssl_enc.ITERATIONS,
    *,
    new_passphrase: bool = False,
) -> str:
    """Write the bundle unless a sound one of just this keyring is there; say what is so.

    A finished bundle must be opened by `secret` before it is replaced (`MissingSecret`), so that a
    slip of the fingers does not change the passphrase; `new_passphrase` says that it is meant.
    Raises `KeyringError`.
    """
    passphrase(secret)
    why = "Written"
    if not new_passphrase and finished(keyring) is not None:
        try:
            verify(keyring, secret)
        except (DamagedBundle, StaleBundle) as fault:
            why = f"{fault.what} Written anew"
        else:
            if trouble(keyring):
                # Its writer was stopped after the comparison, right before it was noted.
                _note(keyring, iterations)
            return (
                f"The escrow bundle of {keyring.name} was opened again, both forms, and is equal "
                "to the keys."
            )
    write(keyring, secret, work, iterations)
    return (
        f"{why}, opened again and compared: {ESCROW_AGE} and {ESCROW_ENC} in {keyring.directory}."
    )


def write(keyring: Keyring, secret: Secret, work: int, iterations: int) -> None:
    """Write both files, open them again from disk, compare, and only then note them as finished."""
    data, key = pack(keyring), passphrase(secret)
    keyring.write(ESCROW_AGE, age.encrypt(data, key, work))
    keyring.write(ESCROW_ENC, openssl_enc.encrypt(data, key, iterations))
    _compare(keyring, *_opened(keyring, secret, iterations))
    _note(keyring, iterations)


def _note(keyring: Keyring, iterations: int) -> None:
    note = Note(
        _sha256(pack(keyring)),
        _sha256(keyring.read(ESCROW_AGE)),
        _sha256(keyring.read(ESCROW_ENC)),
        iterations,
    )
    text = json.dumps({"format": _FORMAT, **jsonable.dump(note)}, indent=1) + "\n"
    keyring.write(ESCROW_NOTE, text.encode())


def finished(keyring: Keyring) -> Note | None:
    """Return the note of the last finished bundle, None where none was finished (or it is gone)."""
    if not all(keyring.has(file) for file in (ESCROW_NOTE, ESCROW_AGE, ESCROW_ENC)):
        return None
    try:
        loaded = json.loads(keyring.read(ESCROW_NOTE))
        if not isinstance(loaded, dict) or loaded.pop("format", None) != _FORMAT:
            raise ValueError
        note = jsonable.load(Note, loaded)
    except (ValueError, TypeError, RecursionError):
        raise KeyringError(
            f"{keyring.path(ESCROW_NOTE)} is damaged.",
            f"Remove it, and then: zrwizard keys escrow {keyring.name}.",
        ) from None
    assert isinstance(note, Note)  # noqa: S101 - for the type checker
    return note


def trouble(keyring: Keyring) -> str:
    """Return what is wrong with the bundle as far as sums tell without a passphrase, or nothing.

    Raises `KeyringError` for files that cannot be read.
    """
    note = finished(keyring)
    if note is None:
        return "There is no finished escrow bundle."
    for file, noted in ((ESCROW_AGE, note.age), (ESCROW_ENC, note.enc)):
        if _sha256(keyring.read(file)) != noted:
            return f"{file} was changed since it was written."
    if _sha256(pack(keyring)) != note.tar:
        return "The escrow bundle is older than the keys: something changed since."
    return ""


def _anew(keyring: Keyring) -> str:
    return _ANEW.format(keyring.name)


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
