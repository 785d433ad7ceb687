"""The questions about a pool over several disks: which, in what shape, with which spares."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace

from zrwizard.facts import DiskFacts, TargetFacts
from zrwizard.flows import ask_disk, shapes, tables
from zrwizard.flows.asking import Due, Talk
from zrwizard.flows.choices import Place
from zrwizard.flows.moves import Ask, Choose, ChooseMany, Enter, Option
from zrwizard.flows.shapes import Shape
from zrwizard.freebsd import size
from zrwizard.freebsd.layout import LayoutProblem

NONE = "none"
_SHAPES = {
    Shape.MIRROR: ("Mirror", "Every disk holds everything."),
    Shape.MIRRORS: (
        "Mirrors of two",
        "The first two disks are a mirror, the next two another; the pool is as large as both.",
    ),
    Shape.RAIDZ1: ("raidz1", "One disk's worth is parity."),
    Shape.RAIDZ2: ("raidz2", "Two disks' worth is parity."),
    Shape.RAIDZ3: ("raidz3", "Three disks' worth is parity."),
    Shape.STRIPE: ("Stripe", "No redundancy: the loss of any one disk is the loss of everything."),
}


@dataclass(frozen=True, slots=True)
class Placement:
    """Where it goes: the disks of the pool in their order, how they are joined, the spares."""

    shape: Shape
    places: tuple[Place, ...]
    spares: tuple[Place, ...] = ()


def names(value: str | None) -> tuple[str, ...]:
    """Return the disks that an answer names; none for `none`, empty or no answer."""
    found = [word.strip() for word in re.split(r"[,\n]", value or "")]
    return tuple(word for word in found if word and word != NONE)


def placement(talk: Talk, target: TargetFacts, need: int) -> Placement:
    """Return the disks with their tables, one or several, for a pool of `need` bytes."""
    one = talk.answers.get("target.disk")
    listed = names(talk.answers.get("target.disks"))
    if one is not None and one != ask_disk.SEVERAL:
        if listed:
            question = ask_disk.one_question(target, need)
            talk.refuse(question, "Both target.disk and target.disks are given.", "Give one.")
        return Placement(Shape.SINGLE, (ask_disk.place(talk, target, need),))
    if one is None and not listed:
        return Placement(Shape.SINGLE, (ask_disk.place(talk, target, need),))
    if one is None and len(listed) == 1 and listed[0] != ask_disk.BY_SERIAL:
        alone = replace(talk, answers=talk.answers.put("target.disk", listed[0]))
        return Placement(Shape.SINGLE, (ask_disk.place(alone, target, need),))
    return _several(talk, target, need)


def _several(talk: Talk, target: TargetFacts, need: int) -> Placement:
    disks = _disks(talk, target)
    shape = _shape(talk, disks, need)
    spares = _spares(talk, target, disks, shape)
    every = (*disks, *spares)

    by = ask_disk.firmware(talk)

    def short(swap: int) -> str | None:
        each = tables.smallest(every, swap, by)
        if isinstance(each, LayoutProblem):
            return each.what
        return ask_disk.short_of(shapes.room(shape, len(disks), each), need)

    swap = ask_disk.ask_swap(talk, target, every, short)
    made = tables.places(target, [(disk, ask_disk.identity(disk)) for disk in every], swap, by)
    if isinstance(made, LayoutProblem):
        talk.refuse(ask_disk.swap_question(target, len(every)), made.what, made.now)
    return Placement(shape, made[: len(disks)], made[len(disks) :])


# --- which disks --------------------------------------------------------------------------------


def _disks(talk: Talk, target: TargetFacts) -> tuple[DiskFacts, ...]:
    question = ChooseMany(
        key="target.disks",
        page="disks",
        title="Which disks are erased and restored to?",
        help="All of them get the same table, and the machine starts from each. What is in use, or "
        "was the install medium, cannot be chosen.",
        options=ask_disk.disk_options(target, 0),
        columns=ask_disk.COLUMNS,
        least=2,
        alone=(ask_disk.BY_SERIAL,),
    )
    value = talk.answers.get(question.key)
    if value is None:
        raise Due(Ask(question))
    given = names(value)
    if ask_disk.BY_SERIAL in given:
        raise Due(Ask(_typed_question()))
    if len(given) < 2:
        talk.refuse(question, "That is not two disks or more.", "Name each, with commas between.")
    return _named(talk, target, question, given, ())


def _typed_question() -> Enter:
    return Enter(
        key="target.disks",
        page="disks",
        title="Serial numbers of all the disks",
        help="Exactly as the list shows them, with commas between. Their old pools will be gone.",
        example="ZRDISK0001, ZRDISK0002",
    )


def _named(
    talk: Talk,
    target: TargetFacts,
    question: ChooseMany,
    given: Iterable[str],
    before: tuple[DiskFacts, ...],
) -> tuple[DiskFacts, ...]:
    """The disks that are named, each once, none of them in use, all to be told apart."""
    found: list[DiskFacts] = []
    for value in given:
        disk = ask_disk.named_disk(talk, target, question, value)
        ask_disk.check(talk, question, disk, target, named=value == disk.typed, need=0)
        for other in (*before, *found):
            if other.name == disk.name:
                talk.refuse(question, f"{disk.name} is named twice.", "Name each disk once.")
            if other.typed == disk.typed:
                what = f"{other.name} and {disk.name} have the same serial number {disk.typed}."
                talk.refuse(question, what, "Nobody could tell them apart: take out one of them.")
        found.append(disk)
    return tuple(found)


# --- in what shape ------------------------------------------------------------------------------


def _shape(talk: Talk, disks: tuple[DiskFacts, ...], need: int) -> Shape:
    count = len(disks)
    proposed = Shape.MIRROR if count < 4 else Shape.MIRRORS if count % 2 == 0 else Shape.RAIDZ2
    each = tables.smallest(disks, 0)
    options = [_shape_option(shape, count, each, need, proposed) for shape in _SHAPES]
    question = Choose(
        key="target.layout",
        page="layout",
        title=f"How is the pool laid over the {count} disks?",
        help=_sizes(disks) or "What it may lose says how many disks can fail before data is lost.",
        options=tuple(options),
        columns=("layout", "room", "may lose"),
        default=str(proposed) if proposed is Shape.MIRROR else None,
    )
    return Shape(talk.pick(question).value)


def _shape_option(
    shape: Shape, count: int, each: int | LayoutProblem, need: int, proposed: Shape
) -> Option:
    label, detail = _SHAPES[shape]
    locked = shapes.why_not(shape, count)
    room = "-"
    if locked is None:
        if isinstance(each, LayoutProblem):
            locked = each.what
        else:
            left = shapes.room(shape, count, each)
            room = size.human(left)
            locked = ask_disk.short_of(left, need)
    return Option(
        value=str(shape),
        label=label,
        cells=(label, room, "-" if room == "-" else shapes.survives(shape, count)),
        detail=detail,
        locked=locked,
        recommended=shape is proposed,
    )


def _sizes(disks: Iterable[DiskFacts]) -> str:
    """A sentence where the disks are not equally large, else nothing."""
    found = {disk.name: disk.disk.mediasize for disk in disks}
    least = min(found, key=lambda name: found[name])
    if max(found.values()) == found[least]:
        return ""
    listed = ", ".join(f"{name} {size.human(count)}" for name, count in found.items())
    return (
        f"The disks differ in size ({listed}): the smallest, {least}, counts, and what the others "
        "have more stays unused."
    )


def size_note(place: Placement) -> tuple[str, ...]:
    """Return the warning that the disks differ in size, none where they do not."""
    said = _sizes(one.disk for one in (*place.places, *place.spares))
    return (said,) if said else ()


# --- spares -------------------------------------------------------------------------------------


def _spares(
    talk: Talk, target: TargetFacts, disks: tuple[DiskFacts, ...], shape: Shape
) -> tuple[DiskFacts, ...]:
    """The hot spares: disks that are left, and as large as the smallest of the others."""
    taken = {disk.name for disk in disks}
    rest = replace(target, disks=tuple(disk for disk in target.disks if disk.name not in taken))
    options = tuple(
        replace(option, locked=option.locked or _too_little(disk, disks))
        for option, disk in zip(ask_disk.disk_options(rest, 0), rest.disks, strict=False)
    )
    value = talk.answers.get("target.spares")
    if value is None and (shape is Shape.STRIPE or all(option.locked for option in options)):
        return ()
    question = ChooseMany(
        key="target.spares",
        page="layout",
        title="Is there a hot spare?",
        help="A disk that stands by and takes the place of one that fails. It is erased and gets "
        "the same table as the others. None need be marked.",
        options=options,
        columns=ask_disk.COLUMNS,
        least=0,
    )
    if value is None:
        raise Due(Ask(question))
    given = names(value)
    if given and shape is Shape.STRIPE:
        talk.refuse(question, "A stripe can make no use of a spare.", "Answer none.")
    found = _named(talk, target, question, given, disks)
    for disk in found:
        little = _too_little(disk, disks)
        if little:
            talk.refuse(question, f"{disk.name} cannot be a spare: {little}.", "Choose another.")
    return found


def _too_little(disk: DiskFacts, disks: tuple[DiskFacts, ...]) -> str | None:
    own, each = tables.smallest([disk], 0), tables.smallest(disks, 0)
    small = isinstance(own, LayoutProblem) or (isinstance(each, int) and own < each)
    return "it is smaller than the disks of the pool" if small else None
