"""Which source the settings lead to."""

import os
import random
import sys
import threading
import time

import pytest

from reasond.content.factory import make_source
from reasond.content.feed import Feed
from reasond.content.generator import Generator
from reasond.errors import InputError
from tests.support.driver_publisher import World, settings

pytestmark = pytest.mark.unit

LINE = '{"entity_id": "book_1", "lat": 1, "lng": 2, "genre_type": "fictional"}\n'


def made(tmp_path, feed, said=None):
    events = said if said is not None else []
    return make_source(
        settings(feed=feed),
        random.Random(1),
        None,
        tmp_path,
        lambda level, event, fields: events.append(event),
    )


def first(source):
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        item = source.take("fictional", World().now())
        if item is not None:
            return item
        threading.Event().wait(0.01)
    raise AssertionError("nothing was read within 10 s")


def test_no_feed_is_the_generator(tmp_path):
    assert isinstance(made(tmp_path, ""), Generator)


def test_file_is_followed_and_said(tmp_path):
    path = tmp_path / "feed.jsonl"
    path.write_text(LINE)
    said = []
    source = made(tmp_path, str(path), said)
    assert isinstance(source, Feed)
    item = first(source)
    source.close()
    assert item.position is not None and item.message_id is not None and "feed_opened" in said


def test_standard_input_is_read_without_a_position(tmp_path, monkeypatch):
    reading, writing = os.pipe()
    os.write(writing, LINE.encode())
    os.close(writing)
    with os.fdopen(reading) as pipe:
        monkeypatch.setattr(sys, "stdin", pipe)
        source = made(tmp_path, "-")
        item = first(source)
    source.close()
    assert item.payload.entity_id == "book_1" and item.position is None
    assert source.confirmed(0) is None


def test_directory_is_refused_by_name(tmp_path):
    with pytest.raises(InputError, match="PUBLISHER_FEED"):
        made(tmp_path, str(tmp_path))
