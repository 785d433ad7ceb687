"""sshd_config(5) as sshd reads it: keywords by release, values, and its complaints."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from zrwizard.rehearsal.errors import Fail
from zrwizard.rehearsal.sizes import words

Release = tuple[int, int]

KEYWORDS: dict[str, tuple[Release, Release | None]] = {
    # Since when a keyword is known, and since when no more.
    **dict.fromkeys(
        words("""
        acceptenv addressfamily allowagentforwarding allowgroups allowtcpforwarding allowusers
        authenticationmethods authorizedkeyscommand authorizedkeyscommanduser authorizedkeysfile
        authorizedprincipalsfile banner challengeresponseauthentication chrootdirectory ciphers
        clientalivecountmax clientaliveinterval compression denygroups denyusers forcecommand
        gatewayports hostbasedauthentication hostcertificate hostkey ignorerhosts
        ignoreuserknownhosts ipqos kbdinteractiveauthentication kerberosauthentication
        kexalgorithms listenaddress logingracetime loglevel macs match maxauthtries maxsessions
        maxstartups passwordauthentication permitemptypasswords permitopen permitrootlogin
        permittty permittunnel permituserenvironment permituserrc pidfile port printlastlog
        printmotd pubkeyauthentication rekeylimit revokedkeys strictmodes subsystem
        syslogfacility tcpkeepalive trustedusercakeys usedns usepam useblacklist versionaddendum
        x11displayoffset x11forwarding x11uselocalhost xauthlocation fingerprinthash
        streamlocalbindmask streamlocalbindunlink allowstreamlocalforwarding
        hostbasedacceptedkeytypes pubkeyacceptedkeytypes hostkeyalgorithms
        """),
        ((6, 2), None),
    ),
    "disableforwarding": ((7, 4), None),
    "exposeauthinfo": ((7, 6), None),
    "permitlisten": ((7, 8), None),
    "setenv": ((7, 8), None),
    "casignaturealgorithms": ((7, 9), None),
    "include": ((8, 2), None),
    "pubkeyauthoptions": ((8, 2), None),
    "securitykeyprovider": ((8, 2), None),
    "persourcemaxstartups": ((8, 5), None),
    "persourcenetblocksize": ((8, 5), None),
    "pubkeyacceptedalgorithms": ((8, 5), None),
    "hostbasedacceptedalgorithms": ((8, 5), None),
    "modulifile": ((8, 5), None),
    "requiredrsasize": ((9, 1), None),
    "channeltimeout": ((9, 2), None),
    "unusedconnectiontimeout": ((9, 2), None),
    "persourcepenalties": ((9, 8), None),
    "refuseconnection": ((9, 9), None),
    "useprivilegeseparation": ((6, 2), (7, 5)),
}
RENAMED = {
    "challengeresponseauthentication": "kbdinteractiveauthentication",
    "pubkeyacceptedkeytypes": "pubkeyacceptedalgorithms",
    "skeyauthentication": "kbdinteractiveauthentication",
}
YES_NO = frozenset(
    words("""
    pubkeyauthentication passwordauthentication kbdinteractiveauthentication strictmodes usepam
    usedns x11forwarding allowagentforwarding permituserrc permittty disableforwarding
    permitemptypasswords tcpkeepalive printmotd printlastlog useblacklist
    """)
)
CHOICES = {
    "permitrootlogin": words("yes no prohibit-password without-password forced-commands-only"),
    "allowtcpforwarding": words("yes no local remote all"),
    "allowstreamlocalforwarding": words("yes no local remote all"),
    "gatewayports": words("yes no clientspecified"),
    "permittunnel": words("yes no ethernet point-to-point"),
}
MANY = frozenset(("port", "hostkey", "hostcertificate", "allowusers", "denyusers", "listenaddress"))
DEFAULTS = {
    "port": "22",
    "permitrootlogin": "no",
    "pubkeyauthentication": "yes",
    "passwordauthentication": "no",
    "kbdinteractiveauthentication": "yes",
    "usepam": "yes",
    "usedns": "yes",
    "strictmodes": "yes",
    "allowtcpforwarding": "yes",
    "allowstreamlocalforwarding": "yes",
    "allowagentforwarding": "yes",
    "x11forwarding": "no",
    "disableforwarding": "no",
    "permittty": "yes",
    "permituserrc": "yes",
    "permittunnel": "no",
    "permituserenvironment": "no",
    "gatewayports": "no",
    "authorizedkeysfile": ".ssh/authorized_keys .ssh/authorized_keys2",
    "authenticationmethods": "any",
    "trustedusercakeys": "none",
    "revokedkeys": "none",
    "pidfile": "/var/run/sshd.pid",
    "logingracetime": "120",
    "maxauthtries": "6",
    "maxstartups": "10:30:100",
    "clientaliveinterval": "0",
    "clientalivecountmax": "3",
    "casignaturealgorithms": "ssh-ed25519,ecdsa-sha2-nistp256,rsa-sha2-512,rsa-sha2-256",
    "pubkeyacceptedalgorithms": "ssh-ed25519-cert-v01@openssh.com,ssh-ed25519,rsa-sha2-512",
    "hostkeyalgorithms": "ssh-ed25519-cert-v01@openssh.com,ssh-ed25519,rsa-sha2-512",
}
KEX: dict[str, Release] = {
    "diffie-hellman-group14-sha256": (7, 3),
    "diffie-hellman-group16-sha512": (7, 3),
    "diffie-hellman-group18-sha512": (7, 3),
    "ecdh-sha2-nistp256": (5, 7),
    "curve25519-sha256@libssh.org": (6, 5),
    "curve25519-sha256": (7, 4),
    "sntrup761x25519-sha512@openssh.com": (8, 5),
    "sntrup761x25519-sha512": (9, 9),
    "mlkem768x25519-sha256": (9, 9),
}
CIPHERS = frozenset(
    words("""
    chacha20-poly1305@openssh.com aes256-gcm@openssh.com aes128-gcm@openssh.com aes256-ctr
    aes192-ctr aes128-ctr
    """)
)
MACS = frozenset(
    words("""
    hmac-sha2-512-etm@openssh.com hmac-sha2-256-etm@openssh.com umac-128-etm@openssh.com
    hmac-sha2-512 hmac-sha2-256 umac-128@openssh.com
    """)
)
KEY_TYPES = frozenset(
    words("""
    ssh-ed25519 ssh-ed25519-cert-v01@openssh.com ecdsa-sha2-nistp256 rsa-sha2-256 rsa-sha2-512
    ecdsa-sha2-nistp256-cert-v01@openssh.com rsa-sha2-512-cert-v01@openssh.com
    sk-ssh-ed25519@openssh.com sk-ssh-ed25519-cert-v01@openssh.com ssh-rsa
    """)
)
SHOWN = (
    *("port", "addressfamily", "usepam", "logingracetime", "maxauthtries", "clientaliveinterval"),
    *("clientalivecountmax", "permitrootlogin", "pubkeyauthentication", "passwordauthentication"),
    *("kbdinteractiveauthentication", "x11forwarding", "permittty", "permituserrc", "strictmodes"),
    *("tcpkeepalive", "permituserenvironment", "usedns", "allowtcpforwarding"),
    *("allowagentforwarding", "disableforwarding", "allowstreamlocalforwarding", "pidfile"),
    *("ciphers", "macs", "kexalgorithms", "casignaturealgorithms", "pubkeyacceptedalgorithms"),
    *("authorizedkeysfile", "hostkeyalgorithms", "trustedusercakeys", "revokedkeys", "allowusers"),
    *("authenticationmethods", "maxstartups", "gatewayports", "permittunnel", "hostkey"),
    *("hostcertificate",),
)


@dataclass(slots=True)
class Config:
    """What a configuration file says: the first value of a keyword counts, some are lists."""

    values: dict[str, list[str]] = field(default_factory=dict)

    def one(self, key: str) -> str:
        """The value of `key`, or sshd's default."""
        return self.values.get(key, [DEFAULTS.get(key, "")])[0]

    def all(self, key: str) -> list[str]:
        """Every value of a keyword that can come more than once."""
        return self.values.get(key, [])

    def yes(self, key: str) -> bool:
        """Whether a switch is on."""
        return self.one(key) == "yes"

    @property
    def ports(self) -> tuple[int, ...]:
        """The ports it would listen on."""
        return tuple(int(p) for p in self.all("port")) or (22,)

    def shown(self) -> str:
        """What `sshd -T` prints."""
        rows = []
        for key in SHOWN:
            for value in self.all(key) or ([DEFAULTS[key]] if key in DEFAULTS else []):
                rows.append(f"{key} {value.replace('prohibit-password', 'without-password')}\n")
        return "".join(rows)


