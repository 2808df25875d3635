"""One suite for the links to RabbitMQ and for their embedded double."""

import json
import uuid
from datetime import datetime, timezone
from typing import Any, Iterator, List

import pytest

from reasond import messages, topology
from reasond.core.effects import Receipt, Settle
from reasond.messages import Invalid, Message
from tests.contract.broker_beds import EmbeddedBed, RealBed, publish

REAL = pytest.param("rabbitmq", marks=pytest.mark.services, id="rabbitmq")


def a_message(context: str = "a book moved") -> bytes:
    return messages.encode(
        Message(
            messages.Header(str(uuid.uuid4()), datetime(2026, 1, 31, tzinfo=timezone.utc), "1.0", "publisher-1"),
            messages.Metadata("fictional", "normal", 30, "steady"),
            messages.Payload("book_1", "location_update", messages.Coordinates(49.2, -122.7), context),
        )
    )


@pytest.fixture(params=[REAL, "embedded"])
def bed(request: pytest.FixtureRequest) -> Iterator[Any]:
    if request.param == "embedded":
        made: Any = EmbeddedBed()
    else:
        made = RealBed(request.getfixturevalue("rabbitmq"), request.getfixturevalue("vhost"))
    yield made
    made.close()


@pytest.fixture(params=[REAL, "embedded"])
def breakable(request: pytest.FixtureRequest) -> Iterator[Any]:
    """A bed whose broker a test may kill or put under alarm."""
    if request.param == "embedded":
        made: Any = EmbeddedBed()
    else:
        broker = request.getfixturevalue("breakable_rabbitmq")
        made = RealBed(broker, broker.fresh_vhost())
    yield made
    made.close()


def opened(bed: Any, **how: Any) -> Any:
    links, seen = bed.links(**how)
    links.open()
    expected = 2 if how.get("consume") else 1
    bed.pump(lambda: len([1 for link in seen.links if link[1]]) == expected, "links up")
    return links, seen


def fill(bed: Any, count: int, queue: str = topology.FICTIONAL) -> List[bytes]:
    bodies = [a_message(f"number {number}") for number in range(count)]
    for body in bodies:
        bed.put(queue, body)
    return bodies


def test_publish_to_a_main_queue_is_confirmed_ok(bed: Any) -> None:
    # Given
    links, seen = opened(bed)
    # When
    for number in range(5):
        links.publish(publish(str(number)))
    bed.pump(lambda: len(seen.confirmed) == 5, "confirms")
    # Then
    assert sorted(seen.confirmed) == [(str(number), "ok") for number in range(5)]
    assert bed.ready(topology.FICTIONAL) == 5


def test_publish_that_no_queue_takes_comes_back_and_others_do_not(bed: Any) -> None:
    links, seen = opened(bed)
    links.publish(publish("a", message_id="same"))
    links.publish(publish("b", "no-such-key", message_id="same"))
    links.publish(publish("c", message_id="same"))
    bed.pump(lambda: len(seen.confirmed) == 3, "confirms")
    assert dict(seen.confirmed) == {"a": "ok", "b": "returned", "c": "ok"}


def test_publish_to_a_full_flagged_queue_is_nacked(bed: Any) -> None:
    # Given
    bed.bound_flagged(2)
    links, seen = opened(bed)
    # When: one after the other, as the broker counts what lies there when a message comes
    for ref in ("1", "2", "3"):
        links.publish(publish(ref, topology.FLAGGED, exchange=topology.DEAD_EXCHANGE))
        bed.pump(lambda ref=ref: ref in dict(seen.confirmed), "confirm " + ref)
    # Then
    assert dict(seen.confirmed) == {"1": "ok", "2": "ok", "3": "nacked"}
    assert bed.ready(topology.FLAGGED) == 2


def test_publish_to_a_missing_exchange_brings_the_link_down_and_up_again(bed: Any) -> None:
    links, seen = opened(bed)
    seen.forget()
    links.publish(publish("lost", exchange="no-such-exchange"))
    bed.pump(lambda: len(seen.links) >= 2, "down and up")
    assert seen.links == [("publish", False, False), ("publish", True, False)]
    links.publish(publish("next"))
    bed.pump(lambda: seen.confirmed, "confirm")
    assert seen.confirmed == [("next", "ok")]


def test_publish_carries_headers_properties_and_expiration(bed: Any) -> None:
    links, seen = opened(bed, consume=True)
    body = a_message()
    headers = {"x-reasond-cause": "check", "n": 3, "list": [1, "two"], "table": {"a": True}}
    links.publish(publish("1", body=body, headers=headers, expiration_ms=30000, message_id="m-1"))
    bed.pump(lambda: seen.deliveries, "delivery")
    delivery = seen.deliveries[0]
    assert (delivery.queue, delivery.body, delivery.headers) == (topology.FICTIONAL, body, headers)
    assert (delivery.message_id, delivery.expiration_ms) == ("m-1", "30000")
    assert (delivery.content_type, delivery.redelivered) == ("application/json", False)
    assert delivery.content == messages.decode(body)


