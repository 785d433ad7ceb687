"""The comparison itself: zfs diff a dataset, sizes and estimates behind it, told as it comes."""

from __future__ import annotations

import threading
from collections.abc import Callable

from zrwizard.preview.events import Ended, Told
from zrwizard.preview.inventory import Inventory
from zrwizard.shell.readonly import ReadOnly


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

        Raises `ConsoleError`, and `Cancelled` where `cancel` is set.
        """
        raise NotImplementedError

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

        Tells `Began`, then for each pair `DatasetBegan`, `Found`…, `DatasetEnded`, `Sized`…,
        `Estimated`, and last the `Ended` that is returned. `limit` is in seconds, over all;
        `sizes` is how many paths may be looked at. Errors of the console end the list of the
        dataset, which is told; they are not raised. Raises `NotReadOnly` where `newer` is None
        and the shell may not have zfs make its temporary snapshot.
        """
        raise NotImplementedError
