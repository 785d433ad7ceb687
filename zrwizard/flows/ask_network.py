"""The questions about the network and the way to the server."""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv4Interface, ip_address

from zrwizard.facts import TargetFacts
from zrwizard.flows.asking import Due, Talk
from zrwizard.flows.choices import Login, Network
from zrwizard.flows.moves import (
    Agree,
    Ask,
    Choose,
    Enter,
    EnterSecret,
    Look,
    Option,
    Stuck,
)
from zrwizard.freebsd import ssh
from zrwizard.freebsd.errors import ParseError
from zrwizard.freebsd.ifconfig import Nic
from zrwizard.plan import Problem

_HOST = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.:-]{0,252}[A-Za-z0-9])?", re.ASCII)
_USER = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,31}", re.ASCII)
NONE = "none"


def network(talk: Talk, target: TargetFacts) -> Network:
    """Return how the target gets at the network."""
    nic = _nic(talk, target)
    mode = _mode(talk, target, nic)
    if mode != "static":
        return Network(nic.name, mode, live=target.live)
    typed = talk.enter(
        Enter(
            key="network.address",
            page="network",
            title=f"Address of {nic.name}",
            help="An IPv4 address of the target with the length of its network's prefix.",
            example="192.0.2.10/24",
        ),
        _bad_address,
    )
    own = IPv4Interface(typed)
    gateway = talk.enter(
        Enter(
            key="network.gateway",
            page="network",
            title="Default gateway",
            help="The router to other networks; `none` where the server is in the same network.",
            default=NONE,
            example="192.0.2.1",
        ),
        lambda text: _bad_gateway(text, own),
    )
    server = talk.enter(
        Enter(
            key="network.nameserver",
            page="network",
            title="Name server",
            help="Needed only where the backup server is given by name; `none` for none.",
            default=NONE,
            example="192.0.2.1",
        ),
        _bad_server_address,
    )
    old = target.default_route.gateway if target.default_route else None
    return Network(
        nic=nic.name,
        mode=mode,
        address=str(own.ip),
        prefix=own.network.prefixlen,
        gateway=None if gateway == NONE else gateway,
        nameserver=None if server == NONE else server,
        replaces=old if gateway not in (NONE, old) else None,
        live=target.live,
    )


def _nic(talk: Talk, target: TargetFacts) -> Nic:
    if not target.nics:
        problem = Problem(
            "network.nic",
            "The target has no Ethernet interface that FreeBSD knows.",
            "Plug in one that it supports, or use another install medium, and start again.",
        )
        raise Due(Stuck((problem,), 1))
    best = _best_nic(target)
    question = Choose(
        key="network.nic",
        page="network",
        title="Network interface",
        help="The interface through which the backup server is reached.",
        columns=("interface", "Ethernet address", "link", "address"),
        options=tuple(
            Option(
                value=nic.name,
                label=nic.name,
                cells=(nic.name, nic.ether or "-", nic.status or "unknown", _addresses(nic)),
                detail=nic.media or "",
                recommended=nic.name == best.name,
            )
            for nic in target.nics
        ),
        default=best.name,
    )
    chosen = talk.pick(question)
    return next(nic for nic in target.nics if nic.name == chosen.value)


def _best_nic(target: TargetFacts) -> Nic:
    routed = target.default_route.interface if target.default_route else ""
    return max(target.nics, key=lambda nic: (nic.name == routed, bool(nic.addresses), nic.has_link))


def _addresses(nic: Nic) -> str:
    return ", ".join(f"{a.address}/{a.prefix}" for a in nic.addresses) or "none"


def _mode(talk: Talk, target: TargetFacts, nic: Nic) -> str:
    # Once this run has asked for an address itself, the interface's survey is an old one.
    has = bool(nic.addresses)
    question = Choose(
        key="network.mode",
        page="network",
        title=f"Address of {nic.name}",
        help="How the target gets its address on this interface.",
        options=(
            Option(
                value="keep",
                label="Keep the address that it has",
                detail=_addresses(nic),
                locked=None if has else f"{nic.name} has no address yet",
                recommended=has,
            ),
            Option(
                value="dhcp",
                label="Ask for one by DHCP",
                detail="A DHCP server in the network gives address, gateway and name server.",
                recommended=not has,
            ),
            Option(
                value="static",
                label="Give one by hand",
                detail="Address, gateway and name server are typed in.",
            ),
        ),
        default="keep" if has else "dhcp",
    )
    return talk.pick(question).value


def _bad_address(text: str) -> str | None:
    try:
        address = IPv4Interface(text)
    except ValueError:
        return f"{text!r} is not an IPv4 address with a prefix length."
    if "/" not in text or not 0 < address.network.prefixlen < 32:
        return f"{text!r} lacks the length of the network's prefix."
    if address.ip in (address.network.network_address, address.network.broadcast_address):
        return f"{address.ip} names the whole network {address.network}, not one machine."
    return None


