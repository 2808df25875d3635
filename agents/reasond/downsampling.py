"""Series of 5 minutes that InfluxDB makes from the raw points, so that boards answer quickly over long ranges.

Used by InfluxDB's set-up, which installs the task and fills in the past by the same Flux; by the dashboards, which
query the series; and by the docs. Every point's time is its window's start. The series lie in the same bucket.
"""

from datetime import datetime, timezone
from typing import Dict, Optional, Sequence, Tuple

from reasond.flux import RATE_DECISION
from reasond.points import Measurement, declare

TASK_NAME = "reasond downsample"

WINDOW_S = 300
WINDOW_NS = WINDOW_S * 1000000000
RECOMPUTED_WINDOWS = 12
"""Each run makes these anew: outcomes are amended a minute later, flags follow within minutes, and points that
waited on an agent's disk come later still."""
OFFSET_S = 120
"""Seconds after a window's end at which it is first computed: agents send their points in batches."""
JOINED_S = 3600
"""Seconds between an injected anomaly and its flag within which the two are joined."""
RESPONSE_WINDOW_S = 30
"""Length of the two windows that a rate decision's response times are compared in."""

LATENCY_FROM_MS = 1.0
"""Decisions that took less are the rules' own, made at once: they say nothing about the model's speed."""

DURATION_BOUNDS_MS: Tuple[float, ...] = (
    1,
    2,
    5,
    10,
    20,
    50,
    100,
    200,
    500,
    1000,
    2000,
    5000,
    10000,
    20000,
    60000,
    float("inf"),
)
"""Upper bounds (ms) of the buckets of handling and of age: from a handler that does nothing to a TTL's length."""
LATENCY_BOUNDS_MS: Tuple[float, ...] = (100, 200, 500, 1000, 2000, 3000, 5000, 8000, 12000, 20000, 45000, float("inf"))
"""Upper bounds (ms) of the buckets of decisions: closer where Claude answers, up to its longest deadline."""


DOWNSAMPLED: Dict[str, Measurement] = {
    series.name: series
    for series in (
        declare(
            "publisher_metrics_5m",
            "Messages published and confirmed.",
            "agent_id queue routing_key",
            int="messages_published",
        ),
        declare(
            "consumer_metrics_5m",
            "Messages consumed, and how many of them were late.",
            "agent_id queue processing_action",
            int="messages_consumed late",
        ),
        declare(
            "consumer_durations_5m",
            "Messages whose handling, or whose age at its end, took at most `le` ms (cumulative).",
            "queue le",
            int="processing_duration_ms age_ms",
        ),
        declare(
            "queue_metrics_5m",
            "A queue's depth: mean and maximum of all samples, whoever took them.",
            "queue",
            float="depth depth_max",
        ),
        declare(
            "agent_reasoning_5m",
            "Decisions, how many of them were adjusted, and the sums of their tokens, cost and confidence.",
            "agent_id agent_type action decision_type brain",
            int="decisions adjusted tokens_used input_tokens output_tokens confidence_count",
            float="confidence_sum cost_usd would_cost_usd",
        ),
        declare(
            "decision_latency_5m",
            "Decisions that took 1 ms or more, and at most `le` ms (cumulative).",
            "agent_id agent_type le",
            int="decision_latency_ms",
        ),
        declare(
            "outcomes_5m",
            "Decisions whose outcome is known, and how many of them succeeded.",
            "agent_id agent_type action acted",
            int="outcomes succeeded",
        ),
        declare(
            "api_calls_5m",
            "Attempts at the Claude API, their tokens and cost.",
            "agent_id model error",
            int="attempts input_tokens output_tokens",
            float="cost_usd",
        ),
        declare(
            "injected_anomalies_5m",
            "Injected anomalies, and how many of them were flagged by anyone.",
            "kind",
            int="injected found",
        ),
        declare(
            "flags_5m",
            "Flagged messages, and how many of them were injected anomalies.",
            "by",
            int="flagged right",
        ),
        declare(
            "decision_responses_5m",
            "Agents' rate decisions acted on, and sums over them of the p95 of handling and of age, over all queues, "
            "in the last whole half minute before the decision's own and in the first after it; only where both had "
            "messages.",
            "agent_id action",
            int="decisions",
            float="processing_ms_before processing_ms_after age_ms_before age_ms_after",
        ),
    )
}
"""By name."""

