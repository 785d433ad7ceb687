"""The steps that write to the disk: old labels, the table, boot code, the EFI partition.

Each of them erases, so each carries a guard that looks at the disk's identity again; before the
pool exists, no imported pool at all may lie on the disk.
"""

from __future__ import annotations

from zrwizard.facts import Use
from zrwizard.flows import shtext
from zrwizard.flows.choices import Choices
from zrwizard.freebsd import gpart, kld, mount, sh, size, zpool
from zrwizard.freebsd.gpart import Entry
from zrwizard.plan import Command, Danger, Phase, Step

ALIGN_BOOT = 4096
ALIGN = 1024 * 1024
_TITLES = {
    "freebsd-boot": ("Make the partition for BIOS boot code", "A BIOS reads gptzfsboot from it."),
    "efi": ("Make the EFI system partition", "UEFI firmware reads the loader from it."),
    "freebsd-swap": ("Make the swap partition", "The restored system swaps there."),
    "freebsd-zfs": ("Make the partition for the pool", "The pool takes what is left."),
}


def disk_steps(choices: Choices) -> tuple[Step, ...]:
    """Return the steps from the disk as it is to one with table, boot code and EFI loader."""
    return (
        _module(),
        _pool_again(choices),
        *_old_labels(choices),
        *_old_table(choices),
        _new_table(choices),
        *(_partition(choices, entry) for entry in choices.place.entries),
        *_boot_code(choices),
        _efi_file_system(choices),
        *_efi_loader(choices),
    )


def guard(choices: Choices, *more: str, pool: str | None = None) -> str:
    """Return the guard that every erasing step shares, and what this one asks besides."""
    place = choices.place
    return shtext.lines(
        shtext.is_disk(place.identity),
        shtext.in_no_other_pool(place.disk, place.labels, pool),
        *more,
    )


def only_our_rows(choices: Choices) -> str:
    """Leaves with 1 if the table has a row that the plan does not make."""
    return shtext.only_rows(choices.place.disk.name, choices.place.entries) + " || exit 1"


def _past(choices: Choices) -> str:
    """Leaves with 0 where this run's pool is there already: then the disk is long prepared."""
    return shtext.lines(
        f"{shtext.finished(choices.home)} && exit 0",
        f"{shtext.pool_is_ours(choices.pool, choices.token)} && exit 0",
    )


def _module() -> Step:
    return Step(
        id="zfs-module",
        phase=Phase.DISK,
        title="Load ZFS",
        why="Everything below needs it; loading it now keeps its messages out of other answers.",
        action=Command(kld.load("zfs"), timeout=60),
        danger=Danger.CHANGES,
        look=kld.is_loaded("zfs"),
        proof=kld.is_loaded("zfs"),
    )


def _pool_again(choices: Choices) -> Step:
    ours = shtext.scan_for_ours(choices.token)
    return Step(
        id="pool-again",
        phase=Phase.DISK,
        title="Take up the pool of an earlier try of this run, if there is one",
        why="After a restart of the target a run goes on with the pool that it made.",
        action=Command(
            f'zpool import -N -R /mnt "$({ours})"',
            timeout=180,
        ),
        danger=Danger.CHANGES,
        look=shtext.lines(_past(choices), f'[ -z "$({ours})" ]'),
        proof=shtext.pool_is_ours(choices.pool, choices.token),
    )


