"""The port's InfluxDB side needs InfluxDB (tests/services); here: what it makes of an answer that is none."""

import pytest

from reasond.errors import StoreRefused
from reasond.operator.records import InfluxRecords, Wanted
from reasond.report.span import Span

HOUR_NS = 3600 * 10**9


class Reader:
    """An InfluxReader that gives one answer and notes what it was asked."""

    def __init__(self, *answer):
        self.answer, self.asked = list(answer), []

    def query(self, text, **params):
        self.asked.append(params)
        return self.answer


@pytest.mark.parametrize("record", [{"portal": "log in"}, {"_time": "yesterday", "_field": "up", "_value": "1"}])
def test_what_is_no_answer_of_influxdb_is_refused(record):
    with pytest.raises(StoreRefused, match="INFLUXDB_URL"):
        InfluxRecords(Reader(record)).latest("agent_health", Span(0, 1))


def test_a_long_range_is_asked_for_in_pieces_newest_first_without_gap():
    reader = Reader()

    InfluxRecords(reader).decided(Span(0, 100 * HOUR_NS), Wanted())

    pieces = [(one["start"], one["stop"]) for one in reader.asked]
    assert pieces[0] == (99 * HOUR_NS, 100 * HOUR_NS) and pieces[-1][0] == 0
    assert all(newer[0] == older[1] for newer, older in zip(pieces, pieces[1:]))
    assert max(stop - start for start, stop in pieces) == 24 * HOUR_NS


def test_what_would_control_a_terminal_is_taken_out():
    tags = {"_time": "2026-11-26T18:00:00Z", "agent_id": "publisher-1\x1b[2J", "agent_type": "publisher"}
    reader = Reader(dict(tags, decision_id="1", reasoning="a\x1b]0;b\x07c — d"))

    (row,) = InfluxRecords(reader).decided(Span(0, 1), Wanted())

    assert row.fields["reasoning"] == "a ]0;b c — d" and row.tags["agent_id"] == "publisher-1 [2J"
