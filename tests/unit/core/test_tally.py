"""The rate of the last minute."""

import pytest

from reasond.core.effects import Now
from reasond.core.tally import Tally

pytestmark = pytest.mark.unit


def test_per_minute_counts_the_last_minute_only() -> None:
    # Given ten messages a second for two minutes
    tally = Tally()
    for second in range(120):
        tally.count(Now(float(second), 0), 10)
    # When, then: a minute's worth, to within one step
    assert tally.per_minute(Now(120.0, 0)) == pytest.approx(600, rel=0.1)


def test_per_minute_after_a_silent_minute_is_nothing() -> None:
    tally = Tally()
    tally.count(Now(0.0, 0), 5)
    assert tally.per_minute(Now(1.0, 0)) == 5
    assert tally.per_minute(Now(120.0, 0)) == 0
