"""sshd(8): which OpenSSH is installed, a strict configuration for it, and its start and stop.

Everything is admitted by certificates alone. What a release does not know is never written; the
versions in which a name came are those of OpenSSH's release notes.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from . import sh
from .errors import Diagnosis, ParseError, diagnose, rule

TOOL = "sshd"
PROGRAM = "/usr/sbin/sshd"
MAIN = "/etc/ssh/sshd_config"
HOST_KEY = "/etc/ssh/ssh_host_ed25519_key"
DIRECTORY = "/etc/ssh/zrwizard"
ALIVE_SECONDS = 15
ALIVE_COUNT = 3
"""A dead line is noticed after ALIVE_SECONDS times ALIVE_COUNT, within a minute."""

_VERSION = re.compile(r"OpenSSH_(\d{1,3})\.(\d{1,3})", re.ASCII)
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*", re.ASCII)
_USER = re.compile(r"[a-z_][a-z0-9_-]*", re.ASCII)
_PATH = re.compile(r"/[A-Za-z0-9._/-]+", re.ASCII)


@dataclass(frozen=True, slots=True)
class Version:
    """An OpenSSH: `text` is how it calls itself, for people (`OpenSSH_9.5p1`)."""

    major: int
    minor: int
    text: str

    def since(self, major: int, minor: int) -> bool:
        """Whether it is `major`.`minor` or newer."""
        return (self.major, self.minor) >= (major, minor)


def version() -> str:
    """Command: what the installed OpenSSH calls itself; sshd is of the same build."""
    return f"{sh.command('ssh', '-V')} 2>&1"


def parse_version(output: str) -> Version:
    """The version that `ssh -V` printed, whatever stands around it. Raises ParseError."""
    found = _VERSION.search(output)
    if found is None:
        raise ParseError("ssh -V", "not an OpenSSH version", output)
    text = re.split(r"[,\s]", output[found.start() :], maxsplit=1)[0]
    return Version(int(found[1]), int(found[2]), text)


def unusable(version: Version) -> Diagnosis | None:
    """Why this OpenSSH cannot serve, None where it can.

    Certificates of ed25519 keys, KRLs and AuthenticationMethods came with 6.2 to 6.5; the list of
    accepted key types, and host certificates that go with it, are dependable from 7.2 on.
    """
    if version.since(7, 2):
        return None
    return Diagnosis(
        "old openssh",
        f"{version.text} on the server is too old for what is needed here: at least OpenSSH 7.2.",
        "Update the server (freebsd-update, or a supported release), and start again.",
    )


# --- paths ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Paths:
    """Where the files of one set-up lie on the server."""

    directory: str
    ca: str
    certificate: str
    revoked: str
    config: str
    pid: str
    trial_pid: str


def paths(name: str) -> Paths:
    """The paths of the set-up called `name`. ValueError for what is no plain name."""
    if not _NAME.fullmatch(name):
        raise ValueError("a name holds letters, digits, dots, dashes and underscores")
    directory = f"{DIRECTORY}/{name}"
    return Paths(
        directory=directory,
        ca=f"{directory}/ca.pub",
        certificate=f"{directory}/host-cert.pub",
        revoked=f"{directory}/revoked",
        config=f"{directory}/sshd_config",
        pid=f"/var/run/sshd-zrwizard-{name}.pid",
        trial_pid=f"/var/run/sshd-zrwizard-{name}-trial.pid",
    )


# --- the configuration ------------------------------------------------------------------------


def config(
    version: Version,
    *,
    port: int,
    name: str,
    users: Sequence[str] = ("root",),
    host_key: str = HOST_KEY,
    pid_file: str | None = None,
) -> str:
    """The whole text of an sshd_config(5) for the set-up `name`, as this `version` knows it.

    Only certificates of its CA are admitted, for `users` (principals of the same name), and
    nothing can be forwarded. `pid_file` is for an extra sshd beside the system's own. ValueError
    for a port, a user or a path that cannot stand there.
    """
    if not 1 <= port <= 65535:
        raise ValueError("a port is a number from 1 to 65535")
    if not users or not all(_USER.fullmatch(user) for user in users):
        raise ValueError("a user name holds small letters, digits, dashes and underscores")
    for path in (host_key, *((pid_file,) if pid_file else ())):
        if not _PATH.fullmatch(path):
            raise ValueError("a path is absolute, without blanks")
    where = paths(name)
    sections = (
        _header(name, version),
        _endpoint(port, where, host_key, pid_file),
        _admission(version, where, users),
        _refusals(version),
        _patience(),
        _algorithms(version),
    )
    return "\n".join("".join(f"{row}\n" for row in rows) for rows in sections)


def _header(name: str, version: Version) -> list[str]:
    return [
        f"# The sshd of the backup server {name}, written by zrwizard for {version.text}.",
        "# Only certificates of its CA open it; a lost key is revoked in the RevokedKeys file.",
    ]


def _endpoint(port: int, where: Paths, host_key: str, pid_file: str | None) -> list[str]:
    return [
        f"Port {port}",
        f"HostKey {host_key}",
        f"HostCertificate {where.certificate}",
        *([f"PidFile {pid_file}"] if pid_file else []),
    ]


def _admission(version: Version, where: Paths, users: Sequence[str]) -> list[str]:
    interactive = (
        "KbdInteractiveAuthentication" if version.since(8, 7) else "ChallengeResponseAuthentication"
    )
    return [
        f"AllowUsers {' '.join(users)}",
        "PermitRootLogin prohibit-password",
        "AuthenticationMethods publickey",
        f"TrustedUserCAKeys {where.ca}",
        f"RevokedKeys {where.revoked}",
        "AuthorizedKeysFile none",
        "PubkeyAuthentication yes",
        "PasswordAuthentication no",
        f"{interactive} no",
        "UsePAM no",
        "StrictModes yes",
    ]


def _refusals(version: Version) -> list[str]:
    return [
        *(["DisableForwarding yes"] if version.since(7, 4) else []),
        "AllowTcpForwarding no",
        "AllowStreamLocalForwarding no",
        "AllowAgentForwarding no",
        "X11Forwarding no",
        "GatewayPorts no",
        "PermitTunnel no",
        "PermitUserRC no",
        "PermitUserEnvironment no",
        "UseDNS no",
    ]


def _patience() -> list[str]:
    return [
        f"ClientAliveInterval {ALIVE_SECONDS}",
        f"ClientAliveCountMax {ALIVE_COUNT}",
        "TCPKeepAlive yes",
        "LoginGraceTime 30",
        "MaxAuthTries 3",
        "MaxStartups 10:30:60",
    ]


_EXCHANGES = (
    ((9, 9), "mlkem768x25519-sha256"),
    ((9, 9), "sntrup761x25519-sha512"),
    ((8, 5), "sntrup761x25519-sha512@openssh.com"),
    ((7, 4), "curve25519-sha256"),
    ((6, 5), "curve25519-sha256@libssh.org"),
)
_CERTIFIED = "ssh-ed25519-cert-v01@openssh.com"


def _algorithms(version: Version) -> list[str]:
    exchanges = [name for since, name in _EXCHANGES if version.since(*since)]
    accepted = "PubkeyAcceptedAlgorithms" if version.since(8, 5) else "PubkeyAcceptedKeyTypes"
    ciphers = ("chacha20-poly1305@openssh.com", "aes256-gcm@openssh.com", "aes128-gcm@openssh.com")
    macs = ("hmac-sha2-512-etm@openssh.com", "hmac-sha2-256-etm@openssh.com")
    return [
        f"KexAlgorithms {','.join(exchanges)}",
        f"Ciphers {','.join(ciphers)}",
        f"MACs {','.join(macs)}",
        f"HostKeyAlgorithms {_CERTIFIED},ssh-ed25519",
        f"{accepted} {_CERTIFIED}",
        *(["CASignatureAlgorithms ssh-ed25519"] if version.since(7, 9) else []),
    ]


# --- commands ---------------------------------------------------------------------------------


def check(path: str) -> str:
    """Command: succeeds silently if sshd would start with the file, host certificate and all.

    `sshd -t` alone is content without the certificate, and only says that it could not load it.
    """
    tell = "printf '%s\\n' \"$o\" >&2; false"
    test = sh.command(PROGRAM, "-t", "-f", path)
    return f"if o=$({test} 2>&1); then case $o in *ertificate*) {tell} ;; esac; else {tell}; fi"


def effective(path: str) -> str:
    """Command: every setting that sshd would use with the file, one a line, in small letters."""
    return sh.command(PROGRAM, "-T", "-f", path)


def start(
    path: str, port: int | None = None, pid_file: str | None = None, log: str | None = None
) -> str:
    """Command: start an sshd of its own with this file; it goes to the background.

    `port` and `pid_file` count in place of the file's: so the very file is tried beside the sshd
    that it is to replace. That it could not listen is known only later (`comes_up`); the reason is
    in the file `log`, or else in the system's log.
    """
    argv = [PROGRAM, "-f", path]
    if port is not None:
        argv += ["-p", str(port)]
    if pid_file is not None:
        argv += ["-o", f"PidFile={pid_file}"]
    if log is not None:
        argv += ["-E", log]
    return sh.join(argv)


def running(pid_file: str) -> str:
    """Command: succeeds if the sshd with this pid file runs; it listens then."""
    look = f"{sh.command('pgrep', '-F', pid_file, 'sshd')} >/dev/null"
    return sh.all_of(sh.exists(pid_file), look)


def comes_up(pid_file: str, seconds: int = 10) -> str:
    """Command: succeeds as soon as the sshd with this pid file listens, fails after `seconds`."""
    return (
        f"n=0; until {running(pid_file)}; do "
        f'n=$((n + 1)); [ "$n" -le {seconds} ] || break; sleep 1; '
        f"done; {running(pid_file)}"
    )


def stop(pid_file: str) -> str:
    """Command: end the sshd with this pid file, and nothing else; well where none runs.

    Its sessions go on. The name is compared too: a pid in a left file may be another's by now.
    """
    kill = f"{sh.command('pkill', '-F', pid_file, 'sshd')} || [ $? -eq 1 ]"
    return f"if {sh.exists(pid_file)}; then {kill}; fi"


def restart() -> str:
    """Command: restart the system's own sshd with its file; sessions go on."""
    return sh.command("service", "sshd", "onerestart")


