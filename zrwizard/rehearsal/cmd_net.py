"""ifconfig, netstat, route, dhclient, nc, ping (facts/freebsd.md B3 and C6)."""

from __future__ import annotations

import ipaddress
import json

from zrwizard.rehearsal.commands import Call, flags, program, tool
from zrwizard.rehearsal.errors import Fail
from zrwizard.rehearsal.hardware import Nic
from zrwizard.rehearsal.machine import Machine
from zrwizard.rehearsal.sshstate import Door

LEASE = {"em0": "10.0.2.15"}
GATEWAY = "10.0.2.2"
RESOLVER = "10.0.2.3"
LO = (
    "lo0: flags=8049<UP,LOOPBACK,RUNNING,MULTICAST> metric 0 mtu 16384\n"
    "\toptions=680003<RXCSUM,TXCSUM,LINKSTATE,RXCSUM_IPV6,TXCSUM_IPV6>\n"
    "\tinet6 ::1 prefixlen 128\n\tinet6 fe80::1%lo0 prefixlen 64 scopeid 0x3\n"
    "\tinet 127.0.0.1 netmask 0xff000000\n\tgroups: lo\n"
    "\tnd6 options=21<PERFORMNUD,AUTO_LINKLOCAL>\n"
)


def nic(m: Machine, name: str) -> Nic | None:
    """The card called `name`."""
    return next((n for n in m.nics if n.name == name), None)


def _flags(card: Nic) -> str:
    return (
        "8863<UP,BROADCAST,RUNNING,SIMPLEX,MULTICAST>"
        if card.up
        else "8822<BROADCAST,SIMPLEX,MULTICAST>"
    )


def show_nic(card: Nic) -> str:
    """ifconfig's paragraph about a card."""
    text = (
        f"{card.name}: flags={_flags(card)} metric 0 mtu 1500\n"
        f"\toptions={card.options}\n\tether {card.mac}\n"
    )
    if card.address:
        net = ipaddress.ip_interface(f"{card.address}/{card.prefix}").network
        text += (
            f"\tinet {card.address} netmask {int(net.netmask):#010x} "
            f"broadcast {net.broadcast_address}\n"
        )
    return (
        text + f"\tmedia: {card.media}\n"
        f"\tstatus: {'active' if card.link else 'no carrier'}\n"
        "\tnd6 options=29<PERFORMNUD,IFDISABLED,AUTO_LINKLOCAL>\n"
    )


@tool("ifconfig", "/sbin")
def ifconfig(call: Call) -> str:
    """ifconfig(8)."""
    m, args = call.machine, list(call.args)
    if args[:1] == ["-l"]:
        names = [n.name for n in m.nics] + ([] if "ether" in args else ["lo0"])
        return " ".join(names) + "\n"
    cidr = False
    if args[:1] == ["-f"]:
        cidr = "inet:cidr" in args[1]
        args = args[2:]
    if not args or args == ["-a"]:
        return "".join(show_nic(n) for n in m.nics) + LO
    if args == ["lo0"]:
        return LO
    card = nic(m, args[0])
    if card is None:
        raise Fail(f"ifconfig: interface {args[0]} does not exist\n")
    if len(args) == 1 or args[1:] == ["inet"]:
        text = show_nic(card)
        if cidr and card.address:
            mask = int(ipaddress.ip_interface(f"{card.address}/{card.prefix}").netmask)
            text = text.replace(
                f"{card.address} netmask {mask:#010x}", f"{card.address}/{card.prefix}"
            )
        return text
    _configure(m, card, args[1:])
    return ""


def _configure(m: Machine, card: Nic, words: list[str]) -> None:
    was_up = card.up
    removing = "delete" in words or "-alias" in words
    given = False
    while words:
        word = words.pop(0)
        if word in ("up", "down"):
            card.up = word == "up"
        elif word == "netmask" and words:
            try:
                card.prefix = ipaddress.ip_network(f"0.0.0.0/{_mask(words.pop(0))}").prefixlen
            except ValueError:
                raise Fail("ifconfig: bad netmask\n") from None
        elif word in ("broadcast", "mtu", "media") and words:
            words.pop(0)
        elif word in ("inet", "alias", "delete", "-alias", "inet6", "link", "add", "remove"):
            continue
        else:
            _address(card, word)
            given = True
    if removing:
        card.address = ""
    elif given:
        card.up = True
    if card.up and not was_up and card.link:
        m.kernel(f"{card.name}: link state changed to UP")