def release(text: str) -> Release:
    """`OpenSSH_9.5p1` as numbers."""
    found = re.search(r"OpenSSH_(\d+)\.(\d+)", text)
    return (int(found[1]), int(found[2])) if found else (0, 0)


def read(text: str, path: str, version: Release) -> Config:
    """The configuration in `text`; `Fail` with sshd's words, status 255."""
    found = Config()
    bad = ""
    count = 0
    for number, raw in enumerate(text.splitlines(), 1):
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        key, value = _pair(line)
        since, until = KEYWORDS.get(key, ((99, 0), None))
        if version < since or (until is not None and version >= until):
            bad += f"{path}: line {number}: Bad configuration option: {key}\n"
            count += 1
            continue
        key = RENAMED.get(key, key)
        at = f"{path} line {number}: "
        if not value:
            raise Fail(f'{at}no argument after keyword "{line.split()[0]}"\r\n', 255)
        if key == "match":
            raise Fail(f"{at}the rehearsal's sshd knows no Match blocks\r\n", 255)
        _check(key, value, at, version)
        if key in MANY:
            found.values.setdefault(key, []).extend(
                value.split() if key.endswith("users") else [value]
            )
        else:
            found.values.setdefault(key, [value])
    if bad:
        raise Fail(f"{bad}{path}: terminating, {count} bad configuration options\n", 255)
    return found


