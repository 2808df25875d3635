"""The definitions of success, for all three kinds of agents."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reasond.core import outcome
from reasond.core.outcome import Outcome, Span, Window
from reasond.core.views import QueueSample
from reasond.topology import EXPIRED, FICTIONAL, NON_FICTIONAL, PRIORITY

pytestmark = pytest.mark.unit

S = 1_000_000_000
TTL_S = 30.0


def window(depth, *, drain=None, expired=None, samples=4, fallback=False):
    return Window(
        {FICTIONAL: float(depth), NON_FICTIONAL: 0.0},
        samples,
        drain_time_s=drain,
        expired_per_minute=expired,
        fallback=fallback,
    )


def judged(action, before, after, published_more=True):
    return outcome.rate_outcome(action, before, after, ttl_s=TTL_S, published_more=published_more)


@pytest.mark.parametrize(
    ("action", "before", "after", "success"),
    [
        ("slow_down", window(40), window(20), True),
        ("slow_down", window(40), window(39), False),
        ("slow_down", window(40), window(60), False),
        ("slow_down", window(40, drain=30), window(39, drain=12), True),
        ("slow_down", window(40, drain=30), window(12), True),
        ("slow_down", window(40, expired=20), window(40, expired=5), True),
        ("slow_down", window(40, expired=5), window(20, expired=20), False),
        ("slow_down", window(20, expired=20), window(40, expired=5), False),
        ("pause", window(40), window(3), True),
        ("continue", window(20), window(21), True),
        ("continue", window(20), window(50), False),
        ("continue", window(4), window(9), True),
        ("continue", window(20, expired=0), window(20, expired=9), False),
        ("speed_up", window(0), window(4), True),
        ("speed_up", window(4), window(30), False),
        ("speed_up", window(30, drain=8), window(34, drain=14), True),
        ("speed_up", window(30, drain=8), window(34, drain=16), False),
        ("speed_up", window(0, expired=0), window(0, expired=6), False),
    ],
    ids=[
        "slower: depth falls",
        "slower: within the dead band",
        "slower: depth rises",
        "slower: drains sooner",
        "slower: drain known once only, depth counts",
        "slower: less expires",
        "slower: depth falls, more expires",
        "slower: less expires, depth rises",
        "pause: depth falls",
        "continue: steady",
        "continue: gets worse",
        "continue: rises under the target",
        "continue: more expires",
        "faster: stays low",
        "faster: over the target",
        "faster: drain time under half of the TTL",
        "faster: drain time over it",
        "faster: messages expire",
    ],
)
def test_rate_outcome_by_how_load_and_expiry_moved(action, before, after, success):
    result = judged(action, before, after)
    assert result.success is success
    assert result.fields()["outcome_score"] == (1.0 if success else 0.0)
    assert "outcome_missing" not in result.fields()


def test_speed_up_without_more_published_is_no_success_and_in_shadow_only_harm_counts():
    assert judged("speed_up", window(0), window(0), published_more=False).success is False
    assert judged("speed_up", window(0), window(0), published_more=None).success is True
    assert judged("speed_up", window(0), window(40), published_more=None).success is False


@pytest.mark.parametrize(
    ("action", "before", "after", "missing"),
    [
        ("slow_down", window(1), window(0), outcome.NOTHING_TO_MOVE),
        ("pause", window(2, expired=1), window(0), outcome.NOTHING_TO_MOVE),
        ("continue", window(1), window(1), outcome.NOTHING_TO_MOVE),
        ("slow_down", window(40, samples=2), window(20), outcome.TOO_FEW_SAMPLES),
        ("slow_down", window(40), window(20, samples=0), outcome.TOO_FEW_SAMPLES),
        ("slow_down", window(40), window(20, samples=1, fallback=True), outcome.FALLBACK_DEPTHS),
    ],
    ids=[
        "nearly empty",
        "hardly expiring",
        "continue on empty",
        "few before",
        "few after",
        "ready counts only",
    ],
)
def test_rate_outcome_is_missing_with_its_reason(action, before, after, missing):
    result = judged(action, before, after)
    assert result.success is None
    assert result.fields()["outcome_missing"] == missing
    assert "outcome_success" not in result.fields()


def test_rate_outcome_carries_the_depths_after_under_the_points_names():
    result = judged("slow_down", window(40), Window({FICTIONAL: 7.5, PRIORITY: 1.0}, 3, drain_time_s=4.5))
    assert result.after == {
        "queue_depth_fictional_after": 8,
        "queue_depth_priority_after": 1,
        "drain_time_s_after": 4.5,
    }


@given(
    st.sampled_from(["slow_down", "pause", "speed_up", "continue"]),
    st.integers(0, 500),
    st.integers(0, 500),
    st.integers(1, 500),
)
def test_rate_outcome_never_gets_better_by_more_load_afterwards(action, before, after, more):
    scores = [judged(action, window(before), window(depth)).success for depth in (after, after + more)]
    if None not in scores:
        assert scores[0] >= scores[1]


def test_windows_end_with_the_decision_and_begin_after_the_old_interval():
    at = 1000 * S
    assert outcome.before_span(at, 15, 5) == Span(980 * S, 1000 * S)
    spans = [
        outcome.after_span(at, old_interval_s=old, settle_s=15, window_s=15, sampling_period_s=5) for old in (10, 60)
    ]
    assert spans == [Span(1015 * S, 1035 * S), Span(1060 * S, 1080 * S)]


def samples(depths, queue, source="management", start=0):
    return [QueueSample((start + 5 * n) * S, queue, depth, source=source) for n, depth in enumerate(depths)]


def test_window_takes_medians_inside_its_span_only():
    # Given three queues, one sample of each outside the span, and one outlier within
    inside = samples([10, 90, 12, 11], FICTIONAL) + samples([0, 0, 0, 0], NON_FICTIONAL)
    inside += samples([3, 3, 3, 3], PRIORITY) + samples([0, 2, 4, 6], EXPIRED)
    outside = [QueueSample(20 * S, queue, 1000) for queue in (FICTIONAL, NON_FICTIONAL, PRIORITY)]
    # When
    found = outcome.window(inside + outside, Span(0, 20 * S))
    # Then
    assert found.depths == {FICTIONAL: 11.5, NON_FICTIONAL: 0.0, PRIORITY: 3.0}
    assert found.samples == 4
    assert found.expired_per_minute == pytest.approx(24.0)
    assert not found.fallback


def test_window_without_one_genres_samples_has_too_few():
    assert outcome.window(samples([1, 1, 1], FICTIONAL), Span(0, 20 * S)).samples == 0


def test_window_leaves_ready_counts_out_and_says_so():
    found = outcome.window(samples([1, 1, 1], FICTIONAL, "declare"), Span(0, 20 * S))
    assert found.depths == {}
    assert found.fallback


@pytest.mark.parametrize(
    ("action", "handled", "anomalous", "result"),
    [
        ("flag_anomaly", None, True, Outcome(True)),
        ("flag_anomaly", None, False, Outcome(False)),
        ("flag_anomaly", True, None, Outcome(missing=outcome.NO_GROUND_TRUTH)),
        ("process", True, None, Outcome(True)),
        ("batch", False, None, Outcome(False)),
        ("process", True, True, Outcome(False)),
        ("process", None, False, Outcome(missing=outcome.NOT_HANDLED)),
    ],
    ids=["right flag", "false flag", "nobody knows", "handled", "handler failed", "missed", "left in hand"],
)
def test_handling_outcome(action, handled, anomalous, result):
    assert outcome.handling_outcome(action, handled=handled, anomalous=anomalous) == result


@pytest.mark.parametrize(
    ("found", "found_next", "result"),
    [
        (["expiring"], ["late"], Outcome(True)),
        (["expiring", "late"], ["late"], Outcome(False)),
        ([], ["late"], Outcome(True)),
        (["late"], None, Outcome(missing=outcome.GAP)),
    ],
    ids=["gone", "persists", "nothing found", "not looked at"],
)
def test_health_outcome(found, found_next, result):
    assert outcome.health_outcome(found, found_next) == result
