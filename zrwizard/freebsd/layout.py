"""Which rows `gpart create -s gpt` and a list of `gpart add` commands will make, to the sector.

It follows what gpart(8) itself does: its autofill picks the place (tightest gap for a given size,
largest gap without one), the kernel's GPT scheme says which sectors are usable. Facts C1.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from . import gpart, size

SLOTS = 128
_ENTRY_BYTES = 128
_PAGE = 4096


@dataclass(frozen=True, slots=True)
class Request:
    """A wanted partition. `bytes` None takes what is left; `minimum` is what must be left then.

    `align` in bytes: the start is rounded up to it, the size down.
    """

    index: int
    type: str
    label: str
    bytes: int | None
    align: int
    minimum: int = 0


@dataclass(frozen=True, slots=True)
class Layout:
    """The table that will be on the disk, and the first and last usable sector."""

    sectorsize: int
    first: int
    last: int
    table: gpart.Table

    def bytes_of(self, index: int) -> int:
        """Size in bytes of partition `index`; KeyError if there is none."""
        for entry in self.table.entries:
            if entry.index == index:
                return entry.sectors * self.sectorsize
        raise KeyError(index)


@dataclass(frozen=True, slots=True)
class LayoutProblem:
    """Why the requests cannot be laid out, and what to do now."""

    what: str
    now: str


def usable(mediasize: int, sectorsize: int) -> tuple[int, int]:
    """First and last sector of a new GPT that may hold a partition.

    Behind the protective MBR, the header and 128 entries, rounded inwards to 4 KiB: 40 and
    total-41 on a disk of 512-byte sectors with a whole number of 4 KiB blocks, 6 and total-6 on
    one of 4096-byte sectors.
    """
    entries = -(-SLOTS * _ENTRY_BYTES // sectorsize)
    final = mediasize // sectorsize - 1
    first, behind = 2 + entries, final - entries
    block = _PAGE // sectorsize
    if block > 1:
        first, behind = _up(first, block), _down(behind, block)
    return first, behind - 1


def lay_out(
    mediasize: int, sectorsize: int, requests: tuple[Request, ...], *, stripeoffset: int = 0
) -> Layout | LayoutProblem:
    """The table after adding `requests` in their order to an empty GPT; all sizes in bytes."""
    if sectorsize < 512 or sectorsize & (sectorsize - 1):
        return LayoutProblem(
            f"a sector size of {sectorsize} bytes cannot be used",
            "Choose a disk with sectors of 512 or 4096 bytes.",
        )
    first, last = usable(mediasize, sectorsize)
    if last < first:
        return LayoutProblem(
            f"the disk is too small: {size.human(mediasize)} hold no partition table",
            "Choose a larger disk.",
        )
    layout = Layout(sectorsize, first, last, gpart.Table("GPT", SLOTS, ()))
    for request in requests:
        added = _add(layout, request, stripeoffset // sectorsize)
        if isinstance(added, LayoutProblem):
            return added
        layout = added
    return layout


def _add(layout: Layout, request: Request, stripe: int) -> Layout | LayoutProblem:
    sector = layout.sectorsize
    if request.align < sector or request.align % sector:
        return LayoutProblem(
            f"an alignment of {request.align} bytes is no multiple of the sector size {sector}",
            "Align to 4 KiB or 1 MiB.",
        )
    if request.bytes is not None and (request.bytes < sector or request.bytes % sector):
        return LayoutProblem(
            f"{request.label}: {request.bytes} bytes are no whole number of {sector}-byte sectors",
            f"Give a size that is a multiple of {sector} bytes.",
        )
    taken = layout.table.entries
    if not 1 <= request.index <= SLOTS or any(entry.index == request.index for entry in taken):
        return LayoutProblem(
            f"partition number {request.index} is taken or out of range",
            "Number the partitions from 1, each once.",
        )
    align = request.align // sector
    offset = stripe % align
    wanted = None if request.bytes is None else request.bytes // sector
    # gpart leaves a size below the alignment as it is.
    if wanted is not None and wanted > align:
        wanted = _down(wanted, align)
    place = _place(_gaps(layout, align, offset), wanted)
    if place is None or place[1] * sector < request.minimum:
        return _too_small(layout, request, 0 if place is None else place[1] * sector)
    start, sectors = place
    entry = gpart.Entry(request.index, request.type, start - offset, sectors, request.label)
    entries = tuple(sorted((*taken, entry), key=lambda row: row.start))
    return replace(layout, table=replace(layout.table, entries=entries))


def _gaps(layout: Layout, align: int, offset: int) -> list[tuple[int, int]]:
    """(aligned start, aligned length) of every gap, the last one included, as gpart counts them."""
    gaps: list[tuple[int, int]] = []
    first = layout.first
    aligned = _up(first + offset, align)
    for entry in layout.table.entries:
        end = _down(entry.start + offset, align)
        if first < end and aligned < end:
            gaps.append((aligned, end - aligned))
        first = entry.start + entry.sectors
        aligned = max(aligned, _up(first + offset, align))
    last = _down(layout.last + offset + 1, align) - 1
    if aligned <= last:
        gaps.append((aligned, _down(last - aligned + 1, align)))
    return gaps


def _place(gaps: list[tuple[int, int]], wanted: int | None) -> tuple[int, int] | None:
    if wanted is None:
        return max(gaps, key=lambda gap: gap[1], default=None)
    fitting = [gap for gap in gaps if gap[1] >= wanted]
    tightest = min(fitting, key=lambda gap: gap[1], default=None)
    return None if tightest is None else (tightest[0], wanted)


def _too_small(layout: Layout, request: Request, left: int) -> LayoutProblem:
    gaps = _gaps(layout, request.align // layout.sectorsize, 0)
    free = max(left, max((length for _, length in gaps), default=0) * layout.sectorsize)
    wanted = request.minimum if request.bytes is None else request.bytes
    need = f"at least {size.human(wanted)}" if request.bytes is None else size.human(wanted)
    return LayoutProblem(
        f"the disk is too small: {request.label} needs {need}, {size.human(free)} are left",
        "Choose a larger disk, or a smaller swap partition.",
    )


def _up(number: int, step: int) -> int:
    return -(-number // step) * step


def _down(number: int, step: int) -> int:
    return number // step * step
