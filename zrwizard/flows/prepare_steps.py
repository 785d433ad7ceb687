"""The harmless steps that come first: an address, and a login that needs no more asking."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from zrwizard import mover
from zrwizard.flows import shtext
from zrwizard.flows.choices import Login, Network
from zrwizard.freebsd import dhclient, host, ifconfig, route, sh, ssh, ssh_dialogue
from zrwizard.mover import measure
from zrwizard.plan import Answer, Command, Danger, Dialogue, Phase, Step, Upload

_DoneIf = Callable[[str], str]
_LINKED = "/tmp/bsdinstall_etc"  # noqa: S108 - where the live medium's resolv.conf points


def network_steps(network: Network, server: str, port: int) -> tuple[Step, ...]:
    """Return the steps after which `server` answers on `port`."""
    steps: list[Step] = []
    match network.mode:
        case "dhcp":
            steps.append(_dhcp(network.nic))
        case "static":
            steps += _static(network)
        case _:
            pass
    steps.append(
        Step(
            id="reach",
            phase=Phase.NETWORK,
            title=f"Reach {server} port {port}",
            why="Only an answering port proves that the network works; dhclient's status does not.",
            action=Command(host.port_answers(server, port), timeout=20),
        )
    )
    return tuple(steps)


def _dhcp(nic: str) -> Step:
    has_one = f"{ifconfig.show(nic)} | grep -Eq 'inet [1-9]'"
    return Step(
        id="dhcp",
        phase=Phase.NETWORK,
        title=f"Ask for an address on {nic}",
        why="The backup server is reached over the network.",
        action=Command(dhclient.start(nic), timeout=150),
        danger=Danger.CHANGES,
        look=has_one,
        proof=f"{has_one} || "
        + shtext.refuse(f"No DHCP server gave {nic} an address: check the cable, or be static."),
    )


def _static(network: Network) -> list[Step]:
    nic, address = network.nic, network.address
    has_it = f"{ifconfig.show(nic)} | grep -Fq {sh.quote(f'inet {address} ')}"
    steps = [
        Step(
            id="address",
            phase=Phase.NETWORK,
            title=f"Give {nic} the address {address}/{network.prefix}",
            why="The backup server is reached over the network.",
            action=Command(
                sh.all_of(ifconfig.up(nic), ifconfig.set_address(nic, address, network.prefix))
            ),
            danger=Danger.CHANGES,
            look=has_it,
            proof=has_it,
        )
    ]
    if network.gateway:
        pattern = "^default +" + network.gateway.replace(".", "[.]") + " "
        there = f"netstat -rn | grep -Eq {sh.quote(pattern)}"
        add = route.add_default(network.gateway)
        steps.append(
            Step(
                id="gateway",
                phase=Phase.NETWORK,
                title=f"Send everything else to {network.gateway}",
                why="The backup server may lie in another network.",
                action=Command(sh.all_of(route.delete_default(), add) if network.replaces else add),
                danger=Danger.CHANGES,
                look=there,
                proof=there,
            )
        )
    if network.nameserver:
        there = f"grep -qx {sh.quote(f'nameserver {network.nameserver}')} {route.RESOLV_CONF}"
        write = route.write_name_servers([network.nameserver])
        steps.append(
            Step(
                id="nameserver",
                phase=Phase.NETWORK,
                title=f"Ask {network.nameserver} for names",
                why="The backup server may be given by name.",
                action=Command(
                    sh.all_of(host.make_directory(_LINKED), write) if network.live else write
                ),
                danger=Danger.CHANGES,
                look=f"{there} 2>/dev/null",
                proof=there,
            )
        )
    return steps


def login_steps(login: Login, *, finished: str | None = None) -> tuple[Step, ...]:
    """Return the steps after which ssh to the server works without asking anything.

    `finished` is sh text; where it succeeds, the steps count as done.
    """
    session = login.session
    config = ssh.config(session)
    known = ssh.known_hosts((login.key,), session.host, session.port)
    same_config = shtext.same_file_text(session.config_path, config)

    def done_if(look: str) -> str:
        return f"{finished} && exit 0\n{look}" if finished else look

    steps = [
        _directory(session.directory, done_if),
        Step(
            id="old-login",
            phase=Phase.LOGIN,
            title="Close a connection that was made with other settings",
            why="A connection that is still open would be used whatever the settings say.",
            action=Command(f"{ssh.logout(session)} 2>/dev/null; rm -f {session.socket_path}"),
            danger=Danger.CHANGES,
            look=done_if(f"[ ! -e {session.socket_path} ] || {same_config}"),
        ),
        _file(
            "known-hosts",
            f"Trust the host key {login.key.fingerprint}",
            "Only the key that was confirmed is accepted; /root is read-only on live media.",
            path=session.known_hosts_path,
            content=known,
            done_if=done_if,
        ),
        _file(
            "ssh-config",
            f"Write down how to reach {login.name}",
            "Every later command uses the same settings and the one connection.",
            path=session.config_path,
            content=config,
            done_if=done_if,
        ),
    ]
    if session.identity:
        steps.append(_key(session, done_if))
    steps.append(_master(login, done_if))
    return tuple(steps)


def link_steps(session: ssh.Session, where: str) -> tuple[Step, ...]:
    """Return the steps after which `measure.sh` can run from the directory `where`."""
    settings = mover.settings(
        direction=mover.Direction.PULL, ssh=ssh.words(session), host=ssh.ALIAS, shared=True
    )
    return (
        replace(_directory(where, str), id="link"),
        _file(
            "link-script",
            "Write down the script that measures the link",
            "It brings zeroes for some seconds, in one stream and in two, and writes nothing.",
            path=f"{where}/measure.sh",
            content=measure.SCRIPT,
            done_if=str,
        ),
        _file(
            "link-settings",
            "Write down for it how the server is reached",
            "It uses the connection that is open.",
            path=f"{where}/{mover.SETTINGS}",
            content=settings,
            done_if=str,
        ),
    )


def _directory(path: str, done_if: _DoneIf) -> Step:
    there = f"[ -d {sh.quote(path)} ]"
    return Step(
        id="home",
        phase=Phase.LOGIN,
        title="Make a private directory in memory",
        why="Keys, settings and the connection's socket stay there, readable by root only.",
        action=Command(host.make_directory(path, "700")),
        danger=Danger.CHANGES,
        look=done_if(there),
        proof=there,
    )


def _file(id: str, title: str, why: str, *, path: str, content: str, done_if: _DoneIf) -> Step:
    same = shtext.same_file_text(path, content)
    return Step(
        id=id,
        phase=Phase.LOGIN,
        title=title,
        why=why,
        action=Upload(path, 0o600, content=content),
        danger=Danger.CHANGES,
        look=done_if(same),
        proof=same,
    )


def _key(session: ssh.Session, done_if: _DoneIf) -> Step:
    there = f"[ -s {sh.quote(session.identity_path)} ]"
    return Step(
        id="key",
        phase=Phase.LOGIN,
        title="Carry the private key over",
        why="It lies in memory with mode 600, is never shown, and is removed at the end.",
        action=Upload(session.identity_path, 0o600, secret="key"),  # noqa: S106 - its name
        danger=Danger.CHANGES,
        look=done_if(there),
        proof=there,
    )


def _master(login: Login, done_if: _DoneIf) -> Step:
    session = login.session
    alive = f"{ssh.check(session)} 2>/dev/null"
    answers: tuple[Answer, ...]
    if session.identity:
        answers = (Answer(ssh_dialogue.PASSPHRASE_PATTERN, "key-passphrase"),)
    else:
        answers = (
            Answer(ssh_dialogue.PASSWORD_PATTERN, "server"),
            Answer(ssh_dialogue.KEYBOARD_PATTERN, "server"),
        )
    return Step(
        id="login",
        phase=Phase.LOGIN,
        title=f"Log in to {login.name}",
        why="The only moment at which ssh asks for anything; the connection then stays open.",
        action=Dialogue(ssh.login(session), answers),
        danger=Danger.CHANGES,
        look=done_if(alive),
        proof=alive,
    )
