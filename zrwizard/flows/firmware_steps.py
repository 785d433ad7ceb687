"""The firmware's own list of what it starts, where the machine was started by UEFI.

Not every firmware keeps what is written there (facts C2), and each starts EFI/BOOT/BOOTX64.EFI of a
disk that it does not know. So an entry is made, and a firmware that refuses it stops nothing.
"""

from __future__ import annotations

from zrwizard.flows import disk_steps, shtext
from zrwizard.flows.choices import Choices, Place
from zrwizard.freebsd import efibootmgr, mount, sh
from zrwizard.plan import Command, Danger, Phase, Step

_OTHERWISE = "It is started as EFI/BOOT/BOOTX64.EFI, as any disk that the firmware does not know."


def has_list(choices: Choices) -> bool:
    """Return whether the firmware can be told of the disks: it started the target, and can them."""
    return choices.uefi and choices.boot_method == "UEFI"


def entry_steps(choices: Choices) -> tuple[Step, ...]:
    """Return a step for each disk, the first one last: the newest entry is tried first."""
    if not has_list(choices):
        return ()
    return tuple(_entry(choices, place) for place in reversed(choices.every))


def _entry(choices: Choices, place: Place) -> Step:
    esp, point = place.of_type("efi"), disk_steps.efi_point(choices)
    at = sh.quote(point)
    add = efibootmgr.add(f"{point}/EFI/FREEBSD/loader.efi", f"FreeBSD {esp.label}")
    return Step(
        id=choices.step_id("firmware-entry", place),
        phase=Phase.BOOT,
        title=choices.titled("Enter the loader into the firmware's list", place, "on"),
        why="The list may still name the old disk first. The new entry comes before all others, "
        "which stay.",
        action=Command(
            shtext.lines(
                # It is part of most kernels: then there is nothing to load.
                "kldload -n efirt 2>/dev/null",
                f"umount {at} 2>/dev/null",
                f"mkdir -p {at} || exit 1",
                f"{mount.mount_efi(disk_steps.efi_device(place), point)} || exit 1",
                f"{add} || printf '%s\\n' {sh.quote(_OTHERWISE)}",
                mount.unmount(point),
            )
        ),
        danger=Danger.CHANGES,
        look=shtext.lines(
            f"{shtext.finished(choices.home)} && exit 0",
            f"{efibootmgr.active_entry(place.disk.name, esp.index)} >/dev/null",
        ),
    )


def entries_told(choices: Choices) -> str:
    """Print, for each disk, its entry in the firmware's list, or what happens without one."""
    return shtext.lines(
        *(
            f"{efibootmgr.active_entry(place.disk.name, place.of_type('efi').index)} || "
            + f"printf '%s\\n' {sh.quote(f'None for {place.disk.name}. {_OTHERWISE}')}"
            for place in choices.every
        )
    )
