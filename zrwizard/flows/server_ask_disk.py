"""The questions about the disk of a backup server: which one, how much of it, the pool's name.

The gate is that of `restore`, and closer: a disk that is encrypted with geli looks empty, so it
is never written to. The one disk that belongs to this server's keys is kept as it is.
"""

from __future__ import annotations

import re
from dataclasses import replace

from zrwizard import holds, receiver
from zrwizard.facts import DiskFacts, OwnFacts, SystemFacts, TargetFacts, Use
from zrwizard.flows import ask_disk, tables
from zrwizard.flows.asking import Due, Talk
from zrwizard.flows.disk_steps import ALIGN
from zrwizard.flows.moves import Ask, Choose, Enter, Option, Stuck
from zrwizard.flows.server_choices import Purpose, Vessel
from zrwizard.freebsd import layout, size
from zrwizard.freebsd.gpart import Entry
from zrwizard.freebsd.layout import Layout, LayoutProblem, Request
from zrwizard.plan import Problem

KEY = "target.disk"
_POOL = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,63}", re.ASCII)
_RESERVED = re.compile(r"(?:mirror|raidz|draid|spare|log|cache|special|dedup)[0-9.-]*")


def vessel(
    talk: Talk, target: TargetFacts, system: SystemFacts, own: OwnFacts, purpose: Purpose
) -> Vessel:
    """Return the disk, and what will be on it."""
    gate = Gate(target, system, own, purpose)
    question = gate.question()
    value = talk.answers.get(KEY)
    if value is None:
        raise Due(Ask(question))
    if value == ask_disk.BY_SERIAL:
        raise Due(Ask(ask_disk.typed_question()))
    disk = ask_disk.named_disk(talk, target, question, value)
    kept = gate.kept(disk)
    if kept is not None:
        return _kept(talk, kept)
    locked = gate.reason(disk, named=value.strip() == disk.typed)
    if locked:
        what = f"{disk.name} is not written to: {locked}."
        raise Due(Stuck((Problem(KEY, what, gate.advice(disk)),), 3))
    entry = None
    if not purpose.vault or not _whole(talk):
        planned = gate.lay_out(disk)
        if isinstance(planned, LayoutProblem):
            talk.refuse(question, f"{disk.name}: {planned.what}.", "Choose a larger disk.")
        entry = planned.table.entries[0]
    return Vessel(
        disk=disk,
        identity=ask_disk.identity(disk),
        encrypted=purpose.vault,
        pool=_pool(talk, target),
        entry=entry,
    )


