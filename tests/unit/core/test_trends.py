"""What a run of queue samples says."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reasond.core import trends
from reasond.core.views import QueueSample
from reasond.topology import EXPIRED, FICTIONAL, MAIN_QUEUES

pytestmark = pytest.mark.unit

S = 1_000_000_000


def run(depths, queue=FICTIONAL, step_s=5, **more):
    return [QueueSample(n * step_s * S, queue, depth, **more) for n, depth in enumerate(depths)]


def test_trend_of_a_steady_rise_is_its_slope_a_minute():
    assert trends.trend_per_minute(run([0, 1, 2, 3])) == pytest.approx(12.0)


@pytest.mark.parametrize("depths", [[], [1], [1, 9], [None, 4, None, 5]], ids=["none", "one", "two", "two known"])
def test_trend_of_fewer_than_three_samples_is_unknown(depths):
    assert trends.trend_per_minute(run(depths)) is None


def test_trend_of_samples_at_one_time_is_unknown():
    assert trends.trend_per_minute(run([1, 2, 3], step_s=0)) is None


@given(st.lists(st.integers(0, 1000), min_size=3, max_size=30), st.integers(1, 60))
def test_trend_points_where_a_monotone_run_goes(depths, step_s):
    rising = sorted(depths)
    trend = trends.trend_per_minute(run(rising, step_s=step_s))
    assert trend is not None
    assert trend >= -1e-6
    assert (trend > 1e-9) == (rising[0] != rising[-1])


@pytest.mark.parametrize(
    ("arguments", "seconds"),
    [
        ((None,), None),
        ((0,), 0.0),
        ((30, 1.0, 4.0), 10.0),
        ((30, 4.0, 1.0), None),
        ((30, 1.0, 1.0), None),
        ((30, None, 4.0, -60.0), 30.0),
        ((30, None, None, 60.0), None),
        ((30,), None),
        ((30, 1.0, 4.0, 99.0), 10.0),
    ],
    ids=[
        "unknown depth", "empty", "by rates", "grows", "level", "by trend", "trend up", "nothing known",
        "rates before trend",
    ],
)  # fmt: skip
def test_drain_time_by_what_is_known(arguments, seconds):
    assert trends.drain_time_s(*arguments) == seconds


def test_facts_take_the_newest_of_each_and_ignore_other_queues():
    # Given samples out of order, the newest without rates
    samples = [
        QueueSample(30 * S, FICTIONAL, 12, consumers=2),
        QueueSample(20 * S, FICTIONAL, 20, publish_rate=1.0, ack_rate=3.0, consumers=3),
        QueueSample(40 * S, "priority", 99),
        QueueSample(50 * S, FICTIONAL, None),
    ]
    # When
    facts = trends.facts(samples, FICTIONAL)
    # Then
    assert (facts.depth, facts.consumers, facts.publish_rate, facts.ack_rate) == (12, 2, 1.0, 3.0)
    assert facts.drain_time_s == pytest.approx(6.0)
    assert facts.trend_per_minute is None


def test_all_facts_of_no_samples_are_unknown_and_not_zero():
    facts = trends.all_facts([])
    assert set(facts) == set(MAIN_QUEUES)
    assert all(fact.depth is None and fact.drain_time_s is None for fact in facts.values())


def test_longest_drain_is_unknown_when_one_queue_does_not_drain():
    drains = [trends.QueueFacts(depth=3, drain_time_s=4.0), trends.QueueFacts(depth=0, drain_time_s=0.0)]
    assert trends.longest_drain_s(drains) == 4.0
    assert trends.longest_drain_s([*drains, trends.QueueFacts(depth=None)]) == 4.0
    assert trends.longest_drain_s([*drains, trends.QueueFacts(depth=5)]) is None
    assert trends.longest_drain_s([trends.QueueFacts(depth=None)]) is None


def test_newest_age_skips_unmeasured_samples_and_is_never_negative():
    samples = [QueueSample(10 * S, FICTIONAL, 1), QueueSample(20 * S, FICTIONAL, None)]
    assert trends.newest_age_s(samples, 25 * S) == 15.0
    assert trends.newest_age_s(samples, 5 * S) == 0.0
    assert trends.newest_age_s(samples[1:], 25 * S) is None


@pytest.mark.parametrize(
    ("depths", "rate"),
    [([4, 4, 4], 0.0), ([0, 3, 6], 36.0), ([5], None), ([9, 2, 4], None)],
    ids=["none expires", "rises", "one sample", "purged"],
)
def test_expired_per_minute_from_the_depth_of_the_queue_of_the_expired(depths, rate):
    assert trends.expired_per_minute(run(depths, EXPIRED)) == rate
