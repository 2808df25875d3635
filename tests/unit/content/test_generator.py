"""Made-up content: sound messages that trip no check, and anomalies of every kind that do."""

import random
import re
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from reasond.content.generator import ANOMALIES, BY_CHECK, BY_CONTEXT, Generator
from reasond.content.source import compose
from reasond.core.effects import Delivery, Now, Receipt
from reasond.core.intake import Item as Arrived
from reasond.core.plausibility import Plausibility
from reasond.messages import GENRES, encode, read
from reasond.settings import ConsumerSettings, PublisherSettings
from reasond.topology import routing_key
from tests.support.driver_publisher import START_NS

pytestmark = pytest.mark.unit


def at(seconds):
    return Now(seconds, START_NS + int(seconds * 1e9))


def generator(seed=1, agent_id="publisher-1", rate=0.0, configured_seed=0):
    return Generator(PublisherSettings(agent_id=agent_id, anomaly_rate=rate, seed=configured_seed), random.Random(seed))


def story(source, count, step_s=5.0, begin=0.0, agent_id="publisher-1"):
    """Take `count` items, `step_s` apart, as (item, message, time)."""
    rng = random.Random(9)
    for n in range(count):
        now = at(begin + n * step_s)
        item = source.take(GENRES[n % 2], now)
        yield item, compose(item, source=agent_id, reasoning="why", now=now, rng=rng), now


def arrived(item, message, now):
    """Give the message as a consumer has it in hand, with the facts of its header."""
    body = encode(message)
    queue = item.routing_key or routing_key(message)
    delivery = Delivery(Receipt(1, 1), queue, body, read(body))
    return Arrived(
        delivery, now, message_id=message.header.message_id, entity_id=message.payload.entity_id,
        priority=message.metadata.priority, stamp_s=message.header.timestamp.timestamp(),
        ttl_s=message.metadata.ttl_seconds,
    )  # fmt: skip


def doubts(source, count, step_s=5.0):
    """Give (kind, cause) of every message as one consumer that sees all of them would doubt it."""
    checks, settings = Plausibility(), ConsumerSettings(agent_id="consumer-1")
    for item, message, now in story(source, count, step_s):
        doubt = checks.doubt(arrived(item, message, now), message, settings)
        yield item.anomaly, None if doubt is None else doubt.cause


@hypothesis_settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([0.02, 1.0, 5.0, 45.0, 900.0]))
def test_sound_messages_never_trip_a_check_at_any_pace(seed, step_s):
    assert set(doubts(generator(seed), 300, step_s)) == {(None, None)}


@hypothesis_settings(max_examples=10, deadline=None)
@given(st.integers(0, 10**6))
def test_sound_messages_among_anomalies_never_trip_a_check_either(seed):
    assert {cause for kind, cause in doubts(generator(seed, rate=0.3), 600) if kind is None} == {None}


def test_each_kind_of_check_catches_its_anomaly_and_no_check_the_others():
    found = Counter(doubts(generator(rate=0.2), 6000))
    for kind in BY_CHECK:
        caught = sum(n for (made, cause), n in found.items() if made == kind and cause == kind)
        missed = sum(n for (made, cause), n in found.items() if made == kind and cause != kind)
        assert caught > 20 and missed == 0, (kind, found)
    for kind in BY_CONTEXT:
        assert found[kind, None] > 20
        assert {cause for made, cause in found if made == kind} == {None}


def test_anomalies_come_at_the_rate_that_is_set_and_a_new_rate_counts_at_once():
    source = generator(rate=0.1)
    assert 140 < sum(item.anomaly is not None for item, _, _ in story(source, 2000)) < 260
    source.configure(PublisherSettings(agent_id="publisher-1", anomaly_rate=0.0))
    assert all(item.anomaly is None for item, _, _ in story(source, 200, begin=20000))


def test_at_least_three_kinds_need_the_text():
    assert len(BY_CONTEXT) >= 3
    assert set(ANOMALIES) == set(BY_CHECK) | set(BY_CONTEXT)


def test_messages_fit_the_schema_and_vary():
    messages = [message for _, message, _ in story(generator(), 600)]
    assert all(read(encode(message)) == message for message in messages)
    priorities = Counter(message.metadata.priority for message in messages)
    assert 30 < priorities["high"] < 100 < priorities["low"] < priorities["normal"]
    assert len({message.payload.context for message in messages}) > 60
    actions = Counter(message.payload.action for message in messages)
    assert actions.most_common(1)[0][0] == "location_update" and len(actions) >= 3


def test_context_of_a_sound_message_has_no_unfilled_template():
    texts = [item.payload.context for item, _, _ in story(generator(rate=0.5), 2000)]
    assert not [text for text in texts if re.search(r"[{}]", text)]


def test_one_seed_tells_one_story():
    assert list(story(generator(4), 50)) == list(story(generator(4), 50))
    assert list(story(generator(4), 50)) != list(story(generator(5), 50))
    configured = [list(story(generator(seed, configured_seed=7), 50)) for seed in (1, 2)]
    assert configured[0] == configured[1]


def test_publishers_with_one_seed_and_one_start_share_no_book():
    books = [
        {item.payload.entity_id for item, _, _ in story(generator(agent_id=name, configured_seed=7), 200)}
        for name in ("publisher-1", "publisher-2", "load-1")
    ]
    assert all(a.isdisjoint(b) for a in books for b in books if a is not b)


def test_publisher_that_starts_again_moves_no_book_of_before():
    first = {item.payload.entity_id for item, _, _ in story(generator(configured_seed=7), 200)}
    again = {item.payload.entity_id for item, _, _ in story(generator(configured_seed=7), 200, begin=1000.5)}
    assert first.isdisjoint(again)


def test_confirmation_needs_nothing_kept():
    assert generator().confirmed(1) is None


def test_book_that_jumped_is_not_heard_of_again():
    items = [item for item, _, _ in story(generator(rate=0.2), 4000)]
    jumped = {item.payload.entity_id: n for n, item in enumerate(items) if item.anomaly == "jump"}
    assert len(jumped) > 20
    assert not [n for n, item in enumerate(items) if n > jumped.get(item.payload.entity_id, n)]