def test_deliveries_stop_at_the_prefetch_of_each_queue_and_go_on_when_settled(bed: Any) -> None:
    # Given
    fill(bed, 8)
    fill(bed, 3, topology.PRIORITY)
    links, seen = opened(bed, consume=True, prefetch=5)
    bed.pump(lambda: len(seen.deliveries) >= 8, "first deliveries")
    bed.let_pass(0.3)
    queues = [delivery.queue for delivery in seen.deliveries]
    assert (queues.count(topology.FICTIONAL), queues.count(topology.PRIORITY)) == (5, 3)
    # When
    fictional = [delivery.receipt for delivery in seen.deliveries if delivery.queue == topology.FICTIONAL]
    links.settle(Settle(tuple(fictional[:2])))
    bed.pump(lambda: len(seen.deliveries) >= 10, "two more")
    bed.let_pass(0.3)
    # Then
    assert len(seen.deliveries) == 10


def test_deliveries_of_one_turn_have_the_priority_queue_first(bed: Any) -> None:
    fill(bed, 3)
    fill(bed, 3, topology.NON_FICTIONAL)
    fill(bed, 3, topology.PRIORITY)
    _, seen = opened(bed, consume=True)
    bed.pump(lambda: len(seen.deliveries) == 9, "deliveries")
    for batch in seen.batches:
        order = [topology.MAIN_QUEUES.index(delivery.queue) for delivery in batch]
        assert order == sorted(order)


def test_settled_with_holes_only_the_rest_comes_back_redelivered_in_its_order(bed: Any) -> None:
    # Given
    bodies = fill(bed, 10)
    links, seen = opened(bed, consume=True)
    bed.pump(lambda: len(seen.deliveries) == 10, "deliveries")
    receipts = [delivery.receipt for delivery in seen.deliveries]
    # When: a hole stays at 3 and at 7; the prefix grows over tags that were settled singly before
    links.settle(Settle(tuple(receipts[i] for i in (0, 1, 4, 5))))
    bed.let_pass(0.1)
    links.settle(Settle((receipts[2], receipts[9], receipts[0])))
    bed.let_pass(0.1)
    links.settle(Settle((receipts[6], receipts[8])))
    bed.let_pass(0.1)
    seen.forget()
    links.relink("consume")
    bed.pump(lambda: len(seen.deliveries) >= 2, "redeliveries")
    bed.let_pass(0.3)
    # Then
    assert [delivery.body for delivery in seen.deliveries] == [bodies[3], bodies[7]]
    assert all(delivery.redelivered for delivery in seen.deliveries)
    assert seen.links == [("consume", False, False), ("consume", True, False)]


def test_receipts_from_before_a_relink_acknowledge_nothing(bed: Any) -> None:
    # Given
    fill(bed, 4)
    links, seen = opened(bed, consume=True)
    bed.pump(lambda: len(seen.deliveries) == 4, "deliveries")
    stale = tuple(delivery.receipt for delivery in seen.deliveries)
    links.relink("consume")
    bed.pump(lambda: len(seen.deliveries) == 8, "redeliveries")
    fresh = seen.deliveries[4:]
    assert {receipt.epoch for receipt in stale}.isdisjoint(delivery.receipt.epoch for delivery in fresh)
    # When
    links.settle(Settle(stale))
    links.settle(Settle((Receipt(fresh[0].receipt.epoch, 99999),)))
    bed.let_pass(0.2)
    seen.forget()
    links.relink("consume")
    # Then
    bed.pump(lambda: len(seen.deliveries) == 4, "all four once more")


def test_message_past_its_ttl_at_the_head_is_dead_lettered_with_its_death(bed: Any) -> None:
    # Given: no consumer; the one behind has a shorter TTL but isn't at the head
    links, seen = opened(bed)
    links.publish(publish("first", body=b"1", expiration_ms=700, headers={"kept": "yes"}))
    links.publish(publish("second", body=b"2", expiration_ms=100))
    bed.pump(lambda: len(seen.confirmed) == 2, "confirms")
    bed.let_pass(0.35)
    assert bed.ready(topology.FICTIONAL) == 2
    # When
    bed.pump(lambda: bed.ready(topology.EXPIRED) == 2, "expiry")
    # Then
    taken = bed.take(topology.EXPIRED)
    assert (taken["body"], taken["expiration"], taken["message_id"]) == (b"1", None, "id-first")
    (death,) = taken["headers"]["x-death"]
    assert isinstance(death.pop("time"), datetime)
    assert death == {
        "count": 1,
        "exchange": "books",
        "queue": "fictional",
        "reason": "expired",
        "routing-keys": ["fictional"],
        "original-expiration": "700",
    }
    assert taken["headers"]["x-first-death-queue"] == "fictional"
    assert taken["headers"]["x-first-death-reason"] == "expired"
    assert taken["headers"]["x-first-death-exchange"] == "books"
    assert taken["headers"]["kept"] == "yes"
    assert bed.take(topology.EXPIRED)["body"] == b"2"


