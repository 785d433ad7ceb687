"""One path: what it was and what it is, side by side, and how to get the old version back."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from rich.cells import cell_len, set_cell_size
from textual.widget import Widget
from textual.widgets import Static

from screens.commands import Command
from screens.preview.base import PreviewPage
from screens.preview.target import Target
from screens.style import printable
from screens.widgets.lines import Lines, Row
from screens.words import size
from zrwizard.flows.preview import shown
from zrwizard.preview.content import DirectorySums, Mark, Side, Sums, Versions, side_by_side
from zrwizard.preview.desk import Fetch

if TYPE_CHECKING:
    from screens.preview.guide import Guide
    from screens.preview.model import Model

GET = Command(
    "get",
    ("g",),
    "get it",
    "Get this version",
    "Copies the older version to a file on this computer, through the console; nothing that is "
    "there is overwritten.",
)
BESIDE = Command(
    "beside",
    ("b",),
    "beside",
    "Put it beside the file on the target",
    "Shows the plan that copies the older version to NAME.zr-SNAPSHOT there, and asks.",
)
CANCEL = Command(
    "cancel",
    ("c",),
    "cancel",
    "Cancel what runs",
    "Ends the command that runs; what came until then stays.",
)
_LABEL = 10
_LOOK = {Mark.CHANGED: "typed", Mark.REMOVED: "danger", Mark.ADDED: "good", Mark.SKIPPED: "dim"}


class DetailPage(PreviewPage):
    """The detail pane of one changed path."""

    CSS_PATH = "preview.tcss"
    CRUMB = "Path"
    TABLE = (
        GET,
        BESIDE,
        Command(
            "again", ("r",), "read again", "Read again", "Looks at both versions of the path anew."
        ),
        CANCEL,
    )
    ABOUT = (
        "Both versions of one path: on the left what it was at A, on the right what it is at B. "
        "Text is shown side by side: < is only on the left, > only on the right, | differs. Of "
        "anything else the size and the checksum are shown, of a directory what lies below it.\n"
        "g copies the older version to this computer. b shows a plan that puts it beside the "
        "file on the machine itself, under a name that is not taken. Neither overwrites anything.\n"
        "A live file of a dataset with atime on is not read: that would change its access time."
    )

    def __init__(self, guide: Guide, target: Target) -> None:
        self.target = target
        self._shown: object = None
        super().__init__(guide)

    def body(self) -> Iterable[Widget]:
        """Yield the path, both sides, the line for a file name."""
        yield Static(printable(self.target.title), classes="title", id="path", markup=False)
        yield Static("", id="running", markup=False)
        yield Lines(id="sides")
        yield from self.prompt()

    def mounted(self) -> None:
        """Show what is known already."""
        self.changed()
        self.refocus()

    def refocus(self) -> None:
        """The keys are the text's."""
        self.query_one("#sides").focus()

    def can(self, name: str) -> bool:
        """An older version must exist to be copied, and something must run to be cancelled."""
        match name:
            case "get" | "beside":
                return self.target.copyable
            case "cancel":
                return self.model.working is not None
            case _:
                return super().can(name)

    def changed(self) -> None:
        """Draw both sides as far as they are known."""
        self.draw_running()
        target = self.target
        known = target.versions, target.sums, target.problem, self.size.width
        if known != self._shown:
            # Text is laid side by side anew only where there is something new to show.
            self._shown = known
            self.query_one("#sides", Lines).show(self._rows(), keep=True)

    def beat(self) -> None:
        """Keep the line on what runs up to date, and fit the text to the terminal."""
        self.changed()

    def draw_running(self) -> None:
        """Say what the worker does, and how far a copy is."""
        self.zr.put_text(self.query_one("#running", Static), printable(self._what_runs()))

    def _what_runs(self) -> str:
        working = self.model.working
        if isinstance(working, Fetch):
            return copying(self.model)
        if working is not None and working is not self.target.request:
            return "The comparison still runs; this path is read after it. c ends the comparison."
        return "Reading both versions." if working is not None else ""

    def _rows(self) -> list[Row]:
        target = self.target
        width = max(40, self.size.width - 2)
        if target.problem:
            return [Row(printable(target.problem), "danger")]
        if target.versions is None:
            return []
        rows = list(version_rows(target.versions, width))
        if target.sums is not None:
            rows += list(sums_rows(target.sums, width))
        return rows

    def do_get(self) -> None:
        """Ask for a file name, then copy."""
        self.guide.ask_get(self, self.target)

    def do_beside(self) -> None:
        """Ask for the plan."""
        self.guide.ask_beside(self.target)

    def do_again(self) -> None:
        """Read it again."""
        self.guide.inspect(self.target)
        self.changed()

    def do_cancel(self) -> None:
        """End what runs."""
        self.guide.cancel()


