"""One machine, unattended: its moments listed, two of them compared, an old version copied out."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable

from zrwizard.console.errors import Cancelled, Refused
from zrwizard.flows import preview as plans
from zrwizard.plan import Problem
from zrwizard.preview import fetch, inventory, reach
from zrwizard.preview.arguments import Form, Misused, Wanted, is_newest
from zrwizard.preview.calling import Call, tell_plan
from zrwizard.preview.engine import Engine
from zrwizard.preview.events import Fate, Pair, Told
from zrwizard.preview.gathering import Gathering
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
from zrwizard.preview.verdict import TROUBLE, Verdict
from zrwizard.report.markdown import size
from zrwizard.run.events import Exit

_EVERY = 0.5
_UNCOMPARED = (Fate.VOLUME, Fate.DESTROYED)


def run(call: Call) -> int:
    """Do what `call` asks of one machine; return the exit code.

    Raises `ConsoleError`, `LookupError`, `ParseError`, `Misused`, and as `printing.write` does.
    """
    with opened(call.door(call.args.console), tell_plan) as session:
        if call.args.list:
            return _list(call, session)
        if call.args.get is not None:
            return _get(call, session)
        return _compare(call, session)


def _nothing(_told: Told) -> None:
    return None


def _look(call: Call, session: Session) -> Inventory:
    inv = Engine(session.read_only(), _nothing, call.cancel).look(call.asked.root)
    for problem in inv.problems:
        say(problem)
    return inv


# --- the moments ----------------------------------------------------------------------------------


def _list(call: Call, session: Session) -> int:
    moments = inventory.timeline(_look(call, session), call.asked.root)
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
            return Gathering(form)


def _compare(call: Call, session: Session) -> int:
    asked = call.asked
    inv = _look(call, session)
    newer = _newer(call, inv)
    inv = _with_mounts(call, session, inv, newer)
    verdict, printer = Verdict(), printer_for(asked.form)
    shell = session.read_only(allow_temporary_snapshot=asked.agree_temporary)
    engine = Engine(shell, _telling(verdict, printer), call.cancel)
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
    if what:
        say(f"{what} {now}".rstrip())
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


def _newer(call: Call, inv: Inventory) -> str | None:
    """Return the newer tag, None for the live files. Raises `Misused` and LookupError."""
    asked = call.asked
    if asked.newer is None:
        return None
    newer = asked.newer
    if is_newest(call.args):
        moments = inventory.timeline(inv, asked.root)
        if not moments:
            raise LookupError(f"{asked.root} has no snapshots, and so has nothing below it.")
        own = inv.snapshots_of(asked.root)
        newer = own[-1].tag if own else moments[-1].tag
    if newer == asked.older:
        raise Misused(
            f"{newer} would be compared with itself"
            + (": it is the newest snapshot." if is_newest(call.args) else "."),
            "Give another --to, or an older --from; --list shows what there is.",
        )
    return newer


def _with_mounts(call: Call, session: Session, inv: Inventory, newer: str | None) -> Inventory:
    """Have what is not mounted mounted, if that was agreed to, else say what that would do."""
    asked = call.asked
    lacking = unmounted(inv, asked, newer)
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
    return _look(call, session)


def unmounted(inv: Inventory, asked: Wanted, newer: str | None) -> list[str]:
    """Return the datasets that could be compared if they were mounted, parents first."""
    found = inventory.pairs(inv, asked.root, asked.older, newer, recursive=asked.recursive)
    return [pair.dataset for pair in found if _could_be_mounted(inv, pair)]


def _could_be_mounted(inv: Inventory, pair: Pair) -> bool:
    dataset = inv.dataset(pair.dataset)
    return (
        pair.mount is None
        and pair.fate not in _UNCOMPARED
        and pair.older is not None
        and pair.newer is not None
        and dataset is not None
        and dataset.kind == "filesystem"
        and dataset.keystatus != "unavailable"
    )


# --- one old version ------------------------------------------------------------------------------


def _get(call: Call, session: Session) -> int:
    inv = _look(call, session)
    root, tag = call.asked.root, call.asked.older
    if call.asked.agree_mount and root not in inv.mounts and inv.dataset(root) is not None:
        outcome = session.carry(session.mount_plan([root]))
        if outcome.exit is not Exit.DONE:
            raise Refused(outcome.what, outcome.now)
        inv = _look(call, session)
    dataset, mount, path = located(inv, root, os.fsencode(call.args.get))
    snapshot = f"{dataset}@{tag}"
    if inv.snapshot(snapshot) is None:
        raise LookupError(f"There is no snapshot {snapshot}.")
    source = reach.in_snapshot(mount, snapshot, path)
    if source is None:
        raise LookupError(f"{plans.shown(path)} is not below {plans.shown(mount)}.")
    if call.args.beside:
        return _beside(session, dataset, source, path, tag)
    return _output(call, session, source)


def located(inv: Inventory, root: str, path: bytes) -> tuple[str, bytes, bytes]:
    """Return the dataset of the tree that holds `path`, its mountpoint, and the whole path.

    A relative path is below the root's mountpoint. Raises LookupError with a sentence.
    """
    if inv.dataset(root) is None:
        raise LookupError(f"There is no dataset {root}.")
    if not path.startswith(b"/"):
        mount = inv.mounts.get(root)
        if mount is None:
            raise LookupError(
                f"{root} is not mounted; with --agree-mount it is for as long as this takes."
            )
        return root, mount, reach.below(mount, path)
    holding = [
        (dataset.name, mount)
        for dataset in inv.below(root)
        if (mount := inv.mounts.get(dataset.name)) is not None
        and reach.relative(mount, path) is not None
    ]
    if not holding:
        raise LookupError(
            f"{plans.shown(path)} lies in no mounted dataset of {root}; a path without a leading "
            "slash is taken below that dataset."
        )
    name, mount = max(holding, key=lambda pair: len(pair[1]))
    return name, mount, path


def _output(call: Call, session: Session, source: bytes) -> int:
    to = call.args.output
    if to.is_dir():
        to /= os.fsdecode(source.rpartition(b"/")[2])
    try:
        got = fetch.fetch(session.read_only(), source, to, _passing(), stop=call.cancel)
    except Refused as error:
        say(f"{error.what} {error.now}".rstrip())
        return TROUBLE
    except OSError as error:
        say(f"{to} cannot be written: {error.strerror}.")
        return TROUBLE
    say(f"{got.path}: {got.size} bytes, SHA-256 {got.sha256}")
    return Exit.DONE


def _passing() -> Callable[[int, int], None]:
    last = time.monotonic()

    def done(passed: int, whole: int) -> None:
        nonlocal last
        if sys.stderr.isatty() and time.monotonic() - last > _EVERY:
            last = time.monotonic()
            say(f"{size(passed)} of {size(whole)}")

    return done


def _beside(session: Session, dataset: str, source: bytes, present: bytes, tag: str) -> int:
    plan = plans.copy_plan(session.token, dataset, source, present, tag)
    if isinstance(plan, Problem):
        say(str(plan))
        return TROUBLE
    outcome = session.carry(plan, threading.Event())
    if outcome.exit is Exit.DONE:
        say(f"{plans.shown(plans.beside(present, tag))} is the version of {tag}, proven by cmp.")
        return Exit.DONE
    say(f"{outcome.what} {outcome.now}".rstrip())
    return TROUBLE if outcome.exit is Exit.FAILED else int(outcome.exit)
