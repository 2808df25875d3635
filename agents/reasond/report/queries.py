"""The Flux texts of the report on a running system; every value enters as an `extern` parameter.

All take bucket, start and stop (UTC ns); those in windows also every (ns). They are asked piece by piece, so that no
single answer takes longer than INFLUXDB_TIMEOUT_S.
"""

_RANGE = """
from(bucket: bucket)
    |> range(start: time(v: start), stop: time(v: stop))
"""

DECISIONS = (
    _RANGE
    + """
    |> filter(fn: (r) => r._measurement == "agent_reasoning")
    |> filter(fn: (r) => r._field !~ /^(queue_depth|drain_time|depth_source|message_id|adjustment$|tokens_used)/)
    |> drop(columns: ["_start", "_stop", "_measurement"])
    |> pivot(rowKey: ["_time"], columnKey: ["_field"], valueColumn: "_value")
    |> filter(fn: (r) => exists r.decision_id)
    |> yield(name: "decisions")
"""
)
"""A point without decision_id is an amendment that lost its original."""

HEALTH = (
    _RANGE
    + """
    |> filter(fn: (r) => r._measurement == "system_health")
    |> filter(fn: (r) => contains(value: r._field, set: ["status", "system_health_score", "alerts_raised", "issues",
        "suggestions", "ai_analysis_text"]))
    |> drop(columns: ["_start", "_stop", "_measurement"])
    |> pivot(rowKey: ["_time"], columnKey: ["_field"], valueColumn: "_value")
    |> yield(name: "health")
"""
)

EXPERIMENT = (
    _RANGE
    + """
    |> filter(fn: (r) => r._measurement == "experiment")
    |> drop(columns: ["_start", "_stop", "_measurement"])
    |> pivot(rowKey: ["_time"], columnKey: ["_field"], valueColumn: "_value")
    |> yield(name: "experiment")
"""
)

# Windows are made per series first, since only that is done by storage itself.
DEPTHS = (
    _RANGE
    + """
    |> filter(fn: (r) => r._measurement == "queue_metrics" and r._field == "depth")
    |> aggregateWindow(every: duration(v: every), fn: max, createEmpty: false, timeSrc: "_start")
    |> group(columns: ["queue", "_time"])
    |> max()
    |> group()
    |> keep(columns: ["queue", "_time", "_value"])
    |> yield(name: "depths")
"""
)
"""The greatest depth of each queue in each window."""

FLOW = """
counted = (measurement, field) =>
    from(bucket: bucket)
        |> range(start: time(v: start), stop: time(v: stop))
        |> filter(fn: (r) => r._measurement == measurement and r._field == field)
        |> aggregateWindow(every: duration(v: every), fn: sum, createEmpty: false, timeSrc: "_start")
        |> group(columns: ["_time"])
        |> sum()
        |> group()

counted(measurement: "publisher_metrics", field: "messages_published") |> yield(name: "published")
counted(measurement: "consumer_metrics", field: "messages_consumed") |> yield(name: "consumed")
"""
"""Messages of each window."""

CALLS = """
summed = (field) =>
    from(bucket: bucket)
        |> range(start: time(v: start), stop: time(v: stop))
        |> filter(fn: (r) => r._measurement == "api_calls" and r._field == field)
        |> sum()
        |> group(columns: ["agent_id"])
        |> sum()

summed(field: "input_tokens") |> yield(name: "input_tokens")
summed(field: "output_tokens") |> yield(name: "output_tokens")
summed(field: "cost_usd") |> yield(name: "usd")
"""
"""What every attempt at the API took, by agent."""
