"""Quoting survives a real sh, and every builder's output is valid POSIX sh."""

from __future__ import annotations

import shutil
import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.shlint import parses
from zrwizard.freebsd import (
    dhclient,
    diskinfo,
    geli,
    geom,
    gpart,
    host,
    ifconfig,
    inventory,
    kld,
    mount,
    netstat,
    route,
    sh,
    ssh,
    swapinfo,
    sysctl,
    uname,
    zfs,
    zfs_receive,
    zfs_send,
    zpool,
)

WORDS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=30)
NASTY = [
    "",
    "'",
    "''",
    "a b",
    "$(id)",
    "`id`",
    "\\",
    "\n",
    "~",
    "*",
    "a=b",
    "-n",
    "é",
    '"',
    "#",
    "!",
]
SESSION = ssh.Session("10.99.0.2", 2223, "root", "/tmp/zr-0a1b", identity=True)
ODD = "host A/ROOT/it's $(x) `y`@a b"


def shell(text: str) -> bytes:
    done = subprocess.run(["sh", "-c", text], capture_output=True, check=True)
    assert done.stderr == b""
    return done.stdout


@given(st.lists(WORDS, min_size=1, max_size=8))
@settings(max_examples=60, deadline=None)
def test_a_real_shell_sees_the_very_same_words(words: list[str]) -> None:
    printed = shell(sh.join(["printf", "%s\\0", *words]))
    assert printed.decode().split("\0")[:-1] == words


def test_nasty_words() -> None:
    printed = shell(sh.join(["printf", "%s\\0", *NASTY]))
    assert printed.decode().split("\0")[:-1] == NASTY


@pytest.mark.parametrize("word", ["if", "done", "!", "{", "x=1"])
def test_a_program_name_is_never_syntax(word: str) -> None:
    done = subprocess.run(["sh", "-c", sh.command(word)], capture_output=True, check=False)
    assert done.returncode == 127
    assert b"not found" in done.stderr


def test_plain_words_stay_readable() -> None:
    assert sh.command("zpool", "create", "-o", "altroot=/mnt", "zroot", "gpt/zfs0") == (
        "zpool create -o altroot=/mnt zroot gpt/zfs0"
    )


def test_nothing_to_run_or_to_quote_is_refused() -> None:
    with pytest.raises(ValueError, match="program"):
        sh.join([])
    with pytest.raises(ValueError, match="program"):
        sh.command("")
    with pytest.raises(ValueError, match="NUL"):
        sh.quote("a\0b")
    with pytest.raises(ValueError, match="NUL"):
        sh.command("i\0f=")


def test_keep_status_sees_the_left_side_of_a_pipe(tmp_path: object) -> None:
    path = f"{tmp_path}/a file"
    assert shell(sh.pipeline(sh.keep_status("(echo x; exit 7)", path), "cat")) == b"x\n"
    assert shell(sh.command("cat", path)) == b"7\n"


def test_text_files_and_comparisons(tmp_path: object) -> None:
    path = f"{tmp_path}/it's"
    text = "nameserver 10.0.0.1\n%s \\n $HOME\n"
    assert shell(sh.write_text(path, text)) == b""
    assert shell(sh.command("cat", path)).decode() == text
    assert shell(sh.all_of(sh.same_text(sh.command("cat", path), text.rstrip("\n")), "echo y"))
    assert shell(sh.any_of(sh.same_text("echo 1 2", "1 3"), "echo differs")) == b"differs\n"
    assert shell(sh.all_of(sh.is_file(path), sh.exists(path), "echo y")) == b"y\n"


def test_both_outputs_and_input(tmp_path: object) -> None:
    path = f"{tmp_path}/log"
    shell(sh.both_to(sh.group("echo out", "echo err >&2"), path))
    shell(sh.output_to("echo more", path, append=True))
    assert shell(sh.input_from("cat", path)) == b"out\nerr\nmore\n"


def test_a_remote_shell_reads_the_command_once_more() -> None:
    inner = sh.command("printf", "%s", ODD)
    outer = sh.on_host(["sh", "-c"], inner)
    assert shell(outer).decode() == ODD


