"""The whole restore over the socket, by the commands of the plan; then what goes wrong."""

from __future__ import annotations

import time
from typing import Any

import pytest

from zrwizard.rehearsal import SCENARIOS, RehearsalUnavailable, Start, scenario, variant

PLAIN = {"start": Start.PLAIN}
CONFIG = (
    "Host backup\\n HostName 10.0.2.2\\n Port 2223\\n User root\\n ControlPath /tmp/z/cm\\n "
    "UserKnownHostsFile /tmp/z/kh\\n StrictHostKeyChecking yes\\n ConnectTimeout 10\\n"
)
DISK = (
    "gpart create -s gpt vtbd0 && "
    "gpart add -a 4k -i 1 -l gptboot0 -t freebsd-boot -s 512k vtbd0 && "
    "gpart add -a 1m -i 2 -l efiboot0 -t efi -s 260m vtbd0 && "
    "gpart add -a 1m -i 3 -l swap0 -t freebsd-swap -s 2g vtbd0 && "
    "gpart add -a 1m -i 4 -l zfs0 -t freebsd-zfs vtbd0"
)
ESP = (
    "newfs_msdos -F 32 -c 1 -L EFISYS /dev/gpt/efiboot0 && mkdir -p /tmp/z/esp && "
    "mount -t msdosfs /dev/gpt/efiboot0 /tmp/z/esp && mkdir -p /tmp/z/esp/EFI/BOOT && "
    "cp /boot/loader.efi /tmp/z/esp/EFI/BOOT/BOOTX64.EFI && umount /tmp/z/esp"
)
POOL = (
    "kldload -n zfs && zpool create -o altroot=/mnt -o ashift=12 -o compatibility="
    "openzfs-2.0-freebsd -O compression=lz4 -O atime=off -m none zroot gpt/zfs0"
)
PULL = (
    "( ssh -F /tmp/z/config -o BatchMode=yes backup 'zfs send -R hostA@2025-08-08-deep' | "
    "zfs receive -v -Fu zroot )"
)
BE = "zroot/ROOT/2025-08-08-deep"
FINISH = (
    f"zfs mount -o ro {BE} && gpart bootcode -b /mnt/boot/pmbr -p /mnt/boot/gptzfsboot -i 1 "
    f"vtbd0 && zfs unmount {BE} && zpool set bootfs={BE} zroot && zfs set mountpoint=/ {BE}"
)


def login(console: Any, password: str = "rehearse") -> int:
    """Network, host key, ControlMaster; the status of ssh."""
    console.run("dhclient em0; mkdir -m 700 /tmp/z; ssh-keyscan -T 10 -p 2223 10.0.2.2 > /tmp/z/kh")
    console.run(f"printf '{CONFIG}' > /tmp/z/config")
    console.send("ssh -F /tmp/z/config -o ControlMaster=yes -fN backup; echo R''C=$?\r")
    for _ in range(3):
        shown = console.until(b":")
        if b"Password for" not in shown:
            break
        console.send(password + "\r")
        console.seen += console.quiet(0.3)
        if b"RC=" in console.seen:
            break
    shown = console.until(b"RC=") if b"RC=" not in shown else shown
    return int(console.until(b"\r\n"))


def prepared(console: Any) -> None:
    """Partitions, boot code, ESP and pool."""
    for command in (DISK, "gpart bootcode -b /boot/pmbr -p /boot/gptzfsboot -i 1 vtbd0", ESP, POOL):
        status, shown = console.run(command)
        assert status == 0, shown


