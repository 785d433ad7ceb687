"""Counters that disagree are told of, with which and by how much; those that fit are not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zrwizard.run.events import Doubt
from zrwizard.transfer.crosscheck import doubts, sentence

GB = 10**9
RATE = 1e6
SLACK = (8 << 20) + 15 * 10**6


def check(sent: int | None, network: int | None, grown: int | None) -> tuple[Doubt, ...]:
    return doubts(sent=sent, network=network, grown=grown, sent_meanwhile=sent or 0, fastest=RATE)


@pytest.mark.parametrize(
    ("sent", "network", "grown"),
    [
        pytest.param(GB, int(1.06 * GB), GB, id="ssh and TCP on top"),
        pytest.param(GB, int(1.06 * GB), GB // 10, id="the pool compresses"),
        pytest.param(GB, int(1.06 * GB), int(1.25 * GB), id="the pool pads"),
        pytest.param(GB, None, None, id="nothing to compare with"),
        pytest.param(None, GB, GB // 2, id="no count of the stream"),
        pytest.param(0, SLACK - 1, 0, id="on its way"),
    ],
)
def test_what_fits_is_not_told(sent: int | None, network: int | None, grown: int | None) -> None:
    assert check(sent, network, grown) == ()


@pytest.mark.parametrize(
    ("sent", "network", "grown", "found", "words"),
    [
        pytest.param(
            GB,
            2 * GB,
            GB,
            Doubt("network", "stream", 900_000_000 - SLACK),
            "counted X more than the stream",
            id="other traffic",
        ),
        pytest.param(
            GB,
            GB // 2,
            GB,
            Doubt("stream", "network", 500_000_000 - SLACK),
            "missed X of the stream",
            id="another way",
        ),
        pytest.param(
            GB,
            GB,
            3 * GB,
            Doubt("pool", "stream", 1_700_000_000 - SLACK),
            "grew X more than was sent",
            id="another writer",
        ),
    ],
)
def test_what_does_not_fit_is_told(
    sent: int, network: int, grown: int, found: Doubt, words: str
) -> None:
    (doubt,) = check(sent, network, grown)
    assert (doubt.more, doubt.less) == (found.more, found.less)
    assert abs(doubt.excess - found.excess) <= 1
    assert words in sentence(doubt, "X")


counts = st.none() | st.integers(min_value=0, max_value=2**64)


@given(counts, counts, counts)
def test_never_negative_and_never_both_ways(
    sent: int | None, network: int | None, grown: int | None
) -> None:
    found = check(sent, network, grown)
    assert all(doubt.excess > 0 for doubt in found)
    assert len({frozenset((doubt.more, doubt.less)) for doubt in found}) == len(found)
