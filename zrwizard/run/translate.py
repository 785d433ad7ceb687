"""A failed command in the operator's words, where the tool's complaint is a known one."""

from __future__ import annotations

import re
from collections.abc import Callable

from zrwizard.freebsd import gpart, zfs_receive, zfs_send, zpool_errors
from zrwizard.freebsd.errors import Diagnosis, diagnose, rule

Explain = Callable[[str], Diagnosis | None]

_SSH = (
    rule(
        "host key",
        r"HOST IDENTIFICATION HAS CHANGED|Host key verification failed|REVOKED HOST KEY",
        "The server shows another host key than the confirmed one.",
        "Do not go on before you know why: ask the server's administrator for its fingerprint.",
    ),
    rule(
        "refused login",
        r"Permission denied \((?P<ways>[^)]*)\)",
        "The server refuses the login (it offers: {ways}).",
        "Check the user name and the secret; sshd refuses root unless PermitRootLogin allows it.",
    ),
    rule(
        "no connection",
        r"ssh: connect to host (?P<host>\S+) port (?P<port>\d+): (?P<why>.*)",
        "The server {host} does not answer on port {port}: {why}.",
        "Check the address and the port, and whether sshd runs there.",
    ),
    rule(
        "no name",
        r"Could not resolve hostname (?P<host>\S+?):",
        "The name {host} is not known to the name server.",
        "Give the server's address instead, or another name server.",
    ),
    rule(
        "no master",
        r"Control socket connect\([^)]*\): (?P<why>.*)",
        "The ssh connection to the server is gone ({why}).",
        "Start again: the login is made anew.",
    ),
)
_SMALL = (
    rule(
        "no lease",
        r"No DHCPOFFERS received|no link \.+ giving up",
        "No DHCP server answered.",
        "Check the cable and the interface, or give a static address (network.mode static).",
    ),
    rule(
        "not found",
        r"(?:^|: )(?P<tool>[\w./-]+): (?:command )?not found$",
        "The target has no program {tool}.",
        "Boot a full FreeBSD install medium on the target.",
    ),
    rule(
        "read-only",
        r"(?P<path>/\S+): Read-only file system",
        "{path} lies on a read-only file system.",
        "Boot the target from its install medium and try again.",
    ),
)

_TOOLS: tuple[tuple[str, Explain], ...] = (
    (r"\bzfs receive\b", zfs_receive.explain),
    (r"\bzfs send\b", zfs_send.explain),
    (r"\bgpart\b", gpart.explain),
    (r"\b(?:zpool|zfs)\b", zpool_errors.explain),
    (r"\bssh\b", lambda text: diagnose(_SSH, text)),
    (r"", lambda text: diagnose(_SMALL, text)),
)


def translate(command: str, output: str) -> Diagnosis | None:
    """Return what a known complaint in `output` of the sh text `command` means, or None.

    ssh's own complaints come first where ssh is in the command, since they are the cause of
    whatever the other tools print after them.
    """
    if "ssh" in command:
        found = diagnose(_SSH, output)
        if found:
            return found
    for pattern, explain in _TOOLS:
        if re.search(pattern, command):
            found = explain(output)
            if found:
                return found
    return None
