"""efibootmgr(8), and a firmware that starts what its list names (facts C2; real lists of 14.x)."""

from __future__ import annotations

from dataclasses import dataclass

from zrwizard.rehearsal.commands import Call, flags, tool
from zrwizard.rehearsal.errors import Fail
from zrwizard.rehearsal.hardware import Disk, Partition
from zrwizard.rehearsal.machine import Machine, Where


@dataclass(slots=True)
class Entry:
    """One variable BootXXXX: a file of a partition, or a device that the firmware found itself."""

    number: int
    label: str
    media: str
    file: str = ""
    active: bool = True


@dataclass(slots=True)
class Firmware:
    """The variables, in the order in which they are tried; `current` is what started it."""

    entries: list[Entry]
    current: int
    forgets: bool = False
    """It takes new entries and does not keep them."""


def old_firmware() -> Firmware:
    """One that knows the disk that died, and started the install medium."""
    gone = "HD(1,GPT,f83a9e2f-bd87-11ef-95b7-000c29761cd2,0x28,0x82000)"
    return Firmware(
        [
            Entry(0, "FreeBSD", gone, r"\efi\freebsd\loader.efi"),
            Entry(1, "UEFI QEMU DVD-ROM QM00003", "PciRoot(0x0)/Pci(0x1,0x1)/Ata(0x1)"),
        ],
        1,
    )


@tool("efibootmgr", "/usr/sbin")
def efibootmgr(call: Call) -> str:
    """The list, and -c, which puts an entry before all others."""
    firmware = call.machine.firmware
    if firmware is None:
        raise Fail("efibootmgr: efi variables not supported on this system. root? kldload efirt?\n")
    found, names = flags(call.args, "lLbok")
    if names:
        raise Fail("usage: efibootmgr [-aAcdDfFnNoptTv]\n")
    if "c" in found:
        _create(call, firmware, found)
    return _listed(call.machine, firmware, verbose="v" in found)


def _create(call: Call, firmware: Firmware, found: dict[str, str]) -> None:
    path = call.path(found.get("l", ""))
    mount = next(
        (
            m
            for m in reversed(call.machine.mounts)
            if m.kind == "msdosfs" and path.startswith(m.path + "/")
        ),
        None,
    )
    where = call.machine.place(mount.special) if mount is not None else None
    if mount is None or where is None or where.part is None or not call.exists(path):
        raise Fail(
            f"efibootmgr: Cannot translate unix loader path '{path}' to UEFI: "
            "No such file or directory\n"
        )
    if firmware.forgets:
        return
    taken = {entry.number for entry in firmware.entries}
    number = next(n for n in range(1 << 16) if n not in taken)
    file = path[len(mount.path) :].replace("/", "\\")
    firmware.entries.insert(0, Entry(number, found["L"], _media(where.part), file, "a" in found))


def _media(part: Partition) -> str:
    return f"HD({part.index},GPT,{part.uuid},{part.start:#x},{part.count:#x})"


def _partition(machine: Machine, entry: Entry) -> Where | None:
    return next((w for w in machine.places() if w.part and _media(w.part) == entry.media), None)


def _listed(machine: Machine, firmware: Firmware, *, verbose: bool) -> str:
    text = f"Boot to FW : false\nBootCurrent: {firmware.current:04x}\nTimeout    : 0 seconds\n"
    order = ", ".join(f"{entry.number:04X}" for entry in firmware.entries)
    text += f"BootOrder  : {order}\n"
    for entry in firmware.entries:
        sign = "+" if entry.number == firmware.current else " "
        star = "*" if entry.active else " "
        text += f"{sign}Boot{entry.number:04X}{star} {entry.label}"
        if not verbose:
            text += "\n"
            continue
        text += f" {entry.media}{f'/File({entry.file})' if entry.file else ''}\n"
        where = _partition(machine, entry)
        if where is not None:
            unix = entry.file.replace("\\", "/")
            text += f"{' ' * (15 + len(entry.label))}{where.name}:{unix} (null)\n"
    return text + ("\n\nUnreferenced Variables:\n" if verbose else "")


def started(machine: Machine) -> tuple[Disk, bytes] | None:
    """The disk and the file that the list leads to; None where it leads to nothing that is here."""
    for entry in machine.firmware.entries if machine.firmware is not None else ():
        where = _partition(machine, entry) if entry.active else None
        if where is None:
            continue
        for name, code in (where.content.fat or {}).items():
            if code and "\\" + name.upper().replace("/", "\\") == entry.file.upper():
                return where.disk, code
    return None
