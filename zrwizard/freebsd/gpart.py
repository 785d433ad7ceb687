"""gpart(8): partition tables shown, saved, made and erased. What will be made: see `layout`."""

from __future__ import annotations

import re
from dataclasses import dataclass

from . import sh, size, text
from .errors import Diagnosis, ParseError, Rule, diagnose, rule

_HEAD = re.compile(r"=>\s*(\d+)\s+(\d+)\s+(\S+)\s+(\S+)\s+\(([^()]*)\)( \[CORRUPT\])?")
_FREE = re.compile(r"\s+(\d+)\s+(\d+)\s+- free -\s+\(([^()]*)\)")
_PART = re.compile(r"\s+(\d+)\s+(\d+)\s+(\S+)\s+(\S+)\s+(?:\[([^\[\]]*)\]\s+)?\(([^()]*)\)")
_ROW = re.compile(r"(\d+)\s+(\S+)\s+(\d+)\s+(\d+)(?: (.*))?")
_TAIL = re.compile(r"(?P<label>.*?)(?:(?:^ ?|  )\[(?P<attrs>[^\[\]]*)\])? *")
_SCHEME = re.compile(r"([A-Za-z0-9]{2,16}) (\d{1,6})", re.ASCII)


@dataclass(frozen=True, slots=True)
class Shown:
    """One partition of `gpart show -p`: its provider name, extent in sectors, type, attributes."""

    provider: str
    start: int
    sectors: int
    type: str
    attributes: tuple[str, ...]
    size_text: str


@dataclass(frozen=True, slots=True)
class Gap:
    """Free space between or behind partitions, in sectors."""

    start: int
    sectors: int


@dataclass(frozen=True, slots=True)
class ShownTable:
    """One table of `gpart show -p`. `first` and `sectors` say which sectors can hold partitions."""

    geom: str
    scheme: str
    first: int
    sectors: int
    size_text: str
    corrupt: bool
    partitions: tuple[Shown, ...]
    free: tuple[Gap, ...]


@dataclass(frozen=True, slots=True)
class Entry:
    """One row of `gpart backup`; start and size in sectors, `label` empty where it has none."""

    index: int
    type: str
    start: int
    sectors: int
    label: str = ""
    attributes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Table:
    """A whole table as `gpart backup` saves it, rows in the order of the disk."""

    scheme: str
    slots: int
    entries: tuple[Entry, ...]


# --- commands ---------------------------------------------------------------------------------


def show() -> str:
    """Command: all tables with provider names."""
    return sh.command("gpart", "show", "-p")


def backup(disk: str) -> str:
    """Command: the table of one disk in its stable form; fails where there is no table."""
    return sh.command("gpart", "backup", disk)


def create(disk: str, scheme: str = "gpt") -> str:
    """Command: an empty table on a disk that has none."""
    return sh.command("gpart", "create", "-s", scheme, disk)


def destroy(disk: str) -> str:
    """Command: erase the table with all its partitions, none of which may be open."""
    return sh.command("gpart", "destroy", "-F", disk)


def add(disk: str, *, index: int, label: str, type: str, align: int, bytes: int | None) -> str:
    """Command: add a partition; `align` and `bytes` in bytes, None takes the largest gap.

    `-a` rounds the start up and an explicit size down (facts C1).
    """
    words = ["gpart", "add", "-a", size.for_gpart(align), "-i", str(index), "-l", label, "-t", type]
    if bytes is not None:
        words += ["-s", size.for_gpart(bytes)]
    return sh.join([*words, disk])


def bootcode(disk: str, index: int, *, pmbr: str, partcode: str) -> str:
    """Command: the protective MBR's code, and `partcode` into freebsd-boot partition `index`.

    Prints `partcode written to …` first, then `bootcode written to …`.
    """
    return sh.command("gpart", "bootcode", "-b", pmbr, "-p", partcode, "-i", str(index), disk)


def partcode_written(device: str, partcode: str) -> str:
    """Command: succeeds if `device` (`/dev/vtbd0p1`) begins with the file `partcode`."""
    length = f"$(($(wc -c < {sh.quote(partcode)})))"
    return _same_start(device, length, sh.input_from("cksum", partcode))


def pmbr_written(device: str, pmbr: str) -> str:
    """Command: succeeds if the disk `device` begins with the code of the file `pmbr`.

    Its first 440 bytes: behind them stand the disk's signature and the partitions.
    """
    code = sh.pipeline(sh.command("head", "-c", "440", pmbr), "cksum")
    return _same_start(device, "440", code)


def _same_start(device: str, length: str, expected: str) -> str:
    # A raw device is read in whole sectors only, hence dd in front of head.
    read = sh.command("dd", f"if={device}", "bs=64k") + " 2>/dev/null"
    start = sh.pipeline(read, f"head -c {length}", "cksum")
    return f"[ {sh.capture(start)} = {sh.capture(expected)} ]"


def partition(disk: str, index: int) -> str:
    """The provider name of a GPT partition: vtbd0 and 3 give vtbd0p3."""
    return f"{disk}p{index}"


# --- parsers ----------------------------------------------------------------------------------


