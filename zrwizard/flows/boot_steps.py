"""The steps that make the received tree start, and those that hand the pool over once proven."""

from __future__ import annotations

from zrwizard.facts import TargetFacts
from zrwizard.flows import disk_steps, geli_steps, shtext
from zrwizard.flows.choices import Choices, Place
from zrwizard.flows.disk_steps import guard, only_our_rows
from zrwizard.flows.firmware_steps import entry_steps
from zrwizard.flows.mend_steps import mend_step
from zrwizard.flows.pool_steps import ALTROOT, unless_finished
from zrwizard.freebsd import host, sh, ssh, tree, zfs, zpool
from zrwizard.plan import Command, Danger, Leave, Phase, Step

_RESTORED = f"{ALTROOT}/boot"


def boot_environment(choices: Choices) -> str:
    """Return the chosen boot environment's name on the target."""
    return tree.renamed(choices.source.boot, choices.source.root, choices.pool)


def boot_steps(choices: Choices, target: TargetFacts) -> tuple[Step, ...]:
    """Return the steps after which firmware, loader and kernel find the chosen system."""
    return (
        _canmount(choices),
        _mountpoint(choices),
        *(_received(choices, name) for name in ("mountpoint", "compression", "atime")),
        *([geli_steps.loader_step(choices, boot_environment(choices))] * choices.encrypted),
        mend_step(choices, target, boot_environment(choices)),
        _mount(choices),
        *(_boot_code(choices, place) for place in choices.every if choices.bios),
        *(_efi_loader(choices, place) for place in choices.every if choices.uefi),
        *entry_steps(choices),
        _bootfs(choices),
    )


def _is(dataset: str, prop: str, value: str) -> str:
    return sh.same_text(zfs.get_value(dataset, prop), value)


def environments(choices: Choices) -> tuple[str, ...]:
    """Return every file system of every boot environment, but for those that are never mounted."""
    source = choices.source
    parent = f"{source.root}/ROOT"
    rows = (source.tree[name] for name in choices.made.sent)
    return tuple(
        tree.renamed(row.name, source.root, choices.pool)
        for row in rows
        if row.kind == "filesystem"
        and row.name != parent
        and tree.below(row.name, parent)
        and (row.canmount != "off" or row.name == source.boot)
    )


def _canmount(choices: Choices) -> Step:
    names = " ".join(map(sh.quote, environments(choices)))
    check = (
        f"for d in {names}; do\n"
        '  [ "$(zfs get -Hp -o value canmount "$d")" = noauto ] || exit 1\n'
        "done"
    )
    return Step(
        id="canmount",
        phase=Phase.BOOT,
        title="Let no boot environment mount by itself",
        why="All of them want to be mounted at /; the loader picks one.",
        action=Command(f'for d in {names}; do\n  zfs set canmount=noauto "$d" || exit 1\ndone'),
        danger=Danger.CHANGES,
        look=unless_finished(choices, check),
        proof=check,
    )


def _mountpoint(choices: Choices) -> Step:
    name = boot_environment(choices)
    # Below an altroot, a mountpoint of / reads as the altroot itself.
    check = _is(name, "mountpoint", ALTROOT)
    return Step(
        id="mountpoint",
        phase=Phase.BOOT,
        title=f"Mount {name} at /",
        why="It may have had another mountpoint on the backup server.",
        action=Command(zfs.set_property(name, "mountpoint", "/")),
        danger=Danger.CHANGES,
        look=unless_finished(choices, check),
        proof=check,
    )


def _mount(choices: Choices) -> Step:
    name = boot_environment(choices)
    check = _is(name, "mounted", "yes")
    return Step(
        id="be-mount",
        phase=Phase.BOOT,
        title=f"Mount it read-only at {ALTROOT}",
        why="Boot files are taken from the restored system: an older loader may not read its pool.",
        action=Command(zfs.mount_read_only(name)),
        danger=Danger.CHANGES,
        look=unless_finished(choices, check),
        proof=check,
    )


def _unmount(choices: Choices) -> Step:
    name = boot_environment(choices)
    check = _is(name, "mounted", "no")
    return Step(
        id="be-unmount",
        phase=Phase.FINISH,
        title="Unmount it",
        why="The pool is handed over with nothing mounted.",
        action=Command(zfs.unmount(name)),
        danger=Danger.CHANGES,
        look=unless_finished(choices, check),
        proof=check,
    )


