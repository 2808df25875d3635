"""Messages and queues: what goes in, what comes out, and what waits meanwhile."""

from ..flux import AGENT, DEAD_LETTERS, MAIN, QUEUE, ROUTED, either, per_minute, quantiles, read, summed, windows
from . import Signal


def _rate(measurement: str, field: str, queue: str) -> str:
    """Give the query of messages a minute by agent; `queue` is the condition that the board's variable makes."""
    raw, rolled = (read(name, [field], AGENT, queue) for name in (measurement, f"{measurement}_5m"))
    return per_minute(summed(raw, rolled, ["agent_id"], empty=True))


PUBLISHED = Signal(
    "published by ${__field.labels.agent_id}",
    "msg/min",
    "messages published and confirmed by the broker, a minute, by publisher",
    _rate("publisher_metrics", "messages_published", ROUTED),
)
CONSUMED = Signal(
    "consumed by ${__field.labels.agent_id}",
    "msg/min",
    "messages handled to their end, a minute, by consumer",
    _rate("consumer_metrics", "messages_consumed", QUEUE),
)


def _depths(which: str, *conditions: str) -> Signal:
    raw = read("queue_metrics", ["depth"], *conditions)
    rolled = read("queue_metrics_5m", ["depth_max"], *conditions)
    deepest = windows("max")
    return Signal(
        "${__field.labels.queue}",
        "short",
        f"messages in each {which} queue, ready and unacknowledged; the highest of each window",
        either(f"{raw}\n  |> toFloat()\n{deepest}", f"{rolled}\n{deepest}")
        + 'data\n  |> keep(columns: ["_time", "_value", "queue"])\n  |> group(columns: ["queue"])\n'
        + deepest,
    )


DEPTHS = _depths("main", QUEUE, MAIN)
DEAD_DEPTHS = _depths("dead-letter", DEAD_LETTERS)


def _p95(field: str) -> str:
    return quantiles(
        read("consumer_metrics", [field], QUEUE), read("consumer_durations_5m", [field], QUEUE), "queue", 0.95
    )


HANDLING_P95 = Signal(
    "handling, ${__field.labels.queue}",
    "ms",
    "time that the handler took, 95th percentile, by queue",
    _p95("processing_duration_ms"),
)
AGE_P95 = Signal(
    "end to end, ${__field.labels.queue}",
    "ms",
    "time from a message's header to its end, 95th percentile, by queue",
    _p95("age_ms"),
)
