"""The guests themselves: do they print what FreeBSD prints, and does the machinery restore a
tree without any help from the product?"""

from __future__ import annotations

import json
import re
import socket
import time
from pathlib import Path

import pytest

from . import look, tree
from .conftest import SERVER_ADDRESS, TARGET_DISK_SERIAL, Pair
from .machines import BOOT_SECONDS, Guest

pytestmark = pytest.mark.guest

RECORDED = json.loads((Path(__file__).parent / "recorded" / "commands.json").read_text())
PRODUCT_COMMANDS = """
awk b64decode b64encode base64 cat chmod cksum cmp conscontrol cp cut daemon date dd df dhclient
diskinfo freebsd-version geli geom gpart grep gzip head id ifconfig kenv kill kldload kldstat ls
mkdir mktemp mount mv nc netstat newfs_msdos poweroff printf ps reboot rm route sed sh
sha256 sleep sort ssh ssh-keygen ssh-keyscan stty swapinfo sysctl tail test timeout tr umount
uname wc zfs zpool
"""
VARIES = (
    (re.compile(r"(?<=rawuuid: )[-0-9a-f]{36}|(?<=efimedia: HD\(.,GPT,)[-0-9a-f]{36}"), "UUID"),
    (re.compile(r"52:54:00:[:0-9a-f]{8}"), "MAC"),
    (re.compile(r"14_\d_\w+_CD"), "CD"),
    (re.compile(r"^(/dev/iso9660/CD|devfs|tmpfs) +\d+ +\d+ +\d+ +\d+%", re.MULTILINE), r"\1 FREE"),
    (re.compile(r"^Filesystem +1024-blocks +Used +Avail", re.MULTILINE), "Filesystem Used Avail"),
)
TUNE_SSH = "-o ConnectTimeout=20 -o StrictHostKeyChecking=no -o UserKnownHostsFile=/tmp/known_hosts"


def steady(text: str) -> str:
    """Text without what differs between any two machines."""
    for pattern, word in VARIES:
        text = pattern.sub(word, text)
    return text


def console_reads(guest: Guest, typed: bytes, seconds: float = 20, until: bytes = b"# ") -> bytes:
    """Type at the console and read until it shows `until` at its end; then hang up."""
    _, port = guest.console_url.rsplit(":", 1)
    heard = b""
    with socket.create_connection(("127.0.0.1", int(port)), timeout=5) as line:
        line.settimeout(1)
        line.sendall(typed)
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and not heard.endswith(until):
            try:
                heard += line.recv(4096)
            except TimeoutError:
                continue
    return heard


def replay(guest: Guest, group: str) -> None:
    """Run recorded commands; collect every difference before failing."""
    wrong = []
    for entry in RECORDED[group]:
        result = guest.run(entry["cmd"], check=False)
        want = (entry["status"], steady(entry["stdout"]), steady(entry["stderr"]))
        got = (result.status, steady(result.out), steady(result.err))
        if want != got:
            wrong.append(f"$ {entry['cmd']}\n-- FreeBSD {want}\n-- guest   {got}")
    assert not wrong, "\n".join(wrong)


def static_address(guest: Guest) -> None:
    guest.run("ifconfig vtnet0 inet 10.99.0.3/24")


def askpass(guest: Guest, word: str) -> str:
    """Environment in which ssh gets `word` for every question, without a terminal."""
    guest.put("/tmp/askpass", f"#!/bin/sh\necho '{word}'\n".encode(), "700")
    return "SSH_ASKPASS=/tmp/askpass SSH_ASKPASS_REQUIRE=force"


def test_commands_on_a_blank_machine(guests: Pair) -> None:
    replay(guests.target, "blank")
    assert guests.target.out("sysctl -n kern.disks; ifconfig -l ether") == "vtbd0\nvtnet0\n"
    assert guests.target.out("diskinfo -s vtbd0") == f"{TARGET_DISK_SERIAL}\n"


def test_small_tools(guests: Pair) -> None:
    guests.target.run("kldload -n zfs")
    replay(guests.target, "small")
    words = " ".join(PRODUCT_COMMANDS.split())
    absent = guests.target.out(f"for c in {words}; do command -v $c > /dev/null || echo $c; done")
    assert absent == ""


def test_live_medium_is_read_only(guests: Pair) -> None:
    assert "Read-only file system" in guests.target.run("touch /root/x", check=False).err
    assert guests.target.lines("df -k /tmp")[1].split()[1] == "20480"
    assert guests.target.lines("uname -s -r -m") == ["FreeBSD 14.3-RELEASE amd64"]