def _mask(text: str) -> str:
    return str(ipaddress.IPv4Address(int(text, 16))) if text.startswith("0x") else text


def _address(card: Nic, word: str) -> None:
    try:
        found = ipaddress.ip_interface(word)
    except ValueError:
        raise Fail(f"ifconfig: {word}: bad value\n") from None
    card.address, card.prefix = str(found.ip), found.network.prefixlen if "/" in word else 24


@tool("route", "/sbin")
def route(call: Call) -> str:
    """route(8): add, change and delete the default route."""
    m, words = call.machine, [a for a in call.args if not a.startswith("-")]
    if len(words) < 2 or words[1] not in ("default", "0.0.0.0/0", "net"):
        if words[:1] == ["get"] or words[:1] == ["flush"]:
            return f"   gateway: {m.gateway}\n  interface: {m.route_nic}\n" if m.gateway else ""
        raise Fail("usage: route [-j jail] [-46dnqtv] command [[modifiers] args]\n", 64)
    verb, gateway = words[0], words[-1]
    if verb == "delete":
        if not m.gateway:
            raise Fail("route: route has not been found\n")
        gateway, m.gateway = m.gateway, ""
        return f"delete net default: gateway {gateway}\n"
    card = route_to(m, gateway, direct=True)
    if card is None:
        raise Fail(
            "route: message indicates error: Network is unreachable\n",
            out=f"{verb} net default: gateway {gateway} fib 0: Network is unreachable\n",
        )
    if verb == "add" and m.gateway:
        raise Fail("", 1, f"add net default: gateway {gateway} fib 0: route already in table\n")
    m.gateway, m.route_nic = gateway, card.name
    return f"{verb} net default: gateway {gateway}\n"


def route_to(m: Machine, address: str, *, direct: bool = False) -> Nic | None:
    """The card by which an address is reached, None where there is no route."""
    for card in m.nics:
        if card.up and card.link and card.address:
            net = ipaddress.ip_interface(f"{card.address}/{card.prefix}").network
            if ipaddress.ip_address(address) in net:
                return card
    if direct or not m.gateway:
        return None
    return route_to(m, m.gateway, direct=True)


def resolve(call: Call, host: str) -> str:
    """An address for a host name; empty where it does not resolve."""
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        pass
    path = "/etc/resolv.conf"
    named = call.exists(path) and "nameserver" in call.read(path).decode("utf-8", "replace")
    for name, door in call.machine.network.items():
        if named and (host == name or host in door.addresses):
            return name
    return ""


def door_at(m: Machine, address: str) -> Door | None:
    """Who answers at an address."""
    return next((d for d in m.network.values() if address in d.addresses), None)


@program("dhclient", "/sbin")
async def dhclient(call: Call) -> int:
    """dhclient(8): all its words go to standard error."""
    m = call.machine
    _, names = flags(call.args, "clp")
    card = nic(m, names[0] if names else "")
    if card is None:
        name = names[0] if names else ""
        raise Fail(f"ifconfig: interface {name} does not exist\n{name}: not found\nexiting.\n")
    if card.dhclient:
        raise Fail(f"dhclient already running, pid: {card.dhclient}.\nexiting.\n")
    card.up = True
    if not card.link:
        await call.err(f"{card.name}: no link ")
        for _ in range(10):
            await m.clock.sleep(1)
            await call.err(".")
        raise Fail(" giving up\n")
    every = "255.255.255.255 port 67"
    lease = LEASE.get(card.name, "10.0.2.16")
    if not m.dhcp:
        for wait in (4, 7, 11, 15, 20, 4):
            await call.err(f"DHCPDISCOVER on {card.name} to {every} interval {wait}\n")
            await m.clock.sleep(wait)
        card.dhclient = m.new_process(f"dhclient: {card.name} (dhclient)").pid
        await call.err(
            "No DHCPOFFERS received.\nNo working leases in persistent database - sleeping.\n"
        )
        return 0
    await call.err(f"DHCPDISCOVER on {card.name} to {every} interval 5\n")
    await m.clock.sleep(1)
    await call.err(f"DHCPOFFER from {GATEWAY}\nDHCPREQUEST on {card.name} to {every}\n")
    await m.clock.sleep(0.2)
    card.address, card.prefix = lease, 24
    card.receive(600)
    if not m.gateway:
        m.gateway, m.route_nic = GATEWAY, card.name
    call.write("/etc/resolv.conf", f"# Generated by resolvconf\nnameserver {RESOLVER}\n\n".encode())
    card.dhclient = m.new_process(f"dhclient: {card.name} (dhclient)").pid
    await call.err(f"DHCPACK from {GATEWAY}\nbound to {lease} -- renewal in 43200 seconds.\n")
    return 0


