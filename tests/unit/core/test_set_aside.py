"""Messages set aside: what their headers say, and how they get to their queue."""

from datetime import datetime, timezone
from typing import Any, List, Optional

import pika.data
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reasond.core.effects import Declare, Now, Publish, Relink, Say
from reasond.core.intake import Item
from reasond.core.set_aside import (
    CONFIRM_PATIENCE_S,
    HEADER_CUT,
    HEADERS_MAX_BYTES,
    REASON_MAX_CHARS,
    SetAsides,
    Verdict,
    message_id,
)
from reasond.core.set_aside import headers as headers_of
from reasond.topology import DEAD_EXCHANGE, FLAGGED, HEADER_REQUEUED, REJECTED
from tests.support.driver_consumer import START_WALL_NS, Bench, message

pytestmark = pytest.mark.unit

BENCH = Bench()
MALFORMED = Verdict(REJECTED, "malformed", "no good", path="$.header")


def now(mono: float = 0.0) -> Now:
    return Now(mono=mono, wall_ns=START_WALL_NS)


def item(body: bytes = b"garbage", **changes: Any) -> Item:
    return Item(BENCH.delivery(body, queue="fictional", **changes), now())


def ready(*items: Item, verdict: Verdict = MALFORMED) -> SetAsides:
    asides = SetAsides()
    asides.link(True, False)
    for one in items:
        asides.add(now(), one, verdict)
    return asides


def sent(asides: SetAsides, mono: float = 0.0) -> List[Publish]:
    return [effect for effect in asides.send(now(mono)) if isinstance(effect, Publish)]


# What is published


def test_publish_carries_the_original_body_and_says_what_is_wrong() -> None:
    # Given
    one = item(content_type="text/plain", message_id="their-id", expiration_ms="30000", headers={"trace": "abc"})
    # When
    (publish,) = sent(ready(one))
    # Then
    assert (publish.exchange, publish.routing_key) == (DEAD_EXCHANGE, REJECTED)
    assert publish.body == b"garbage"
    assert publish.content_type == "text/plain"
    assert publish.message_id == "their-id"
    assert publish.expiration_ms is None
    assert publish.headers == {
        "trace": "abc",
        "x-reasond-reason": "no good",
        "x-reasond-path": "$.header",
        "x-reasond-cause": "malformed",
        "x-reasond-queue": "fictional",
        "x-reasond-expiration": "30000",
        "x-reasond-at": "2026-01-01T00:00:00Z",
    }


def test_attempts_stand_in_the_headers_when_there_were_any() -> None:
    one = item()
    one.attempts, one.deaths = 2, 1
    assert headers_of(now(), one, MALFORMED)["x-reasond-attempts"] == 3


def test_message_id_falls_back_to_the_header_and_then_to_one_of_its_own() -> None:
    # Given
    named, nameless, same = item(), item(), item()
    named.message_id = "from-header"
    # When, then
    assert message_id(named) == "from-header"
    assert message_id(nameless) == message_id(nameless)
    assert message_id(nameless) != message_id(same)
    assert len(message_id(nameless)) <= 255


def test_own_headers_of_an_earlier_time_are_replaced() -> None:
    earlier = {HEADER_REQUEUED: "by hand", "x-reasond-path": "$.old", "x-reasond-by": "ai", "kept": 1}
    headers = headers_of(now(), item(headers=earlier), Verdict(REJECTED, "poison", "died"))
    assert headers["kept"] == 1
    assert not {HEADER_REQUEUED, "x-reasond-path", "x-reasond-by"} & set(headers)


def test_headers_that_would_route_the_copy_elsewhere_are_renamed() -> None:
    headers = headers_of(now(), item(headers={"CC": ["fictional"]}), MALFORMED)
    assert headers["x-original-CC"] == ["fictional"] and "CC" not in headers


def test_headers_too_large_for_a_frame_are_left_out_and_that_is_said() -> None:
    headers = headers_of(now(), item(headers={"big": "x" * HEADERS_MAX_BYTES}), MALFORMED)
    assert "big" not in headers
    assert "left out" in headers[HEADER_CUT]
    assert headers["x-reasond-reason"] == "no good"


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | st.text(st.characters())
    | st.binary()
    | st.just(datetime(2026, 1, 1, tzinfo=timezone.utc)),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abc", max_size=5), inner, max_size=3),
    max_leaves=10,
)


