"""One machine, unattended: its moments listed, two of them compared, an old version copied out."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

from zrwizard.console.errors import Cancelled, Refused
from zrwizard.preview import inventory, oldfile
from zrwizard.preview.arguments import Form, Misused, Wanted, is_newest, is_oldest
from zrwizard.preview.calling import Call, tell_plan
from zrwizard.preview.engine import Engine
from zrwizard.preview.events import Told
from zrwizard.preview.inventory import Inventory, Moment
from zrwizard.preview.printing import (
    JsonPrinter,
    LinePrinter,
    Printer,
    counted,
    end_line,
    line,
    say,
    write,
)
from zrwizard.preview.session import Session, opened
from zrwizard.preview.verdict import TROUBLE, Verdict, settled, settling
from zrwizard.report.words import size
from zrwizard.run.events import Exit
from zrwizard.shell.readonly import NotReadOnly

_EVERY = 0.5


def run(call: Call) -> int:
    """Do what `call` asks of one machine; return the exit code.

    Raises `ConsoleError`, `LookupError`, `ParseError`, `Misused`, and as `printing.write` does.
    """
    with opened(call.door(call.args.console), tell_plan) as session:
        if call.args.list:
            return _list(call, session)
        if call.args.get is not None:
            return oldfile.run(call, session, look)
        return _compare(call, session)


def _nothing(_told: Told) -> None:
    return None


@contextmanager
def refusals() -> Iterator[None]:
    """What the engine refuses, as there is no such thing there, was asked for in the wrong way."""
    try:
        yield
    except NotReadOnly:
        raise
    except Refused as error:
        raise Misused(error.what, error.now) from None


def look(call: Call, session: Session) -> Inventory:
    """Return what there is on the machine, below the tree. Raises `Misused`, `ConsoleError`."""
    with refusals():
        inv = Engine(session.read_only(), _nothing, call.cancel).look(call.asked.root)
    for problem in inv.problems:
        say(problem)
    return inv


# --- the moments ----------------------------------------------------------------------------------


def _list(call: Call, session: Session) -> int:
    moments = inventory.timeline(look(call, session), call.asked.root)
    if call.asked.form is Form.JSON:
        for moment in moments:
            write(line({"type": "moment", **_facts(moment)}))
        write(end_line(Exit.DONE, "", "", moments=len(moments)))
        return Exit.DONE
    widest = max((len(moment.tag) for moment in moments), default=0)
    for moment in moments:
        when = time.strftime("%Y-%m-%d %H:%M", time.localtime(moment.creation))
        text = (
            f"{when}  {moment.tag:<{widest}}  {moment.count} of {moment.total} datasets, "
            f"{size(moment.written)} written, {size(moment.used)} held by it alone\n"
        )
        write(text.encode())
    if not moments:
        say(f"{call.asked.root} has no snapshots, and so has nothing below it.")
    return Exit.DONE


def _facts(moment: Moment) -> dict[str, str | int | bool]:
    return {
        "tag": moment.tag,
        "creation": moment.creation,
        "datasets": moment.count,
        "of": moment.total,
        "used": moment.used,
        "referenced": moment.referenced,
        "written": moment.written,
        "at_once": moment.at_once,
    }


# --- a comparison ---------------------------------------------------------------------------------


def printer_for(form: Form) -> Printer:
    """Return what prints a comparison in that form."""
    match form:
        case Form.LINES:
            return LinePrinter()
        case Form.JSON:
            return JsonPrinter()
        case Form.CSV | Form.MARKDOWN:
            from zrwizard.preview.gathering import Gathering  # noqa: PLC0415 - the tree is large

            return Gathering(form)


def _compare(call: Call, session: Session) -> int:
    inv = look(call, session)
    older, newer = _moments(call, inv)
    asked = replace(call.asked, older=older, newer=newer)
    inv = _with_mounts(call, session, inv, asked)
    found = inventory.pairs(inv, asked.root, asked.older, newer, recursive=asked.recursive)
    same = settled(inv, found, newer)
    verdict, printer = Verdict(same), printer_for(asked.form)
    shell = session.read_only(allow_temporary_snapshot=asked.agree_temporary)
    engine = Engine(shell, settling(same, _telling(verdict, printer)), call.cancel)
    with refusals():
        engine.compare(
            inv,
            asked.root,
            asked.older,
            newer,
            recursive=asked.recursive,
            limit=asked.limit,
            sizes=asked.sizes,
            estimates=asked.estimates,
        )
    code, what, now = _judged(call, session, verdict)
    printer.end(code, what, now, verdict.changes)
    for text in (verdict.aside, f"{what} {now}".rstrip()):
        if text:
            say(text)
    return code


def _telling(verdict: Verdict, printer: Printer) -> Callable[[Told], None]:
    """Return what passes news on; it says how far it is where standard output goes elsewhere."""
    shows = sys.stderr.isatty() and not sys.stdout.isatty()
    last = time.monotonic()

    def tell(told: Told) -> None:
        nonlocal last
        verdict.hear(told)
        printer.hear(told)
        if shows and time.monotonic() - last > _EVERY:
            last = time.monotonic()
            say(f"{counted(verdict.changes, 'change')} so far")

    return tell


def _judged(call: Call, session: Session, verdict: Verdict) -> tuple[int, str, str]:
    """Return the exit code, and where something is missing, what and what to do now."""
    if call.cancel.is_set():
        return Exit.INTERRUPTED, "Stopped by the operator; this list is partial.", ""
    if not verdict.reason:
        return verdict.code, "", ""
    dead = session.trouble()
    if dead is not None:
        return Exit.UNREACHABLE, f"This list is partial: {dead.what}", dead.now
    return TROUBLE, f"This list is partial: {verdict.reason}", ""


def _moments(call: Call, inv: Inventory) -> tuple[str, str | None]:
    """Return both tags, None for the live files. Raises `Misused` and LookupError."""
    asked = call.asked
    older, newer = asked.older, asked.newer
    if is_oldest(call.args):
        older = _ends(inv, asked.root)[0]
    if newer is not None and is_newest(call.args):
        newer = _ends(inv, asked.root)[1]
    if newer == older:
        raise Misused(
            f"{newer} would be compared with itself"
            + (": it is the newest snapshot." if is_newest(call.args) else "."),
            "Give another --to, or an older --from; --list shows what there is.",
        )
    return older, newer


def _ends(inv: Inventory, root: str) -> tuple[str, str]:
    """Return the oldest and the newest tag of a tree: the root's own where it has any."""
    own = [snapshot.tag for snapshot in inv.snapshots_of(root)]
    tags = own or [moment.tag for moment in inventory.timeline(inv, root)]
    if not tags:
        raise LookupError(f"{root} has no snapshots, and so has nothing below it.")
    return tags[0], tags[-1]


