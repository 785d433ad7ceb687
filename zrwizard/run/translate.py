"""A failed command in the operator's words, where the tool's complaint is a known one."""

from __future__ import annotations

import re
from collections.abc import Callable

from zrwizard.freebsd import geli, gpart, ssh_dialogue, sshd, zfs_receive, zfs_send, zpool_errors
from zrwizard.freebsd.errors import Diagnosis, diagnose, rule

Explain = Callable[[str], Diagnosis | None]

# nc(1) says nothing of a port that does not answer; its status is the whole answer.
_PROBE = re.compile(r"nc -z -w \d+ (\S+) (\d+)$")
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
    # Receiving knows when the sender or ssh is to blame, so it goes before them.
    (r"\bzfs receive\b", zfs_receive.explain),
    (r"\bgeli\b", geli.explain),
    (r"\bsshd\b", sshd.explain),
    (r"\bssh\b", ssh_dialogue.explain),
    (r"\bzfs send\b", zfs_send.explain),
    (r"\bgpart\b", gpart.explain),
    (r"\b(?:zpool|zfs)\b", zpool_errors.explain),
    (r"", lambda text: diagnose(_SMALL, text)),
)


def translate(command: str, output: str) -> Diagnosis | None:
    """Return what a known complaint in `output` of the sh text `command` means, or None."""
    silent = _PROBE.match(command)
    if silent:
        host, port = silent.groups()
        return Diagnosis(
            "no answer",
            f"Nothing answers at {host} port {port}.",
            "Check the server's address and port, the cable, and the gateway.",
        )
    for pattern, explain in _TOOLS:
        if re.search(pattern, command):
            found = explain(output)
            if found:
                return found
    return None