# The package's own name would hide the function join().
_IMPORTS = """import "array"
import "date"
import joins "join"
"""

# window() with sum() or count() straight after the filter is done by storage itself, a series at a time; what follows
# has a row a series and window. The tables that to() gets are a series each: it takes long over many small ones.
# Zeros are written too, or a share would lack its divisor's windows.
_HELPERS = """
points = (measurement, field, begin=start, end=stop) =>
    from(bucket: bucket)
        |> range(start: begin, stop: end)
        |> filter(fn: (r) => r._measurement == measurement and r._field == field)

summed = (tables=<-) => tables |> aggregateWindow(every: width, fn: sum, createEmpty: false, timeSrc: "_start")
counted = (tables=<-) => tables |> aggregateWindow(every: width, fn: count, createEmpty: false, timeSrc: "_start")

buckets = (tables=<-, by, bounds) =>
    tables
        |> group(columns: by)
        |> window(every: width)
        |> histogram(bins: bounds)
        |> map(fn: (r) => ({r with _time: r._start, le: string(v: r.le), _value: int(v: r._value)}))
        |> group(columns: by)

save = (tables=<-, series) =>
    tables
        |> set(key: "_measurement", value: series.name)
        |> to(bucket: bucket, org: org, tagColumns: series.tags)
        |> filter(fn: (r) => false)

saveTotal = (tables=<-, series, field) =>
    tables
        |> group(columns: series.tags)
        |> summed()
        |> set(key: "_field", value: field)
        |> save(series: series)
        |> yield(name: series.name + " " + field)
"""

# Series and field, the measurement and field they are made from, and how.
_TOTALS: Tuple[Tuple[str, str, str, str, str], ...] = (
    ("publisher_metrics_5m", "messages_published", "publisher_metrics", "messages_published", "summed()"),
    ("consumer_metrics_5m", "messages_consumed", "consumer_metrics", "messages_consumed", "summed()"),
    ("consumer_metrics_5m", "late", "consumer_metrics", "late", "toInt() |> summed()"),
    ("agent_reasoning_5m", "decisions", "agent_reasoning", "decision_id", "counted()"),
    ("agent_reasoning_5m", "adjusted", "agent_reasoning", "adjusted", "toInt() |> summed()"),
    ("agent_reasoning_5m", "tokens_used", "agent_reasoning", "tokens_used", "summed()"),
    ("agent_reasoning_5m", "input_tokens", "agent_reasoning", "input_tokens", "summed()"),
    ("agent_reasoning_5m", "output_tokens", "agent_reasoning", "output_tokens", "summed()"),
    ("agent_reasoning_5m", "cost_usd", "agent_reasoning", "cost_usd", "summed()"),
    ("agent_reasoning_5m", "would_cost_usd", "agent_reasoning", "would_cost_usd", "summed()"),
    ("agent_reasoning_5m", "confidence_sum", "agent_reasoning", "confidence", "summed()"),
    ("agent_reasoning_5m", "confidence_count", "agent_reasoning", "confidence", "counted()"),
    ("api_calls_5m", "attempts", "api_calls", "attempt", "counted()"),
    ("api_calls_5m", "input_tokens", "api_calls", "input_tokens", "summed()"),
    ("api_calls_5m", "output_tokens", "api_calls", "output_tokens", "summed()"),
    ("api_calls_5m", "cost_usd", "api_calls", "cost_usd", "summed()"),
)
_TOTAL = """points(measurement: "{source}", field: "{source_field}")
    |> {steps}
    |> saveTotal(series: series.{series}, field: "{field}")
"""

