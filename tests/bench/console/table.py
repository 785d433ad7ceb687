"""The figures as one aligned table, with the ratios that they are judged by."""

from __future__ import annotations

from statistics import median
from typing import Any

from tests.bench.console.contestants import Outcome

HEAD = (
    "contestant",
    "version",
    "checked",
    "true, ms",
    "over bare, ms",
    "200 true, s",
    "bulk, MB/s",
    "taken",
    "x os.read",
)
_LEFT = 3


def rate(outcome: Outcome) -> float | None:
    """Return bytes a second of the largest output, the median of its repeats; None without."""
    if not outcome.bulk:
        return None
    return float(median(row["bytes"] / row["seconds"] for row in outcome.bulk))


def table(outcomes: list[Outcome], bare: float | None, limit: float | None, full: int) -> str:
    """Return the table. `bare` is in seconds, `limit` in bytes a second, `full` in bytes.

    Ours has a bare round trip of its own, measured turn by turn between its commands.
    A time for 200 commands that was not measured over 200 has a ~, and so has a ratio that comes
    from less than the full output: whoever grows quadratically would do worse on all of it.
    """
    rows = [HEAD, *(_row(outcome, bare, limit, full) for outcome in outcomes)]
    widths = [max(len(row[at]) for row in rows) for at in range(len(HEAD))]
    lines = []
    for outcome, row in zip([None, *outcomes], rows, strict=True):
        cells = [
            cell.ljust(width) if at < _LEFT else cell.rjust(width)
            for at, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        said = f"  ({outcome.said})" if outcome and outcome.said else ""
        lines.append("  ".join(cells) + said)
    lines.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join(line.rstrip() for line in lines)


def _row(outcome: Outcome, bare: float | None, limit: float | None, full: int) -> tuple[str, ...]:
    commands = outcome.figures.get("commands", {})
    bare = commands.get("bare", bare)
    name = (outcome.name, outcome.version, outcome.checks)
    return (*name, *_commands(commands, bare), *_bulk(outcome, limit, full))


def _commands(figures: dict[str, Any], bare: float | None) -> tuple[str, str, str]:
    if not figures:
        return "-", "-", "-"
    if figures["wrong"]:
        return f"{figures['wrong']} of {figures['n']} wrong", "-", "-"
    each = figures["median"]
    over = "-" if bare is None else f"{(each - bare) * 1e3:.2f}"
    about = "" if figures["n"] >= 200 else "~"
    total = figures["total"] * 200 / figures["n"]
    return f"{each * 1e3:.2f}", over, f"{about}{total:.2f}"


def _bulk(outcome: Outcome, limit: float | None, full: int) -> tuple[str, str, str]:
    reached = rate(outcome)
    if reached is None:
        return "-", "-", "-"
    if not all(row["right"] for row in outcome.bulk):
        return "wrong output", "-", "-"
    size = outcome.bulk[0]["bytes"]
    seconds = median(row["seconds"] for row in outcome.bulk)
    about = "" if size > 0.99 * full else "> "
    ratio = "-" if limit is None else f"{about}{limit / reached:.2f}"
    return f"{reached / 1e6:.1f}", f"{size / 1e6:.1f} MB in {seconds:.2f} s", ratio


def aims(ours: Outcome, limit: float | None, raw: float | None) -> list[str]:
    """Return a sentence for each aim: what it is, what was measured, and whether it holds.

    `limit` and `raw` are plain os.read's bytes a second on the tty as it is, and without its
    output processing, which our stream turns off as well.
    """
    said = []
    commands = ours.figures.get("commands")
    if commands:
        over = (commands["median"] - commands["bare"]) * 1e3
        said.append(_aim("a checked command over the bare round trip", over, 3.0, "ms"))
    echo = ours.figures.get("echo")
    if commands and echo:
        over = (echo["median"] - commands["bare"]) * 1e3
        said.append(_aim("the same with a line of output", over, 3.0, "ms"))
    reached = rate(ours)
    if reached and limit:
        said.append(
            _aim(
                "bulk: the time of plain os.read on the tty as it is, times",
                limit / reached,
                1.5,
                "",
            )
        )
    if reached and raw:
        said.append(
            f"the same against a tty without output processing: {raw / reached:.2f} "
            "(no aim; the difference is the sums that both ends make)"
        )
    return said


def _aim(what: str, value: float, most: float, unit: str) -> str:
    verdict = "held" if value < most else "MISSED"
    return f"{what}: {value:.2f} {unit}".rstrip() + f" (aim: under {most:g}): {verdict}"


def files(outcome: Outcome, speed: int) -> list[str]:
    """Return a sentence for upload and download over the slow line, against what it can carry."""
    said = []
    wire, text = speed / 10, speed / 10 * 3 / 4
    for kind in ("upload", "download"):
        row = outcome.figures.get(kind)
        if row is None:
            continue
        each = row["bytes"] / row["seconds"]
        verdict = "" if row["right"] else " WRONG CONTENT"
        said.append(
            f"{kind} of {row['bytes']} bytes at {speed} baud: {row['seconds']:.1f} s, "
            f"{each:.0f} B/s = {each / text:.0%} of base64's limit ({text:.0f} B/s), "
            f"{each / wire:.0%} of the line's; {row['typed']} bytes typed, "
            f"{row['shown']} answered{verdict}"
        )
    return said or [f"files over a slow line: {outcome.said or 'not measured'}"]


def memory(outcome: Outcome) -> str:
    """Return a sentence on the memory while a large output streamed."""
    row = outcome.figures.get("memory")
    if row is None:
        return f"memory: {outcome.said or 'not measured'}"
    grown = (row["most"] - row["tenth"]) / 1e6
    return (
        f"memory while {row['bytes'] / 1e6:.0f} MB streamed in {row['seconds']:.1f} s "
        f"({row['bytes'] / row['seconds'] / 1e6:.0f} MB/s): {row['before'] / 1e6:.1f} MB before, "
        f"{row['tenth'] / 1e6:.1f} MB in the first tenth, at most {row['most'] / 1e6:.1f} MB "
        f"after it, {row['last'] / 1e6:.1f} MB at the end: grown by {grown:.1f} MB"
        + ("" if row["right"] else " WRONG OUTPUT")
    )
