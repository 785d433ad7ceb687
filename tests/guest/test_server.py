"""The backup server on the real thing: OpenZFS, OpenSSH, encryption by dm-crypt.

First the receiver and the keys, on a vault that is made without the flow; then the flow itself.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from . import cuts, knox
from .knox import POOL, Knox, Vault
from .machines import Image

pytestmark = pytest.mark.guest


@pytest.fixture(scope="module")
def vault(guest_image: Image, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Vault]:
    """A vault with nothing open, its receiver, and the doors of both keys."""
    with knox.running(guest_image, tmp_path_factory.mktemp("knox")) as box:
        made = knox.make_vault(box)
        try:
            yield made
        finally:
            made.dial.close()


DATA: dict[str, str] = {}
"""The datasets into which data had come before their cut: each must have a resume token."""


@pytest.mark.parametrize(
    ("shell", "name"),
    [("dash", name) for name in cuts.CUTS] + [("ash", name) for name in cuts.ASH],
)
def test_a_cut_leaves_nothing_open(vault: Vault, shell: str, name: str) -> None:
    if vault.shell != shell:
        vault.interpreter(shell)
    dataset = f"{shell}-{name}"
    began = time.monotonic()
    had_data = cuts.CUTS[name](vault, dataset)
    seconds = knox.settled(vault.guest)
    if had_data:
        DATA[dataset] = name
    print(f"{name}: {time.monotonic() - began:.0f} s, closed after {seconds:.1f} s")