class Gate:
    """Which disks may be written to, which one is kept, and why the others are locked."""

    def __init__(
        self, target: TargetFacts, system: SystemFacts, own: OwnFacts, purpose: Purpose
    ) -> None:
        self._target = target
        self._system = system
        self._own = own
        self._purpose = purpose

    def none_free(self) -> Problem | None:
        """Return what to say where no disk at all can be chosen, None where one can."""
        target = self._target
        if any(self.kept(disk) or not self.reason(disk, named=True) for disk in target.disks):
            return None
        rows = [f"{disk.name}: {self.reason(disk, named=True)}" for disk in target.disks]
        ours = next((disk for disk in target.disks if self.belongs(disk)), None)
        return Problem(
            KEY,
            f"No disk can hold the backups ({'; '.join(rows) or 'there is none'}).",
            self.advice(ours)
            if ours
            else "Plug in the disk that is meant (nothing that matters may be on it), then look "
            "again.",
        )

    def belongs(self, disk: DiskFacts) -> bool:
        """Whether the keys of that name were made for this disk."""
        own = self._own
        same = (own.serial, own.size) == (disk.disk.ident or "", disk.disk.mediasize)
        return own.there and own.size > 0 and same

    def sealed(self, disk: DiskFacts) -> tuple[str, ...]:
        """Return what on the disk carries geli metadata: names below /dev."""
        return tuple(name for name in self._system.sealed if holds.provider_on(disk, name) == name)

    def kept(self, disk: DiskFacts) -> Vessel | None:
        """Return the disk as it was set up before for these very keys, None where it was not."""
        if not self.belongs(disk) or self._target.hung or self._taken(disk):
            return None
        encrypted = self._purpose.vault
        entry = None
        pool = ""
        if encrypted:
            sealed = self.sealed(disk)
            if len(sealed) != 1 or not self._own.metadata or disk.holds:
                return None
            entry = self._row(disk, sealed[0])
            if entry is None and sealed[0] != disk.name:
                return None
        else:
            pools = [hold for hold in disk.holds if hold.use in (Use.POOL, Use.IMPORTABLE)]
            entry = (
                self._row(disk, pools[0].provider) if len(pools) == len(disk.holds) == 1 else None
            )
            if entry is None:
                return None
            pool = pools[0].what
        return Vessel(
            disk=disk,
            identity=ask_disk.identity(disk),
            encrypted=encrypted,
            pool=pool,
            entry=entry,
            keep=True,
            metadata=self._own.metadata if encrypted else "",
        )

    def _taken(self, disk: DiskFacts) -> bool:
        return any(hold.use not in (Use.POOL, Use.IMPORTABLE) for hold in disk.holds)

    def _row(self, disk: DiskFacts, provider: str) -> Entry | None:
        """Return the only row of the disk's table, if it is `provider` and has our label."""
        rows = disk.table.entries if disk.table else ()
        if len(rows) != 1 or provider != f"{disk.name}p{rows[0].index}":
            return None
        return rows[0] if self._is_label(rows[0].label) else None

    def _is_label(self, label: str) -> bool:
        return re.fullmatch(rf"{re.escape(self._purpose.name)}\d+", label) is not None

    def reason(self, disk: DiskFacts, *, named: bool = False) -> str | None:
        """Return why the disk may not be written to, None where it may; see `ask_disk.reason`."""
        locked = ask_disk.reason(disk, self._target, named=named)
        if locked:
            return locked
        if sealed := self.sealed(disk):
            return f"{sealed[0]} is encrypted with geli, and what it holds cannot be seen"
        own = self._own
        if own.there and own.size and not self.belongs(disk):
            whose = own.serial or f"without a serial number, of {size.human(own.size)}"
            return f"the keys called {own.name} belong to another disk ({whose})"
        if own.metadata and self.belongs(disk):
            return (
                f"it belongs to the keys called {own.name}, but the geli metadata that it should "
                "carry is gone"
            )
        if unfit := _unfit(disk):
            return unfit
        if self._twin(disk):
            return "another disk has the same serial number and size, so nobody can tell them apart"
        planned = self.lay_out(disk)
        return planned.what if isinstance(planned, LayoutProblem) else None

    def _twin(self, disk: DiskFacts) -> bool:
        """Whether the server could not find this very disk again by what it is."""
        mine = (disk.disk.ident, disk.disk.mediasize)
        return any(
            other.name != disk.name and (other.disk.ident, other.disk.mediasize) == mine
            for other in self._target.disks
        )

    def advice(self, disk: DiskFacts) -> str:
        """Return what to do about a disk that is locked."""
        own = self._own
        if self.reason(disk, named=True) is None:
            return f"If it is meant, name it by its serial number: {disk.typed}."
        if ask_disk.reason(disk, self._target, named=True):
            return "Choose another disk, or free this one and look again."
        if sealed := self.sealed(disk):
            begun = (
                f"A run for {own.name} may have encrypted it and not come to its end: go on with "
                "that run, or "
                if self.belongs(disk)
                else "If what it holds may go for ever, "
            )
            return f"{begun}type `geli clear {sealed[0]}` on that machine and look again."
        if own.metadata and self.belongs(disk):
            return (
                f"If its data matter, write the saved metadata back (geli restore "
                f"{own.directory}/geli.metadata); else start with another name."
            )
        if own.there and own.size:
            return "Choose that disk, or start with another name: each server has keys of its own."
        if self._twin(disk):
            return "Unplug the other one for now, then look again."
        return "Choose a larger disk."

    def lay_out(self, disk: DiskFacts) -> Layout | LayoutProblem:
        """Return the table with one partition for the backups."""
        return layout.lay_out(
            disk.disk.mediasize,
            disk.disk.sectorsize,
            (
                Request(
                    1,
                    "freebsd-zfs",
                    self._label(disk),
                    None,
                    ALIGN,
                    minimum=tables.SMALLEST_POOL,
                ),
            ),
            stripeoffset=disk.disk.stripeoffset,
        )

    def _label(self, disk: DiskFacts) -> str:
        """The first label that no other disk has: /dev/gpt/… must mean this disk."""
        taken = {
            entry.label
            for other in self._target.disks
            if other.name != disk.name and other.table is not None
            for entry in other.table.entries
        }
        number = 0
        while f"{self._purpose.name}{number}" in taken:
            number += 1
        return f"{self._purpose.name}{number}"

    def question(self) -> Choose:
        """Return the question for the disk."""
        options = [self._option(disk) for disk in self._target.disks]
        if any(
            self.reason(disk) and not self.kept(disk) and not self.reason(disk, named=True)
            for disk in self._target.disks
        ):
            options.append(
                Option(
                    value=ask_disk.BY_SERIAL,
                    label="A disk that holds an old pool",
                    cells=("", "", "A disk that holds an old pool", "typed", ""),
                    detail="Such a disk is offered only to who types its serial number.",
                )
            )
        return Choose(
            key=KEY,
            page="disks",
            title="Which disk will hold the backups?",
            help="It is erased, and belongs to the backups alone from then on. The disk that the "
            "machine itself runs from, and any that is in use, cannot be chosen. A disk that was "
            "set up for this server before is kept as it is.",
            options=tuple(options),
            columns=("disk", "size", "model", "serial number", "holds"),
        )

    def _option(self, disk: DiskFacts) -> Option:
        kept = self.kept(disk) is not None
        summary = ask_disk.summary(disk)
        if kept:
            detail = "It was set up for this server already: it is kept, nothing is erased."
            summary = "already set up: keep it"
        else:
            inner = max(disk.disk.sectorsize, disk.disk.stripesize)
            detail = (
                f"Everything on it is erased: {summary}. Its sectors have {inner} bytes; those of "
                "the pool 4096, which suits every disk."
            )
        return Option(
            value=disk.disk.ident or disk.name,
            label=disk.name,
            cells=(
                disk.name,
                size.human(disk.disk.mediasize),
                disk.disk.descr or "-",
                disk.disk.ident or "-",
                summary,
            ),
            detail=detail,
            locked=None if kept else self.reason(disk),
            recommended=kept,
        )


