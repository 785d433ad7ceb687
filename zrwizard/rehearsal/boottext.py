"""What a machine shows while it starts and stops: recorded bytes, fitted to the simulated disks."""

from __future__ import annotations

import re
from importlib import resources

from zrwizard.rehearsal.machine import Machine

QUERY = b"\x1b7\x1b[r\x1b[999;999H\x1b[6n\x1b8\x00"
LEAVE_DIALOG = b"\x1b[24;1H\r\x1b[?1l\x1b>"
CLEAR = b"\x1b[H\x1b[J"
QUESTION = "Console type [vt100]: "
BLANK79 = " " * 79


def recorded(name: str) -> bytes:
    """A recorded piece of console output, exact bytes."""
    return (resources.files(__package__) / "recorded" / name).read_bytes()


def live_boot(machine: Machine) -> list[bytes]:
    """The live medium from the loader's menu to the terminal question, in pieces."""
    text = recorded("live-boot.bin").decode("latin-1")
    lines: list[str] = []
    present = {d.name for d in machine.disks} | {n.name for n in machine.nics}
    for line in text.split("\r\n"):
        name = re.match(r"(da0|ada0|vtnet0)\b", line)
        if name is None or name[1] in present:
            lines.append(_fit(line, machine))
    return [piece.encode("latin-1") for piece in _pieces("\r\n".join(lines))]


def _fit(line: str, machine: Machine) -> str:
    found = re.match(r"(da0|ada0|cd0|vtblk[01]): (Serial Number|\d+MB)", line)
    if found is None:
        return line
    disk = machine.disk(found[1].replace("vtblk", "vtbd"))
    if disk is None:
        return line
    if found[2] == "Serial Number":
        return f"{found[1]}: Serial Number {disk.serial}" if disk.name != "cd0" else line
    return f"{found[1]}: {disk.size >> 20}MB ({disk.sectors} {disk.sector} byte sectors)"


def _pieces(text: str) -> list[str]:
    """Cut where a real machine pauses: at the autoboot countdown, at the kernel, at rc."""
    return [
        p
        for p in re.split(
            r"(?=\x1b\[23;4HAutoboot)|(?=---<<BOOT>>---)|(?=Trying to mount)"
            r"|(?=Starting Network)|(?=Starting devd)",
            text,
        )
        if p
    ]


def box_boot(machine: Machine, special: str) -> list[bytes]:
    """An installed system starting from its UFS root, up to the line before getty's."""
    text = recorded("disk-boot.bin").decode("latin-1")
    text = text.replace("Setting hostname: hostB.", f"Setting hostname: {machine.hostname}.")
    text = text.replace("/dev/gpt/rootfs", special)
    text = text.replace("FreeBSD 14.0-CURRENT #0: Sat Nov 21 19:17:32 UTC 2026", machine.kernel_id)
    text = text.replace("vtnet0", machine.nics[0].name)
    return [piece.encode("latin-1") for piece in _pieces(text)]


def disk_boot(hostname: str, bootfs: str, version: str, nics: list[str]) -> list[bytes]:
    """An installed system starting from its pool, up to the line before getty's."""
    text = recorded("disk-boot.bin").decode("latin-1")
    text = text.replace("Setting hostname: hostB.", f"Setting hostname: {hostname}.")
    text = text.replace(
        "Trying to mount root from ufs:/dev/gpt/rootfs [rw]...",
        f"Trying to mount root from zfs:{bootfs} []...",
    )
    text = re.sub(r"/dev/gpt/rootfs: .*\r\n", "", text)
    text = text.replace("FreeBSD 14.0-CURRENT #0: Sat Nov 21 19:17:32 UTC 2026", version)
    if nics:
        text = text.replace("vtnet0", nics[0])
    return [piece.encode("latin-1") for piece in _pieces(text)]


def installer_greeting() -> str:
    """What startbsdinstall asks on a console without kbdcontrol."""
    return (
        "\nWelcome to FreeBSD!\n\n"
        "Please choose the appropriate terminal type for your system.\n"
        "Common console types are:\n"
        "   ansi     Standard ANSI terminal\n"
        "   vt100    VT100 or compatible terminal\n"
        "   xterm    xterm terminal emulator (or compatible)\n"
        "   cons25w  cons25w terminal\n\n" + QUESTION
    )


def dialog() -> bytes:
    """The bsddialog screen as a vt100 gets it."""
    return recorded("dialog.bin")


