"""Curves thinned, broken at gaps, and read off."""

from hypothesis import given
from hypothesis import strategies as st

from reasond.report.curves import last, points_for, thinned, value_at, with_gaps
from reasond.report.data import Line


def line(values, step=False):
    return Line("a", tuple(range(0, 10 * len(values), 10)), tuple(values), step)


@given(st.lists(st.one_of(st.none(), st.floats(0, 1000)), max_size=300), st.integers(1, 50))
def test_thinning_keeps_the_peak_and_the_bound(values, count):
    found = thinned(line(values), count)

    assert len(found.times_ns) == len(found.values) <= count
    known = [value for value in values if value is not None]
    assert max((v for v in found.values if v is not None), default=None) == max(known, default=None)


def test_of_a_thinned_step_the_last_value_counts():
    assert thinned(line([1.0, 5.0, 2.0, 4.0, 3.0, 0.0], step=True), 3, last).values == (5.0, 4.0, 0.0)


def test_a_curve_is_broken_where_the_next_point_is_far():
    times, values = with_gaps([0, 5, 30, 35], [1.0, 2.0, 3.0, 4.0], 10)

    assert (times, values) == ([0, 5, 6, 30, 35], [1.0, 2.0, None, 3.0, 4.0])


def test_a_height_is_read_off_between_points_and_on_a_step():
    assert value_at(line([0.0, 10.0]), 4) == 4.0
    assert value_at(line([0.0, 10.0], step=True), 4) == 0.0
    assert value_at(line([3.0, 10.0]), -5) == 3.0
    assert value_at(line([3.0, 10.0]), 99) == 10.0
    assert value_at(line([3.0, None]), 5) == 3.0
    assert value_at(line([]), 5) is None


def test_many_charts_get_fewer_points_each_but_enough():
    assert points_for(1) == points_for(2) > points_for(8) > points_for(24) >= 100
