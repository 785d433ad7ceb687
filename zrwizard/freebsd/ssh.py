"""ssh(1): configuration, host keys and commands. Prompts and failures: see `ssh_dialogue`."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from dataclasses import dataclass

from . import sh, text
from .errors import ParseError

ALIAS = "backup"
# sun_path of FreeBSD, and ssh adds a random suffix of 17 characters while it makes the socket.
_SOCKET_PATH = 104 - 17 - 1
_FINGERPRINT = re.compile(r"(?:SHA256:)?([A-Za-z0-9+/]{43})=?", re.ASCII)
_KEYGEN = re.compile(r"(\d{1,6}) (SHA256:[A-Za-z0-9+/]{43}) (.*) \(([A-Za-z0-9-]+)\)", re.ASCII)
_UNSAFE = re.compile(r"[\x00-\x1f\x7f\"'\\]")


@dataclass(frozen=True, slots=True)
class HostKey:
    """A host key as ssh-keyscan prints it: `type` (ssh-ed25519 …) and the key in base64."""

    host: str
    type: str
    blob: str

    @property
    def fingerprint(self) -> str:
        """`SHA256:…` over the key, without padding, as OpenSSH shows it."""
        digest = hashlib.sha256(base64.b64decode(self.blob)).digest()
        return "SHA256:" + base64.b64encode(digest).decode("ascii").rstrip("=")

    @property
    def short_type(self) -> str:
        """The word that ssh uses in its sentences: ED25519, ECDSA, RSA."""
        return self.type.removeprefix("ssh-").removeprefix("sk-").split("-")[0].upper()


@dataclass(frozen=True, slots=True)
class Keygen:
    """A line of `ssh-keygen -lf`."""

    bits: int
    fingerprint: str
    comment: str
    type: str


@dataclass(frozen=True, slots=True)
class Session:
    """Where to log in, and the private directory that holds everything about it.

    `identity` says whether a private key was put into the directory; else it is a password.
    """

    host: str
    port: int
    user: str
    directory: str
    identity: bool = False

    @property
    def config_path(self) -> str:
        """The ssh_config(5) file."""
        return f"{self.directory}/ssh_config"

    @property
    def known_hosts_path(self) -> str:
        """The only file with host keys that counts."""
        return f"{self.directory}/known_hosts"

    @property
    def socket_path(self) -> str:
        """The socket of the master connection."""
        return f"{self.directory}/cm"

    @property
    def identity_path(self) -> str:
        """The private key, mode 600, removed at the end."""
        return f"{self.directory}/id"


def config(session: Session) -> str:
    """The text of `session.config_path`: one host called `ALIAS`, all state in the directory.

    ValueError where a value cannot stand in ssh_config(5) or the socket's path is too long
    (104 bytes on FreeBSD, facts E).
    """
    if len(session.socket_path.encode()) > _SOCKET_PATH:
        raise ValueError(f"the path of the ssh socket is too long: {session.socket_path}")
    if not 0 < session.port < 65536:
        raise ValueError(f"not a TCP port: {session.port}")
    if "%" in session.user:
        raise ValueError(f"not a user name: {session.user!r}")
    options = {
        "HostName": session.host,
        "Port": str(session.port),
        "User": session.user,
        "ControlPath": session.socket_path,
        "UserKnownHostsFile": session.known_hosts_path,
        "GlobalKnownHostsFile": "/dev/null",
        "StrictHostKeyChecking": "yes",
        "CheckHostIP": "no",
        # Without it a server could add further keys to the file that was confirmed.
        "UpdateHostKeys": "no",
        "VerifyHostKeyDNS": "no",
        "ConnectTimeout": "10",
        "ServerAliveInterval": "15",
        "ServerAliveCountMax": "4",
        "NumberOfPasswordPrompts": "3",
        "ForwardAgent": "no",
        "ForwardX11": "no",
        "EscapeChar": "none",
    }
    if session.identity:
        options |= {"IdentityFile": session.identity_path, "IdentitiesOnly": "yes"}
    else:
        options |= {"PubkeyAuthentication": "no"}
    rows = [f"Host {ALIAS}"] + [f"    {key} {_value(value)}" for key, value in options.items()]
    return "\n".join(rows) + "\n"


def _value(value: str) -> str:
    """A value of ssh_config(5), where `%` starts a token and blanks need double quotes."""
    if not value or value.startswith("-") or _UNSAFE.search(value):
        raise ValueError(f"this cannot stand in an ssh configuration: {value!r}")
    escaped = value.replace("%", "%%")
    return f'"{escaped}"' if re.search(r"[\s#=]", escaped) else escaped


# --- commands ---------------------------------------------------------------------------------


def words(session: Session) -> list[str]:
    """The words with which each command of the session begins; its host is `ALIAS`."""
    return ["ssh", "-F", session.config_path]


def login(session: Session) -> str:
    """Command for the terminal: ask for what is needed, then stay as master in the background."""
    return sh.join([*words(session), "-o", "ControlMaster=yes", "-fN", ALIAS])


def check(session: Session) -> str:
    """Command: succeeds while the master connection lives."""
    return sh.join([*words(session), "-O", "check", ALIAS])


def logout(session: Session) -> str:
    """Command: end the master connection."""
    return sh.join([*words(session), "-O", "exit", ALIAS])


def run(session: Session, command_text: str) -> str:
    """Command: run a command on the server over the master connection, never asking anything.

    Its status is the remote one, 255 where ssh itself failed. Keep to one simple command: root's
    login shell on 13 is csh, which reads quoted words alike but no redirection of errors.
    """
    return sh.on_host([*words(session), "-o", "BatchMode=yes", ALIAS], command_text)


def scan(host: str, port: int, seconds: int = 10) -> str:
    """Command: the server's host keys, unverified."""
    return sh.command("ssh-keyscan", "-T", str(seconds), "-p", str(port), host)


