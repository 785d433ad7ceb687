"""A server for a test, gone afterwards with all that ran on it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.receiver.cases import Make, Outcome, maker


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    with maker(tmp_path) as build:
        yield build


@pytest.fixture(scope="module")
def outcome(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Outcome]:
    """The results of the file's CASES, which run side by side."""
    cases = request.module.CASES
    with cases.under_way(tmp_path_factory.mktemp("receiver"), request) as found:
        yield found