_DISTRIBUTIONS = """
from(bucket: bucket)
    |> range(start: start, stop: stop)
    |> filter(fn: (r) => r._measurement == "consumer_metrics")
    |> filter(fn: (r) => r._field == "processing_duration_ms" or r._field == "age_ms")
    |> buckets(by: ["queue", "_field"], bounds: durationBounds)
    |> save(series: series.consumer_durations_5m)
    |> yield(name: "consumer_durations_5m")
points(measurement: "agent_reasoning", field: "decision_latency_ms")
    |> filter(fn: (r) => r._value >= latencyFrom)
    |> buckets(by: ["agent_id", "agent_type", "_field"], bounds: latencyBounds)
    |> save(series: series.decision_latency_5m)
    |> yield(name: "decision_latency_5m")

depth = points(measurement: "queue_metrics", field: "depth") |> toFloat() |> group(columns: ["queue", "_field"])
depth
    |> aggregateWindow(every: width, fn: mean, createEmpty: false, timeSrc: "_start")
    |> save(series: series.queue_metrics_5m)
    |> yield(name: "queue_metrics_5m depth")
depth
    |> aggregateWindow(every: width, fn: max, createEmpty: false, timeSrc: "_start")
    |> set(key: "_field", value: "depth_max")
    |> save(series: series.queue_metrics_5m)
    |> yield(name: "queue_metrics_5m depth_max")
"""

# One row a decision: its marker tells it from an amendment that lost its original.
_OUTCOMES = """
judged = from(bucket: bucket)
    |> range(start: start, stop: stop)
    |> filter(fn: (r) => r._measurement == "agent_reasoning")
    |> filter(fn: (r) => r._field == "decision_id" or r._field == "acted" or r._field == "outcome_score")
    |> pivot(rowKey: ["_time"], columnKey: ["_field"], valueColumn: "_value")
    |> filter(fn: (r) => exists r.decision_id and exists r.outcome_score)
    |> map(
        fn: (r) =>
            ({
                _time: r._time,
                agent_id: r.agent_id,
                agent_type: r.agent_type,
                action: r.action,
                acted: if exists r.acted then string(v: r.acted) else "true",
                _value: int(v: r.outcome_score),
            }),
    )
    |> group(columns: series.outcomes_5m.tags)
judged |> counted() |> saveTotal(series: series.outcomes_5m, field: "outcomes")
judged |> saveTotal(series: series.outcomes_5m, field: "succeeded")
"""

# A message may be flagged twice, so each side asks whether the other has it at all; hosts' clocks may differ a little.
# joins.left() refuses a side without rows, so each has one that stands for nothing. It needs sorted sides. The older
# join() took 10 s for the 4000 flags of a busy hour, where this takes 1 s.
_FLAGS = """
messages = (measurement, begin=start, end=stop) =>
    points(measurement: measurement, field: "message_id", begin: begin, end: end)
        |> keep(columns: ["_time", "kind", "by", "_value"])
        |> group()
known = (tables=<-) =>
    union(tables: [tables |> distinct() |> keep(columns: ["_value"]), array.from(rows: [{_value: ""}])])
        |> group()
        |> sort(columns: ["_value"])

injected = union(
    tables: [messages(measurement: "injected_anomalies"), array.from(rows: [{_time: start, kind: "", _value: ""}])],
)
flaggedIds = messages(measurement: "flags", begin: date.sub(d: width, from: start), end: date.add(d: joined, to: stop))
foundOrNot =
    joins.left(
        left: injected |> group() |> sort(columns: ["_value"]),
        right: flaggedIds |> known(),
        on: (l, r) => l._value == r._value,
        as: (l, r) => ({_time: l._time, kind: l.kind, _value: if exists r._value then 1 else 0}),
    )
        |> filter(fn: (r) => r.kind != "")
        |> group(columns: series.injected_anomalies_5m.tags)
foundOrNot |> counted() |> saveTotal(series: series.injected_anomalies_5m, field: "injected")
foundOrNot |> saveTotal(series: series.injected_anomalies_5m, field: "found")

flagged = union(tables: [messages(measurement: "flags"), array.from(rows: [{_time: start, by: "", _value: ""}])])
injectedIds =
    messages(
        measurement: "injected_anomalies",
        begin: date.sub(d: joined, from: start),
        end: date.add(d: width, to: stop),
    )
rightOrNot =
    joins.left(
        left: flagged |> group() |> sort(columns: ["_value"]),
        right: injectedIds |> known(),
        on: (l, r) => l._value == r._value,
        as: (l, r) => ({_time: l._time, by: l.by, _value: if exists r._value then 1 else 0}),
    )
        |> filter(fn: (r) => r.by != "")
        |> group(columns: series.flags_5m.tags)
rightOrNot |> counted() |> saveTotal(series: series.flags_5m, field: "flagged")
rightOrNot |> saveTotal(series: series.flags_5m, field: "right")
"""

