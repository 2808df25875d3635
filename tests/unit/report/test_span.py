"""A time range as people give it."""

import pytest

from reasond.errors import InputError
from reasond.report.span import Span, span, told

SECOND = 10**9
NOW = 1_800_000_000 * SECOND
HOUR = 3600 * SECOND


@pytest.mark.parametrize(
    ("since", "until", "start", "stop"),
    [
        ("1h", "now", NOW - HOUR, NOW),
        ("24h", "30m", NOW - 24 * HOUR, NOW - HOUR // 2),
        ("7d", "now", NOW - 7 * 24 * HOUR, NOW),
        ("2027-01-15T07:00:00Z", "2027-01-15T07:00:30+00:00", NOW - 3600 * SECOND, NOW - 3570 * SECOND),
        ("2027-01-15T09:00:00+02:00", "now", NOW - HOUR, NOW),
        # What lies ahead holds nothing.
        ("1h", "2090-01-01T00:00:00Z", NOW - HOUR, NOW),
    ],
)
def test_a_range_is_read(since, until, start, stop):
    assert span(since, until, NOW) == Span(start, stop)


@pytest.mark.parametrize(
    ("since", "until", "said"),
    [
        ("yesterday", "now", "--since yesterday: needs"),
        ("1h", "1w", "--until 1w: needs"),
        ("2027-01-15T07:00:00", "now", "needs"),
        ("30m", "1h", "nothing between"),
        ("2090-01-01T00:00:00Z", "now", "nothing between"),
        ("32d", "now", "at most 31 days"),
    ],
)
def test_what_is_no_range_is_refused(since, until, said):
    with pytest.raises(InputError, match=said):
        span(since, until, NOW)


def test_pieces_cover_the_range_and_meet_at_whole_multiples():
    pieces = list(Span(5 * SECOND, 27 * SECOND).pieces(10))

    assert pieces == [Span(5 * SECOND, 10 * SECOND), Span(10 * SECOND, 20 * SECOND), Span(20 * SECOND, 27 * SECOND)]


def test_a_time_is_told_in_utc():
    assert told(NOW) == "2027-01-15 08:00:00"
