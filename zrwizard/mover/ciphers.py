"""Which cipher of ssh(1) is the faster one on this link, by measurement.

`measure.sh DIR ciphers` runs on the mover's machine with the mover's settings. Each measurement
needs a connection of its own, because a connection keeps its cipher: so only a key's login can be
measured, and with a password ssh's own order stays. Nothing is guessed then: `openssl speed`
measures OpenSSL's chacha20-poly1305 while ssh has one of its own, and the other side, which may be
the slow one, cannot be asked before the login.

Bytes are measured from there to here only: to encrypt and to decrypt costs the same, and the side
that needs longer sets the rate either way.
"""

from __future__ import annotations

from zrwizard.freebsd.errors import ParseError
from zrwizard.mover import measure

CIPHERS = ("aes128-gcm@openssh.com", "chacha20-poly1305@openssh.com")
_CLEAR = 1.1
_ROUNDS = 2


def choose(output: str) -> str | None:
    """Return the cipher that is clearly faster, or None: ssh's own order stays.

    Clearly means that its slowest measurement is at least a tenth above the other's fastest, and
    that both were measured twice. Raises ParseError for what the script does not print.
    """
    found = measure.rows(output)
    if set(found) - set(CIPHERS):
        raise ParseError("measure.sh", "not a measurement of ciphers", output)
    rates = {
        cipher: [count / seconds for count, seconds in measured]
        for cipher, measured in found.items()
        if len(measured) == _ROUNDS
    }
    if len(rates) < len(CIPHERS):
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
