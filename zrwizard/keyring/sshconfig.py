"""The operator's ssh_config block and known_hosts for one server (ssh_config(5), sshd(8)).

They are files of our own, to be included: nothing of the operator's is written over.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets

from zrwizard.keyring import ca
from zrwizard.keyring.files import BUNDLE, KeyringError
from zrwizard.keyring.store import CA, HOST_KEY, KNOWN_HOSTS, SSH_CONFIG, USERS, Keyring, Record

_MARK = "@cert-authority"
_REVOKED = "@revoked"
_HASHED = re.compile(r"@cert-authority \|1\|(\S+)\|(\S+) (\S+ \S+)(?: .*)?")

_COMMON = """\
    HostName {host}
    Port {port}
    User {user}
    HostKeyAlias {name}
    IdentityFile {key}
    CertificateFile {certificate}
    IdentitiesOnly yes
    UserKnownHostsFile {known}
    GlobalKnownHostsFile /dev/null
    StrictHostKeyChecking yes
    UpdateHostKeys no
    VerifyHostKeyDNS no
    CheckHostIP no
    HostKeyAlgorithms ssh-ed25519-cert-v01@openssh.com
    PreferredAuthentications publickey
    KbdInteractiveAuthentication no
    PasswordAuthentication no
    ForwardAgent no
    ForwardX11 no
    PermitLocalCommand no
    ConnectTimeout 15
    ServerAliveInterval 15
    ServerAliveCountMax 4
"""
_LOGIN = """\
    ControlMaster auto
    ControlPath ~/.ssh/zr-%C
    ControlPersist 10m
"""
_SINGLE = """\
    BatchMode yes
    IdentityAgent none
    ControlMaster no
    ControlPath none
    RequestTTY no
"""


def alias(name: str, role: str) -> str:
    """Return the Host by which ssh reaches the server called `name` in `role`."""
    return name if role == "login" else f"{name}-{role}"


def config(keyring: Keyring) -> str:
    """Return the Host blocks of the three keys, by absolute paths; for `Include`.

    Certificates only, on both sides: a server that shows a bare key is not the one. Each stands
    alone, so that no `Host *` of the operator's own adds to it what it says here already.
    """
    record = keyring.record
    here = _plain(str(keyring.path(SSH_CONFIG)))
    blocks = [
        f"# {record.name}, a backup server: made by zrwizard, and made again by it. In your own\n"
        f'# ~/.ssh/config, at the top:   Include "{here}"\n'
    ]
    for role in USERS:
        common = _COMMON.format(
            host=record.host,
            port=record.port,
            user=record.user,
            name=record.name,
            key=_quoted(str(keyring.path(role))),
            certificate=_quoted(str(keyring.path(f"{role}-cert.pub"))),
            known=_quoted(str(keyring.path(KNOWN_HOSTS))),
        )
        special = _LOGIN if role == "login" else _SINGLE
        blocks.append(f"Host {alias(record.name, role)}\n{common}{special}")
    return "\n".join(blocks)


def hosts(record: Record) -> tuple[str, ...]:
    """Return the names under which known_hosts knows the server.

    ssh looks for the name itself (HostKeyAlias, at any port); the others are for an ssh without
    our config: the host at port 22, else `[host]:port`.
    """
    there = record.host if record.port == 22 else f"[{record.host}]:{record.port}"
    return tuple(dict.fromkeys((record.name, record.host, there)))


def known_hosts(keyring: Keyring) -> str:
    """Return known_hosts: the CA as the authority for each name, which is hashed.

    Names are hashed with a salt of their own, as `ssh-keygen -H` does; what is in the file already
    and still says the same is kept, so that nothing changes without a reason.
    """
    key = " ".join(keyring.text(f"{CA}.pub").split()[:2])
    old = keyring.text(KNOWN_HOSTS).splitlines() if keyring.has(KNOWN_HOSTS) else []
    rows = []
    for host in hosts(keyring.record):
        kept = next((row for row in old if matches(row, host, key)), None)
        rows.append(kept or f"{_MARK} {hashed(host, secrets.token_bytes(20))} {key}")
    rows += [row for row in old if row.startswith(f"{_REVOKED} ")]
    if (row := _revoked(keyring)) and row not in rows:
        rows.append(row)
    return "\n".join(rows) + "\n"


def _revoked(keyring: Keyring) -> str:
    """Return the line against the present host key where its certificate was revoked, or nothing.

    The server's list of revoked keys is for those who log in: it is ssh that must refuse a host.
    """
    if not keyring.has(HOST_KEY):
        return ""
    line = keyring.text(HOST_KEY)
    try:
        print_ = ca.fingerprint(ca.open_public(line))
    except ca.KeyFormatError as error:
        raise KeyringError(f"{keyring.path(HOST_KEY)} is no key: {error}.", BUNDLE) from None
    hit = any(one.fingerprint == print_ for one in keyring.record.revoked())
    return f"{_REVOKED} * {' '.join(line.split()[:2])}" if hit else ""


def hashed(host: str, salt: bytes) -> str:
    """Return `host` as it stands in a hashed known_hosts: HMAC-SHA1 under `salt` (20 bytes)."""
    digest = hmac.digest(salt, host.encode("ascii"), hashlib.sha1)
    return f"|1|{base64.b64encode(salt).decode()}|{base64.b64encode(digest).decode()}"


def matches(row: str, host: str, key: str) -> bool:
    """Whether a line of known_hosts makes `key` (kind and base64) an authority of `host`."""
    found = _HASHED.fullmatch(row)
    if not found or found[3] != key:
        return False
    try:
        salt = base64.b64decode(found[1], validate=True)
    except ValueError:
        return False
    return hashed(host, salt) == f"|1|{found[1]}|{found[2]}"


def write(keyring: Keyring) -> tuple[str, ...]:
    """Bring known_hosts and ssh_config into line with the record; return what was written.

    Raises `KeyringError`.
    """
    try:
        ca.open_public(keyring.text(f"{CA}.pub"))
    except ca.KeyFormatError as error:
        raise KeyringError(f"{keyring.path(f'{CA}.pub')} is no key: {error}.", BUNDLE) from None
    changed = []
    for file, text in ((KNOWN_HOSTS, known_hosts(keyring)), (SSH_CONFIG, config(keyring))):
        data = text.encode()
        if not keyring.has(file) or keyring.read(file) != data:
            keyring.write(file, data)
            changed.append(file)
    return tuple(changed)


def is_host(host: str) -> bool:
    """Whether `host` is a host name or an address that can stand in these files as it is."""
    return re.fullmatch(r"[A-Za-z0-9_](?:[A-Za-z0-9._:-]{0,252}[A-Za-z0-9_])?", host) is not None


def _plain(path: str) -> str:
    """Return `path`; `KeyringError` where ssh_config(5) cannot say it."""
    if any(odd in path for odd in ('"', "\n", "${", "\\")):
        raise KeyringError(
            f"The directory {path!r} has a name that ssh_config cannot say.",
            "Set XDG_DATA_HOME to a place with a plainer name.",
        )
    return path


def _quoted(path: str) -> str:
    """Return a path as ssh_config(5) reads it: in quotes, with `%` doubled against its tokens."""
    return '"' + _plain(path).replace("%", "%%") + '"'
