"""Delays between attempts: bounded on both sides whatever chance gives."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reasond.core.backoff import JITTER_PART, delay_s

pytestmark = pytest.mark.unit


class Fixed:
    def __init__(self, value: float) -> None:
        self.value = value

    def random(self) -> float:
        return self.value


def test_delay_without_luck_doubles_to_the_cap():
    delays = [delay_s(attempt, base_s=1.0, cap_s=10.0, rng=Fixed(0.0)) for attempt in range(6)]

    assert delays == [1.0, 2.0, 4.0, 8.0, 10.0, 10.0]


@given(
    attempt=st.integers(0, 10**9),
    base_s=st.floats(0, 100),
    cap_s=st.floats(0, 1000),
    seed=st.integers(),
)
def test_delay_for_any_attempt_stays_between_its_part_and_the_whole(attempt, base_s, cap_s, seed):
    full = delay_s(attempt, base_s=base_s, cap_s=cap_s, rng=Fixed(0.0))

    delay = delay_s(attempt, base_s=base_s, cap_s=cap_s, rng=random.Random(seed))

    assert full * (1 - JITTER_PART) <= delay <= full <= cap_s


def test_delay_of_two_agents_differs():
    first = delay_s(3, base_s=1.0, cap_s=60.0, rng=random.Random(1))
    second = delay_s(3, base_s=1.0, cap_s=60.0, rng=random.Random(2))

    assert first != second


@pytest.mark.parametrize(
    ("attempt", "base_s", "cap_s"),
    [
        pytest.param(-1, 1, 1, id="attempt"),
        pytest.param(0, -1, 1, id="base"),
        pytest.param(0, 1, -1, id="cap"),
    ],
)
def test_delay_for_negative_arguments_is_refused(attempt, base_s, cap_s):
    with pytest.raises(ValueError, match="negative"):
        delay_s(attempt, base_s=base_s, cap_s=cap_s, rng=Fixed(0.5))
