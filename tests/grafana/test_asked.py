"""Queries are put together as Grafana's front end does it: variables, intervals, and what a board holds."""

from typing import Any, Dict, List, Optional

import pytest

from tests.testbed.boards import ALL, Asked, Variable, duration_ms, frame, interpolated, rounded_ms

HOUR_MS = 3_600_000


@pytest.mark.parametrize(
    "query, values, all_value, expected",
    [
        pytest.param("/^${x:regex}$/", [ALL], ".*", "/^.*$/", id="all is put in as it is"),
        pytest.param("/^${x:regex}$/", ["a.b"], ".*", r"/^a\.b$/", id="one value is escaped"),
        pytest.param("/^${x:regex}$/", ["a", "b/c"], ".*", r"/^(a|b\/c)$/", id="several are alternatives"),
        pytest.param("v * $x + 1", ["3"], None, "v * 3 + 1", id="a plain figure"),
        pytest.param("[${x:doublequote}]", ["a", 'b"'], None, '["a","b\\""]', id="quoted"),
        pytest.param("$__interval ${other} $x", ["1"], None, "$__interval ${other} 1", id="the server's own stay"),
    ],
)
def test_variables_are_put_in_as_the_front_end_does(
    query: str, values: List[str], all_value: Optional[str], expected: str
) -> None:
    variables = {"x": Variable("x", ("default",), all_value)}

    assert interpolated(query, variables, {"x": values}) == expected


def test_format_that_is_not_known_here_is_refused() -> None:
    with pytest.raises(ValueError, match="format glob"):
        interpolated("${x:glob}", {"x": Variable("x", ("a",), None)})


def test_all_without_a_value_for_it_is_refused() -> None:
    with pytest.raises(ValueError, match="variable x is All"):
        interpolated("$x", {"x": Variable("x", (ALL,), None)})


@pytest.mark.parametrize(
    "exact_ms, rounded",
    [(1, 1), (HOUR_MS / 360, 10_000), (12_499, 10_000), (12_500, 15_000), (HOUR_MS / 5, 600_000), (1e15, 31_536e6)],
)
def test_interval_is_rounded_as_the_front_end_does(exact_ms: float, rounded: int) -> None:
    assert rounded_ms(exact_ms) == rounded


def test_interval_is_never_shorter_than_the_panels_least() -> None:
    asked = Asked("b", "panel", "p", "timeseries", (), {}, max_points=360, min_interval_ms=duration_ms("1m"))

    assert [asked.interval_ms(hours * HOUR_MS) for hours in (1, 24)] == [60_000, 300_000]


def test_request_has_what_the_browser_sends_beside_the_query() -> None:
    target: Dict[str, Any] = {"refId": "A", "datasource": {"uid": "u"}, "query": "$x"}
    asked = Asked("b", "panel", "p", "stat", (target,), {"x": Variable("x", ("7",), None)}, max_points=100)

    (request,) = asked.requests(HOUR_MS)

    assert request == {**target, "query": "7", "intervalMs": 30_000, "maxDataPoints": 100}


def test_frame_is_read_by_columns_and_without_data_is_empty() -> None:
    fields = [{"name": "_time", "type": "time"}, {"name": "_value", "type": "number", "labels": {"queue": "q"}}]

    read = frame("A", {"schema": {"fields": fields}, "data": {"values": [[1, 2], [None, 2.5]]}})
    empty = frame("A", {"schema": {}, "data": {"values": []}})

    assert (read.rows, read.columns[1].filled, read.columns[1].labels) == (2, [2.5], {"queue": "q"})
    assert (empty.rows, empty.columns) == (0, ())
