"""Files of a FreeBSD system that matter for a restore, with contents that tell versions apart."""

from __future__ import annotations

import hashlib

from zrwizard.rehearsal.zfsprops import COMPATIBILITY_FILES
from zrwizard.rehearsal.zfsstate import Tree

BOOT_SIZES = {
    "pmbr": 512,
    "gptzfsboot": 131072,
    "gptboot": 62655,
    "loader": 507904,
    "loader.efi": 659456,
    "zfsloader": 507904,
}
RECORDED_SIZES = BOOT_SIZES | {"gptzfsboot": 176566}
MEDIUM = "14.0-CURRENT"
HOST = "14.3-RELEASE"
HOST_ID = "FreeBSD 14.3-RELEASE releng/14.3-n271432-8c9ce319fef7 GENERIC"


READERS = ("gptzfsboot", "loader", "loader.efi", "zfsloader")
"""What reads a pool, and has the names of the features that it knows in it."""
FEATURES = (
    *(b"com.datto:bookmark_v2", b"com.datto:encryption", b"com.delphix:bookmark_written"),
    *(b"com.delphix:device_removal", b"com.delphix:embedded_data"),
    *(b"com.delphix:extensible_dataset", b"com.delphix:head_errlog", b"com.delphix:hole_birth"),
    *(b"com.joyent:multi_vdev_crash_dump", b"com.klarasystems:vdev_zaps_v2"),
    *(b"org.freebsd:zstd_compress", b"org.illumos:lz4_compress", b"org.illumos:sha512"),
    *(b"org.illumos:skein", b"org.open-zfs:large_blocks", b"org.openzfs:blake3"),
    b"org.zfsonlinux:large_dnode",
)


def boot_file(name: str, version: str, size: int) -> bytes:
    """The bytes of a boot file: marked with its version, otherwise noise, always the same."""
    head = f"\x00{name} of FreeBSD {version}\x00".encode()
    if name in READERS:
        head += b"\0".join((*FEATURES, b""))
    seed = hashlib.sha256(head).digest()
    body = (seed * (size // len(seed) + 1))[: size - len(head)]
    if name == "pmbr":
        return (b"\xfc" + head + body)[:510] + b"\x55\xaa"
    return head + body


def boot_files(version: str) -> dict[str, bytes]:
    """Everything in /boot that boots, by file name."""
    return {name: boot_file(name, version, size) for name, size in BOOT_SIZES.items()}


VERSIONS = (MEDIUM, HOST)
KNOWN_CODE: dict[str, set[bytes]] = {
    name: {boot_file(name, v, size) for v in VERSIONS} for name, size in BOOT_SIZES.items()
}
"""What a firmware of the rehearsal starts."""


def live_tree() -> Tree:
    """The read-only root of the live medium."""
    tree: Tree = {
        f"boot/{name}": data for name, data in boot_files(MEDIUM).items() if name != "zfsloader"
    }
    tree |= {
        "boot/kernel/kernel": boot_file("kernel", MEDIUM, 4096),
        "boot/loader.conf": b'vfs.mountroot.timeout="10"\nkernels_autodetect="NO"\n',
        "etc/rc.conf": b'sendmail_enable="NONE"\nhostid_enable="NO"\n',
        "etc/fstab": b"/dev/iso9660/14_0_CURRENT_AMD64_CD / cd9660 ro 0 0\n",
        "etc/hosts": b"::1\t\t\tlocalhost\n127.0.0.1\t\tlocalhost\n",
        "etc/ssh/sshd_config": b"#Port 22\nSubsystem\tsftp\t/usr/libexec/sftp-server\n",
        "root": None,
        "mnt": None,
        "tmp": None,
        "var": None,
        "dev": None,
        "media": None,
        "usr/bin": None,
        "usr/sbin": None,
        "sbin": None,
        "bin/sh": b"\x7fELF\n",
        "usr/libexec/bsdinstall": None,
    }
    for name in COMPATIBILITY_FILES:
        tree[f"usr/share/zfs/compatibility.d/{name}"] = b"# features\n"
    return tree


def host_tree(hostname: str, extra: str = "") -> Tree:
    """A boot environment of the host that is to be restored."""
    tree: Tree = {f"boot/{name}": data for name, data in boot_files(HOST).items()}
    tree |= {
        "boot/kernel/kernel": boot_file("kernel", HOST, 4096),
        "boot/loader.conf": b'zfs_load="YES"\nconsole="comconsole"\n',
        "boot/defaults/loader.conf": b'kernel="kernel"\n',
        "etc/rc.conf": (
            f'hostname="{hostname}"\nifconfig_em0="DHCP"\nzfs_enable="YES"\nsshd_enable="YES"\n'
        ).encode(),
        "etc/fstab": (
            b"# Device\t\tMountpoint\tFStype\tOptions\t\tDump\tPass#\n"
            b"/dev/gpt/efiboot0\t/boot/efi\tmsdosfs\trw\t\t2\t2\n"
            b"/dev/gpt/swap0\t\tnone\tswap\tsw\t\t0\t0\n"
        ),
        "etc/os-release": (
            f'NAME=FreeBSD\nVERSION="{HOST}"\nVERSION_ID="14.3"\nID=freebsd\n'
        ).encode(),
        "bin/freebsd-version": f'#!/bin/sh\nUSERLAND_VERSION="{HOST}"\n'.encode(),
        "etc/motd.template": extra.encode(),
        "root": None,
        "tmp": None,
        "var": None,
        "usr/home": None,
    }
    return tree


def moved(tree: Tree) -> Tree:
    """The same boot environment as it was on a machine with other disks and another card."""
    table = (tree["etc/fstab"] or b"").replace(b"/dev/gpt/efiboot0", b"/dev/ada0p1\t")
    conf = tree["etc/rc.conf"] or b""
    return tree | {
        "etc/fstab": table.replace(b"/dev/gpt/swap0", b"/dev/ada0p2.eli"),
        "etc/rc.conf": conf.replace(b"ifconfig_em0=", b"# the office\nifconfig_igb0=")
        + b'dumpdev="/dev/ada0p2"\n',
        "etc/pf.conf": b'ext_if="igb0"\npass\n',
        "etc/exports": b"/home -network 192.0.2.0/24\n",
        "etc/zfs/zpool.cache": b"\x01\x01\x00\x00version zroot ada0p3\x00",
        "boot/loader.conf": b'zfs_load="YES"\n'
        + b'vfs.root.mountfrom="zfs:zroot/ROOT/old"\n'
        + b'geli_ada0p3_keyfile0_load="YES"\n',
    }
