"""Load's shapes by their integral's properties, and what its report comes to."""

import signal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reasond.commands import load

RATES = st.floats(0.1, 5000)
DURATIONS = st.floats(1, 3600)
PARTS = st.floats(0, 1)
PATTERNS = st.sampled_from(load.PATTERNS)


@given(PATTERNS, RATES, DURATIONS, st.lists(PARTS, min_size=2, max_size=20))
def test_due_never_falls(pattern, rate, duration_s, parts):
    amounts = [load.due(pattern, rate, duration_s, part * duration_s) for part in sorted(parts)]

    assert amounts == sorted(amounts)


@given(PATTERNS, RATES, DURATIONS)
def test_due_begins_at_nothing_and_ends_at_the_patterns_total(pattern, rate, duration_s):
    total = {"constant": 1.0, "burst": 1.8, "ramp": 0.5, "sine": 0.5}[pattern] * rate * duration_s

    assert load.due(pattern, rate, duration_s, 0.0) == 0
    assert abs(load.due(pattern, rate, duration_s, duration_s) - total) < 1.001


@given(PATTERNS, RATES, DURATIONS, st.floats(-1e6, 0), st.floats(0, 1e6))
def test_due_outside_the_duration_is_that_of_its_ends(pattern, rate, duration_s, before, after):
    assert load.due(pattern, rate, duration_s, before) == 0
    assert load.due(pattern, rate, duration_s, duration_s + after) == load.due(pattern, rate, duration_s, duration_s)


@given(PATTERNS, RATES, DURATIONS, PARTS, PARTS)
def test_due_never_rises_faster_than_the_patterns_peak(pattern, rate, duration_s, one, other):
    start_s, end_s = sorted((one * duration_s, other * duration_s))
    peak = rate * (load.BURST_FACTOR if pattern == "burst" else 1.0)

    risen = load.due(pattern, rate, duration_s, end_s) - load.due(pattern, rate, duration_s, start_s)

    assert risen <= peak * (end_s - start_s) + 1.001


def test_burst_is_five_times_the_rate_in_the_middle_fifth():
    middle = load.due("burst", 10, 100, 60) - load.due("burst", 10, 100, 40)

    assert (load.due("burst", 10, 100, 40), middle) == (400, 1000)


@pytest.mark.parametrize(
    "report, status",
    [
        (load.Report(due=5, published=5, confirmed=5), 0),
        (load.Report(due=5, published=4, confirmed=4), 1),
        (load.Report(due=5, published=5, confirmed=4, unconfirmed=1), 1),
        (load.Report(due=5, published=5, confirmed=4, returned=1), 1),
        (load.Report(due=5, published=5, confirmed=4, nacked=1), 1),
        (load.Report(due=5, published=4, confirmed=4, interrupted=True), load.INTERRUPTED_EXIT),
    ],
    ids=["all", "fell behind", "unconfirmed", "returned", "refused", "interrupted"],
)
def test_exit_code_tells_what_came_of_it(report, status):
    assert report.exit_code == status


def test_first_signal_interrupts_and_the_handlers_come_back():
    before, calls = signal.getsignal(signal.SIGINT), []

    with load._ended_by(lambda: calls.append(1)):
        signal.raise_signal(signal.SIGINT)
        after_one = signal.getsignal(signal.SIGINT)

    assert (calls, after_one, signal.getsignal(signal.SIGINT)) == ([1], before, before)
