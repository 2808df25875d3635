"""What the embedded store does beyond the contract it shares with InfluxDB."""

import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reasond.embedded.store import EmbeddedStore
from reasond.errors import StoreRefused
from reasond.points import Row

SECOND = 10**9


def _sample(at: int, queue: str = "fictional", **fields: Any) -> Row:
    return Row("queue_metrics", {"queue": queue}, fields or {"depth": 1}, at)


def test_rows_of_all_series_come_in_the_order_of_their_time() -> None:
    store = EmbeddedStore()
    store.write([_sample(3), _sample(1, "priority"), _sample(2), _sample(9), _sample(1)])

    found = store.rows("queue_metrics", 1, 9)

    assert [(row.time_ns, row.tags["queue"]) for row in found] == [
        (1, "fictional"),
        (1, "priority"),
        (2, "fictional"),
        (3, "fictional"),
    ]


def test_amend_adds_to_the_point_and_leaves_the_given_row_alone() -> None:
    store = EmbeddedStore()
    written = _sample(1, depth=4)
    store.write([written])
    store.amend(_sample(1, ready=2))

    assert store.rows("queue_metrics", 0, 2) == (_sample(1, depth=4, ready=2),)
    assert written.fields == {"depth": 4}


def test_amend_is_seen_in_samples_that_were_asked_for_before() -> None:
    store = EmbeddedStore()
    store.write([_sample(1, depth=4)])
    before = store.queue_samples(0, 2)
    store.amend(_sample(1, ready=2))

    assert [(sample.depth, sample.ready) for sample in (*before, *store.queue_samples(0, 2))] == [(4, None), (4, 2)]


def test_rows_given_out_can_be_changed_without_changing_the_store() -> None:
    store = EmbeddedStore()
    store.write([_sample(1, depth=4)])
    store.rows("queue_metrics", 0, 2)[0].fields["depth"] = 99

    assert store.queue_samples(0, 2)[0].depth == 4


@pytest.mark.parametrize("value", [2**63, -(2**63) - 1, True, 1.0, "1", None], ids=repr)
def test_value_that_is_no_int_of_64_bits_is_refused_with_its_name(value: Any) -> None:
    with pytest.raises(StoreRefused, match="depth"):
        EmbeddedStore().write([_sample(1, depth=value)])


@pytest.mark.parametrize(
    "row",
    [Row("nonsense", {}, {"x": 1}, 1), Row("queue_metrics", {}, {"nonsense": 1}, 1)],
    ids=["measurement", "field"],
)
def test_undeclared_name_is_a_programming_error(row: Row) -> None:
    with pytest.raises(KeyError):
        EmbeddedStore().write([row])


def test_old_raw_points_are_forgotten_and_decisions_kept() -> None:
    store = EmbeddedStore(raw_retention_s=100)
    for second in range(5000):
        store.write(
            [
                _sample(second * SECOND),
                Row("agent_reasoning", {"agent_id": "publisher-1"}, {"decision_id": "d"}, second * SECOND),
            ]
        )

    assert len(store.rows("queue_metrics", 0, 5000 * SECOND)) < 1300
    assert len(store.queue_samples(0, 5000 * SECOND)) < 1300
    assert len(store.queue_samples(4900 * SECOND, 5000 * SECOND)) == 100
    assert len(store.rows("queue_metrics", 4900 * SECOND, 5000 * SECOND)) == 100
    assert len(store.rows("agent_reasoning", 0, 5000 * SECOND)) == 5000


@given(times=st.lists(st.integers(0, 50), max_size=40), start=st.integers(-1, 51), stop=st.integers(-1, 51))
def test_any_order_of_writing_gives_the_same_points(times: Any, start: int, stop: int) -> None:
    forward, sorted_one = EmbeddedStore(), EmbeddedStore()
    forward.write(_sample(at, depth=at) for at in times)
    sorted_one.write(_sample(at, depth=at) for at in sorted(set(times)))

    assert forward.queue_samples(start, stop) == sorted_one.queue_samples(start, stop)
    assert [row.time_ns for row in forward.rows("queue_metrics", start, stop)] == [
        at for at in sorted(set(times)) if start <= at < stop
    ]


def test_a_virtual_hour_of_seven_agents_costs_a_moment() -> None:
    """A day must fit into a small part of 10 s (bench: about 0.1 s an hour)."""
    store, begun = EmbeddedStore(), time.perf_counter()
    tags = {"agent_id": "publisher-1", "queue": "fictional", "routing_key": "fictional"}
    for second in range(3600):
        at = second * SECOND
        store.write([Row("publisher_metrics", tags, {"messages_published": 1, "duration_ms": 1.5}, at)])
        store.write([_sample(at, queue) for queue in ("fictional", "priority")])
        if second % 10 == 0:
            store.queue_samples(at - 60 * SECOND, at)
            store.peers("publisher", at - 60 * SECOND, at)
        if second % 60 == 0:
            store.activity(at - 300 * SECOND, at)

    # Ten times what was measured: a walk over all points would take minutes.
    assert time.perf_counter() - begun < 3
