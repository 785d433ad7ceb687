"""Cases side by side: a console test waits far more than it works."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor


def at_once(check: Callable[..., None], cases: Iterable[tuple[object, ...]]) -> None:
    """Run `check` for every case; raises what the first one raised, with the case noted."""

    def one(case: tuple[object, ...]) -> None:
        try:
            check(*case)
        except BaseException as error:
            error.add_note(f"case {case}")
            raise

    with ThreadPoolExecutor(8) as pool:
        for done in [pool.submit(one, case) for case in cases]:
            done.result()
