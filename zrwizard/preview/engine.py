"""The comparison itself: zfs diff a dataset, estimates and sizes behind it, told as it comes."""

from __future__ import annotations

import threading
import time
from array import array
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from zrwizard.console.errors import Cancelled, ConsoleError, LineCut, NoAnswer, Refused
from zrwizard.freebsd import zfs_diff
from zrwizard.freebsd.errors import ParseError
from zrwizard.preview import estimates as guesses
from zrwizard.preview import inventory as inventories
from zrwizard.preview import sizes as looking
from zrwizard.preview.asking import Spool, ask
from zrwizard.preview.events import (
    Began,
    Change,
    Coverage,
    DatasetBegan,
    DatasetEnded,
    Ended,
    Fate,
    Found,
    Pair,
    Sized,
    Told,
)
from zrwizard.preview.inventory import Inventory
from zrwizard.preview.reach import crosses
from zrwizard.shell.api import Result
from zrwizard.shell.readonly import NotReadOnly, ReadOnly

_LISTING = 600.0
_EXTRA = 120.0
_ROUNDS = 64
_FOREVER = 30 * 86_400.0
_STAT = 120.0
_ANSWER = 60.0
_TICK = 0.05
_SPACING = 0.1
_BATCH = 2_000
_STOPPED = "It was stopped by the operator."
_BROKEN = "The list was damaged on the console's line."
# What these have to tell is told without zfs diff; that there is no list leaves no gap.
_KNOWN = frozenset({Fate.CREATED, Fate.DESTROYED, Fate.VOLUME})


class Engine:
    """Asks one target through a read-only shell and tells what it hears.

    `tell` is called in the thread that called the engine, never by two at once; what it raises
    stops the command on the target and is raised to the caller. Setting `cancel` ends whatever
    runs within about a second; the shell can be used further, and so can the engine once the
    event is cleared.
    """

    def __init__(
        self, shell: ReadOnly, tell: Callable[[Told], None], cancel: threading.Event
    ) -> None:
        self._shell = shell
        self._tell = tell
        self._cancel = cancel

    def look(self, root: str | None = None) -> Inventory:
        """List datasets, snapshots, mounts and history; below `root`, or everything.

        Raises `ConsoleError`: `Refused` where the target's answer is that there is no such
        dataset, or cannot be read; `Cancelled` where `cancel` is set.
        """
        found = self._parsed(root, inventories.look_commands(root), None)
        for _ in range(_ROUNDS):
            more = inventories.more_commands(found)
            if not more:
                break
            found = self._parsed(root, more, found)
        return found

    def _parsed(
        self, root: str | None, asks: tuple[inventories.Ask, ...], known: Inventory | None
    ) -> Inventory:
        answers: dict[str, Result] = {}
        for one in asks:
            try:
                patience = _LISTING if one.needed else _EXTRA
                answers[one.name] = ask(self._shell, one.argv, timeout=patience, stop=self._cancel)
            except Cancelled:
                raise
            except ConsoleError as failure:
                if one.needed:
                    raise
                # Told as a command's own complaint would be, so that the reason is not lost.
                answers[one.name] = Result(-1, b"", str(failure).encode(), 0.0)
        try:
            return inventories.parse(root, answers, known=known)
        except LookupError as error:
            raise _refused(error) from None
        except ParseError as error:
            raise Refused(
                f"What the target lists cannot be read: {error}",
                "Look again; report it if it stays.",
            ) from None

    def compare(
        self,
        inv: Inventory,
        root: str,
        older: str,
        newer: str | None,
        *,
        recursive: bool = True,
        limit: float | None = None,
        sizes: int = 20_000,
        estimates: bool = True,
    ) -> Ended:
        """Compare the tree below `root` between the tags `older` and `newer`; None is now.

        Tells `Began`; for each pair `DatasetBegan`, `Found`…, `DatasetEnded`, `Estimated`; when
        all have ended, `Sized`…; and last the `Ended` that is returned. `limit` is in seconds,
        over all; `sizes` is how many paths may be looked at. What was written to a volume is told
        without `estimates` too, as there is nothing else to tell.

        Errors of the console end the list of a dataset, which is told; they are not raised.
        Raises `NotReadOnly` where `newer` is None and the shell may not have zfs make its temporary
        snapshot, `Refused` where there is nothing to compare.
        """
        if newer is None and not self._shell.allows_temporary_snapshot:
            raise NotReadOnly(
                "To compare with the live files, zfs diff makes a temporary snapshot and destroys "
                "it again; nobody has agreed to that.",
                "Agree to it, or choose a second snapshot.",
            )
        try:
            found = inventories.pairs(inv, root, older, newer, recursive=recursive)
        except LookupError as error:
            raise _refused(error) from None
        self._tell(Began(root, older, newer, found))
        work = _Comparison(self._shell, self._tell, self._cancel, inv, limit, sizes, estimates)
        return work.all_of(found)


