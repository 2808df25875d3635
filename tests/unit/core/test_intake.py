"""The order of what waits, and the window in which duplicates are seen."""

from typing import List

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reasond.core.effects import Now
from reasond.core.intake import Completed, Intake, Item, said
from reasond.topology import FICTIONAL, MAIN_QUEUES, NON_FICTIONAL, PRIORITY
from tests.support.driver_consumer import Bench, message

pytestmark = pytest.mark.unit

BENCH = Bench()
NOW = Now(mono=0.0, wall_ns=0)


def item(queue: str) -> Item:
    return Item(BENCH.delivery(message(queue=queue)), NOW)


def queues_of(intake: Intake) -> List[str]:
    taken = []
    while True:
        one = intake.take()
        if one is None:
            return taken
        taken.append((one if isinstance(one, Item) else one[0]).delivery.queue)


def test_take_with_all_queues_waiting_serves_priority_first_then_genres_in_turn() -> None:
    # Given
    intake = Intake()
    for queue in (FICTIONAL, FICTIONAL, FICTIONAL, NON_FICTIONAL, NON_FICTIONAL, PRIORITY, PRIORITY):
        intake.add(item(queue))
    # When
    served = queues_of(intake)
    # Then
    assert served[:2] == [PRIORITY, PRIORITY]
    assert served[2:6] in ([FICTIONAL, NON_FICTIONAL] * 2, [NON_FICTIONAL, FICTIONAL] * 2)
    assert served[6:] == [FICTIONAL]


def test_take_with_ready_units_serves_them_before_fresh_ones_but_after_fresh_priority() -> None:
    # Given
    intake, ready, fresh, urgent = Intake(), item(FICTIONAL), item(FICTIONAL), item(PRIORITY)
    intake.add(fresh)
    intake.add_ready((ready,))
    intake.add(urgent)
    # When, then
    assert intake.take() is urgent
    assert intake.take() == (ready,)
    assert intake.take() is fresh
    assert intake.take() is None


def test_take_without_fresh_gives_only_what_is_ready() -> None:
    # Given
    intake, ready = Intake(), item(PRIORITY)
    intake.add(item(FICTIONAL))
    intake.add_ready((ready,))
    # When, then
    assert intake.take(fresh=False) == (ready,)
    assert intake.take(fresh=False) is None
    assert len(intake) == intake.units == 1


@given(st.lists(st.tuples(st.sampled_from(MAIN_QUEUES), st.booleans())))
def test_clear_gives_everything_once(waiting: List[tuple]) -> None:  # type: ignore[type-arg]
    # Given
    intake, items = Intake(), []
    for queue, ready in waiting:
        items.append(item(queue))
        intake.add_ready((items[-1],)) if ready else intake.add(items[-1])
    assert len(intake) == intake.units == len(items)
    # When
    cleared = list(intake.clear())
    # Then
    assert sorted(map(id, cleared)) == sorted(map(id, items))
    assert len(intake) == intake.units == 0


def test_completed_beyond_its_window_forgets_the_oldest() -> None:
    # Given
    completed = Completed(2)
    for number in range(3):
        completed.add("id-{}".format(number), b"body")
    # When, then
    assert completed.same("id-0", b"body") is None
    assert completed.same("id-1", b"body") is True
    assert completed.same("id-2", b"other") is False


def test_completed_with_window_zero_remembers_nothing() -> None:
    completed = Completed(0)
    completed.add("id", b"body")
    assert completed.same("id", b"body") is None


def test_said_of_a_message_sent_again_with_another_stamp_and_reasoning_is_the_same() -> None:
    # Given
    first = BENCH.delivery(message(at_ns=1_000_000_000))
    again = BENCH.delivery(message(at_ns=2_000_000_000, reasoning="other"))
    other = BENCH.delivery(message(at_ns=1_000_000_000, context="elsewhere"))
    # When, then
    assert said(first) == said(again)
    assert hash(said(first)) == hash(said(again))
    assert said(first) != said(other)