_RESPONSES = """
responses = (field) =>
    points(
        measurement: "consumer_metrics",
        field: field,
        begin: date.sub(d: width, from: start),
        end: date.add(d: width, to: stop),
    )
        |> group()
        |> aggregateWindow(
            every: half,
            fn: (column, tables=<-) => tables |> quantile(q: 0.95, method: "exact_mean", column: column),
            createEmpty: false,
            timeSrc: "_start",
        )
        |> keep(columns: ["_time", "_value"])
halves =
    join(
        tables: {processing: responses(field: "processing_duration_ms"), age: responses(field: "age_ms")},
        on: ["_time"],
    )
rates = from(bucket: bucket)
    |> range(start: start, stop: stop)
    |> filter(fn: (r) => r._measurement == "agent_reasoning" and r.agent_type == "publisher")
    |> filter(fn: (r) => r.decision_type == rateDecision and r.brain !~ /^(operator|experiment)$/)
    |> filter(fn: (r) => r._field == "decision_id" or r._field == "acted")
    |> pivot(rowKey: ["_time"], columnKey: ["_field"], valueColumn: "_value")
    |> filter(fn: (r) => exists r.decision_id and (not exists r.acted or r.acted))
    |> map(
        fn: (r) =>
            ({
                _time: date.truncate(t: r._time, unit: width),
                agent_id: r.agent_id,
                action: r.action,
                before: date.sub(d: half, from: date.truncate(t: r._time, unit: half)),
                after: date.add(d: half, to: date.truncate(t: r._time, unit: half)),
            }),
    )
    |> group()
begun = halves
    |> rename(columns: {_time: "before", _value_processing: "processing_ms_before", _value_age: "age_ms_before"})
ended = halves
    |> rename(columns: {_time: "after", _value_processing: "processing_ms_after", _value_age: "age_ms_after"})
join(tables: {rate: join(tables: {rate: rates, half: begun}, on: ["before"]), half: ended}, on: ["after"])
    |> group(columns: series.decision_responses_5m.by)
    |> reduce(
        identity: {
            decisions: 0,
            processing_ms_before: 0.0,
            processing_ms_after: 0.0,
            age_ms_before: 0.0,
            age_ms_after: 0.0,
        },
        fn: (r, accumulator) =>
            ({
                decisions: accumulator.decisions + 1,
                processing_ms_before: accumulator.processing_ms_before + r.processing_ms_before,
                processing_ms_after: accumulator.processing_ms_after + r.processing_ms_after,
                age_ms_before: accumulator.age_ms_before + r.age_ms_before,
                age_ms_after: accumulator.age_ms_after + r.age_ms_after,
            }),
    )
    |> set(key: "_measurement", value: "decision_responses_5m")
    |> to(
        bucket: bucket,
        org: org,
        tagColumns: series.decision_responses_5m.tags,
        fieldFn: (r) =>
            ({
                decisions: r.decisions,
                processing_ms_before: r.processing_ms_before,
                processing_ms_after: r.processing_ms_after,
                age_ms_before: r.age_ms_before,
                age_ms_after: r.age_ms_after,
            }),
    )
    |> filter(fn: (r) => false)
    |> yield(name: "decision_responses_5m")
"""


def task_flux(org: str, bucket: str) -> str:
    """Give the task that InfluxDB runs every 5 minutes: it makes the last windows anew that are over."""
    option = "option task = {{name: {}, every: {}m, offset: {}m}}".format(
        _text(TASK_NAME), WINDOW_S // 60, OFFSET_S // 60
    )
    # In a task now() is the time it was due, not the time it runs.
    span = "stop = date.truncate(t: now(), unit: width)\nstart = date.sub(d: {}s, from: stop)".format(
        RECOMPUTED_WINDOWS * WINDOW_S
    )
    return _script(org, bucket, option, span)


