"""Looking at the machines: read-only commands in, `Facts` out.

Small probes are joined into few commands, since each costs a round trip on a slow line. Every
command has a deadline; `zpool import` may never come back (restore-pitfalls), so it runs last, is
named where it hangs, and the survey goes on without it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import TypeVar

from zrwizard import holds, survey_server, survey_system
from zrwizard.console.errors import NoAnswer
from zrwizard.facts import DiskFacts, Facts, TargetFacts
from zrwizard.flows.moves import Look
from zrwizard.freebsd import (
    cksum,
    compatibility,
    diskinfo,
    geli,
    geom,
    gpart,
    host,
    ifconfig,
    kld,
    lastsector,
    mount,
    netstat,
    swapinfo,
    sysctl,
    uname,
    zfs,
    zpool,
    zpool_import,
)
from zrwizard.freebsd.errors import ParseError
from zrwizard.run.events import Answered, Event, Note, Typed
from zrwizard.shell.api import Result, Shell

_MARK = "#zr#"
_SHOWN = 4000
_SCAN_SECONDS = 60
Emit = Callable[[Event], None]
_T = TypeVar("_T")


class SurveyError(Exception):
    """A survey that cannot go on: what happened, what to do now, and the exit code it means."""

    def __init__(self, what: str, now: str, exit: int) -> None:
        super().__init__(what)
        self.what = what
        self.now = now
        self.exit = exit


@dataclass(frozen=True, slots=True)
class Part:
    """What one probe of a joined command printed on stdout, and its status."""

    text: str
    status: int


def look(shell: Shell, facts: Facts, move: Look, emit: Emit) -> Facts:
    """Return `facts` with what `move` asks for.

    Raises `SurveyError`, and `ConsoleError` where the console itself fails.
    """
    try:
        match move.what:
            case "target":
                return replace(facts, target=_target(shell, emit))
            case "system":
                return replace(facts, system=survey_system.system(shell, emit))
            case what if what in survey_server.LOOKS:
                return survey_server.LOOKS[what](shell, facts, move.detail, emit)
            case _:
                raise SurveyError(f"nobody knows how to look at {move.what!r}", "Report it.", 1)
    except ParseError as error:
        raise SurveyError(
            f"A command of the survey answered in an unknown form: {error}",
            "Send the journal of this run to the maintainers; nothing was changed.",
            1,
        ) from None


# --- running ------------------------------------------------------------------------------------


def run(shell: Shell, text: str, timeout: float, emit: Emit) -> Result:
    """Return what `text` did on the target within `timeout` seconds, telling it to `emit`."""
    emit(Typed("survey", "survey", text))
    result = shell.run(text, timeout=timeout)
    shown = result.both
    if len(shown) > _SHOWN:
        shown = shown[:_SHOWN] + f"\n… {len(shown) - _SHOWN} more characters"
    emit(Answered("survey", "survey", result.status, shown, result.seconds))
    return result


# It keeps the status of the command before it; a line feed first, for output that ends without.
_HELPER = f'm() {{ printf \'\\n{_MARK} %s %s\\n\' "$1" "$?"; }}'


def joined(probes: Iterable[tuple[str, str]]) -> str:
    """Return sh text that runs the (name, command) probes in order, each followed by a mark."""
    return "\n".join((_HELPER, *(f"{text}; m {name}" for name, text in probes)))


def split(output: str) -> dict[str, Part]:
    """Return the parts of a joined command's output by name. Raises `ParseError`."""
    parts: dict[str, Part] = {}
    lines: list[str] = []
    for line in output.split("\n"):
        if not line.startswith(_MARK + " "):
            lines.append(line)
            continue
        words = line.split(" ")
        if len(words) != 3 or not words[2].isdigit():
            raise ParseError("survey", "a mark between two probes is damaged", line)
        text = "\n".join(lines)
        parts[words[1]] = Part(text, int(words[2]))
        lines = []
    return parts


def _need(parts: dict[str, Part], name: str) -> Part:
    if name not in parts:
        raise ParseError("survey", f"the probe {name} gave no answer")
    return parts[name]


# --- the target ---------------------------------------------------------------------------------

