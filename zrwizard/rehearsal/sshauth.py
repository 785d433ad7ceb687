"""Would a simulated sshd let this key in? As a real one decides, by certificates and its file."""

from __future__ import annotations

import base64
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from zrwizard.rehearsal.cmd_sshd import revoked
from zrwizard.rehearsal.daemonfiles import read
from zrwizard.rehearsal.sshdstate import Sshd, log
from zrwizard.rehearsal.sshstate import read_private_key

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.serialization.ssh import SSHCertificate

    from zrwizard.rehearsal.machine import Machine

DENIED = "root@{host}: Permission denied (publickey).\r\n"


class Refused(Exception):
    """ssh gets no session; the text is what it says on standard error before it ends with 255."""


@dataclass(frozen=True, slots=True)
class Admitted:
    """A session: as whom, by which sshd, with which forced command and which extensions."""

    sshd: Sshd
    user: str
    key_id: str
    forced: str
    extensions: frozenset[str]


@dataclass(frozen=True, slots=True)
class Client:
    """The operator's side: its directory of keys, the host and the port as they were asked for."""

    directory: Path
    host: str
    port: int
    user: str = "root"

    def clock(self) -> float:
        """The operator's own clock."""
        return time.time()


def _certificate(data: bytes) -> SSHCertificate | None:
    """An OpenSSH certificate, read by cryptography's own loader; None where it is none."""
    from cryptography.hazmat.primitives.serialization import ssh  # noqa: PLC0415 - loads slowly

    try:
        found = ssh.load_ssh_public_identity(data)
    except Exception:  # its own errors are of many kinds
        return None
    return found if isinstance(found, ssh.SSHCertificate) else None


def _blob(line: bytes) -> bytes:
    """The key inside a public line; empty where there is none."""
    try:
        return base64.b64decode(line.split()[1], validate=True)
    except (IndexError, ValueError):
        return b""


def _raw(key: object) -> bytes:
    """A public key of cryptography's as an OpenSSH blob."""
    from cryptography.hazmat.primitives import serialization as s  # noqa: PLC0415

    line = key.public_bytes(s.Encoding.OpenSSH, s.PublicFormat.OpenSSH)  # type: ignore[attr-defined]
    return _blob(line)


def _file(client: Client, name: str) -> bytes:
    try:
        return (client.directory / name).read_bytes()
    except OSError:
        return b""


def check_host(m: Machine, client: Client, sshd: Sshd) -> None:
    """ssh's own look at the server: a host certificate of the CA that known_hosts names."""
    known = _file(client, "known_hosts")
    wanted = {
        _blob(b" ".join(line.split()[2:4]))
        for line in known.splitlines()
        if line.startswith(b"@cert-authority ")
    }
    shown = sshd.certificate(m)
    certificate = _certificate(shown) if shown is not None else None
    if certificate is None:
        raise Refused(
            f"Unable to negotiate with {client.host} port {client.port}: no matching host key "
            "type found. Their offer: ssh-ed25519\r\n"
        )
    if _raw(certificate.signature_key()) not in wanted or not _signed(certificate):
        raise Refused(
            f"No ED25519-CERT host key is known for {client.host} and you have requested strict "
            "checking.\r\nHost key verification failed.\r\n"
        )
    name = client.directory.name.encode()
    problem = ""
    if certificate.type.name != "HOST":
        problem = "not a host certificate"
    elif client.clock() < certificate.valid_after:
        problem = "not yet valid"
    elif client.clock() >= certificate.valid_before:
        problem = "expired"
    elif name not in certificate.valid_principals and certificate.valid_principals:
        problem = "name is not a listed principal"
    if problem:
        raise Refused(f"Certificate invalid: {problem}\r\nHost key verification failed.\r\n")


def _signed(certificate: SSHCertificate) -> bool:
    from cryptography.exceptions import InvalidSignature  # noqa: PLC0415

    try:
        certificate.verify_cert_signature()
    except InvalidSignature:
        return False
    return True


def check_key(m: Machine, client: Client, sshd: Sshd, who: str) -> Admitted:
    """sshd's look at the key of `who`; what it logs says why it refuses."""
    denied = Refused(DENIED.format(host=client.host))
    certificate = _certificate(_file(client, f"{who}-cert.pub"))
    owned = read_private_key(_file(client, who).decode("ascii", "replace"))
    if certificate is None or owned is None or _raw(certificate.public_key()) != owned[0]:
        raise denied
    reason = _why_not(m, client, sshd, certificate)
    if reason:
        log(m, sshd.pid, reason)
        log(m, sshd.pid, f"Connection closed by authenticating user {client.user} [preauth]")
        raise denied
    options = certificate.critical_options
    key_id = certificate.key_id.decode("utf-8", "replace")
    log(
        m,
        sshd.pid,
        f"Accepted publickey for {client.user} ssh2: ED25519-CERT ID {key_id} "
        f"(serial {certificate.serial})",
    )
    return Admitted(
        sshd,
        client.user,
        key_id,
        options.get(b"force-command", b"").decode("utf-8", "replace"),
        frozenset(name.decode("ascii", "replace") for name in certificate.extensions),
    )