def _bad_gateway(text: str, own: IPv4Interface) -> str | None:
    if text == NONE:
        return None
    try:
        gateway = IPv4Address(text)
    except ValueError:
        return f"{text!r} is not an IPv4 address."
    if gateway not in own.network:
        return f"The gateway {gateway} does not lie in the network {own.network}."
    return f"The gateway cannot be the target itself ({gateway})." if gateway == own.ip else None


def _bad_server_address(text: str) -> str | None:
    try:
        if text != NONE:
            ip_address(text)
    except ValueError:
        return f"{text!r} is not an IP address."
    return None


def endpoint(talk: Talk) -> tuple[str, int]:
    """Return the backup server's name and port."""
    name = talk.enter(
        Enter(
            key="server.host",
            page="network",
            title="Backup server",
            help="Its IP address, or its name where a name server is known.",
            example="192.0.2.2",
        ),
        lambda text: None if _HOST.fullmatch(text) else f"{text!r} is not an address or a name.",
    )
    port = talk.enter(
        Enter(
            key="server.port",
            page="network",
            title="Its ssh port",
            help="The TCP port on which its sshd listens.",
            default="22",
        ),
        lambda text: (
            None
            if text.isascii() and text.isdigit() and 0 < int(text) < 65536
            else f"{text!r} is not a TCP port."
        ),
    )
    return name, int(port)


def login(talk: Talk, name: str, port: int) -> Login:
    """Return the login with its confirmed host key, once both are known."""
    user = talk.enter(
        Enter(
            key="server.user",
            page="login",
            title="User on the server",
            help="Somebody who may run `zfs send` there; root, or a user given the right by "
            "`zfs allow`.",
            default="root",
        ),
        lambda text: None if _USER.fullmatch(text) else f"{text!r} is not a user name.",
    )
    key = _host_key(talk, name, port)
    auth = talk.pick(
        Choose(
            key="server.auth",
            page="login",
            title="How to log in",
            help="Asked once; everything after it uses the same connection.",
            options=(
                Option(
                    value="password",
                    label="Password",
                    detail="Typed at ssh's own prompt on the target, without echo.",
                    recommended=True,
                ),
                Option(
                    value="key",
                    label="Private key",
                    detail="Carried over into the target's memory with mode 600, removed at "
                    "the end.",
                ),
            ),
            default="password",
        )
    ).value
    session = ssh.Session(name, port, user, talk.facts.home, identity=auth == "key")
    result = Login(session, key)
    _secret(talk, result)
    return result


def _secret(talk: Talk, login: Login) -> None:
    """Have the front end obtain the secret; its value never stands among the answers."""
    kind = "key" if login.session.identity else "server"
    if f"secret.{kind}" in talk.answers:
        return
    if kind == "key":
        question = EnterSecret(
            key="secret.key",
            page="login",
            title="Private key file",
            help="The file with the private key, on the machine that runs the wizard.",
            secret="key",  # noqa: S106 - its name
            from_file=True,
        )
    else:
        question = EnterSecret(
            key="secret.server",
            page="login",
            title=f"Password of {login.name}",
            help="Given to ssh on the target when it asks; kept in memory only.",
            secret="server",  # noqa: S106 - its name
        )
    raise Due(Ask(question))


def _host_key(talk: Talk, name: str, port: int) -> ssh.HostKey:
    server = talk.facts.server
    if server.endpoint != f"{name} {port}":
        raise Due(Look("hostkey", (name, str(port)), f"Asking {name} port {port} for its host key"))
    best = ssh.preferred(server.keys)
    if best is None:
        problem = Problem("server.host", f"{name} port {port} offers no host key.", "Check both.")
        raise Due(Stuck((problem,), 4))
    given = talk.answers.get("server.host_key")
    if given is None:
        raise Due(Ask(_agree(best, name, port)))
    try:
        matching = ssh.matching(server.keys, given)
    except ParseError:
        problem = Problem(
            "server.host_key",
            f"{given!r} is not a fingerprint.",
            "Give it as `ssh-keygen -lf` prints it on the server: SHA256:…",
        )
        raise Due(Ask(_agree(best, name, port), problem)) from None
    if not matching:
        offered = ", ".join(f"{key.fingerprint} ({key.short_type})" for key in server.keys)
        problem = Problem(
            "server.host_key",
            f"Changed or wrong host key: {name} port {port} offers {offered}, "
            f"but {ssh.normal_fingerprint(given)} was expected.",
            "Do not try again: find out on the server itself (ssh-keygen -lf "
            "/etc/ssh/ssh_host_ed25519_key.pub) which key is the right one.",
        )
        raise Due(Stuck((problem,), 3))
    return matching[0]


def _agree(key: ssh.HostKey, name: str, port: int) -> Agree:
    return Agree(
        key="server.host_key",
        page="login",
        title="Is this the backup server?",
        help="Compare the fingerprint with the one that the server itself shows: "
        "`ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub`.",
        text=f"{name} port {port} shows an {key.short_type} key with the fingerprint\n\n"
        f"    {key.fingerprint}",
        value=key.fingerprint,
    )
