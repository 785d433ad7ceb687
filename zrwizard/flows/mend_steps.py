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


def policy(talk: Talk) -> str:
    """Return ask, write or leave, as far as the answers say. Raises `Due` for any other word."""
    return talk.pick(_POLICY).value if _POLICY.key in talk.answers else ASK


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
        ),
        danger=Danger.CHANGES,
        look=shtext.finished(choices.home),
        proof=sh.same_text(zfs.get_value(name, "mounted"), "no"),
    )


def _devices(choices: Choices, kind: str) -> Iterator[str]:
    for place in choices.every:
        for entry in place.entries:
            if entry.type == kind:
                yield f"/dev/gpt/{entry.label}"