def test_the_console_is_a_root_shell_with_kernel_noise(guests: Pair) -> None:
    assert b"\n# " in console_reads(guests.target, b"\r").replace(b"\r", b"")
    # A second client finds the line free again, and the noise of zg.kmsg=3 on it.
    heard = console_reads(guests.target, b"sleep 4; echo do''ne\r", until=b"done\r\n# ")
    assert re.search(rb"vtnet0: link|GEOM_PART: |ugen0|exited on signal", heard)


def test_muting_stops_the_noise(guests: Pair) -> None:
    guests.target.run("conscontrol mute on")
    try:
        heard = console_reads(guests.target, b"sleep 4; echo do''ne\r", until=b"done\r\n# ")
        assert not re.search(rb"vtnet0: link|GEOM_PART: |ugen0|exited on signal", heard)
    finally:
        guests.target.run("conscontrol mute off")


def test_every_way_to_log_in(guests: Pair) -> None:
    target = guests.target
    static_address(target)
    for port, method in ((22, "password"), (2223, "keyboard-interactive")):
        login = f"ssh {TUNE_SSH} -o PreferredAuthentications={method} -p {port} {SERVER_ADDRESS}"
        good = target.run(f"{askpass(target, 'zguest')} {login} hostname", timeout=90)
        assert good.out == "hostB\n"
    wrong = f"{askpass(target, 'wrong')} {login} -o NumberOfPasswordPrompts=1 true"
    bad = target.run(wrong, timeout=90, check=False)
    assert bad.status == 255
    assert "Permission denied" in bad.err
    target.put("/tmp/id", guests.image.key.read_bytes(), "600")
    target.put("/tmp/id_locked", guests.image.locked_key.read_bytes(), "600")
    login = f"ssh {TUNE_SSH} -o BatchMode=yes -i /tmp/id {SERVER_ADDRESS} hostname"
    assert target.out(login, timeout=90) == "hostB\n"
    login = f"ssh {TUNE_SSH} -i /tmp/id_locked {SERVER_ADDRESS} hostname"
    assert target.out(f"{askpass(target, 'zguest key')} {login}", timeout=90) == "hostB\n"


def test_dhcp_without_a_server_ends_with_zero(guests: Pair) -> None:
    result = guests.target.run("dhclient vtnet0")
    assert "No DHCPOFFERS received." in result.err


def test_dhcp_with_a_server(guests: Pair) -> None:
    guests.server.put(
        "/run/udhcpd.conf",
        b"start 10.99.0.50\nend 10.99.0.50\ninterface vtnet0\nlease_file /run/leases\n"
        b"option subnet 255.255.255.0\noption router 10.99.0.1\noption dns 10.99.0.1\n",
    )
    guests.server.run(
        "touch /run/leases; busybox udhcpd -f /run/udhcpd.conf & echo $! > /run/udhcpd.pid"
    )
    try:
        result = guests.target.run("dhclient vtnet0")
        assert "bound to 10.99.0.50 -- renewal in" in result.err
        assert "inet 10.99.0.50 netmask 0xffffff00" in guests.target.out("ifconfig vtnet0")
        assert guests.target.out("cat /etc/resolv.conf") == "nameserver 10.99.0.1\n"
    finally:
        guests.server.run("kill $(cat /run/udhcpd.pid)")
        guests.target.run("route delete default")


def test_the_backup_is_as_described(guests: Pair) -> None:
    server = guests.server
    held = look.snapshots(server, tree.POOL)
    filesystems = look.datasets(server, tree.POOL)
    assert {f"{name}@{tree.SNAPSHOT}" for name in filesystems} <= held.keys()
    assert f"{tree.MISSING_ON}@{tree.INCOMPLETE}" not in held
    assert look.origins(server, tree.POOL) == {
        tree.BOOT_ENVIRONMENTS[0]: f"{tree.BOOT_ENVIRONMENTS[1]}@2025-07-01"
    }
    assert look.settings(server, tree.POOL)["home", "org.example:note"] == (tree.NOTE, "local")
    assert int(server.out(f"zpool list -Hp -o allocated {tree.POOL}")) > 20_000_000
    incomplete = server.run(f"zfs send -nvP -R {tree.POOL}@{tree.INCOMPLETE}", check=False)
    assert incomplete.status == 1
    assert "does not exist" in incomplete.err


