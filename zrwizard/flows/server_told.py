"""What is told: how each act is done by hand, the lines of the sheet, the notes of the plan."""

from __future__ import annotations

from zrwizard import receiver
from zrwizard.flows import server_system_steps
from zrwizard.flows.server_choices import Plans, Reach, Server, Source
from zrwizard.freebsd import rcconf, sh, sshd

_RIGHTS = "send,snapshot,hold,release,bookmark,mount,diff"
_LOST = (
    "If this machine and every copy of the escrow bundle are lost, nobody can read the backups "
    "any more, by any means. Keep copies of the bundle in two other places."
)
_FORGOTTEN = (
    "The bundle's passphrase cannot be recovered. While this machine lives, a new bundle with a "
    "new one is made by `zrwizard keys escrow {name} --new-passphrase`; after that it is the only "
    "way to the keys."
)


# --- by hand --------------------------------------------------------------------------------------


def _in(plans: Plans, *commands: str) -> str:
    return "\n".join((f"cd {sh.quote(plans.directory)} || exit 1", *commands))


def make_keys(plans: Plans) -> str:
    """Return how the keys are made by hand."""
    folder = sh.quote(plans.directory)
    commands = ["umask 077"]
    if plans.purpose.vault:
        commands.append("[ -e geli.key ] || openssl rand -hex 64 > geli.key")
    for name in ("ca", "login"):
        commands.append(f"[ -e {name} ] || ssh-keygen -t ed25519 -f {name}")
    for name in ("deliver", "receive"):
        commands.append(f"[ -e {name} ] || ssh-keygen -t ed25519 -N '' -f {name}")
    return "\n".join((f"mkdir -p {folder} && chmod 700 {folder}", _in(plans, *commands)))


def escrow(plans: Plans) -> str:
    """Return how the bundle is made by hand, in both its forms, and looked into again."""
    folder, name = sh.quote(plans.directory), sh.quote(plans.name)
    tar = f"tar -C {folder}/.. --exclude 'escrow*' -cf - {name}"
    encrypt = "openssl enc -aes-256-cbc -pbkdf2 -md sha256 -iter 600000"
    return _in(
        plans,
        f"{tar} | age -p > escrow.age && age -d escrow.age | tar -tf -",
        f"{tar} | {encrypt} > escrow.tar.enc",
        f"{encrypt} -d -in escrow.tar.enc | tar -tf -",
    )


def certify(plans: Plans, server: Server) -> str:
    """Return how the certificates are made by hand."""
    keys, name = server.keys, plans.name
    host = sh.command(
        *(
            "ssh-keygen",
            "-s",
            "ca",
            "-I",
            f"{name}-host",
            "-h",
            "-n",
            f"{name},{server.access.host}",
        ),
        *("-V", f"-5m:+{keys.host_days}d", "host.pub"),
    )
    login = sh.command(
        *("ssh-keygen", "-s", "ca", "-I", f"{name}-login", "-n", "root"),
        *("-O", "clear", "-O", "permit-pty", "-V", f"-5m:+{keys.login_days}d", "login.pub"),
    )
    single = [
        sh.command(
            *("ssh-keygen", "-s", "ca", "-I", f"{name}-{role}", "-n", "root", "-O", "clear"),
            *("-O", f"force-command={receiver.force_command(name, role)}"),
            *("-V", f"-5m:+{keys.single_days}d", f"{role}.pub"),
        )
        for role in ("deliver", "receive")
    ]
    return _in(plans, host, login, *single)


def _ssh(plans: Plans, who: str, port: int, *command: str) -> str:
    alias = plans.name if who == "login" else f"{plans.name}-{who}"
    return sh.command("ssh", "-F", "ssh_config", "-p", str(port), alias, *command)


def login(plans: Plans, port: int) -> str:
    """Return how the login is tried by hand."""
    return _in(plans, _ssh(plans, "login", port, "id", "-un"))