def _old_labels(choices: Choices) -> list[Step]:
    place = choices.place
    steps = []
    providers = sorted({h.provider for h in place.disk.holds if h.use is Use.IMPORTABLE})
    for number, provider in enumerate(providers, 1):
        pools = sorted({h.what for h in place.disk.holds if h.provider == provider})
        device = f"/dev/{provider}"
        # A label that an earlier try has wiped already is no failure.
        text = (
            f"o=$({zpool.labelclear(device)} 2>&1) && exit 0\n"
            "printf '%s\\n' \"$o\" >&2\n"
            'case "$o" in\n'
            '  *"failed to read label"*) exit 0 ;;\n'
            "esac\n"
            "exit 1"
        )
        names = "|".join(_literal(name) for name in _names(choices, provider))
        listed = sh.quote(f"^[[:space:]]+({names})[[:space:]]+ONLINE")
        steps.append(
            Step(
                id=f"old-labels-{number}",
                phase=Phase.DISK,
                title=f"Wipe the old ZFS labels of {provider}",
                why=f"The old pool {', '.join(pools)} would stay visible and confuse the loader.",
                action=Command(text),
                danger=Danger.ERASES,
                destroys=f"The pool {', '.join(pools)} on {provider} can no longer be imported.",
                look=shtext.lines(_past(choices), shtext.has_changed(place.identity)),
                guard=guard(choices, shtext.holds_what_was_seen(place.identity)),
                proof=f"if {zpool.scan()} 2>/dev/null | grep -Eq {listed}; then exit 1; fi",
                proof_timeout=90,
            )
        )
    return steps


def _literal(word: str) -> str:
    return "".join(c if c.isalnum() or c in "_-/" else f"[{c}]" for c in word)


def _names(choices: Choices, provider: str) -> list[str]:
    """The names under which `zpool import` may list a provider."""
    disk = choices.place.disk
    names = [provider]
    for entry in disk.table.entries if disk.table else ():
        if entry.label and provider == gpart.partition(disk.name, entry.index):
            names.append(f"gpt/{entry.label}")
    return names


def _old_table(choices: Choices) -> list[Step]:
    place = choices.place
    name = place.disk.name
    if not place.has_contents:
        return []
    ours = shtext.only_rows(name, place.entries)
    return [
        Step(
            id="old-table",
            phase=Phase.DISK,
            title=f"Destroy the old partition table of {name}",
            why="A new table can only be made on a disk without one.",
            action=Command(gpart.destroy(name)),
            danger=Danger.ERASES,
            destroys=f"Everything on {name}: {place.identity.summary}.",
            look=shtext.lines(
                _past(choices),
                f"{shtext.has_changed(place.identity)} || exit 1",
                f"{{ {ours}; }} 2>/dev/null",
            ),
            guard=guard(choices, shtext.holds_what_was_seen(place.identity)),
            proof=shtext.has_no_table(name),
        )
    ]


def _new_table(choices: Choices) -> Step:
    place = choices.place
    name = place.disk.name
    made = f"{gpart.backup(name)} 2>/dev/null | grep -q '^GPT '"
    nothing = None if place.has_contents else f"Nothing: the survey found {name} empty."
    return Step(
        id="new-table",
        phase=Phase.DISK,
        title=f"Make a new partition table on {name}",
        why="GPT suits BIOS and UEFI alike.",
        action=Command(gpart.create(name)),
        danger=Danger.ERASES,
        destroys=nothing,
        look=shtext.lines(
            _past(choices),
            f"{made} || exit 1",
            f"{{ {shtext.only_rows(name, place.entries)}; }} 2>/dev/null",
        ),
        guard=guard(choices, shtext.has_no_table(name)),
        proof=shtext.lines(f"{made} || exit 1", shtext.only_rows(name, place.entries)),
    )


def _partition(choices: Choices, entry: Entry) -> Step:
    place = choices.place
    name = place.disk.name
    title, why = _TITLES[entry.type]
    bytes_ = place.sizes[place.entries.index(entry)]
    there = shtext.has_row(name, entry)
    length = size.human(entry.sectors * place.layout.sectorsize)
    return Step(
        id=f"partition-{entry.index}",
        phase=Phase.DISK,
        title=f"{title}, {length}",
        why=why,
        action=Command(
            gpart.add(
                name,
                index=entry.index,
                label=entry.label,
                type=entry.type,
                align=ALIGN_BOOT if entry.type == "freebsd-boot" else ALIGN,
                bytes=bytes_,
            )
        ),
        danger=Danger.ERASES,
        look=there,
        guard=guard(choices, only_our_rows(choices)),
        proof=f"{there} || "
        + shtext.refuse(f"The row of partition {entry.index} is not as it was computed."),
    )


