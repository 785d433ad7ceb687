"""route(8) and resolv.conf(5): the way out and the name servers."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import ip_address

from . import sh

RESOLV_CONF = "/etc/resolv.conf"


def add_default(gateway: str) -> str:
    """Command: set the default gateway. ValueError where it is no address."""
    return sh.command("route", "add", "default", str(ip_address(gateway)))


def delete_default() -> str:
    """Command: remove the default route; fails where there is none."""
    return sh.command("route", "delete", "default")


def write_name_servers(servers: Sequence[str]) -> str:
    """Command: make `servers` the only name servers.

    The live medium's /etc/resolv.conf is a link into /tmp, hence writable (facts A7). ValueError
    where one is no address.
    """
    rows = "".join(f"nameserver {ip_address(server)}\n" for server in servers)
    return sh.write_text(RESOLV_CONF, rows)
