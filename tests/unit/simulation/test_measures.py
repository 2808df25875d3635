"""Figures of a run: what they count, and a law that notices one lost message."""

import pytest
from msgspec.structs import replace

from reasond.simulation import scenario as scenarios
from reasond.simulation.measures import quantile, turns
from reasond.simulation.run import Job, simulate

pytestmark = pytest.mark.unit


def test_the_law_of_conservation_notices_one_lost_message():
    found = simulate(Job(scenarios.find("calm"), "rules", 1, 300)).figures

    assert found.conserved
    assert not replace(found, processed=found.processed - 1).conserved
    assert not replace(found, doubles=-1, processed=found.processed - 1).conserved


@pytest.mark.parametrize(
    ("course", "expected"), [([1, 2, 3], 0), ([1, 2, 1, 1, 2], 2), ([1, 1, 1], 0), ([3, 1, 2, 0], 2)]
)
def test_turns_are_counted_where_a_rate_changes_its_direction(course, expected):
    assert turns(list(enumerate(course))) == expected


@pytest.mark.parametrize(("part", "expected"), [(0.0, 1.0), (0.5, 2.0), (0.75, 3.0), (0.95, 4.0), (1.0, 4.0)])
def test_quantile_is_the_nearest_rank(part, expected):
    assert quantile([4, 3, 2, 1], part) == expected
    assert quantile([], part) == 0.0
