"""Clocks: the Date header's whole seconds and the time of the request itself are no difference."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reasond.adapters.probes import Answer
from reasond.doctor.clock import clock_verdict, difference

DATE, STAMP = "Mon, 23 Nov 2026 20:00:00 GMT", 1795464000.0


def verdict(*wall, date=DATE):
    times = iter(wall)
    headers = {"date": date} if date else {}
    return clock_verdict(lambda: Answer(200, headers, b""), "http://service", lambda: next(times))


@pytest.mark.parametrize(
    "before, after, state",
    [
        (STAMP, STAMP, "ok"),
        (STAMP + 0.9, STAMP + 1.5, "ok"),
        (STAMP - 1.9, STAMP - 1.9, "ok"),
        (STAMP - 2.5, STAMP - 2.4, "warning"),
        (STAMP + 3.5, STAMP + 3.5, "warning"),
        (STAMP - 10, STAMP + 10, "ok"),
    ],
    ids=["equal", "within the second", "little behind", "behind", "ahead", "a slow request"],
)
def test_clock_beyond_two_seconds_is_a_warning(before, after, state):
    assert verdict(before, after).state == state


@pytest.mark.parametrize("date", ["", "yesterday"], ids=["none", "garbage"])
def test_service_that_tells_no_time_is_skipped(date):
    assert verdict(STAMP, STAMP, date=date).state == "skipped"


@given(st.floats(-1e5, 1e5), st.floats(0, 10), st.floats(0, 1))
def test_difference_never_claims_more_than_there_is(offset_s, took_s, part):
    theirs_true = 1e9 + part
    before = theirs_true + offset_s - took_s / 2

    found = difference(before, before + took_s, float(int(theirs_true)))

    assert abs(found) <= abs(offset_s) + 1e-3
    assert abs(found) >= abs(offset_s) - took_s - 1.0 - 1e-3
    assert found == 0 or (found > 0) == (offset_s > 0)
