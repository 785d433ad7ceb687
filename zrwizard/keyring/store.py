"""The directory of one backup server's keys on the operator's machine, and the record in it.

Every file is private (0600 in a directory 0700), written at once and with fsync, and refused when
it is not what it should be: a key that others can read, or that is a link, is not used quietly.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from zrwizard import jsonable
from zrwizard.keyring.files import (
    BUNDLE,
    NEW,
    KeyringError,
    cannot,
    check_directory,
    locked,
    read_private,
    sync_directory,
    write_private,
)
from zrwizard.run.events import Exit
from zrwizard.run.state import PRIVATE_DIR, make_private
from zrwizard.secrets import Secret

FORMAT = "zrwizard-keyring-1"

RECORD = "keyring.json"
GELI_KEY = "geli.key"
METADATA = "geli.metadata"
HOST_KEY = "host.pub"
HOST_CERTIFICATE = "host-cert.pub"
KNOWN_HOSTS = "known_hosts"
SSH_CONFIG = "ssh_config"
REVOKED = "revoked.spec"
ESCROW_AGE = "escrow.age"
ESCROW_ENC = "escrow.tar.enc"
ESCROW_NOTE = "escrow.json"
SHEET = "sheet.txt"

VAULT = "vault"
PLAIN = "plain"
SHAPES = (VAULT, PLAIN)
CA = "ca"
USERS = ("login", "deliver", "receive")
"""The roles of the user certificates, which are the names of their keys' files too."""
ROLES = ("host", *USERS)
PRIVATE = frozenset((GELI_KEY, CA, *USERS))
"""The files that never leave this directory but in the encrypted bundle."""

_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,30}[a-z0-9])?")
_WORD = re.compile(r"[A-Za-z0-9._:/@+-]{0,255}")
_FAR = 1 << 37
"""No time of ours is as late, some 4000 years from 1970; no serial number as large."""
_FILE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True, slots=True)
class Issued:
    """One certificate in the ledger. Times are seconds since 1970, `revoked` 0 where it is not.

    An entry is written before its certificate, so that a serial number is never given twice.
    `fingerprint` is that of the certified key, `days` the validity that was asked for.
    """

    serial: int
    role: str
    identity: str
    principals: tuple[str, ...]
    after: int
    before: int
    days: int
    fingerprint: str
    command: str = ""
    revoked: int = 0


@dataclass(frozen=True, slots=True)
class Record:
    """What a keyring knows of its server: `keyring.json`, no secret in it.

    `shape` is vault or plain; `serial` and `size` (bytes) name the disk, `part` the GPT label of
    its partition (empty: the whole disk). `geli` is the SHA256 of the geli key, `metadata` what
    cksum(1) prints for its saved metadata. `notes` are the sheet's own lines; `created` is in
    seconds since 1970.
    """

    name: str
    shape: str
    created: int
    serial: str = ""
    size: int = 0
    part: str = ""
    geli: str = ""
    metadata: str = ""
    host: str = ""
    port: int = 22
    user: str = "root"
    pool: str = ""
    notes: tuple[str, ...] = ()
    issued: tuple[Issued, ...] = ()

    def latest(self, role: str) -> Issued | None:
        """Return the certificate that was issued last for `role`, revoked or not."""
        of_role = [one for one in self.issued if one.role == role]
        return max(of_role, key=lambda one: one.serial, default=None)

    def revoked(self) -> tuple[Issued, ...]:
        """Return what was revoked, by serial number."""
        return tuple(
            sorted((one for one in self.issued if one.revoked), key=lambda one: one.serial)
        )


def root(environ: Mapping[str, str] = os.environ) -> Path:
    """Return `$XDG_DATA_HOME/zrwizard/keys`, or `~/.local/share/zrwizard/keys` (XDG)."""
    base = environ.get("XDG_DATA_HOME", "")
    share = Path(base) if base.startswith("/") else Path.home() / ".local" / "share"
    return share / "zrwizard" / "keys"


