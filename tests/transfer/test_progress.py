"""The progress core never lies, whatever the counters do."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from zrwizard.run.events import Progress
from zrwizard.transfer.progress import HOLD, Meter, Part, Sample

counters = st.none() | st.integers(min_value=-(2**40), max_value=2**64)
samples = st.lists(
    st.builds(
        Sample,
        at=st.floats(min_value=0, max_value=1e7, allow_nan=False),
        net=counters,
        used=counters,
        sent=counters,
        part=st.none()
        | st.builds(
            Part,
            name=st.sampled_from("ab"),
            number=st.integers(min_value=0, max_value=9),
            received=st.integers(min_value=0, max_value=2**64),
            estimate=st.integers(min_value=0, max_value=2**64),
        ),
        finished=st.integers(min_value=-3, max_value=50),
        current=st.text(max_size=10),
    ),
    max_size=30,
)
meters = st.builds(
    Meter,
    step=st.just("pull"),
    estimate=st.none() | st.integers(min_value=0, max_value=2**60),
    streams=st.integers(min_value=0, max_value=20),
    parts=st.integers(min_value=0, max_value=5),
    before=st.floats(min_value=0, max_value=1e6),
)


def fold(meter: Meter, looks: list[Sample]) -> list[Progress]:
    shown = [meter.show()]
    for look in looks:
        meter = meter.add(look)
        shown.append(meter.show())
    shown.append(meter.end().show())
    return shown


@given(meters, samples)
def test_numbers_are_never_impossible(meter: Meter, looks: list[Sample]) -> None:
    shown = fold(meter, looks)
    for view in shown:
        assert view.fraction is None or 0.0 <= view.fraction <= 1.0
        assert view.received >= 0
        rates = [rate for rate in view.rates if rate is not None]
        for number in (view.rate, view.average, view.idle, view.elapsed, *rates):
            assert math.isfinite(number)
            assert number >= 0
        assert view.eta is None or (math.isfinite(view.eta) and view.eta >= 0)
        assert view.finished >= 0
        assert view.part_received >= 0
        assert not view.parts or 0 <= view.part_number <= view.parts
        assert all(doubt.excess > 0 for doubt in view.doubts)
        if view.eta is not None:
            assert view.soonest is not None
            assert (
                0 <= view.soonest <= view.eta <= (view.latest or math.inf) + 1e-9 or view.eta == 0
            )
        assert not view.streams or view.finished <= view.streams
    assert all(view.fraction is None or view.fraction <= HOLD for view in shown[:-1])
    bytes_shown = [view.received for view in shown]
    assert bytes_shown == sorted(bytes_shown)
    assert shown[-1].fraction == 1.0


@given(meters, st.lists(st.integers(min_value=0, max_value=2**50), min_size=1, max_size=20))
def test_received_never_falls(meter: Meter, totals: list[int]) -> None:
    seen = 0
    for at, total in enumerate(totals):
        meter = meter.add(Sample(at=float(at), net=total))
        assert meter.show().received >= seen
        seen = meter.show().received
    assert seen == max(totals)


def steady(count: int, rate: int, estimate: int | None) -> Meter:
    meter = Meter("pull", estimate, 1)
    for second in range(count):
        meter = meter.add(Sample(at=100.0 + second, net=second * rate))
    return meter


def test_a_steady_stream_has_a_steady_eta() -> None:
    view = steady(21, 1_000_000, 100_000_000).show()
    assert view.fraction == 0.2
    assert view.rate == view.average == 1_000_000
    assert view.eta is not None
    assert abs(view.eta - 80) < 0.01
    assert view.elapsed == 20


def test_more_bytes_than_estimated_hold_below_the_end() -> None:
    meter = steady(21, 1_000_000, 5_000_000)
    assert meter.show().fraction == HOLD
    assert meter.show().eta is None
    assert meter.end().show().fraction == 1.0


def test_without_an_estimate_nothing_is_guessed() -> None:
    for estimate in (None, 0):
        view = steady(21, 1_000_000, estimate).show()
        assert view.fraction is None
        assert view.eta is None


def test_idle_seconds_are_counted_through_keepalives() -> None:
    meter = steady(5, 1_000_000, None)
    for second in range(30):
        meter = meter.add(Sample(at=105.0 + second, net=4_000_000 + 60 * second))
    assert meter.show().idle == 30
    meter = meter.add(Sample(at=135.0, net=5_000_000))
    assert meter.show().idle == 0


def test_the_pools_growth_stands_in_for_a_missing_counter() -> None:
    meter = Meter("pull", 1000_000, 1)
    for second in range(4):
        meter = meter.add(Sample(at=float(second), used=98_304 + second * 100_000))
    assert meter.show().received == 300_000
    assert meter.show().fraction == 0.3


def test_a_counter_that_appears_late_is_no_burst() -> None:
    meter = Meter("pull", None, 1).add(Sample(at=0.0, used=0)).add(Sample(at=1.0, used=0))
    meter = meter.add(Sample(at=2.0, net=50_000_000, used=0))
    assert meter.show().received == 50_000_000
    assert meter.show().rate == 0


def test_a_transfer_found_again_counts_its_earlier_time() -> None:
    meter = Meter("pull", None, 1, before=100.0)
    meter = meter.add(Sample(at=5.0, net=1000_000)).add(Sample(at=6.0, net=1010_000))
    assert meter.show().elapsed == 101
    assert meter.show().average == 10_000


def test_the_streams_own_count_goes_before_the_network_cards() -> None:
    meter = Meter("pull", 10_000_000, 1)
    for second in range(7):
        meter = meter.add(Sample(float(second), net=1_100_000 * second, sent=1_000_000 * second))
    view = meter.show()
    assert (view.counted, view.received, view.fraction) == ("stream", 6_000_000, 0.6)
    assert (view.sent, view.network) == (6_000_000, 6_600_000)
    assert view.doubts == ()
    assert view.rate == 1_000_000


def test_the_rate_now_is_even_though_the_counters_move_once_a_second() -> None:
    meter = Meter("pull", None, 1)
    for look in range(12):
        at = look * 2.3
        meter = meter.add(Sample(at, sent=1_000_000 * int(at)))
        if at >= 7:
            assert 750_000 <= meter.show().rate <= 1_250_000


def test_strangers_bytes_do_not_hide_a_stall_and_it_is_marked() -> None:
    meter = Meter("pull", None, 1)
    for second in range(5):
        meter = meter.add(Sample(float(second), net=10**6 * second, sent=10**6 * second))
    for second in range(5, 20):
        meter = meter.add(Sample(float(second), net=10**6 * second, sent=4_000_000))
    view = meter.show()
    assert view.idle == 15
    assert view.rates.count(None) == 6
    assert view.rates[-6:] == (None,) * 6
    meter = meter.add(Sample(20.0, sent=5_000_000))
    assert meter.show().idle == 0
    assert meter.show().rates[-1] is not None


def test_a_dataset_counts_from_nought_and_never_back() -> None:
    meter = Meter("pull", None, 1, parts=2)
    seen = []
    for at, part in enumerate(
        [Part("a", 1, 50, 90), Part("a", 1, 40, 90), Part("b", 2, 1, 9), None]
    ):
        meter = meter.add(Sample(float(at), part=part))
        view = meter.show()
        seen.append((view.part, view.part_number, view.part_received, view.part_estimate))
    assert seen == [("a", 1, 50, 90), ("a", 1, 50, 90), ("b", 2, 1, 9), ("b", 2, 1, 9)]


def test_traffic_of_others_is_told_with_its_size() -> None:
    meter = Meter("pull", None, 1)
    for second in range(60):
        meter = meter.add(Sample(float(second), net=3 * 10**7 * second, sent=10**6 * second))
    (doubt,) = meter.show().doubts
    assert (doubt.more, doubt.less) == ("network", "stream")
    assert 10**9 < doubt.excess < 3 * 10**7 * 59


def test_another_writer_is_told_with_its_size() -> None:
    meter = Meter("pull", None, 1)
    for second in range(60):
        meter = meter.add(Sample(float(second), used=3 * 10**7 * second, sent=10**6 * second))
    (doubt,) = meter.show().doubts
    assert (doubt.more, doubt.less) == ("pool", "stream")
    assert 10**9 < doubt.excess < 3 * 10**7 * 59


def test_a_first_look_that_took_long_blames_nobody() -> None:
    """The pool was read before the rest came, the stream after it: as a CI run had it."""
    meter = Meter("pull", None, 1)
    looks = [(0, 10**9), (10**9, 10**9 + 1000), (10**9 + 500, 10**9 + 1000)]
    for at, (used, sent) in enumerate(looks):
        meter = meter.add(Sample(float(at), net=sent, used=used, sent=sent))
        assert meter.show().doubts == ()


@given(
    st.lists(
        st.tuples(*[st.integers(min_value=0, max_value=10**9)] * 2), min_size=1, max_size=12
    ),
    st.floats(min_value=0.1, max_value=1.3),
)
def test_a_pool_that_holds_the_stream_is_never_doubted(
    pieces: list[tuple[int, int]], ratio: float
) -> None:
    """However much arrives within a look, between its reading of the pool and of the stream."""
    meter, arrived = Meter("pull", None, 1), 0
    for at, (between, within) in enumerate(pieces):
        used = int(ratio * (arrived + between))
        arrived += between + within
        meter = meter.add(Sample(float(at), used=used, sent=arrived))
        assert meter.show().doubts == ()
