"""The questions about how it comes over: in which streams, how much that is, and how fast."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby

from zrwizard.facts import TargetFacts
from zrwizard.flows.asking import Due, Talk
from zrwizard.flows.choices import Carriage, Source
from zrwizard.flows.moves import Choose, Enter, Look, Option, Stuck
from zrwizard.freebsd import size
from zrwizard.freebsd.errors import ParseError
from zrwizard.freebsd.tree import below
from zrwizard.plan import Problem
from zrwizard.transfer import options
from zrwizard.transfer.forest import Decomposition, History, Kind, Note, decompose

EVERY, LATEST, TREE = "every", "latest", "tree"
STORED, PLAIN = "stored", "plain"
NO_LIMIT = "none"
_SLOWEST = 1024
_TOLD = 4
_PIECES = frozenset({Kind.TREE, Kind.OWN_ROOT, Kind.ASIDE})
"""What is said of single streams only."""


def carriage(talk: Talk, target: TargetFacts, source: Source) -> Carriage:
    """Return how `source` comes over."""
    way = talk.pick(_question(source)).value
    form = _form(talk, target, source.root.partition("/")[0])
    history = History.CHOSEN if way == LATEST else History.ALL
    streams = made(source, history, source.root).streams
    sizes = {stream.source: stream.size for stream in streams}
    if way != LATEST and _not_in_one(source) is None:
        sizes = _estimate(talk, source.snapshot, form)
    return Carriage(history, way == TREE, form, sizes, _limit(talk, whole=way == TREE))


def made(source: Source, history: History, pool: str) -> Decomposition:
    """Return the streams that bring `source` into `pool`."""
    return decompose(source.tree, source.root, source.tag, pool, history=history)


def room_for(source: Source, carriage: Carriage) -> int:
    """Return the bytes that the pool must have room for.

    Of what the datasets take on the server and what their streams are guessed to be the smaller
    counts: the first holds newer snapshots too, the second is not compressed. What is reserved for
    volumes comes on top.
    """
    rows = [source.tree[name] for name in source.chosen.datasets]
    held = sum(int(row.size * row.grows) for row in rows)
    return min(held, carriage.total) + sum(row.reserved for row in rows)


def longest(source: Source) -> int:
    """Return by how many bytes the longest name in the tree is longer than its root's."""
    names = (
        len(f"{name}@{tag}".encode()) if tag else len(name.encode())
        for name in source.chosen.datasets
        for tag in ("", max(source.tree[name].snapshots.tags, key=len))
    )
    return max(names) - len(source.root.encode())


def told(made: Decomposition, *, whole: bool) -> Iterator[str]:
    """Yield what is to be known beforehand about what comes; of many datasets only the first."""
    for kind, notes in groupby(sorted(made.notes, key=_kind), key=_kind):
        if whole and kind in _PIECES:
            continue
        found = [note.text for note in notes]
        yield from found[:_TOLD]
        if len(found) > _TOLD:
            yield f"The same is so for {len(found) - _TOLD} more."


def _kind(note: Note) -> Kind:
    return note.kind


def _question(source: Source) -> Choose:
    return Choose(
        key="source.way",
        page="source",
        title="How does it come over?",
        help="A stream for each dataset goes on where it was cut; one stream for everything begins "
        "again from the start. What comes is the same.",
        options=(
            Option(
                value=EVERY,
                label="a stream for each dataset",
                detail="All snapshots up to the chosen one come; the next backup builds upon them.",
                recommended=True,
            ),
            Option(
                value=LATEST,
                label="a stream for each dataset, the chosen snapshot only",
                detail="Less comes, so the machine starts sooner. Older snapshots cannot follow: "
                "ZFS puts none beneath newer ones.",
            ),
            Option(
                value=TREE,
                label="one stream for everything (zfs send -R)",
                detail="The plain way, should the server refuse the others.",
                locked=_not_in_one(source),
            ),
        ),
        default=EVERY,
    )


_FORM = Choose(
    key="source.form",
    page="source",
    title="How are blocks sent?",
    help="As they lie on disk is less to send and to do. Plain is what any ZFS understands.",
    options=(
        Option(value=STORED, label="as they lie on the server's disk", recommended=True),
        Option(value=PLAIN, label="plain: in small blocks, not compressed"),
    ),
    default=STORED,
)
"""Nobody is asked: the answers can name it, should a server have trouble with it."""


def _not_in_one(source: Source) -> str | None:
    """Return why `zfs send -R` cannot send it, None where it can (facts C5)."""
    missing = source.chosen.missing
    if missing:
        return f"zfs send -R ends at {missing[0]}, which has no @{source.tag}"
    inside = (n for n, row in source.tree.items() if row.root and below(n, source.root))
    return next((f"{name} is encrypted" for name in inside), None)


def _form(talk: Talk, target: TargetFacts, pool: str) -> tuple[str, ...]:
    """Return the options that send blocks as they lie on disk, as both sides allow."""
    if _FORM.key in talk.answers and talk.pick(_FORM).value == PLAIN:
        return ()
    server = talk.facts.server
    if server.features_of != pool:
        raise Due(Look("features", (pool,), f"Asking which features {pool} has on the server"))
    if options.SINCE_2_0 not in server.features or (target.zfs_version or (0, 0, 0)) < (2, 0, 0):
        return ()
    return options.options(
        server.features, options.NEW_POOL, before=options.Before.NOTHING, encrypts=False
    )


def _estimate(talk: Talk, name: str, form: tuple[str, ...]) -> dict[str, int]:
    """Return what the server guesses that each dataset's streams would be."""
    server, detail = talk.facts.server, (name, *form)
    if server.estimate_of != " ".join(detail):
        raise Due(Look("estimate", detail, f"Asking how much a stream of {name} would be"))
    if server.estimate is None:
        problem = Problem(
            "source.snapshot",
            f"{name} cannot be sent: {server.refused}",
            "Choose another snapshot.",
        )
        raise Due(Stuck((problem,), 2))
    found: dict[str, int] = {}
    for stream in server.estimate.streams:
        dataset = stream.snapshot.partition("@")[0]
        found[dataset] = found.get(dataset, 0) + stream.bytes
    return found


def _limit(talk: Talk, *, whole: bool) -> int:
    """Return the limit that the answers name; nobody is asked for it."""
    question = Enter(
        key="source.limit",
        page="source",
        title="How many bytes a second at most?",
        help="For a link that others need too.",
        default=NO_LIMIT,
        example="10m",
    )
    if question.key not in talk.answers:
        return 0

    def check(value: str) -> str | None:
        if value == NO_LIMIT:
            return None
        if whole:
            return "A stream for everything has no limit: choose another way."
        try:
            return None if size.parse(value) >= _SLOWEST else "That is less than 1 KiB a second."
        except ParseError:
            return f"{value} is not a size."

    value = talk.enter(question, check)
    return 0 if value == NO_LIMIT else size.parse(value)
