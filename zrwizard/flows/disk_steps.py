"""The steps that write to the disk: old labels, the table, boot code, the EFI partition.

Each of them erases, so each carries a guard that looks at the disk's identity again; before the
pool exists, no imported pool at all may lie on the disk.
"""

from __future__ import annotations

from zrwizard.facts import Use
from zrwizard.flows import sealing, shtext
from zrwizard.flows.choices import Choices, Place
from zrwizard.freebsd import geli, gpart, kld, lastsector, mount, sh, size, zpool
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
    """Return the steps from the disks as they are to ones with table, boot code and EFI loader.

    All old tables go before the first new one comes: a label must never mean two partitions.
    """
    return (
        _module("zfs", "zfs", "Load ZFS"),
        *([_module("geom_eli", "g_eli", "Load geli")] if choices.encrypted else [again(choices)]),
        *_all_there(choices),
        *(step for place in choices.every for step in _old_labels(choices, place)),
        *(step for place in choices.every for step in _old_metadata(choices, place)),
        *(step for place in choices.every for step in _old_table(choices, place)),
        *(step for place in choices.every for step in _new_disk(choices, place)),
    )


def _new_disk(choices: Choices, place: Place) -> tuple[Step, ...]:
    return (
        _new_table(choices, place),
        *(_partition(choices, place, entry) for entry in place.entries),
        *(_boot_code(choices, place) if choices.bios else ()),
        *([_efi_file_system(choices, place), *_efi_loader(choices, place)] if choices.uefi else ()),
    )


def guard(place: Place, *more: str, pool: str | None = None) -> str:
    """Return the guard that every erasing step shares, and what this one asks besides."""
    return shtext.lines(
        shtext.is_disk(place.identity),
        shtext.in_no_other_pool(place.disk, place.labels, pool),
        *more,
    )


def only_our_rows(place: Place) -> str:
    """Leaves with 1 if the table has a row that the plan does not make."""
    return shtext.only_rows(place.disk.name, place.entries) + " || exit 1"


def _past(choices: Choices) -> str:
    """Leaves with 0 where this run's pool is there already: then the disk is long prepared."""
    return shtext.lines(
        f"{shtext.finished(choices.home)} && exit 0",
        f"{shtext.pool_is_ours(choices.pool, choices.token)} && exit 0",
    )


def _module(file: str, module: str, title: str) -> Step:
    return Step(
        id="zfs-module" if file == "zfs" else "geli-module",
        phase=Phase.DISK,
        title=title,
        why="Everything below needs it; loading it now keeps its messages out of other answers.",
        action=Command(kld.load(file), timeout=60),
        danger=Danger.CHANGES,
        look=kld.is_loaded(module),
        proof=kld.is_loaded(module),
    )


def again(choices: Choices) -> Step:
    """Return the step that takes up the pool of this run; an encrypted one after it was opened."""
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


def _all_there(choices: Choices) -> list[Step]:
    """Of several disks, none is touched unless all are there."""
    if not choices.several:
        return []
    return [
        Step(
            id="all-disks",
            phase=Phase.DISK,
            title="See that all of the disks are those of the review",
            why="A disk that is missing is better noticed before the first one is erased.",
            action=Command(shtext.lines(*(shtext.is_disk(one.identity) for one in choices.every))),
        )
    ]


def _old_labels(choices: Choices, place: Place) -> list[Step]:
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
        names = "|".join(_literal(name) for name in _names(place, provider))
        listed = sh.quote(f"^[[:space:]]+({names})[[:space:]]+ONLINE")
        steps.append(
            Step(
                id=choices.step_id(f"old-labels-{number}", place),
                phase=Phase.DISK,
                title=f"Wipe the old ZFS labels of {provider}",
                why=f"The old pool {', '.join(pools)} would stay visible and confuse the loader.",
                action=Command(text),
                danger=Danger.ERASES,
                destroys=f"The pool {', '.join(pools)} on {provider} can no longer be imported.",
                look=shtext.lines(_past(choices), shtext.has_changed(place.identity)),
                guard=guard(place, shtext.holds_what_was_seen(place.identity)),
                proof=f"if {zpool.scan()} 2>/dev/null | grep -Eq {listed}; then exit 1; fi",
                proof_timeout=90,
            )
        )
    return steps


def _old_metadata(choices: Choices, place: Place) -> list[Step]:
    return [
        Step(
            id=choices.step_id(f"old-metadata-{number}", place),
            phase=Phase.DISK,
            title=f"Wipe the old {found.tool} metadata of {found.provider}",
            why="They stand in its last sector: a new partition that ends there would be taken for "
            "what the old one was.",
            action=Command(lastsector.wipe(found.provider)),
            danger=Danger.ERASES,
            destroys=f"So far {found.meaning}.",
            look=shtext.lines(_past(choices), shtext.has_changed(place.identity)),
            guard=guard(place, shtext.holds_what_was_seen(place.identity)),
            proof=lastsector.is_clean(found.provider),
        )
        for number, found in enumerate(place.disk.metadata, 1)
    ]


def _literal(word: str) -> str:
    return "".join(c if c.isalnum() or c in "_-/" else f"[{c}]" for c in word)


def _names(place: Place, provider: str) -> list[str]:
    """The names under which `zpool import` may list a provider."""
    disk = place.disk
    names = [provider]
    for entry in disk.table.entries if disk.table else ():
        if entry.label and provider == gpart.partition(disk.name, entry.index):
            names.append(f"gpt/{entry.label}")
    return names


