"""What every test of the keyring begins with."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.keyring.bench import CA_PASS, ESCROW_PASS, Bench


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """Return an operator's machine with both passphrases and no keys yet."""
    made = Bench(tmp_path / "keys")
    made.give("ca-passphrase", CA_PASS)
    made.give("escrow-passphrase", ESCROW_PASS)
    return made
