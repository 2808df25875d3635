"""A feed as a content source: each genre's own pace, bad lines set aside, positions never ahead."""

import json
import os
import threading
import time

import pytest

from reasond.content import feed as feed_module
from reasond.content.feed import AHEAD_LINES, Feed
from reasond.content.ledger import Ledger
from reasond.content.tail import Tail
from tests.support.driver_publisher import World, settings

pytestmark = pytest.mark.unit


def row(n, genre="fictional", **more):
    return json.dumps(dict({"entity_id": f"book_{n}", "lat": 1.5, "lng": 2.5, "genre_type": genre}, **more))


class Bench:
    def __init__(self, tmp_path, name="feed.jsonl"):
        self.path, self.rejected = tmp_path / name, tmp_path / "feed.rejected.jsonl"
        self.said = []

    def write(self, *lines):
        with self.path.open("a") as file:
            file.writelines(line + "\n" for line in lines)

    def open(self, state=None, **changes):
        chosen = settings(feed=str(self.path), **changes)
        ledger = Ledger(state)
        tail = Tail(self.path, ledger.position, lambda event, fields: None)
        say = lambda level, event, fields: self.said.append((level, event, dict(fields)))  # noqa: E731
        return Feed(chosen, tail, ledger, rejected=self.rejected, say=say)

    def read(self, feed):
        while feed.step():
            pass
        return feed

    def rejects(self):
        return [json.loads(line) for line in self.rejected.read_text().splitlines()]


@pytest.fixture
def bench(tmp_path):
    return Bench(tmp_path)


def taken(feed, genre="fictional"):
    items = []
    while True:
        item = feed.take(genre, World().now())
        if item is None:
            return items
        items.append(item)


def books(items):
    return [item.payload.entity_id for item in items]


def test_each_genre_has_a_line_of_its_own(bench):
    bench.write(row(1), row(2, "non-fictional"), row(3))
    feed = bench.read(bench.open())
    assert books(taken(feed)) == ["book_1", "book_3"]
    assert books(taken(feed, "non-fictional")) == ["book_2"]


def test_bad_lines_are_counted_and_set_aside_with_number_and_reason(bench):
    bench.write(row(1), "garbage", "", row(2, lat=99), row(3))
    feed = bench.read(bench.open())
    assert books(taken(feed)) == ["book_1", "book_3"]
    assert feed.bad_lines == 2
    assert [(entry["line"], entry["text"][:7]) for entry in bench.rejects()] == [
        (2, "garbage"),
        (4, row(2)[:7]),
    ]
    assert "lat" in bench.rejects()[1]["reason"]
    assert [event for _, event, _ in bench.said] == ["feed_line_rejected"]


def test_rejected_file_is_bounded_and_the_count_goes_on(bench, monkeypatch):
    monkeypatch.setattr(feed_module, "REJECTED_MAX_BYTES", 300)
    bench.write(*["bad"] * 50)
    feed = bench.read(bench.open())
    assert feed.bad_lines == 50
    assert len(bench.rejects()) < 5
    assert [fields["bad_lines"] for _, _, fields in bench.said] == [1, 10]


def test_position_never_passes_a_line_that_is_not_confirmed(bench):
    bench.write(row(1), row(2, "non-fictional"), "bad", row(4))
    feed = bench.read(bench.open())
    first, fourth = taken(feed)
    (second,) = taken(feed, "non-fictional")
    ends = [len(row(1)) + 1]
    assert feed.confirmed(fourth.position)["offset"] == 0
    state = feed.confirmed(first.position)
    assert (state["offset"], len(state["done"])) == (ends[0], 2)
    state = feed.confirmed(second.position)
    assert (state["offset"], state["done"]) == (os.stat(str(bench.path)).st_size, [])


def test_restart_gives_what_was_not_confirmed_under_the_same_ids(bench):
    bench.write(row(1), row(2), row(3, message_id="6dd1ad1e-3f0e-4b55-8e2e-3b7f5b4d4a10"))
    feed = bench.read(bench.open())
    first, second, third = taken(feed)
    state = json.loads(json.dumps(feed.confirmed(second.position)))
    again = taken(bench.read(bench.open(state)))
    assert [item.message_id for item in again] == [first.message_id, third.message_id]
    assert third.message_id == "6dd1ad1e-3f0e-4b55-8e2e-3b7f5b4d4a10"


def test_equal_lines_are_different_messages_also_after_a_truncation(bench):
    bench.write(row(1), row(1))
    feed = bench.read(bench.open())
    bench.path.write_text(row(1) + "\n")
    for _ in range(3):
        feed.step()
    bench.read(feed)
    ids = [item.message_id for item in taken(feed)]
    assert len(ids) == len(set(ids)) == 3


def test_csv_is_read_by_its_header_also_after_a_restart(tmp_path):
    bench = Bench(tmp_path, "feed.csv")
    bench.write("genre_type,entity_id,lng,lat", "fictional,book_1,2.5,1.5", "fictional,book_2,2.5,1.5")
    feed = bench.read(bench.open())
    first, _ = taken(feed)
    state = feed.confirmed(first.position)
    again = taken(bench.read(bench.open(state)))
    assert books(again) == ["book_2"] and again[0].payload.coordinates.lng == 2.5
    assert feed.bad_lines == 0


def test_slow_genre_holds_the_other_up_only_beyond_the_bound(bench, monkeypatch):
    monkeypatch.setattr(feed_module, "AHEAD_LINES", 20)
    bench.write(row(0, "non-fictional"), *[row(n) for n in range(1, 101)])
    feed = bench.read(bench.open())
    # The slow genre's one line stays untaken; the other goes on to the bound and then rests
    for item in taken(feed):
        feed.confirmed(item.position)
    bench.read(feed)
    assert taken(feed) == []
    (slow,) = taken(feed, "non-fictional")
    state = feed.confirmed(slow.position)
    assert state["offset"] > 0
    assert len(taken(bench.read(feed))) == 20
    assert AHEAD_LINES > 1000


def test_unreadable_file_is_said_once_and_tried_again(bench):
    class Failing:
        def poll(self, room):
            raise OSError(5, "Input/output error")

    feed = bench.open()
    feed._lines = Failing()
    assert [feed.step(), feed.step()] == [False, False]
    assert [event for _, event, _ in bench.said] == ["feed_unreadable"]


def test_thread_reads_ahead_and_take_never_waits(bench):
    bench.write(row(1))
    feed = bench.open()
    feed.start()
    deadline = time.monotonic() + 10
    items = []
    while not items and time.monotonic() < deadline:
        items = taken(feed)
        threading.Event().wait(0.01)
    feed.close()
    assert books(items) == ["book_1"]


def test_publisher_with_a_real_file_goes_on_after_a_restart_where_it_stopped(bench):
    bench.write(*[row(n, "fictional" if n % 3 else "non-fictional") for n in range(12)])
    saved = {}
    quick = {"fictional_interval_s": 1, "nonfictional_interval_s": 3}
    first = World(source=bench.read(bench.open()), saved=saved, changes=quick).start().run(4.3)
    second = World(source=bench.read(bench.open(saved["feed"])), saved=saved, changes=quick, at=50.0).start().run(90)
    ids = [e.message_id for e in first.confirmed + second.confirmed]
    assert first.confirmed and len(ids) == len(set(ids)) == 12
    assert first.confirmed_books() | second.confirmed_books() == {f"book_{n}" for n in range(12)}
