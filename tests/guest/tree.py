"""The backup that hostB serves: pool `hostA`, a root-on-ZFS tree as a replication stream leaves it.

Everything is made below an altroot, so that nothing is ever mounted over hostB's own root; in the
end the pool is imported without one and without mounting, as on a server that received it.
"""

from __future__ import annotations

from .machines import Guest

POOL = "hostA"
DISK = "vtbd0"
SNAPSHOT = "2025-08-08-deep"
"""The newest snapshot that every dataset has."""
INCOMPLETE = "2025-08-09"
"""A newer one that `MISSING_ON` lacks."""
MISSING_ON = "home/jpb"
BOOT_ENVIRONMENTS = ("ROOT/2025-08-08-deep", "ROOT/default")
"""The first is a clone of a snapshot of the second."""
HOSTNAME = "hostA"
NOTE = 'it\'s "quoted", spaced  twice; $HOME `no` \\n'
"""A user property that survives only where nothing pastes text into a shell."""
ALTROOT = "/run/tree"

_LAYOUT = """
ROOT                   -o mountpoint=none -o canmount=off
ROOT/default           -o mountpoint=/ -o canmount=noauto
home                   -o mountpoint=/home
home/jpb               -o quota=512m -o recordsize=16k
home/o-d_d.na:me       -o setuid=off
tmp                    -o mountpoint=/tmp -o exec=on -o setuid=off
usr                    -o mountpoint=/usr -o canmount=off
usr/ports              -o setuid=off
usr/src                -o compression=gzip-1
var                    -o mountpoint=/var -o canmount=off
var/audit              -o exec=off -o setuid=off
var/log                -o exec=off -o setuid=off
var/mail               -o atime=on
var/tmp                -o setuid=off
vm                     -V 16m -s -o volmode=none
"""

_SYSTEM = r"""set -e
mkdir -p boot/kernel boot/efi etc/ssh root bin usr var tmp home dev zroot
head -c 510 /dev/urandom > boot/pmbr; printf '\125\252' >> boot/pmbr
head -c 176902 /dev/urandom > boot/gptzfsboot
head -c 658432 /dev/urandom > boot/loader.efi
{ head -c 300000 /dev/urandom; printf '\0%s' com.datto:bookmark_v2 com.datto:encryption \
  com.delphix:bookmark_written com.delphix:device_removal com.delphix:embedded_data \
  com.delphix:extensible_dataset com.delphix:head_errlog com.delphix:hole_birth \
  com.joyent:multi_vdev_crash_dump org.freebsd:zstd_compress org.illumos:lz4_compress \
  org.illumos:sha512 org.illumos:skein org.open-zfs:large_blocks org.openzfs:blake3 \
  org.zfsonlinux:large_dnode; printf '\0'; head -c 200000 /dev/urandom; } > boot/loader
head -c 3000000 /dev/urandom > boot/kernel/kernel
printf 'zfs_load="YES"\nconsole="comconsole"\n' > boot/loader.conf
printf '/dev/ada0p3.eli none swap sw 0 0\n/dev/gpt/efiboot0 /boot/efi msdosfs rw 2 2\n' > etc/fstab
printf 'hostname="%s"\nzfs_enable="YES"\nsshd_enable="YES"\nifconfig_em0="DHCP"\n' hostA \
  > etc/rc.conf
printf 'root:*:0:0::0:0:Charlie &:/root:/bin/sh\n' > etc/master.passwd; chmod 600 etc/master.passwd
ln -s /usr/home/jpb root/jpb; ln etc/rc.conf etc/rc.conf.hard; mkfifo tmp/fifo
printf '#!/bin/sh\n' > bin/sh; chmod 555 bin/sh
"""

