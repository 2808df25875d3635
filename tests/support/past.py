"""Three quarters of an hour of seven agents up to a time of one's choice, and the operator's port over it in memory.

Decisions are dry-run ones passed off as Claude's; handlers are slow in the middle. One seed gives one past.
"""

from typing import Any, Dict, Iterable, List, Sequence, Tuple

from msgspec.structs import replace

from reasond import flux
from reasond.embedded.store import EmbeddedStore
from reasond.operator.records import Wanted
from reasond.points import Row
from reasond.report.span import Span
from reasond.simulation.world import START_WALL_NS
from tests.support.recorded import lived

SECOND_NS = 10**9
MINUTES = 45
CALL_USD = 0.004
ENVIRONMENT = {
    "REASOND_BRAIN": "dry-run",
    "PUBLISHER_ANOMALY_RATE": "0.1",
    "CONSUMER_HANDLER_DURATION_MS": "2900",
    "CONSUMER_HANDLER_THREADS": "1",
    "PUBLISHER_TTL_S": "60",
}


def past(end_ns: int) -> List[Row]:
    """Give every row that was written up to `end_ns` (UTC), in order."""
    world = lived(ENVIRONMENT, MINUTES, seed=3)
    shift_ns = end_ns - START_WALL_NS - MINUTES * 60 * SECOND_NS
    rows = [replace(row, time_ns=row.time_ns + shift_ns) for row in world.written]
    return rows + _paid(rows)


def _paid(rows: Sequence[Row]) -> List[Row]:
    """Give a call and a budget point for each decision of a brain, by the hours and days of the rows' own times."""
    more, spent = [], {}
    for row in rows:
        if (
            row.measurement != "agent_reasoning"
            or row.tags.get("brain") != "dry-run"
            or "decision_id" not in row.fields
        ):
            continue
        agent = row.tags["agent_id"]
        tags = {"agent_id": agent, "agent_type": row.tags["agent_type"], "model": "a model", "error": "none"}
        call = {"attempt": 1, "status": 200, "latency_ms": 900.0, "input_tokens": 600, "output_tokens": 150}
        more.append(
            Row("api_calls", tags, dict(call, cost_usd=CALL_USD, decision_id=row.fields["decision_id"]), row.time_ns)
        )
        sums = {}
        for name, length in (("hour", flux.HOUR_NS), ("day", flux.DAY_NS)):
            key = (agent, name, row.time_ns // length)
            sums[name] = spent[key] = spent.get(key, 0.0) + CALL_USD
        limits = {"limit_hour_usd": 5.0, "limit_day_usd": 25.0, "level": "ok"}
        fields = dict(limits, spent_hour_usd=sums["hour"], spent_day_usd=sums["day"])
        more.append(Row("budget", {"agent_id": agent}, fields, row.time_ns))
    return more


class EmbeddedRecords:
    """`reasond.operator.records.Records` over the embedded store."""

    def __init__(self, rows: Iterable[Row]) -> None:
        self.store = EmbeddedStore()
        self.store.write(rows)

    def latest(self, measurement: str, span: Span) -> List[Row]:
        newest: Dict[Any, Row] = {}
        for row in self.store.rows(measurement, span.start_ns, span.stop_ns):
            newest[tuple(sorted(row.tags.items()))] = row
        return list(newest.values())

    def decided(self, span: Span, wanted: Wanted) -> List[Row]:
        found = [
            row
            for row in self._decisions(span)
            if wanted.agent in ("", row.tags.get("agent_id")) and wanted.action in ("", row.tags.get("action"))
        ]
        found.sort(key=lambda row: (row.time_ns, row.tags.get("agent_id", "")), reverse=True)
        return found[: wanted.limit or None]

    def named(self, span: Span, prefix: str) -> List[Tuple[int, str, str]]:
        found = [
            (row.time_ns, row.tags["agent_id"], row.fields["decision_id"])
            for row in self._decisions(span)
            if row.fields["decision_id"].startswith(prefix)
        ]
        return sorted(found, reverse=True)[:50]

    def throughput(self, span: Span) -> Dict[str, int]:
        sums: Dict[str, int] = {}
        for measurement, field in (
            ("publisher_metrics", "messages_published"),
            ("consumer_metrics", "messages_consumed"),
        ):
            for row in self.store.rows(measurement, span.start_ns, span.stop_ns):
                sums[row.tags["agent_id"]] = sums.get(row.tags["agent_id"], 0) + row.fields[field]
        return sums

    def attempts(self, span: Span, agent: str, decision_id: str) -> List[Row]:
        found = self.store.rows("api_calls", span.start_ns, span.stop_ns)
        return [row for row in found if (row.tags["agent_id"], row.fields["decision_id"]) == (agent, decision_id)]

    def spent(self, at_ns: int) -> Dict[str, Tuple[float, float]]:
        hour_ns, day_ns, after_ns = flux.spend_bounds(at_ns)
        found: Dict[str, Tuple[float, float]] = {}
        for row in self.store.rows("budget", day_ns, after_ns):
            hour_usd = row.fields["spent_hour_usd"] if row.time_ns >= hour_ns else 0.0
            found[row.tags["agent_id"]] = (hour_usd, row.fields["spent_day_usd"])
        return found

    def _decisions(self, span: Span) -> List[Row]:
        rows = self.store.rows("agent_reasoning", span.start_ns, span.stop_ns)
        return [row for row in rows if "decision_id" in row.fields]
