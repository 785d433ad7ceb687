"""fstab(5): rows of devices and mount points. Only the cell that changes is touched."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from .errors import ParseError

TOOL = "fstab"
PATH = "/etc/fstab"
_CELL = re.compile(r"[^ \t\r]+")
_PATHLIKE = re.compile(r"[^\s#]\S*")


@dataclass(frozen=True, slots=True)
class Row:
    """One row; `dump` and `check` are its last two columns."""

    device: str
    point: str
    type: str
    options: tuple[str, ...]
    dump: int = 0
    check: int = 0

    @property
    def swap(self) -> bool:
        """Whether it is swap space."""
        return self.type == "swap"


@dataclass(frozen=True, slots=True)
class _Placed:
    """A row, and where its cells stand in the text."""

    row: Row
    cells: tuple[re.Match[str], ...]


def parse(text: str) -> tuple[Row, ...]:
    """The rows in order. Raises ParseError for a line that is neither a row nor a comment."""
    return tuple(placed.row for placed in _placed(text))


def _placed(text: str) -> list[_Placed]:
    found: list[_Placed] = []
    start = 0
    for line in text.split("\n"):
        end = start + len(line)
        cells = tuple(_CELL.finditer(text, start, end))
        if cells and not cells[0][0].startswith("#"):
            found.append(_Placed(_row([cell[0] for cell in cells], line), cells))
        start = end + 1
    return found


def _row(cells: list[str], line: str) -> Row:
    numbers = [cell for cell in cells[4:6] if not cell.startswith("#")]
    if len(cells) < 4 or not all(re.fullmatch(r"[0-9]{1,4}", cell) for cell in numbers):
        raise ParseError(TOOL, "has a line that is no row of device, point, type, options", line)
    dump, check = (int(cell) for cell in [*numbers, "0", "0"][:2])
    return Row(cells[0], cells[1], cells[2], tuple(cells[3].split(",")), dump, check)


def _replace(text: str, wanted: Callable[[Row], str | None], column: int) -> str:
    """`text` with the cell `column` of each row replaced by what `wanted` says, None: kept."""
    for placed in reversed(_placed(text)):
        new = wanted(placed.row)
        if new is not None:
            cell = placed.cells[column]
            text = text[: cell.start()] + new + text[cell.end() :]
    return text


def add(text: str, row: Row) -> str:
    """`text` with one more row, unless something is mounted at its point already.

    Columns are parted by tabs. Raises ParseError, and ValueError for a cell with blanks in it.
    """
    return text if any(each.point == row.point for each in parse(text)) else append(text, row)


def with_devices(text: str, devices: Mapping[str, str | None]) -> str:
    """`text` with the devices of its rows replaced as in `devices`; None makes it a comment."""
    for placed in reversed(_placed(text)):
        if placed.row.device not in devices:
            continue
        new, cell = devices[placed.row.device], placed.cells[0]
        text = text[: cell.start()] + ("#" + cell[0] if new is None else new) + text[cell.end() :]
    return text


def append(text: str, row: Row) -> str:
    """`text` with one more row, whatever is mounted where. See `add`."""
    cells = (row.device, row.point, row.type, ",".join(row.options), str(row.dump), str(row.check))
    if not all(_PATHLIKE.fullmatch(cell) for cell in cells):
        raise ValueError("a cell of fstab has no blanks and is not empty")
    joint = "" if not text or text.endswith("\n") else "\n"
    return text + joint + "\t".join(cells) + "\n"


def encrypt_swap(text: str) -> str:
    """`text` with `.eli` behind each swap device: encrypted by a key that each boot makes anew.

    Swap on a file (md) or a volume stays as it is, and so does what is encrypted. fstab(5), geli(8)
    """
    return _replace(text, _encrypted, 0)


def _encrypted(row: Row) -> str | None:
    plain = (
        row.swap and row.device.startswith("/dev/") and not row.device.endswith((".eli", ".bde"))
    )
    if not plain or row.device.startswith(("/dev/md", "/dev/zvol/")):
        return None
    return f"{row.device}.eli"


def root_noatime(text: str) -> str:
    """`text` with `noatime` on the row of the root; unchanged where it has none (ZFS)."""

    def wanted(row: Row) -> str | None:
        if row.point != "/" or "noatime" in row.options:
            return None
        return ",".join((*(option for option in row.options if option != "atime"), "noatime"))

    return _replace(text, wanted, 3)


def root_read_only(text: str) -> str:
    """`text` with `ro` on the row of the root; unchanged where it has none (ZFS)."""

    def wanted(row: Row) -> str | None:
        if row.point != "/" or "ro" in row.options:
            return None
        return ",".join(("ro", *(option for option in row.options if option != "rw")))

    return _replace(text, wanted, 3)


def add_tmpfs(text: str, point: str, mode: str, mebibytes: int) -> str:
    """`text` with a memory file system of at most `mebibytes` MiB at `point`. tmpfs(5).

    `mode` is octal (`1777`). Unchanged where a row mounts something there already.
    """
    if not re.fullmatch(r"[0-7]{3,4}", mode) or mebibytes < 1:
        raise ValueError("a mode is octal, and a size at least one mebibyte")
    options = ("rw", "nosuid", f"mode={mode}", f"size={mebibytes}m")
    return add(text, Row("tmpfs", point, "tmpfs", options))
