"""Batches: bounded in size, age and the TTL of what they hold."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reasond.core.batching import MAX_AGE_S, Batches
from reasond.core.effects import Now
from reasond.core.intake import Item
from tests.support.driver_consumer import Bench, message

pytestmark = pytest.mark.unit

BENCH = Bench()


def now(mono: float = 100.0) -> Now:
    return Now(mono=mono, wall_ns=int(mono * 1e9))


def item(queue: str = "fictional", ttl_s: int = 30) -> Item:
    return Item(BENCH.delivery(message(queue=queue)), now(), ttl_s=ttl_s, stamp_s=now().wall)


def test_add_up_to_the_size_gives_the_whole_batch_in_order() -> None:
    # Given
    batches, items = Batches(), [item(), item(), item()]
    # When
    given_back = [batches.add(now(), one, size=3, age_s=10.0) for one in items]
    # Then
    assert given_back == [None, None, tuple(items)]
    assert len(batches) == 0


def test_add_keeps_queues_apart() -> None:
    batches = Batches()
    assert batches.add(now(), item("fictional"), size=2, age_s=10.0) is None
    assert batches.add(now(), item("non-fictional"), size=2, age_s=10.0) is None
    assert len(batches) == 2


@given(age_s=st.floats(0.1, 100), ttl_s=st.integers(1, 100))
def test_due_is_at_most_age_cap_and_rest_of_ttl(age_s: float, ttl_s: int) -> None:
    # Given, when
    batches = Batches()
    batches.add(now(), item(ttl_s=ttl_s), size=9, age_s=age_s)
    # Then
    assert batches.next_due() == pytest.approx(100.0 + min(age_s, MAX_AGE_S, ttl_s))


def test_add_of_one_with_less_time_moves_the_whole_batch_forward() -> None:
    # Given
    batches = Batches()
    batches.add(now(), item(ttl_s=30), size=9, age_s=10.0)
    # When
    batches.add(now(), item(ttl_s=4), size=9, age_s=10.0)
    # Then
    assert batches.next_due() == pytest.approx(104.0)
    assert [len(unit) for unit in batches.take(now(104.0).mono)] == [2]


def test_add_of_one_past_its_ttl_gives_the_batch_at_once() -> None:
    batches, late = Batches(), item(ttl_s=0)
    assert batches.add(now(), late, size=9, age_s=10.0) == (late,)


def test_take_before_any_is_due_gives_none_and_keeps_it() -> None:
    batches = Batches()
    batches.add(now(), item(), size=9, age_s=10.0)
    assert list(batches.take(109.0)) == []
    assert len(batches) == 1
    assert [len(unit) for unit in batches.take()] == [1]
    assert batches.next_due() is None