def _pair(line: str) -> tuple[str, str]:
    match = re.match(r"([A-Za-z0-9]+)\s*[=\s]\s*(.*?)(?:\s+#.*)?$", line)
    if match is None:
        return line.lower(), ""
    return match[1].lower(), match[2].strip().strip('"')


def _check(key: str, value: str, at: str, version: Release) -> None:
    """sshd's own look at a value."""
    if key in YES_NO and value not in ("yes", "no"):
        raise Fail(f'{at}unsupported option "{value}".\r\n', 255)
    if key in CHOICES and value not in CHOICES[key]:
        raise Fail(f'{at}unsupported option "{value}".\r\n', 255)
    if key == "port" and not (value.isdigit() and 0 < int(value) < 65536):
        raise Fail(f"{at}Badly formatted port number.\r\n", 255)
    names = value.lstrip("+-^").split(",")
    wrong = ""
    if key == "kexalgorithms" and any(version < KEX.get(n, (99, 0)) for n in names):
        wrong = "SSH2 KexAlgorithms"
    elif key == "ciphers" and not set(names) <= CIPHERS:
        wrong = "SSH2 cipher spec"
    elif key == "macs" and not set(names) <= MACS:
        wrong = "SSH2 mac spec"
    elif key.endswith("algorithms") and key != "kexalgorithms" and not set(names) <= KEY_TYPES:
        wrong = "key types"
    if wrong:
        raise Fail(f"{at}Bad {wrong} '{value}'.\r\n", 255)
