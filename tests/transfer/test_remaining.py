"""The time left is a range that holds the truth for a steady rate, and says what is not known."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zrwizard.transfer.progress import PATIENCE, Meter, Sample
from zrwizard.transfer.remaining import DOUBT, remaining, told

rates = st.lists(st.none() | st.floats(min_value=0, max_value=1e12), max_size=60)


@given(
    rate=st.integers(min_value=10_000, max_value=10**10),
    seconds=st.integers(min_value=10, max_value=300),
    off=st.floats(min_value=-DOUBT, max_value=DOUBT),
)
def test_the_truth_is_in_the_range(rate: int, seconds: int, off: float) -> None:
    """A steady rate; the guess is off by as much as it may be; seen at every look."""
    truth = rate * seconds
    meter = Meter("pull", int(truth / (1 + off)), 1)
    for second in range(0, seconds, 2):
        meter = meter.add(Sample(at=float(second), sent=max(1, rate * second)))
        view = meter.show()
        if second < PATIENCE:
            assert view.eta is None
        elif view.soonest is not None:
            assert view.latest is not None
            assert view.soonest - 1 <= seconds - second <= view.latest + 1
        else:
            assert view.received >= (view.estimate or 0)


@given(
    st.integers(min_value=0, max_value=2**60),
    st.integers(min_value=1, max_value=2**60),
    rates,
    st.floats(min_value=1, max_value=1e12),
)
def test_the_range_is_a_range(received: int, estimate: int, seen: list[float], now: float) -> None:
    left = remaining(received, estimate, seen, now)
    assert (left is None) == (received >= estimate)
    if left is None:
        return
    assert 0 <= left.soonest <= left.likely
    assert math.isfinite(left.likely)
    assert left.latest is None or left.likely <= left.latest


def test_an_uneven_rate_widens_it_and_stalls_leave_no_end() -> None:
    steady = remaining(0, 1000, [100.0] * 20, 100.0)
    uneven = remaining(0, 1000, [50.0, 150.0] * 10, 100.0)
    stalled = remaining(0, 1000, [100.0, None] * 10, 100.0)
    assert steady is not None
    assert uneven is not None
    assert stalled is not None
    assert (steady.soonest, steady.likely) == (9.0, 10.0)
    assert steady.latest == pytest.approx(11.0)
    assert uneven.soonest < steady.soonest
    assert (uneven.latest or 0) > (steady.latest or 0)
    assert stalled.latest is None


@pytest.mark.parametrize(
    ("soonest", "latest", "text"),
    [
        pytest.param(None, None, "time left unknown", id="unknown"),
        pytest.param(70.0, None, "at least 70 s left", id="open"),
        pytest.param(70.0, 90.0, "70 s to 90 s left", id="range"),
        pytest.param(70.0, 70.4, "about 70 s left", id="narrow"),
    ],
)
def test_for_people(soonest: float | None, latest: float | None, text: str) -> None:
    assert told(soonest, latest, lambda seconds: f"{int(seconds)} s") == text