# --- revocation -------------------------------------------------------------------------------


def krl(name: str, spec: str, number: int | None = None) -> str:
    """Command: make the list of revoked keys anew from the file `spec`, and put it in at once.

    `spec` is of the form of ssh-keygen(1), KEY REVOCATION LISTS (`serial: 3`, `id: knox-login`);
    an empty file revokes nothing. `number` counts the list's versions.
    """
    where = paths(name)
    fresh = f"{where.revoked}.new"
    version = [] if number is None else ["-z", str(number)]
    return sh.all_of(
        sh.join(["ssh-keygen", "-q", "-k", "-f", fresh, "-s", where.ca, *version, spec]),
        sh.command("chmod", "644", fresh),
        sh.command("mv", fresh, where.revoked),
    )


def krl_admits(name: str, key: str) -> str:
    """Command: succeeds if the key or certificate in the file `key` is not revoked.

    It fails where the list cannot be read, too: sshd would admit nobody then.
    """
    return f"{sh.command('ssh-keygen', '-Q', '-f', paths(name).revoked, key)} >/dev/null"


# --- complaints -------------------------------------------------------------------------------

_RULES = (
    rule(
        "bad option",
        r"(?P<file>\S+?):? line (?P<line>\d+): Bad configuration option: (?P<what>\S+)",
        "sshd does not know {what} in line {line} of {file}.",
        "The old sshd still runs. Report it with the output of ssh -V.",
    ),
    rule(
        "bad value",
        r"(?P<file>\S+?):? line (?P<line>\d+): (?P<what>[^\n]*?)\.?$",
        "sshd refuses line {line} of {file}: {what}.",
        "The old sshd still runs. Report it with the output of ssh -V.",
    ),
    rule(
        "open to others",
        r"UNPROTECTED PRIVATE KEY FILE|bad permissions",
        "A private host key may be read by others, so sshd does not use it.",
        "Set its mode to 600 (chmod 600), and try again.",
    ),
    rule(
        "no host key",
        r"(?:no hostkeys available|Could not load host key|Unable to load host key)",
        "sshd has no host key that it can use.",
        "Make one with ssh-keygen -A on the server, and try again.",
    ),
    rule(
        "no certificate",
        r"(?:Could not load host certificate|Certificate file is not a certificate|"
        r"No matching private key for certificate)",
        "sshd cannot use its host certificate.",
        "Sign the server's host key again with the CA, and copy the certificate there.",
    ),
    rule(
        "port in use",
        r"Bind to port (?P<port>\d+) on \S+ failed: Address already in use",
        "Port {port} is in use on the server.",
        "Choose another one, or stop what listens there (sockstat -l).",
    ),
)


def explain(stderr: str) -> Diagnosis | None:
    """What a known complaint of sshd(8) means and what to do now; None for an unknown one."""
    return diagnose(_RULES, stderr)
