"""The step that makes the pool, and the proof that everything is in it."""

from __future__ import annotations

from zrwizard.flows import shtext
from zrwizard.flows.choices import Choices
from zrwizard.flows.disk_steps import guard, only_our_rows
from zrwizard.freebsd import cksum, sh, tree, zfs, zpool
from zrwizard.plan import Command, Danger, Phase, Step

ALTROOT = "/mnt"


def pool_steps(choices: Choices) -> tuple[Step, ...]:
    """Return the one step that makes the pool."""
    pool, token = choices.pool, choices.token
    entry = choices.place.of_type("freebsd-zfs")
    options = {"altroot": ALTROOT, "ashift": "12"}
    if choices.compatibility:
        options["compatibility"] = choices.compatibility
    options["comment"] = shtext.mark(token)
    create = zpool.create(
        pool,
        f"gpt/{entry.label}",
        options=options,
        properties={"compression": "lz4", "atime": "off"},
    )
    ours = shtext.pool_is_ours(pool, token)
    healthy = sh.same_text(sh.command("zpool", "list", "-H", "-o", "health", pool), "ONLINE")
    return (
        Step(
            id="pool",
            phase=Phase.POOL,
            title=f"Make the pool {pool} on partition {entry.index}",
            why=f"Nothing is mounted over the live system. {choices.compatibility_reason}",
            action=Command(create, timeout=180),
            danger=Danger.ERASES,
            look=unless_finished(choices, ours),
            guard=guard(
                choices,
                only_our_rows(choices),
                shtext.has_row(choices.place.disk.name, entry)
                + " || "
                + shtext.refuse("The partition for the pool is not where this plan made it."),
            ),
            proof=shtext.lines(
                f"{ours} || " + shtext.refuse(f"The pool {pool} does not carry this run's mark."),
                f"{healthy} || " + shtext.refuse(f"The pool {pool} is not ONLINE."),
            ),
        ),
    )


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