def parse_show(output: str) -> tuple[ShownTable, ...]:
    """The tables of `gpart show -p`; none for empty output. Raises ParseError. Facts B2."""
    tables: list[ShownTable] = []
    head: re.Match[str] | None = None
    parts: list[Shown] = []
    gaps: list[Gap] = []

    def close() -> None:
        if head is not None:
            tables.append(_shown_table(head, tuple(parts), tuple(gaps)))

    for line in text.lines(output):
        started = _HEAD.fullmatch(line.rstrip())
        if started:
            close()
            head, parts, gaps = started, [], []
            continue
        if head is None:
            raise ParseError("gpart show", "a row stands before any table", line)
        row = _row(line.rstrip())
        if isinstance(row, Gap):
            gaps.append(row)
        else:
            parts.append(row)
    close()
    return tuple(tables)


def _shown_table(
    head: re.Match[str], parts: tuple[Shown, ...], gaps: tuple[Gap, ...]
) -> ShownTable:
    return ShownTable(
        geom=head[3],
        scheme=head[4],
        first=_number(head[1]),
        sectors=_number(head[2]),
        size_text=head[5],
        corrupt=head[6] is not None,
        partitions=parts,
        free=gaps,
    )


def _row(line: str) -> Shown | Gap:
    free = _FREE.fullmatch(line)
    if free:
        return Gap(_number(free[1]), _number(free[2]))
    part = _PART.fullmatch(line)
    if not part:
        raise ParseError("gpart show", "neither a partition nor free space", line)
    return Shown(
        provider=part[3],
        start=_number(part[1]),
        sectors=_number(part[2]),
        type=part[4],
        attributes=_attributes(part[5]),
        size_text=part[6],
    )


def _attributes(listed: str | None) -> tuple[str, ...]:
    return tuple(word for word in (listed or "").split(",") if word)


def _number(cell: str) -> int:
    return text.whole("gpart", "a sector number", cell)


def parse_backup(output: str) -> Table:
    """The table that `gpart backup` saved. Raises ParseError. Facts B2.

    A label may hold blanks: what follows the size is the label up to a bracketed attribute list,
    which gpart sets off by two blanks. Blanks at the end of a label are lost; gpart's own
    restore takes a label up to its first blank only.
    """
    rows = text.lines(output)
    head = _SCHEME.fullmatch(rows[0].strip()) if rows else None
    if not head:
        raise ParseError("gpart backup", "no line such as `GPT 128` at the start", output)
    return Table(head[1], int(head[2]), tuple(map(_entry, rows[1:])))


def _entry(line: str) -> Entry:
    row = _ROW.fullmatch(line)
    tail = _TAIL.fullmatch(row[5] or "") if row else None
    if not row or not tail:
        raise ParseError("gpart backup", "not a partition", line)
    return Entry(
        index=_number(row[1]),
        type=row[2],
        start=_number(row[3]),
        sectors=_number(row[4]),
        label=tail["label"],
        attributes=_attributes(tail["attrs"]),
    )


# --- complaints -------------------------------------------------------------------------------

_RULES: tuple[Rule, ...] = (
    rule(
        "table exists",
        r"gpart: geom '(?P<disk>[^']*)': File exists",
        "{disk} already has a partition table.",
        "Erase it first (gpart destroy -F {disk}), if what it holds may go.",
    ),
    rule(
        "busy",
        r"gpart: Device busy",
        "A partition of the disk is in use: mounted, in an imported pool, swap, or under geli.",
        "Export the pool, unmount or switch the swap off, then run this again.",
    ),
    rule(
        "in use",
        r"gpart: geom '(?P<disk>[^']*)': Operation not permitted",
        "{disk} itself is open for writing.",
        "Find out what uses it (zpool status, mount, geli status) and release it.",
    ),
    rule(
        "corrupt",
        r"gpart: table '(?P<disk>[^']*)' is corrupt",
        "One of the two copies of the table on {disk} is damaged.",
        "Run gpart recover {disk} to keep it, or gpart destroy -F {disk} to erase it.",
    ),
    rule(
        "no space",
        r"gpart: .*No space left on device",
        "The partition does not fit into the free space of the disk.",
        "Choose smaller sizes or a larger disk.",
    ),
    rule(
        "index used",
        r"gpart: index '(?P<index>[^']*)': File exists",
        "Partition number {index} exists already.",
        "Look at the table (gpart show) and plan again.",
    ),
    rule(
        "boot code too big",
        r"gpart: (?P<part>\S+): (?:not enough space|file too big.*)",
        "The boot code does not fit ({part}).",
        "Make the freebsd-boot partition 512 KiB.",
    ),
    rule(
        "no disk",
        r"gpart: (?:arg0 '(?P<disk>[^']*)': Invalid argument|No such geom:? (?P<geom>[^.\s]*))",
        "The disk {disk}{geom} is not there, or holds no partition table.",
        "Look at the disks again (geom disk list).",
    ),
    rule(
        "no table",
        r"gpart: No partitioning scheme found on geom (?P<disk>[^.\s]*)",
        "{disk} holds no partition table.",
        "Create one first (gpart create -s gpt {disk}).",
    ),
    rule(
        "missing file",
        r"gpart: (?P<file>/\S+): No such file or directory",
        "The file {file} is missing on the target.",
        "Use a complete install medium, or take the file from the restored system.",
    ),
)


def explain(stderr: str) -> Diagnosis | None:
    """What a known complaint of gpart(8) means and what to do now; None for an unknown one."""
    return diagnose(_RULES, stderr)
