"""The steps of a restore whose pool lies on geli: encrypt, open, save the metadata, prove.

The passphrase goes to geli's standard input, and is asked for at the start of the machine.
"""

from __future__ import annotations

from zrwizard.flows import sealing, shtext
from zrwizard.flows.choices import Choices, Place
from zrwizard.flows.disk_steps import guard, only_our_rows
from zrwizard.freebsd import geli, sh, zfs
from zrwizard.plan import Command, Danger, Feed, Phase, Step

PASSPHRASE = "disk-passphrase"  # noqa: S105 - its name
"""The name of the secret that opens every disk of the pool."""
_LOADER_LINE = 'geom_eli_load="YES"'
_LOADER_CONF = "/mnt/boot/loader.conf"
LOADS_GELI = (
    """grep -Eq '^[[:space:]]*geom_eli_load="?[Yy][Ee][Ss]"?[[:space:]]*(#.*)?$' """
    f"{_LOADER_CONF} 2>/dev/null"
)
"""Succeeds if the boot environment that is mounted has its loader load geli."""


def provider(place: Place) -> str:
    """Return the pool's partition on the disk, by its label."""
    return f"gpt/{place.of_type('freebsd-zfs').label}"


def _is_open(place: Place) -> str:
    return sh.exists(f"/dev/{provider(place)}.eli")


def is_sealed_as_planned(place: Place) -> str:
    """Succeeds if the partition is encrypted as planned, and loader and kernel ask for its key."""
    name = provider(place)
    flags = f"geli dump {sh.quote(name)} 2>/dev/null | awk '$1 == \"flags:\" {{ print $2 }}'"
    return (
        f"{{ {sealing.has_metadata(name, {})} && f=$({flags}) && "
        f'[ "$((f & {geli.ASKED_AT_BOOT}))" -eq {geli.ASKED_AT_BOOT} ]; }}'
    )


def encryption_steps(choices: Choices) -> tuple[Step, ...]:
    """Return the steps from empty partitions to open encrypted ones, metadata saved."""
    return tuple(step for place in choices.every for step in _disk(choices, place))


def _disk(choices: Choices, place: Place) -> tuple[Step, ...]:
    name, disk = provider(place), place.disk.name
    done = shtext.finished(choices.home)
    planned = is_sealed_as_planned(place)
    return (
        Step(
            id=choices.step_id("geli-init", place),
            phase=Phase.DISK,
            title=choices.titled("Encrypt the partition for the pool", place),
            why="AES-XTS with 256 bits, in sectors of 4 KiB, as FreeBSD's installer does. The "
            "passphrase is asked for whenever the machine starts.",
            action=Feed(geli.init_passphrase(name), PASSPHRASE),
            danger=Danger.ERASES,
            destroys=f"Everything on {name} is noise from then on.",
            look=shtext.lines(f"{done} && exit 0", planned),
            guard=guard(
                place,
                only_our_rows(place),
                shtext.has_row(disk, place.of_type("freebsd-zfs"))
                + " || "
                + shtext.refuse("The partition for the pool is not where this plan made it."),
                sealing.has_no_seal(name),
            ),
            proof=f"{planned} || "
            + shtext.refuse(f"{name} does not carry the geli metadata that it should."),
        ),
        *sealing.metadata_steps(
            name,
            f"{choices.home}/{disk}.eli",
            f"{disk}.eli",
            f"{done} || {_is_open(place)}",
            whose=f"{disk}'s",
            suffix=f"-{disk}" if choices.several else "",
            keep="run's journal",
        ),
        Step(
            id=choices.step_id("geli-attach", place),
            phase=Phase.DISK,
            title=choices.titled("Open it with the passphrase", place, "on"),
            why="The pool is made on what is inside.",
            action=Feed(geli.attach_passphrase(name), PASSPHRASE),
            danger=Danger.CHANGES,
            look=f"{done} || {_is_open(place)}",
            proof=_is_open(place),
        ),
    )


def loader_step(choices: Choices, name: str) -> Step:
    """Return the step that has the loader of the boot environment `name` load geli.

    It mounts and unmounts in one text, so that nothing stays mounted for writing.
    """
    line, there = sh.quote(_LOADER_LINE), LOADS_GELI
    mount, unmount = zfs.mount_read_only(name), zfs.unmount(name)
    mounted = sh.same_text(zfs.get_value(name, "mounted"), "yes")
    checked = shtext.lines(f"{mount} || exit 1", there, "r=$?", f"{unmount} || exit 1", 'exit "$r"')
    return Step(
        id="loader-geli",
        phase=Phase.BOOT,
        title="Have the restored system's loader load geli",
        why="A kernel without geom_eli cannot open its own disk; a line is added only if missing.",
        action=Command(
            shtext.lines(
                # After a check that failed it is still mounted, and only to be read.
                f"if {mounted}; then {unmount} || exit 1; fi",
                f"{sh.command('zfs', 'mount', '-o', 'rw', name)} || exit 1",
                f"{there} || printf '\\n%s\\n' {line} >> {_LOADER_CONF}",
                "r=$?",
                f"{unmount} || exit 1",
                'exit "$r"',
            )
        ),
        danger=Danger.CHANGES,
        # What is mounted already was looked at by this step before the next one mounted it.
        look=shtext.lines(
            f"{shtext.finished(choices.home)} && exit 0",
            f"{mounted} && {{ {there}; exit; }}",
            checked,
        ),
        proof=checked,
    )


def proof_of_flags(choices: Choices) -> str:
    """Leaves with 1 unless every disk is encrypted as planned and asks for its key at the start."""
    return shtext.lines(
        *(
            f"{is_sealed_as_planned(place)} || "
            + shtext.refuse(
                f"{provider(place)} is not asked for at the start (geli flags BOOT and GELIBOOT): "
                f"the machine would not start. Type: geli configure -b -g {provider(place)}"
            )
            for place in choices.every
        )
    )


def closing_steps(choices: Choices) -> tuple[Step, ...]:
    """Return the steps after the export: close every disk, and try the passphrase once more."""
    found: list[Step] = []
    for place in choices.every:
        name = provider(place)
        closed = f"! {_is_open(place)}"
        found += [
            Step(
                id=choices.step_id("geli-detach", place),
                phase=Phase.FINISH,
                title=f"Close {name}",
                why="Its key leaves the memory of the live system.",
                action=Command(geli.detach(name)),
                danger=Danger.CHANGES,
                look=closed,
                proof=closed,
            ),
            Step(
                id=choices.step_id("geli-test", place),
                phase=Phase.FINISH,
                title=f"See that the passphrase opens {name}, without opening it",
                why="The machine will ask for it at its next start.",
                action=Feed(geli.try_passphrase(name), PASSPHRASE),
            ),
        ]
    return tuple(found)
