"""Says in the last line, where the real guests were not run, that they were not and why.

Shows what became of the commands of the fuzz, cell by cell; ZRWIZARD_FUZZ_REPORT=PATH keeps
it as JSON.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

_GUESTS = Path(__file__).parent / "guest"
_skipped: dict[str, int] = {}
_fuzzed: list[dict[str, Any]] = []


_LONGEST = ("tests/guest/", "tests/shell/test_noise.py", "tests/shell/test_cuts.py")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes longest begins first, so that no process works alone at the end."""

    def turn(item: pytest.Item) -> int:
        found = (at for at, name in enumerate(_LONGEST) if item.nodeid.startswith(name))
        return next(found, len(_LONGEST))

    items.sort(key=turn)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """What shares machines stays in one process: all guests, and else each file."""
    from xdist.scheduler import LoadScopeScheduling

    class ByMachines(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return _LONGEST[0] if nodeid.startswith(_LONGEST[0]) else nodeid.partition("::")[0]

    return ByMachines(config, log)


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.skipped and Path(report.fspath).parts[-2:-1] == ("guest",):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else "skipped"
        reason = str(reason).removeprefix("Skipped: ")
        _skipped[reason] = _skipped.get(reason, 0) + 1
    if report.when == "call":
        rows = [text for name, text in report.user_properties if name == "fuzz"]
        _fuzzed.extend(json.loads(str(text)) for text in rows)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if not _fuzzed:
        return
    if path := os.environ.get("ZRWIZARD_FUZZ_REPORT"):
        Path(path).write_text(json.dumps(_fuzzed, indent=1) + "\n")
    write = terminalreporter.write_line
    terminalreporter.section("the console under faults: commands that ended in an honest error")
    write(f"{'cell':22}{'commands':>9}{'exact':>7}{'errors':>7}{'share':>8}  kinds")
    for cell in dict.fromkeys(row["cell"] for row in _fuzzed):
        rows = [row for row in _fuzzed if row["cell"] == cell]
        ok, asked = sum(row["ok"] for row in rows), sum(row["commands"] for row in rows)
        errors = sum(sum(row["errors"].values()) for row in rows)
        kinds = sorted({kind for row in rows for kind in row["errors"]})
        write(f"{cell:22}{asked:9}{ok:7}{errors:7}{errors / max(1, asked):8.1%}  {' '.join(kinds)}")
    total, asked = sum(row["ok"] for row in _fuzzed), sum(row["commands"] for row in _fuzzed)
    write(f"{'all':22}{asked:9}{total:7}{asked - total:7}")


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
