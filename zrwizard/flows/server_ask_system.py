"""The questions about the machine around it: its files, where it will stand, what it will keep."""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv4Interface, ip_address

from zrwizard.facts import TargetFacts
from zrwizard.flows.asking import Talk
from zrwizard.flows.moves import Choose, Enter, Option
from zrwizard.flows.server_choices import Fixed, Purpose, Reach, Source, Tending

NONE = "none"
KEEP = "keep"
DHCP = "dhcp"
LAN = "lan"
_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]{0,252}[A-Za-z0-9])?", re.ASCII)
_PART = r"[A-Za-z0-9_][A-Za-z0-9_.:-]*"
_DATASET = re.compile(rf"[A-Za-z][A-Za-z0-9_.:-]*(?:/{_PART})*", re.ASCII)
_USER = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,31}", re.ASCII)


def tending(talk: Talk, purpose: Purpose) -> Tending:
    """Return what becomes of rc.conf, fstab and the other files of the system."""
    files = talk.pick(
        Choose(
            key="system.files",
            page="system",
            title="Tend the system's own files?",
            help="A machine that nobody looks after for years wants a clock that is set by "
            "itself, no mail that piles up, few services, and a disk that is written to seldom. "
            "Each change is shown before it is made, and the old file is kept beside the new one.",
            options=(
                Option("all", "Yes, show me the changes", recommended=purpose.vault),
                Option(
                    "none",
                    "No, leave them alone",
                    detail="Only what starts the backup's ssh at the next start is written.",
                    recommended=not purpose.vault,
                ),
            ),
            default="all" if purpose.vault else "none",
        )
    ).value
    if files == NONE:
        return Tending(files=False, root=KEEP, swap=KEEP)
    return Tending(files=True, root=_root(talk), swap=_swap(talk))


def _root(talk: Talk) -> str:
    return talk.pick(
        Choose(
            key="system.root",
            page="system",
            title="The root file system",
            help="Writing wears out a memory card, and a machine that loses power while it writes "
            "may not start again by itself.",
            options=(
                Option(
                    "noatime",
                    "Do not note when a file was read",
                    detail="Saves most of the writing, changes nothing else.",
                    recommended=True,
                ),
                Option(
                    "readonly",
                    "Read-only from the next start on",
                    detail="The safest for a memory card. To change anything later: "
                    "mount -u -o rw / first, and mount -u -o ro / after it.",
                ),
                Option(KEEP, "Leave it as it is"),
            ),
            default="noatime",
        )
    ).value


def _swap(talk: Talk) -> str:
    return talk.pick(
        Choose(
            key="system.swap",
            page="system",
            title="Swap space",
            help="What does not fit into memory is written to the swap partition, and may be "
            "found there later by whoever takes the machine.",
            options=(
                Option(
                    "encrypt",
                    "Encrypt it, with a new key at each start",
                    detail="There are no crash dumps then.",
                    recommended=True,
                ),
                Option(KEEP, "Leave it as it is"),
            ),
            default="encrypt",
        )
    ).value


# --- the other house ----------------------------------------------------------------------------


def reach(talk: Talk, target: TargetFacts) -> Reach:
    """Return how the server is reached once it stands where it will stay."""
    how = talk.pick(
        Choose(
            key="reach.how",
            page="placing",
            title="How will it be reached in the other house?",
            help="Nothing of this is done now. The sheet that is printed at the end says what to "
            "set up there, step by step, for what you choose here.",
            options=(
                Option(LAN, "It stays in this network", recommended=True),
                Option(
                    "forward",
                    "The router there forwards a port to it",
                    detail="The usual way with an address of its own, or with dynamic DNS.",
                ),
                Option(
                    "ipv6",
                    "It has an IPv6 address that can be reached",
                    detail="No forwarding; the router must let the port through.",
                ),
                Option(
                    "tor",
                    "As a Tor onion service",
                    detail="Needs nothing of the router at all; slow. Installed by hand, as the "
                    "sheet says.",
                ),
                Option("vpn", "Through a VPN that is there already"),
            ),
            default=LAN,
        )
    ).value
    name = talk.enter(
        Enter(
            key="reach.name",
            page="placing",
            title="The name or address that it will have there",
            help="A name with dynamic DNS, a fixed address, an onion address; none if you do not "
            "know yet. It is written onto the sheet, and can be changed at any time.",
            default=NONE,
            example="knox.example.org",
        ),
        _bad_reach_name,
    )
    address, fixed = _address(talk, target)
    return Reach(how, "" if name == NONE else name, address, fixed)


def _bad_reach_name(text: str) -> str | None:
    if _NAME.fullmatch(text):
        return None
    try:
        ip_address(text)
    except ValueError:
        return f"{text!r} is neither a name nor an address."
    return None


def _address(talk: Talk, target: TargetFacts) -> tuple[str, Fixed | None]:
    question = Enter(
        key="reach.address",
        page="placing",
        title="Its own address in that network",
        help="keep leaves it as it is. dhcp asks the router there, which should then be told to "
        "give it always the same address. Or a fixed address and the router's: 192.0.2.20/24 "
        "192.0.2.1. It counts from the next start on, not now.",
        default=KEEP,
        example="192.0.2.20/24 192.0.2.1",
    )
    text = talk.enter(question, _bad_address)
    if text == KEEP:
        return KEEP, None
    nics = [nic.name for nic in target.nics if nic.addresses] or [nic.name for nic in target.nics]
    if len(nics) != 1:
        talk.refuse(
            question,
            f"It has several network interfaces in use ({', '.join(nics)}), and nobody can tell "
            "which one is meant."
            if nics
            else "It has no network interface.",
            "Answer keep, and set it by hand in /etc/rc.conf.",
        )
    if text == DHCP:
        return DHCP, Fixed(nics[0], "", 0, "")
    own, gateway = text.split()
    interface = IPv4Interface(own)
    return text, Fixed(nics[0], str(interface.ip), interface.network.prefixlen, gateway)


def _bad_address(text: str) -> str | None:
    if text in (KEEP, DHCP):
        return None
    words = text.split()
    if len(words) != 2 or "/" not in words[0]:
        return (
            f"{text!r} is not keep, dhcp, or an address with its length and the router's address."
        )
    try:
        own, gateway = IPv4Interface(words[0]), IPv4Address(words[1])
    except ValueError:
        return f"{text!r} is not a pair of IPv4 addresses."
    if own.network.prefixlen < 31 and own.ip in (
        own.network.network_address,
        own.network.broadcast_address,
    ):
        return f"{own.ip} names the whole network {own.network}, not one machine in it."
    if gateway not in own.network or gateway == own.ip:
        return f"The router {gateway} does not lie in the network {own.network} beside it."
    return None


def source(talk: Talk) -> Source:
    """Return what will be backed up there, and by whom; nothing is done about it here."""
    dataset = talk.enter(
        Enter(
            key="source.dataset",
            page="placing",
            title="What will it keep?",
            help="The dataset on the machine that is to be backed up; none if you do not know "
            "yet. The sheet says how an ordinary user there is given the right to send it.",
            default=NONE,
            example="zroot",
        ),
        lambda text: None if _DATASET.fullmatch(text) else f"{text!r} is not a dataset's name.",
    )
    if dataset == NONE:
        return Source("", "")
    user = talk.enter(
        Enter(
            key="source.user",
            page="placing",
            title="Who sends it?",
            help="A user on that machine who runs the backups without being root; none if root "
            "does it.",
            default=NONE,
            example="backup",
        ),
        lambda text: None if _USER.fullmatch(text) else f"{text!r} is not a user name.",
    )
    return Source(dataset, "" if user == NONE else user)