@program("netstat")
async def netstat(call: Call) -> int:
    """netstat(1): -rn, -I nic -w seconds [-q rows], -ibn -I nic, with --libxo json."""
    words = list(call.args)
    as_json = "--libxo" in words and words[words.index("--libxo") + 1].startswith("json")
    if "--libxo" in words:
        at = words.index("--libxo")
        del words[at : at + 2]
    found, _ = flags(words, "Iwqf")
    if "r" in found:
        await call.out(_routes(call.machine))
        return 0
    name = found.get("I", "")
    card = nic(call.machine, name)
    if "w" in found:
        if name and card is None:
            raise Fail(f"netstat: interface {name} not found: Inappropriate ioctl for device\n", 65)
        return await _stream(call, card, float(found["w"]), int(found.get("q", "0")), as_json)
    await call.out(_interfaces(call.machine, card, as_json))
    return 0


def _routes(m: Machine) -> str:
    text = (
        "Routing tables\n\nInternet:\n"
        "Destination        Gateway            Flags     Netif Expire\n"
    )
    if m.gateway:
        text += f"{'default':<18s} {m.gateway:<18s} {'UGS':<5s} {m.route_nic:>9s}\n"
    for number, card in enumerate(m.nics, 1):
        if card.address:
            net = ipaddress.ip_interface(f"{card.address}/{card.prefix}").network
            link = f"link#{number}"
            text += f"{net!s:<18s} {link:<18s} {'U':<5s} {card.name:>9s}\n"
            text += f"{card.address:<18s} {link:<18s} {'UHS':<5s} {'lo0':>9s}\n"
    lo = f"link#{len(m.nics) + 1}"
    text += f"{'127.0.0.1':<18s} {lo:<18s} {'UH':<5s} {'lo0':>9s}\n"
    text += (
        "\nInternet6:\nDestination                       Gateway                       "
        "Flags     Netif Expire\n"
    )
    for to, via, mark in (
        ("::/96", "::1", "UGRS"),
        ("::1", lo, "UHS"),
        ("::ffff:0.0.0.0/96", "::1", "UGRS"),
        ("fe80::/10", "::1", "UGRS"),
        ("fe80::%lo0/64", lo, "U"),
        ("fe80::1%lo0", lo, "UHS"),
        ("ff02::/16", "::1", "UGRS"),
    ):
        text += f"{to:<33s} {via:<29s} {mark:<5s} {'lo0':>9s}\n"
    return text


def _interfaces(m: Machine, card: Nic | None, as_json: bool) -> str:
    cards = [card] if card else m.nics
    rows = [(n, f"<Link#{m.nics.index(n) + 1}>") for n in cards]
    if as_json:
        return (
            json.dumps(
                {
                    "statistics": {
                        "interface": [
                            {
                                "name": n.name,
                                "flags": "0x8863" if n.up else "0x8822",
                                "mtu": 1500,
                                "network": link,
                                "address": n.mac,
                                "received-packets": n.ipackets,
                                "received-errors": 0,
                                "dropped-packets": 0,
                                "received-bytes": n.ibytes,
                                "sent-packets": n.opackets,
                                "send-errors": 0,
                                "sent-bytes": n.obytes,
                                "collisions": 0,
                            }
                            for n, link in rows
                        ]
                    }
                },
                separators=(",", ":"),
            ).replace('{"statistics":{"interface":', '{"statistics": {"interface": ')
            + "\n"
        )
    text = (
        "Name    Mtu Network       Address              Ipkts Ierrs Idrop     Ibytes    Opkts "
        "Oerrs     Obytes  Coll\n"
    )
    for n, link in rows:
        name = n.name + ("" if n.up else "*")
        text += (
            f"{name:<6s} {1500:>5d} {link:<13s} {n.mac:<17s} {n.ipackets:>8d} {0:>5d} {0:>5d} "
            f"{n.ibytes:>10d} {n.opackets:>8d} {0:>5d} {n.obytes:>10d} {0:>5d}\n"
        )
        if n.address:
            net = ipaddress.ip_interface(f"{n.address}/{n.prefix}").network
            text += (
                f"{name:<6s} {'-':>5s} {net!s:<13s} {n.address:<17s} {n.ipackets:>8d} "
                f"{'-':>5s} {'-':>5s} {n.ibytes:>10d} {n.opackets:>8d} {'-':>5s} "
                f"{n.obytes:>10d} {'-':>5s}\n"
            )
    return text