def span_flux(org: str, bucket: str, start_ns: int, stop_ns: int) -> str:
    """Give the query that makes the windows from `start_ns` up to `stop_ns` (UTC), both on a window's border.

    Raises ValueError when one is not, as a part of a window would replace the whole.
    """
    if start_ns % WINDOW_NS or stop_ns % WINDOW_NS:
        raise ValueError("{} to {} ns is not whole windows of {} s".format(start_ns, stop_ns, WINDOW_S))
    return _script(org, bucket, "", "start = {}\nstop = {}".format(flux_time(start_ns), flux_time(stop_ns)))


def oldest_flux(bucket: str) -> str:
    """Give the query for the time of the oldest raw point that a series is made from: one row, or none."""
    # first() straight after the filter reads one point a series. Types differ, so the values go before the grouping.
    sources = sorted({source for _, _, source, _, _ in _TOTALS} | {"queue_metrics", "injected_anomalies", "flags"})
    return (
        "from(bucket: {}) |> range(start: 0) |> filter(fn: (r) => {})\n".format(
            _text(bucket), " or ".join("r._measurement == {}".format(_text(source)) for source in sources)
        )
        + '    |> first() |> keep(columns: ["_time"]) |> group() |> sort(columns: ["_time"]) |> limit(n: 1)\n'
    )


def flux_time(time_ns: int) -> str:
    """Give a time (UTC ns, whole seconds) as Flux writes it."""
    return datetime.fromtimestamp(time_ns // 1000000000, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def parsed_time(text: str) -> Optional[int]:
    """Give the time (UTC ns, cut to whole seconds) that InfluxDB or `flux_time` wrote; None for any other text."""
    try:
        found = datetime.strptime(text[:19], "%Y-%m-%dT%H:%M:%S").replace(tzinfo=timezone.utc)
    except ValueError:
        return None
    return int(found.timestamp()) * 1000000000


def _script(org: str, bucket: str, option: str, span: str) -> str:
    parts = [
        _IMPORTS,
        option,
        _constants(org, bucket),
        span,
        _HELPERS,
        "\n".join(
            _TOTAL.format(series=series, field=field, source=source, source_field=source_field, steps=steps)
            for series, field, source, source_field, steps in _TOTALS
        ),
        _DISTRIBUTIONS,
        _OUTCOMES,
        _FLAGS,
        _RESPONSES,
    ]
    return "\n".join(part for part in parts if part)


def _constants(org: str, bucket: str) -> str:
    values = {
        "org": _text(org),
        "bucket": _text(bucket),
        "rateDecision": _text(RATE_DECISION),
        "width": "{}s".format(WINDOW_S),
        "half": "{}s".format(RESPONSE_WINDOW_S),
        "joined": "{}s".format(JOINED_S),
        "latencyFrom": repr(LATENCY_FROM_MS),
        "durationBounds": _numbers(DURATION_BOUNDS_MS),
        "latencyBounds": _numbers(LATENCY_BOUNDS_MS),
        "series": "{{{}}}".format(", ".join("{}: {}".format(name, _shape(one)) for name, one in DOWNSAMPLED.items())),
    }
    return "\n".join("{} = {}".format(name, value) for name, value in values.items())


def _text(text: str) -> str:
    """Give a string literal of Flux that holds just `text`, whatever stands in it."""
    for found, written in (("\\", "\\\\"), ('"', '\\"'), ("\n", "\\n"), ("\r", "\\r"), ("\t", "\\t"), ("${", "\\${")):
        text = text.replace(found, written)
    return '"{}"'.format(text)


def _numbers(numbers: Sequence[float]) -> str:
    return "[{}]".format(
        ", ".join('float(v: "+Inf")' if number == float("inf") else repr(float(number)) for number in numbers)
    )


def _shape(series: Measurement) -> str:
    return "{{name: {}, tags: {}, by: {}}}".format(
        _text(series.name), _texts(series.tags), _texts(("_time", *series.tags))
    )


def _texts(texts: Sequence[str]) -> str:
    return "[{}]".format(", ".join(map(_text, texts)))