def _unfit(disk: DiskFacts) -> str | None:
    """Why the receiver could not be told which disk is meant, None where it can."""
    serial = disk.disk.ident or ""
    try:
        receiver.config(shape="plain", serial=serial, size=disk.disk.mediasize, pool="p")
    except ValueError as error:
        return str(error)
    return None


def _kept(talk: Talk, kept: Vessel) -> Vessel:
    if not kept.encrypted:
        return kept
    question = _pool_question(
        "The name that it was given when the disk was set up.", "Name of the pool on it"
    )
    return replace(kept, pool=talk.enter(question, _bad_name))


def _whole(talk: Talk) -> bool:
    question = Choose(
        key="disk.whole",
        page="disks",
        title="Encrypt the whole disk?",
        help="A disk that is encrypted from its first to its last sector shows nothing but noise "
        "to whoever plugs it in. With a partition it shows that there is one, and its name.",
        options=(
            Option("yes", "The whole disk", recommended=True),
            Option(
                "no",
                "One partition over all of it",
                detail="Other computers then do not offer to “initialise” an unknown disk.",
            ),
        ),
        default="yes",
    )
    return talk.pick(question).value == "yes"


def _pool_question(help: str, title: str = "Name of the pool") -> Enter:
    return Enter(
        key="disk.pool", page="disks", title=title, help=help, default="backup", example="backup"
    )


def _pool(talk: Talk, target: TargetFacts) -> str:
    def wrong(text: str) -> str | None:
        if any(found.name == text for found in target.pools):
            return f"A pool {text} is imported on that machine already."
        return _bad_name(text)

    return talk.enter(
        _pool_question(
            "ZFS calls the space for the backups a pool. Any short name will do, as long as no "
            "pool of the machines that are backed up there has it; for a server that keeps one "
            "host, the host's name is a good one."
        ),
        wrong,
    )


def _bad_name(text: str) -> str | None:
    if not _POOL.fullmatch(text) or _RESERVED.fullmatch(text):
        return f"{text!r} cannot be the name of a pool."
    return None
