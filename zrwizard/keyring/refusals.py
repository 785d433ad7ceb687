"""What ssh(1) says when it does not get through, in plain words and with what to do now.

Facts C7, and the sentences of OpenSSH 9.2's ssh.c, sshconnect.c and packet.c.
"""

from __future__ import annotations

from datetime import UTC, datetime

from zrwizard.freebsd.errors import Diagnosis, diagnose, rule
from zrwizard.keyring.ca import Certificate
from zrwizard.keyring.channel import DialError, Who
from zrwizard.run.events import Exit

_CLOCKS = "Compare the clocks of both machines with date -u, and set the one that is wrong"
_KEY = {
    "login": "the login key",
    "deliver": "the key that delivers the disk's key",
    "receive": "the key that receives",
}

_RULES = (
    rule(
        "expired",
        r"Certificate invalid: expired",
        "The server's host certificate has expired, or one of the two clocks is wrong.",
        f"{_CLOCKS}; if both are right, issue the host certificate again.",
    ),
    rule(
        "not yet valid",
        r"Certificate invalid: not yet valid",
        "The server's host certificate is not yet valid: one of the two clocks is wrong.",
        f"{_CLOCKS}; then try again.",
    ),
    rule(
        "host key",
        r"Certificate invalid: (?P<why>[^\n]*)",
        "The server's host certificate is not for this server: {why}.",
        "Issue the host certificate again with the name by which the server is reached.",
    ),
    rule(
        "revoked",
        r"REVOKED HOST KEY|Host key \S+ \S+ \S* ?(?:is )?revoked",
        "The server shows a host key that was revoked.",
        "Stop. Somebody may be answering in the server's place; look at the server's own console.",
    ),
    rule(
        "host key",
        r"REMOTE HOST IDENTIFICATION HAS CHANGED|Host key for \S+ has changed",
        "The server shows another host key than the one that is known.",
        "Stop. Compare it at the server's own console; if it was made anew, certify it again.",
    ),
    rule(
        "host key",
        r"no matching host key type found\. Their offer: (?P<offer>[^\n]*)",
        "What answers shows no host key that our CA has certified (it offers {offer}).",
        "Check the port; if it is the right server, install its host certificate again and "
        "restart sshd.",
    ),
    rule(
        "host key",
        r"Host key verification failed|No \S+ host key is known for",
        "What answers shows a host key that our CA has not certified.",
        "Check address and port; if it is the right server, certify its host key again at its "
        "own console.",
    ),
    rule(
        "bad key",
        r"UNPROTECTED PRIVATE KEY FILE|bad permissions",
        "A private key can be read by others, so ssh does not use it.",
        "Set the directory of the keys to mode 700 and its files to 600.",
    ),
    rule(
        "bad key",
        r"Load key \"?[^\"\n]*\"?: (?P<why>[^\n]*)|no such identity: [^\n:]*: (?P<gone>[^\n]*)",
        "A private key could not be read: {why}{gone}.",
        "Restore it from the escrow bundle.",
    ),
    rule(
        "permission denied",
        r"Permission denied \((?P<methods>[^)]*)\)|Too many authentication failures",
        "",
        "",
    ),
    rule(
        "refused",
        r"port (?P<port>\d+): Connection refused",
        "The machine answers, but nothing listens on port {port}.",
        "Check the port number and the port forwarding, and that sshd runs on the server.",
    ),
    rule(
        "timeout",
        r"Operation timed out|Connection timed out|timed out during banner exchange|"
        r"Connection to \S+ port \d+ timed out",
        "The server did not answer in time.",
        "Check that it is on, its address, the port forwarding, and that no firewall drops the "
        "packets.",
    ),
    rule(
        "unreachable",
        r"port \d+: (?P<why>No route to host|Network is unreachable|Network is down|Host is down|"
        r"Invalid argument|Can't assign requested address|Cannot assign requested address)",
        "There is no way to the server: {why}.",
        "Check the server's address and this machine's own network.",
    ),
    rule(
        "no such host",
        r"Could not resolve hostname (?P<host>[^\s:]+)",
        "The name {host} could not be resolved.",
        "Check the name, or give the server's address instead.",
    ),
    rule(
        "closed",
        r"Not allowed at this time|Exceeded MaxStartups",
        "The server takes no connection from this address just now.",
        "Wait a minute and try again.",
    ),
    rule(
        "silent",
        r"Timeout, server \S+ not responding",
        "The server stopped answering in the middle.",
        "Check the network and that the server is still up, then try again.",
    ),
    rule(
        "closed",
        r"Connection (?:closed|reset) by|client_loop: send disconnect|kex_exchange_identification|"
        r"[Cc]onnection to \S+ closed|packet_write_wait|mux_client_|Control socket|"
        r"Connection closed|Broken pipe|Bad packet length|Bad remote protocol version",
        "The connection to the server was closed.",
        "Check that it is sshd which listens on this port, and the network; then try again.",
    ),
    rule(
        "other",
        r"Bad configuration option|bad configuration options|Unsupported option",
        "This machine's ssh does not know an option of the keyring's ssh_config.",
        "Use OpenSSH 7.8 or newer here.",
    ),
)


