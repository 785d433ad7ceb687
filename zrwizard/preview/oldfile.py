"""An old version of one file, copied out of a snapshot: to this computer, or beside the file."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable

from zrwizard.console.errors import ConsoleError, Refused
from zrwizard.flows import preview as plans
from zrwizard.plan import Problem
from zrwizard.preview import fetch, reach
from zrwizard.preview.arguments import Misused, is_oldest
from zrwizard.preview.calling import Call
from zrwizard.preview.inventory import Inventory
from zrwizard.preview.printing import say
from zrwizard.preview.session import Session
from zrwizard.preview.verdict import TROUBLE
from zrwizard.report.words import size
from zrwizard.run.events import Exit

_EVERY = 0.5


def run(call: Call, session: Session, look: Callable[[Call, Session], Inventory]) -> int:
    """Copy the version of `--from` to where `call` says; return the exit code.

    Raises `ConsoleError`, `LookupError`, `Misused`.
    """
    inv = look(call, session)
    root, tag = call.asked.root, call.asked.older
    if is_oldest(call.args):
        tag = next((snapshot.tag for snapshot in inv.snapshots_of(root)), tag)
    if call.asked.agree_mount and root not in inv.mounts and inv.dataset(root) is not None:
        outcome = session.carry(session.mount_plan([root]))
        if outcome.exit is not Exit.DONE:
            gone = outcome.exit is Exit.UNREACHABLE
            raise (ConsoleError if gone else Misused)(outcome.what, outcome.now)
        inv = look(call, session)
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
        return root, mount, mount.rstrip(b"/") + b"/" + path
    holding = [
        (dataset.name, mount)
        for dataset in inv.below(root)
        if (mount := inv.mounts.get(dataset.name)) is not None
        and dataset.name not in inv.hidden
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
