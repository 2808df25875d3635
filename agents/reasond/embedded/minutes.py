"""What an experiment is judged by, out of points in memory: as `flux.MINUTES` has InfluxDB work it out."""

from typing import Dict, Iterable, List, Tuple

from reasond import flux
from reasond.core.views import Decided, Minutes
from reasond.points import Row
from reasond.topology import EXPIRED, MAIN_QUEUES

MINUTE_NS = 60 * 1_000_000_000
_NOBODY_ASKED = ("experiment", "operator")
"""Who writes a decision that no brain took."""


def of_rows(queue_metrics: Iterable[Row], api_calls: Iterable[Row], reasoning: Iterable[Row]) -> Minutes:
    """Give each measure by the minute, and who decided; the rows are those of the range, of one measurement each."""
    samples = [row for row in queue_metrics if "depth" in row.fields]
    usd: Dict[int, float] = {}
    for row in api_calls:
        if "cost_usd" in row.fields:
            usd[_minute(row)] = usd.get(_minute(row), 0.0) + row.fields["cost_usd"]
    return Minutes({"depth": _depths(samples), "expired": _expired(samples), "usd": usd}, _decided(reasoning))


def _depths(samples: Iterable[Row]) -> Dict[int, float]:
    """Give each minute's mean depth, over the samples of an agent, then over agents; the main queues together."""
    series: Dict[Tuple[int, str], Dict[str, List[int]]] = {}
    for row in samples:
        queue = row.tags.get("queue", "")
        if queue in MAIN_QUEUES:
            of_agents = series.setdefault((_minute(row), queue), {})
            of_agents.setdefault(row.tags.get("agent_id", ""), []).append(row.fields["depth"])
    depths: Dict[int, float] = {}
    for (at, _), of_agents in series.items():
        means = [sum(found) / len(found) for found in of_agents.values()]
        depths[at] = depths.get(at, 0.0) + sum(means) / len(means)
    return depths


def _expired(samples: Iterable[Row]) -> Dict[int, float]:
    """Give by how much the queue of expired messages grew in each minute; what was taken out of it doesn't count."""
    points = sorted((row for row in samples if row.tags.get("queue") == EXPIRED), key=lambda row: row.time_ns)
    grown: Dict[int, float] = {}
    for before, after in zip(points, points[1:]):
        rise = after.fields["depth"] - before.fields["depth"]
        grown[_minute(after)] = grown.get(_minute(after), 0.0) + max(0, rise)
    return grown


def _decided(reasoning: Iterable[Row]) -> Tuple[Decided, ...]:
    counts: Dict[Tuple[int, str, str], int] = {}
    for row in reasoning:
        arm, brain = row.tags.get("arm", ""), row.tags.get("brain", "")
        if arm and "block" in row.fields and brain not in _NOBODY_ASKED:
            key = (row.fields["block"], arm, brain)
            counts[key] = counts.get(key, 0) + 1
    return tuple(sorted((Decided(*key, count) for key, count in counts.items()), key=flux.decided_order))


def _minute(row: Row) -> int:
    return row.time_ns - row.time_ns % MINUTE_NS