def test_partitioning_prints_what_freebsd_prints(guests: Pair) -> None:
    guests.target.run("zpool export -a; gpart destroy -F vtbd0", check=False)
    replay(guests.target, "disk")
    guests.target.run("zpool export zroot && gpart destroy -F vtbd0")
    assert guests.target.out("gpart show; ls /dev/gpt 2> /dev/null || :") == ""


def restore_by_hand(guests: Pair) -> None:
    """The commands of a restore, typed beside the console."""
    target, environment = guests.target, f"zroot/{tree.BOOT_ENVIRONMENTS[0]}"
    static_address(target)
    target.put("/tmp/id", guests.image.key.read_bytes(), "600")
    target.run("""set -e
        gpart create -s gpt vtbd0
        gpart add -a 4k -i 1 -l gptboot0 -t freebsd-boot -s 512k vtbd0
        gpart add -a 1m -i 2 -l efiboot0 -t efi -s 260m vtbd0
        gpart add -a 1m -i 3 -l swap0 -t freebsd-swap -s 512m vtbd0
        gpart add -a 1m -i 4 -l zfs0 -t freebsd-zfs vtbd0
        kldload -n zfs
        zpool create -o altroot=/mnt -o ashift=12 -o compatibility=openzfs-2.0-freebsd \
          -o comment=zrwizard-test -O compression=lz4 -O atime=off -m none zroot gpt/zfs0""")
    target.run(
        f"{{ ssh {TUNE_SSH} -o BatchMode=yes -i /tmp/id {SERVER_ADDRESS} 'zfs send -R "
        f"{tree.POOL}@{tree.SNAPSHOT}'; echo $? > /tmp/send.rc; }} | zfs receive -v -Fu zroot && "
        '[ "$(cat /tmp/send.rc)" = 0 ]',
        timeout=180,
    )
    target.run(f"""set -e
        zfs mount -o ro {environment}
        gpart bootcode -b /mnt/boot/pmbr -p /mnt/boot/gptzfsboot -i 1 vtbd0
        newfs_msdos -F 32 -c 1 -L EFISYS /dev/gpt/efiboot0
        mkdir -p /tmp/esp
        mount -t msdosfs /dev/gpt/efiboot0 /tmp/esp
        mkdir -p /tmp/esp/EFI/BOOT
        cp /mnt/boot/loader.efi /tmp/esp/EFI/BOOT/BOOTX64.EFI
        umount /tmp/esp
        zfs unmount {environment}
        zpool set bootfs={environment} zroot""")


def test_a_restore_by_hand_gives_the_same_tree_boots_and_powers_off(guests: Pair) -> None:
    server, target = guests.server, guests.reset_target(options={"firmware": "1"}, reboots=True)
    assert target.run("test -e /run/zg/installed", check=False).status == 1  # blank: live medium
    restore_by_hand(guests)
    sent = {
        name: guid
        for name, guid in look.snapshots(server, tree.POOL).items()
        if not name.endswith(tree.INCOMPLETE)
    }
    assert look.snapshots(target, "zroot") == sent
    assert look.origins(target, "zroot") == look.origins(server, tree.POOL)
    source = look.contents(server, tree.POOL, tree.SNAPSHOT)
    assert look.contents(target, "zroot", tree.SNAPSHOT) == source
    there = {key: value for key, (value, _) in look.settings(server, tree.POOL).items()}
    here = {
        key: value.removeprefix("/mnt") or "/" if key[1] == "mountpoint" else value
        for key, (value, _) in look.settings(target, "zroot").items()
    }
    assert there.items() <= here.items()
    sizes, digests = look.snapshot_boot_files(
        server, f"{tree.POOL}/{tree.BOOT_ENVIRONMENTS[0]}@{tree.SNAPSHOT}"
    )
    assert look.boot_digests(target, sizes) == digests
    assert look.boot_files(target)[1] != digests
    assert [(p.index, p.start, p.size, p.type, p.label) for p in look.partitions(target)] == [
        (1, 40, 1024, "freebsd-boot", "gptboot0"),
        (2, 2048, 532480, "efi", "efiboot0"),
        (3, 534528, 1048576, "freebsd-swap", "swap0"),
        (4, 1583104, 6803456, "freebsd-zfs", "zfs0"),
    ]
    target.run("zpool export zroot")
    target.run("reboot")
    target.wait_for("test -e /run/zg/installed", BOOT_SECONDS)
    assert console_reads(target, b"\r", until=b"login: ").endswith(
        b"\r\n\r\nFreeBSD/amd64 (hostA) (ttyu0)\r\n\r\nlogin: "
    )
    target.run("shutdown -p now")
    target.wait_off()
    guests.reset_target()
