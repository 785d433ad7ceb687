"""Host keys, private keys and a server's door, in OpenSSH's own formats.

Nothing here computes a signature: the simulated client and server compare blobs.
"""

from __future__ import annotations

import base64
import hashlib
import random
import struct
from dataclasses import dataclass, field


def _string(data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + data


def key_blob(kind: str, rng: random.Random) -> bytes:
    """A public key blob of the right shape for `kind`."""
    if kind == "ssh-ed25519":
        return _string(b"ssh-ed25519") + _string(rng.randbytes(32))
    if kind == "ecdsa-sha2-nistp256":
        return _string(kind.encode()) + _string(b"nistp256") + _string(b"\x04" + rng.randbytes(64))
    modulus = b"\x00" + bytes([0x80 | rng.getrandbits(7)]) + rng.randbytes(383)
    return _string(b"ssh-rsa") + _string(b"\x01\x00\x01") + _string(modulus)


def fingerprint(blob: bytes) -> str:
    """`SHA256:…` as ssh-keygen -l prints it."""
    return "SHA256:" + base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")


def kind_of(blob: bytes) -> str:
    """The algorithm name inside a public key blob; empty where there is none."""
    if len(blob) < 4:
        return ""
    size = struct.unpack(">I", blob[:4])[0]
    return blob[4 : 4 + size].decode("ascii", "replace")


def bits_of(blob: bytes) -> int:
    """Key length in bits, as ssh-keygen -l shows it."""
    return 3072 if kind_of(blob) == "ssh-rsa" else 256


def short_name(kind: str) -> str:
    """`ED25519`, `ECDSA` or `RSA`."""
    return {"ssh-ed25519": "ED25519", "ssh-rsa": "RSA"}.get(kind, "ECDSA")


def private_key(rng: random.Random, encrypted: bool = False) -> tuple[str, bytes]:
    """An openssh-key-v1 file and its public blob. The private half is random bytes."""
    public = key_blob("ssh-ed25519", rng)
    cipher, kdf = (b"aes256-ctr", b"bcrypt") if encrypted else (b"none", b"none")
    options = _string(rng.randbytes(16)) + struct.pack(">I", 16) if encrypted else b""
    body = (
        b"openssh-key-v1\0"
        + _string(cipher)
        + _string(kdf)
        + _string(options)
        + struct.pack(">I", 1)
        + _string(public)
        + _string(rng.randbytes(144))
    )
    text = base64.b64encode(body).decode()
    lines = "\n".join(text[i : i + 70] for i in range(0, len(text), 70))
    marks = ("-----BEGIN OPENSSH PRIVATE KEY-----", "-----END OPENSSH PRIVATE KEY-----")
    return f"{marks[0]}\n{lines}\n{marks[1]}\n", public


def read_private_key(text: str) -> tuple[bytes, bool] | None:
    """Public blob and "needs a passphrase" of an openssh-key-v1 file; None if it is not one."""
    inner = "".join(
        text.rsplit("-----BEGIN OPENSSH PRIVATE KEY-----", maxsplit=1)[-1]
        .split("-----END OPENSSH PRIVATE KEY-----", maxsplit=1)[0]
        .split()
    )
    try:
        data = base64.b64decode(inner, validate=True)
        if not data.startswith(b"openssh-key-v1\0"):
            return None
        at, fields = 15, []
        for _ in range(3):
            size = struct.unpack(">I", data[at : at + 4])[0]
            fields.append(data[at + 4 : at + 4 + size])
            at += 4 + size
        at += 4
        size = struct.unpack(">I", data[at : at + 4])[0]
        return data[at + 4 : at + 4 + size], fields[0] != b"none"
    except (ValueError, struct.error):
        return None


@dataclass(slots=True)
class Door:
    """A server's sshd: where it listens, what it is, whom it lets in."""

    hostname: str
    addresses: tuple[str, ...]
    ports: tuple[int, ...]
    host_keys: dict[str, bytes]
    users: dict[str, str]
    authorized: set[bytes] = field(default_factory=set)
    passphrase: str = "rehearse"  # noqa: S105 - the rehearsal's own, printed in its help
    password_login: bool = True
    refused: bool = False

    def change_host_keys(self, rng: random.Random) -> None:
        """Another machine answers at the old address."""
        self.host_keys = {kind: key_blob(kind, rng) for kind in self.host_keys}


@dataclass(slots=True)
class Master:
    """A ControlMaster in the background."""

    path: str
    pid: int
    user: str
    host: str
    port: int