def _with_mounts(call: Call, session: Session, inv: Inventory, asked: Wanted) -> Inventory:
    """Have what is not mounted mounted, if that was agreed to, else say what that would do."""
    lacking = unmounted(inv, asked, asked.newer)
    if not lacking:
        return inv
    if not asked.agree_mount:
        for name in lacking:
            say(
                f"{name} is not mounted, so zfs diff cannot be asked about it. With --agree-mount "
                "it is mounted read-only in a private directory there (mount -t zfs -o ro), and "
                "unmounted again at the end."
            )
        return inv
    outcome = session.carry(session.mount_plan(lacking))
    if outcome.exit is Exit.INTERRUPTED:
        raise Cancelled(outcome.what)
    if outcome.exit is not Exit.DONE:
        say(f"{outcome.what} {outcome.now}".rstrip())
    return look(call, session)


def unmounted(inv: Inventory, asked: Wanted, newer: str | None) -> list[str]:
    """Return the datasets that must be mounted for the comparison and could be, in its order.

    Those to which nothing was written between the two moments need not be looked at.
    """
    found = inventory.pairs(inv, asked.root, asked.older, newer, recursive=asked.recursive)
    same = settled(inv, found, newer)
    names: dict[str, None] = {}
    for pair in found:
        if pair.older is None or pair.newer is None or pair.dataset in same:
            continue
        for name in (pair.newer.partition("@")[0], pair.older.partition("@")[0]):
            if _could_be_mounted(inv, name):
                names[name] = None
    return list(names)


def _could_be_mounted(inv: Inventory, name: str) -> bool:
    dataset = inv.dataset(name)
    return (
        dataset is not None
        and dataset.kind == "filesystem"
        and not dataset.mounted
        and name not in inv.mounts
        and dataset.keystatus != "unavailable"
    )