def explain(
    text: str, who: Who, port: int, *, certificate: Certificate | None, revoked: bool, now: float
) -> DialError:
    """Return why ssh failed, from its own words `text`.

    `certificate` is the one of `who`'s key, `revoked` whether the keyring has it on its list,
    `now` this machine's clock in seconds since 1970.
    """
    found = diagnose(_RULES, text)
    if found is None:
        last = next((row.strip() for row in reversed(text.splitlines()) if row.strip()), "")
        said = f", and says: {last[:200]}" if last else " without a word"
        return DialError(
            "other",
            f"ssh ended on port {port}{said}.",
            "Try again; if it stays so, use the ssh command of the sheet by hand with -v.",
        )
    if found.kind == "permission denied":
        found = _denied(who, certificate, revoked, now)
    code = Exit.UNREACHABLE
    if found.kind in ("host key", "revoked", "expired", "not yet valid", "permission denied"):
        code = Exit.REFUSED
    return DialError(found.kind, found.what, found.now, code)


def _denied(who: Who, certificate: Certificate | None, revoked: bool, now: float) -> Diagnosis:
    """The server tells nobody why it refuses; the certificate's own words say what is likely."""
    key = _KEY[who]
    if certificate is None:
        return Diagnosis(
            "permission denied",
            f"The server refuses {key}: this machine has no readable certificate for it.",
            "Issue the certificate again, or restore it from the escrow bundle.",
        )
    until, since = _utc(certificate.before), _utc(certificate.after)
    if now >= certificate.before:
        return Diagnosis(
            "expired",
            f"The server refuses {key}: its certificate has expired (it was valid until {until}).",
            f"Issue it again. If the date looks wrong: {_CLOCKS[0].lower()}{_CLOCKS[1:]}.",
        )
    if now < certificate.after:
        return Diagnosis(
            "not yet valid",
            f"The server refuses {key}: its certificate is valid from {since} only, and this "
            f"machine's clock says {_utc(int(now))}.",
            f"{_CLOCKS}; then try again.",
        )
    if revoked:
        return Diagnosis(
            "revoked",
            f"The server refuses {key}: its certificate, serial {certificate.serial}, was revoked.",
            "Issue a new one; one that was revoked stays so.",
        )
    return Diagnosis(
        "permission denied",
        f"The server refuses {key}. Its certificate is valid here from {since} to {until}, so the "
        "server's clock may be wrong, or its sshd trusts another CA or has revoked the key.",
        f"{_CLOCKS}; then look at /var/log/auth.log at the server's own console: sshd says why.",
    )


def _utc(seconds: int) -> str:
    """A time for people; the certificate's “for ever” is beyond every calendar."""
    if seconds >= 253402300800:
        return "for ever"
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")