def _counters(m: Machine, card: Nic | None) -> tuple[int, int, int, int]:
    cards = [card] if card else m.nics
    return (
        sum(n.ipackets for n in cards),
        sum(n.ibytes for n in cards),
        sum(n.opackets for n in cards),
        sum(n.obytes for n in cards),
    )


async def _stream(call: Call, card: Nic | None, every: float, rows: int, as_json: bool) -> int:
    name = card.name if card else "(Total)"
    heads = (
        f"{'input':>17s} {name:>14s} {'output':>16s}\n"
        "   packets  errs idrops      bytes    packets  errs      bytes colls\n"
    )
    before, done, parts = _counters(call.machine, card), 0, []
    if not as_json:
        await call.out(heads)
    while not rows or done < rows:
        # A row for less than a twentieth of a real second would only cost time.
        await call.machine.clock.sleep(max(every, 0.05 * call.machine.clock.speed))
        now = _counters(call.machine, card)
        ip, ib, op, ob = (a - b for a, b in zip(now, before, strict=True))
        before, done = now, done + 1
        if as_json:
            parts.append(
                f'{{"received-packets":{ip},"received-errors":0,"dropped-packets":0,'
                f'"received-bytes":{ib},"sent-packets":{op},"send-errors":0,'
                f'"sent-bytes":{ob},"collisions":0}}'
            )
            continue
        if done > 1 and (done - 1) % 21 == 0:
            await call.out(heads)
        await call.out(f"{ip:>10d} {0:>5d} {0:>5d} {ib:>10d} {op:>10d} {0:>5d} {ob:>10d} {0:>5d}\n")
    if as_json:
        await call.out('{"statistics": {"interface-statistics": [' + ", ".join(parts) + "]}}\n")
    return 0


@program("nc")
async def nc(call: Call) -> int:
    """nc(1) -z: does a port answer?"""
    found, names = flags(call.args, "wipsX")
    host, port = names[0] if names else "", int(names[1]) if len(names) > 1 else 0
    address = resolve(call, host)
    if not address:
        raise Fail("nc: getaddrinfo: Name does not resolve\n")
    m = call.machine
    if route_to(m, address) is None:
        raise Fail(
            f"nc: connect to {host} port {port} (tcp) failed: No route to host\n"
            if "v" in found
            else ""
        )
    door = door_at(m, address)
    if door is None:
        await m.clock.sleep(float(found.get("w", "75")))
        raise Fail(
            f"nc: connect to {host} port {port} (tcp) failed: Operation timed out\n"
            if "v" in found
            else ""
        )
    if door.refused or port not in door.ports:
        raise Fail(
            f"nc: connect to {host} port {port} (tcp) failed: Connection refused\n"
            if "v" in found
            else ""
        )
    await call.out(f"Connection to {host} {port} port [tcp/*] succeeded!\n" if "v" in found else "")
    if "z" not in found:
        await call.out("SSH-2.0-OpenSSH_9.0 FreeBSD-20220415\r\n")
    return 0


@program("ping", "/sbin")
async def ping(call: Call) -> int:
    """ping(8) -c count."""
    found, names = flags(call.args, "ctiWs")
    host = names[0] if names else ""
    address = resolve(call, host)
    if not address:
        raise Fail(f"ping: cannot resolve {host}: Name does not resolve\n", 68)
    m = call.machine
    await call.out(f"PING {host} ({address}): 56 data bytes\n")
    if route_to(m, address) is None:
        raise Fail("ping: sendto: No route to host\n", 2)
    count = int(found.get("c", "4"))
    alive = door_at(m, address) is not None or address == GATEWAY
    for number in range(count):
        await m.clock.sleep(1 if number else 0.01)
        if alive:
            await call.out(f"64 bytes from {address}: icmp_seq={number} ttl=64 time=0.487 ms\n")
    got = count if alive else 0
    await call.out(
        f"\n--- {host} ping statistics ---\n{count} packets transmitted, {got} packets "
        f"received, {100 * (count - got) / count:.1f}% packet loss\n"
    )
    if alive:
        await call.out("round-trip min/avg/max/stddev = 0.487/0.487/0.487/0.000 ms\n")
    return 0 if alive else 2
