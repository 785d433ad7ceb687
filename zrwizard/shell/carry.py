"""Whole files, to the target and from it, each gone on with where it was cut off."""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, Protocol, TypeVar

from zrwizard.cksum import Cksum, cksum
from zrwizard.console.errors import NoAnswer, Refused
from zrwizard.secrets import Secret
from zrwizard.shell.api import Done, Result
from zrwizard.shell.files import Files
from zrwizard.shell.frames import Sum
from zrwizard.shell.helpers import BLOCK

T = TypeVar("T")
UNNAMED = "s"
"""What the name of a secret's unfinished upload begins with; the next session removes it."""


class Session(Protocol):
    """What the shell's session gives to those who carry files."""

    def run(self, text: str, *, timeout: float = 30.0) -> Result:
        """Run sh `text`; see `Shell.run`."""
        ...

    def files(self) -> Files:
        """Return what speaks with the target's helpers for files, now."""
        ...

    def through_cuts(self, work: Callable[[], T]) -> T:
        """Do `work`, once more after every cut of the line."""
        ...


# --- to the target --------------------------------------------------------------------------------


def send(session: Session, path: str, data: bytes | Secret, mode: int, done: Done) -> None:
    """Write `data` into the file `path` of the target with `mode`; see `ShellSession.upload`."""
    raw = data.reveal() if isinstance(data, Secret) else data
    mask = repr(data) if isinstance(data, Secret) else None
    # A name that follows from a secret would tell something of it.
    known = hashlib.sha256(path.encode() + b"\0" + raw).hexdigest()
    name = UNNAMED + secrets.token_hex(4) if mask else known[:8]

    def move() -> None:
        at = _begun(session, name, raw)
        done(at, len(raw))
        session.files().store(name, raw, at, secret=mask, done=lambda size: done(size, len(raw)))

    try:
        session.through_cuts(move)
        _put(session, name, path, mode, Sum(len(raw), cksum(raw)))
    except BaseException:
        if mask:
            session.run(f'rm -f "$_h/up-{name}"')
        raise


def _begun(session: Session, name: str, raw: bytes) -> int:
    """Return how much of `raw` lies there already; what is something else is thrown away."""
    said = session.run(f'cksum < "$_h/up-{name}" 2>/dev/null').text.split()
    if len(said) >= 2 and all(field.isdigit() for field in said[:2]):
        crc, size = int(said[0]), int(said[1])
        if size <= len(raw) and cksum(raw[:size]) == crc:
            return size
    session.run(f': > "$_h/up-{name}"')
    return 0


def _put(session: Session, name: str, path: str, mode: int, total: Sum) -> None:
    where = shlex.quote(path)
    result = session.run(
        f'rm -f {where} && ( umask 077; cat "$_h/up-{name}" > {where} ) && '
        f'chmod {mode:o} {where} && cksum < {where}; s=$?; rm -f "$_h/up-{name}"; exit $s',
        timeout=120,
    )
    if result.status or result.text.split()[:2] != [str(total.crc), str(total.size)]:
        raise Refused(f"Cannot write {path} on the target: {result.both}", "Is there room in /tmp?")


# --- from the target ------------------------------------------------------------------------------


def fetch(session: Session, path: str, to: Path, done: Done) -> None:
    """Fetch the file `path` of the target into `to`; see `ShellSession.download`."""
    part = to.with_name(to.name + ".part")
    total = _measure(session, path)

    def move() -> None:
        skip = _kept(session, part) // BLOCK
        with _opened(part, skip * BLOCK) as stream:
            passed = skip * BLOCK
            done(passed, total.size)

            def sink(data: bytes) -> None:
                nonlocal passed
                stream.write(data)
                stream.flush()
                passed += len(data)
                done(passed, total.size)

            session.files().fetch("d", total, sink, skip)
            os.fsync(stream.fileno())

    session.through_cuts(move)
    if _sum(part) != total:
        part.unlink()
        raise NoAnswer(
            f"What arrived of {path} is not what the target has: it changed meanwhile, perhaps.",
            "Fetch it again.",
        )
    part.replace(to)


def _measure(session: Session, path: str) -> Sum:
    where = shlex.quote(path if path.startswith("/") else f"./{path}")
    result = session.run(
        f'[ -f {where} ] || {{ echo "not a file"; exit 1; }}\n'
        f'rm -f "$_h/d"; case {where} in /*) f={where};; *) f=$PWD/{where};; esac\n'
        'ln -s "$f" "$_h/d" && cksum < "$_h/d"',
        timeout=300,
    )
    match = re.match(r"(\d+)\s+(\d+)", result.text)
    if result.status or not match:
        raise Refused(f"Cannot read {path} on the target: {result.both}", "Check its name.")
    return Sum(int(match[2]), int(match[1]))


def _kept(session: Session, part: Path) -> int:
    """Return how many bytes of an earlier `part` are the file's beginning, in whole blocks."""
    size = part.stat().st_size // BLOCK * BLOCK if part.exists() else 0
    if not size:
        return 0
    blocks = size // BLOCK
    text = f'dd if="$_h/d" bs={BLOCK} count={blocks} 2>/dev/null | cksum'
    said = session.run(text, timeout=300).text.split()
    here = _sum(part, size)
    return size if said[:2] == [str(here.crc), str(here.size)] else 0


def _opened(part: Path, size: int) -> BinaryIO:
    """Return `part`, made private where it is new, cut to `size` and standing at its end."""
    stream = os.fdopen(os.open(part, os.O_RDWR | os.O_CREAT, 0o600), "r+b")
    stream.truncate(size)
    stream.seek(size)
    return stream


def _sum(path: Path, limit: int | None = None) -> Sum:
    whole = Cksum()
    left = limit if limit is not None else path.stat().st_size
    with path.open("rb") as stream:
        while left > 0 and (data := stream.read(min(left, 1 << 20))):
            whole.feed(data)
            left -= len(data)
    return Sum(whole.size, whole.value())
