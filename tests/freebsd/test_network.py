"""Interfaces, routes, DHCP, and the small tools around them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from zrwizard.freebsd import (
    ParseError,
    dhclient,
    geli,
    host,
    ifconfig,
    mount,
    netstat,
    route,
    swapinfo,
    uname,
)

Recorded = Callable[..., str]

WATCH = (
    "(ssh -o ControlPath=/tmp/cm root@10.99.0.2 'dd if=/dev/random bs=64k count=320 "
    "2>/dev/null' > /dev/null &) ; netstat -I vtnet0 -w 1 -q 8"
)


# --- ifconfig ---------------------------------------------------------------------------------


def test_interfaces_as_recorded(recorded: Recorded) -> None:
    assert ifconfig.parse_names(recorded("ifconfig -l ether")) == ("em0", "vtnet0")
    assert ifconfig.parse_names("\n") == ()
    nic = ifconfig.parse(recorded("ifconfig em0"))
    assert nic == ifconfig.Nic(
        name="em0",
        flags=("BROADCAST", "SIMPLEX", "MULTICAST"),
        mtu=1500,
        ether="02:49:be:ad:ba:be",
        addresses=(),
        media="Ethernet autoselect (1000baseT <full-duplex>)",
        status="active",
    )
    assert (nic.up, nic.has_link) == (False, True)


def test_an_interface_of_15_with_addresses() -> None:
    text = (
        "em0: flags=1008843<UP,BROADCAST,RUNNING,SIMPLEX,MULTICAST,LOWER_UP> metric 0 mtu 9000\n"
        "\toptions=48100b8<VLAN_MTU>\n\tether 52:54:00:12:34:56\n"
        "\tinet 10.0.2.15 netmask 0xffffff00 broadcast 10.0.2.255\n"
        "\tinet 192.168.1.1/28 broadcast 192.168.1.15\n"
        "\tinet6 fe80::1%em0 prefixlen 64 scopeid 0x1\n"
        "\tmedia: Ethernet autoselect\n\tstatus: no carrier (cable is unplugged)\n"
    )
    nic = ifconfig.parse(text)
    assert nic.addresses == (
        ifconfig.Address("10.0.2.15", 24),
        ifconfig.Address("192.168.1.1", 28),
    )
    assert (nic.up, nic.has_link, nic.mtu) == (True, False, 9000)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ifconfig: interface em9 does not exist\n",
        "em0: flags=8843<UP> metric 0\n\tinet 10.0.2.999 netmask 0xffffff00\n",
        "em0: flags=8843<UP> metric 0\n\tinet 10.0.2.1 netmask 0xff00ff00\n",
        "em0: flags=8843<UP> metric 0\n\tinet 10.0.2.1/99\n",
    ],
)
def test_interface_nonsense(text: str) -> None:
    with pytest.raises(ParseError):
        ifconfig.parse(text)


def test_addresses_are_checked_before_they_are_typed() -> None:
    with pytest.raises(ValueError, match="octets"):
        ifconfig.set_address("em0", "$(id)", 24)
    with pytest.raises(ValueError, match="prefix"):
        ifconfig.set_address("em0", "10.0.0.1", 33)
    with pytest.raises(ValueError, match="gateway"):
        route.add_default("gateway")
    assert ifconfig.set_address("em0", "10.0.0.1", 24) == "ifconfig em0 inet 10.0.0.1/24"


# --- netstat ----------------------------------------------------------------------------------


def test_traffic_as_recorded(recorded: Recorded) -> None:
    rows = netstat.parse_rows(recorded(WATCH))
    assert len(rows) == 8
    assert rows[0] == netstat.Row(4699, 0, 0, 7016630, 2372, 0, 158172, 0)
    assert sum(row.bytes_in for row in rows) == 21966204


def test_traffic_skips_headers_noise_and_an_unfinished_row() -> None:
    text = (
        "            input         em0           output\n"
        "   packets  errs idrops      bytes    packets  errs      bytes colls\n"
        "         1     0     0          2          3     0          4     0\n"
        "em0: link state changed to UP\n"
        "            input         em0           output\n"
        "123456789012     0 123456          9          3     0          4     0\n"
        "         5     0     0          6          7     0          8     0"
    )
    assert [row.bytes_in for row in netstat.parse_rows(text)] == [2, 9]


def test_default_route(recorded: Recorded) -> None:
    assert netstat.parse_default_route(recorded("netstat -rn")) is None
    text = (
        "Routing tables\n\nInternet:\nDestination        Gateway        Flags     Netif Expire\n"
        "default            10.99.0.2          UGS      vtnet0\n"
        "10.99.0.0/24       link#2             U        vtnet0\n\nInternet6:\n"
        "Destination  Gateway  Flags  Netif Expire\ndefault  fe80::1%em0  UGS  em0\n"
    )
    assert netstat.parse_default_route(text) == netstat.DefaultRoute("10.99.0.2", "vtnet0")
    assert (
        netstat.parse_default_route("Routing tables\n\n" + text[text.index("Internet6:") :]) is None
    )
    with pytest.raises(ParseError):
        netstat.parse_default_route("netstat: kvm not available\n")


# --- dhclient ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "lease"),
    [
        ("DHCPDISCOVER on em0 to 255.255.255.255 port 67 interval 3\nDHCPOFFER from 10.0.2.2\n"
         "DHCPREQUEST on em0 to 255.255.255.255 port 67\nDHCPACK from 10.0.2.2\n"
         "bound to 10.0.2.15 -- renewal in 43200 seconds.\n",
         dhclient.Lease(dhclient.Outcome.BOUND, address="10.0.2.15")),
        ("em0: no link ......... got link\nbound to 10.0.2.16 -- renewal in 5 seconds.\n",
         dhclient.Lease(dhclient.Outcome.BOUND, address="10.0.2.16")),
        ("DHCPDISCOVER on em0 to 255.255.255.255 port 67 interval 6\nNo DHCPOFFERS received.\n"
         "No working leases in persistent database - sleeping.\n",
         dhclient.Lease(dhclient.Outcome.NO_OFFERS)),
        ("dhclient already running, pid: 731.\nexiting.\n",
         dhclient.Lease(dhclient.Outcome.RUNNING, pid=731)),
        ("em0: no link ................ giving up\n", dhclient.Lease(dhclient.Outcome.NO_LINK)),
        ("", dhclient.Lease(dhclient.Outcome.UNKNOWN)),
    ],
)  # fmt: skip
def test_dhcp(text: str, lease: dhclient.Lease) -> None:
    assert dhclient.classify(text) == lease
    found = dhclient.explain(lease, "em0")
    assert (found is None) == (lease.outcome is dhclient.Outcome.BOUND)


def test_dhcp_without_an_interface_as_recorded(recorded: Recorded) -> None:
    lease = dhclient.classify(recorded("timeout 3 dhclient em9", part="stderr"))
    assert lease.outcome is dhclient.Outcome.NO_INTERFACE


# --- the rest ---------------------------------------------------------------------------------


def test_mounts_as_recorded(recorded: Recorded) -> None:
    mounts = mount.parse_mounted(recorded("mount -p"))
    assert mounts[0] == mount.Mount("/dev/iso9660/14_0_CURRENT_AMD64_CD", "/", "cd9660", ("ro",))
    assert mounts[0].read_only
    assert mounts[5] == mount.Mount("zroot/ROOT/default", "/mnt", "zfs", ("rw", "nfsv4acls"))
    (odd,) = mount.parse_mounted("tank/a b\t/mnt/with space\tzfs\trw\t0 0\n")
    assert (odd.device, odd.point) == ("tank/a b", "/mnt/with space")
    with pytest.raises(ParseError):
        mount.parse_mounted("zroot on / (zfs)\n")


def test_room_as_recorded(recorded: Recorded) -> None:
    rooms = {room.point: room for room in mount.parse_room(recorded("df -k"))}
    assert rooms["/tmp"] == mount.Room("tmpfs", 20480 << 10, 8 << 10, 20472 << 10, "/tmp")
    (full,) = mount.parse_room(
        "Filesystem 1024-blocks Used Avail Capacity Mounted on\n/dev/da0 100 108 -8 108% /a b\n"
    )
    assert (full.available, full.point) == (-8192, "/a b")
    with pytest.raises(ParseError):
        mount.parse_room("df: /x: No such file or directory\n")


def test_swap_as_recorded(recorded: Recorded) -> None:
    assert swapinfo.parse(recorded("swapinfo -k")) == ()
    command = "swapon /dev/gpt/swap0; swapinfo -k; swapon /dev/gpt/swap0; swapoff /dev/gpt/swap0"
    assert swapinfo.parse(recorded(command)) == (swapinfo.Swap("/dev/gpt/swap0", 512 << 20, 0),)
    two = "Device 1K-blocks Used Avail Capacity\n/dev/a 1 0 1 0%\n/dev/b 1 0 1 0%\nTotal 2 0 2 0%\n"
    assert len(swapinfo.parse(two)) == 2
    with pytest.raises(ParseError):
        swapinfo.parse("")


def test_geli_as_recorded(recorded: Recorded) -> None:
    assert geli.parse_status(recorded("geli status", 0)) == ()
    assert geli.parse_status(recorded("geli status", 1)) == (
        geli.Attached("ada0.eli", "ACTIVE", "ada0"),
        geli.Attached("vtbd1.eli", "ACTIVE", "vtbd1"),
    )
    with pytest.raises(ParseError):
        geli.parse_status("geli: Command 'status' not available; try 'load' first.\n")


def test_uname() -> None:
    system = uname.parse("FreeBSD 14.1-RELEASE-p3 amd64\n")
    assert (system.name, system.version, system.machine) == ("FreeBSD", (14, 1), "amd64")
    assert uname.version_of("15") == (15, 0)
    assert uname.version_of("13.2-STABLE") == (13, 2)
    assert uname.version_of("bookworm") is None
    with pytest.raises(ParseError):
        uname.parse("FreeBSD\n")


def test_host(recorded: Recorded) -> None:
    assert host.parse_now(recorded("date -u +%FT%TZ")) == datetime(
        2026, 11, 21, 20, 49, 9, tzinfo=UTC
    )
    assert host.parse_user_id("0\n") == 0
    assert "zol-0.8" in host.parse_names(recorded("ls /usr/share/zfs/compatibility.d"))
    for broken in ("", "yesterday\n"):
        with pytest.raises(ParseError):
            host.parse_now(broken)