FOCUS = (
    (
        24,
        "\x1b[14;19H\x1b(0x\x1b(B\x1b[m    [\x1b[7m\x1b[4mInstall\x1b[m]\x1b[m   [\x1b[4m "
        "Shell \x1b[m]\x1b[m   [\x1b[4mLive CD\x1b[m]",
    ),
    (
        37,
        "\x1b[14;19H\x1b(0x\x1b(B\x1b[m    [\x1b[4mInstall\x1b[m]\x1b[m   [\x1b[7m\x1b[4m "
        "Shell \x1b[m]\x1b[m   [\x1b[4mLive CD\x1b[m]",
    ),
    (
        48,
        "\x1b[14;19H\x1b(0x\x1b(B\x1b[m    [\x1b[4mInstall\x1b[m]\x1b[m   [\x1b[4m Shell "
        "\x1b[m]\x1b[m   [\x1b[7m\x1b[4mLive CD\x1b[m]",
    ),
)


def dialog_focus(button: int) -> bytes:
    """Redraw the buttons with the focus on one of them (0 Install, 1 Shell, 2 Live CD)."""
    return FOCUS[button][1].encode() + b"\x1b[m"


INSTALLING = (
    b"\x1b[H\x1b[J FreeBSD Installer\r\n\r\n"
    b" Distribution Extract: the installation has begun.\r\n"
    b" This disk is being partitioned; its old contents are lost.\r\n"
)


def shutdown(machine: Machine, how: str, pid: int) -> list[tuple[float, bytes]]:
    """The way down, with the seconds to wait before each piece."""
    stamp, host = machine.clock.stamp(), machine.hostname
    up = int(machine.clock.now() - machine.booted)
    uptime = (
        (f"{up // 3600}h" if up >= 3600 else "")
        + (f"{up // 60 % 60}m" if up >= 60 else "")
        + f"{up % 60}s"
    )
    pieces: list[tuple[float, str]] = []
    if how == "poweroff":
        pieces += [
            (
                0.1,
                f"{BLANK79}\r\n\x07*** FINAL System shutdown message from root@{host} ***"
                f"\x07{' ' * 29}\r\n\r\n"
                f"System going down IMMEDIATELY{' ' * 50}\r\n\r\n{BLANK79}\r\n\r\n"
                "System shutdown time has arrived\x07\x07\n",
            ),
            (
                1.0,
                f"{stamp} {host} shutdown[{pid}]: power-down by root: \r\n"
                "Stopping cron.\nStopping devd.\nWriting entropy file: .\n"
                "Writing early boot entropy file: /etc/rc.shutdown: WARNING: write failed "
                "(read-only fs?)\nTerminated\n.\n",
            ),
        ]
    else:
        pieces += [(0.0, f"{stamp} {host} reboot[{pid}]: rebooted by root\r\n")]
    pieces += [
        (
            1.0,
            f"{stamp} {host} syslogd: exiting on signal 15\r\n"
            "Waiting (max 60 seconds) for system process `vnlru' to stop... done\n"
            "Waiting (max 60 seconds) for system process `syncer' to stop... \n"
            "Syncing disks, vnodes remaining... 0 0 done\nAll buffers synced.\n"
            f"Uptime: {uptime}\n",
        )
    ]
    pieces += [(0.2, "Rebooting...\n" if how == "reboot" else "acpi0: Powering system off\n")]
    return [(wait, text.replace("\n", "\r\n").encode()) for wait, text in pieces]


def getty(hostname: str) -> str:
    """getty's announcement; it writes its own carriage returns through a cooked terminal."""
    return f"\r\nFreeBSD/amd64 ({hostname or 'Amnesiac'}) (ttyu0)\r\n\r\nlogin: "


def nothing_boots() -> bytes:
    """SeaBIOS at a disk without boot code, going on to the optical drive."""
    return (
        b"SeaBIOS (version 1.16.2-debian-1.16.2-1)\r\n\r\nBooting from Hard Disk...\r\n"
        b"Boot failed: not a bootable disk\r\n\r\n"
    )


def loader_finds_nothing(default: str) -> bytes:
    """gptzfsboot that finds no file system to boot."""
    return (
        b"SeaBIOS (version 1.16.2-debian-1.16.2-1)\r\n\r\nBooting from Hard Disk...\r\n"
        b"Can't find /boot/zfsloader\r\n\r\nFreeBSD/x86 boot\r\n"
        + f"Default: {default}:/boot/loader\r\nboot: ".encode()
    )


def no_loader() -> bytes:
    """pmbr that finds no freebsd-boot partition with code in it."""
    return (
        b"SeaBIOS (version 1.16.2-debian-1.16.2-1)\r\n\r\nBooting from Hard Disk...\r\n"
        b"Missing boot loader"
    )