_MACHINE = (
    ("uid", host.user_id()),
    ("uname", uname.system()),
    ("clock", host.now()),
    ("memory", sysctl.value("hw.physmem")),
    ("bootmethod", sysctl.value("machdep.bootmethod")),
    ("muted", sysctl.value("kern.consmute")),
    ("consoles", sysctl.value("kern.console")),
    ("speed", kld.kernel_variable("comconsole_speed")),
    ("compatibility", host.names_in(compatibility.DIRECTORY)),
    ("boot", host.names_in("/boot")),
    ("room", mount.room("/tmp")),  # noqa: S108 - the target's
    ("swap", swapinfo.devices()),
    ("mounts", mount.mounted()),
    # Without the class geli(8) fails, and nothing is attached.
    ("geli", geli.status()),
)
_DISKS = "\n".join(
    (
        joined((("geom", geom.disks()), ("show", gpart.show()))),
        f"for d in $({sysctl.value('kern.disks')}); do",
        'gpart backup "$d" 2>/dev/null; m "backup:$d"',
        # Computed there, for the guards compare it with what is computed there later.
        'gpart backup "$d" 2>/dev/null | cksum; m "sum:$d"',
        'diskinfo "$d" 2>/dev/null; m "info:$d"',
        'diskinfo -s "$d" 2>/dev/null; m "ident:$d"',
        lastsector.search('"$d"') + '; m "last:$d"',
        "done",
    )
)
_NETWORK = "\n".join(
    (
        joined((("routes", netstat.routes()),)),
        f"for n in $({ifconfig.names()}); do",
        'ifconfig "$n"; m "nic:$n"',
        "done",
    )
)
_ZFS = joined(
    (("version", zfs.version()), ("pools", zpool.list_pools()), ("status", zpool.status()))
)


def target_commands() -> tuple[str, ...]:
    """Return what a survey of the target types, in order."""
    return joined(_MACHINE), _DISKS, _NETWORK, _ZFS, zpool.scan(_SCAN_SECONDS)


def _target(shell: Shell, emit: Emit) -> TargetFacts:
    hung: list[str] = []
    machine = _parts(shell, joined(_MACHINE), 45, emit, "The small probes")
    disks = _parts(shell, _DISKS, 60, emit, "Looking at the disks (geom, gpart, diskinfo)")
    network = _parts(shell, _NETWORK, 30, emit, "Looking at the network (ifconfig, netstat)")
    pools = _hanging(shell, _ZFS, emit, name="zpool status", hung=hung)
    scan = _hanging(shell, zpool.scan(_SCAN_SECONDS), emit, name="zpool import", hung=hung)
    answers = _Answers(machine, disks, network, split(pools.text) if pools else {}, scan)
    return _facts(answers, tuple(hung))


def _parts(shell: Shell, text: str, timeout: float, emit: Emit, what: str) -> dict[str, Part]:
    try:
        return split(run(shell, text, timeout, emit).text)
    except NoAnswer:
        raise SurveyError(
            f"{what} did not come back within {timeout:.0f} seconds.",
            "Unplug a disk that misbehaves, or power cycle the target, and start again.",
            4,
        ) from None


def _hanging(shell: Shell, text: str, emit: Emit, *, name: str, hung: list[str]) -> Result | None:
    """Run a probe that a bad disk can hang; None, and its name in `hung`, where it did."""
    timeout = _SCAN_SECONDS + 15
    try:
        result = run(shell, text, timeout, emit)
    except NoAnswer:
        result = None
    if result is not None and result.status != 124:
        return result
    hung.append(name)
    emit(
        Note(
            f"`{name}` did not come back within {timeout} seconds: one of the disks seems to "
            "hang. No disk can be chosen before that is settled: unplug it, or power cycle.",
            "warning",
        )
    )
    return None


@dataclass(frozen=True, slots=True)
class _Answers:
    """The raw answers of one survey of the target."""

    machine: dict[str, Part]
    disks: dict[str, Part]
    network: dict[str, Part]
    pools: dict[str, Part]
    scan: Result | None


