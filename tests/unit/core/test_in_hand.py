"""The journal of what the handler has in hand."""

from typing import Any, List

import pytest

from reasond.core import in_hand
from reasond.core.effects import Handle, Now, Save, Say
from reasond.core.in_hand import ALONE_PATIENCE_S, SAVE_PATIENCE_S, InHand, interrupted
from reasond.core.intake import Item, OpenDecision, Unit
from tests.support.driver_consumer import Bench, message

pytestmark = pytest.mark.unit

BENCH = Bench()
DECISION = OpenDecision("consumer-1-1", {"agent_id": "consumer-1", "action": "process"}, 17)


def now(mono: float = 0.0) -> Now:
    return Now(mono=mono, wall_ns=0)


def unit(*numbers: int, deaths: int = 0) -> Unit:
    return tuple(Item(BENCH.delivery(message(n)), now(), message_id="id-{}".format(n), deaths=deaths) for n in numbers)


def saved(hand: InHand, at: float = 0.0) -> Save:
    save = hand.save(now(at))
    assert save is not None
    return save


def test_journal_is_stirred_from_what_changes_it_until_that_is_saved() -> None:
    # Given
    hand = InHand(None)
    stirred = [hand.stirred]
    # When
    hand.choose(now(), unit(1))
    stirred.append(hand.stirred)
    save = saved(hand)
    stirred.append(hand.stirred)
    hand.saved(save.ref)
    stirred.append(hand.stirred)
    hand.open(DECISION)
    stirred.append(hand.stirred)
    # Then
    assert stirred == [False, True, True, False, True]


def test_chosen_unit_is_handed_out_only_after_its_save() -> None:
    # Given
    hand = InHand(None)
    hand.choose(now(), unit(1))
    # When
    save = saved(hand)
    # Then
    assert save.key == in_hand.JOURNAL and not save.durable
    assert save.state == {"sights": {"id-1": 1}, "open": []}
    handles = hand.saved(save.ref)
    assert [d.content for h in handles for d in h.deliveries] == [message(1)]
    assert hand.ended(handles[0].ref) is not None


def test_units_chosen_while_a_save_is_on_its_way_go_together_into_the_next() -> None:
    # Given a save on its way
    hand = InHand(None)
    hand.choose(now(), unit(1))
    first = saved(hand)
    # When more is chosen
    hand.choose(now(), unit(2))
    hand.choose(now(), unit(3, 4))
    # Then there is no second save until the first is done
    assert hand.save(now()) is None
    hand.saved(first.ref)
    assert hand.stirred
    assert saved(hand).state["sights"] == {"id-1": 1, "id-2": 1, "id-3": 1, "id-4": 1}


def test_saved_of_an_unknown_ref_starts_nothing() -> None:
    hand = InHand(None)
    hand.choose(now(), unit(1))
    saved(hand)
    assert hand.saved("journal-99") == []


def test_ended_unit_leaves_the_next_save() -> None:
    # Given
    hand = InHand(None)
    hand.choose(now(), unit(1))
    handle = hand.saved(saved(hand).ref)[0]
    # When
    hand.ended(handle.ref)
    hand.choose(now(), unit(2))
    # Then
    assert saved(hand).state["sights"] == {"id-2": 1}


def test_room_is_bounded_by_messages() -> None:
    hand = InHand(None)
    for number in range(in_hand.WINDOW_MESSAGES):
        assert hand.room(now())
        hand.choose(now(), unit(number))
    assert not hand.room(now())


def test_ids_of_the_last_journal_count_as_deaths_and_are_kept_until_absolved() -> None:
    # Given
    hand = InHand({"sights": {"id-1": 1, "id-2": 2}, "open": []})
    assert (hand.deaths("id-1"), hand.deaths("id-2"), hand.deaths("id-3")) == (1, 2, 0)
    # When one of them is in hand again
    one = unit(1, deaths=1)
    hand.choose(now(), one)
    save = saved(hand)
    # Then it counts one more, and the other as before
    assert save.state["sights"] == {"id-1": 2, "id-2": 2}
    hand.ended(hand.saved(save.ref)[0].ref)
    hand.absolve(one[0])
    assert saved(hand).state["sights"] == {"id-2": 2}


