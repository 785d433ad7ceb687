"""How what was issued or revoked gets to the server: two commands over ssh, to type or to run."""

from __future__ import annotations

from dataclasses import dataclass

from zrwizard.freebsd import sh, sshd
from zrwizard.keyring.dial import Dial
from zrwizard.keyring.files import KeyringError
from zrwizard.keyring.sshconfig import alias
from zrwizard.keyring.store import HOST_CERTIFICATE, PLAIN, REVOKED, SSH_CONFIG, Keyring


@dataclass(frozen=True, slots=True)
class Installation:
    """`file`, beside the keys, is written to the server by `put`; `then` puts it in force."""

    file: str
    put: str
    then: str


def revocation(keyring: Keyring) -> Installation:
    """Return how `revoked.spec` becomes the server's list; sshd reads that at every login."""
    where = sshd.paths(keyring.name)
    spec = f"{where.directory}/{REVOKED}"
    return Installation(REVOKED, _put(spec), sshd.krl(keyring.name, spec))


def certificate(keyring: Keyring) -> Installation:
    """Return how a new host certificate comes into force: the server's sshd reads it once only."""
    where = sshd.paths(keyring.name)
    again = sshd.restart()
    if keyring.record.shape == PLAIN:
        again = sh.command("pkill", "-HUP", "-F", where.pid, "sshd")
    return Installation(HOST_CERTIFICATE, _put(where.certificate), again)


def by_hand(keyring: Keyring, installation: Installation) -> tuple[str, str]:
    """Return the two commands as they are typed on this machine."""
    ssh = ["ssh", "-F", str(keyring.path(SSH_CONFIG)), alias(keyring.name, "login")]
    file = str(keyring.path(installation.file))
    return (
        sh.input_from(sh.on_host(ssh, installation.put), file),
        sh.on_host(ssh, installation.then),
    )


def perform(keyring: Keyring, installation: Installation, dial: Dial) -> None:
    """Do both over ssh. Raises `KeyringError` where the server refuses, and `DialError`."""
    data, port = keyring.read(installation.file), keyring.record.port
    for command, stdin in ((installation.put, data), (installation.then, b"")):
        reply = dial.run("login", command, port, stdin=stdin)
        if reply.status != 0:
            said = " ".join(reply.err.split())[:300]
            raise KeyringError(
                f"On {keyring.name}, “{command}” ended with status {reply.status}: {said}",
                "The keyring itself is right. Mend that, and do the same again.",
            )


def _put(path: str) -> str:
    """Command: write standard input to `path`, at once."""
    fresh = f"{path}.new"
    return sh.all_of(
        sh.output_to(sh.command("cat"), fresh),
        sh.command("chmod", "644", fresh),
        sh.command("mv", fresh, path),
    )
