"""Key pairs and SSH certificates, in OpenSSH's own formats (ssh-keygen(1), PROTOCOL.certkeys).

Everything is ed25519: it is what every OpenSSH since 6.5 has, and what the server is told to take.
"""

from __future__ import annotations

import base64
import hashlib
import struct
from dataclasses import dataclass, field

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization as serial_form
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    SSHCertificate,
    SSHCertificateBuilder,
    SSHCertificateType,
)

ROUNDS = 32
"""bcrypt rounds that protect a private key: a third of a second for every guess."""
EARLY = 300
"""Seconds by which a certificate begins before it is made: clocks differ a little."""
DAY = 86400
KIND = "ssh-ed25519"

_MAGIC = b"openssh-key-v1\0"
_LARGEST_SERIAL = (1 << 64) - 1


class KeyFormatError(ValueError):
    """It is no key or certificate of the expected kind; the message says what is wrong."""


class WrongPassphrase(Exception):
    """The passphrase does not open the key."""


@dataclass(frozen=True, slots=True)
class KeyPair:
    """A fresh key: `private` is the private file's content, `public` the public one's line."""

    private: bytes = field(repr=False)
    public: str


@dataclass(frozen=True, slots=True)
class Terms:
    """What a certificate is to say: `identity` names it in logs, times are seconds since 1970."""

    serial: int
    identity: str
    principals: tuple[str, ...]
    after: int
    before: int

    def __post_init__(self) -> None:
        # A certificate without principals is one for everybody.
        if not self.principals or not all(self.principals):
            raise ValueError("a certificate needs principals")
        if not (0 < self.serial <= _LARGEST_SERIAL and 0 <= self.after < self.before):
            raise ValueError("a certificate needs a serial number and a validity")


@dataclass(frozen=True, slots=True)
class Certificate:
    """What a certificate says. Times are seconds since 1970; `fingerprint` is the key's own."""

    host: bool
    serial: int
    identity: str
    principals: tuple[str, ...]
    after: int
    before: int
    options: tuple[tuple[str, str], ...]
    extensions: tuple[str, ...]
    fingerprint: str
    authority: str


def make_key(passphrase: bytes | None, comment: str, rounds: int = ROUNDS) -> KeyPair:
    """Return a fresh ed25519 pair; the private one is protected by `passphrase` unless None."""
    key = Ed25519PrivateKey.generate()
    return KeyPair(_private(key, passphrase, rounds), public_line(key.public_key(), comment))


def _private(key: Ed25519PrivateKey, passphrase: bytes | None, rounds: int) -> bytes:
    form = serial_form.PrivateFormat.OpenSSH
    protection: serial_form.KeySerializationEncryption = serial_form.NoEncryption()
    if passphrase is not None:
        protection = form.encryption_builder().kdf_rounds(rounds).build(passphrase)
    return key.private_bytes(serial_form.Encoding.PEM, form, protection)


