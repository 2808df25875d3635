"""A real InfluxDB and the embedded store answer the operator's questions alike, over one past."""

import time

import pytest

from reasond.adapters.influxdb import InfluxReader, InfluxWriter
from reasond.adapters.spool import Spool
from reasond.errors import StoreUnavailable
from reasond.operator.queries import LATEST
from reasond.operator.records import InfluxRecords, Wanted
from reasond.points import Row
from reasond.report.span import Span
from reasond.settings import InfluxSettings
from tests.support.past import MINUTES, SECOND_NS, EmbeddedRecords, past

END_NS = time.time_ns() - 10 * SECOND_NS
SPAN = Span(END_NS - MINUTES * 60 * SECOND_NS, END_NS + 1)
TAGS = {"agent_id": "publisher-9", "agent_type": "publisher", "action": "pause", "brain": "rules"}
ORPHAN = Row("agent_reasoning", TAGS, {"outcome_success": True, "outcome_score": 1.0}, END_NS - 5 * SECOND_NS)
"""An amendment that lost its original."""
JUDGED = [
    Row(
        "experiment",
        {"agent_id": "monitor-1", "plan": "claude,static:60m", "measure": "depth"},
        fields,
        END_NS - ago_ns,
    )
    for ago_ns, fields in (
        (60 * SECOND_NS, {"pairs": 6, "p": 0.03, "difference": -3.1, "verdict": "less"}),
        (SECOND_NS, {"pairs": 5, "verdict": "too little data"}),
    )
]


@pytest.fixture(scope="module")
def rows():
    return [*past(END_NS), ORPHAN, *JUDGED]


@pytest.fixture(scope="module")
def both(influxd, rows, tmp_path_factory):
    """The two stores, with the same rows in them, amendments written after their originals."""
    bucket = influxd.fresh_bucket()
    settings = InfluxSettings(url=influxd.url, token=influxd.token, org=influxd.org, bucket=bucket)
    said = []
    writer = InfluxWriter(settings, Spool(tmp_path_factory.mktemp("spool"), 10**8), said.append)
    writer.write(rows)
    assert writer.close(60), said
    yield InfluxRecords(InfluxReader(settings)), EmbeddedRecords(rows)
    influxd.delete_bucket(bucket)


@pytest.mark.parametrize("measurement", sorted(LATEST))
def test_latest_points_are_whole_and_the_newest(both, measurement):
    answers = [sorted(one.latest(measurement, SPAN), key=lambda row: sorted(row.tags.items())) for one in both]

    assert answers[0] == answers[1] and answers[0]


def test_latest_point_takes_no_field_from_an_older_one(both, influxd):
    influx, _ = both
    bucket = influxd.fresh_bucket()
    settings = InfluxSettings(url=influxd.url, token=influxd.token, org=influxd.org, bucket=bucket)
    old, new = END_NS - 60 * SECOND_NS, END_NS
    lines = [
        f'agent_health,agent_id=publisher-1,agent_type=publisher up=1i,degraded=true,degraded_reason="x" {old}',
        f"agent_health,agent_id=publisher-1,agent_type=publisher up=1i,degraded=false {new}",
    ]
    influxd.write(bucket, "\n".join(lines))

    (found,) = InfluxRecords(InfluxReader(settings)).latest("agent_health", SPAN)

    assert found.fields == {"up": 1, "degraded": False} and found.time_ns == new
    influxd.delete_bucket(bucket)


@pytest.mark.parametrize(
    "wanted",
    [
        Wanted(),
        Wanted(limit=5),
        Wanted(agent="publisher-2"),
        Wanted(action="slow_down"),
        Wanted(agent="consumer-1", action="process", limit=3),
        Wanted(agent='x" or true or "'),
    ],
    ids=["all", "newest", "agent", "action", "all three", "a text that is Flux"],
)
def test_decisions_are_the_same_newest_first(both, wanted):
    influx, embedded = (one.decided(SPAN, wanted) for one in both)

    assert influx == embedded
    assert [row.time_ns for row in influx] == sorted((row.time_ns for row in influx), reverse=True)
    assert bool(influx) == ('"' not in wanted.agent)
    assert all(row.tags["agent_id"] != "publisher-9" for row in influx)


@pytest.mark.parametrize("prefix", ["publisher-1-", "monitor-1", "nobody"])
def test_ids_are_found_by_their_beginning(both, prefix):
    influx, embedded = (one.named(SPAN, prefix) for one in both)

    assert influx == embedded and bool(influx) == (prefix != "nobody")


def test_throughput_spend_and_attempts_are_the_same(both):
    influx, embedded = both
    _, agent, decision_id = embedded.named(SPAN, "publisher-1-")[3]

    assert influx.throughput(SPAN) == embedded.throughput(SPAN)
    assert influx.spent(END_NS) == embedded.spent(END_NS)
    assert influx.attempts(SPAN, agent, decision_id) == embedded.attempts(SPAN, agent, decision_id) != []


def test_store_that_is_away_is_said():
    with pytest.raises(StoreUnavailable):
        InfluxRecords(InfluxReader(InfluxSettings(url="http://127.0.0.1:9"))).decided(SPAN, Wanted())
