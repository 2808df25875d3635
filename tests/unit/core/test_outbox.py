"""What is published and not confirmed, through every state of the link."""

import random

import pytest

from reasond.core.effects import Declare, Now, Publish, Relink, Say, Wake
from reasond.core.outbox import CONFIRM_WAKE, DECLARE_GAP_S, RETRY_BASE_S, RETRY_WAKE, Outbox, Parcel
from tests.support.driver_publisher import START_NS, item

pytestmark = pytest.mark.unit

TIMEOUT_S = 30.0


def at(mono):
    return Now(mono, START_NS + int(mono * 1e9))


def parcel(n, mono=0.0):
    effect = Publish(f"m{n}", "books", "fictional", b"{}", f"id-{n}")
    return Parcel(effect, item("fictional", "book_1"), "fictional", 5, False, mono)


def box(window=4, open_link=True):
    made = Outbox(window, TIMEOUT_S, random.Random(1))
    if open_link:
        made.on_link(at(0), True, False)
    return made


def published(effects):
    return [effect.ref for effect in effects if isinstance(effect, Publish)]


def said(effects):
    return [effect.event for effect in effects if isinstance(effect, Say)]


def test_put_publishes_and_watches_the_oldest_confirm():
    out = box()
    first, second = out.put(at(1), parcel(1)), out.put(at(2), parcel(2))
    assert published(first) == ["m1"] and published(second) == ["m2"]
    assert [e for e in first + second if isinstance(e, Wake)] == [Wake(CONFIRM_WAKE, 1 + TIMEOUT_S)]


def test_link_that_was_lost_publishes_the_same_messages_again_in_order_when_it_is_back():
    out = box()
    effects = [out.put(at(1), parcel(n)) for n in (1, 2, 3)]
    out.on_confirmed(at(1), "m2", "ok")
    down = out.on_link(at(2), False, False)
    up = out.on_link(at(9), True, False)
    assert said(down) == ["publishing_stopped"]
    assert published(up) == ["m1", "m3"]
    again = {e.ref: e for e in up if isinstance(e, Publish)}
    assert all(again[e.ref] is e for one in effects for e in one if isinstance(e, Publish) and e.ref in again)
    assert said(up) == ["publishing_resumed", "published_again"]


def test_blocked_link_stops_once_and_sends_nothing_twice_when_unblocked():
    out = box()
    out.put(at(1), parcel(1))
    blocked = out.on_link(at(2), True, True) + out.on_link(at(3), True, True)
    unblocked = out.on_link(at(4), True, False)
    assert said(blocked) == ["publishing_stopped"]
    assert published(unblocked) == []
    assert said(unblocked) == ["publishing_resumed"]


def test_time_under_an_alarm_does_not_make_a_confirm_overdue():
    out = box()
    out.put(at(0), parcel(1))
    out.on_link(at(1), True, True)
    during = out.on_wake(at(TIMEOUT_S), CONFIRM_WAKE)
    out.on_link(at(100), True, False)
    soon = out.on_wake(at(100 + TIMEOUT_S - 1), CONFIRM_WAKE)
    late = out.on_wake(at(100 + TIMEOUT_S), CONFIRM_WAKE)
    assert Relink("publish") not in during + soon
    assert Relink("publish") in late


def test_overdue_confirm_asks_once_for_a_new_link_and_the_ids_go_out_again():
    out = box()
    out.put(at(0), parcel(1))
    late = out.on_wake(at(TIMEOUT_S), CONFIRM_WAKE)
    later = out.on_wake(at(2 * TIMEOUT_S), CONFIRM_WAKE)
    assert Relink("publish") in late and said(late) == ["confirm_overdue"]
    assert Relink("publish") not in later
    out.on_link(at(70), False, False)
    assert published(out.on_link(at(71), True, False)) == ["m1"]


def test_new_link_is_recognised_even_without_word_of_the_old_ones_end():
    out = box()
    out.put(at(0), parcel(1))
    out.on_wake(at(TIMEOUT_S), CONFIRM_WAKE)
    assert published(out.on_link(at(31), True, False)) == ["m1"]