def test_the_restore_from_blank_disk_to_login(begin: Any, wire: Any) -> None:
    made = begin(variant("restore", **PLAIN), speed=60)
    console = wire(made)
    console.plain()
    assert "vtbd0 has no GUID partition table" in made.would_boot()
    assert login(console) == 0
    prepared(console)
    console.run(f'daemon -f -o /tmp/z/log sh -c "{PULL}; echo \\$? > /tmp/z/rc"')
    used, deadline = set(), time.monotonic() + 20
    while console.run("test -s /tmp/z/rc")[0] and time.monotonic() < deadline:
        used.add(console.run("zfs get -Hp -o value used zroot")[1])
        time.sleep(0.05)
    assert len(used) > 2, "the pool grows while the stream comes in"
    assert console.run("cat /tmp/z/rc") == (0, "0\n")
    assert (
        "receiving full stream of hostA/home/jpb@2025-08-08-deep into zroot/home/jpb@"
        in (console.run("cat /tmp/z/log")[1])
    )
    there = console.run(
        "ssh -F /tmp/z/config backup zfs list -Hp -t snapshot -o name,guid -r hostA"
    )[1].replace("hostA", "zroot")
    here = console.run("zfs list -Hp -t snapshot -o name,guid -r zroot")[1]
    assert sorted(here.split("\n")) == sorted(
        line for line in there.split("\n") if "2025-08-15" not in line
    )
    assert made.target.nics[0].ibytes > 900 << 20
    assert made.would_boot() == ["pool zroot has no bootfs"]
    assert console.run("zfs get -Hp -o value,source compression zroot")[1] == "lz4\treceived\n"
    assert console.run(FINISH)[0] == 0
    written = console.run("dd if=/dev/vtbd0p1 bs=131072 count=1 2>/dev/null | cksum")[1]
    assert written != console.run("cksum < /boot/gptzfsboot")[1], "the host's own code, not ours"
    assert console.run("zpool export zroot && ls /mnt") == (0, "")
    assert made.would_boot() == []
    assert made.accidents == []
    console.send("reboot\r")
    console.until(b"Rebooting...")
    console.until(b"Trying to mount root from zfs:zroot/ROOT/2025-08-08-deep")
    console.until(b"FreeBSD/amd64 (hostA) (ttyu0)\r\r\n\r\r\nlogin: ", 20)
    console.send("root\r")
    console.until(b"Password:")
    console.send("rehearse\r")
    console.until(b"root@hostA:~ # ")


@pytest.mark.parametrize(
    ("undo", "reason"),
    [
        ("gpart modify -i 1 -t freebsd-swap vtbd0", "no freebsd-boot"),
        ("dd if=/dev/zero of=/dev/vtbd0p1 bs=512k count=1", "gptzfsboot"),
        ("newfs_msdos -F 32 -c 1 /dev/gpt/efiboot0", "BOOTX64.EFI"),
        ("gpart destroy -F vtbd0", "no GUID partition table"),
        ("zpool import -N -R /mnt zroot; zpool set bootfs=zroot/usr zroot", "no /boot/loader"),
        ("zpool import -N -R /mnt zroot; zfs set canmount=on zroot/ROOT/default", "mount over /"),
        ("zpool import -N -R /mnt zroot; zfs destroy -r zroot/ROOT/2025-08-08-deep", "not exist"),
    ],
)
def test_what_would_not_boot(begin: Any, wire: Any, undo: str, reason: str) -> None:
    made = begin(variant("restore", **PLAIN), speed=400)
    console = wire(made)
    console.plain()
    login(console)
    prepared(console)
    assert console.run(PULL + ">/dev/null", 30)[0] == 0
    assert console.run(FINISH + " && zpool export zroot")[0] == 0
    assert made.would_boot() == []
    made.run(undo)
    assert any(reason in text for text in made.would_boot()), made.would_boot()


def test_a_disk_without_a_system_does_not_reach_login(begin: Any, wire: Any) -> None:
    made = begin(variant("restore", **PLAIN), speed=400)
    console = wire(made)
    console.plain()
    prepared(console)
    console.send("reboot\r")
    console.until(b"FreeBSD/x86 boot\r\nDefault: zroot:/boot/loader\r\nboot: ")