_HOME = r"""set -e
mkdir -p jpb/photos 'o-d_d.na:me/deep/er/and deeper'
for n in 1 2 3 4 5; do head -c 2000000 /dev/urandom > "jpb/photos/$n.raw"; done
printf 'caf\303\251\n' > "jpb/$(printf 'caf\303\251')"; printf x > 'jpb/with space'
printf y > "jpb/quote\"s'"
head -c 1500000 /dev/urandom > 'o-d_d.na:me/deep/er/and deeper/file'
"""

_REST = """set -e
head -c 6000000 /dev/urandom > var/log/messages
echo 1 > var/mail/root
mkdir usr/src/sys && seq 1 20000 > usr/src/sys/numbers
: > usr/ports/empty
"""


def build(guest: Guest) -> None:
    """Make the pool on an empty disk of the guest, with its history. About 30 MB."""
    _make_pool(guest)
    _mount_environment(guest, "ROOT/default")
    guest.run(f"cd {ALTROOT} && {_SYSTEM}")
    guest.run("zfs mount -a")
    guest.run(f"cd {ALTROOT}/home && {_HOME}")
    guest.run(f"cd {ALTROOT} && {_REST}")
    _snapshot(guest, "2025-07-01")
    _grow(guest)
    guest.run(f"zfs destroy {POOL}/{MISSING_ON}@{INCOMPLETE}")
    guest.run("zfs unmount -a")
    guest.run(f"zpool export {POOL} && zpool import -N -d /dev/gpt {POOL}")


def _make_pool(guest: Guest) -> None:
    guest.run(f"gpart create -s gpt {DISK} && gpart add -a 1m -l backup0 -t freebsd-zfs {DISK}")
    guest.run(
        f"kldload -n zfs && mkdir -p {ALTROOT} && zpool create -R {ALTROOT} -o ashift=12 "
        f"-O compression=lz4 -O atime=off -O mountpoint=/zroot {POOL} gpt/backup0"
    )
    create = "\n".join(
        f"zfs create {'' if '-V' in options else '-u'} {' '.join(options)} {POOL}/{name}"
        for name, *options in (line.split() for line in _LAYOUT.strip().splitlines())
    )
    guest.run(f"set -e\n{create}")
    note = "'" + NOTE.replace("'", "'\\''") + "'"
    guest.run(
        f"zfs set org.example:note={note} {POOL}/home && zfs set org.example:owner=jpb "
        f"{POOL}/home/jpb && zfs set 'org.example:empty=' {POOL}/var/log"
    )


def _mount_environment(guest: Guest, name: str) -> None:
    guest.run(f"zfs unmount -a; zfs mount {POOL}/{name}")


def _snapshot(guest: Guest, name: str) -> None:
    guest.run(f"sync; zfs snapshot -r {POOL}@{name}")


def _grow(guest: Guest) -> None:
    """The history after the first snapshot: the cloned boot environment and three snapshots."""
    clone = f"{POOL}/{BOOT_ENVIRONMENTS[0]}"
    guest.run(
        f"zfs clone -o mountpoint=/ -o canmount=noauto {POOL}/ROOT/default@2025-07-01 {clone}"
    )
    _mount_environment(guest, BOOT_ENVIRONMENTS[0])
    guest.run(
        f"cd {ALTROOT} && rm boot/loader.efi && head -c 659968 /dev/urandom > boot/loader.efi && "
        "head -c 177262 /dev/urandom > boot/gptzfsboot && head -c 100000 /dev/urandom >> "
        "boot/kernel/kernel && echo 14.3 > etc/release"
    )
    guest.run("zfs mount -a")
    guest.run(f"cd {ALTROOT}/home/jpb && rm photos/2.raw && echo new > new")
    _snapshot(guest, "2025-08-01")
    guest.run(f"head -c 4000000 /dev/urandom >> {ALTROOT}/var/log/messages")
    guest.run(f"echo changed > '{ALTROOT}/home/jpb/with space'")
    _snapshot(guest, SNAPSHOT)
    guest.run(f"echo later > {ALTROOT}/home/jpb/later")
    _snapshot(guest, INCOMPLETE)
