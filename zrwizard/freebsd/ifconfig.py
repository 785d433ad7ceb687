"""ifconfig(8): network interfaces, their addresses and links."""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import IPv4Address

from . import sh, text
from .errors import ParseError

TOOL = "ifconfig"
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.]*", re.ASCII)
_HEAD = re.compile(r"([A-Za-z][A-Za-z0-9_.]*): flags=[0-9a-fA-F]+<([^>]*)>(.*)", re.ASCII)
_MTU = re.compile(r"\bmtu (\d{1,6})\b", re.ASCII)
_INET = re.compile(r"inet ([0-9.]+)(?:/(\d{1,2}))?(?: --> \S+)?(?: netmask (\S+))?.*", re.ASCII)
_ETHER = re.compile(r"ether ([0-9A-Fa-f:]{17})", re.ASCII)


@dataclass(frozen=True, slots=True)
class Address:
    """An IPv4 address and the length of its network prefix."""

    address: str
    prefix: int


@dataclass(frozen=True, slots=True)
class Nic:
    """One interface. `media` and `status` as printed, None where the driver says nothing."""

    name: str
    flags: tuple[str, ...]
    mtu: int | None
    ether: str | None
    addresses: tuple[Address, ...]
    media: str | None
    status: str | None

    @property
    def up(self) -> bool:
        """Whether it is switched on."""
        return "UP" in self.flags

    @property
    def has_link(self) -> bool:
        """Whether a cable is there, as far as the driver knows."""
        return self.status is None or self.status == "active"


# --- commands ---------------------------------------------------------------------------------


def names() -> str:
    """Command: the Ethernet interfaces."""
    return sh.command("ifconfig", "-l", "ether")


def show(nic: str) -> str:
    """Command: one interface in full."""
    return sh.command("ifconfig", nic)


def up(nic: str) -> str:
    """Command: switch it on."""
    return sh.command("ifconfig", nic, "up")


def set_address(nic: str, address: str, prefix: int) -> str:
    """Command: give it an IPv4 address. ValueError for an address or prefix that is none."""
    IPv4Address(address)
    if not 0 < prefix <= 32:
        raise ValueError(f"a prefix length is between 1 and 32, not {prefix}")
    return sh.command("ifconfig", nic, "inet", f"{address}/{prefix}")


# --- parsers ----------------------------------------------------------------------------------


def parse_names(output: str) -> tuple[str, ...]:
    """The interface names, in the order of their attachment. Raises ParseError."""
    found = tuple(output.split())
    for name in found:
        if not _NAME.fullmatch(name):
            raise ParseError(TOOL, "not the name of an interface", name)
    return found


def parse(output: str) -> Nic:
    """One interface. Raises ParseError. Facts B3."""
    rows = text.lines(output)
    head = _HEAD.match(rows[0]) if rows else None
    if not head:
        raise ParseError(TOOL, "no line such as `em0: flags=…` at the start", output)
    mtu = _MTU.search(head[3])
    ether = media = status = None
    addresses: list[Address] = []
    for line in rows[1:]:
        row = line.strip()
        if row.startswith("inet "):
            addresses.append(_address(row))
        elif row.startswith("ether "):
            found = _ETHER.match(row)
            ether = found[1] if found else None
        elif row.startswith("media: "):
            media = row.removeprefix("media: ")
        elif row.startswith("status: "):
            status = row.removeprefix("status: ")
    return Nic(
        name=head[1],
        flags=tuple(flag for flag in head[2].split(",") if flag),
        mtu=int(mtu[1]) if mtu else None,
        ether=ether,
        addresses=tuple(addresses),
        media=media,
        status=status,
    )


def _address(row: str) -> Address:
    found = _INET.fullmatch(row)
    try:
        if found is None:
            raise ValueError("no address")
        address = str(IPv4Address(found[1]))
        prefix = int(found[2]) if found[2] else _prefix(found[3])
    except ValueError:
        raise ParseError(TOOL, "not an IPv4 address", row) from None
    if prefix > 32:
        raise ParseError(TOOL, "a prefix longer than 32", row)
    return Address(address, prefix)


def _prefix(mask: str | None) -> int:
    """The prefix length of a netmask in hexadecimal (`0xffffff00`) or dotted form."""
    if mask is None:
        return 32
    number = int(IPv4Address(mask)) if "." in mask else int(mask, 16)
    bits = number.bit_count()
    if number != ((1 << bits) - 1) << (32 - bits):
        raise ValueError("a netmask with holes")
    return bits
