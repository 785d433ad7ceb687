"""Recorded entries of a real FreeBSD 14.0-CURRENT, copied from the transcripts."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

Recorded = Callable[..., str]


@pytest.fixture(scope="session")
def recorded() -> Recorded:
    """recorded(command, nth=0, part="stdout"): what the nth run of that command printed."""
    entries = json.loads((Path(__file__).parent / "recorded.json").read_text("utf-8"))

    def find(command: str, nth: int = 0, part: str = "stdout") -> str:
        found = [entry for entry in entries if entry["cmd"] == command]
        text = found[nth][part]
        assert isinstance(text, str)
        return text

    return find