def trial(plans: Plans, name: str, port: int) -> str:
    """Return how one trial is made by hand, as far as that is one command."""
    receive = _ssh(plans, "receive", port, "receive", "trial")
    match name:
        case "single":
            texts = [f"! {_ssh(plans, who, port, 'sh')}" for who in ("deliver", "receive")]
        case "deliver":
            hold = f"sleep 60 | {_ssh(plans, 'receive', port, 'hold')} &"
            texts = [hold, f"{_ssh(plans, 'deliver', port, 'key')} < geli.key", "wait"]
        case "receive":
            texts = [
                "# With a key delivered beside it, for a vault. TANK/TEST is a small dataset.",
                f"zfs send TANK/TEST@SNAPSHOT | {receive}",
            ]
        case _:
            texts = [
                "# As before, but end ssh in the middle (kill -9), then look on the server:",
                f"zfs send TANK/TEST@SNAPSHOT | {receive} & sleep 2; kill -9 $!",
                _ssh(plans, "login", port, "geli status; zpool list"),
            ]
    return _in(plans, *texts)


def sheet_by_hand(plans: Plans) -> str:
    """Return how the sheet is written again."""
    return sh.command("zrwizard", "keys", "sheet", plans.name)


# --- the sheet ------------------------------------------------------------------------------------


def sheet(plans: Plans) -> tuple[str, ...]:
    """Return the set-up's own lines of the sheet; those that begin with four blanks are typed."""
    server = plans.server
    if server is None:
        return (
            f"Only the disk was set up; its pool is called {plans.vessel.pool}. Plug it into the",
            "computer that is to be the server, with FreeBSD installed on a disk of its own, and",
            f"start there, with the name {plans.name} and that pool again:",
            "    zrwizard server --console URL",
        )
    return (
        *_placing(plans.name),
        *_reaching(server.reach, server, plans.name),
        *_delegation(plans, server.source),
        *_upkeep(server),
    )


def _placing(name: str) -> list[str]:
    return [
        "Before it goes: restart it once while you are beside it, and log in again:",
        f"    ssh -F ssh_config {name}",
        "What counts from a restart on (fstab, swap, its address) is in force then.",
        "In its BIOS or firmware setup:",
        "  - restore power after a power cut: always on (not: last state, not: off);",
        "  - a start by the clock every day, in case it was shut down;",
        "  - start from its own disk only, not from USB or the network; no halt on errors",
        "    such as a missing keyboard; set a setup password.",
        "In the other house:",
        "  - a cable to the router, not radio; a place with air, out of the way; label it;",
        "  - an extension lead without a switch; tell those who live there what it is;",
        "  - it must bear a pulled plug: the pool does, and a backup just goes on the next time.",
    ]


def _reaching(reach: Reach, server: Server, name: str) -> list[str]:
    port = server.access.port
    known = reach.name or "its new address"
    lines = ["", f"How it is reached: {_WAYS[reach.how]}."]
    if reach.address == "keep" and reach.how != "tor":
        lines.append("In the router there: reserve it a fixed address (by the MAC, see ifconfig).")
    elif reach.fixed is not None and reach.fixed.address:
        fixed = reach.fixed
        lines.append(
            f"Its address is {fixed.address}/{fixed.prefix}, the router {fixed.gateway}, from the "
            "next start on."
        )
    match reach.how:
        case "forward":
            lines += [
                f"In the router there: forward a TCP port of your choice to its port {port}.",
                "If the router's own address changes, give it a name by dynamic DNS; most routers",
                "can tell the service themselves. The name must then lead to the router.",
            ]
        case "ipv6":
            lines += [
                f"In the router there: let TCP port {port} through to its IPv6 address.",
                "Let it keep one address: in /etc/rc.conf there, with its interface's name,",
                '    ifconfig_IF_ipv6="inet6 accept_rtadv -privacy"',
            ]
        case "tor":
            lines += [
                "On the server, by hand (packages exist for amd64 and arm64):",
                "    pkg install tor",
                "    sysrc tor_enable=YES",
                "Into /usr/local/etc/tor/torrc there:",
                f"    HiddenServiceDir /var/db/tor/{name}/",
                f"    HiddenServicePort 22 127.0.0.1:{port}",
                "    service tor start",
                f"    cat /var/db/tor/{name}/hostname",
                "On your machine, with tor running there, in the Host blocks of ssh_config:",
                "    ProxyCommand nc -x 127.0.0.1:9050 -X 5 %h %p",
            ]
        case "vpn":
            lines.append("Let the VPN start with the machine, and try it from outside.")
        case _:
            pass
    if reach.how != "lan":
        lines += [
            f"Then, on your machine, HostName (and Port) in ssh_config become {known};",
            "the server's identity does not depend on them, its certificate proves it.",
        ]
    return lines


