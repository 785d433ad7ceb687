"""fstab(5) of a restored system: swap and the EFI partition have the names that they were given.

A row whose device is not there stops the start in single-user mode, unless it is swap.
"""

from __future__ import annotations

from zrwizard.freebsd import fstab
from zrwizard.freebsd.fstab import Row
from zrwizard.mending.found import Mended, is_elsewhere
from zrwizard.plan import Mend

_ELI = ".eli"
_NOT_A_PARTITION = ("/dev/md", "/dev/zvol/")


def mend(text: str, machine: Mend) -> Mended:
    """Return the table with the new disk's swap and EFI partition. Raises `ParseError`."""
    rows = fstab.parse(text)
    devices: dict[str, str | None] = {}
    reasons, notes = list[str](), list[str]()
    missing = _swap(rows, machine, devices)
    for row in rows:
        lost = row.device not in devices and _is_lost(row, machine)
        efi = row.type == "msdosfs" and row.point in ("/boot/efi", "/efi")
        if lost and efi:
            devices[row.device] = machine.esp[0] if machine.esp else None
        elif lost and not row.swap:
            notes.append(
                f"/etc/fstab mounts {row.device} at {row.point}, and no such disk was seen here: "
                "unless it is there at the start, the machine stops in single-user mode."
            )
        if efi and len(machine.esp) > 1 and "noauto" not in row.options:
            notes.append(
                f"/etc/fstab mounts the EFI partition of one disk at {row.point}: without that "
                "disk the start stops in single-user mode, unless the row says noauto."
            )
    for old, new in devices.items():
        if new == old + _ELI:
            reasons.append(f"{old} is encrypted with a new key at each start.")
        else:
            reasons.append(f"{old} is {new} now." if new else f"{old} is not there any more.")
    text = fstab.with_devices(text, devices)
    encrypted = machine.seal or any(row.swap and row.device.endswith(_ELI) for row in rows)
    for device in missing:
        name = device + _ELI * encrypted
        text = fstab.append(text, Row(name, "none", "swap", ("sw",)))
        reasons.append(f"{device} is swap on the new disk.")
    return Mended(text, tuple(reasons), tuple(notes))


def _is_lost(row: Row, machine: Mend) -> bool:
    """Whether a row's device is neither on the new disk nor on another one that is here."""
    if not row.device.startswith("/dev/") or row.device.startswith(_NOT_A_PARTITION):
        return False
    known = (*machine.swap, *machine.esp)
    if row.device.removesuffix(_ELI) in known or row.type == "cd9660":
        return False
    return not is_elsewhere(row.device, machine)


def _swap(rows: tuple[Row, ...], machine: Mend, devices: dict[str, str | None]) -> tuple[str, ...]:
    """Put into `devices` what becomes of lost swap; return the new swap that no row has yet.

    Swap that was encrypted stays so, and with `machine.seal` all of it becomes so.
    """
    swaps = [row for row in rows if row.swap]
    kept = {row.device.removesuffix(_ELI) for row in swaps}
    free = [device for device in machine.swap if device not in kept]
    for row in swaps:
        if row.device in devices:
            continue
        if _is_lost(row, machine):
            new = free.pop(0) if free else None
            sealed = machine.seal or row.device.endswith(_ELI)
            devices[row.device] = new and new + _ELI * sealed
        elif machine.seal and row.device in machine.swap:
            devices[row.device] = row.device + _ELI
    return tuple(free)
