"""The arguments of `zrwizard preview`, and what they mean together."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from zrwizard.terminal.arguments import STEAL

NOW = "now"
NEWEST = "newest"
OLDEST = "oldest"
SIZES = 1000
_DESCRIPTION = """\
Says what changed between two snapshots of a tree of datasets, or since one, without writing
anything on the target. Exit status 0: no differences, 1: differences, 2 and more: trouble, also
where only a part is known.
"""
_MOMENT = "a snapshot's name (@NAME, DATASET@NAME), or "


class Form(StrEnum):
    """How the answer is printed."""

    LINES = "lines"
    JSON = "json"
    CSV = "csv"
    MARKDOWN = "markdown"


class Misused(Exception):
    """The arguments do not fit together: what is wrong, and what to do now."""

    def __init__(self, what: str, now: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.now = now


@dataclass(frozen=True, slots=True)
class Wanted:
    """One machine's question. `newer` None is what is there now, `older` "" where none was given.

    `limit` is in seconds, None without one; `sizes` is how many paths may be looked at.
    """

    root: str
    older: str
    newer: str | None
    recursive: bool
    form: Form
    limit: float | None
    sizes: int
    estimates: bool
    agree_mount: bool
    agree_temporary: bool


def add_preview(sub: argparse.ArgumentParser) -> None:
    """Add them to the parser of the sub-command."""
    sub.description = _DESCRIPTION
    where = sub.add_argument_group("where")
    where.add_argument("--console", metavar="URL", default="", help="the machine's console")
    where.add_argument("--here", metavar="URL", default="", help="what is new on this machine …")
    where.add_argument("--there", metavar="URL", default="", help="… against its copy on this one")
    where.add_argument("--tree", metavar="DATASET", default="", help="the dataset to look at")
    where.add_argument(
        "--there-tree", metavar="DATASET", default="", help="its copy (default: the same name)"
    )
    where.add_argument(
        "--secret",
        metavar="NAME=SOURCE",
        action="append",
        default=[],
        help="root's password at a login: file:PATH, env:VARIABLE or fd:NUMBER; names: console, "
        "or here and there",
    )
    where.add_argument("--steal", action="store_true", help=STEAL)
    _add_what(sub.add_argument_group("what"))
    _add_agreed(sub.add_argument_group("what is never done without your word"))
    _add_how(sub.add_argument_group("how it is told"))


def _add_what(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--from", dest="older", metavar="A", default="", help=f"{_MOMENT}{OLDEST}")
    group.add_argument(
        "--to",
        dest="newer",
        metavar="B",
        default="",
        help=f"{_MOMENT}{NEWEST} (the default) or {NOW}: the live files",
    )
    group.add_argument(
        "-r", "--recursive", action="store_true", help="every dataset below it as well"
    )
    group.add_argument(
        "--list", action="store_true", help="list the moments that can be compared, and end"
    )
    group.add_argument(
        "--get",
        metavar="PATH",
        help="an old version of this file, as of --from; relative paths are below the tree",
    )
    group.add_argument(
        "--output", metavar="FILE", type=Path, help="where --get puts it on this computer"
    )
    group.add_argument(
        "--limit", type=_seconds, metavar="SECONDS", help="stop then; the list is marked partial"
    )
    group.add_argument(
        "--sizes",
        type=_count,
        default=SIZES,
        metavar="N",
        help=f"look up the sizes of at most N changed files (default {SIZES}; 0: none)",
    )
    group.add_argument(
        "--estimates",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="ask what a send would carry",
    )


def _add_agreed(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--agree-mount",
        action="store_true",
        help="mount what is not mounted, read-only in a private directory, until the end",
    )
    group.add_argument(
        "--agree-temporary-snapshot",
        action="store_true",
        help=f"let zfs make and destroy a snapshot of its own, which --to {NOW} needs",
    )
    group.add_argument(
        "--beside",
        action="store_true",
        help="--get copies to the target itself: beside the file, as NAME.zr-SNAPSHOT",
    )


def _add_how(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--headless", action="store_true", help="no screens, no questions")
    form = group.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="one object a line, as it becomes known")
    form.add_argument("--csv", action="store_true", help="a table, at the end")
    form.add_argument("--markdown", action="store_true", help="a report, at the end")
    group.add_argument(
        "--style",
        choices=("auto", "full", "console"),
        default=argparse.SUPPRESS,
        help=argparse.SUPPRESS,
    )


def form(args: argparse.Namespace) -> Form:
    """Return the form that was asked for."""
    if args.json:
        return Form.JSON
    if args.csv:
        return Form.CSV
    return Form.MARKDOWN if args.markdown else Form.LINES


def wanted(args: argparse.Namespace) -> Wanted:
    """Return the question that `args` ask of one machine. Raises `Misused`."""
    root, older = _moment(args.tree, args.older, "--from")
    root, newer = _moment(root, args.newer or NEWEST, "--to")
    return Wanted(
        root=root,
        older=older,
        newer=None if args.newer == NOW else newer,
        recursive=args.recursive,
        form=form(args),
        limit=args.limit,
        sizes=args.sizes,
        estimates=args.estimates,
        agree_mount=args.agree_mount,
        agree_temporary=args.agree_temporary_snapshot,
    )


def is_newest(args: argparse.Namespace) -> bool:
    """Whether the newest snapshot is meant, and not one of that name (`@newest`)."""
    return args.newer in ("", NEWEST)


def is_oldest(args: argparse.Namespace) -> bool:
    """Whether the oldest snapshot of the tree is meant, and not one of that name (`@oldest`)."""
    return bool(args.older == OLDEST)


def _moment(root: str, given: str, option: str) -> tuple[str, str]:
    """Return the tree and the snapshot's own name, of `A`, `@A` and `DATASET@A`."""
    dataset, at, tag = given.rpartition("@")
    if not at or not dataset:
        return root, tag
    if root and dataset != root:
        raise Misused(
            f"{option} names a snapshot of {dataset}, and the tree is {root}.",
            "Give the snapshot's own name alone, say, --from daily-1.",
        )
    return dataset, tag


