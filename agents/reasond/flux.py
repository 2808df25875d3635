"""What is asked of the store: the Flux texts, and the few rules by which InfluxDB and its double both answer.

Used by the InfluxDB adapter and the embedded store; one contract suite holds them to the same answers. Every
query takes its values through `extern` parameters, never by pasting them into the text.
"""

from typing import Any, Dict, Mapping, Optional, Tuple

from reasond.core.views import Decided, QueueSample

HOUR_NS = 3600 * 1000000000
DAY_NS = 24 * HOUR_NS

MARKERS: Dict[str, str] = {
    "agent_reasoning": "decision_id",
    "agent_health": "up",
    "api_calls": "attempt",
    "flags": "reason",
    "rejections": "reason",
}
"""The field that makes a point count as one; without it, it is an amendment that lost its original."""

RATE_DECISION = "rate_adjustment"
NO_ERROR = "none"
"""The value of the `error` tag of an API call that was answered."""

INTERVALS = ("fictional_interval", "nonfictional_interval")
SAMPLE_INTS = ("depth", "ready", "unacknowledged", "consumers")
SAMPLE_FLOATS = ("publish_rate", "ack_rate")
_SAMPLE_FIELDS = frozenset((*SAMPLE_INTS, *SAMPLE_FLOATS, "source"))

_POINTS = """
points = (measurement, field) =>
    from(bucket: bucket)
        |> range(start: time(v: start), stop: time(v: stop))
        |> filter(fn: (r) => r._measurement == measurement and r._field == field)
"""

QUEUE_SAMPLES = """
from(bucket: bucket)
    |> range(start: time(v: start), stop: time(v: stop))
    |> filter(fn: (r) => r._measurement == "queue_metrics")
    |> drop(columns: ["_start", "_stop", "_measurement"])
    |> pivot(rowKey: ["_time"], columnKey: ["_field"], valueColumn: "_value")
    |> yield(name: "samples")
"""
"""Parameters: bucket, start, stop (UTC ns)."""

# The asker picks the latest of the few rows: last() before the pivot may take a field of an amendment that lost its
# original, and after it may fill what the latest decision lacks from an older one.
PEERS = """
from(bucket: bucket)
    |> range(start: time(v: start), stop: time(v: stop))
    |> filter(fn: (r) => r._measurement == "agent_reasoning")
    |> filter(fn: (r) => r.agent_type == kind and r.decision_type == "rate_adjustment")
    |> filter(fn: (r) => r._field == "decision_id" or r._field == "acted" or r._field =~ /fictional_interval$/)
    |> drop(columns: ["_start", "_stop", "_measurement"])
    |> pivot(rowKey: ["_time"], columnKey: ["_field"], valueColumn: "_value")
    |> filter(fn: (r) => exists r.decision_id)
    |> yield(name: "peers")
"""
"""Parameters: bucket, start, stop (UTC ns), kind (an agent type). Gives every rate decision in the range."""

SYSTEM_SPEND = """
spent = (field, start) =>
    from(bucket: bucket)
        |> range(start: time(v: start), stop: time(v: after))
        |> filter(fn: (r) => r._measurement == "budget" and r._field == field)
        |> last()
        |> keep(columns: ["agent_id", "_time", "_value"])

spent(field: "spent_hour_usd", start: hour) |> yield(name: "hour")
spent(field: "spent_day_usd", start: day) |> yield(name: "day")
"""
"""Parameters: bucket, hour, day, after (UTC ns): begin of hour and day, and just after the time meant."""

# One text with many results: the server counts it as one query, and answers its parts side by side. Each part
# aggregates per series first, as only that is done by storage itself.
ACTIVITY = (
    _POINTS
    + """
points(measurement: "publisher_metrics", field: "messages_published")
    |> sum() |> group(columns: ["queue", "routing_key"]) |> sum() |> yield(name: "published")
points(measurement: "consumer_metrics", field: "messages_consumed")
    |> sum() |> group(columns: ["queue", "processing_action"]) |> sum() |> yield(name: "consumed")
points(measurement: "consumer_metrics", field: "late")
    |> filter(fn: (r) => r._value) |> count() |> group() |> sum() |> yield(name: "late")
points(measurement: "agent_reasoning", field: "decision_id")
    |> count() |> group(columns: ["action", "brain"]) |> sum() |> yield(name: "decisions")
points(measurement: "agent_reasoning", field: "confidence")
    |> sum() |> group() |> sum() |> yield(name: "confidence_sum")
points(measurement: "agent_reasoning", field: "confidence")
    |> count() |> group() |> sum() |> yield(name: "confidence_count")
points(measurement: "agent_reasoning", field: "tokens_used")
    |> sum() |> group() |> sum() |> yield(name: "tokens")
points(measurement: "api_calls", field: "cost_usd")
    |> sum() |> group() |> sum() |> yield(name: "cost")
points(measurement: "api_calls", field: "attempt")
    |> count() |> group(columns: ["error"]) |> sum() |> yield(name: "api")
points(measurement: "flags", field: "reason")
    |> count() |> group() |> sum() |> yield(name: "flagged")
points(measurement: "rejections", field: "reason")
    |> count() |> group() |> sum() |> yield(name: "rejected")
from(bucket: bucket)
    |> range(start: time(v: start), stop: time(v: stop))
    |> filter(fn: (r) => r._measurement == "agent_health")
    |> filter(fn: (r) => r._field == "up" or r._field == "degraded" or r._field == "state")
    |> last() |> drop(columns: ["_start", "_stop", "_measurement"]) |> yield(name: "health")
points(measurement: "agent_reasoning", field: "plan")
    |> distinct() |> group() |> distinct() |> yield(name: "plans")
points(measurement: "agent_health", field: "boot_id")
    |> distinct() |> drop(columns: ["_start", "_stop", "_measurement"]) |> yield(name: "boots")
"""
    + QUEUE_SAMPLES
    + SYSTEM_SPEND
)
"""Parameters: those of `QUEUE_SAMPLES` and `SYSTEM_SPEND`."""

