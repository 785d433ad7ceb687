"""Says in the last line, where the real guests were not run, that they were not and why."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

_GUESTS = Path(__file__).parent / "guest"
_skipped: dict[str, int] = {}


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.skipped and Path(report.fspath).parts[-2:-1] == ("guest",):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else "skipped"
        reason = str(reason).removeprefix("Skipped: ")
        _skipped[reason] = _skipped.get(reason, 0) + 1


@pytest.fixture(autouse=True)
def _end_detached_jobs(request: pytest.FixtureRequest) -> Iterator[None]:
    """A test that kills the wizard leaves its jobs running, as it should; not beyond the test."""
    directory = request.getfixturevalue("tmp_path") if "tmp_path" in request.fixturenames else None
    yield
    for pid in directory.rglob("jobs/*/pid") if directory else ():
        with contextlib.suppress(OSError, ValueError):
            os.killpg(int(pid.read_text()), signal.SIGKILL)


@pytest.hookimpl(trylast=True)
def pytest_unconfigure() -> None:
    for reason, count in _skipped.items():
        print(f"The real OpenZFS guests were NOT tested: {count} tests skipped ({reason})")
