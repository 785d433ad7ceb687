"""The questions about what to restore: dataset, snapshot, boot environment, release."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from zrwizard.facts import TargetFacts
from zrwizard.flows.asking import Due, Talk
from zrwizard.flows.choices import Login, Source
from zrwizard.flows.moves import Ask, Choose, Look, Option, Stuck
from zrwizard.freebsd import compatibility, size, tree, zfs
from zrwizard.freebsd.inventory import Inventory
from zrwizard.freebsd.tree import SnapshotSet
from zrwizard.plan import Problem

NEWEST = "newest"
UNKNOWN = "unknown"
_SHOWN_MISSING = 3


def source(talk: Talk, login: Login) -> Source:
    """Return what is restored, once the server has listed it."""
    root = _dataset(talk, login)
    question = _dataset_question(talk.facts.server.roots or (), root)
    if talk.facts.server.tree_of != root:
        raise Due(Look("tree", (root,), f"Listing {root} with all its snapshots"))
    inventory = talk.facts.server.tree
    if inventory is None:
        talk.refuse(question, f"The server has no dataset {root}.", "Choose one of the list.")
    if inventory[root].root is not None:
        talk.refuse(
            question,
            f"{root} itself is encrypted; a new pool's own dataset cannot take that over.",
            "Choose another dataset.",
        )
    chosen = _snapshot(talk, inventory, root)
    boot = _boot_environment(talk, inventory, root, chosen)
    return Source(root, chosen, boot, inventory, talk.facts.server.tree_received)


def _dataset(talk: Talk, login: Login) -> str:
    server = talk.facts.server
    if server.roots is None or server.login != login.name:
        raise Due(Look("datasets", (login.name,), f"Listing the datasets of {login.session.host}"))
    if not server.roots:
        problem = Problem(
            "source.dataset",
            f"{login.session.host} has no ZFS file systems.",
            "Check that this is the backup server and that its pool is imported there.",
        )
        raise Due(Stuck((problem,), 2))
    value = talk.answers.get("source.dataset")
    question = _dataset_question(server.roots, value)
    if value is None:
        raise Due(Ask(question))
    # A dataset may lie deeper than the list shows; whether it exists is asked next.
    pools = {row.name.partition("/")[0] for row in server.roots}
    if value.partition("/")[0] not in pools or "@" in value or value.endswith("/"):
        talk.refuse(
            question,
            f"The server has no dataset {value}.",
            f"Its datasets are: {', '.join(row.name for row in server.roots[:12])}.",
        )
    return value


def _dataset_question(roots: tuple[zfs.Root, ...], value: str | None) -> Choose:
    names = [row.name for row in roots]
    # What was a host's root pool has its boot environments below ROOT.
    hosts = [name for name in names if f"{name}/ROOT" in names]
    options = [
        Option(
            value=row.name,
            label=row.name,
            cells=(row.name, size.human(row.used), _date(row.creation)),
            recommended=row.name in hosts,
        )
        for row in roots
    ]
    if value is not None and value not in names:
        options.append(Option(value=value, label=value, cells=(value, "", "")))
    return Choose(
        key="source.dataset",
        page="source",
        title="Which host is restored?",
        help="The dataset on the backup server that was the host's pool.",
        options=tuple(options),
        columns=("dataset", "used", "made"),
        default=hosts[0] if len(hosts) == 1 else None,
    )


def _date(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M")


def _snapshot(talk: Talk, inventory: Inventory, root: str) -> SnapshotSet:
    sets = [found for found in tree.snapshot_sets(inventory, root) if root in found.datasets]
    newest = tree.newest_complete(sets)
    if not sets:
        talk.refuse(
            _dataset_question(talk.facts.server.roots or (), root),
            f"{root} has no snapshots.",
            "Choose another dataset; only snapshots can be sent.",
        )
    question = Choose(
        key="source.snapshot",
        page="source",
        title="As of when?",
        help="Datasets that do not have the snapshot stay behind, with what lies below them. Times "
        "are UTC.",
        options=tuple(
            Option(
                value=found.tag,
                label=found.tag,
                # Blocks that clones share count once for each.
                cells=(found.tag, _date(found.creation), size.human(found.referenced)),
                detail=_covered(found),
                recommended=found is newest,
            )
            for found in sets
        ),
        columns=("snapshot", "made", "size"),
        default=newest.tag if newest else None,
    )
    value = talk.answers.get(question.key, "")
    tag = value.removeprefix(f"{root}@")
    if tag == NEWEST and newest and all(found.tag != NEWEST for found in sets):
        tag = newest.tag
    if newest is None and tag == NEWEST:
        talk.refuse(
            question,
            f"No snapshot of {root} is complete: {sets[0].tag} is missing on {_missing(sets[0])}.",
            "Name the snapshot to restore without those, or take a recursive one on the server "
            "(zfs snapshot -r).",
        )
    again = talk if tag == value else replace(talk, answers=talk.answers.put(question.key, tag))
    chosen = again.pick(question).value
    return next(found for found in sets if found.tag == chosen)


def _covered(found: SnapshotSet) -> str:
    covered = f"{len(found.datasets)} datasets"
    return covered if found.complete else f"{covered}; {_missing(found)} stay behind"


def _missing(found: SnapshotSet) -> str:
    shown = ", ".join(found.missing[:_SHOWN_MISSING])
    rest = len(found.missing) - _SHOWN_MISSING
    return f"{shown} and {rest} more" if rest > 0 else shown


def _boot_environment(talk: Talk, inventory: Inventory, root: str, chosen: SnapshotSet) -> str:
    found = tree.boot_environments(inventory, root, chosen.tag)
    if not found:
        talk.refuse(
            _dataset_question(talk.facts.server.roots or (), root),
            f"{root}@{chosen.tag} holds no boot environment: there is no file system {root}/ROOT/…",
            "Choose a dataset that was a host's root pool.",
        )
    names = [row.name for row in found]
    best = next((n for n in (chosen.tag, "default") if n in names), names[-1])
    question = Choose(
        key="source.boot_environment",
        page="source",
        title="Which system does it start?",
        help="All boot environments are restored; this one is started.",
        options=tuple(
            Option(
                value=f"ROOT/{row.name}",
                label=f"ROOT/{row.name}",
                cells=(
                    f"ROOT/{row.name}",
                    _date(row.creation),
                    row.origin or "-",
                    row.mountpoint or "-",
                ),
                locked="it is encrypted, and the loader of FreeBSD cannot read it"
                if row.encrypted
                else None,
                recommended=row.name == best,
            )
            for row in found
        ),
        columns=("boot environment", "made", "cloned from", "mountpoint"),
        default=f"ROOT/{best}",
    )
    value = talk.answers.get(question.key)
    if value is not None:
        short = value.removeprefix(f"{root}/")
        short = short if short.startswith("ROOT/") else f"ROOT/{short}"
        talk = replace(talk, answers=talk.answers.put(question.key, short))
    return f"{root}/{talk.pick(question).value}"


def release(talk: Talk, target: TargetFacts) -> compatibility.Choice:
    """Return the pool's `compatibility=`, fitted to the system that is restored."""
    question = Choose(
        key="source.release",
        page="source",
        title="Which FreeBSD is it?",
        help="The restored system's own loader must be able to read the new pool, so the pool "
        "gets no newer features than that release knows.",
        options=(
            *(
                Option(
                    value=major,
                    label=f"FreeBSD {major}",
                    detail=compatibility.choose(major, target.compatibility).reason,
                )
                for major in ("13", "14", "15")
            ),
            Option(
                value=UNKNOWN,
                label="I do not know",
                detail=compatibility.choose(None, target.compatibility).reason,
                recommended=True,
            ),
        ),
        default=UNKNOWN,
    )
    value = talk.pick(question).value
    return compatibility.choose(None if value == UNKNOWN else value, target.compatibility)
