"""Named situations in which a rehearsal can begin."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum


class Start(Enum):
    """What the target's console shows when its boot is over."""

    QUESTION = "question"
    DIALOG = "dialog"
    SHELL = "shell"
    LIVE_LOGIN = "login"
    PASSWORD_LOGIN = "password-login"  # noqa: S105 - a state, no secret
    CSH = "csh"
    SINGLE_USER = "single-user"
    PLAIN = "plain"


@dataclass(frozen=True, slots=True)
class Cut:
    """The network between target and server fails once `after` bytes of a stream have passed,
    counted from the failure before.

    The connection is reset, or, with `hang` simulated seconds, nothing passes for so long.
    """

    after: int
    hang: float = 0.0


@dataclass(frozen=True, slots=True)
class Scenario:
    """The switches of a rehearsal; the defaults are the restore as it should go."""

    name: str = "restore"
    start: Start = Start.QUESTION
    power_on_at_connect: bool = True
    console_taken: bool = False
    dhcp: bool = True
    link: bool = True
    server_address: str = "10.0.2.2"
    server_port: int = 2223
    port_refused: bool = False
    password: str = "rehearse"  # noqa: S105 - printed in the rehearsal's help
    password_login: bool = True
    root_password: str = "rehearse"  # noqa: S105
    installed_password: str = "rehearse"  # noqa: S105
    changed_host_key: bool = False
    pool_on_server: bool = True
    newest_incomplete: bool = True
    every_snapshot_incomplete: bool = False
    disk_size: int = 8 << 30
    disk_serial: str = "ZRDISK0001"
    more_disks: tuple[tuple[int, str], ...] = ()
    """Further disks for the pool: size in bytes and serial number each."""
    layout: str = ""
    """How the pool is to lie over the disks, where there are several."""
    spares: int = 0
    """How many of the further disks, the last ones, are to be spares."""
    disk_passphrase: str = ""
    """With what the pool's disks are to be encrypted, empty for not at all."""
    moved: bool = False
    """The backed-up host had other disks and another network card than the target."""
    disk_in_use: bool = False
    old_pool_on_disk: bool = False
    old_marks_on_disk: bool = False
    """The disk was part of a mirror, and encrypted, where the new partitions will be."""
    trap_disk: bool = True
    firmware: str = "BIOS"
    installed: bool = False
    """An installed host with root on ZFS instead of a live medium: `preview`."""
    box: bool = False
    """knox, an installed machine with a USB disk that is to become a backup server: `server`."""
    old_geli_on_disk: bool = False
    read_only_root: bool = False
    tmp_full: bool = False
    clock_skew: float = 0.0
    """By how many seconds the machine's clock is ahead of the true time."""
    openssh: str = "OpenSSH_9.5p1"
    sshd_refuses: str = ""
    """What sshd says of any configuration, empty where it reads it."""
    busy_port: int = 0
    """A port on which something else listens already."""
    replug: bool = False
    """The USB disks come back under other names as soon as one was detached."""
    disk_rotation: str = "unknown"
    """What geom(8) says of the disk's rotation rate: of the usual virtual disk nothing is known."""
    homes: int = 0
    """Bytes that each user's home holds besides what it always does."""
    round_trip: float = 0.0005
    """Seconds to the server and back."""
    cuts: tuple[Cut, ...] = ()
    """How the network fails under the transfer."""
    recorded_machine: bool = False
    """The machine of the transcripts: vtbd0 and vtbd1 of 4 GB, da0, ada0, em0, vtnet0."""


def _servers() -> tuple[Scenario, ...]:
    """`server`, and what can be wrong with the machine or its disk."""
    good = Scenario(
        name="server",
        start=Start.PASSWORD_LOGIN,
        power_on_at_connect=False,
        box=True,
        root_password="practice-console",  # noqa: S106 - printed in the rehearsal's help
        disk_serial="WX61A65P3JZK",
    )
    return (
        good,
        replace(good, name="server-old-geli", old_geli_on_disk=True),
        replace(good, name="server-old-pool", old_pool_on_disk=True),
        replace(good, name="server-disk-in-pool", disk_in_use=True),
        replace(good, name="server-read-only", read_only_root=True),
        replace(good, name="server-wrong-clock", clock_skew=-3 * 365 * 86400),
        replace(good, name="server-old-openssh", openssh="OpenSSH_6.6.1p1"),
        replace(good, name="server-tmp-full", tmp_full=True),
        replace(
            good,
            name="server-sshd-refuses",
            sshd_refuses="/var/empty must be owned by root and not group or world-writable.",
        ),
        replace(good, name="server-port-busy", busy_port=2222),
        replace(good, name="server-replug", replug=True),
    )


_RESTORE = Scenario()
SCENARIOS: dict[str, Scenario] = {
    s.name: s
    for s in (
        _RESTORE,
        replace(_RESTORE, name="port-refused", port_refused=True),
        replace(_RESTORE, name="no-dhcp", dhcp=False),
        replace(_RESTORE, name="no-dataset", pool_on_server=False),
        replace(_RESTORE, name="snapshot-incomplete", every_snapshot_incomplete=True),
        replace(_RESTORE, name="disk-too-small", disk_size=1 << 30),
        replace(_RESTORE, name="disk-in-use", disk_in_use=True),
        replace(_RESTORE, name="old-pool", old_pool_on_disk=True),
        replace(_RESTORE, name="old-marks", old_marks_on_disk=True),
        replace(_RESTORE, name="no-password", password_login=False),
        replace(_RESTORE, name="changed-host-key", changed_host_key=True),
        replace(_RESTORE, name="console-taken", console_taken=True),
        replace(_RESTORE, name="uefi", firmware="UEFI"),
        replace(
            _RESTORE,
            name="restore-mirror",
            more_disks=((8 << 30, "ZRDISK0002"),),
            layout="mirror",
        ),
        replace(
            _RESTORE,
            name="restore-encrypted",
            disk_passphrase="practice-disk",  # noqa: S106 - printed in the rehearsal's help
        ),
        replace(_RESTORE, name="restore-moved", moved=True),
        replace(_RESTORE, name="link-cut", cuts=(Cut(40 << 20), Cut(300 << 20), Cut(1 << 20))),
        replace(_RESTORE, name="restore-far", disk_rotation="0", round_trip=0.08, homes=700 << 20),
        replace(_RESTORE, name="link-hangs", cuts=(Cut(100 << 20, hang=600),)),
        replace(
            _RESTORE,
            name="preview",
            start=Start.PASSWORD_LOGIN,
            power_on_at_connect=False,
            installed=True,
        ),
        *_servers(),
        replace(
            _RESTORE,
            name="transcripts",
            start=Start.PLAIN,
            recorded_machine=True,
            power_on_at_connect=False,
            server_address="10.99.0.2",
            server_port=22,
            password="root",  # noqa: S106 - the recorded machine's
        ),
    )
}
"""By name; "wrong password" needs no scenario: give another one than `password`."""


def scenario(name: str) -> Scenario:
    """The scenario called `name`; ValueError lists the names there are."""
    try:
        return SCENARIOS[name]
    except KeyError:
        raise ValueError(
            f"there is no rehearsal called {name!r}; there are: {', '.join(SCENARIOS)}"
        ) from None
