"""The step that makes the pool, and the proof that everything is in it."""

from __future__ import annotations

import re

from zrwizard.flows import shtext
from zrwizard.flows.choices import Choices, Place
from zrwizard.flows.disk_steps import guard, only_our_rows
from zrwizard.flows.shapes import status_rows, vdev_words
from zrwizard.freebsd import cksum, gpart, sh, tree, zfs, zpool
from zrwizard.plan import Command, Danger, Phase, Step

ALTROOT = "/mnt"


def pool_steps(choices: Choices) -> tuple[Step, ...]:
    """Return the one step that makes the pool."""
    pool, token = choices.pool, choices.token
    entries = [place.of_type("freebsd-zfs") for place in choices.every]
    options = {"altroot": ALTROOT, "ashift": "12"}
    if choices.compatibility:
        options["compatibility"] = choices.compatibility
    options["comment"] = shtext.mark(token)
    inside = ".eli" if choices.encrypted else ""
    devices = [f"gpt/{entry.label}{inside}" for entry in entries]
    count = len(choices.places)
    create = zpool.create(
        pool,
        *vdev_words(choices.shape, devices[:count], devices[count:]),
        options=options,
        properties={"compression": "lz4", "atime": "off"},
    )
    ours = shtext.pool_is_ours(pool, token)
    healthy = sh.same_text(sh.command("zpool", "list", "-H", "-o", "health", pool), "ONLINE")
    return (
        Step(
            id="pool",
            phase=Phase.POOL,
            title=f"Make the pool {pool} on {_where(choices)}",
            why=f"Nothing is mounted over the live system. {choices.compatibility_reason}",
            action=Command(create, timeout=180),
            danger=Danger.ERASES,
            look=unless_finished(choices, ours),
            guard=shtext.lines(*(_guard(choices, place) for place in choices.every)),
            proof=shtext.lines(
                f"{ours} || " + shtext.refuse(f"The pool {pool} does not carry this run's mark."),
                f"{healthy} || " + shtext.refuse(f"The pool {pool} is not ONLINE."),
                *([vdevs_are_there(choices)] if choices.several else []),
            ),
        ),
    )


def _where(choices: Choices) -> str:
    if not choices.several:
        return f"partition {choices.places[0].of_type('freebsd-zfs').index}"
    disks = " and ".join(place.disk.name for place in choices.places)
    spares = " and ".join(place.disk.name for place in choices.spares)
    return f"{disks} ({choices.shape})" + (f", with the spare {spares}" if spares else "")


def _guard(choices: Choices, place: Place) -> str:
    whose = f" of {place.disk.name}" if choices.several else ""
    return guard(
        place,
        only_our_rows(place),
        shtext.has_row(place.disk.name, place.of_type("freebsd-zfs"))
        + " || "
        + shtext.refuse(f"The partition for the pool{whose} is not where this plan made it."),
    )


def vdevs_are_there(choices: Choices) -> str:
    """Leaves with 1 unless the pool has exactly the planned vdevs, each of them in order."""
    rows = status_rows(choices.shape, len(choices.places), len(choices.spares))
    wanted = [f"{choices.pool}=ONLINE"]
    for row in rows:
        if isinstance(row, str):
            wanted.append(row if row == "spares" else f"{row}=ONLINE")
        else:
            state = "ONLINE" if row < len(choices.places) else "AVAIL"
            wanted.append(f"{choices.every[row].of_type('freebsd-zfs').label}={state}")
    return shtext.has_vdevs(choices.pool, _aliases(choices), wanted)


def _aliases(choices: Choices) -> dict[str, tuple[str, ...]]:
    """By the label of each part: all names under which an imported pool may show it."""
    found = {}
    for place in choices.every:
        entry = place.of_type("freebsd-zfs")
        names = [f"/dev/gpt/{entry.label}", f"/dev/{gpart.partition(place.disk.name, entry.index)}"]
        if re.fullmatch(r"[\w.-]+", place.disk.disk.ident or "", re.ASCII):
            names.append(f"/dev/diskid/DISK-{place.disk.disk.ident}p{entry.index}")
        inside = ".eli" if choices.encrypted else ""
        found[entry.label] = tuple(name + inside for name in names)
    return found


def unless_finished(choices: Choices, look: str) -> str:
    """Return a look that also succeeds once this run has begun to hand the pool over."""
    return shtext.lines(f"{shtext.finished(choices.home)} && exit 0", look)


def snapshots_are_there(choices: Choices) -> str:
    """Leaves with 1 unless exactly the sent datasets and snapshots are there, by their guids."""
    source, pool, sent = choices.source, choices.pool, choices.made.sent
    pairs = tree.expected_guids(source.tree, sent, source.root, pool)
    names = tree.expected_names(sent, source.root, pool)
    listing = "".join(
        f"{name}\n" for name in sorted(names, key=lambda n: n.encode("utf-8", "surrogateescape"))
    )
    expected = cksum.of(listing.encode("utf-8", "surrogateescape"))
    list_names = sh.pipeline(zfs.list_names(pool), "LC_ALL=C sort", "cksum")
    count = f"$({zfs.list_guids(pool)} 2>/dev/null | wc -l | tr -d ' ')"
    return shtext.lines(
        f"{sh.same_text(list_names, str(expected))} || "
        + shtext.refuse(f"The file systems and volumes of {pool} are not the {len(names)} sent."),
        f"{sh.same_text(zfs.guid_checksum(pool), str(cksum.of(tree.guid_text(pairs))))} || "
        f"{{ printf 'The snapshots are not those of the server: %s of %s are there, or a guid "
        f'differs.\\n\' "{count}" {len(pairs)} >&2; exit 1; }}',
    )
