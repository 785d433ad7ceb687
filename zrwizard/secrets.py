"""Secrets as a type: only a console may open one, everything else sees `<secret:name>`.

A `Secret` prints masked in every way that Python has of printing a value, so that it cannot
reach a log, a journal, a traceback's locals or a crash screen by accident.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

MAX_BYTES = 65536
MIN_PASSPHRASE = 8
MAX_PASSPHRASE = 512
"""OpenSSH and openssl read passphrases of up to 1023 bytes; this stays well inside."""


class SecretError(Exception):
    """A `--secret` that cannot be read; the message never holds its value."""


class Secret:
    """One secret value. `reveal()` is for the console room and for nobody else."""

    __slots__ = ("_value", "name")

    def __init__(self, name: str, value: bytes | str) -> None:
        self.name = name
        self._value = value.encode() if isinstance(value, str) else bytes(value)

    def reveal(self) -> bytes:
        """Return the secret's bytes."""
        return self._value

    def as_file(self) -> Secret:
        """Return the secret as a file's content: ending in a newline, as a private key must."""
        return self if self._value.endswith(b"\n") else Secret(self.name, self._value + b"\n")

    def called(self, name: str) -> Secret:
        """Return the same secret under another name."""
        return Secret(name, self._value)

    def __repr__(self) -> str:
        return f"<secret:{self.name}>"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return format(repr(self), spec)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash(self.name)

    def __reduce__(self) -> NoReturn:
        raise TypeError(f"{self!r} cannot be pickled")


def unfit(secret: Secret) -> str:
    """Return why `secret` will not do as a new passphrase, empty where it will."""
    data = secret.reveal()
    if not MIN_PASSPHRASE <= len(data) <= MAX_PASSPHRASE:
        return f"A passphrase has {MIN_PASSPHRASE} to {MAX_PASSPHRASE} characters."
    if any(byte < 32 or byte == 127 for byte in data):
        return "A passphrase is one line without control characters."
    return ""


def read_spec(spec: str) -> Secret:
    """Return the secret that a `NAME=file:PATH|env:VAR|fd:N` argument points at.

    One trailing newline is dropped, as `echo` and editors add it; a private key, which ends in a
    newline by its own format, gets it back where it is uploaded. Raises `SecretError`.
    """
    name, eq, source = spec.partition("=")
    kind, colon, where = source.partition(":")
    if not (name and eq and colon and where):
        raise SecretError(f"--secret {name or '?'}: expected NAME=file:PATH, env:VAR or fd:N")
    match kind:
        case "file":
            value = _read_file(name, Path(where))
        case "env":
            found = os.environ.get(where)
            if found is None:
                raise SecretError(f"--secret {name}: the environment has no variable {where}")
            value = found.encode()
        case "fd":
            value = _read_fd(name, where)
        case _:
            raise SecretError(f"--secret {name}: {kind!r} is not one of file, env, fd")
    return Secret(name, value[:-1] if value.endswith(b"\n") else value)


def _read_file(name: str, path: Path) -> bytes:
    try:
        mode = path.stat().st_mode
        data = path.read_bytes()
    except OSError as error:
        raise SecretError(f"--secret {name}: cannot read {path}: {error.strerror}") from None
    if stat.S_ISREG(mode) and mode & 0o077:
        raise SecretError(
            f"--secret {name}: {path} can be read by others (mode {mode & 0o777:04o}): chmod 600 it"
        )
    if len(data) > MAX_BYTES:
        raise SecretError(f"--secret {name}: {path} is larger than {MAX_BYTES} bytes")
    return data


def _read_fd(name: str, where: str) -> bytes:
    try:
        with os.fdopen(int(where), "rb") as stream:
            return stream.read(MAX_BYTES)
    except (ValueError, OSError):
        raise SecretError(f"--secret {name}: cannot read from descriptor {where}") from None


@dataclass(slots=True)
class Secrets:
    """The secrets that this process holds, by name."""

    known: dict[str, Secret] = field(default_factory=dict)

    def add(self, secret: Secret) -> None:
        """Keep `secret` under its own name."""
        self.known[secret.name] = secret

    def get(self, name: str) -> Secret | None:
        """Return the secret called `name`, or None."""
        return self.known.get(name)

    def redact(self, data: bytes) -> bytes:
        """Return `data` with every known secret (4 bytes and longer) replaced by its mask.

        A key file's last newline does not count: where the key is shown, it may not be there.
        """
        for secret in sorted(self.known.values(), key=lambda s: -len(s.reveal())):
            value = secret.reveal()
            bare = value.rstrip(b"\n")
            if len(value) >= 4:
                data = data.replace(bare if len(bare) >= 4 else value, repr(secret).encode())
        return data

    def redact_text(self, text: str) -> str:
        """`redact` for text."""
        return self.redact(text.encode("utf-8", "surrogateescape")).decode(
            "utf-8", "surrogateescape"
        )