def test_a_blank_disk_lets_the_medium_boot_again(begin: Any, wire: Any) -> None:
    console = wire(begin(variant("restore", **PLAIN), speed=400))
    console.plain()
    console.send("reboot\r")
    console.until(b"Boot failed: not a bootable disk")
    console.until(b"Console type [vt100]: ")


def test_wrong_password_three_times(begin: Any, wire: Any) -> None:
    console = wire(begin(variant("restore", **PLAIN)))
    console.plain()
    assert login(console, "wrong") == 255


def test_keys_open_the_door(begin: Any, wire: Any) -> None:
    made = begin(variant("restore", **PLAIN, password_login=False))
    console = wire(made)
    console.plain()
    assert login(console) == 255
    made.inside(
        lambda: made.target.fs_for("/tmp")[0].write_file("/z/id", made.private_key.encode())
    )
    ask = "ssh -F /tmp/z/config -i /tmp/z/id -o BatchMode=yes backup uname -n"
    assert console.run(ask)[0] == 255, "a key that others may read is not used"
    assert console.run("chmod 600 /tmp/z/id; " + ask) == (0, "hostB\n")
    made.inside(lambda: made.target.fs_for("/tmp")[0].write_file("/z/id", made.locked_key.encode()))
    console.run("chmod 600 /tmp/z/id")
    console.send("ssh -F /tmp/z/config -i /tmp/z/id backup uname -n; echo R''C=$?\r")
    console.until(b"Enter passphrase for key '/tmp/z/id': ")
    console.send("rehearse\r")
    assert b"hostB\r\nRC=0" in console.until(b"RC=0")


def test_a_changed_host_key_stops_everything(begin: Any, wire: Any) -> None:
    made = begin(variant("restore", **PLAIN))
    console = wire(made)
    console.plain()
    assert login(console) == 0
    console.run("ssh -F /tmp/z/config -O exit backup")
    before = made.host_fingerprint
    made.change_host_key()
    assert made.host_fingerprint != before
    status, shown = console.run("ssh -F /tmp/z/config -o BatchMode=yes backup true")
    assert status == 255
    assert "REMOTE HOST IDENTIFICATION HAS CHANGED" in shown
    assert made.host_fingerprint in shown


def test_the_scenario_of_a_changed_key_knows_the_old_one(begin: Any) -> None:
    made = begin("changed-host-key")
    assert made.old_fingerprint != made.host_fingerprint


def test_refused_and_unreachable(begin: Any, wire: Any) -> None:
    made = begin(variant("port-refused", **PLAIN))
    console = wire(made)
    console.plain()
    assert "No route to host" in console.run("ssh -p 2223 10.0.2.2 true")[1]
    console.run("dhclient em0")
    assert console.run("nc -z -w 5 10.0.2.2 2223")[0] == 1
    assert "Connection refused" in console.run("ssh -p 2223 10.0.2.2 true")[1]
    made.refuse(False)
    assert console.run("nc -z -w 5 10.0.2.2 2223")[0] == 0
    assert "Operation timed out" in console.run("ssh -o ConnectTimeout=5 10.0.2.9 true")[1]
    assert "does not resolve" in console.run("ssh nowhere.example.org true")[1]
    assert console.run("ifconfig em0 down; nc -z -w 5 10.0.2.2 2223")[0] == 1


def test_static_addresses(begin: Any, wire: Any) -> None:
    console = wire(begin(variant("no-dhcp", **PLAIN)))
    console.plain()
    status, shown = console.run("dhclient em0")
    assert (status, "No DHCPOFFERS received." in shown) == (0, True)
    assert console.run("nc -z -w 5 10.0.2.2 2223")[0] == 1
    assert console.run("ifconfig em0 inet 10.0.2.50/24; route add default 10.0.2.2") == (
        0,
        "add net default: gateway 10.0.2.2\n",
    )
    console.run("printf 'nameserver 10.0.2.3\\n' > /etc/resolv.conf")
    assert console.run("nc -z -w 5 hostB 2223")[0] == 0


