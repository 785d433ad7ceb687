"""sockstat(1): who listens on which TCP port."""

from __future__ import annotations

import re
from dataclasses import dataclass

from . import sh, text
from .errors import ParseError

TOOL = "sockstat"
_PROTOCOL = re.compile(r"tcp\d{0,2}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Listener:
    """One listening socket: the program, its process, the local address and the port."""

    command: str
    pid: int
    address: str
    port: int


def listening() -> str:
    """Command: the listening TCP sockets."""
    return sh.command("sockstat", "-4", "-6", "-l", "-P", "tcp")


def parse(output: str) -> tuple[Listener, ...]:
    """The listening TCP sockets; none for a bare heading. Raises ParseError. sockstat(1).

    Columns are found from the protocol: USER COMMAND PID FD PROTO LOCAL FOREIGN, and more on newer
    releases. A socket that belongs to nobody (`?`) is passed over.
    """
    found: list[Listener] = []
    for line in text.lines(output):
        words = line.split()
        if words[0] == "USER":
            continue
        at = next((n for n, word in enumerate(words) if n > 3 and _PROTOCOL.fullmatch(word)), 0)
        if not at or at + 1 >= len(words):
            raise ParseError(TOOL, "not a socket", line)
        address, colon, port = words[at + 1].rpartition(":")
        if "?" in words[1:at] or port == "*":
            continue
        if not colon:
            raise ParseError(TOOL, "not an address and a port", line)
        found.append(
            Listener(
                " ".join(words[1 : at - 2]),
                text.whole(TOOL, "the process", words[at - 2]),
                address,
                text.whole(TOOL, "the port", port),
            )
        )
    return tuple(found)


def sshd_ports(listeners: tuple[Listener, ...]) -> tuple[int, ...]:
    """The ports on which an sshd listens, in order and each once.

    The listener is called sshd in all releases. A session may listen too, for a forwarded port:
    from OpenSSH 9.8 on it is an `sshd-session` (cut to ten characters here) and passed over.
    """
    return tuple(sorted({each.port for each in listeners if each.command == "sshd"}))
