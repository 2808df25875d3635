"""When a publisher decides and publishes, and what becomes of a proposed rate."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reasond.core.pacing import (
    EARLY_PART,
    LATE_S,
    Bounds,
    Intervals,
    dispose,
    first_mark_in_s,
    instance_of,
    next_due,
    next_mark_in_s,
    phase_s,
    published_at,
)
from reasond.decisions import RateDecision

pytestmark = pytest.mark.unit

CURRENT = Intervals(5, 10)
BOUNDS = Bounds(1, 120)
anything = st.one_of(st.none(), st.floats(), st.integers(-10, 200).map(float))


def proposed(action, fictional=None, nonfictional=None):
    return RateDecision(action, "why", fictional, nonfictional)


@pytest.mark.parametrize(
    ("agent_id", "number"),
    [("publisher-1", 1), ("publisher-12", 12), ("publisher", 0)],
    ids=["first", "two digits", "no number"],
)
def test_instance_of_reads_the_number_of_an_identity(agent_id, number):
    assert instance_of(agent_id) == number


def test_phase_of_three_instances_keeps_them_at_least_a_fifth_of_the_period_apart():
    # Given the phases of the specification's three publishers
    phases = sorted(phase_s(n, 30.0) for n in (1, 2, 3))
    # When each is compared with the next, around the period
    gaps = [b - a for a, b in zip(phases, [*phases[1:], phases[0] + 30.0])]
    # Then none is close to another
    assert min(gaps) > 6.0


@given(wall=st.floats(0, 4e9), period=st.floats(2, 3600), instance=st.integers(1, 50))
def test_next_mark_lies_on_the_phase_and_never_within_half_a_period(wall, period, instance):
    phase = phase_s(instance, period)
    left = next_mark_in_s(wall, period, phase)
    assert EARLY_PART * period <= left < (1 + EARLY_PART) * period
    off = (wall + left - phase) % period
    assert min(off, period - off) < 1e-3


def test_first_mark_may_be_near():
    assert first_mark_in_s(100.0, 30.0, 11.0) == pytest.approx(1.0)


def test_next_due_counts_from_the_last_message_with_the_new_interval():
    assert next_due(100.0, 3) == 103.0


@pytest.mark.parametrize(
    ("late", "counts"),
    [(0.0, 50.0), (LATE_S, 50.0), (LATE_S + 0.1, 50.6)],
    ids=["on time", "jitter", "stall"],
)
def test_published_at_keeps_the_pace_but_makes_up_for_no_stall(late, counts):
    assert published_at(50.0, 50.0 + late) == pytest.approx(counts)


@pytest.mark.parametrize(
    ("decision", "action", "intervals", "adjusted"),
    [
        (proposed("slow_down", 8, 12), "slow_down", (8, 12), False),
        (proposed("slow_down", 8), "slow_down", (8, 10), False),
        (proposed("slow_down", 5.2, 10), "slow_down", (6, 10), True),
        (proposed("slow_down", 500, 12), "slow_down", (120, 12), True),
        (proposed("slow_down", 8, 9), "continue", (5, 10), True),
        (proposed("slow_down", 5, 10), "continue", (5, 10), True),
        (proposed("slow_down", 2, 3), "continue", (5, 10), True),
        (proposed("slow_down", math.inf, 11), "slow_down", (5, 11), True),
        (proposed("speed_up", 3, 8), "speed_up", (3, 8), False),
        (proposed("speed_up", 0, 10), "speed_up", (1, 10), True),
        (proposed("speed_up", 3, 11), "continue", (5, 10), True),
        (proposed("continue"), "continue", (5, 10), False),
        (proposed("continue", 5, 10), "continue", (5, 10), False),
        (proposed("continue", 9, 10), "continue", (5, 10), True),
        (proposed("pause", 9, 90), "pause", (5, 10), False),
    ],
    ids=[
        "slower", "absent keeps", "fraction rounds up", "above the bound", "one against", "nothing moves",
        "wrong way", "no number keeps", "faster", "below the bound", "faster, one against", "continue",
        "continue says the same", "continue with other intervals", "pause ignores intervals",
    ],
)  # fmt: skip
def test_dispose_of_a_proposal(decision, action, intervals, adjusted):
    disposed = dispose(decision, CURRENT, BOUNDS)
    assert (disposed.action, disposed.fictional_interval, disposed.nonfictional_interval) == (
        action,
        *intervals,
    )
    assert disposed.adjusted is adjusted
    assert bool(disposed.adjustment) is adjusted


@pytest.mark.parametrize(
    ("decision", "current"),
    [
        (proposed("slow_down", 200, 200), Intervals(120, 120)),
        (proposed("speed_up", 0.5, 0.1), Intervals(1, 1)),
    ],
    ids=["slowest", "fastest"],
)
def test_dispose_at_the_bound_holds_and_says_so(decision, current):
    disposed = dispose(decision, current, BOUNDS)
    assert disposed.action == "continue"
    assert disposed.intervals == current
    assert disposed.adjusted


def test_any_action_but_pause_ends_a_pause():
    assert dispose(proposed("pause"), CURRENT, BOUNDS).paused
    assert not dispose(proposed("continue"), CURRENT, BOUNDS).paused
    assert not dispose(proposed("slow_down", 1, 1), CURRENT, BOUNDS).paused


@given(
    action=st.sampled_from(["continue", "slow_down", "speed_up", "pause"]),
    fictional=anything,
    nonfictional=anything,
    current=st.builds(Intervals, st.integers(1, 150), st.integers(1, 150)),
    least=st.integers(1, 100),
    above=st.integers(0, 100),
)
def test_dispose_keeps_its_invariant_whatever_is_proposed(action, fictional, nonfictional, current, least, above):
    bounds = Bounds(least, least + above)
    disposed = dispose(proposed(action, fictional, nonfictional), current, bounds)
    moves = (
        disposed.fictional_interval - current.fictional,
        disposed.nonfictional_interval - current.nonfictional,
    )
    assert all(isinstance(value, int) for value in moves)
    for moved, value in zip(moves, (disposed.fictional_interval, disposed.nonfictional_interval)):
        assert moved == 0 or bounds.least <= value <= bounds.greatest
    if disposed.action == "slow_down":
        assert action == "slow_down" and min(moves) >= 0 and max(moves) > 0
    elif disposed.action == "speed_up":
        assert action == "speed_up" and max(moves) <= 0 and min(moves) < 0
    else:
        assert moves == (0, 0)
        assert disposed.adjusted or disposed.action == action