def _facts(answers: _Answers, hung: tuple[str, ...]) -> TargetFacts:
    machine, pools = answers.machine, answers.pools
    system = uname.parse(_need(machine, "uname").text)
    room = mount.parse_room(_need(machine, "room").text)
    mounts = mount.parse_mounted(_need(machine, "mounts").text)
    swap = _optional(machine, "swap", swapinfo.parse)
    encrypted = _optional(machine, "geli", geli.parse_status)
    status = _optional(pools, "status", zpool.parse_status)
    candidates = zpool_import.parse(answers.scan.text) if answers.scan else ()
    version = pools.get("version")
    consoles = _optional(machine, "consoles", sysctl.parse_consoles)
    speed = machine.get("speed")
    found = _disks(answers.disks)
    claims = holds.Claims(mounts, status, candidates, encrypted, swap)
    return TargetFacts(
        uid=host.parse_user_id(_need(machine, "uid").text),
        system=system.name,
        release=system.release,
        arch=system.machine,
        memory=sysctl.parse_number(_need(machine, "memory").text),
        boot_method=_boot_method(machine),
        clock=_need(machine, "clock").text.strip(),
        disks=tuple(replace(disk, holds=holds.on(disk, claims)) for disk in found),
        nics=tuple(
            ifconfig.parse(part.text)
            for name, part in answers.network.items()
            if name.startswith("nic:") and part.status == 0
        ),
        default_route=netstat.parse_default_route(_need(answers.network, "routes").text),
        boot_files=_names(machine, "boot"),
        zfs_version=zfs.parse_version(version.text) if version and not version.status else None,
        compatibility=_names(machine, "compatibility"),
        tmp_free=room[0].available if room else 0,
        live=holds.is_live(mounts),
        mounts=mounts,
        pools=_optional(pools, "pools", zpool.parse_list),
        importable=candidates,
        geli=encrypted,
        swap=swap,
        muted=machine.get("muted", Part("", 1)).text.strip() == "1",
        serial=next((name for name in consoles if name.startswith("ttyu")), ""),
        serial_speed=speed.text.strip() if speed and not speed.status else "",
        hung=hung,
    )


def _optional(
    parts: dict[str, Part], name: str, parse: Callable[[str], tuple[_T, ...]]
) -> tuple[_T, ...]:
    part = parts.get(name)
    return parse(part.text) if part is not None and part.status == 0 else ()


def _names(parts: dict[str, Part], name: str) -> frozenset[str]:
    part = parts.get(name)
    return host.parse_names(part.text) if part is not None and part.status == 0 else frozenset()


def _boot_method(parts: dict[str, Part]) -> str:
    part = _need(parts, "bootmethod")
    return sysctl.parse_bootmethod(part.text) if part.status == 0 else "BIOS"


def _disks(parts: dict[str, Part]) -> tuple[DiskFacts, ...]:
    shown = {table.geom: table for table in gpart.parse_show(_need(parts, "show").text)}
    found = []
    for disk in geom.parse_disks(_need(parts, "geom").text):
        backup = parts.get(f"backup:{disk.name}", Part("", 1))
        saved = backup.text if backup.status == 0 else ""
        found.append(
            DiskFacts(
                disk=_looked_again(disk, parts),
                contents=str(cksum.parse(_need(parts, f"sum:{disk.name}").text)),
                table=_table(saved),
                corrupt=disk.name in shown and shown[disk.name].corrupt,
                metadata=lastsector.parse(parts.get(f"last:{disk.name}", Part("", 1)).text),
            )
        )
    return tuple(sorted(found, key=lambda disk: disk.name))


def _looked_again(disk: geom.Disk, parts: dict[str, Part]) -> geom.Disk:
    """The disk with the size and serial number that diskinfo gives: the guards compare those."""
    info = parts.get(f"info:{disk.name}", Part("", 1))
    ident = parts.get(f"ident:{disk.name}", Part("", 1))
    if info.status == 0:
        disk = replace(disk, mediasize=diskinfo.parse(info.text).mediasize)
    if ident.status == 0:
        serial = diskinfo.parse_ident(ident.text)
        disk = replace(disk, ident=None if serial == "(null)" else serial)
    return disk


def _table(saved: str) -> gpart.Table | None:
    try:
        return gpart.parse_backup(saved) if saved else None
    except ParseError:
        return None
