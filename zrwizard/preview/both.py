"""What is new on one machine against its copy on another: snapshots by guid, and the next send."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

from zrwizard.console.errors import Cancelled, ConsoleError
from zrwizard.freebsd import zfs_send
from zrwizard.freebsd.errors import ParseError
from zrwizard.freebsd.zfs_inspect import Snapshot
from zrwizard.headless import printable
from zrwizard.preview.arguments import Form, Misused
from zrwizard.preview.calling import Call, tell_plan
from zrwizard.preview.engine import Engine
from zrwizard.preview.inventory import Inventory
from zrwizard.preview.one import refusals
from zrwizard.preview.printing import counted, encoded, end_line, line, say, write
from zrwizard.preview.relate import Relation, relate
from zrwizard.preview.session import Door, Session, opened
from zrwizard.preview.verdict import DIFFERENT, SAME, TROUBLE
from zrwizard.report.words import size
from zrwizard.shell.readonly import ReadOnly

_NAMED = 5
_ESTIMATE_SECONDS = 600.0


@dataclass(frozen=True, slots=True)
class NextSend:
    """What the next send of a dataset would carry: its bytes as zfs guesses them, or why not."""

    bytes: int | None
    trouble: str = ""


def run(call: Call) -> int:
    """Relate both machines of `call`; return the exit code.

    Raises `ConsoleError`, `LookupError`, `ParseError`, and as `printing.write` does.
    """
    root = call.asked.root
    copy = call.args.there_tree or root
    with _both(call) as (here, there):
        mine = _look(call, here, root, "here")
        theirs = _look(call, there, copy, "there")
        troubles = [*mine.problems, *theirs.problems]
        relations = relate(mine, theirs, root, copy)
        shell = here.read_only()
        new = False
        for relation in relations:
            send = next_send(shell, relation) if call.asked.estimates else NextSend(None)
            _check_cancel(call)
            new = new or is_new(relation)
            if send.trouble:
                troubles.append(send.trouble)
            if call.asked.form is Form.JSON:
                write(line(_record(relation, send)))
            else:
                write(encoded("".join(f"{printable(row)}\n" for row in rows(relation, send))))
    for trouble in troubles:
        say(trouble)
    code = TROUBLE if troubles else DIFFERENT if new else SAME
    if call.asked.form is Form.JSON:
        write(end_line(code, " ".join(troubles), "", datasets=len(relations)))
    return code


@contextmanager
def _both(call: Call) -> Iterator[tuple[Session, Session]]:
    """Open both consoles, one after the other; one that is both of them only once."""
    with ExitStack() as stack:
        doors = [call.door(call.args.here, "here"), call.door(call.args.there, "there")]
        first = _open(stack, call, doors[0], "here")
        same = doors[0].url == doors[1].url
        yield first, first if same else _open(stack, call, doors[1], "there")


def _open(stack: ExitStack, call: Call, door: Door, who: str) -> Session:
    try:
        return stack.enter_context(opened(door, tell_plan))
    except Cancelled:
        raise
    except ConsoleError as error:
        error.what = f"--{who} {door.name}: {error.what}"
        raise


def _look(call: Call, session: Session, root: str, who: str) -> Inventory:
    try:
        with refusals():
            return Engine(session.read_only(), lambda _told: None, call.cancel).look(root)
    except Misused as error:
        raise Misused(f"--{who}: {error.what}", error.now) from None


def _check_cancel(call: Call) -> None:
    if call.cancel.is_set():
        raise Cancelled("Stopped by the operator.")


def is_new(relation: Relation) -> bool:
    """Whether the machine here has something that its copy lacks; older snapshots kept there and
    datasets that were destroyed here are nothing new.
    """
    if relation.here is None:
        return False
    return bool(relation.there is None or relation.only_here or relation.next_send)


def next_send(shell: ReadOnly, relation: Relation) -> NextSend:
    """Ask what the next send of a dataset would carry. Raises `ConsoleError`."""
    if relation.next_send is None:
        return NextSend(None)
    result = shell.run(relation.next_send, timeout=_ESTIMATE_SECONDS)
    name = relation.here or relation.there
    if result.status:
        known = zfs_send.explain(result.errors)
        said = known.what if known else " ".join(result.errors.split()) or "it said nothing"
        return NextSend(None, f"The next send of {name} cannot be estimated: {said}")
    try:
        return NextSend(zfs_send.parse_estimate(result.text).total)
    except ParseError as error:
        return NextSend(None, f"The estimate of {name} is not understood: {error}")


# --- how it is told -------------------------------------------------------------------------------


def rows(relation: Relation, send: NextSend) -> list[str]:
    """Return what there is to say of one dataset, in lines for people."""
    names = " = ".join(name for name in (relation.here, relation.there) if name)
    if relation.there is None:
        found = [f"{names}: only here"]
    elif relation.here is None:
        found = [f"{names}: only there"]
    else:
        found = [names if relation.here != relation.there else relation.here]
    if relation.common is not None:
        mine, theirs = relation.common
        found.append(f"  newest common: {mine}" + (f" ({theirs} there)" if mine != theirs else ""))
    elif relation.here and relation.there:
        found.append("  no common snapshot")
    for where, only in (("here", relation.only_here), ("there", relation.only_there)):
        if only:
            tags = [snapshot.tag for snapshot in only]
            first = f"{tags[0]} … " if len(tags) > _NAMED else ""
            shown = ", ".join(tags if len(tags) <= _NAMED else tags[-_NAMED + 1 :])
            found.append(f"  only {where}: {counted(len(tags), 'snapshot')}: {first}{shown}")
    if send.bytes is not None:
        found.append(f"  the next send: about {size(send.bytes)}")
    elif not is_new(relation):
        found.append("  nothing new")
    if relation.why:
        found.append(f"  {relation.why}")
    return found


def _record(relation: Relation, send: NextSend) -> dict[str, Any]:
    return {
        "type": "relation",
        "here": relation.here,
        "there": relation.there,
        "common": relation.common and {"here": relation.common[0], "there": relation.common[1]},
        "only_here": [_snapshot(snapshot) for snapshot in relation.only_here],
        "only_there": [_snapshot(snapshot) for snapshot in relation.only_there],
        "next_send": relation.next_send,
        "bytes": send.bytes,
        "new": is_new(relation),
        "why": relation.why,
    }


def _snapshot(snapshot: Snapshot) -> dict[str, Any]:
    return {"name": snapshot.name, "guid": snapshot.guid, "creation": snapshot.creation}
