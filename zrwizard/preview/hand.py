"""What a preview's worker does on the machine, over a `Session`; every command is heard of."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import TypeVar

from zrwizard.console.errors import Refused
from zrwizard.flows import preview as plans
from zrwizard.freebsd.errors import ParseError
from zrwizard.plan import Plan, Problem
from zrwizard.preview import content, fetch, reach
from zrwizard.preview import inventory as inventories
from zrwizard.preview.arguments import Form, Wanted
from zrwizard.preview.content import DirectorySums, Versions
from zrwizard.preview.desk import Compare, Fetch, Inspect, OfferCopy, OfferMount, Sum
from zrwizard.preview.engine import Engine
from zrwizard.preview.events import Pair, Told
from zrwizard.preview.inventory import Inventory
from zrwizard.preview.one import unmounted
from zrwizard.preview.session import Session
from zrwizard.preview.verdict import settled, settling
from zrwizard.run.events import Answered, Event, Exit, Typed
from zrwizard.shell.api import Result
from zrwizard.shell.readonly import ReadOnly

T = TypeVar("T")
SHOWN = 4000
"""Characters of an answer that the screens' traffic gets at most."""


class Heard(ReadOnly):
    """A read-only shell whose commands and answers are told to `hear`, cut to a readable size."""

    __slots__ = ("_hear", "_shell")

    def __init__(self, shell: ReadOnly, hear: Callable[[Event], None]) -> None:
        self._shell = shell
        self._hear = hear

    @property
    def allows_temporary_snapshot(self) -> bool:
        """See `ReadOnly`."""
        return self._shell.allows_temporary_snapshot

    def text(self, argv: Sequence[str]) -> str:
        """See `ReadOnly`."""
        return self._shell.text(argv)

    def run(self, argv: Sequence[str], *, timeout: float = 60.0) -> Result:
        """See `ReadOnly`."""
        self._typed(argv)
        result = self._shell.run(argv, timeout=timeout)
        self._answered(result)
        return result

    def stream(
        self,
        argv: Sequence[str],
        sink: Callable[[bytes], None],
        *,
        timeout: float = 3600.0,
        stop: threading.Event | None = None,
    ) -> Result:
        """See `ReadOnly`; of the output only its size is told."""
        passed = 0

        def counting(data: bytes) -> None:
            nonlocal passed
            passed += len(data)
            sink(data)

        self._typed(argv)
        result = self._shell.stream(argv, counting, timeout=timeout, stop=stop)
        self._answered(result, f"({passed} bytes)")
        return result

    def _typed(self, argv: Sequence[str]) -> None:
        self._hear(Typed("", "look", _legible(self.text(argv))))

    def _answered(self, result: Result, instead: str = "") -> None:
        shown = instead or result.out[:SHOWN].decode("utf-8", "replace")
        said = "\n".join(part for part in (shown.strip(), result.errors.strip()[:SHOWN]) if part)
        self._hear(Answered("", "look", result.status, said, result.seconds))