_WAYS = {
    "lan": "in your own network",
    "forward": "through a port that the router there forwards",
    "ipv6": "by an IPv6 address",
    "tor": "as a Tor onion service",
    "vpn": "through a VPN",
}


def _delegation(plans: Plans, source: Source) -> list[str]:
    if not source.dataset:
        return []
    lines = ["", f"What it keeps: {source.dataset}."]
    if source.user:
        allow = sh.command("zfs", "allow", "-u", source.user, _RIGHTS, source.dataset)
        lines += [
            f"So that {source.user} can send it without being root, as root on that machine:",
            f"    {allow}",
        ]
    return lines


def _upkeep(server: Server) -> list[str]:
    lines = ["", "Every few months: look at its messages, scrub the pool, install updates."]
    if server.tending.root == "readonly":
        lines += [
            "Its root is read-only. To change anything (updates, revoked keys, this set-up):",
            "    mount -u -o rw /",
            "and afterwards",
            "    mount -u -o ro /",
        ]
    return lines


# --- the plan's notes -----------------------------------------------------------------------------


def notes(plans: Plans) -> tuple[str, ...]:
    """Return what the operator should know before anything is done."""
    vessel = plans.vessel
    found = [f"The keys of {plans.name} lie in {plans.directory} on this machine, and only there."]
    if plans.purpose.vault:
        found += [_LOST, _FORGOTTEN.format(name=plans.name)]
    else:
        found.append(
            "The disk is not encrypted: whoever has it can read the backups. A stream that was "
            "encrypted by ZFS itself (zfs send -w) stays so."
        )
    found.append(
        "The passphrase of the CA and the login key cannot be recovered either; without it, new "
        "ones are made at the server's own console."
    )
    if vessel.keep:
        found.append(f"{vessel.disk.name} was set up before: nothing on it is erased.")
    server = plans.server
    if server is None:
        found.append(
            "Only the disk and the keys are set up now; the computer that becomes the server is "
            "set up later, with the same name and this disk plugged in."
        )
        return tuple(found)
    found += _server_notes(plans, server)
    return tuple(found)


def _server_notes(plans: Plans, server: Server) -> list[str]:
    found = []
    if plans.purpose.vault:
        found.append(
            f"ssh there will admit certificates only: passwords, and keys in authorized_keys, end. "
            f"The old {sshd.MAIN} is kept beside it. The machine's own console is as before."
        )
    else:
        found.append(
            f"The ssh that the machine has is not touched; the backup's own is on port "
            f"{server.access.port}."
        )
    if server.force:
        found.append(
            "A backup may destroy what is on the server (zfs receive -F): so may whoever has the "
            "receiving key."
        )
    found += server_system_steps.tend(server, plans.purpose).notes
    if server.tending.files:
        found.append(
            "What concerns the start of the machine counts from its next restart; restart it once "
            "while you are beside it. Each old file is kept with .zrwizard- behind its name."
        )
    else:
        found.append(f"Of the system's files only {rcconf.PATH} is changed, by one line.")
    if server.tending.root == "readonly":
        found.append(
            "Its root becomes read-only with the next restart: to change anything then, "
            "`mount -u -o rw /` first."
        )
    found.append(
        "Not done by this: the router in the other house, its dynamic DNS or tunnel, and the first "
        "backup. The sheet says how."
    )
    return found
