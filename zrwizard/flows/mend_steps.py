"""The step that fits the restored system's own settings to the machine that it is on now."""

from __future__ import annotations

from collections.abc import Iterator

from zrwizard.facts import TargetFacts, Use
from zrwizard.flows import shtext
from zrwizard.flows.asking import Talk
from zrwizard.flows.choices import Choices
from zrwizard.flows.moves import Choose, Option
from zrwizard.flows.pool_steps import ALTROOT
from zrwizard.freebsd import sh, zfs
from zrwizard.plan import Danger, Mend, Phase, Step

ASK, WRITE, LEAVE = "ask", "write", "leave"
_POLICY = Choose(
    key="target.mend",
    page="boot",
    title="May the restored system's settings be fitted to this machine?",
    help="fstab, loader.conf and rc.conf may name disks and network cards of the old one.",
    options=(
        Option(ASK, "Show each difference, and ask", recommended=True),
        Option(WRITE, "Write what is needed"),
        Option(LEAVE, "Only show it"),
    ),
    default=ASK,
)
"""Nobody is asked beforehand: the answers can name it, for a run at which nobody sits."""


KEEP, NEW = "keep", "new"
_HOSTID = Choose(
    key="target.hostid",
    page="boot",
    title="Does the restored system keep the hostid of the old machine?",
    help="It is the same machine on other disks, unless the old one goes on beside it.",
    options=(
        Option(KEEP, "Keep it: the old machine is gone", recommended=True),
        Option(NEW, "Make a new one at the next start: the old machine goes on"),
    ),
    default=KEEP,
)


def renew(talk: Talk) -> bool:
    """Return whether the answers want a new hostid. Raises `Due` for an unknown word."""
    return talk.preset(_HOSTID, KEEP) == NEW


AS_BEFORE, SEALED = "as-before", "yes"
_SWAP = Choose(
    key="target.swap_eli",
    page="boot",
    title="Is swap encrypted?",
    help="With a key that is made at each start and thrown away; nobody is asked for it.",
    options=(
        Option(AS_BEFORE, "As the restored fstab has it"),
        Option(SEALED, "Yes", detail="What the pool encrypts would else lie open in swap."),
    ),
    default=AS_BEFORE,
)


def sealed_swap(talk: Talk, *, encrypted: bool) -> bool:
    """Return whether fstab is to encrypt swap; unless answered it does where the pool is.

    Raises `Due` for an unknown word.
    """
    return talk.preset(_SWAP, SEALED if encrypted else AS_BEFORE) == SEALED


def policy(talk: Talk) -> str:
    """Return ask, write or leave, as far as the answers say. Raises `Due` for any other word."""
    return talk.preset(_POLICY, ASK)


def mend_step(choices: Choices, target: TargetFacts, name: str) -> Step:
    """Return the step for the boot environment `name`, which must not stay mounted."""
    erased = {place.disk.name for place in choices.every}
    mounted = sh.same_text(zfs.get_value(name, "mounted"), "yes")
    return Step(
        id="mend",
        phase=Phase.BOOT,
        title="Fit its settings to this machine",
        why="Disks and network cards may have other names than on the old one: a row of fstab that "
        "finds nothing stops the start.",
        action=Mend(
            root=ALTROOT,
            before=shtext.lines(
                f"if {mounted}; then {zfs.unmount(name)} || exit 1; fi",
                sh.command("zfs", "mount", "-o", "rw", name),
            ),
            after=zfs.unmount(name),
            policy=choices.mend,
            suffix=f".zr-{choices.token}",
            boot=name,
            nic=choices.network.nic,
            nics=tuple(nic.name for nic in target.nics),
            others=tuple(
                disk.name
                for disk in target.disks
                if disk.name not in erased
                and all(hold.use is not Use.MEDIUM for hold in disk.holds)
            ),
            swap=tuple(_devices(choices, "freebsd-swap")),
            esp=tuple(_devices(choices, "efi")),
            serial=target.serial,
            console=_console(target) if target.serial else (),
            renew=choices.renew,
            seal=choices.seal,
        ),
        danger=Danger.CHANGES,
        look=shtext.finished(choices.home),
        proof=sh.same_text(zfs.get_value(name, "mounted"), "no"),
    )


def _console(target: TargetFacts) -> tuple[tuple[str, str], ...]:
    """Settings of loader.conf(5) for loader and kernel on the serial line and on the screen."""
    screen = "efi" if target.boot_method == "UEFI" else "vidconsole"
    speed = target.serial_speed
    return (
        ("boot_multicons", "YES"),
        ("boot_serial", "YES"),
        ("console", f"comconsole,{screen}"),
        *([("comconsole_speed", speed)] if speed.isdecimal() else []),
    )


def _devices(choices: Choices, kind: str) -> Iterator[str]:
    for place in choices.every:
        for entry in place.entries:
            if entry.type == kind:
                yield f"/dev/gpt/{entry.label}"