MINUTES = (
    _POINTS
    + """
points(measurement: "queue_metrics", field: "depth")
    |> filter(fn: (r) => r.queue == "fictional" or r.queue == "non-fictional" or r.queue == "priority")
    |> aggregateWindow(every: 1m, fn: mean, createEmpty: false, timeSrc: "_start")
    |> group(columns: ["queue", "_time"]) |> mean()
    |> group(columns: ["_time"]) |> sum() |> group()
    |> keep(columns: ["_time", "_value"]) |> yield(name: "depth")
points(measurement: "queue_metrics", field: "depth")
    |> filter(fn: (r) => r.queue == "books.expired")
    |> group(columns: ["queue"]) |> sort(columns: ["_time"]) |> difference(nonNegative: true)
    |> aggregateWindow(every: 1m, fn: sum, createEmpty: false, timeSrc: "_start")
    |> group() |> keep(columns: ["_time", "_value"]) |> yield(name: "expired")
points(measurement: "api_calls", field: "cost_usd")
    |> aggregateWindow(every: 1m, fn: sum, createEmpty: false, timeSrc: "_start")
    |> group(columns: ["_time"]) |> sum() |> group()
    |> keep(columns: ["_time", "_value"]) |> yield(name: "usd")
points(measurement: "agent_reasoning", field: "block")
    |> filter(fn: (r) => exists r.arm and r.brain != "experiment" and r.brain != "operator")
    |> map(fn: (r) => ({block: string(v: r._value), arm: r.arm, brain: r.brain, _value: 1}))
    |> group(columns: ["block", "arm", "brain"]) |> sum() |> group() |> yield(name: "decided")
"""
)
"""Parameters: bucket, start, stop (UTC ns). Gives `core.experiment.MEASURES` by the minute, and who decided."""


def queue_sample(time_ns: int, queue: str, fields: Mapping[str, Any]) -> QueueSample:
    """Give one `queue_metrics` point as a sample; a `source` that isn't one of ours counts as unknown."""
    known: Dict[str, Any] = {"depth": None, "source": None}
    for name, value in fields.items():
        if name in _SAMPLE_FIELDS:
            known[name] = value
    if known["source"] not in ("management", "declare"):
        known["source"] = "unknown"
    return QueueSample(time_ns=time_ns, queue=queue, **known)


def in_shadow(fields: Mapping[str, Any]) -> bool:
    """Tell whether a decision was not acted on; `acted` may be InfluxDB's text."""
    return fields.get("acted") in (False, "false")


def intervals_in_force(fields: Mapping[str, Any]) -> Tuple[Any, Any]:
    """Give the fictional and the non-fictional interval in force after a rate decision.

    A decision in shadow was not acted on: its own intervals are a proposal.
    """
    prefix = "previous_" if in_shadow(fields) else ""
    return fields.get(prefix + "fictional_interval"), fields.get(prefix + "nonfictional_interval")


def spend_bounds(at_ns: int) -> Tuple[int, int, int]:
    """Give the begin of the UTC hour and of the UTC day of `at_ns`, and the first time after it (UTC ns)."""
    return at_ns - at_ns % HOUR_NS, at_ns - at_ns % DAY_NS, at_ns + 1


def mean(total: float, count: int) -> Optional[float]:
    """Give the mean of `count` values that add up to `total`; None for none."""
    return total / count if count else None


def decided_order(decided: Decided) -> Tuple[int, str, str]:
    """Give what decisions under an experiment are sorted by: block, arm, brain."""
    return decided.block, decided.arm, decided.brain
