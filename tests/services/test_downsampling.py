"""The 5-minute series that a real InfluxDB makes are what plain Python counts from the same rows."""

import math
import time
from collections import defaultdict
from typing import Any, Callable, Dict, Iterator, List, Mapping, Optional, Sequence, Tuple

import pytest

from reasond.downsampling import (
    DOWNSAMPLED,
    DURATION_BOUNDS_MS,
    LATENCY_BOUNDS_MS,
    LATENCY_FROM_MS,
    OFFSET_S,
    RECOMPUTED_WINDOWS,
    TASK_NAME,
    WINDOW_NS,
    flux_time,
    oldest_flux,
    parsed_time,
    span_flux,
    task_flux,
)
from reasond.points import Row, to_line
from reasond.simulation.world import START_WALL_NS
from tests.support.recorded import lived
from tests.testbed.influxd import Influxd
from tests.testbed.waiting import wait_until

SECOND_NS = 1000000000
HALF_NS = 30 * SECOND_NS
HOUR_NS = 3600 * SECOND_NS
MINUTES = 66
# More messages than the consumers can take, so that outcomes, late messages and slow handling all come about.
ENVIRONMENT = {
    "REASOND_BRAIN": "dry-run",
    "PUBLISHER_ANOMALY_RATE": "0.2",
    "PUBLISHER_FICTIONAL_INTERVAL_S": "3",
    "PUBLISHER_NONFICTIONAL_INTERVAL_S": "3",
    "CONSUMER_SAMPLE_EVERY": "4",
    "CONSUMER_MIN_CALL_GAP_S": "2",
    "CONSUMER_HANDLER_DURATION_MS": "2100",
    "CONSUMER_HANDLER_THREADS": "1",
}

Key = Tuple[str, Tuple[Tuple[str, str], ...], str, int]
"""Measurement, tags in order, field and the window's start (UTC ns)."""
Values = Dict[Key, float]


def _an_hour() -> List[Row]:
    world = lived(ENVIRONMENT, MINUTES, seed=5)
    world.stop()
    rows = [_in_shadow(row) for row in world.written]
    return rows + _calls(rows) + _oddities(rows)


def _in_shadow(row: Row) -> Row:
    """Let every decision of one publisher and the flags of one consumer have been in shadow."""
    if "acted" not in row.fields or row.tags["agent_id"] not in ("publisher-2", "consumer-3"):
        return row
    return Row(row.measurement, row.tags, dict(row.fields, acted=False), row.time_ns)


def _calls(rows: Sequence[Row]) -> List[Row]:
    """Give an attempt at the API for each decision, every fifth refused: the dry run makes none."""
    calls = []
    for number, row in enumerate(row for row in rows if "tokens_used" in row.fields):
        failed = number % 5 == 0
        tags = {"agent_type": row.tags["agent_type"], "agent_id": row.tags["agent_id"], "model": "a model"}
        fields: Dict[str, Any] = {"attempt": 1, "latency_ms": 10.5, "input_tokens": 0, "output_tokens": 0}
        if not failed:
            fields.update({name: row.fields[name] for name in ("input_tokens", "output_tokens")})
        fields["cost_usd"] = 0.0 if failed else row.fields["would_cost_usd"]
        calls.append(Row("api_calls", dict(tags, error="timeout" if failed else "none"), fields, row.time_ns))
    return calls