def boot_code_text(choices: Choices, folder: str) -> str:
    """Return the command that writes the boot code of `folder`."""
    index = choices.place.of_type("freebsd-boot").index
    return gpart.bootcode(
        choices.place.disk.name,
        index,
        pmbr=f"{folder}/pmbr",
        partcode=f"{folder}/gptzfsboot",
    )


def medium_has_boot_code(choices: Choices) -> bool:
    """Whether the install medium brings BIOS boot code for ZFS."""
    return {"pmbr", "gptzfsboot"} <= choices.boot_files


def medium_has_loader(choices: Choices) -> bool:
    """Whether the install medium brings the EFI loader."""
    return "loader.efi" in choices.boot_files


def _boot_code(choices: Choices) -> list[Step]:
    if not medium_has_boot_code(choices):
        return []
    name = choices.place.disk.name
    index = choices.place.of_type("freebsd-boot").index
    there = shtext.boot_code_is_there(name, index, "/boot")
    return [
        Step(
            id="boot-code",
            phase=Phase.DISK,
            title="Write the BIOS boot code of the install medium",
            why="The disk can start from now on; the restored system's own code replaces it later.",
            action=Command(boot_code_text(choices, "/boot")),
            danger=Danger.ERASES,
            look=shtext.lines(_past(choices), there),
            guard=guard(choices, only_our_rows(choices)),
            proof=there,
        )
    ]


def efi_device(choices: Choices) -> str:
    """Return the device of the EFI partition, by the label that no other disk has."""
    return f"/dev/gpt/{choices.place.of_type('efi').label}"


def efi_point(choices: Choices) -> str:
    """Return where the EFI partition is mounted."""
    return f"{choices.home}/esp"


def _efi_file_system(choices: Choices) -> Step:
    device, point = efi_device(choices), efi_point(choices)
    at = sh.quote(point)
    mounts = shtext.lines(
        f"umount {at} 2>/dev/null",
        f"mkdir -p {at} || exit 1",
        f"{mount.mount_efi(device, point)} || exit 1",
        mount.unmount(point),
    )
    return Step(
        id="efi-format",
        phase=Phase.DISK,
        title="Format the EFI system partition",
        why="UEFI firmware reads FAT only.",
        action=Command(mount.newfs_efi(device), timeout=120),
        danger=Danger.ERASES,
        look=shtext.lines(_past(choices), mounts),
        guard=guard(
            choices,
            only_our_rows(choices),
            shtext.has_row(choices.place.disk.name, choices.place.of_type("efi"))
            + " || "
            + shtext.refuse("The EFI system partition is not where this plan made it."),
        ),
        proof=mounts,
    )


def efi_text(choices: Choices, folder: str) -> str:
    """Return sh text that puts `folder`/loader.efi onto the EFI partition and leaves it unmounted.

    One text, so that nothing stays mounted, and nothing is written below a point that is not.
    """
    device, point = efi_device(choices), efi_point(choices)
    at = sh.quote(point)
    return shtext.lines(
        f"umount {at} 2>/dev/null",
        f"mkdir -p {at} || exit 1",
        f"{mount.mount_efi(device, point)} || exit 1",
        f"mkdir -p {at}/EFI/BOOT {at}/EFI/FREEBSD && "
        f"cp {sh.quote(f'{folder}/loader.efi')} {at}/EFI/BOOT/BOOTX64.EFI && "
        f"cp {sh.quote(f'{folder}/loader.efi')} {at}/EFI/FREEBSD/loader.efi",
        "r=$?",
        f"{mount.unmount(point)} || exit 1",
        'exit "$r"',
    )


def _efi_loader(choices: Choices) -> list[Step]:
    if not medium_has_loader(choices):
        return []
    there = shtext.loader_is_there(efi_device(choices), efi_point(choices), "/boot")
    return [
        Step(
            id="efi-loader",
            phase=Phase.DISK,
            title="Put the install medium's EFI loader onto it",
            why="The disk can start from now on; the restored system's own loader replaces it.",
            action=Command(efi_text(choices, "/boot")),
            danger=Danger.ERASES,
            look=shtext.lines(_past(choices), there),
            guard=guard(choices, only_our_rows(choices)),
            proof=there,
        )
    ]
