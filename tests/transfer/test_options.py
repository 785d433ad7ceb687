"""The options of zfs send: what both pools allow, and what began so goes on so."""

from __future__ import annotations

import itertools

import pytest

from zrwizard.freebsd.zpool_features import Feature
from zrwizard.transfer.options import Before, Features, NotKnown, options

NEW: Features = {
    "large_blocks": Feature.ENABLED,
    "embedded_data": Feature.ACTIVE,
    "lz4_compress": Feature.ACTIVE,
    "zstd_compress": Feature.ENABLED,
}
OLD: Features = {name: NEW[name] for name in NEW if name != "zstd_compress"}


def told(
    sending: Features, receiving: Features, before: Before = Before.NOTHING, encrypts: bool = False
) -> str:
    return " ".join(options(sending, receiving, before=before, encrypts=encrypts))


def off(features: Features, *names: str) -> Features:
    return {name: Feature.DISABLED if name in names else features[name] for name in features}


def active(features: Features, *names: str) -> Features:
    return {name: Feature.ACTIVE if name in names else features[name] for name in features}


@pytest.mark.parametrize(
    ("sending", "receiving", "words"),
    [
        (NEW, NEW, "-L -c -e"),
        (off(NEW, "large_blocks"), NEW, "-c -e"),
        (NEW, off(NEW, "large_blocks"), "-c -e"),
        (NEW, off(NEW, "embedded_data"), "-L -c"),
        (NEW, off(NEW, "lz4_compress"), "-L"),
        (off(NEW, "lz4_compress"), off(NEW, "lz4_compress"), "-L -c -e"),
        (active(NEW, "zstd_compress"), NEW, "-L -c -e"),
        (active(NEW, "zstd_compress"), off(NEW, "zstd_compress"), "-L"),
        (active(NEW, "zstd_compress"), OLD, "-L"),
        (NEW, OLD, "-L -c -e"),
        (NEW, {}, ""),
    ],
    ids=[
        "all",
        "no large blocks there",
        "no large blocks here",
        "no embedded data",
        "no lz4",
        "lz4 unused",
        "zstd",
        "zstd disabled",
        "zstd unknown",
        "zstd unused",
        "nothing",
    ],
)
def test_what_both_allow(sending: Features, receiving: Features, words: str) -> None:
    assert told(sending, receiving) == words


def test_nothing_is_embedded_where_the_receiver_encrypts() -> None:
    assert told(NEW, NEW, encrypts=True) == "-L -c"


@pytest.mark.parametrize("state", list(Feature), ids=str)
def test_a_dataset_goes_on_as_it_began(state: Feature) -> None:
    for sending, receiving in itertools.product((NEW, OLD), repeat=2):
        sends, gets = ({**side, "large_blocks": state} for side in (sending, receiving))
        assert "-L" in told(sends, gets, Before.LARGE)
        assert "-L" not in told(sends, gets, Before.SPLIT)


def test_where_it_is_not_known_the_receiver_would_notice() -> None:
    holds = active(NEW, "large_blocks")
    assert told(holds, holds, Before.UNKNOWN) == "-c -e"
    assert told(holds, NEW, Before.UNKNOWN) == "-c -e"


def test_where_nobody_would_notice_it_is_not_tried() -> None:
    with pytest.raises(NotKnown):
        told(NEW, active(OLD, "large_blocks"), Before.UNKNOWN)
    # Without large blocks in the pool nothing in it can have come with -L.
    assert told(active(NEW, "large_blocks"), OLD, Before.UNKNOWN) == "-c -e"
