"""What a backup server's files should say: only what its release knows, each with a reason."""

from __future__ import annotations

import dataclasses

import pytest

from tests.freebsd.test_system_files import CRONTAB, FSTAB, TTYS
from zrwizard.freebsd import fstab, hardening, loaderconf, rcconf, sysctlconf
from zrwizard.freebsd.hardening import Machine, Wishes
from zrwizard.freebsd.mount import Mount

MIB = 1024 * 1024
UFS = (
    Mount("/dev/ada0p2", "/", "ufs", ("rw",)),
    Mount("devfs", "/dev", "devfs", ("rw",)),
)
ZFS = (
    Mount("zroot/ROOT/default", "/", "zfs", ("rw",)),
    Mount("zroot/tmp", "/tmp", "zfs", ("rw",)),
    Mount("zroot/var/log", "/var/log", "zfs", ("rw",)),
)
LAPTOP = Machine("14.2-RELEASE-p1", 2048 * MIB, paces=True, mounts=UFS)
ALL = Wishes("noatime", "encrypt")
FILES = {
    rcconf.PATH: 'hostname="knox"\nifconfig_bfe0="DHCP"\ndumpdev="AUTO"\n',
    "/etc/fstab": FSTAB,
    loaderconf.PATH: 'zfs_load="YES"\n',
    sysctlconf.PATH: "# $FreeBSD$\n",
    "/etc/ttys": TTYS,
    "/etc/crontab": CRONTAB,
}


def rc(machine: Machine, wishes: Wishes = ALL, text: str = "") -> dict[str, str | None]:
    return rcconf.values(hardening.change(rcconf.PATH, text, machine, wishes).text)


def loader(machine: Machine, text: str = "") -> dict[str, str]:
    return loaderconf.values(hardening.change(loaderconf.PATH, text, machine, ALL).text)


@pytest.mark.parametrize("path", hardening.PATHS)
@pytest.mark.parametrize(
    "release", ["13.2-RELEASE", "14.2-RELEASE", "15.0-RELEASE", "16.0-CURRENT"]
)
@pytest.mark.parametrize("root", ["keep", "noatime", "readonly"])
@pytest.mark.parametrize("there", [True, False])
def test_twice_is_once_and_each_change_has_a_reason(
    path: str, release: str, root: str, there: bool
) -> None:
    machine = dataclasses.replace(LAPTOP, release=release)
    wishes = Wishes(root, "encrypt")
    old = FILES[path] if there else None
    first = hardening.change(path, old, machine, wishes)
    assert first.path == path
    assert bool(first.why) == (first.text != (old or ""))
    assert all(sentence.endswith(".") for sentence in first.why + first.notes)
    again = hardening.change(path, first.text, machine, wishes)
    assert (again.text, again.why) == (first.text, ())


def test_a_laptop() -> None:
    found = rc(LAPTOP, text=FILES[rcconf.PATH])
    assert found == {
        "hostname": "knox",
        "ifconfig_bfe0": "DHCP",
        "dumpdev": "NO",
        "sshd_enable": "YES",
        "ntpd_enable": "YES",
        "ntpd_sync_on_start": "YES",
        "powerd_enable": "YES",
        "syslogd_flags": "-ss",
        "clear_tmp_enable": "YES",
    }


def test_what_a_release_does_not_know_is_not_written() -> None:
    assert rc(dataclasses.replace(LAPTOP, release="13.4-RELEASE"))["sendmail_enable"] == "NONE"
    for release in ("14.0-RELEASE", "15.0-RELEASE"):
        assert "sendmail_enable" not in rc(dataclasses.replace(LAPTOP, release=release))
    for release in ("12.4-RELEASE", "16.0-CURRENT", "odd"):
        machine = dataclasses.replace(LAPTOP, release=release)
        assert rc(machine) == {}
        assert loader(machine) == {}
    for path in hardening.PATHS:
        for release in ("13.4-RELEASE", "14.0-RELEASE", "15.0-RELEASE"):
            machine = dataclasses.replace(LAPTOP, release=release)
            text = hardening.change(path, FILES[path], machine, ALL).text
            for gone in ("vm.kmem_size", "vdev.cache", "moused", "arc_max"):
                assert gone not in text


def test_powerd_only_where_it_works() -> None:
    assert "powerd_enable" not in rc(dataclasses.replace(LAPTOP, paces=False))


def test_rc_conf_local_wins_and_that_is_said() -> None:
    machine = dataclasses.replace(LAPTOP, rc_local='dumpdev="AUTO"\nntpd_enable="YES"\n')
    found = hardening.change(rcconf.PATH, "", machine, ALL)
    assert len(found.notes) == 1
    assert "dumpdev" in found.notes[0]


