"""age's file format, version 1, with one passphrase (age-encryption.org/v1, the scrypt recipient).

Written and read by two different sets of primitives, so that reading back what was written is a
proof: `encrypt` takes cryptography's scrypt and HKDF, `decrypt` those of Python's hashlib and hmac.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import re

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

VERSION = b"age-encryption.org/v1\n"
CHUNK = 65536
WORK = 18
"""log2 of scrypt's N: about a second and 256 MiB today, and what age itself takes."""
MAX_WORK = 22
"""A larger one is refused, as age refuses it: it could only keep this machine busy."""

_LABEL = b"age-encryption.org/v1/scrypt"
_TAG = 16
_FILE_KEY = 16
_ZERO_NONCE = bytes(12)
_STANZA = re.compile(rb"-> scrypt ([A-Za-z0-9+/]{22}) ([1-9][0-9]?)\n([A-Za-z0-9+/]{43})\n")
_MAC = re.compile(rb"--- ([A-Za-z0-9+/]{43})\n")


class AgeError(Exception):
    """It cannot be opened; the message says why."""


class WrongPassphrase(AgeError):
    """The passphrase does not open the file (or the header's few bytes are damaged)."""


class Damaged(AgeError):
    """It is no whole age file: cut short, changed, or of another kind."""


def encrypt(data: bytes, passphrase: bytes, work: int = WORK) -> bytes:
    """Return `data` as an age file that `passphrase` opens; `work` is log2 of scrypt's N."""
    file_key, salt, nonce = os.urandom(_FILE_KEY), os.urandom(16), os.urandom(16)
    wrap = Scrypt(salt=_LABEL + salt, length=32, n=1 << work, r=8, p=1).derive(passphrase)
    body = ChaCha20Poly1305(wrap).encrypt(_ZERO_NONCE, file_key, None)
    header = VERSION + b"-> scrypt %s %d\n%s\n---" % (_b64(salt), work, _b64(body))
    mac = hmac.digest(_expand(file_key, b"", b"header"), header, hashlib.sha256)
    cipher = ChaCha20Poly1305(_expand(file_key, nonce, b"payload"))
    chunks = [data[at : at + CHUNK] for at in range(0, len(data), CHUNK)] or [b""]
    sealed = [
        cipher.encrypt(_nonce(number, number == len(chunks) - 1), chunk, None)
        for number, chunk in enumerate(chunks)
    ]
    return b"".join((header, b" ", _b64(mac), b"\n", nonce, *sealed))


def decrypt(data: bytes, passphrase: bytes) -> bytes:
    """Return what the age file `data` holds. Raises `WrongPassphrase` and `Damaged`."""
    header, mac, payload = _header(data)
    file_key = _unwrap(header, passphrase)
    if not hmac.compare_digest(mac, hmac.digest(_hkdf(file_key, b"", b"header"), header, "sha256")):
        raise Damaged("its header was changed")
    if len(payload) < 16 + _TAG:
        raise Damaged("it is cut short")
    cipher = ChaCha20Poly1305(_hkdf(file_key, payload[:16], b"payload"))
    sealed, size = payload[16:], CHUNK + _TAG
    chunks = [sealed[at : at + size] for at in range(0, len(sealed), size)]
    opened = [
        _open(cipher, number, number == len(chunks) - 1, chunk)
        for number, chunk in enumerate(chunks)
    ]
    if len(opened) > 1 and not opened[-1]:
        raise Damaged("its last part is empty")
    return b"".join(opened)


def _header(data: bytes) -> tuple[bytes, bytes, bytes]:
    """Return the header up to `---`, its MAC, and the payload. Raises `Damaged`."""
    if not data.startswith(VERSION):
        raise Damaged("it does not begin as an age file")
    stanza = _STANZA.match(data, len(VERSION))
    if stanza is None:
        raise Damaged("it is not sealed with one passphrase, or its header is damaged")
    end = _MAC.match(data, stanza.end())
    if end is None:
        raise Damaged("its header is damaged")
    return data[: stanza.end() + 3], _unb64(end[1]), data[end.end() :]


def _unwrap(header: bytes, passphrase: bytes) -> bytes:
    stanza = _STANZA.match(header, len(VERSION))
    assert stanza is not None  # noqa: S101 - `_header` has found it
    salt, work, body = _unb64(stanza[1]), int(stanza[2]), _unb64(stanza[3])
    if work > MAX_WORK:
        raise Damaged(f"its work factor of {work} is above {MAX_WORK}")
    memory = (128 * 8 << work) + (1 << 22)
    wrap = hashlib.scrypt(
        passphrase, salt=_LABEL + salt, n=1 << work, r=8, p=1, dklen=32, maxmem=memory
    )
    try:
        return ChaCha20Poly1305(wrap).decrypt(_ZERO_NONCE, body, None)
    except InvalidTag:
        raise WrongPassphrase("the passphrase does not open it") from None


def _open(cipher: ChaCha20Poly1305, number: int, last: bool, chunk: bytes) -> bytes:
    try:
        return cipher.decrypt(_nonce(number, last), chunk, None)
    except InvalidTag:
        raise Damaged(f"part {number + 1} was changed, or the file is cut short") from None


def _nonce(number: int, last: bool) -> bytes:
    return number.to_bytes(11, "big") + (b"\1" if last else b"\0")


def _expand(key: bytes, salt: bytes, info: bytes) -> bytes:
    return HKDF(algorithm=hashes.SHA256(), length=32, salt=salt, info=info).derive(key)


def _hkdf(key: bytes, salt: bytes, info: bytes) -> bytes:
    """HKDF-SHA-256 for 32 bytes (RFC 5869): extract, then the one block of expand."""
    extracted = hmac.digest(salt or bytes(32), key, "sha256")
    return hmac.digest(extracted, info + b"\1", "sha256")


def _b64(data: bytes) -> bytes:
    return base64.b64encode(data).rstrip(b"=")


def _unb64(text: bytes) -> bytes:
    """Return unpadded base64's bytes; `Damaged` where it is not written in the one proper way."""
    data = base64.b64decode(text + b"=" * (-len(text) % 4))
    if _b64(data) != text:
        raise Damaged("its header is damaged")
    return data