BUILDERS = [
    uname.system(),
    host.user_id(),
    host.now(),
    host.names_in("/boot"),
    host.port_answers("10.99.0.2", 22),
    host.make_directory("/tmp/zr-0a1b", "700"),
    host.make_directory("/tmp/zr-0a1b/esp/EFI/BOOT"),
    host.copy_file("/boot/loader.efi", "/tmp/x y"),
    host.reboot(),
    host.power_off(),
    sysctl.value("kern.disks"),
    sysctl.set_value("kern.consmute", "1"),
    geom.disks(),
    diskinfo.info("vtbd0"),
    diskinfo.ident("vtbd0"),
    gpart.show(),
    gpart.backup("vtbd0"),
    gpart.create("vtbd0"),
    gpart.destroy("vtbd0"),
    gpart.add("vtbd0", index=1, label="it's", type="freebsd-boot", align=4096, bytes=524288),
    gpart.add("vtbd0", index=4, label="zfs0", type="freebsd-zfs", align=1 << 20, bytes=None),
    gpart.bootcode("vtbd0", 1, pmbr="/boot/pmbr", partcode="/boot/gptzfsboot"),
    gpart.partcode_written("/dev/vtbd0p1", "/boot/it's"),
    gpart.pmbr_written("/dev/vtbd0", "/boot/pmbr"),
    zpool.list_pools(),
    zpool.status(),
    zpool.status("zroot"),
    zpool.scan(),
    zpool.create(
        "zroot",
        "gpt/zfs0",
        options={"altroot": "/mnt", "ashift": "12", "comment": "a b; c"},
        properties={"compression": "lz4", "atime": "off"},
    ),
    zpool.set_property("zroot", "comment", ""),
    zpool.get_property("zroot", "comment"),
    zpool.export("zroot"),
    zpool.import_pool("zroot", altroot="/mnt", force=True, read_only=True),
    zpool.labelclear("/dev/vtbd0p4"),
    zfs.version(),
    zfs.list_roots(),
    inventory.command(ODD),
    zfs.list_guids("zroot"),
    zfs.guid_checksum("zroot"),
    sh.same_text(zfs.guid_checksum("zroot"), "1 2"),
    zfs.list_names("zroot"),
    zfs.exists(ODD),
    zfs.used("zroot"),
    zfs.get("zroot", "mounted", "mountpoint"),
    zfs.get_received("zroot", "compression"),
    zfs.set_property("zroot/ROOT/a b", "mountpoint", "/"),
    zfs.revert_to_received("zroot", "mountpoint"),
    zfs.mount_read_only("zroot/ROOT/default"),
    zfs.unmount("zroot/ROOT/default"),
    zfs_send.replicate(ODD),
    zfs_send.estimate(ODD),
    zfs_receive.receive("zroot"),
    netstat.watch("em0"),
    netstat.routes(),
    ifconfig.names(),
    ifconfig.show("em0"),
    ifconfig.up("em0"),
    ifconfig.set_address("em0", "10.99.0.1", 24),
    dhclient.start("em0"),
    route.add_default("10.99.0.2"),
    route.delete_default(),
    route.write_name_servers(["10.99.0.2", "2001:db8::1"]),
    mount.mounted(),
    mount.room("/tmp"),
    mount.newfs_efi("/dev/gpt/efiboot0"),
    mount.mount_efi("/dev/gpt/efiboot0", "/tmp/zr-0a1b/esp"),
    mount.unmount("/tmp/zr-0a1b/esp"),
    swapinfo.devices(),
    geli.status(),
    kld.load("zfs"),
    kld.is_loaded("zfs"),
    kld.kernel_variable("smbios.system.serial"),
    ssh.login(SESSION),
    ssh.check(SESSION),
    ssh.logout(SESSION),
    ssh.run(SESSION, zfs_send.replicate(ODD)),
    ssh.scan("10.99.0.2", 2223),
    ssh.fingerprints("/tmp/zr-0a1b/known_hosts"),
    sh.pipeline(
        sh.keep_status(ssh.run(SESSION, zfs_send.replicate(ODD)), "/tmp/zr-0a1b/send.rc"),
        zfs_receive.receive("zroot"),
    ),
]


@pytest.mark.parametrize("text", BUILDERS)
def test_builders_are_posix_sh(text: str) -> None:
    assert parses(text)
    assert "\t" not in text


@pytest.mark.skipif(shutil.which("shellcheck") is None, reason="shellcheck is not installed")
def test_builders_pass_shellcheck(tmp_path: object) -> None:
    paths = []
    for number, text in enumerate(BUILDERS):
        path = f"{tmp_path}/{number}.sh"
        with open(path, "w") as script:
            script.write(text + "\n")
        paths.append(path)
    done = subprocess.run(
        # Both notes ask whether odd quotes and dollar signs in single quotes are meant: they are.
        ["shellcheck", "-s", "sh", "-e", "SC2016,SC1003", *paths],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout + done.stderr == ""


def test_commands_read_as_the_flow_types_them() -> None:
    assert (
        gpart.add(
            "vtbd0", index=3, label="swap0", type="freebsd-swap", align=1 << 20, bytes=2 << 30
        )
        == "gpart add -a 1m -i 3 -l swap0 -t freebsd-swap -s 2g vtbd0"
    )
    assert ssh.run(SESSION, "zfs send -R hostA@s") == (
        "ssh -F /tmp/zr-0a1b/ssh_config -o BatchMode=yes backup 'zfs send -R hostA@s'"
    )
    assert (
        zpool.create("zroot", "gpt/zfs0", options={"altroot": "/mnt"}, properties={"atime": "off"})
        == "zpool create -o altroot=/mnt -O atime=off -m none zroot gpt/zfs0"
    )
    assert zfs.guid_checksum("zroot") == (
        "zfs list -Hp -t snapshot -o name,guid -r zroot | LC_ALL=C sort | cksum"
    )


def test_boot_code_is_compared_as_far_as_it_reaches(tmp_path: object) -> None:
    device, code = f"{tmp_path}/a disk", f"{tmp_path}/boot code"
    with open(code, "wb") as file:
        file.write(b"boot" * 300)
    for tail in (b"\0" * 700, b""):
        with open(device, "wb") as file:
            file.write(b"boot" * 300 + tail)
        for check in (gpart.partcode_written(device, code), gpart.pmbr_written(device, code)):
            assert shell(sh.any_of(sh.all_of(check, "echo yes"), "echo no")) == b"yes\n"
    with open(device, "wb") as file:
        file.write(b"boot" * 120 + b"else" * 300)
    # Beyond byte 440 the disk is its own.
    assert shell(sh.all_of(gpart.pmbr_written(device, code), "echo yes")) == b"yes\n"
    assert shell(sh.any_of(gpart.partcode_written(device, code), "echo no")) == b"no\n"
    missing = subprocess.run(
        ["sh", "-c", gpart.partcode_written(device, f"{tmp_path}/none")],
        capture_output=True,
        check=False,
    )
    assert missing.returncode != 0
