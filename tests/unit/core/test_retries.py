"""Backoff of the handler's retries, and what waits for its time."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reasond.core.effects import Now
from reasond.core.intake import Item
from reasond.core.retries import BACKOFF_CAP_S, Retries, backoff_s
from tests.support.driver_consumer import Bench, message

pytestmark = pytest.mark.unit

BENCH = Bench()


def item(number: int) -> Item:
    return Item(BENCH.delivery(message(number)), Now(0.0, 0))


@pytest.mark.parametrize(
    ("failures", "expected_s"), [(1, 0.5), (2, 1.0), (3, 2.0)], ids=["first", "doubled", "doubled again"]
)
def test_backoff_doubles(failures: int, expected_s: float) -> None:
    assert backoff_s(failures, 0.5) == expected_s


@given(failures=st.integers(1, 10**9), base_s=st.floats(0, 60))
def test_backoff_stays_between_nothing_and_the_cap_and_never_shrinks(failures: int, base_s: float) -> None:
    wait_s = backoff_s(failures, base_s)
    assert 0 <= wait_s <= BACKOFF_CAP_S
    assert wait_s <= backoff_s(failures + 1, base_s)


def test_take_gives_what_is_due_earliest_first_and_keeps_the_rest() -> None:
    # Given
    retries, first, second, third = Retries(), item(1), item(2), item(3)
    for at, one in ((5.0, second), (9.0, third), (1.0, first)):
        retries.add(at, one)
    # When, then
    assert retries.next_due() == 1.0
    assert list(retries.take(5.0)) == [first, second]
    assert len(retries) == 1
    assert list(retries.take()) == [third]
    assert retries.next_due() is None


def test_take_of_equal_times_keeps_the_order_of_adding() -> None:
    retries, items = Retries(), [item(number) for number in range(5)]
    for one in items:
        retries.add(1.0, one)
    assert list(retries.take(1.0)) == items
