"""How an item becomes a message."""

import random
import re
from datetime import timezone

import pytest

from reasond.core.effects import Now
from reasond.core.items import compose, hashed_id, random_id
from reasond.messages import decode, encode
from tests.support.driver_publisher import START_NS, item

pytestmark = pytest.mark.unit

NOW = Now(mono=5.0, wall_ns=START_NS + 123_456_789)
UUID4 = re.compile(r"^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$")


def made(given, now=NOW, source="publisher-1", seed=1):
    return compose(given, source=source, reasoning="why", now=now, rng=random.Random(seed))


def test_compose_fills_the_schema_and_survives_the_wire():
    message = decode(encode(made(item("fictional", "book_1", priority="high", ttl_seconds=45))))
    assert message.header.source == "publisher-1"
    assert message.header.version == "1.0"
    assert message.header.timestamp.astimezone(timezone.utc).isoformat() == "2026-01-01T00:00:00.123456+00:00"
    assert (message.metadata.genre_type, message.metadata.priority) == ("fictional", "high")
    assert (message.metadata.ttl_seconds, message.metadata.publisher_reasoning) == (45, "why")
    assert UUID4.match(message.header.message_id)


def test_compose_keeps_the_contents_own_id_and_shifts_the_timestamp_by_its_age():
    message = made(item("fictional", "book_1", message_id=hashed_id("mine"), age_s=60.0))
    assert message.header.message_id == hashed_id("mine")
    assert (made(item("fictional", "book_1")).header.timestamp - message.header.timestamp).total_seconds() == 60.0


@pytest.mark.parametrize(
    "other",
    [{"source": "publisher-2"}, {"now": Now(mono=5.0, wall_ns=NOW.wall_ns + 1)}, {"seed": 2}],
    ids=["another publisher", "another start", "other chance"],
)
def test_two_publishers_or_starts_with_one_seed_give_different_ids(other):
    one = made(item("fictional", "book_1")).header.message_id
    assert made(item("fictional", "book_1"), **other).header.message_id != one


def test_random_id_never_repeats_at_one_moment():
    rng = random.Random(3)
    ids = {random_id("publisher-1", NOW, rng) for _ in range(1000)}
    assert len(ids) == 1000
    assert all(UUID4.match(one) for one in ids)


def test_hashed_id_is_the_same_for_the_same_text_only():
    assert hashed_id("a") == hashed_id("a")
    assert hashed_id("a") != hashed_id("b")
    assert UUID4.match(hashed_id("\ud800"))