def _oddities(rows: Sequence[Row]) -> List[Row]:
    """Give what happens rarely: lost originals, a message flagged twice, ends on a border, records with little in."""
    at = START_WALL_NS + 20 * 60 * SECOND_NS
    decision = {
        "agent_id": "publisher-9",
        "agent_type": "publisher",
        "action": "slow_down",
        "decision_type": "rate_adjustment",
        "brain": "claude",
        "model": "a model",
        "prompt_version": "1",
    }
    injected = {row.fields["message_id"] for row in rows if row.measurement == "injected_anomalies"}
    flag = next(row for row in rows if row.measurement == "flags" and row.fields["message_id"] in injected)
    kind = {"agent_id": "publisher-1", "queue": "fictional", "kind": "jump"}
    soon, late = {"message_id": "across the start"}, {"message_id": "across the end"}
    end = START_WALL_NS + HOUR_NS
    consumed = {"agent_id": "consumer-9", "queue": "fictional", "processing_action": "rejected"}
    return [
        # Only the outcome arrived, and an operator's order that says little.
        Row("agent_reasoning", decision, {"outcome_score": 1.0, "outcome_success": True}, at + 1),
        Row("agent_reasoning", dict(decision, brain="operator"), {"decision_id": "order-1"}, at + 2),
        Row("agent_reasoning", dict(decision, brain="operator"), {"decision_id": "o", "outcome_score": 0.0}, at + 3),
        Row("flags", dict(flag.tags, agent_id="consumer-9"), flag.fields, flag.time_ns + SECOND_NS),
        Row("flags", dict(flag.tags, by="ai"), {"message_id": "of nobody", "reason": "?"}, flag.time_ns),
        # The flag lies in another hour than the injection.
        Row("injected_anomalies", kind, soon, START_WALL_NS - 50 * 60 * SECOND_NS),
        Row("flags", flag.tags, dict(soon, reason="?"), START_WALL_NS + 1),
        Row("injected_anomalies", kind, late, end - 1),
        Row("flags", flag.tags, dict(late, reason="?"), end + 10 * 60 * SECOND_NS),
        # On a window's border, on a bucket's bound, and without an age.
        Row("consumer_metrics", consumed, {"messages_consumed": 1, "processing_duration_ms": 5.0}, at),
        Row("consumer_metrics", consumed, {"messages_consumed": 1, "processing_duration_ms": 9e9}, at - 1),
    ]


# The independent count


def merged(rows: Sequence[Row]) -> List[Row]:
    """Give the points as they stand once every amendment has landed on its original."""
    points: Dict[Tuple[Any, ...], Dict[str, Any]] = {}
    for row in rows:
        points.setdefault((row.measurement, tuple(sorted(row.tags.items())), row.time_ns), {}).update(row.fields)
    return [Row(name, dict(tags), fields, time_ns) for (name, tags, time_ns), fields in points.items()]