def test_suspect_keeps_the_others_out_until_it_ends_or_takes_too_long() -> None:
    # Given
    hand = InHand({"sights": {"id-1": 1}})
    hand.choose(now(), unit(1, deaths=1))
    assert not hand.room(now(ALONE_PATIENCE_S - 1))
    # When, then
    assert hand.room(now(ALONE_PATIENCE_S + 1))
    handle = hand.saved(saved(hand).ref)[0]
    hand.ended(handle.ref)
    assert hand.room(now())


def test_overdue_save_lets_everything_start_and_says_so_once() -> None:
    # Given a disk that does not answer
    hand = InHand(None)
    hand.choose(now(), unit(1))
    save = saved(hand)
    hand.choose(now(), unit(2))
    assert hand.overdue(now(SAVE_PATIENCE_S - 0.1)) == []
    # When
    effects = hand.overdue(now(SAVE_PATIENCE_S))
    # Then
    assert [type(e) for e in effects] == [Say, Handle, Handle]
    hand.choose(now(), unit(3))
    assert [type(e) for e in hand.overdue(now(SAVE_PATIENCE_S + 1))] == [Handle]
    assert hand.saved(save.ref) == []
    assert hand.messages == 3


def test_forget_drops_what_is_not_handed_out_and_has_that_saved() -> None:
    # Given one handed out, one in a save, one waiting
    hand = InHand(None)
    hand.choose(now(), unit(1))
    hand.saved(saved(hand).ref)
    hand.choose(now(), unit(2))
    save = saved(hand)
    hand.choose(now(), unit(3))
    # When
    dropped = hand.forget()
    # Then
    assert sorted(item.message_id for item in dropped) == ["id-2", "id-3"]
    assert hand.saved(save.ref) == []
    assert saved(hand).state["sights"] == {"id-1": 1}
    assert [item.message_id for item in hand.handed_out()] == ["id-1"]
    assert hand.messages == 1


def test_abandon_drops_what_is_handed_out_without_a_trace_in_the_journal() -> None:
    # Given a suspect handed out, and one that waits
    hand = InHand({"sights": {"id-1": 1}})
    hand.choose(now(), unit(1, deaths=1))
    handle = hand.saved(saved(hand).ref)[0]
    hand.choose(now(), unit(2))
    # When
    dropped = hand.abandon()
    # Then its end is no longer known, and what it did before is
    assert [item.message_id for item in dropped] == ["id-1"]
    assert hand.ended(handle.ref) is None
    assert hand.messages == 1
    hand.forget()
    assert saved(hand).state["sights"] == {"id-1": 1}


def test_open_decision_is_in_the_journal_until_it_is_closed() -> None:
    # Given
    hand = InHand(None)
    hand.open(DECISION)
    # When, then
    save = saved(hand)
    assert interrupted(save.state) == (DECISION,)
    hand.saved(save.ref)
    hand.close(DECISION)
    assert saved(hand).state["open"] == []


def test_clean_at_the_end_saves_once_more_only_when_something_was_saved() -> None:
    # Given
    idle, used = InHand(None), InHand(None)
    used.choose(now(), unit(1))
    used.ended(used.saved(saved(used).ref)[0].ref)
    # When
    idle.clean()
    used.clean()
    # Then
    assert idle.quiet and not used.quiet
    assert saved(used).state["sights"] == {}


def test_suspects_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(in_hand, "SUSPECTS_KEPT", 2)
    hand = InHand({"sights": {"id-1": 1, "id-2": 1, "id-3": 1}})
    assert [hand.deaths("id-{}".format(n)) for n in (1, 2, 3)] == [0, 1, 1]


ODD: List[Any] = [
    None,
    [],
    "x",
    {},
    {"sights": None, "open": None},
    {"sights": [], "open": [{}, 3, {"id": 1}]},
]


@pytest.mark.parametrize("state", ODD, ids=repr)
def test_odd_saved_state_counts_as_empty(state: Any) -> None:
    assert InHand(state).deaths("id-1") == 0
    assert interrupted(state) == ()