def test_wake_before_the_timeout_watches_on_for_what_is_oldest_now():
    out = box()
    out.put(at(0), parcel(1))
    out.put(at(10), parcel(2))
    out.on_confirmed(at(11), "m1", "ok")
    assert out.on_wake(at(TIMEOUT_S), CONFIRM_WAKE) == [Wake(CONFIRM_WAKE, 10 + TIMEOUT_S)]


def test_full_window_stops_once_and_goes_on_when_half_is_free():
    out = box(window=4)
    effects = [e for n in range(4) for e in out.put(at(1), parcel(n))]
    assert said(effects) == ["publishing_stopped"] and out.stall == "window_full"
    assert said(out.on_confirmed(at(2), "m0", "ok")[1]) == []
    assert out.stall == "window_full"
    assert said(out.on_confirmed(at(2), "m1", "ok")[1]) == ["publishing_resumed"]
    assert out.stall == ""


@pytest.mark.parametrize("outcome", ["returned", "nacked"])
def test_refused_message_is_said_declared_for_and_tried_again_under_its_id(outcome):
    out = box()
    out.put(at(0), parcel(1))
    done, effects = out.on_confirmed(at(1), "m1", outcome)
    wake = effects[-1]
    assert done is None and len(out) == 1
    assert Declare() in effects and said(effects) == ["message_" + outcome]
    assert wake.name == RETRY_WAKE and 1 + RETRY_BASE_S / 2 <= wake.at <= 1 + RETRY_BASE_S
    assert published(out.on_wake(at(wake.at), RETRY_WAKE)) == ["m1"]


def test_many_refused_messages_ask_for_one_declaration_and_are_said_once():
    out = box()
    for n in range(3):
        out.put(at(0), parcel(n))
    effects = [e for n in range(3) for e in out.on_confirmed(at(1), f"m{n}", "returned")[1]]
    assert effects.count(Declare()) == 1 and said(effects) == ["message_returned"]
    out.on_wake(at(1 + 2 * RETRY_BASE_S), RETRY_WAKE)
    again = out.on_confirmed(at(1 + DECLARE_GAP_S + 2), "m0", "returned")[1]
    assert Declare() in again and said(again) == []


def test_retry_waits_longer_each_time():
    out = box()
    out.put(at(0), parcel(1))
    now, waits = 0.0, []
    for _ in range(12):
        _, effects = out.on_confirmed(at(now), "m1", "nacked")
        waits.append(effects[-1].at - now)
        now = effects[-1].at
        out.on_wake(at(now), RETRY_WAKE)
    assert waits[0] <= 1.0 < waits[3] <= 8.0
    assert 15.0 <= waits[-1] <= 30.0


def test_message_waiting_for_its_retry_goes_out_with_the_next_link_and_once():
    out = box()
    out.put(at(0), parcel(1))
    wake = out.on_confirmed(at(1), "m1", "returned")[1][-1]
    out.on_link(at(1.1), False, False)
    assert published(out.on_link(at(1.2), True, False)) == ["m1"]
    assert published(out.on_wake(at(wake.at), RETRY_WAKE)) == []


def test_retry_that_falls_due_while_blocked_waits_for_the_end_of_the_alarm():
    out = box()
    out.put(at(0), parcel(1))
    wake = out.on_confirmed(at(1), "m1", "nacked")[1][-1]
    out.on_link(at(1.1), True, True)
    assert published(out.on_wake(at(wake.at), RETRY_WAKE)) == []
    assert published(out.on_link(at(20), True, False)) == ["m1"]


def test_word_on_an_unknown_or_unsent_message_changes_nothing():
    out = box()
    out.put(at(0), parcel(1))
    out.on_link(at(1), False, False)
    assert out.on_confirmed(at(2), "m1", "nacked") == (None, [])
    assert out.on_confirmed(at(2), "m9", "returned") == (None, [])
    assert out.on_confirmed(at(2), "m9", "ok") == (None, [])
    assert len(out) == 1


def test_nothing_is_said_before_the_first_link():
    out = box(open_link=False)
    assert out.stall == "link_down"
    assert out.on_link(at(0), False, False) == []
    assert out.on_link(at(1), True, False) == []