def is_name(name: str) -> bool:
    """Whether `name` can name a keyring: it becomes a directory, a host alias, an argument."""
    return _NAME.fullmatch(name) is not None


def names(root: Path) -> tuple[str, ...]:
    """Return the names of the keyrings below `root`, sorted; none where there is no such place."""
    try:
        found = sorted(entry.name for entry in root.iterdir() if (entry / RECORD).exists())
    except OSError:
        return ()
    return tuple(name for name in found if is_name(name))


class Keyring:
    """One server's keys: the directory, its record, and its files read with suspicion."""

    __slots__ = ("directory", "record")

    def __init__(self, directory: Path, record: Record) -> None:
        self.directory = directory
        self.record = record

    @property
    def name(self) -> str:
        """The server's name."""
        return self.record.name

    @classmethod
    def create(cls, root: Path, record: Record) -> Keyring:
        """Make the keyring that `record` describes, and return it; raises `KeyringError`.

        A directory that holds nothing yet (its maker was killed) is taken over.
        """
        directory = _directory(root, record.name)
        try:
            make_private(root)
            with suppress(FileExistsError):
                directory.mkdir(mode=PRIVATE_DIR)
            sync_directory(root)
        except OSError as error:
            raise cannot("made", directory, error) from None
        check_directory(directory)
        if there := _ours(directory):
            raise KeyringError(
                f"{directory} has no usable {RECORD}, but already holds {', '.join(there)}.",
                "Keys are never written over. Put the record back from the escrow bundle, move "
                "that directory away, or choose another name.",
            )
        keyring = cls(directory, record)
        keyring.save(record)
        return keyring

    @classmethod
    def open(cls, root: Path, name: str) -> Keyring:
        """Return the keyring called `name`; `KeyringError` where there is none or it is unsound."""
        directory = _directory(root, name)
        if not os.path.lexists(directory):
            raise NoKeyring(name, directory)
        check_directory(directory)
        if not os.path.lexists(directory / RECORD):
            raise NoKeyring(name, directory)
        record = _record(directory / RECORD, read_private(directory / RECORD))
        if record.name != name:
            raise KeyringError(
                f"{directory} holds the keys of “{record.name}”, not of “{name}”.",
                f"Give the directory its own name back: {record.name}.",
            )
        return cls(directory, record)

    def path(self, file: str) -> Path:
        """Return where the file called `file` belongs; `KeyringError` for an odd name."""
        if not _FILE.fullmatch(file) or file.endswith(NEW):
            raise KeyringError(
                f"“{file}” cannot be the name of a file beside keys.",
                "Letters, digits, dot, dash and underscore will do.",
            )
        return self.directory / file

    def has(self, file: str) -> bool:
        """Whether there is anything called `file`, sound or not."""
        return os.path.lexists(self.path(file))

    def read(self, file: str) -> bytes:
        """Return what `file` holds; `KeyringError` where it is missing, empty, open to others…"""
        return read_private(self.path(file))

    def text(self, file: str) -> str:
        """Return what the public text `file` holds; raises `KeyringError`."""
        try:
            return self.read(file).decode("ascii")
        except UnicodeDecodeError:
            raise KeyringError(f"{self.path(file)} is damaged: it is no text.", BUNDLE) from None

    def secret(self, file: str, name: str) -> Secret:
        """Return what `file` holds as the secret `name`; raises `KeyringError`."""
        return Secret(name, self.read(file))

    def write(self, file: str, data: bytes) -> None:
        """Write `file` at once, 0600; `KeyringError` where it cannot be (the old one stays)."""
        write_private(self.path(file), data)

    def save(self, record: Record) -> None:
        """Write `record`, which is this keyring's from now on; raises `KeyringError`."""
        text = json.dumps({"format": FORMAT, **jsonable.dump(record)}, indent=1) + "\n"
        write_private(self.directory / RECORD, text.encode())
        self.record = record

    def reload(self) -> Keyring:
        """Return the keyring as it is on disk now."""
        return Keyring.open(self.directory.parent, self.name)

    def next_serial(self) -> int:
        """Return the first serial number that no certificate of this CA ever had."""
        return 1 + max((one.serial for one in self.record.issued), default=0)

    def enter(self, issued: Issued) -> None:
        """Write `issued` into the ledger, in place of what had its serial number there."""
        others = tuple(one for one in self.record.issued if one.serial != issued.serial)
        self.save(replace(self.record, issued=(*others, issued)))

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes from changing this keyring; `KeyringError` where one does now."""
        with locked(self.directory):
            yield

    def files(self) -> tuple[str, ...]:
        """Return the names of everything here that is ours or was fetched, sorted."""
        return _ours(self.directory)


class NoKeyring(KeyringError):
    """There is no keyring of that name."""

    def __init__(self, name: str, directory: Path) -> None:
        super().__init__(
            f"There are no keys called “{name}” here: {directory} has no {RECORD}.",
            "zrwizard keys list shows what there is; zrwizard server makes new ones.",
            Exit.USAGE,
        )


def _directory(root: Path, name: str) -> Path:
    if not is_name(name):
        raise KeyringError(
            f"“{name}” cannot name a server's keys.",
            "Take up to 32 lower-case letters, digits and dashes, as in knox.",
            Exit.USAGE,
        )
    return root / name


def _record(path: Path, data: bytes) -> Record:
    try:
        loaded = json.loads(data)
        if not isinstance(loaded, dict) or loaded.pop("format", None) != FORMAT:
            raise ValueError("it is not a keyring's record of this version")
        record = jsonable.load(Record, loaded)
    except (ValueError, TypeError, RecursionError) as error:
        raise KeyringError(f"{path} is damaged: {_short(str(error))}.", BUNDLE) from None
    assert isinstance(record, Record)  # noqa: S101 - for the type checker
    if why := _unsound(record):
        raise KeyringError(f"{path} is damaged: {why}.", BUNDLE)
    return record


def _unsound(record: Record) -> str:
    """Return why `record` cannot be one of ours, empty where it can.

    What stands in it goes into ssh's files and certificates; so nothing odd is let through.
    """
    words = (record.host, record.user, record.pool, record.part, record.geli)
    times = [record.created, *(t for one in record.issued for t in (one.after, one.before))]
    serials = [one.serial for one in record.issued]
    if not is_name(record.name) or record.shape not in SHAPES:
        return "it names no server and shape"
    if not all(_WORD.fullmatch(word) for word in words) or not 1 <= record.port <= 65535:
        return "it names no place that ssh can reach"
    if not all(0 <= time < _FAR for time in (*times, *(one.revoked for one in record.issued))):
        return "it has a time that cannot be"
    if len(set(serials)) != len(serials) or not all(0 < serial < _FAR for serial in serials):
        return "its serial numbers are not in order"
    if not all(one.role in ROLES and _are_plain(one) for one in record.issued):
        return "it has a certificate that cannot be"
    return ""


def _are_plain(one: Issued) -> bool:
    texts = (one.identity, one.fingerprint, one.command, *one.principals)
    return all(text.isascii() and text.isprintable() for text in texts)


def _ours(directory: Path) -> tuple[str, ...]:
    try:
        return tuple(sorted(entry.name for entry in directory.iterdir() if _is_ours(entry.name)))
    except OSError as error:
        raise cannot("read", directory, error) from None


def _is_ours(file: str) -> bool:
    return _FILE.fullmatch(file) is not None and not file.endswith(NEW)


def _short(text: str, width: int = 120) -> str:
    line = text.rstrip(".").replace("\n", " ")
    return line if len(line) <= width else line[:width] + "…"