def fingerprints(path: str) -> str:
    """Command: the fingerprints of the keys in a file."""
    return sh.command("ssh-keygen", "-lf", path)


# --- host keys --------------------------------------------------------------------------------


def parse_scan(output: str) -> tuple[HostKey, ...]:
    """The keys of `ssh-keyscan`, comments skipped; none where nobody answered.

    Raises ParseError for a line that is no key, and for a key whose inside names another type.
    """
    found: list[HostKey] = []
    for line in text.lines(output):
        if line.startswith("#"):
            continue
        words = line.split()
        if len(words) < 3 or not _is_key(words[1], words[2]):
            raise ParseError("ssh-keyscan", "not a host key", line)
        key = HostKey(words[0], words[1], words[2])
        if key not in found:
            found.append(key)
    return tuple(found)


def _is_key(type_name: str, blob: str) -> bool:
    try:
        raw = base64.b64decode(blob.encode("ascii"), validate=True)
    except (binascii.Error, UnicodeEncodeError):
        return False
    length = int.from_bytes(raw[:4], "big")
    return len(raw) > 4 + length and raw[4 : 4 + length] == type_name.encode()


def parse_fingerprints(output: str) -> tuple[Keygen, ...]:
    """The lines of `ssh-keygen -lf`. Raises ParseError."""
    found: list[Keygen] = []
    for line in text.lines(output):
        row = _KEYGEN.fullmatch(line.strip())
        if not row:
            raise ParseError("ssh-keygen -l", "not a fingerprint", line)
        found.append(Keygen(int(row[1]), row[2], row[3], row[4]))
    return tuple(found)


def normal_fingerprint(typed: str) -> str:
    """A fingerprint as a person gives it (with or without `SHA256:` and `=`) in OpenSSH's form.

    Raises ParseError.
    """
    found = _FINGERPRINT.fullmatch(typed.strip())
    if not found:
        raise ParseError("host key", "not a fingerprint such as SHA256:…", typed)
    return "SHA256:" + found[1]


def matching(keys: tuple[HostKey, ...], fingerprint: str) -> tuple[HostKey, ...]:
    """The keys with that fingerprint. Raises ParseError where it is none."""
    wanted = normal_fingerprint(fingerprint)
    return tuple(key for key in keys if hmac.compare_digest(key.fingerprint, wanted))


def preferred(keys: tuple[HostKey, ...]) -> HostKey | None:
    """The key that ssh would choose to show: Ed25519, then ECDSA, then RSA; None of no keys."""
    order = {"ED25519": 0, "ECDSA": 1, "RSA": 2}
    return min(keys, key=lambda key: order.get(key.short_type, 3), default=None)


def known_hosts(keys: tuple[HostKey, ...], host: str, port: int) -> str:
    """The text of `Session.known_hosts_path` that trusts exactly `keys` for that server."""
    name = host if port == 22 else f"[{host}]:{port}"
    return "".join(f"{name} {key.type} {key.blob}\n" for key in keys)
