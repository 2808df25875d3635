"""The Flux texts of the operator's commands; every value enters as an `extern` parameter.

All take bucket, start and stop (UTC ns).
"""

from typing import Dict

_RANGE = """
from(bucket: bucket)
    |> range(start: time(v: start), stop: time(v: stop))
"""


def _latest(measurement: str) -> str:
    """Give the text for the last value of each field; the asker keeps those of one time together.

    last() runs field by field: what only an older point has comes with that point's time, by which it is told apart.
    """
    return (
        _RANGE
        + f"""
    |> filter(fn: (r) => r._measurement == "{measurement}")
    |> last()
    |> drop(columns: ["_start", "_stop", "_measurement"])
    |> yield(name: "latest")
"""
    )


LATEST: Dict[str, str] = {
    name: _latest(name) for name in ("agent_health", "queue_metrics", "system_health", "budget", "experiment")
}
"""By measurement. Storage itself answers last(), so that a day's range costs no more than a minute's."""

DECIDED = (
    _RANGE
    + """
    |> filter(fn: (r) => r._measurement == "agent_reasoning")
    |> filter(fn: (r) => agent == "" or r.agent_id == agent)
    |> filter(fn: (r) => action == "" or r.action == action)
    |> drop(columns: ["_start", "_stop", "_measurement"])
    |> pivot(rowKey: ["_time"], columnKey: ["_field"], valueColumn: "_value")
    |> filter(fn: (r) => exists r.decision_id)
    |> yield(name: "decided")
"""
)
"""Besides: agent and action, each empty for all. A point without decision_id is an amendment that lost its original."""

NAMED = (
    """
import "strings"
"""
    + _RANGE
    + """
    |> filter(fn: (r) => r._measurement == "agent_reasoning" and r._field == "decision_id")
    |> filter(fn: (r) => strings.hasPrefix(v: r._value, prefix: prefix))
    |> keep(columns: ["_time", "_value", "agent_id"])
    |> group()
    |> sort(columns: ["_time"], desc: true)
    |> limit(n: 50)
    |> yield(name: "named")
"""
)
"""Besides: prefix. The newest decisions whose id begins so."""

THROUGHPUT = """
counted = (measurement, field) =>
    from(bucket: bucket)
        |> range(start: time(v: start), stop: time(v: stop))
        |> filter(fn: (r) => r._measurement == measurement and r._field == field)
        |> sum()
        |> group(columns: ["agent_id"])
        |> sum()

counted(measurement: "publisher_metrics", field: "messages_published") |> yield(name: "published")
counted(measurement: "consumer_metrics", field: "messages_consumed") |> yield(name: "consumed")
"""
"""Messages by agent."""

ATTEMPTS = (
    _RANGE
    + """
    |> filter(fn: (r) => r._measurement == "api_calls")
    |> filter(fn: (r) => r.agent_id == agent)
    |> drop(columns: ["_start", "_stop", "_measurement"])
    |> pivot(rowKey: ["_time"], columnKey: ["_field"], valueColumn: "_value")
    |> filter(fn: (r) => exists r.decision_id and r.decision_id == id)
    |> yield(name: "attempts")
"""
)
"""Besides: agent and id. The attempts at the API that were made for one decision."""