def copying(model: Model) -> str:
    """Say how far the copy is that runs."""
    passed = model.passed
    if passed is not None and passed.request is model.working:
        return f"Copying: {size(passed.done)} of {size(passed.total)}. c cancels."
    return "Copying. c cancels."


# --- rows -----------------------------------------------------------------------------------------


def version_rows(versions: Versions, width: int) -> Iterator[Row]:
    """Yield both sides of a path in rows of `width` cells: what stat says, then the content."""
    older, newer = versions.older, versions.newer
    yield Row(_beside("", "A (older)", "B (newer)", width), "strong")
    for label, left, right in _facts(older, newer):
        kind = "typed" if left != right and left and right else ""
        yield Row(_beside(label, left, right, width), kind)
    for side, name in ((older, "A"), (newer, "B")):
        if side.reason:
            yield Row(f"{name}: {printable(side.reason)}", "strong", 3)
    for side, name in ((older, "A"), (newer, "B")):
        if side.sha256 is not None:
            yield Row(f"sha256 {name}  {side.sha256}")
    if versions.same:
        yield Row("The contents are equal.", "strong")
    yield from _text_rows(versions, width)


def _facts(older: Side, newer: Side) -> Iterator[tuple[str, str, str]]:
    if not (older.exists and newer.exists):
        there = ["there" if side.exists else "not there" for side in (older, newer)]
        yield "", there[0], there[1]
    if older.stat is not None or newer.stat is not None:
        for label in ("type", "size", "mode", "owner", "links", "changed", "born", "flags"):
            pair = [_fact(side, label) for side in (older, newer)]
            if any(pair):
                yield label, pair[0], pair[1]
    if older.target is not None or newer.target is not None:
        yield "points to", shown(older.target or b""), shown(newer.target or b"")


_TYPES = {
    "F": "file",
    "/": "directory",
    "@": "symbolic link",
    "B": "block device",
    "C": "character device",
    "|": "fifo",
    "=": "socket",
}


def _fact(side: Side, label: str) -> str:
    stat = side.stat
    if stat is None:
        return ""
    match label:
        case "type":
            return _TYPES.get(stat.type, "unknown")
        case "size":
            return f"{stat.size} bytes" if stat.size < 1024 else f"{size(stat.size)} ({stat.size})"
        case "mode":
            return f"{stat.mode:04o}"
        case "owner":
            return f"{stat.user}:{stat.group} ({stat.uid}:{stat.gid})"
        case "links":
            return str(stat.links)
        case "changed":
            return _when(stat.mtime)
        case "born":
            # Where a file system keeps no time of birth stat says -1 (stat(2)).
            return "" if stat.birth < 0 else _when(stat.birth)
        case _:
            return stat.flags


def _when(nanoseconds: int) -> str:
    if nanoseconds < 0:
        return "before 1970"
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(nanoseconds // 1_000_000_000))


def _text_rows(versions: Versions, width: int) -> Iterator[Row]:
    rows = side_by_side(versions)
    if not rows:
        return
    yield Row("")
    half = (width - 3) // 2
    for row in rows:
        if row.mark is Mark.SKIPPED:
            yield Row(f"... {printable(row.older)}", "dim")
            continue
        left = _cut(_line(row.older_number, row.older), half)
        right = _cut(_line(row.newer_number, row.newer), half)
        yield Row(f"{left} {row.mark} {right}".rstrip(), _LOOK.get(row.mark, ""))


def _line(number: int, text: str) -> str:
    return f"{number:4} {text}" if number else ""


def sums_rows(sums: DirectorySums, width: int) -> Iterator[Row]:
    """Yield what lies below a directory on both sides."""
    yield Row("")
    yield Row("What lies in and below it:", "strong")
    for label in ("files", "dirs", "others", "bytes"):
        left, right = (_sum(side, label) for side in (sums.older, sums.newer))
        yield Row(_beside(label, left, right, width), "typed" if left != right else "")
    for side, name in ((sums.older, "A"), (sums.newer, "B")):
        if side.reason:
            yield Row(f"{name}: {printable(side.reason)}", "strong", 3)


def _sum(side: Sums, label: str) -> str:
    count = {
        "files": side.files,
        "dirs": side.directories,
        "others": side.others,
        "bytes": side.bytes,
    }[label]
    if count is None:
        return "not known"
    least = "" if side.whole else "at least "
    return least + (size(count) if label == "bytes" else str(count))


def _beside(label: str, left: str, right: str, width: int) -> str:
    half = (width - _LABEL - 2) // 2
    return f"{label:{_LABEL}}{_cut(left, half)}  {_cut(right, half)}".rstrip()


def _cut(text: str, width: int) -> str:
    """Return one row of exactly `width` cells, with a mark where something is cut off."""
    plain = printable(text).replace("\n", " ")
    if cell_len(plain) > width:
        return set_cell_size(plain, width - 1) + "~"
    return set_cell_size(plain, width)