@dataclass(slots=True)
class _Comparison:
    """One comparison on its way."""

    shell: ReadOnly
    tell: Callable[[Told], None]
    cancel: threading.Event
    inv: Inventory
    limit: float | None
    sizes: int
    estimates: bool
    began: float = field(default_factory=time.monotonic)
    changes: int = 0
    gap: str = ""
    lost: str = ""
    unsized: str = ""
    files: list[tuple[Pair, list[Change]]] = field(default_factory=list)

    # -- all of it ------------------------------------------------------------------------------

    def all_of(self, pairs: tuple[Pair, ...]) -> Ended:
        for pair in pairs:
            self._one(pair)
        self._sizes()
        seconds = time.monotonic() - self.began
        ended = Ended(self.changes, bool(self.gap), self.gap or self.unsized, seconds)
        self.tell(ended)
        return ended

    def _over(self) -> str:
        """Why nothing more is begun, "" where it goes on."""
        if self.cancel.is_set():
            return _STOPPED
        if self.limit is not None and time.monotonic() - self.began >= self.limit:
            return f"The time limit of {self.limit:.0f} s was over."
        return self.lost

    def _left(self) -> float:
        if self.limit is None:
            return _FOREVER
        return max(1.0, self.limit - (time.monotonic() - self.began))

    def _one(self, pair: Pair) -> None:
        over = self._over()
        if not pair.comparable:
            self._ended(pair, Coverage.NONE, 0, pair.why or str(pair.fate))
        elif over:
            self._ended(pair, Coverage.NONE, 0, f"{over} This dataset had not had its turn.")
        else:
            self._diff(pair)
        if (self.estimates or pair.fate is Fate.VOLUME) and not self._over():
            self._estimate(pair)

    def _ended(self, pair: Pair, coverage: Coverage, count: int, reason: str) -> None:
        self.changes += count
        if coverage is not Coverage.WHOLE and pair.fate not in _KNOWN and not self.gap:
            self.gap = f"{pair.dataset}: {reason}"
        self.tell(DatasetEnded(pair, coverage, count, reason))

    # -- zfs diff -------------------------------------------------------------------------------

    def _diff(self, pair: Pair) -> None:
        assert pair.older is not None  # noqa: S101 - it is comparable
        assert pair.newer is not None  # noqa: S101 - likewise
        argv = zfs_diff.diff(pair.older, pair.newer)
        self.tell(DatasetBegan(pair, self.shell.text(argv)))
        batch = _Batch(pair, self.tell, self._keep(pair))
        reader = zfs_diff.Reader(pair.mount, lenient=True)
        with Spool(self.shell, argv, timeout=self._left() + _LISTING) as spool:
            try:
                stopped = self._follow(spool, reader, batch)
            finally:
                spool.halt()
            reason = stopped or self._outcome(spool, reader)
        if not stopped and (reader.damaged or reason == _BROKEN):
            reason = self._exactly(argv, pair, batch)
        batch.flush()
        if stopped and not self._over():
            self._probe()
        if not reason:
            self._ended(pair, Coverage.WHOLE, batch.count, "")
            return
        coverage = Coverage.PARTIAL if batch.count else Coverage.NONE
        self._ended(pair, coverage, batch.count, reason)

    def _keep(self, pair: Pair) -> Callable[[list[Change]], None]:
        """What remembers the files whose sizes are to be looked at, as long as there is room."""
        kept: list[Change] = []
        self.files.append((pair, kept))

        def keep(changes: list[Change]) -> None:
            if self.sizes > 0:
                some = list(looking.wanted(changes))[: self.sizes]
                self.sizes -= len(some)
                kept.extend(some)

        return keep

    def _follow(self, spool: Spool, reader: zfs_diff.Reader, batch: _Batch) -> str:
        """Take and tell what comes; return why it was stopped, "" where it came to its end."""
        while (piece := spool.take(_TICK)) is not None:
            if piece:
                batch.add(reader.feed(piece))
            batch.tick()
            over = self._over()
            if over:
                return over
        return ""

    def _outcome(self, spool: Spool, reader: zfs_diff.Reader) -> str:
        """Why the list is not whole, after its end."""
        try:
            result = spool.result()
        except Cancelled:
            return _STOPPED
        except (NoAnswer, LineCut):
            self._probe()
            return self.lost or _BROKEN
        except ConsoleError as error:
            self._probe()
            return error.what
        if result.status:
            return _complaint(result)
        reader.close()
        return ""

    def _exactly(self, argv: tuple[str, ...], pair: Pair, batch: _Batch) -> str:
        """Ask again in checked blocks, tell what was lost on the line; return what is not right.

        The console's own messages, and bytes lost, damage what streams; a command's output that
        is kept on the target and fetched in blocks is exact, but must fit into its memory disk.
        """
        try:
            result = self.shell.run(argv, timeout=self._left() + _LISTING)
            if result.status:
                return _complaint(result)
            reader = zfs_diff.Reader(pair.mount)
            found = reader.feed(result.out)
            reader.close()
        except ConsoleError as error:
            self._probe()
            return f"{_BROKEN} Asking again failed: {error.what}"
        except ParseError as error:
            return f"The list broke off: {error}."
        wrong = batch.complete(found)
        return f"{_BROKEN} {wrong} of the names are wrong." if wrong else ""

    def _probe(self) -> None:
        """See whether the shell is still there, or there again, after an error of the console."""
        if self.cancel.is_set():
            return
        try:
            self.shell.run(("uname",), timeout=20.0)
        except ConsoleError as error:
            self.lost = error.what

    # -- behind it ------------------------------------------------------------------------------

    def _estimate(self, pair: Pair) -> None:
        try:
            told = guesses.estimate(
                self.shell, self.inv, pair, stop=self.cancel, timeout=min(_ANSWER, self._left())
            )
        except ConsoleError:
            self._probe()
            return
        if told is not None:
            self.tell(told)

    def _sizes(self) -> None:
        for pair, changes in self.files:
            owner = crosses(pair)
            mount = self.inv.mounts.get(owner) if owner else None
            for batch in looking.batches(pair, changes, mount):
                over = self._over()
                if over:
                    self.unsized = f"{over} Not every size was looked at."
                    return
                timeout = min(_STAT, self._left())
                try:
                    found = looking.look(self.shell, batch, stop=self.cancel, timeout=timeout)
                except ConsoleError as error:
                    self._probe()
                    self.unsized = f"{error.what} Not every size was looked at."
                    continue
                self.tell(Sized(pair, found))


