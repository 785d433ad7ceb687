"""What a restored system's files need on another machine: texts in, texts and sentences out."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zrwizard.freebsd import fstab, loaderconf, rcconf
from zrwizard.mending.whole import PATHS, Proposal, propose
from zrwizard.plan import Mend

HERE = Mend(
    root="/mnt",
    before="true",
    after="true",
    policy="ask",
    suffix=".zr-abcd",
    boot="zroot/ROOT/default",
    nic="vtnet0",
    nics=("vtnet0",),
    others=("ada1",),
    swap=("/dev/gpt/swap0",),
    esp=("/dev/gpt/efiboot0",),
)
RC = 'zfs_enable="YES"\n'
HEAD = "# Device\tMountpoint\tFStype\tOptions\tDump\tPass#\n"


def proposed(machine: Mend = HERE, **files: str) -> Proposal:
    """What is proposed for `files`, whose dots are written as __ and which lie in /etc or /boot."""
    texts = {"fstab": HEAD, "rc__conf": RC, **files}
    where = {"loader__conf": "/boot", "loader__conf__local": "/boot"}
    named = {f"{where.get(k, '/etc')}/{k.replace('__', '.')}": v for k, v in texts.items()}
    return propose(named, machine)


def changed(path: str, made: Proposal) -> str:
    return next(change.text for change in made.changes if change.path == path)


def nothing(made: Proposal) -> bool:
    return made.changes == () and made.notes == ()


# --- the serial console ---------------------------------------------------------------------------

SERIAL = replace(
    HERE,
    swap=(),
    serial="ttyu0",
    console=(
        *(("boot_multicons", "YES"), ("boot_serial", "YES")),
        *(("console", "comconsole,efi"), ("comconsole_speed", "115200")),
    ),
)
TTYS = 'ttyv0\t"/usr/libexec/getty Pc"\txterm\tonifexists secure\n'
ON = TTYS + 'ttyu0\t"/usr/libexec/getty 3wire"\tvt100\tonifconsole secure\n'


@pytest.mark.parametrize(
    "kept",
    [
        pytest.param('console="comconsole"', id="alone"),
        pytest.param('console="vidconsole, comconsole"', id="beside-the-screen"),
        pytest.param('boot_serial="YES"', id="serial"),
        pytest.param("boot_multicons=yes", id="both"),
        pytest.param('console="eficom"', id="the-firmwares"),
    ],
)
def test_a_system_that_speaks_on_the_serial_line_is_left_alone(kept: str) -> None:
    assert nothing(proposed(SERIAL, ttys=ON, loader__conf=f"{kept}\n"))
    assert nothing(proposed(SERIAL, ttys=ON, loader__conf="", loader__conf__local=f"{kept}\n"))


def test_a_silent_one_gets_the_settings_that_it_lacks() -> None:
    was = 'zfs_load="YES"\nconsole="vidconsole"\ncomconsole_speed="115200"\n'
    made = proposed(SERIAL, ttys=ON, loader__conf=was)
    text = changed("/boot/loader.conf", made)
    assert loaderconf.values(text) == {"zfs_load": "YES", **dict(SERIAL.console)}
    assert text.startswith('zfs_load="YES"\n')
    assert [change.path for change in made.changes] == ["/boot/loader.conf"]
    assert "ttyu0, the console of this machine" in made.changes[0].reasons[0]
    assert nothing(proposed(SERIAL, ttys=ON, loader__conf=text))


def test_a_local_file_that_cannot_be_read_is_told_of_itself_alone() -> None:
    bad = 'console="vid\n'
    made = proposed(SERIAL, ttys=ON, loader__conf="", loader__conf__local=bad)
    assert loaderconf.values(changed("/boot/loader.conf", made)) == dict(SERIAL.console)
    (note,) = made.notes
    assert note.startswith("/boot/loader.conf.local is left as it is")


def test_where_the_machine_has_no_serial_console_nothing_is_asked() -> None:
    screen = replace(SERIAL, serial="", console=())
    assert nothing(proposed(screen, ttys=TTYS, loader__conf='console="vidconsole"\n'))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        pytest.param(TTYS, "does not name it", id="no-row"),
        pytest.param("", "does not name it", id="emptied"),
        pytest.param(ON.replace("onifconsole", "off"), "switches it off", id="off"),
    ],
)
def test_a_missing_login_is_said_and_not_switched_on(text: str, words: str) -> None:
    made = proposed(SERIAL, ttys=text, loader__conf='console="comconsole"\n')
    assert made.changes == ()
    assert made.notes == (
        f"No login prompt will come on ttyu0 after the start: /etc/ttys {words}.",
    )


# --- fstab ----------------------------------------------------------------------------------------

FITS = (
    HEAD + "/dev/gpt/efiboot0\t/boot/efi\tmsdosfs\trw\t2\t2\n/dev/gpt/swap0\tnone\tswap\tsw\t0\t0\n"
)


def test_what_fits_is_left_alone() -> None:
    assert nothing(proposed(fstab=FITS, loader__conf='console="comconsole"\n'))


@pytest.mark.parametrize(
    ("was", "becomes"),
    [
        pytest.param("/dev/ada0p3", "/dev/gpt/swap0", id="a name"),
        pytest.param("/dev/ada0p3.eli", "/dev/gpt/swap0.eli", id="encrypted"),
        pytest.param("/dev/gpt/swap3", "/dev/gpt/swap0", id="another label"),
        pytest.param("/dev/mirror/swap.eli", "/dev/gpt/swap0.eli", id="a mirror"),
        pytest.param("/dev/nda0p3", "/dev/gpt/swap0", id="nvme"),
    ],
)
def test_swap_gets_its_new_name(was: str, becomes: str) -> None:
    made = proposed(
        fstab=f"{HEAD}{was}\t\tnone\tswap\tsw,late\t0\t0 # first\nproc /proc procfs rw 0 0\n"
    )
    assert changed("/etc/fstab", made) == (
        f"{HEAD}{becomes}\t\tnone\tswap\tsw,late\t0\t0 # first\nproc /proc procfs rw 0 0\n"
    )
    assert f"{was} is {becomes} now." in made.changes[0].reasons


def test_swap_on_a_disk_that_is_still_here_stays_and_the_new_one_is_added() -> None:
    text = HEAD + "/dev/ada1p2.eli none swap sw 0 0"
    made = changed("/etc/fstab", proposed(fstab=text))
    assert made == text + "\n/dev/gpt/swap0.eli\tnone\tswap\tsw\t0\t0\n"


def test_more_swap_than_before_less_and_none() -> None:
    two = HEAD + "/dev/ada0p3 none swap sw 0 0\n/dev/ada2p3 none swap sw 0 0\n"
    made = changed("/etc/fstab", proposed(fstab=two))
    assert made == HEAD + "/dev/gpt/swap0 none swap sw 0 0\n#/dev/ada2p3 none swap sw 0 0\n"
    none = changed("/etc/fstab", proposed(replace(HERE, swap=()), fstab=two))
    assert none == HEAD + "#/dev/ada0p3 none swap sw 0 0\n#/dev/ada2p3 none swap sw 0 0\n"
    more = replace(HERE, swap=("/dev/gpt/swap0", "/dev/gpt/swap1"))
    assert changed("/etc/fstab", proposed(more, fstab=FITS)) == (
        FITS + "/dev/gpt/swap1\tnone\tswap\tsw\t0\t0\n"
    )


@pytest.mark.parametrize("device", ["/dev/md99", "/dev/zvol/zroot/swap", "md99", "/dev/cd0"])
def test_what_is_no_partition_of_the_old_disk_is_left(device: str) -> None:
    kind = "cd9660\tro,noauto" if device == "/dev/cd0" else "swap\tsw"
    assert nothing(proposed(fstab=f"{FITS}{device}\tnone\t{kind}\t0\t0\n"))


@pytest.mark.parametrize("was", ["/dev/ada0p1", "/dev/gpt/efiesp", "/dev/msdosfs/EFISYS"])
def test_the_efi_partition_gets_its_new_name(was: str) -> None:
    made = proposed(fstab=FITS.replace("/dev/gpt/efiboot0", was))
    assert changed("/etc/fstab", made) == FITS
    assert nothing(proposed(fstab=FITS.replace("/dev/gpt/efiboot0", "/dev/ada1p1")))


def test_an_efi_partition_of_a_mirror_may_be_the_one_that_fails() -> None:
    both = replace(HERE, esp=("/dev/gpt/efiboot0", "/dev/gpt/efiboot1"))
    (note,) = proposed(both, fstab=FITS).notes
    assert "without that disk" in note
    assert nothing(proposed(both, fstab=FITS.replace("msdosfs\trw", "msdosfs\trw,noauto")))


def test_another_disk_that_is_gone_is_named_and_left() -> None:
    made = proposed(fstab=FITS + "/dev/ada5p1\t/data\tufs\trw\t2\t2\n")
    assert made.changes == ()
    assert "/dev/ada5p1" in made.notes[0]
    assert "single-user" in made.notes[0]


@pytest.mark.parametrize("path", PATHS)
def test_a_file_that_cannot_be_read_is_left_and_named(path: str) -> None:
    files = {"/etc/fstab": FITS, "/etc/rc.conf": RC}
    made = propose({**files, path: 'one "two\n'}, HERE)
    assert [change.path for change in made.changes] == []
    assert any(path in note for note in made.notes) or path.startswith("/boot")


def test_a_system_without_its_files_is_named() -> None:
    assert len(propose({}, HERE).notes) == 2


# --- loader.conf ----------------------------------------------------------------------------------


def test_the_root_is_the_boot_environment_that_was_chosen() -> None:
    text = 'vfs.root.mountfrom="zfs:tank/ROOT/old" # by hand\nzfs_load="YES"\n'
    made = proposed(fstab=FITS, loader__conf=text)
    assert changed("/boot/loader.conf", made) == text.replace("tank/ROOT/old", "zroot/ROOT/default")
    assert nothing(
        proposed(fstab=FITS, loader__conf='vfs.root.mountfrom="zfs:zroot/ROOT/default"\n')
    )


def test_labels_are_not_hidden() -> None:
    text = 'kern.geom.label.gpt.enable="0"\nkern.geom.label.disk_ident.enable="0"\n'
    made = proposed(fstab=FITS, loader__conf__local=text)
    assert changed("/boot/loader.conf.local", made) == 'kern.geom.label.disk_ident.enable="0"\n'


def key_file(disk: str) -> str:
    return (
        f'geli_{disk}_keyfile0_load="YES"\ngeli_{disk}_keyfile0_type="{disk}:geli_keyfile0"\n'
        f'geli_{disk}_keyfile0_name="/boot/encryption.key"\n'
    )


def test_key_files_of_partitions_that_are_gone() -> None:
    made = proposed(fstab=FITS, loader__conf=key_file("ada0p4") + key_file("ada1p4"))
    assert changed("/boot/loader.conf", made) == key_file("ada1p4")
    other = key_file("data").replace('"data:', '"ada1p9:')
    assert nothing(proposed(fstab=FITS, loader__conf=other))


# --- rc.conf --------------------------------------------------------------------------------------

OLD = """hostname="em0.example.org"
ifconfig_em0="inet 192.0.2.7/24"   # the office
ifconfig_em0_alias0="inet 192.0.2.8/32"
ifconfig_em0_ipv6='inet6 accept_rtadv'
cloned_interfaces="bridge0 em0.100"
ifconfig_bridge0="addm em0 addm em01 up"
vlans_em0=100
ifconfig_em0_100="inet 198.51.100.1/24"
zfs_enable="YES"
"""


def test_the_cards_settings_go_to_the_card_that_is_here() -> None:
    made = proposed(fstab=FITS, rc__conf=OLD)
    assert changed("/etc/rc.conf", made) == OLD.replace("em0", "vtnet0").replace(
        "vtnet01", "em01"
    ).replace("vtnet0.example.org", "em0.example.org")
    assert made.notes == ("/etc/rc.conf names em0 in hostname too: look at it.",)
    assert made.lost_cards == ("em0",)


def test_settings_in_the_local_file_too() -> None:
    made = proposed(fstab=FITS, rc__conf__local="ifconfig_em0_alias0='inet 192.0.2.8/32'\n")
    assert changed("/etc/rc.conf.local", made) == "ifconfig_vtnet0_alias0='inet 192.0.2.8/32'\n"


@pytest.mark.parametrize(
    "text",
    [
        pytest.param('ifconfig_vtnet0="DHCP"\n', id="it has its own name"),
        pytest.param('ifconfig_vtnet0_name="lan0"\nifconfig_lan0="DHCP"\n', id="renamed"),
        pytest.param('ifconfig_DEFAULT="DHCP"\n', id="whatever comes"),
        pytest.param('cloned_interfaces="lagg0"\nifconfig_lagg0="up"\n', id="made ones"),
        pytest.param("", id="none"),
    ],
)
def test_cards_that_are_here_are_left(text: str) -> None:
    assert nothing(proposed(fstab=FITS, rc__conf=RC + text))


@pytest.mark.parametrize(
    ("text", "why"),
    [
        pytest.param('ifconfig_em0="DHCP"\nifconfig_em1="up"\n', "more than one", id="two"),
        pytest.param(
            'ifconfig_em0="DHCP"\nifconfig_vtnet0="up"\n', "settings of its own", id="own"
        ),
    ],
)
def test_where_nobody_can_tell_which_is_which_it_is_named(text: str, why: str) -> None:
    made = proposed(fstab=FITS, rc__conf=RC + text)
    assert made.changes == ()
    assert why in made.notes[0]
    assert "ifconfig_em0" in made.notes[0]


def test_what_only_sh_can_tell_is_named() -> None:
    text = RC + 'if [ -e /x ]; then\n  ifconfig_em0="DHCP"\nfi\n'
    made = proposed(fstab=FITS, rc__conf=text)
    assert made.changes == ()
    assert "ifconfig_em0" in made.notes[0]


def test_a_secret_is_neither_moved_nor_shown() -> None:
    text = RC + 'ifconfig_em0="ssid home wepkey 0xSECRET"\n'
    made = proposed(fstab=FITS, rc__conf=text)
    assert made.changes == ()
    assert "ifconfig_em0" in made.notes[0]
    assert "SECRET" not in repr(made)


def test_a_hardware_address_goes_along_and_is_named() -> None:
    text = RC + 'ifconfig_em0="DHCP ether 02:00:00:00:00:01"\n'
    made = proposed(fstab=FITS, rc__conf=text)
    assert changed("/etc/rc.conf", made) == text.replace("em0", "vtnet0")
    assert "hardware address" in made.notes[0]


@pytest.mark.parametrize("value", ["NO", "no", None])
def test_pools_are_mounted_at_the_start(value: str | None) -> None:
    text = "" if value is None else f'zfs_enable="{value}"\n'
    made = changed("/etc/rc.conf", proposed(fstab=FITS, rc__conf=text))
    assert made == 'zfs_enable="YES"\n'
    local = proposed(fstab=FITS, rc__conf="", rc__conf__local=RC)
    assert local.changes == ()


# --- where a crash is written ---------------------------------------------------------------------


@pytest.mark.parametrize("path", ["rc__conf", "rc__conf__local"])
def test_a_dump_device_that_is_gone_becomes_the_swap_of_fstab(path: str) -> None:
    text = RC + 'dumpdev="/dev/ada0p3" # the old disk\n'
    made = proposed(fstab=FITS, **{path: text})
    named = f"/etc/{path.replace('__', '.')}"
    assert changed(named, made) == text.replace("/dev/ada0p3", "AUTO")
    assert "wrote its memory to /dev/ada0p3:" in made.changes[-1].reasons[0]
    assert made.notes == ()


@pytest.mark.parametrize("value", ["AUTO", "NO", "", "/dev/gpt/swap0", "/dev/ada1p2", "${dev}"])
def test_another_dump_device_stays(value: str) -> None:
    assert nothing(proposed(fstab=FITS, rc__conf=f'{RC}dumpdev="{value}"\n'))


@pytest.mark.parametrize(
    ("value", "says"), [("AUTO", True), ("/dev/ada0p3", True), ("NO", False)], ids=str
)
def test_a_dump_past_the_encryption_is_said(value: str, *, says: bool) -> None:
    table = FITS.replace("/dev/gpt/swap0", "/dev/gpt/swap0.eli")
    made = proposed(replace(HERE, seal=True), fstab=table, rc__conf=f'{RC}dumpdev="{value}"\n')
    assert any('dumpdev="NO" keeps keys off the disk' in note for note in made.notes) is says


# --- anything -------------------------------------------------------------------------------------

LINES: dict[str, Any] = {
    "/etc/fstab": st.sampled_from(
        [*FITS.splitlines(), "/dev/da7p2 none swap sw", "# x", "", "a b c"]
    ),
    "/boot/loader.conf": st.sampled_from(
        [*key_file("ada0p4").splitlines(), "x=1", "#", "x y", 'z="']
    ),
    "/etc/rc.conf": st.sampled_from([*OLD.splitlines(), "a=$(b)", "case x in", "esac", "'"]),
}


@settings(deadline=None, max_examples=200)
@given(st.fixed_dictionaries({k: st.lists(v).map("\n".join) for k, v in LINES.items()}))
def test_what_was_mended_is_read_again_and_needs_nothing(files: dict[str, str]) -> None:
    made = propose(files, HERE)
    after = {**files, **{change.path: change.text for change in made.changes}}
    for path, read in (
        ("/etc/fstab", fstab.parse),
        ("/boot/loader.conf", loaderconf.values),
        ("/etc/rc.conf", rcconf.values),
    ):
        if any(change.path == path for change in made.changes):
            read(after[path])
    assert propose(after, HERE).changes == ()


# --- encrypted swap -------------------------------------------------------------------------------

SEALED = replace(HERE, seal=True)


@pytest.mark.parametrize(
    ("was", "why"),
    [
        pytest.param("/dev/gpt/swap0", "encrypted with a new key", id="ours"),
        pytest.param("/dev/ada0p3", "is /dev/gpt/swap0.eli now", id="lost"),
        pytest.param("/dev/ada0p3.eli", "is /dev/gpt/swap0.eli now", id="was-encrypted"),
    ],
)
def test_all_swap_is_encrypted_where_that_is_wanted(was: str, why: str) -> None:
    made = proposed(SEALED, fstab=f"{HEAD}{was}\tnone\tswap\tsw\t0\t0\n")
    assert changed("/etc/fstab", made) == f"{HEAD}/dev/gpt/swap0.eli\tnone\tswap\tsw\t0\t0\n"
    assert why in made.changes[0].reasons[0]


def test_new_swap_is_encrypted_and_what_is_so_stays() -> None:
    made = proposed(SEALED)
    assert changed("/etc/fstab", made).endswith("/dev/gpt/swap0.eli\tnone\tswap\tsw\t0\t0\n")
    kept = f"{HEAD}/dev/gpt/swap0.eli\tnone\tswap\tsw\t0\t0\n"
    assert nothing(proposed(SEALED, fstab=kept))


def test_swap_of_another_disk_is_left_as_it_is() -> None:
    other = f"{HEAD}/dev/ada1p2\tnone\tswap\tsw\t0\t0\n"
    made = proposed(SEALED, fstab=other)
    assert changed("/etc/fstab", made) == (
        f"{other}/dev/gpt/swap0.eli\tnone\tswap\tsw\t0\t0\n"
    )