def open_key(data: bytes, passphrase: bytes | None) -> Ed25519PrivateKey:
    """Return the private key in `data`, OpenSSH's format.

    Raises `WrongPassphrase` (one that is needed and missing is wrong too), `KeyFormatError`.
    """
    protected = is_protected(data)
    if protected and passphrase is None:
        raise WrongPassphrase
    try:
        key = serial_form.load_ssh_private_key(data, passphrase if protected else None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        if protected and "checksum" in str(error):
            raise WrongPassphrase from None
        raise KeyFormatError("it is damaged") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise KeyFormatError("it is no ed25519 key")
    return key


def is_protected(data: bytes) -> bool:
    """Whether a passphrase protects the private key in `data`. Raises `KeyFormatError`."""
    cipher, _public = _envelope(data)
    return cipher != b"none"


def public_of(data: bytes) -> Ed25519PublicKey:
    """Return the public half of the private key in `data`; no passphrase is needed for that.

    Raises `KeyFormatError`.
    """
    _cipher, blob = _envelope(data)
    return open_public(f"{KIND} {base64.b64encode(blob).decode()}")


def _envelope(data: bytes) -> tuple[bytes, bytes]:
    """Return the cipher's name and the public key of a private key's file (PROTOCOL.key)."""
    rows = data.strip().splitlines()
    if not (
        len(rows) > 2
        and rows[0] == b"-----BEGIN OPENSSH PRIVATE KEY-----"
        and rows[-1] == b"-----END OPENSSH PRIVATE KEY-----"
    ):
        raise KeyFormatError("it is no private key in OpenSSH's format")
    try:
        raw = base64.b64decode(b"".join(rows[1:-1]), validate=True)
        if not raw.startswith(_MAGIC):
            raise ValueError("no OpenSSH key")
        cipher, rest = _string(raw[len(_MAGIC) :])
        _kdf, rest = _string(rest)
        _options, rest = _string(rest)
        public, _rest = _string(rest[4:])
    except (ValueError, struct.error):
        raise KeyFormatError("it is damaged") from None
    return cipher, public


def _string(data: bytes) -> tuple[bytes, bytes]:
    (length,) = struct.unpack(">I", data[:4])
    if len(data) < 4 + length:
        raise ValueError("cut short")
    return data[4 : 4 + length], data[4 + length :]


def public_line(key: Ed25519PublicKey, comment: str) -> str:
    """Return a public key as the one line of its `.pub` file."""
    form = serial_form.PublicFormat.OpenSSH
    text = key.public_bytes(serial_form.Encoding.OpenSSH, form).decode("ascii")
    return f"{text} {comment}\n" if comment else f"{text}\n"


def open_public(line: str) -> Ed25519PublicKey:
    """Return the public key in a `.pub` file's line. Raises `KeyFormatError`."""
    words = line.split()
    if line.strip().count("\n") or len(words) < 2 or words[0] != KIND:
        raise KeyFormatError(f"it is not one line that begins with {KIND}")
    try:
        key = serial_form.load_ssh_public_key(" ".join(words[:2]).encode())
    except (ValueError, UnsupportedAlgorithm):
        raise KeyFormatError("it is damaged") from None
    if not isinstance(key, Ed25519PublicKey):
        raise KeyFormatError("it is no ed25519 key")
    return key


def fingerprint(key: Ed25519PublicKey) -> str:
    """Return a key's fingerprint as `ssh-keygen -l` prints it: `SHA256:…`."""
    blob = base64.b64decode(public_line(key, "").split()[1])
    return _fingerprint(blob)


def _fingerprint(blob: bytes) -> str:
    digest = base64.b64encode(hashlib.sha256(blob).digest()).decode("ascii")
    return f"SHA256:{digest.rstrip('=')}"


def host_certificate(authority: Ed25519PrivateKey, key: Ed25519PublicKey, terms: Terms) -> str:
    """Return the line of a host certificate; its principals are the host's names."""
    return _signed(_builder(SSHCertificateType.HOST, key, terms), authority, terms)


def user_certificate(
    authority: Ed25519PrivateKey, key: Ed25519PublicKey, terms: Terms, command: str = ""
) -> str:
    """Return the line of a user certificate; its principals are the accounts.

    With `command` nothing but that command is run for its holder, without a terminal or any
    forwarding (`-O clear -O force-command=…`); without one it may have a terminal, and no more.
    """
    builder = _builder(SSHCertificateType.USER, key, terms)
    if command:
        builder = builder.add_critical_option(b"force-command", command.encode("ascii"))
    else:
        builder = builder.add_extension(b"permit-pty", b"")
    return _signed(builder, authority, terms)


def _builder(
    kind: SSHCertificateType, key: Ed25519PublicKey, terms: Terms
) -> SSHCertificateBuilder:
    return (
        SSHCertificateBuilder()
        .public_key(key)
        .type(kind)
        .serial(terms.serial)
        .key_id(terms.identity.encode("ascii"))
        .valid_principals([name.encode("ascii") for name in terms.principals])
        .valid_after(terms.after)
        .valid_before(terms.before)
    )


def _signed(builder: SSHCertificateBuilder, authority: Ed25519PrivateKey, terms: Terms) -> str:
    return f"{builder.sign(authority).public_bytes().decode('ascii')} {terms.identity}\n"


def read_certificate(line: str) -> Certificate:
    """Return what the certificate in `line` says, its signature checked. `KeyFormatError`."""
    words = line.split()
    if line.strip().count("\n") or len(words) < 2:
        raise KeyFormatError("it is not one line with a certificate")
    try:
        found = serial_form.load_ssh_public_identity(" ".join(words[:2]).encode())
        if not isinstance(found, SSHCertificate):
            raise KeyFormatError("it is a key, not a certificate")
        found.verify_cert_signature()
        key, authority = found.public_key(), found.signature_key()
    except KeyFormatError:
        raise
    except (ValueError, InvalidSignature, UnsupportedAlgorithm):
        raise KeyFormatError("it is damaged, or its signature is wrong") from None
    if not (isinstance(key, Ed25519PublicKey) and isinstance(authority, Ed25519PublicKey)):
        raise KeyFormatError("it is no ed25519 certificate")
    return Certificate(
        host=found.type is SSHCertificateType.HOST,
        serial=found.serial,
        identity=_text(found.key_id),
        principals=tuple(_text(name) for name in found.valid_principals),
        after=found.valid_after,
        before=found.valid_before,
        options=tuple((_text(k), _text(v)) for k, v in found.critical_options.items()),
        extensions=tuple(_text(name) for name in found.extensions),
        fingerprint=fingerprint(key),
        authority=fingerprint(authority),
    )


def _text(data: bytes) -> str:
    return data.decode("utf-8", "backslashreplace")
