"""A real InfluxDB's time range as a report, held to what plain Python counts from the rows that were written."""

import time
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any, Dict, List, Sequence

import pytest
from click.testing import CliRunner

from reasond.adapters.influxdb import InfluxReader, InfluxWriter
from reasond.adapters.spool import Spool
from reasond.cli import reasond
from reasond.errors import StoreRefused
from reasond.points import Row
from reasond.report import live
from reasond.report.curves import ALL_QUEUES
from reasond.report.data import Page
from reasond.report.span import Span
from reasond.settings import InfluxSettings
from reasond.simulation.world import START_WALL_NS
from tests.support.recorded import lived
from tests.testbed.influxd import Influxd

SECOND_NS = 10**9
MINUTES = 40
# On no border of a window, and within the last days, as a bucket may forget what is older.
BEGIN_NS = (time.time_ns() // (86400 * SECOND_NS) - 1) * 86400 * SECOND_NS + 5 * 3600 * SECOND_NS + 1780 * SECOND_NS
SPAN = Span(BEGIN_NS + 120 * SECOND_NS, BEGIN_NS + (MINUTES * 60 - 90) * SECOND_NS)
ENVIRONMENT = {
    "REASOND_BRAIN": "dry-run",
    "PUBLISHER_ANOMALY_RATE": "0.1",
    "CONSUMER_HANDLER_DURATION_MS": "2900",
    "CONSUMER_HANDLER_THREADS": "1",
    "PUBLISHER_TTL_S": "60",
}
HOSTILE = '<script>alert("1")</script> `${x}` </script><b>'


def _history() -> List[Row]:
    """Give the rows of seven agents, one of them in shadow, with calls of the API and a hostile reasoning."""
    world = lived(ENVIRONMENT, MINUTES, seed=3)
    shift_ns = BEGIN_NS - START_WALL_NS
    rows = []
    for row in world.written:
        fields = dict(row.fields)
        if row.tags.get("agent_id") == "publisher-2" and "acted" in fields:
            fields["acted"] = False
        if "reasoning" in fields and row.tags["agent_id"] == "publisher-3":
            fields["reasoning"] = HOSTILE + fields["reasoning"]
        rows.append(Row(row.measurement, row.tags, fields, row.time_ns + shift_ns))
    return rows + _calls(rows)


def _calls(rows: Sequence[Row]) -> List[Row]:
    tags = {"agent_type": "consumer", "agent_id": "consumer-1", "model": "a model", "error": "none"}
    fields = {"attempt": 1, "status": 200, "input_tokens": 600, "output_tokens": 150, "cost_usd": 0.004}
    mine = [row for row in rows if row.tags.get("agent_id") == "consumer-1" and "decision_id" in row.fields]
    return [Row("api_calls", tags, fields, row.time_ns) for row in mine if row.measurement == "agent_reasoning"]


@pytest.fixture(scope="module")
def written() -> List[Row]:
    return _history()


@pytest.fixture
def settings(influxd: Influxd, bucket: str, tmp_path: Path, written: List[Row]) -> InfluxSettings:
    """The settings of a bucket that holds the history, written by the agents' own writer."""
    found = InfluxSettings(url=influxd.url, token=influxd.token, org=influxd.org, bucket=bucket)
    said: List[str] = []
    writer = InfluxWriter(found, Spool(tmp_path, 10**8), said.append)
    writer.write(written)
    assert writer.close(60), said
    return found


def merged(rows: Sequence[Row], measurement: str) -> List[Row]:
    """Give the points of the span as they stand once every amendment has landed on its original."""
    points: Dict[Any, Dict[str, Any]] = {}
    for row in rows:
        if row.measurement == measurement and SPAN.start_ns <= row.time_ns < SPAN.stop_ns:
            points.setdefault((tuple(sorted(row.tags.items())), row.time_ns), {}).update(row.fields)
    return [Row(measurement, dict(tags), fields, at) for (tags, at), fields in points.items()]


def page_of(settings: InfluxSettings) -> Page:
    return live.page(InfluxReader(settings), SPAN, "a version")


def test_decisions_outcomes_and_marks_are_those_written(settings: InfluxSettings, written: List[Row]) -> None:
    decisions = [row for row in merged(written, "agent_reasoning") if "decision_id" in row.fields]
    page = page_of(settings)
    (section,) = page.chapters[0].sections

    assert section.decided == len(decisions) > 200
    tables = {table.title: table for table in section.tables}
    counted = {row[0]: int(row[1]) for row in tables["Decisions by agent and action"].rows}
    assert counted == Counter(row.tags["agent_id"] for row in decisions)
    judged: Dict[Any, Counter] = defaultdict(Counter)
    for row in decisions:
        if row.fields.get("acted", True) and "outcome_success" in row.fields:
            judged[(row.tags["agent_type"], row.tags["action"])][row.fields["outcome_success"]] += 1
    told = {(row[0], row[1]): (int(row[2]), int(row[3])) for row in tables["Outcomes"].rows if row[2] != "0"}
    assert told == {key: (sum(found.values()), found[True]) for key, found in judged.items()}
    rate_changes = [
        row for row in decisions if row.tags["agent_type"] == "publisher" and row.tags["action"] != "continue"
    ]
    marks = {(one.time_ns, one.agent_id) for one in section.marks if one.kind == "publisher"}
    assert {(row.time_ns, row.tags["agent_id"]) for row in rate_changes} <= marks
    by_time = {(one.time_ns, one.agent_id): one for one in section.decisions}
    for row in rate_changes:
        one = by_time[(row.time_ns, row.tags["agent_id"])]
        assert one.reasoning == row.fields["reasoning"][: len(one.reasoning) - 1] + one.reasoning[-1]
        assert one.acted == (row.tags["agent_id"] != "publisher-2")


def test_success_in_shadow_stands_beside_success_acted_on(settings: InfluxSettings, written: List[Row]) -> None:
    page = page_of(settings)

    found: Dict[Any, Counter] = defaultdict(Counter)
    for row in merged(written, "agent_reasoning"):
        if row.tags["agent_type"] == "publisher" and "outcome_success" in row.fields:
            found[(row.tags["action"], row.fields.get("acted", True))][row.fields["outcome_success"]] += 1
    (table,) = page.chapters[0].tables
    told = {row[1]: (int(row[2]), int(row[4])) for row in table.rows if row[0] == "publisher"}
    actions = {action for action, _ in found}
    assert told == {a: (sum(found[(a, True)].values()), sum(found[(a, False)].values())) for a in actions}
    assert "hint" in page.chapters[0].words[0]


def test_curves_hold_the_peaks_and_every_message(settings: InfluxSettings, written: List[Row]) -> None:
    depth, dead, rate = page_of(settings).chapters[0].sections[0].graphs

    samples = merged(written, "queue_metrics")
    for line in (*depth.lines, *dead.lines):
        if line.name != ALL_QUEUES:
            peak = max(row.fields["depth"] for row in samples if row.tags["queue"] == line.name)
            assert max(value for value in line.values if value is not None) == peak, line.name
    lines = {line.name: line for line in rate.lines}
    for name, measurement, field in (
        (live.PUBLISHED, "publisher_metrics", "messages_published"),
        (live.CONSUMED, "consumer_metrics", "messages_consumed"),
    ):
        whole_minutes = Counter()  # type: ignore[var-annotated]
        for row in merged(written, measurement):
            whole_minutes[row.time_ns // (60 * SECOND_NS)] += row.fields[field]
        told = {at // (60 * SECOND_NS): value for at, value in zip(lines[name].times_ns, lines[name].values)}
        inner = sorted(whole_minutes)[1:-1]
        assert len(inner) > 30
        assert {minute: told[minute] for minute in inner} == {minute: whole_minutes[minute] for minute in inner}


def test_cost_is_the_apis_own_record(settings: InfluxSettings, written: List[Row]) -> None:
    (section,) = page_of(settings).chapters[0].sections

    calls = merged(written, "api_calls")
    rows = {row[0]: row for row in next(table for table in section.tables if table.title == "Cost").rows}
    usd = sum(row.fields["cost_usd"] for row in calls)
    assert rows["consumer-1"][2:5] == (f"{600 * len(calls):,}", f"{150 * len(calls):,}", f"${usd:.4f}")
    hours = (SPAN.stop_ns - SPAN.start_ns) / (3600 * SECOND_NS)
    assert rows["projected a day"][4] == f"${usd / hours * 24:.2f}"


def test_the_monitors_newest_analysis_is_told(settings: InfluxSettings, written: List[Row]) -> None:
    (section,) = page_of(settings).chapters[0].sections

    health = sorted(merged(written, "system_health"), key=lambda row: row.time_ns)
    rows = dict(next(table for table in section.tables if table.title == "The monitor").rows)
    scores = [row.fields["system_health_score"] for row in health]
    assert rows["score"] == f"first {scores[0]}, worst {min(scores)}, last {scores[-1]} of 100"
    assert rows["newest analysis"] == health[-1].fields["ai_analysis_text"]


def test_the_command_writes_a_page_in_which_a_hostile_reasoning_is_text(
    settings: InfluxSettings, tmp_path: Path
) -> None:
    target = tmp_path / "page.html"
    environ = {
        "INFLUXDB_URL": settings.url,
        "INFLUXDB_TOKEN": settings.token,
        "INFLUXDB_ORG": settings.org,
        "INFLUXDB_BUCKET": settings.bucket,
    }
    words = ["report", "--since", "3d", "--output", str(target)]

    done = CliRunner().invoke(reasond, words, env=environ)

    assert done.exit_code == 0, done.output
    text = target.read_text(encoding="utf-8")
    assert "&lt;script&gt;alert(&quot;1&quot;)" in text and "<script>alert" not in text
    assert text.count("</script>") == 3
    assert settings.token not in text


def test_a_wrong_token_is_said(settings: InfluxSettings) -> None:
    wrong = InfluxSettings(url=settings.url, token="wrong", org=settings.org, bucket=settings.bucket)

    with pytest.raises(StoreRefused, match="INFLUXDB_TOKEN"):
        page_of(wrong)


def test_an_empty_bucket_gives_a_page_that_says_so(influxd: Influxd, bucket: str) -> None:
    page = page_of(InfluxSettings(url=influxd.url, token=influxd.token, org=influxd.org, bucket=bucket))

    assert page.chapters[0].words == ("No decision was recorded in this time: there is nothing to tell.",)
