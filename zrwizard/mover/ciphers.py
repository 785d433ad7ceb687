"""Which cipher of ssh(1) is the faster one on this link, by measurement.

`ciphers.sh` runs on the mover's machine with the mover's settings. Each measurement needs a
connection of its own, because a connection keeps its cipher: so only a key's login can be measured,
and with a password ssh's own order stays. Nothing is guessed then: `openssl speed` measures
OpenSSL's chacha20-poly1305 while ssh has one of its own, and the other side, which may be the slow
one, cannot be asked before the login.

Bytes are measured from there to here only: to encrypt and to decrypt costs the same, and the side
that needs longer sets the rate either way.
"""

from __future__ import annotations

from collections import defaultdict
from importlib import resources

from zrwizard.freebsd import text
from zrwizard.freebsd.errors import ParseError

SCRIPT = resources.files(__package__).joinpath("ciphers.sh").read_text(encoding="utf-8")
"""POSIX sh for FreeBSD's base system, called as `sh ciphers.sh DIR` with the mover's directory."""
SECONDS = 4 * (15 + 3)
"""How long it takes at most: four logins and measurements; about 7 where logins are quick."""

CIPHERS = ("aes128-gcm@openssh.com", "chacha20-poly1305@openssh.com")
_TOOL = "ciphers.sh"
_CLEAR = 1.1
_ROUNDS = 2


def choose(output: str) -> str | None:
    """Return the cipher that is clearly faster, or None: ssh's own order stays.

    Clearly means that its slowest measurement is at least a tenth above the other's fastest, and
    that both were measured twice. Raises ParseError for what the script does not print.
    """
    rates: dict[str, list[float]] = defaultdict(list)
    for line in text.lines(output):
        cipher, rate = _measured(line)
        rates[cipher].append(rate)
    if any(len(rates[cipher]) != _ROUNDS for cipher in CIPHERS):
        return None
    slow, fast = sorted(CIPHERS, key=lambda cipher: min(rates[cipher]))
    return fast if min(rates[fast]) >= _CLEAR * max(rates[slow]) else None


def option(cipher: str) -> str:
    """Return the value of `Ciphers` in ssh_config(5): that one first, the others behind it.

    OpenSSH knows the caret since 8.0. An older one takes no measurement with it either, so that
    `choose` names none. Raises ValueError for a cipher that is not among those measured.
    """
    if cipher not in CIPHERS:
        raise ValueError(f"not a cipher that is measured: {cipher!r}")
    return f"^{cipher}"


def _measured(line: str) -> tuple[str, float]:
    """The cipher of one line, and its bytes a second."""
    match line.split(" "):
        case [cipher, count, seconds] if cipher in CIPHERS:
            taken = _seconds(seconds)
            return cipher, text.whole(_TOOL, "the bytes", count) / taken
        case _:
            raise ParseError(_TOOL, "not a measurement", line)


def _seconds(cell: str) -> float:
    whole, _, part = cell.partition(".")
    number = text.whole(_TOOL, "the seconds", whole)
    number += text.whole(_TOOL, "the seconds", part) / 10 ** len(part) if part else 0
    # dd(1) of busybox rounds a moment to nought.
    return max(number, 0.001)