class _Count:
    """What the windows from `start` up to `stop` should hold."""

    def __init__(self, rows: Sequence[Row], start: int, stop: int) -> None:
        self.values: Values = defaultdict(float)
        self._rows = merged(rows)
        self._start, self._stop = start, stop
        self._messages()
        self._decisions()
        self._depths()
        self._flags()
        self._responses()

    def _of(self, measurement: str) -> List[Row]:
        return [row for row in self._rows if row.measurement == measurement and self._start <= row.time_ns < self._stop]

    def _add(self, series: str, tags: Mapping[str, str], row: Row, **fields: Optional[float]) -> None:
        for field, value in fields.items():
            if value is not None:
                kept = tuple(sorted((tag, tags[tag]) for tag in DOWNSAMPLED[series].tags))
                self.values[series, kept, field, row.time_ns - row.time_ns % WINDOW_NS] += value

    def _bounds(self, series: str, row: Row, field: str, bounds: Sequence[float]) -> None:
        if field in row.fields:
            for bound in bounds:
                text = "+Inf" if math.isinf(bound) else str(int(bound))
                self._add(series, dict(row.tags, le=text), row, **{field: float(row.fields[field] <= bound)})

    def _messages(self) -> None:
        for row in self._of("publisher_metrics"):
            self._add("publisher_metrics_5m", row.tags, row, messages_published=row.fields["messages_published"])
        for row in self._of("consumer_metrics"):
            fields = row.fields
            self._add("consumer_metrics_5m", row.tags, row, messages_consumed=1, late=fields.get("late"))
            self._bounds("consumer_durations_5m", row, "processing_duration_ms", DURATION_BOUNDS_MS)
            self._bounds("consumer_durations_5m", row, "age_ms", DURATION_BOUNDS_MS)
        for row in self._of("api_calls"):
            same = {name: row.fields[name] for name in ("input_tokens", "output_tokens", "cost_usd")}
            self._add("api_calls_5m", row.tags, row, attempts=1, **same)

    def _decisions(self) -> None:
        for row in self._of("agent_reasoning"):
            fields = row.fields
            same = {name: fields.get(name) for name in ("tokens_used", "input_tokens", "output_tokens", "cost_usd")}
            self._add(
                "agent_reasoning_5m",
                row.tags,
                row,
                decisions=1 if "decision_id" in fields else None,
                adjusted=fields.get("adjusted"),
                would_cost_usd=fields.get("would_cost_usd"),
                confidence_sum=fields.get("confidence"),
                confidence_count=1 if "confidence" in fields else None,
                **same,
            )
            if fields.get("decision_latency_ms", 0.0) >= LATENCY_FROM_MS:
                self._bounds("decision_latency_5m", row, "decision_latency_ms", LATENCY_BOUNDS_MS)
            if "decision_id" in fields and "outcome_score" in fields:
                tags = dict(row.tags, acted=str(fields.get("acted", True)).lower())
                self._add("outcomes_5m", tags, row, outcomes=1, succeeded=fields["outcome_score"])

    def _depths(self) -> None:
        depths: Dict[Tuple[str, int], List[int]] = defaultdict(list)
        for row in self._of("queue_metrics"):
            depths[row.tags["queue"], row.time_ns - row.time_ns % WINDOW_NS].append(row.fields["depth"])
        for (queue, start), found in depths.items():
            key = (("queue", queue),)
            self.values["queue_metrics_5m", key, "depth", start] = sum(found) / len(found)
            self.values["queue_metrics_5m", key, "depth_max", start] = max(found)

    def _flags(self) -> None:
        ids = {
            name: {row.fields["message_id"] for row in self._rows if row.measurement == name}
            for name in ("flags", "injected_anomalies")
        }
        for row in self._of("injected_anomalies"):
            found = row.fields["message_id"] in ids["flags"]
            self._add("injected_anomalies_5m", row.tags, row, injected=1, found=found)
        for row in self._of("flags"):
            right = row.fields["message_id"] in ids["injected_anomalies"]
            self._add("flags_5m", row.tags, row, flagged=1, right=right)

    def _responses(self) -> None:
        halves: Dict[Tuple[str, int], List[float]] = defaultdict(list)
        for row in self._rows:
            for field in ("processing_duration_ms", "age_ms"):
                if row.measurement == "consumer_metrics" and field in row.fields:
                    halves[field, row.time_ns // HALF_NS].append(row.fields[field])
        p95 = {key: _p95(found) for key, found in halves.items()}
        for row in self._of("agent_reasoning"):
            decided = row.tags["agent_type"] == "publisher" and row.tags["decision_type"] == "rate_adjustment"
            if (
                not decided
                or row.tags["brain"] == "operator"
                or "decision_id" not in row.fields
                or row.fields.get("acted") is False
            ):
                continue
            half = row.time_ns // HALF_NS
            found = {
                prefix + suffix: p95.get((field, half + step))
                for prefix, field in (("processing_ms_", "processing_duration_ms"), ("age_ms_", "age_ms"))
                for suffix, step in (("before", -1), ("after", 1))
            }
            if None not in found.values():
                self._add("decision_responses_5m", row.tags, row, decisions=1, **found)


def _p95(values: Sequence[float]) -> float:
    ordered = sorted(values)
    place = 0.95 * (len(ordered) - 1)
    low, high = ordered[math.floor(place)], ordered[math.ceil(place)]
    return low + (high - low) * (place - math.floor(place))


# The real ones


def stored(influxd: Influxd, bucket: str) -> Values:
    """Give every value of every series that the bucket holds."""
    rows = influxd.query(
        'from(bucket: "{}") |> range(start: 0) |> filter(fn: (r) => r._measurement =~ /_5m$/)'.format(bucket)
    )
    values: Values = {}
    for row in rows:
        series = DOWNSAMPLED[row["_measurement"]]
        tags = tuple(sorted((tag, row[tag]) for tag in series.tags))
        start = parsed_time(row["_time"])
        assert start is not None and row["_time"].endswith(":00Z"), row
        values[series.name, tags, row["_field"], start] = float(row["_value"])
    return values


def types(influxd: Influxd, bucket: str) -> Dict[Tuple[str, str], str]:
    """Give the type that each field is stored in."""
    flux = """import "types"
from(bucket: "{}") |> range(start: 0) |> filter(fn: (r) => r._measurement =~ /_5m$/) |> first()
    |> map(fn: (r) => ({{_measurement: r._measurement, _field: r._field,
        kind: if types.isType(v: r._value, type: "int") then "int"
            else if types.isType(v: r._value, type: "float") then "float" else "other"}}))
    |> group()""".format(bucket)
    return {(row["_measurement"], row["_field"]): row["kind"] for row in influxd.query(flux)}


def write(influxd: Influxd, bucket: str, rows: Sequence[Row]) -> None:
    influxd.write(bucket, "\n".join(to_line(row) for row in rows))


def fill(influxd: Influxd, bucket: str, start: int, stop: int) -> None:
    found = influxd.query(span_flux(influxd.org, bucket, start, stop))
    assert found == []


def matching(values: Values) -> Any:
    """Give what equals the values but for the order in which floats were added up."""
    return pytest.approx(values, rel=1e-9, abs=1e-12)


@pytest.fixture(scope="module")
def hour() -> List[Row]:
    return _an_hour()


@pytest.fixture(scope="module")
def expected(hour: List[Row]) -> Values:
    return _Count(hour, START_WALL_NS, START_WALL_NS + HOUR_NS).values


@pytest.fixture(scope="module")
def filled(influxd: Influxd, hour: List[Row]) -> Iterator[str]:
    """A bucket with the rows of an hour and their series."""
    bucket = influxd.fresh_bucket()
    write(influxd, bucket, hour)
    fill(influxd, bucket, START_WALL_NS, START_WALL_NS + HOUR_NS)
    yield bucket
    influxd.delete_bucket(bucket)


def test_the_hour_comes_to_every_field_and_to_both_sides_of_each_share(expected: Values) -> None:
    fields = {(name, field) for name, _, field, _ in expected}
    totals: Dict[Tuple[str, str], float] = defaultdict(float)
    for (name, _, field, _), value in expected.items():
        totals[name, field] += value

    assert fields == {(name, field) for name, series in DOWNSAMPLED.items() for field in series.fields}
    for name, part, whole in (
        ("consumer_metrics_5m", "late", "messages_consumed"),
        ("outcomes_5m", "succeeded", "outcomes"),
        ("injected_anomalies_5m", "found", "injected"),
        ("flags_5m", "right", "flagged"),
    ):
        assert 0 < totals[name, part] < totals[name, whole]
    assert {dict(tags)["acted"] for name, tags, _, _ in expected if name == "outcomes_5m"} == {"true", "false"}


@pytest.mark.parametrize("name", DOWNSAMPLED)
def test_series_is_what_python_counts(influxd: Influxd, filled: str, expected: Values, name: str) -> None:
    found = {key: value for key, value in stored(influxd, filled).items() if key[0] == name}

    assert found == matching({key: value for key, value in expected.items() if key[0] == name})


def test_fields_have_the_declared_types(influxd: Influxd, filled: str) -> None:
    assert types(influxd, filled) == {
        (name, field): kind for name, series in DOWNSAMPLED.items() for field, kind in series.fields.items()
    }


def test_second_run_changes_nothing(influxd: Influxd, filled: str) -> None:
    before = stored(influxd, filled)

    fill(influxd, filled, START_WALL_NS, START_WALL_NS + HOUR_NS)

    assert stored(influxd, filled) == before


def test_parts_give_what_the_whole_gives(influxd: Influxd, bucket: str, hour: List[Row], expected: Values) -> None:
    write(influxd, bucket, hour)

    for part in range(3):
        start = START_WALL_NS + part * HOUR_NS // 3
        fill(influxd, bucket, start, start + HOUR_NS // 3)

    assert stored(influxd, bucket) == matching(expected)


def test_late_points_are_taken_up(influxd: Influxd, bucket: str, hour: List[Row], expected: Values) -> None:
    parts: Dict[bool, List[Row]] = {True: [], False: []}
    for number, row in enumerate(hour):
        parts[number % 7 == 0 or "outcome_score" in row.fields].append(row)
    late, kept = parts[True], parts[False]
    write(influxd, bucket, kept)
    fill(influxd, bucket, START_WALL_NS, START_WALL_NS + HOUR_NS)
    assert stored(influxd, bucket) != matching(expected)

    write(influxd, bucket, late)
    fill(influxd, bucket, START_WALL_NS, START_WALL_NS + HOUR_NS)

    assert stored(influxd, bucket) == matching(expected)


@pytest.mark.parametrize("left_out", ["injected_anomalies", "flags", "agent_reasoning", "consumer_metrics"])
def test_measurement_without_points_keeps_the_others_from_nothing(
    influxd: Influxd, bucket: str, hour: List[Row], left_out: str
) -> None:
    rows = [row for row in hour if row.measurement != left_out]
    stop = START_WALL_NS + 2 * WINDOW_NS
    write(influxd, bucket, rows)

    fill(influxd, bucket, START_WALL_NS, stop)

    assert stored(influxd, bucket) == matching(_Count(rows, START_WALL_NS, stop).values)


def test_bucket_without_points_gets_none_and_has_no_oldest(influxd: Influxd, bucket: str) -> None:
    fill(influxd, bucket, START_WALL_NS, START_WALL_NS + HOUR_NS)

    assert stored(influxd, bucket) == {}
    assert influxd.query(oldest_flux(bucket)) == []


def test_oldest_is_the_first_raw_point_and_no_series(influxd: Influxd, bucket: str, hour: List[Row]) -> None:
    write(influxd, bucket, hour[1000:])
    fill(influxd, bucket, START_WALL_NS, START_WALL_NS + HOUR_NS)
    first = min(row.time_ns for row in hour[1000:] if row.measurement not in ("agent_health", "system_health"))

    (row,) = influxd.query(oldest_flux(bucket))

    assert parsed_time(row["_time"]) == first - first % SECOND_NS


@pytest.mark.parametrize("name", ["back\\slash", "${bucket}", "Bücher 日本"], ids=["backslash", "dollar", "unicode"])
def test_bucket_s_name_is_taken_as_it_is(influxd: Influxd, hour: List[Row], name: str) -> None:
    bucket = influxd.fresh_bucket(name)
    try:
        write(influxd, bucket, hour[:200])
        fill(influxd, bucket, START_WALL_NS, START_WALL_NS + WINDOW_NS)
        made = influxd.query(oldest_flux(bucket) + '|> yield(name: "oldest")')
        everywhere = "buckets() |> filter(fn: (r) => r.name =~ /slash|bucket|日本/)"
        names = [row["name"] for row in influxd.query(everywhere)]
    finally:
        influxd.delete_bucket(bucket)

    assert made and names == [name]


@pytest.fixture
def task(influxd: Influxd, bucket: str) -> Iterator[Callable[[], str]]:
    """Runs the task on the bucket once, as InfluxDB's scheduler would; gives the time (ISO) it was due."""
    request = {"orgID": influxd.org_id, "flux": task_flux(influxd.org, bucket), "status": "active"}
    made = influxd.api("POST", "/api/v2/tasks", request)
    path = "/api/v2/tasks/{}".format(made["id"])

    def run() -> str:
        # Due now; a forced run takes any second, the scheduler only whole windows.
        due = flux_time(time.time_ns())
        started = influxd.api("POST", path + "/runs", {"scheduledFor": due})

        def over() -> Any:
            runs = {run["id"]: run for run in influxd.api("GET", path + "/runs")["runs"]}
            found = runs.get(started["id"], {})
            return found if found.get("status") in ("success", "failed", "canceled") else None

        done = wait_until(over, what="a run of the task is over", timeout_seconds=60)
        assert done["status"] == "success", influxd.api("GET", "{}/runs/{}/logs".format(path, started["id"]))
        return due

    yield run
    influxd.api("DELETE", path)


def test_task_makes_the_last_hour_s_windows_and_not_the_one_that_is_not_over(
    influxd: Influxd, bucket: str, hour: List[Row], task: Callable[[], str]
) -> None:
    shift = time.time_ns() - START_WALL_NS - MINUTES * 60 * SECOND_NS
    rows = [Row(row.measurement, row.tags, row.fields, row.time_ns + shift) for row in hour]
    write(influxd, bucket, rows)

    due = parsed_time(task())

    assert due is not None
    stop = due - due % WINDOW_NS
    expected = _Count(rows, stop - RECOMPUTED_WINDOWS * WINDOW_NS, stop).values
    assert stored(influxd, bucket) == matching(expected)
    assert {start for _, _, _, start in expected} == {stop - number * WINDOW_NS for number in range(1, 13)}


def test_task_is_named_and_due_as_declared(influxd: Influxd, bucket: str) -> None:
    request = {"orgID": influxd.org_id, "flux": task_flux(influxd.org, bucket), "status": "inactive"}

    made = influxd.api("POST", "/api/v2/tasks", request)

    influxd.api("DELETE", "/api/v2/tasks/" + made["id"])
    assert (made["name"], made["every"], made["offset"]) == (TASK_NAME, "5m", "{}m".format(OFFSET_S // 60))
    assert made["flux"] == request["flux"]
