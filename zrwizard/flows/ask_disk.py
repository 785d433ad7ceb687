"""The questions about where it goes: disk, pool, swap; and how it ends."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from zrwizard.facts import DiskFacts, Hold, TargetFacts, Use
from zrwizard.flows.asking import Due, Talk
from zrwizard.flows.choices import Place
from zrwizard.flows.disk_steps import ALIGN
from zrwizard.flows.moves import Ask, Choose, ChooseMany, Enter, Option, Stuck
from zrwizard.flows.shapes import Shape, room
from zrwizard.flows.tables import Firmware, lay_out, places, pool_bytes
from zrwizard.freebsd import size
from zrwizard.freebsd.errors import ParseError
from zrwizard.freebsd.layout import LayoutProblem
from zrwizard.plan import Identity, Problem

BY_SERIAL = "by-serial-number"
SEVERAL = "several-disks"
COLUMNS = ("disk", "size", "model", "serial number", "holds")
_LONGEST_NAME = 255  # zfsconcepts(7): of a dataset or a snapshot
_POOL = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,63}", re.ASCII)
_RESERVED = re.compile(r"(?:mirror|raidz|draid|spare|log|cache|special|dedup)[0-9.-]*")
_SENTENCES = {
    Use.MEDIUM: "the running system was started from it",
    Use.MOUNTED: "{what} is mounted from it",
    Use.POOL: "it belongs to the imported pool {what}",
    Use.SWAP: "the running system swaps to it",
    Use.GELI: "it holds the attached encrypted provider {what}",
    Use.OPEN: "something that the survey cannot name has it open",
    Use.IMPORTABLE: "it holds the pool {what}, which could be imported",
}


def place(talk: Talk, target: TargetFacts, need: int) -> Place:
    """Return the one disk that gets everything; its pool has room for `need` bytes."""
    question = one_question(target, need)
    value = talk.answers.get(question.key)
    if value is None:
        raise Due(Ask(question))
    if value == BY_SERIAL:
        raise Due(Ask(typed_question()))
    disk = named_disk(talk, target, question, value)
    check(talk, question, disk, target, named=value == disk.typed, need=need)
    by = firmware(talk)
    swap = ask_swap(talk, target, (disk,), lambda swap: too_small(disk, swap, need, by))
    planned = places(target, [(disk, identity(disk))], swap, by)
    if isinstance(planned, LayoutProblem):
        talk.refuse(swap_question(target, 1), planned.what, planned.now)
    return planned[0]


_FIRMWARE = Choose(
    key="target.firmware",
    page="disks",
    title="By which firmware shall the disks start?",
    help="Both, unless one of them is not wanted on these disks.",
    options=(
        Option(Firmware.BOTH, "BIOS and UEFI", recommended=True),
        Option(Firmware.BIOS, "BIOS only", detail="No EFI partition."),
        Option(Firmware.UEFI, "UEFI only", detail="No partition for BIOS boot code."),
    ),
    default=Firmware.BOTH,
)


def firmware(talk: Talk) -> Firmware:
    """Return by which firmware the disks start. Raises `Due` for an unknown word."""
    return Firmware(talk.preset(_FIRMWARE, Firmware.BOTH))


def identity(disk: DiskFacts) -> Identity:
    """Return what a plan binds itself to."""
    return Identity(
        name=disk.name,
        serial=disk.disk.ident,
        size=disk.disk.mediasize,
        descr=disk.disk.descr,
        contents=disk.contents,
        summary=summary(disk),
    )


def summary(disk: DiskFacts) -> str:
    """Return what the disk holds, for people."""
    parts = [
        f"pool {hold.what} on {hold.provider}"
        for hold in disk.holds
        if hold.use in (Use.POOL, Use.IMPORTABLE)
    ]
    if disk.table is not None:
        rows = [
            f"{entry.type} {size.human(entry.sectors * disk.disk.sectorsize)}"
            + (f" ({entry.label})" if entry.label else "")
            for entry in disk.table.entries
        ]
        parts.append(f"{disk.table.scheme} with {', '.join(rows) or 'no partitions'}")
    elif disk.contents.split(" ")[-1] != "0":
        parts.append("a partition table of unknown form")
    parts += [f"{found.what} on {found.provider}" for found in disk.metadata]
    if disk.corrupt:
        parts.append("one copy of the table is damaged")
    return "; ".join(parts) or "no partition table, no pool"


def reason(disk: DiskFacts, target: TargetFacts, *, named: bool = False) -> str | None:
    """Return why the disk may not be written to, None where it may.

    `named` says that the operator gave exactly this disk's serial number, which frees a disk
    that holds an old pool, or old geli or gmirror metadata, and nothing worse.
    """
    if disk.name.startswith("cd"):
        return "it is an optical drive"
    if not disk.disk.mediasize:
        return "it has no medium in it"
    hard = [hold for hold in disk.holds if hold.use is not Use.IMPORTABLE]
    if hard:
        return _said(hard[0])
    if target.hung:
        return (
            f"{' and '.join(f'`{name}`' for name in target.hung)} did not come back, so nobody "
            "knows which pools the disks hold"
        )
    if disk.holds and not named:
        return _said(disk.holds[0])
    if disk.metadata and not named:
        return disk.metadata[0].meaning
    return None


def _said(hold: Hold) -> str:
    return _SENTENCES[hold.use].format(what=hold.what)


def too_small(disk: DiskFacts, swap: int, need: int, by: Firmware = Firmware.BOTH) -> str | None:
    """Return why the disk alone cannot hold a tree of `need` bytes, None where it can."""
    planned = lay_out(disk, swap, by)
    if isinstance(planned, LayoutProblem):
        return planned.what
    return short_of(room(Shape.SINGLE, 1, pool_bytes(planned)), need)


def short_of(left: int, need: int) -> str | None:
    """Return that `left` bytes are less than the `need` of the tree, None where they are not."""
    if left >= need:
        return None
    return f"the pool would have room for {size.human(left)}, the tree needs {size.human(need)}"


# --- questions ----------------------------------------------------------------------------------


def disk_options(target: TargetFacts, need: int) -> tuple[Option, ...]:
    """Return a row for each disk; locked unless it may be erased and has room for `need` bytes.

    The last row is for disks with an old pool, where such disks could be chosen.
    """
    options = []
    pools_only = False
    for disk in target.disks:
        locked = reason(disk, target) or too_small(disk, 0, need)
        pools_only = pools_only or bool(
            locked and reason(disk, target, named=True) is None and not too_small(disk, 0, need)
        )
        model = disk.disk.descr or "-"
        serial = disk.disk.ident or "-"
        options.append(
            Option(
                value=disk.disk.ident or disk.name,
                label=disk.name,
                cells=(disk.name, size.human(disk.disk.mediasize), model, serial, summary(disk)),
                detail=f"Everything on it is erased: {summary(disk)}.",
                locked=locked,
            )
        )
    if pools_only:
        options.append(
            Option(
                value=BY_SERIAL,
                label="A disk that holds an old pool",
                cells=("", "", "A disk that holds an old pool", "typed", ""),
                detail="Such a disk is offered only to who types its serial number.",
            )
        )
    return tuple(options)


def one_question(target: TargetFacts, need: int) -> Choose:
    """Return the question for the one disk; its last row leads to several."""
    options = disk_options(target, need)
    free = [disk for disk in target.disks if reason(disk, target, named=True) is None]
    if len([disk for disk in free if not too_small(disk, 0, 0)]) > 1:
        options += (
            Option(
                value=SEVERAL,
                label="Several disks",
                cells=("", "", "Several disks", "", "a mirror, raidz or stripe"),
                detail="The pool lies over several disks; the machine starts from each of them.",
            ),
        )
    return Choose(
        key="target.disk",
        page="disks",
        title="Which disk is erased and restored to?",
        help="One disk gets everything. What is in use, or was the install medium, cannot be "
        "chosen. A disk with an old pool must be named by its serial number.",
        options=options,
        columns=COLUMNS,
    )


def typed_question() -> Enter:
    """Return the question for exactly one disk, which frees one that holds an old pool."""
    return Enter(
        key="target.disk",
        page="disks",
        title="Serial number of the disk",
        help="Exactly as the list shows it. Its old pool will be gone.",
        example="ZRDISK0001",
    )


def named_disk(
    talk: Talk, target: TargetFacts, question: Choose | ChooseMany, value: str
) -> DiskFacts:
    """Return the disk that `value` names by serial number, by name and size, or by name."""
    value = value.strip()
    found = [disk for disk in target.disks if value in (disk.disk.ident, disk.typed)]
    found = found or [disk for disk in target.disks if disk.name == value]
    if len(found) > 1:
        both = " and ".join(disk.name for disk in found)
        named = next((disk for disk in target.disks if disk.name == value), None)
        if named is None:
            talk.refuse(question, f"{both} have the same serial number {value}.", "Give the name.")
        return named
    if not found:
        disks = ", ".join(
            f"{disk.name} ({disk.disk.ident or 'no serial number'})" for disk in target.disks
        )
        talk.refuse(question, f"The target has no disk {value}.", f"It has: {disks or 'none'}.")
    return found[0]


def check(
    talk: Talk,
    question: Choose | ChooseMany,
    disk: DiskFacts,
    target: TargetFacts,
    *,
    named: bool,
    need: int,
) -> None:
    """Raise `Due` unless the disk may be erased and has room for `need` bytes."""
    locked = reason(disk, target, named=named)
    if locked:
        freed = reason(disk, target, named=True) is None
        now = (
            f"If it is meant, name it by its serial number: {disk.typed}."
            if freed
            else "Choose another disk, or free this one and survey again."
        )
        problem = Problem(question.key, f"{disk.name} is not written to: {locked}.", now)
        raise Due(Stuck((problem,), 3))
    small = too_small(disk, 0, need)
    if small:
        talk.refuse(question, f"{disk.name} is too small: {small}.", "Choose a larger disk.")


def swap_question(target: TargetFacts, disks: int) -> Enter:
    """Return the question for the swap partition, one on each of so many disks."""
    each = "Its size on each disk" if disks > 1 else "Its size"
    return Enter(
        key="target.swap",
        page="layout",
        title="Swap partition",
        help=f"{each}, such as 2g; 0 for none. The target has {size.human(target.memory)} "
        "of memory.",
        default="2g",
        example="2g",
    )


def ask_swap(
    talk: Talk,
    target: TargetFacts,
    disks: Sequence[DiskFacts],
    short: Callable[[int], str | None],
) -> int:
    """Return the bytes of swap on each disk; `short` says why so many bytes are too many."""
    question = swap_question(target, len(disks))
    text = talk.enter(question, lambda text: _bad_swap(text, disks))
    swap = size.parse(text)
    small = short(swap)
    if small:
        talk.refuse(question, f"With {text} of swap {small}.", "Give a smaller size, or 0.")
    return swap


def _bad_swap(text: str, disks: Sequence[DiskFacts]) -> str | None:
    try:
        count = size.parse(text)
    except ParseError:
        return f"{text!r} is not a size."
    if count % max(4096, *(disk.disk.sectorsize for disk in disks)):
        return f"{text} is not a multiple of 4 KiB."
    return f"{text} is too little for swap." if 0 < count < ALIGN else None


def pool(talk: Talk, target: TargetFacts, longest: int) -> str:
    """Return the new pool's name; what lies in it adds up to `longest` bytes to a name."""
    return talk.enter(
        Enter(
            key="target.pool",
            page="layout",
            title="Name of the pool",
            help="The name that the restored system expects; zroot unless it was named otherwise.",
            default="zroot",
            example="zroot",
        ),
        lambda text: _bad_pool(text, target, longest),
    )


def _bad_pool(text: str, target: TargetFacts, longest: int) -> str | None:
    if len(text) + longest > _LONGEST_NAME:
        return (
            f"With {text!r} the longest name would have {len(text) + longest} bytes; ZFS takes "
            f"{_LONGEST_NAME}."
        )
    if not _POOL.fullmatch(text) or _RESERVED.fullmatch(text):
        return f"{text!r} cannot be the name of a pool."
    if any(found.name == text for found in target.pools):
        return f"A pool {text} is imported on the target already."
    return None


def finish(talk: Talk) -> str:
    """Return what happens at the end: reboot, poweroff or stay."""
    question = Choose(
        key="finish.action",
        page="layout",
        title="And then?",
        help="What the target does once everything is proven.",
        options=(
            Option(
                "reboot",
                "Restart",
                detail="The console is watched until the restored system asks for a login. Take "
                "the install medium out of the way first, or let the firmware prefer the disk.",
                recommended=True,
            ),
            Option("poweroff", "Power off", detail="Remove the install medium, then start it."),
            Option("stay", "Stay", detail="The pool is exported; the install medium runs on."),
        ),
        default="reboot",
    )
    return talk.pick(question).value