def _old_table(choices: Choices, place: Place) -> list[Step]:
    name = place.disk.name
    if not place.has_contents:
        return []
    ours = shtext.only_rows(name, place.entries)
    return [
        Step(
            id=choices.step_id("old-table", place),
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
            guard=guard(place, shtext.holds_what_was_seen(place.identity)),
            proof=shtext.has_no_table(name),
        )
    ]


def _new_table(choices: Choices, place: Place) -> Step:
    name = place.disk.name
    made = f"{gpart.backup(name)} 2>/dev/null | grep -q '^GPT '"
    holds = place.has_contents or place.disk.metadata
    nothing = None if holds else f"Nothing: the survey found {name} empty."
    return Step(
        id=choices.step_id("new-table", place),
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
        guard=guard(place, shtext.has_no_table(name)),
        proof=shtext.lines(f"{made} || exit 1", shtext.only_rows(name, place.entries)),
    )


def _partition(choices: Choices, place: Place, entry: Entry) -> Step:
    name = place.disk.name
    title, why = _TITLES[entry.type]
    bytes_ = place.sizes[place.entries.index(entry)]
    there = shtext.has_row(name, entry)
    length = size.human(entry.sectors * place.layout.sectorsize)
    label = f"gpt/{entry.label}"
    # What an older system encrypted in the same place would be taken for ours.
    clear = (
        f" && {{ ! {sealing.is_sealed(label)} || {geli.clear(label)}; }}"
        if choices.encrypted and entry.type == "freebsd-zfs"
        else ""
    )
    return Step(
        id=choices.step_id(f"partition-{entry.index}", place),
        phase=Phase.DISK,
        title=f"{choices.titled(title, place, 'on')}, {length}",
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
            + clear
        ),
        danger=Danger.ERASES,
        look=there,
        guard=guard(place, only_our_rows(place)),
        proof=f"{there} || "
        + shtext.refuse(f"The row of partition {entry.index} is not as it was computed."),
    )


def boot_code_text(place: Place, folder: str) -> str:
    """Return the command that writes the boot code of `folder`."""
    index = place.of_type("freebsd-boot").index
    return gpart.bootcode(
        place.disk.name,
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


def _boot_code(choices: Choices, place: Place) -> list[Step]:
    if not medium_has_boot_code(choices):
        return []
    name = place.disk.name
    index = place.of_type("freebsd-boot").index
    there = shtext.boot_code_is_there(name, index, "/boot")
    return [
        Step(
            id=choices.step_id("boot-code", place),
            phase=Phase.DISK,
            title=choices.titled("Write the BIOS boot code of the install medium", place, "onto"),
            why="The disk can start from now on; the restored system's own code replaces it later.",
            action=Command(boot_code_text(place, "/boot")),
            danger=Danger.ERASES,
            look=shtext.lines(_past(choices), there),
            guard=guard(place, only_our_rows(place)),
            proof=there,
        )
    ]


def efi_device(place: Place) -> str:
    """Return the device of the EFI partition, by the label that no other disk has."""
    return f"/dev/gpt/{place.of_type('efi').label}"


def efi_point(choices: Choices) -> str:
    """Return where the EFI partition is mounted."""
    return f"{choices.home}/esp"


def _efi_file_system(choices: Choices, place: Place) -> Step:
    device, point = efi_device(place), efi_point(choices)
    at = sh.quote(point)
    mounts = shtext.lines(
        f"umount {at} 2>/dev/null",
        f"mkdir -p {at} || exit 1",
        f"{mount.mount_efi(device, point)} || exit 1",
        mount.unmount(point),
    )
    return Step(
        id=choices.step_id("efi-format", place),
        phase=Phase.DISK,
        title=choices.titled("Format the EFI system partition", place),
        why="UEFI firmware reads FAT only.",
        action=Command(mount.newfs_efi(device), timeout=120),
        danger=Danger.ERASES,
        look=shtext.lines(_past(choices), mounts),
        guard=guard(
            place,
            only_our_rows(place),
            shtext.has_row(place.disk.name, place.of_type("efi"))
            + " || "
            + shtext.refuse("The EFI system partition is not where this plan made it."),
        ),
        proof=mounts,
    )


def efi_text(choices: Choices, place: Place, folder: str) -> str:
    """Return sh text that puts `folder`/loader.efi onto the EFI partition and leaves it unmounted.

    One text, so that nothing stays mounted, and nothing is written below a point that is not.
    """
    device, point = efi_device(place), efi_point(choices)
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


def _efi_loader(choices: Choices, place: Place) -> list[Step]:
    if not medium_has_loader(choices):
        return []
    onto = place.disk.name if choices.several else "it"
    there = shtext.loader_is_there(efi_device(place), efi_point(choices), "/boot")
    return [
        Step(
            id=choices.step_id("efi-loader", place),
            phase=Phase.DISK,
            title=f"Put the install medium's EFI loader onto {onto}",
            why="The disk can start from now on; the restored system's own loader replaces it.",
            action=Command(efi_text(choices, place, "/boot")),
            danger=Danger.ERASES,
            look=shtext.lines(_past(choices), there),
            guard=guard(place, only_our_rows(place)),
            proof=there,
        )
    ]
