"""Many servers at once: what a case waits for is mostly time, so the cases of a file overlap.

A case is a function that gets `make` (see `maker`) and the name of a shell. Each is still a test
of its own, with its own result.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.receiver.server import SHELLS, Server

Make = Callable[..., Server]
Case = Callable[[Make, str], None]
AT_ONCE = 8


@contextmanager
def maker(directory: Path) -> Iterator[Make]:
    """Yield what makes servers: the shell's name first, then settings. All are gone afterwards."""
    made: list[Server] = []

    def build(shell: str = "dash", **settings: object) -> Server:
        made.append(Server(directory / f"s{len(made)}", shell, **settings))
        return made[-1]

    try:
        yield build
    finally:
        for server in made:
            server.close()


class Cases:
    """The cases of one file, by their names."""

    def __init__(self) -> None:
        self._cases: dict[str, tuple[Case, str]] = {}
        self._turn = 0

    def both(self, case: Case) -> Case:
        """It runs under every shell."""
        for shell in sorted(SHELLS):
            self.add(case.__name__, case, shell)
        return case

    def one(self, case: Case) -> Case:
        """It runs under one shell; the next one gets the other."""
        self.add(case.__name__, case)
        return case

    def add(self, name: str, case: Case, shell: str = "") -> None:
        if not shell:
            self._turn += 1
            shell = sorted(SHELLS)[self._turn % len(SHELLS)]
        assert f"{name}-{shell}" not in self._cases
        self._cases[f"{name}-{shell}"] = (case, shell)

    @property
    def names(self) -> list[str]:
        return list(self._cases)

    @contextmanager
    def under_way(self, directory: Path, request: pytest.FixtureRequest) -> Iterator[Outcome]:
        """Start those cases that are to be run; yield what waits for one and raises what it did."""
        wanted = {
            item.callspec.params.get("case")
            for item in request.session.items
            if isinstance(item, pytest.Function) and hasattr(item, "callspec")
        }
        with ThreadPoolExecutor(AT_ONCE) as pool:
            futures: dict[str, Future[None]] = {
                name: pool.submit(self._run, name, directory / str(number))
                for number, name in enumerate(self._cases)
                if name in wanted
            }
            try:
                yield lambda name: futures[name].result()
            finally:
                pool.shutdown(cancel_futures=True)

    def _run(self, name: str, directory: Path) -> None:
        case, shell = self._cases[name]
        with maker(directory) as make:
            case(make, shell)


Outcome = Callable[[str], None]