@given(st.dictionaries(st.text("abcXYZ-", min_size=1, max_size=20), VALUES, max_size=5), st.text(st.characters()))
def test_any_headers_and_reason_become_what_the_client_can_encode(theirs: Any, reason: str) -> None:
    # Given, when
    headers = headers_of(now(), item(headers=theirs), Verdict(REJECTED, "malformed", reason * 100))
    # Then the AMQP client encodes them, within what one frame takes
    pieces: List[bytes] = []
    pika.data.encode_table(pieces, headers)
    assert sum(map(len, pieces)) <= HEADERS_MAX_BYTES + 8 * REASON_MAX_CHARS
    assert len(headers.get("x-reasond-reason", "")) <= REASON_MAX_CHARS


# How it gets there


def test_nothing_is_sent_before_the_link_is_up_or_while_it_is_blocked() -> None:
    # Given
    asides = SetAsides()
    asides.add(now(), item(), MALFORMED)
    # When, then
    assert sent(asides) == [] and asides.next_due() is None
    asides.link(True, True)
    assert sent(asides) == [] and asides.next_due() is None
    asides.link(True, False)
    assert len(sent(asides)) == 1
    assert sent(asides) == []


def test_link_that_comes_back_gets_the_unconfirmed_again_under_the_same_ref_and_id() -> None:
    # Given
    asides = ready(item(), item())
    first = sent(asides)
    # When
    asides.link(False, False)
    asides.link(True, False)
    # Then
    assert sent(asides) == first


def test_confirmed_gives_the_message_back_once() -> None:
    one = item()
    asides = ready(one)
    (publish,) = sent(asides)
    aside, effects = asides.confirmed(now(), publish.ref, "ok")
    assert aside is not None and aside.item is one
    assert effects == [] and len(asides) == 0
    assert asides.confirmed(now(), publish.ref, "ok") == (None, [])


@pytest.mark.parametrize(
    ("outcome", "declares"), [("nacked", False), ("returned", True)], ids=["queue full", "queue gone"]
)
def test_refused_is_held_and_sent_again_with_growing_waits(outcome: str, declares: bool) -> None:
    # Given
    asides = ready(item())
    (publish,) = sent(asides)
    # When
    aside, effects = asides.confirmed(now(), publish.ref, outcome)
    # Then it is said, once, and a missing queue is declared
    assert aside is None and len(asides) == 1
    assert [type(e) for e in effects] == ([Declare, Say] if declares else [Say])
    assert sent(asides, 0.5) == [] and asides.next_due() == 1.0
    assert sent(asides, 1.0) == [publish]
    _, effects = asides.confirmed(now(1.0), publish.ref, outcome)
    assert not any(isinstance(e, Say) for e in effects)
    assert asides.next_due() == 3.0
    # And when it is taken at last, that is said too
    assert sent(asides, 3.0) == [publish]
    aside, effects = asides.confirmed(now(3.0), publish.ref, "ok")
    assert aside is not None
    assert [e.event for e in effects if isinstance(e, Say)] == ["set_aside_accepted_again"]


@pytest.mark.parametrize("blocked", [False, True], ids=["open", "blocked"])
def test_confirm_overdue_means_a_new_link_unless_the_broker_blocked_it(blocked: bool) -> None:
    # Given
    asides = ready(item())
    first = sent(asides)
    asides.link(True, blocked)
    # When
    effects = list(asides.send(now(CONFIRM_PATIENCE_S)))
    # Then
    assert any(isinstance(e, Relink) for e in effects) is not blocked
    # And the new link gets it again
    if not blocked:
        assert sent(asides, CONFIRM_PATIENCE_S) == []
        asides.link(True, False)
        assert sent(asides, CONFIRM_PATIENCE_S) == first


@pytest.mark.parametrize(("unsent_only", "left"), [(False, 0), (True, 1)], ids=["all", "unsent only"])
def test_forget_drops_what_is_pending(unsent_only: bool, left: int) -> None:
    # Given one sent and one not
    asides = ready(item())
    sent(asides)
    asides.add(now(), item(), Verdict(FLAGGED, "jump", "far", by="check"))
    # When
    dropped = list(asides.forget(unsent_only=unsent_only))
    # Then
    assert (len(dropped), len(asides)) == (2 - left, left)


def test_header_text_without_anything_to_say_is_left_out() -> None:
    found: Optional[str] = headers_of(now(), Item(BENCH.delivery(message(1)), now()), MALFORMED).get("x-reasond-by")
    assert found is None