class _Batch:
    """Changes on their way to be told: the first at once, then about ten times a second.

    What was told is kept as 8 bytes a change, so that a second list can complete the first.
    """

    def __init__(
        self, pair: Pair, tell: Callable[[Told], None], keep: Callable[[list[Change]], None]
    ) -> None:
        self._pair = pair
        self._tell = tell
        self._keep = keep
        self._waiting: list[Change] = []
        self._next = 0.0
        self._told = array("q")
        self.count = 0

    def complete(self, exact: list[Change]) -> int:
        """Add what of the `exact` list was not there; return how many there were that it lacks."""
        told = Counter(self._told)
        missing = []
        for change in exact:
            if told[key := hash(change)]:
                told[key] -= 1
            else:
                missing.append(change)
        self.add(missing)
        return sum(told.values())

    def add(self, changes: list[Change]) -> None:
        self._waiting += changes
        self._told.extend(map(hash, changes))
        self.count += len(changes)
        self._keep(changes)

    def tick(self) -> None:
        """Tell what waits, if it is time or enough."""
        if len(self._waiting) >= _BATCH or time.monotonic() >= self._next:
            self.flush()

    def flush(self) -> None:
        """Tell what waits."""
        if self._waiting:
            self._tell(Found(self._pair, tuple(self._waiting)))
            self._waiting = []
            self._next = time.monotonic() + _SPACING


def _complaint(result: Result) -> str:
    known = zfs_diff.explain(result.errors)
    if known is not None:
        return f"{known.what} {known.now}".strip()
    said = result.errors.strip().rpartition("\n")[2]
    shown = "".join(char if char.isprintable() else repr(char)[1:-1] for char in said[:300])
    return f"zfs diff ended with status {result.status}: {shown or 'it said nothing'}."


def _refused(error: LookupError) -> Refused:
    return Refused(
        str(error.args[0] if error.args else error), "Look at the list and choose again."
    )