def _if_there(files: tuple[str, ...], then: str, otherwise: str) -> str:
    there = " && ".join(f"[ -r {sh.quote(f'{_RESTORED}/{file}')} ]" for file in files)
    return shtext.lines(f"if {there}; then", then, "else", otherwise, "fi")


def _without(what: str, by: str, other: str, *, kept: bool, needed: bool) -> str:
    """What happens where the restored system does not bring `what`, which the firmware `by` reads.

    Where it is not `needed`, the firmware `other` starts the machine.
    """
    missing = f"The restored system has no /boot/{what}"
    if kept:
        return f"printf '%s\\n' {sh.quote(f'{missing}: that of the install medium stays.')}"
    if needed:
        return shtext.refuse(
            f"{missing}, and neither has the install medium: a machine that starts by "
            f"{by} will not start from this disk. Use a complete install medium."
        )
    return f"printf '%s\\n' {sh.quote(f'{missing}: only {other} will start it.')}"


def boot_code_proof(choices: Choices, place: Place) -> str:
    """Leaves with 1 unless the disk has the restored system's BIOS boot code, or the medium's."""
    there = _boot_code_is_there(choices, place)
    may_lack = not disk_steps.medium_has_boot_code(choices) and not choices.bios_needed
    return _unless_missing("gptzfsboot", there) if may_lack else there


def _boot_code_is_there(choices: Choices, place: Place) -> str:
    index = place.of_type("freebsd-boot").index
    kept = "/boot" if disk_steps.medium_has_boot_code(choices) else None
    return shtext.boot_code_is_there(place.disk.name, index, _RESTORED, kept)


def _boot_code(choices: Choices, place: Place) -> Step:
    kept = disk_steps.medium_has_boot_code(choices)
    action = _if_there(
        ("pmbr", "gptzfsboot"),
        disk_steps.boot_code_text(place, _RESTORED),
        _without("gptzfsboot", "BIOS", "UEFI", kept=kept, needed=choices.bios_needed),
    )
    return Step(
        id=choices.step_id("boot-code-again", place),
        phase=Phase.BOOT,
        title=choices.titled("Write the restored system's own BIOS boot code", place, "onto"),
        why="It reads every feature that the restored system's pool may use.",
        action=Command(action),
        danger=Danger.ERASES,
        look=unless_finished(choices, _boot_code_is_there(choices, place)),
        guard=guard(place, only_our_rows(place), *_our_pool(choices), pool=choices.pool),
        proof=boot_code_proof(choices, place),
    )


def _unless_missing(file: str, proof: str) -> str:
    return shtext.lines(f"[ -r {_RESTORED}/{file} ] || exit 0", proof)


def _our_pool(choices: Choices) -> tuple[str, ...]:
    return (shtext.must_be_ours(choices.pool, choices.token),)


def efi_loader_proof(choices: Choices, place: Place) -> str:
    """Leaves with 1 unless the EFI partition has the restored system's loader, or the medium's."""
    there = _efi_loader_is_there(choices, place)
    may_lack = not disk_steps.medium_has_loader(choices) and not choices.uefi_needed
    return _unless_missing("loader.efi", there) if may_lack else there


def _efi_loader_is_there(choices: Choices, place: Place) -> str:
    kept = "/boot" if disk_steps.medium_has_loader(choices) else None
    device, point = disk_steps.efi_device(place), disk_steps.efi_point(choices)
    return shtext.loader_is_there(device, point, _RESTORED, kept)


def _efi_loader(choices: Choices, place: Place) -> Step:
    kept = disk_steps.medium_has_loader(choices)
    action = _if_there(
        ("loader.efi",),
        disk_steps.efi_text(choices, place, _RESTORED),
        _without("loader.efi", "UEFI", "BIOS", kept=kept, needed=choices.uefi_needed),
    )
    return Step(
        id=choices.step_id("efi-loader-again", place),
        phase=Phase.BOOT,
        title=choices.titled(
            "Put the restored system's own EFI loader onto the EFI partition", place
        ),
        why="A loader that is older than the pool's features cannot start the machine.",
        action=Command(action),
        danger=Danger.ERASES,
        look=unless_finished(choices, _efi_loader_is_there(choices, place)),
        guard=guard(place, only_our_rows(place), *_our_pool(choices), pool=choices.pool),
        proof=efi_loader_proof(choices, place),
    )


