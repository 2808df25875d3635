"""A feed in virtual time: each line once, in order, and from where the saved state left off."""

import random

import pytest

from reasond.content.generator import Generator
from reasond.core.effects import Now
from reasond.settings import load
from reasond.simulation.feed import ReplayedFeed, write_feed

pytestmark = pytest.mark.unit

NOW = Now(0.0, 1_767_225_600_000_000_000)


@pytest.fixture
def settings(tmp_path):
    path = tmp_path / "feed.jsonl"
    environ = {"PUBLISHER_ID": "publisher-1", "PUBLISHER_FEED": str(path), "PUBLISHER_ANOMALY_RATE": "0"}
    settings = load(environ, "publisher").publisher
    write_feed(path, 10, Generator(settings, random.Random(1)), NOW)
    return settings


def taken(feed, count):
    return [feed.take(genre, NOW) for _ in range(count) for genre in ("fictional", "non-fictional")]


def test_every_line_comes_once_and_then_none(settings):
    items = taken(ReplayedFeed(settings, {}), 6)

    assert [item is None for item in items] == [False] * 10 + [True] * 2
    assert len({item.payload.context + item.payload.entity_id for item in items[:10]}) > 5


def test_a_process_that_starts_again_goes_on_where_the_state_says(settings):
    first = ReplayedFeed(settings, {})
    items = taken(first, 2)
    state = None
    for item in items:
        state = first.confirmed(item.position) or state

    again = taken(ReplayedFeed(settings, {"feed": state}), 3)

    assert [item.payload for item in again] == [item.payload for item in taken(ReplayedFeed(settings, {}), 5)[4:]]