def test_a_child_without_the_snapshot_fails_the_stream(begin: Any, wire: Any) -> None:
    console = wire(begin(variant("snapshot-incomplete", **PLAIN), speed=400))
    console.plain()
    login(console)
    prepared(console)
    status, shown = console.run(PULL, 30)
    assert status == 1
    assert "WARNING: could not send hostA/var/log@2025-08-08-deep: does not exist" in shown


def test_a_cut_cable_leaves_nothing_half_received(begin: Any, wire: Any) -> None:
    made = begin(variant("restore", **PLAIN), speed=10)
    console = wire(made)
    console.plain()
    login(console)
    prepared(console)
    console.run(f'daemon -f -o /tmp/z/log sh -c "{PULL}; echo \\$? > /tmp/z/rc"')
    deadline = time.monotonic() + 10
    while made.target.nics[0].ibytes < 5 << 20 and time.monotonic() < deadline:
        time.sleep(0.02)
    made.cut_cable()
    while console.run("test -s /tmp/z/rc")[0] and time.monotonic() < deadline:
        time.sleep(0.05)
    assert console.run("cat /tmp/z/rc") == (0, "1\n")
    shown = console.run("cat /tmp/z/log; zfs list -H -o name -r zroot")[1]
    assert "incomplete stream" in shown
    assert "zroot/ROOT/default\n" not in shown
    assert console.run("zpool export zroot")[0] == 0


def test_disks_that_are_not_for_us(begin: Any, wire: Any) -> None:
    made = begin(variant("disk-in-use", **PLAIN))
    console = wire(made)
    console.plain()
    assert console.run("gpart destroy -F vtbd0") == (1, "gpart: Device busy\n")
    assert "gpart: geom 'vtbd0': File exists\n" in console.run("gpart create -s gpt vtbd0")[1]
    assert made.accidents == []
    console.run("gpart destroy -F da0")
    assert made.accidents == ["da0 was not the disk to restore to, and was written (gpart destroy)"]


def test_the_disk_changes_when_told(begin: Any) -> None:
    made = begin(variant("restore", **PLAIN))
    made.change_disk(serial="OTHER9")
    assert "ident: OTHER9" in made.run("geom disk list vtbd0")[1]
    made.change_disk(new_contents=True)
    assert "surprise" in made.run("zpool import")[1]


def test_old_pools_and_small_disks(begin: Any) -> None:
    made = begin(variant("old-pool", **PLAIN))
    shown = made.run("zpool import; zpool import -N zroot; echo $?")
    assert "status: The pool was last accessed by another system." in shown[1]
    assert "previously in use from another system" in shown[2]
    assert made.run("zpool labelclear -f /dev/vtbd0p1 && gpart destroy -F vtbd0")[0] == 0
    made = begin(variant("disk-too-small", **PLAIN))
    assert made.run(DISK)[0] == 1


def test_the_server_without_the_dataset(begin: Any, wire: Any) -> None:
    console = wire(begin(variant("no-dataset", **PLAIN)))
    console.plain()
    login(console)
    assert console.run("ssh -F /tmp/z/config backup zfs list -H -o name hostA") == (
        1,
        "cannot open 'hostA': dataset does not exist\n",
    )


def test_every_scenario_starts(begin: Any) -> None:
    for name in SCENARIOS:
        made = begin(name)
        assert made.url.startswith("telnet://127.0.0.1:")
        made.close()
    with pytest.raises(ValueError, match="there is no rehearsal called 'nosuch'"):
        scenario("nosuch")


def test_without_the_virtual_shell_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    import builtins

    from zrwizard.rehearsal import process

    real = builtins.__import__

    def without(name: str, *rest: Any) -> Any:
        if name == "bashkit":
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(RehearsalUnavailable, match="needs the Python package bashkit"):
        process.interpreter()
