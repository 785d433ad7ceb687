"""What the files of a backup server's system should say, for its release and its memory.

Pure: old text in, new text and one sentence a change out. Only names that a release knows are
written (rc.conf(5), loader.conf(5), sysctl(8) of FreeBSD 13 to 15; facts E and F2).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from . import crontab, fstab, loaderconf, rcconf, sysctlconf, ttys
from .mount import Mount

PATHS = (
    rcconf.PATH,
    fstab.PATH,
    loaderconf.PATH,
    sysctlconf.PATH,
    ttys.PATH,
    crontab.PATH,
)
"""The files that `change` knows, in the order in which they are best shown."""

MIB = 1024 * 1024
LEAST_ARC = 64 * MIB
"""OpenZFS takes no notice of a smaller `vfs.zfs.arc.max`."""

_FIRST, _LAST = 13, 15


@dataclass(frozen=True, slots=True)
class Machine:
    """What decides: `uname -r`, memory in bytes, whether powerd works, what is mounted.

    `rc_local` is the text of /etc/rc.conf.local, which is read last and wins.
    """

    release: str
    memory: int
    paces: bool
    mounts: tuple[Mount, ...] = ()
    rc_local: str = ""

    @property
    def major(self) -> int:
        """The release's first number (`14.2-RELEASE-p1`: 14), 0 where it has none."""
        number = re.match(r"(\d{1,3})\.", self.release, re.ASCII)
        return int(number[1]) if number else 0

    def mounted(self, point: str) -> Mount | None:
        """What is mounted at `point`, the last of several."""
        return next((each for each in reversed(self.mounts) if each.point == point), None)


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the operator chose: root `keep`, `noatime` or `readonly`; swap `keep` or `encrypt`.

    `ssh` says whether the system's own sshd is the way in, so that it must start at boot.
    """

    root: str = "keep"
    swap: str = "keep"
    ssh: bool = True


@dataclass(frozen=True, slots=True)
class Setting:
    """A value (None: take it out), why in one sentence, and the releases that know it."""

    name: str
    value: str | None
    why: str
    first: int = _FIRST
    last: int = _LAST


@dataclass(frozen=True, slots=True)
class Change:
    """The new text of a file, why for each thing that changes, and what could not be done."""

    path: str
    text: str
    why: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def change(path: str, text: str | None, machine: Machine, wishes: Wishes) -> Change:
    """What the file `path` should be, from its `text` (None: there is no file).

    Applied to its own result it changes nothing. Raises ParseError for a text that cannot be read,
    KeyError for a path that is not in `PATHS`.
    """
    return _CHANGES[path](text or "", machine, wishes)


# --- /etc/rc.conf -----------------------------------------------------------------------------


def rc_conf(machine: Machine, wishes: Wishes) -> tuple[Setting, ...]:
    """What rc.conf should set."""
    pacing = ("powerd_enable", "YES", "The processor slows down while there is nothing to do.")
    fixed = (
        "root_rw_mount",
        "NO",
        "The root stays read-only after boot; to change something, mount -uw / first.",
    )
    door = ("sshd_enable", "YES", "ssh is the only way in from outside.")
    return (
        *([Setting(*door)] if wishes.ssh else []),
        Setting("ntpd_enable", "YES", "Certificates hold for a time, so the clock must be right."),
        Setting("ntpd_sync_on_start", "YES", "A clock that lost its battery is set at boot."),
        *([Setting(*pacing)] if machine.paces else []),
        # From 14 on dma(8) delivers mail, and no daemon is started.
        Setting("sendmail_enable", "NONE", "Nobody reads or sends mail here.", last=13),
        Setting("dumpdev", "NO", "A crash must not write memory, with a key in it, to the disk."),
        Setting("syslogd_flags", "-ss", "The log listens to no network."),
        Setting("clear_tmp_enable", "YES", "Nothing stays in /tmp over a reboot."),
        *([Setting(*fixed)] if _read_only(machine, wishes) else []),
    )


def _read_only(machine: Machine, wishes: Wishes) -> bool:
    root = machine.mounted("/")
    return wishes.root == "readonly" and root is not None and root.type == "ufs"


def _change_rc(text: str, machine: Machine, wishes: Wishes) -> Change:
    wanted = _known(rc_conf(machine, wishes), machine)
    overriding = rcconf.values(machine.rc_local)
    notes = tuple(
        f"{rcconf.LOCAL} sets {each.name} too, and it wins: change it there."
        for each in wanted
        if each.name in overriding and overriding[each.name] != each.value
    )
    new, why = _applied(rcconf.edit, text, wanted)
    return Change(rcconf.PATH, new, why, notes)


# --- /boot/loader.conf ------------------------------------------------------------------------


def arc_limit(memory: int) -> int:
    """How many bytes ZFS may keep cached: an eighth of a small memory, half of a large one."""
    share = 8 if memory < 1024 * MIB else 4 if memory < 4096 * MIB else 2
    return max(LEAST_ARC, memory // share // MIB * MIB)


def loader_conf(text: str, machine: Machine) -> tuple[Setting, ...]:
    """What loader.conf should set, given what it sets now; a sensible value of theirs stays."""
    now = loaderconf.values(text)
    found: list[Setting] = []
    if now.get("autoboot_delay") not in {"-1", "0", "1", "2", "3"}:
        found.append(Setting("autoboot_delay", "3", "It boots by itself, after three seconds."))
    if not any(_enough(now.get(name, "")) for name in ("vfs.zfs.arc.max", "vfs.zfs.arc_max")):
        limit = f"{arc_limit(machine.memory) // MIB}M"
        found.append(
            Setting("vfs.zfs.arc.max", limit, "ZFS leaves memory for the rest of the system.")
        )
        if "vfs.zfs.arc_max" in now:
            old = "Its old name would set less than ZFS accepts."
            found.append(Setting("vfs.zfs.arc_max", None, old))
    found += [
        Setting(name, None, "Releases from 14 on do not know it any more.", first=14)
        for name in now
        if name.startswith("vfs.zfs.vdev.cache")
    ]
    return tuple(found)


def _enough(value: str) -> bool:
    """Whether ZFS takes notice of this size (`512M`, plain bytes)."""
    size = re.fullmatch(r"(\d{1,18})([kKmMgGtT]?)", value, re.ASCII)
    return (
        size is not None and int(size[1]) << 10 * " kmgt".index(size[2].lower() or " ") >= LEAST_ARC
    )


def _change_loader(text: str, machine: Machine, _wishes: Wishes) -> Change:
    wanted = _known(loader_conf(text, machine), machine)
    return Change(loaderconf.PATH, *_applied(loaderconf.edit, text, wanted))


# --- /etc/sysctl.conf -------------------------------------------------------------------------


def sysctl_conf() -> tuple[Setting, ...]:
    """What sysctl.conf should set."""
    return (
        Setting("kern.coredump", "0", "A program that crashes leaves no memory on the disk."),
        Setting("security.bsd.see_other_uids", "0", "Users see their own processes alone."),
        Setting("security.bsd.see_other_gids", "0", "So do groups."),
        Setting("security.bsd.unprivileged_read_msgbuf", "0", "Kernel messages are root's."),
        Setting("security.bsd.unprivileged_proc_debug", "0", "Only root may look into processes."),
        Setting("net.inet.icmp.drop_redirect", "1", "Nobody on the network changes its routes."),
    )


def _change_sysctl(text: str, machine: Machine, _wishes: Wishes) -> Change:
    wanted = _known(sysctl_conf(), machine)
    return Change(sysctlconf.PATH, *_applied(sysctlconf.edit, text, wanted))


# --- /etc/fstab -------------------------------------------------------------------------------


def _change_fstab(text: str, machine: Machine, wishes: Wishes) -> Change:
    why: list[str] = []
    notes: list[str] = []

    def take(new: str, sentence: str) -> bool:
        nonlocal text
        changed, text = new != text, new
        if changed:
            why.append(sentence)
        return changed

    root = next((row for row in fstab.parse(text) if row.point == "/"), None)
    if wishes.root != "keep" and (root is None or root.type != "ufs"):
        notes.append("The root is no UFS of fstab, so it stays as it is (ZFS: zfs set atime=off).")
    elif wishes.root == "noatime":
        take(fstab.root_noatime(text), "Reading a file writes nothing, so a disk may sleep.")
    elif wishes.root == "readonly" and _read_only(machine, wishes):
        take(fstab.root_read_only(text), "The root is read-only: a power cut cannot harm it.")
    if wishes.swap == "encrypt":
        take(fstab.encrypt_swap(text), "Swap is encrypted with a new key at each boot.")
    for point, mode, size, sentence in _memory_file_systems(machine, wishes):
        var = machine.mounted("/var")
        in_memory = point.startswith("/var/") and var is not None and var.type == "tmpfs"
        if machine.mounted(point) is None and not in_memory:
            take(fstab.add_tmpfs(text, point, mode, size), sentence)
    return Change(fstab.PATH, text, tuple(why), tuple(notes))


def _memory_file_systems(machine: Machine, wishes: Wishes) -> tuple[tuple[str, str, int, str], ...]:
    """Point, mode, MiB and why. A read-only root gets a /var in memory from rc.d/var anyway."""
    memory = machine.memory // MIB
    tmp = ("/tmp", "1777", min(1024, max(64, memory // 8)), "/tmp is in memory, and empty at boot.")  # noqa: S108
    log = (
        "/var/log",
        "755",
        min(128, max(32, memory // 16)),
        "Logs are in memory: no disk wakes up for a line, and they are gone after a reboot.",
    )
    return (tmp,) if _read_only(machine, wishes) else (tmp, log)


# --- /etc/ttys and /etc/crontab ---------------------------------------------------------------


def _change_ttys(text: str, _machine: Machine, _wishes: Wishes) -> Change:
    if not text.strip():
        return Change(ttys.PATH, text)
    new = ttys.lock_console(text)
    why = "Single user mode asks for root's password; every login stays as it is."
    return Change(ttys.PATH, new, (why,) if new != text else ())


def _change_crontab(text: str, _machine: Machine, _wishes: Wishes) -> Change:
    if not text.strip():
        return Change(crontab.PATH, text)
    new = crontab.no_mail(text)
    why = "cron mails nobody, so nothing piles up unread."
    return Change(crontab.PATH, new, (why,) if new != text else ())


# --- common -----------------------------------------------------------------------------------


def _known(settings: tuple[Setting, ...], machine: Machine) -> tuple[Setting, ...]:
    return tuple(each for each in settings if each.first <= machine.major <= each.last)


def _applied(
    edit: Callable[[str, Mapping[str, str | None]], str], text: str, wanted: tuple[Setting, ...]
) -> tuple[str, tuple[str, ...]]:
    """The text with what is wanted, and a sentence for each setting that was not so before."""
    why: list[str] = []
    for each in wanted:
        new = edit(text, {each.name: each.value})
        if new != text:
            value = "taken out" if each.value is None else each.value
            why.append(f"{each.name}: {value}. {each.why}")
        text = new
    return text, tuple(why)


_CHANGES: dict[str, Callable[[str, Machine, Wishes], Change]] = {
    rcconf.PATH: _change_rc,
    fstab.PATH: _change_fstab,
    loaderconf.PATH: _change_loader,
    sysctlconf.PATH: _change_sysctl,
    ttys.PATH: _change_ttys,
    crontab.PATH: _change_crontab,
}