@pytest.mark.parametrize(
    ("memory", "limit"),
    [(128, 64), (512, 64), (1000, 125), (1024, 256), (2048, 512), (4096, 2048), (16384, 8192)],
)
def test_arc_limit(memory: int, limit: int) -> None:
    assert hardening.arc_limit(memory * MIB) == limit * MIB
    assert hardening.arc_limit(memory * MIB + 4095) % MIB == 0
    found = loader(dataclasses.replace(LAPTOP, memory=memory * MIB))
    assert found == {"autoboot_delay": "3", "vfs.zfs.arc.max": f"{limit}M"}


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('vfs.zfs.arc.max="128M"\n', {"vfs.zfs.arc.max": "128M"}),
        ('vfs.zfs.arc_max="1G"\n', {"vfs.zfs.arc_max": "1G"}),
        ('vfs.zfs.arc.max="134217728"\n', {"vfs.zfs.arc.max": "134217728"}),
        # Old guides say so; ZFS takes no notice.
        ('vfs.zfs.arc_max="32M"\n', {"vfs.zfs.arc.max": "512M"}),
        ('vfs.zfs.arc.max="0"\n', {"vfs.zfs.arc.max": "512M"}),
    ],
)
def test_a_limit_of_theirs_stays_if_it_is_one(old: str, new: dict[str, str]) -> None:
    assert loader(LAPTOP, 'autoboot_delay="1"\n' + old) == {"autoboot_delay": "1", **new}


def test_tunables_that_are_gone_go() -> None:
    old = 'vfs.zfs.vdev.cache.size="16M"\nvm.kmem_size="150M"\n'
    assert "vfs.zfs.vdev.cache.size" not in loader(LAPTOP, old)
    assert loader(LAPTOP, old)["vm.kmem_size"] == "150M"
    thirteen = dataclasses.replace(LAPTOP, release="13.2-RELEASE")
    assert loader(thirteen, old)["vfs.zfs.vdev.cache.size"] == "16M"


def test_waiting_for_ever_at_boot_is_ended() -> None:
    assert loader(LAPTOP, 'autoboot_delay="NO"\n')["autoboot_delay"] == "3"
    assert loader(LAPTOP, 'autoboot_delay="10"\n')["autoboot_delay"] == "3"


def test_a_read_only_root_stays_so_after_boot() -> None:
    """rc.d/root would remount it for writing, whatever fstab says."""
    wishes = Wishes("readonly", "keep")
    assert rc(LAPTOP, wishes)["root_rw_mount"] == "NO"
    rows = fstab.parse(hardening.change("/etc/fstab", FSTAB, LAPTOP, wishes).text)
    assert rows[0].options == ("ro",)
    # rc.d/var makes all of /var in memory then.
    assert [row.point for row in rows if row.type == "tmpfs"] == ["/tmp"]
    assert "root_rw_mount" not in rc(LAPTOP, Wishes("noatime", "keep"))


def test_memory_is_not_used_up_by_its_file_systems() -> None:
    machine = dataclasses.replace(LAPTOP, memory=512 * MIB)
    text = hardening.change("/etc/fstab", FSTAB, machine, Wishes()).text
    assert "size=64m" in text
    assert "size=32m" in text
    large = dataclasses.replace(LAPTOP, memory=64 * 1024 * MIB)
    text = hardening.change("/etc/fstab", FSTAB, large, Wishes()).text
    assert "size=1024m" in text
    assert "size=128m" in text


@pytest.mark.parametrize("root", ["noatime", "readonly"])
def test_a_root_on_zfs_is_left_alone_and_that_is_said(root: str) -> None:
    machine = dataclasses.replace(LAPTOP, mounts=ZFS)
    old = "# Device\n/dev/gpt/swap0\tnone\tswap\tsw\t0\t0\n"
    found = hardening.change("/etc/fstab", old, machine, Wishes(root, "encrypt"))
    assert found.text == old.replace("swap0", "swap0.eli")
    assert "ZFS" in found.notes[0]
    assert "root_rw_mount" not in rc(machine, Wishes(root, "keep"))


def test_no_second_file_system_in_memory_below_var() -> None:
    var = (*UFS, Mount("tmpfs", "/var", "tmpfs", ("rw",)))
    machine = dataclasses.replace(LAPTOP, mounts=var)
    text = hardening.change("/etc/fstab", FSTAB, machine, Wishes()).text
    assert [row.point for row in fstab.parse(text) if row.type == "tmpfs"] == ["/tmp"]


def test_swap_is_kept_if_it_is_to_be() -> None:
    text = hardening.change("/etc/fstab", FSTAB, LAPTOP, Wishes("keep", "keep")).text
    assert text.startswith(FSTAB)


def test_an_unknown_path() -> None:
    with pytest.raises(KeyError):
        hardening.change("/etc/passwd", "", LAPTOP, ALL)