def check(args: argparse.Namespace) -> None:
    """Raise `Misused` where the arguments do not fit together."""
    two = bool(args.here or args.there)
    if two:
        _check_two(args)
    elif args.there_tree:
        raise Misused("--there-tree belongs to --here and --there.")
    if (args.get is None) != (args.output is None and not args.beside):
        raise Misused(
            "--get needs a place, and --output and --beside need --get.",
            "Say, --get /etc/rc.conf --from daily-1 --output rc.conf.",
        )
    if args.output is not None and args.beside:
        raise Misused("--output and --beside are two places; one is enough.")
    if args.get is not None and (not args.get or "\0" in args.get):
        raise Misused("--get has no path.", "Say, --get /etc/rc.conf.")
    if args.list and (args.get is not None or args.older or args.newer):
        raise Misused("--list lists the moments; it takes no --from, --to and --get.")
    if (args.csv or args.markdown) and (args.list or args.get is not None):
        raise Misused("--csv and --markdown tell comparisons; --list comes in lines or --json.")


def _check_two(args: argparse.Namespace) -> None:
    if not (args.here and args.there):
        raise Misused("--here and --there belong together.")
    if args.console:
        raise Misused("--console is one machine, --here and --there are two; both cannot be.")
    if not args.tree:
        raise Misused("--tree is missing: which dataset?", "Say, --tree zroot.")
    if args.older or args.newer or args.get is not None or args.list:
        raise Misused("--here and --there compare all snapshots: no --from, --to, --get, --list.")
    if args.csv or args.markdown:
        raise Misused("Two machines are told in lines or as --json.")


def check_one(args: argparse.Namespace, asked: Wanted) -> None:
    """Raise `Misused` where something is missing that nobody can be asked for here."""
    if not args.console:
        raise Misused(
            "--console is missing: where is the machine?",
            "Say, --console telnet://HOST:PORT, or ssh://root@HOST.",
        )
    if not asked.root:
        raise Misused("--tree is missing: which dataset?", "Say, --tree zroot.")
    if not args.list and not asked.older:
        raise Misused(
            "--from is missing: since which snapshot?",
            "--list shows the snapshots there are; --to is the newest one unless you say.",
        )


def _seconds(text: str) -> float:
    value = float(text)
    if not 0 < value < float("inf"):
        raise ValueError(text)
    return value


def _count(text: str) -> int:
    value = int(text)
    if value < 0:
        raise ValueError(text)
    return value