def test_delivered_message_past_its_ttl_is_not_taken_back(bed: Any) -> None:
    links, seen = opened(bed, consume=True)
    links.publish(publish("1", body=a_message(), expiration_ms=200))
    bed.pump(lambda: seen.deliveries, "delivery")
    bed.let_pass(0.6)
    links.settle(Settle((seen.deliveries[0].receipt,)))
    bed.let_pass(0.2)
    assert (bed.ready(topology.EXPIRED), bed.ready(topology.FICTIONAL)) == (0, 0)


def test_deleted_queue_is_brought_back_and_consumed_again(bed: Any) -> None:
    links, seen = opened(bed, consume=True)
    bed.delete(topology.FICTIONAL)
    bed.let_pass(0.2)
    links.declare()
    links.publish(publish("1", body=a_message()))
    bed.pump(lambda: seen.confirmed, "confirm")
    while seen.confirmed[-1][1] == "returned":
        seen.confirmed.clear()
        links.publish(publish("again", body=a_message()))
        bed.pump(lambda: seen.confirmed, "confirm")
    bed.pump(lambda: seen.deliveries, "delivery from the queue that came back")
    assert seen.deliveries[0].queue == topology.FICTIONAL


def test_queue_missing_at_the_start_is_declared_and_consumed(bed: Any) -> None:
    bed.delete(topology.PRIORITY)
    _, seen = opened(bed, consume=True)
    bed.put(topology.PRIORITY, a_message())
    bed.pump(lambda: seen.deliveries, "delivery")
    assert seen.deliveries[0].queue == topology.PRIORITY


def test_cancel_takes_nothing_new_and_still_settles(bed: Any) -> None:
    # Given
    fill(bed, 2)
    links, seen = opened(bed, consume=True)
    bed.pump(lambda: len(seen.deliveries) == 2, "deliveries")
    # When
    links.cancel()
    bed.let_pass(0.2)
    fill(bed, 1)
    bed.let_pass(0.3)
    links.settle(Settle(tuple(delivery.receipt for delivery in seen.deliveries)))
    links.close()
    bed.pump(lambda: links.closed, "closed")
    # Then
    assert len(seen.deliveries) == 2
    bed.pump(lambda: bed.ready(topology.FICTIONAL) == 1, "only the new one is left")


def test_close_flushes_acknowledgements_and_tells_nothing_more(bed: Any) -> None:
    fill(bed, 3)
    links, seen = opened(bed, consume=True)
    bed.pump(lambda: len(seen.deliveries) == 3, "deliveries")
    seen.links.clear()
    links.settle(Settle(tuple(delivery.receipt for delivery in seen.deliveries[:2])))
    links.close()
    bed.pump(lambda: links.closed, "closed", seconds=3)
    bed.pump(lambda: bed.ready(topology.FICTIONAL) == 1, "the unsettled one is back")
    assert seen.links == []


def test_publish_while_down_is_dropped(bed: Any) -> None:
    links, seen = bed.links()
    links.publish(publish("early"))
    links.open()
    bed.pump(lambda: seen.links, "up")
    links.publish(publish("late"))
    bed.pump(lambda: seen.confirmed, "confirm")
    assert seen.confirmed == [("late", "ok")]


def test_ready_counts_tell_each_queue_and_none_for_a_missing_one(bed: Any) -> None:
    fill(bed, 3)
    bed.delete(topology.FLAGGED)
    links, _ = opened(bed)
    found: List[Any] = []
    links.ready_counts(found.append)
    bed.pump(lambda: found, "counts")
    assert found[0] == {
        topology.FICTIONAL: 3,
        topology.NON_FICTIONAL: 0,
        topology.PRIORITY: 0,
        topology.EXPIRED: 0,
        topology.REJECTED: 0,
        topology.FLAGGED: None,
    }


def test_ready_counts_without_a_connection_are_empty(bed: Any) -> None:
    links, _ = bed.links()
    found: List[Any] = []
    links.ready_counts(found.append)
    bed.pump(lambda: found, "an answer")
    assert found == [{}]


