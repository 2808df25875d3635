"""The acknowledgement ledger: everything done is acknowledged, nothing else, and never a tag twice."""

from typing import List, Set, Tuple

from hypothesis import given
from hypothesis import strategies as st

from reasond.adapters.rabbitmq import AckLedger


class Broker:
    """RabbitMQ's side of one channel: refuses a tag that it doesn't hold, also as the end of a `multiple`."""

    def __init__(self) -> None:
        self.held: Set[int] = set()

    def apply(self, acks: List[Tuple[int, bool]]) -> None:
        for tag, multiple in acks:
            assert tag in self.held, f"unknown delivery tag {tag}"
            self.held -= {held for held in self.held if held <= tag} if multiple else {tag}


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("deliver"), st.integers(1, 5)),
            st.tuples(st.just("done"), st.integers(1, 30)),
            st.tuples(st.just("flush"), st.just(0)),
        ),
        max_size=60,
    )
)
def test_ledger_any_order_of_events_leaves_exactly_the_undone_held(events: List[Tuple[str, int]]) -> None:
    # Given
    ledger, broker = AckLedger(), Broker()
    last, done = 0, set()
    # When
    for what, number in events:
        if what == "deliver":
            for _ in range(number):
                last += 1
                ledger.delivered(last)
                broker.held.add(last)
        elif what == "done":
            ledger.done(number)
            if number <= last:
                done.add(number)
        else:
            broker.apply(ledger.flush())
    broker.apply(ledger.flush())
    # Then
    assert broker.held == set(range(1, last + 1)) - done
    assert ledger.flush() == []


def test_ledger_contiguous_prefix_is_one_multiple_and_past_a_hole_single() -> None:
    ledger = AckLedger()
    for tag in range(1, 8):
        ledger.delivered(tag)
    for tag in (1, 2, 3, 5, 7):
        ledger.done(tag)
    assert ledger.flush() == [(3, True), (5, False), (7, False)]


def test_ledger_prefix_over_singly_acknowledged_tags_ends_at_a_fresh_one() -> None:
    ledger = AckLedger()
    for tag in (1, 2, 3):
        ledger.delivered(tag)
    ledger.done(3)
    assert ledger.flush() == [(3, False)]
    ledger.done(1)
    ledger.done(2)
    assert ledger.flush() == [(2, True)]


def test_ledger_pikas_own_rejections_between_two_tags_do_no_harm() -> None:
    ledger = AckLedger()
    ledger.delivered(1)
    ledger.delivered(5)
    ledger.done(1)
    ledger.done(5)
    ledger.done(3)
    assert ledger.flush() == [(5, True)]