class SessionHand:
    """The `Hand` of a session. Used by one thread."""

    def __init__(self, session: Session, hear: Callable[[Event], None]) -> None:
        self._session = session
        self._hear = hear
        self._inventory: Inventory | None = None

    def _shell(self, *, temporary: bool = False) -> Heard:
        return Heard(self._session.read_only(allow_temporary_snapshot=temporary), self._hear)

    def look(self, stop: threading.Event) -> Inventory:
        """See `Hand`."""
        engine = Engine(self._shell(), _untold, stop)
        self._inventory = _sentences(lambda: engine.look(None))
        return self._inventory

    def compare(self, wanted: Compare, tell: Callable[[Told], None], stop: threading.Event) -> None:
        """See `Hand`."""
        inventory = self._inventory or self.look(stop)
        found = _sentences(
            lambda: inventories.pairs(
                inventory, wanted.root, wanted.older, wanted.newer, recursive=wanted.recursive
            )
        )
        heard = settling(settled(inventory, found, wanted.newer), tell)
        # The screens ask before they ask for what is there now.
        engine = Engine(self._shell(temporary=wanted.newer is None), heard, stop)
        _sentences(
            lambda: engine.compare(
                inventory,
                wanted.root,
                wanted.older,
                wanted.newer,
                recursive=wanted.recursive,
                limit=wanted.limit,
                sizes=wanted.sizes,
                estimates=wanted.estimates,
            )
        )

    def inspect(self, wanted: Inspect, stop: threading.Event) -> Versions:
        """See `Hand`."""
        return _sentences(
            lambda: content.versions(
                self._shell(), wanted.pair, wanted.path, wanted.new_path, stop=stop
            )
        )

    def sums(self, wanted: Sum, stop: threading.Event) -> DirectorySums:
        """See `Hand`."""
        return _sentences(
            lambda: content.sums(
                self._shell(), wanted.pair, wanted.path, wanted.new_path, stop=stop
            )
        )

    def fetch(self, wanted: Fetch, done: Callable[[int, int], None], stop: threading.Event) -> str:
        """See `Hand`."""
        source = self._source(wanted.pair, wanted.path)
        got = fetch.fetch(self._shell(), source, wanted.to, done, stop=stop)
        return f"{got.path}: {got.size} bytes, SHA-256 {got.sha256}"

    def copy_plan(self, wanted: OfferCopy) -> Plan:
        """See `Hand`."""
        pair = wanted.pair
        tag = (pair.older or "").partition("@")[2]
        plan = plans.copy_plan(
            self._session.token, pair.dataset, self._source(pair, wanted.path), wanted.path, tag
        )
        if isinstance(plan, Problem):
            raise Refused(plan.what, plan.now)
        return plan

    def _source(self, pair: Pair, path: bytes) -> bytes:
        """Return where the older version of `path` is read. Raises `Refused`."""
        owner = reach.crosses(pair)
        mounts = self._inventory.mounts if self._inventory is not None else {}
        found = reach.older_path(pair, path, mounts.get(owner) if owner else None)
        if found is None:
            raise Refused(
                "The older version cannot be reached: its dataset is not mounted.",
                "Mount it for the preview first: m on the page of the changes.",
            )
        return found

    def mount_plan(self, wanted: OfferMount) -> Plan:
        """See `Hand`."""
        compare = wanted.compare
        if self._inventory is None:
            raise Refused("Nothing was looked at yet.", "Look again first.")
        asked = Wanted(
            root=compare.root,
            older=compare.older,
            newer=compare.newer,
            recursive=compare.recursive,
            form=Form.LINES,
            limit=None,
            sizes=0,
            estimates=False,
            agree_mount=False,
            agree_temporary=False,
        )
        lacking = unmounted(self._inventory, asked, compare.newer)
        if not lacking:
            raise Refused(
                "There is nothing to mount: whatever can be compared is mounted already.",
                "i says of each dataset why it was not compared.",
            )
        return self._session.mount_plan(lacking)

    def carry(self, plan: Plan, stop: threading.Event) -> tuple[bool, str]:
        """See `Hand`."""
        outcome = self._session.carry(plan, stop)
        return outcome.exit is Exit.DONE, f"{outcome.what} {outcome.now}".strip()


def _sentences(work: Callable[[], T]) -> T:
    """Do `work`; what a tool said that cannot be read becomes a `Refused` with a sentence."""
    try:
        return work()
    except ParseError as error:
        raise Refused(str(error), "Please report it with the traffic (t) that led to it.") from None
    except LookupError as error:
        raise Refused(_sentence(error), "Look again (r), or choose something else.") from None


def _sentence(error: LookupError) -> str:
    # KeyError's own text has quotes around it.
    return str(error.args[0]) if error.args else "It is not there."


def _untold(_told: Told) -> None:
    return None


def _legible(text: str) -> str:
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
