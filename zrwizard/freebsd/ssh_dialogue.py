"""What ssh(1) asks on a terminal and how it says that it failed. Facts C7."""

from __future__ import annotations

import re
from enum import StrEnum

from .errors import Diagnosis, diagnose, rule


class Prompt(StrEnum):
    """A question that ssh waits at."""

    HOST_KEY = "host key"
    PASSPHRASE = "passphrase"  # noqa: S105  a word, no secret
    PASSWORD = "password"  # noqa: S105
    KEYBOARD = "keyboard-interactive"


PASSPHRASE_PATTERN = r"Enter passphrase for key '[^'\r\n]*': ?$"  # noqa: S105
PASSWORD_PATTERN = r"[^\r\n]*'s password: ?$"  # noqa: S105
# FreeBSD's sshd asks this by default; clients before 8.5 leave out the part in parentheses.
KEYBOARD_PATTERN = r"(?:\([^()\r\n]*@[^()\r\n]*\) )?Password(?: for [^\r\n]*)?: ?$"
HOST_KEY_PATTERN = (
    r"(?:\(yes/no(?:/\[fingerprint\])?\)\? |Please type 'yes', 'no'(?: or the fingerprint)?: )$"
)

_PROMPTS = (
    (Prompt.HOST_KEY, re.compile(HOST_KEY_PATTERN)),
    (Prompt.PASSPHRASE, re.compile(PASSPHRASE_PATTERN)),
    (Prompt.PASSWORD, re.compile(PASSWORD_PATTERN)),
    (Prompt.KEYBOARD, re.compile(KEYBOARD_PATTERN)),
)
_TAIL = 512


def prompt_at_end(seen: str) -> Prompt | None:
    """The question that the text seen so far ends with; None where ssh is not asking.

    The answer may be sent once it is there, echo is off by then (but for the host key).
    """
    last = re.split(r"[\r\n]", seen[-_TAIL:])[-1]
    return next((kind for kind, pattern in _PROMPTS if pattern.search(last)), None)


_RULES = (
    rule(
        "host key changed",
        r"REMOTE HOST IDENTIFICATION HAS CHANGED|Host key for (?P<host>\S+) has changed",
        "The server shows another host key than the one that was confirmed.",
        "Stop. Find out from the server's administrator whether its key was changed; trying "
        "again does not help.",
    ),
    rule(
        "host key revoked",
        r"REVOKED HOST KEY",
        "The server's host key was revoked.",
        "Stop. Do not log in; ask the server's administrator.",
    ),
    rule(
        "host key unknown",
        r"Host key verification failed|No \S+ host key is known for",
        "The server's host key was not accepted.",
        "Compare its fingerprint with the server's own and confirm it.",
    ),
    rule(
        "bad key file",
        r"Load key \"?(?P<file>[^\"\n]*)\"?: (?P<why>[^\n]*)",
        "The private key could not be used: {why}.",
        "Give an OpenSSH private key and its right passphrase.",
    ),
    rule(
        "permission denied",
        r"(?P<who>\S+@\S+): Permission denied \((?P<methods>[^)]*)\)|"
        r"Too many authentication failures",
        "The server refused the login {who}; it accepts: {methods}.",
        "Check user and password or key. FreeBSD's sshd refuses root unless PermitRootLogin "
        "is set.",
    ),
    rule(
        "refused",
        r"connect to host (?P<host>\S+) port (?P<port>\d+): Connection refused",
        "{host} answers, but nothing listens on port {port}.",
        "Check the port number, and that sshd runs on the server.",
    ),
    rule(
        "timeout",
        r"connect to host (?P<host>\S+) port (?P<port>\d+): "
        r"(?:Operation timed out|Connection timed out)|(?P<any>Connection timed out|timed out "
        r"during banner exchange)",
        "The server {host} did not answer in time.",
        "Check address, cable and gateway, and that no firewall drops the packets.",
    ),
    rule(
        "unreachable",
        r"connect to host (?P<host>\S+) port (?P<port>\d+): (?P<why>No route to host|"
        r"Network is unreachable|Network is down|Host is down)",
        "There is no way to {host}: {why}.",
        "Check the interface's address and the default gateway.",
    ),
    rule(
        "no such host",
        r"Could not resolve hostname (?P<host>[^\s:]+)",
        "The name {host} could not be resolved.",
        "Give the server's address instead, or set a name server.",
    ),
    rule(
        "master gone",
        r"Control socket connect\((?P<file>[^)]*)\)|mux_client_\w+:|ControlSocket .* already",
        "The login to the server is gone.",
        "Log in again.",
    ),
    rule(
        "disconnected",
        r"Connection (?:closed|reset) by|client_loop: send disconnect|kex_exchange_identification|"
        r"ssh_exchange_identification|Connection to \S+ closed by remote host|"
        r"Timeout, server \S+ not responding|packet_write_wait",
        "The connection to the server broke off.",
        "Check the network; the server may refuse this address or be overloaded. Try again.",
    ),
    rule(
        "bad configuration",
        r"Bad configuration option|terminating, \d+ bad configuration options",
        "The target's ssh does not know an option that the wizard uses.",
        "Use install media of FreeBSD 13 or newer.",
    ),
)


def explain(stderr: str) -> Diagnosis | None:
    """Why ssh failed and what to do now; None where its words are unknown.

    Only for status 255, or where ssh's own words are expected: remote commands write here too.
    """
    return diagnose(_RULES, stderr)