def _why_not(m: Machine, client: Client, sshd: Sshd, certificate: SSHCertificate) -> str:
    """The reason in sshd's log for refusing a certificate; empty where it is good."""
    config, user = sshd.config, client.user
    allowed = config.all("allowusers")
    if allowed and user not in allowed:
        return f"User {user} from 192.168.7.2 not allowed because not listed in AllowUsers"
    if config.one("permitrootlogin") not in ("yes", "prohibit-password", "without-password") and (
        user == "root" and not certificate.critical_options.get(b"force-command")
    ):
        return f"ROOT LOGIN REFUSED FROM 192.168.7.2 port {client.port}"
    if not config.yes("pubkeyauthentication"):
        return "Public key authentication is switched off"
    trusted = read(m, config.one("trustedusercakeys")) or b""
    authority = _raw(certificate.signature_key())
    if authority not in {_blob(line) for line in trusted.splitlines()}:
        return "Certificate signed by an authority that is not trusted"
    if not _signed(certificate):
        return "Certificate invalid: its signature does not fit"
    if certificate.type.name != "USER":
        return "Certificate invalid: not a user certificate"
    if m.now() < certificate.valid_after:
        return "Certificate invalid: not yet valid"
    if m.now() >= certificate.valid_before:
        return "Certificate invalid: expired"
    if user.encode() not in certificate.valid_principals:
        return "Certificate invalid: name is not a listed principal"
    if set(certificate.critical_options) - {
        b"force-command",
        b"source-address",
        b"verify-required",
    }:
        return "Certificate invalid: unsupported critical option"
    return _revoked(m, config.one("revokedkeys"), certificate)


def _revoked(m: Machine, path: str, certificate: SSHCertificate) -> str:
    """RevokedKeys: a list that cannot be read refuses everybody."""
    if path == "none":
        return ""
    data = read(m, path)
    if data is None:
        return f"Error checking authentication key against revoked keys file {path}"
    if not data:
        return ""
    known = revoked(data)
    if known is None:
        lines = {_blob(line) for line in data.splitlines()}
        return "key is revoked" if _raw(certificate.public_key()) in lines else ""
    if certificate.serial in known[0] or certificate.key_id in known[1]:
        return f"Authentication key revoked by file {path}"
    return ""


def admit(m: Machine, client: Client, who: str) -> Admitted:
    """Connect, look at each other, authenticate; `Refused` in ssh's words."""
    if client.host not in m.addresses:
        raise Refused(
            f"ssh: Could not resolve hostname {client.host}: Name or service not known\r\n"
        )
    head = f"ssh: connect to host {client.host} port {client.port}: "
    if m.cable_cut:
        raise Refused(f"{head}Operation timed out\r\n")
    sshd = next((s for s in m.sshds if client.port in s.ports), None)
    if sshd is None:
        raise Refused(
            "kex_exchange_identification: Connection closed by remote host\r\n"
            if client.port in m.listening
            else f"{head}Connection refused\r\n"
        )
    check_host(m, client, sshd)
    return check_key(m, client, sshd, who)


def loot(admitted: Admitted, who: str, forced_answers: bool) -> tuple[str, ...]:
    """What a thief of the key could do besides its purpose, by certificate and configuration.

    `forced_answers`: the forced command is a program that takes one request and nothing else.
    """
    config, free = admitted.sshd.config, admitted.extensions
    shut = config.yes("disableforwarding")
    head = f"With the key “{who}” one can"
    found = []
    if not admitted.forced:
        found.append(f"{head} run any command.")
    elif not forced_answers:
        found.append(f"{head} run {admitted.forced}, which is not the receiver.")
    if "permit-pty" in free and config.yes("permittty"):
        found.append(f"{head} have a terminal (pty).")
    if "permit-port-forwarding" in free and not shut and config.one("allowtcpforwarding") != "no":
        found.append(f"{head} forward ports.")
    if "permit-agent-forwarding" in free and not shut and config.yes("allowagentforwarding"):
        found.append(f"{head} forward an agent.")
    if "permit-X11-forwarding" in free and not shut and config.yes("x11forwarding"):
        found.append(f"{head} forward X11.")
    if "permit-user-rc" in free and config.yes("permituserrc"):
        found.append(f"{head} have ~/.ssh/rc run.")
    return tuple(found)