def _bootfs(choices: Choices) -> Step:
    name = boot_environment(choices)
    check = sh.same_text(zpool.get_property(choices.pool, "bootfs"), name)
    return Step(
        id="bootfs",
        phase=Phase.BOOT,
        title=f"Start from {name}",
        why="The loader reads this property to find the system.",
        action=Command(zpool.set_property(choices.pool, "bootfs", name)),
        danger=Danger.CHANGES,
        look=unless_finished(choices, check),
        proof=check,
    )


def _received(choices: Choices, prop: str) -> Step:
    """Give the pool's own root the value that came with the stream.

    The mountpoint goes back in any case: `none` was set only so that nothing mounts here, and
    children may inherit from it. The other two stay where the stream brought none.
    """
    pool = choices.pool
    source = sh.command("zfs", "get", "-Hp", "-o", "source", prop, pool)
    reverted = f'[ "$({source})" != local ]'
    came = f'[ "$({zfs.get_received(pool, prop)})" != - ]'
    revert = zfs.revert_to_received(pool, prop)
    if prop == "mountpoint":
        # It is set even where mounting below the read-only altroot fails; the proof asks that.
        action = f"{revert} || {reverted}"
        check = reverted
        why = "It was none only to keep everything unmounted here; children may inherit it."
    else:
        action = f"if {came}; then {revert}; fi"
        check = f"if {came}; then {reverted}; fi"
        why = "The stream's value, if it brought one, counts more than the one given at creation."
    return Step(
        id=f"received-{prop}",
        phase=Phase.BOOT,
        title=f"Give {pool} the {prop} that it had",
        why=why,
        action=Command(action),
        danger=Danger.CHANGES,
        look=unless_finished(choices, check),
        proof=check,
    )


def finish_steps(choices: Choices) -> tuple[Step, ...]:
    """Return the steps that clean up, hand the pool over, and leave."""
    session, pool = choices.login.session, choices.pool
    files = (session.identity_path, session.known_hosts_path)
    gone = " && ".join(f"[ ! -e {sh.quote(path)} ]" for path in files)
    imported = f"zpool list -H -o name {sh.quote(pool)} >/dev/null 2>&1"
    finished = sh.quote(f"{choices.home}/finished")
    steps = [
        _unmount(choices),
        Step(
            id="forget",
            phase=Phase.FINISH,
            title="Close the connection and remove key and host key",
            why="No secret stays behind on the target.",
            action=Command(
                f"{ssh.logout(session)} 2>/dev/null; rm -f {' '.join(map(sh.quote, files))}"
            ),
            danger=Danger.CHANGES,
            look=gone,
            proof=f"if {gone}; then exit 0; fi\n"
            + shtext.refuse("A key file is still there: remove it by hand."),
        ),
        Step(
            id="unmark",
            phase=Phase.FINISH,
            title="Take this run's mark off the pool",
            why="The pool belongs to the restored system from now on.",
            action=Command(f": > {finished} && {zpool.set_property(pool, 'comment', '')}"),
            danger=Danger.CHANGES,
            look=f"{shtext.finished(choices.home)} || exit 1\n"
            f"! {shtext.pool_is_ours(pool, choices.token)}",
            proof=f"! {shtext.pool_is_ours(pool, choices.token)}",
        ),
        Step(
            id="export",
            phase=Phase.FINISH,
            title=f"Export {pool}",
            why="A pool that was exported cleanly needs no force to be imported again.",
            action=Command(zpool.export(pool), timeout=180),
            danger=Danger.CHANGES,
            look=f"{shtext.finished(choices.home)} || exit 1\n! {imported}",
            proof=f"! {imported} || " + shtext.refuse(f"The pool {pool} is still imported."),
        ),
    ]
    if choices.encrypted:
        steps += geli_steps.closing_steps(choices)
    return (*steps, *_leave(choices))


def _leave(choices: Choices) -> list[Step]:
    match choices.finish:
        case "reboot":
            text, until = host.reboot(), "login"
            title, why = "Restart into the restored system", "Only a start proves that it starts."
        case "poweroff":
            text, until = host.power_off(), "down"
            title, why = "Power off", "Remove the install medium, then start the machine."
        case _:
            return []
    return [
        Step(
            id="leave",
            phase=Phase.FINISH,
            title=title,
            why=why,
            action=Leave(text, until, secret=geli_steps.PASSPHRASE)
            if choices.encrypted and until == "login"
            else Leave(text, until),
            danger=Danger.CHANGES,
        )
    ]