GARBAGE = {
    "random bytes": (bytes(range(256)), "application/json"),
    "empty": (b"", "application/json"),
    "not an object": (b"[1, 2]", None),
    "wrong schema": (json.dumps({"header": {"message_id": 5}}).encode(), "application/json"),
    "deep JSON": (b"[" * 100_000, "application/json"),
    "wrong content type": (a_message(), "text/plain"),
    "over the limit": (b'"' + b"x" * messages.MAX_BODY_BYTES + b'"', "application/json"),
}


@pytest.mark.parametrize("name", sorted(GARBAGE))
def test_garbage_arrives_as_invalid_and_the_link_goes_on(bed: Any, name: str) -> None:
    # Given
    body, content_type = GARBAGE[name]
    links, seen = opened(bed, consume=True)
    # When
    bed.put(topology.FICTIONAL, body, content_type=content_type)
    bed.put(topology.FICTIONAL, a_message(), content_type="application/json; charset=utf-8")
    bed.pump(lambda: len(seen.deliveries) == 2, "deliveries")
    # Then
    garbage, sound = seen.deliveries
    assert isinstance(garbage.content, Invalid) and garbage.content.reason
    assert garbage.body == body
    assert isinstance(sound.content, Message)
    assert [link for link in seen.links if not link[1]] == []


def test_alarm_blocks_publishing_only_and_what_was_sent_goes_through_after_it(breakable: Any) -> None:
    # Given: a connection that has published before
    bed = breakable
    links, seen = opened(bed, consume=True)
    links.publish(publish("before", body=a_message()))
    bed.pump(lambda: seen.confirmed and seen.deliveries, "confirm and delivery")
    seen.links.clear()
    # When
    bed.block()
    try:
        links.publish(publish("during", body=a_message()))
        bed.pump(lambda: ("publish", True, True) in seen.links, "told at the next publish")
        links.settle(Settle((seen.deliveries[0].receipt,)))
        bed.let_pass(0.5)
        # Then
        assert [ref for ref, _ in seen.confirmed] == ["before"]
        assert all(which == "publish" for which, _, _ in seen.links)
    finally:
        bed.unblock()
    bed.pump(lambda: ("during", "ok") in seen.confirmed, "confirm after the alarm")
    assert seen.links == [("publish", True, True), ("publish", True, False)]
    bed.pump(lambda: len(seen.deliveries) == 2, "delivery")


def test_relink_under_an_alarm_gives_a_working_link_after_it(breakable: Any) -> None:
    bed = breakable
    links, seen = opened(bed)
    links.publish(publish("before"))
    bed.pump(lambda: seen.confirmed, "confirm")
    bed.block()
    try:
        links.publish(publish("stuck"))
        bed.pump(lambda: ("publish", True, True) in seen.links, "told at the next publish")
        seen.forget()
        links.relink("publish")
        bed.pump(lambda: ("publish", True, False) in seen.links, "up again")
        links.publish(publish("during"))
        bed.pump(lambda: ("publish", True, True) in seen.links, "told on the new connection too")
        bed.let_pass(2.0)
    finally:
        bed.unblock()
    bed.pump(lambda: ("during", "ok") in seen.confirmed, "confirm")


def test_broker_killed_and_started_links_come_back_and_nothing_confirmed_is_lost(breakable: Any) -> None:
    # Given
    bed = breakable
    links, seen = opened(bed, consume=True)
    bodies = [a_message(f"number {number}") for number in range(5)]
    for number, body in enumerate(bodies):
        links.publish(publish(str(number), body=body))
    bed.pump(lambda: len(seen.confirmed) == 5 and len(seen.deliveries) == 5, "confirms and deliveries")
    links.settle(Settle((seen.deliveries[0].receipt,)))
    bed.let_pass(0.3)
    stale = seen.deliveries[1].receipt
    seen.forget()
    # When
    bed.kill()
    bed.pump(lambda: len(seen.links) == 2, "both down")
    assert sorted(seen.links) == [("consume", False, False), ("publish", False, False)]
    links.publish(publish("while down"))
    links.settle(Settle((stale,)))
    bed.start()
    bed.pump(lambda: len(seen.links) == 4, "both up", seconds=60)
    # Then
    bed.pump(lambda: len({delivery.body for delivery in seen.deliveries}) >= 4, "redeliveries")
    bed.let_pass(0.3)
    assert {delivery.body for delivery in seen.deliveries} - {bodies[0]} == set(bodies[1:])
    links.publish(publish("after"))
    bed.pump(lambda: seen.confirmed, "confirm")
    assert seen.confirmed == [("after", "ok")]
