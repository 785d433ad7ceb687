"""What `openssl enc -aes-256-cbc -pbkdf2 -md sha256 -iter N -salt` writes and reads (enc(1)).

Any FreeBSD base system can open it. It does not tell by itself whether it was changed: what is in
it must say so. As with age, writing and reading derive the key by two different libraries.
"""

from __future__ import annotations

import hashlib
import os

from cryptography.hazmat.primitives import hashes, padding
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.kdf.pbkdf2 import PBKDF2HMAC

ITERATIONS = 1_000_000
"""PBKDF2's rounds: about half a second today, a few on an old board. openssl must be told them."""

_MAGIC = b"Salted__"
_SALT = 8
_BLOCK = 16
_KEY = 32


class EncError(Exception):
    """It cannot be opened: it is no such file, was changed, or the passphrase is another."""


def encrypt(data: bytes, passphrase: bytes, iterations: int = ITERATIONS) -> bytes:
    """Return `data` encrypted as openssl does it, with a fresh salt."""
    salt = os.urandom(_SALT)
    derived = PBKDF2HMAC(
        algorithm=hashes.SHA256(), length=_KEY + _BLOCK, salt=salt, iterations=iterations
    ).derive(passphrase)
    pad = padding.PKCS7(_BLOCK * 8).padder()
    padded = pad.update(data) + pad.finalize()
    seal = Cipher(algorithms.AES256(derived[:_KEY]), modes.CBC(derived[_KEY:])).encryptor()
    return _MAGIC + salt + seal.update(padded) + seal.finalize()


def decrypt(data: bytes, passphrase: bytes, iterations: int = ITERATIONS) -> bytes:
    """Return what openssl's file `data` holds. Raises `EncError`.

    A wrong passphrase goes unnoticed here once in some 256 times: the content must be checked.
    """
    start = len(_MAGIC) + _SALT
    if not data.startswith(_MAGIC) or len(data) < start + _BLOCK or (len(data) - start) % _BLOCK:
        raise EncError("it is no whole file of openssl enc")
    derived = hashlib.pbkdf2_hmac(
        "sha256", passphrase, data[len(_MAGIC) : start], iterations, _KEY + _BLOCK
    )
    key = Cipher(algorithms.AES256(derived[:_KEY]), modes.CBC(derived[_KEY:])).decryptor()
    padded = key.update(data[start:]) + key.finalize()
    count = padded[-1]
    if not 1 <= count <= _BLOCK or padded[-count:] != bytes([count]) * count:
        raise EncError("the passphrase does not open it, or it was changed")
    return padded[:-count]
