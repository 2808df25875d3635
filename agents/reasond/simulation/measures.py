"""What is measured of a simulated run, and how the figures are made of it.

The queues are looked at from outside, so that the figures depend neither on a monitor that may be down nor on
stamps in messages, which injected anomalies falsify.
"""

import math
from collections import Counter
from typing import Any, Dict, List, Sequence, Tuple

from msgspec import Struct

from reasond.core.effects import Now
from reasond.embedded.broker import EmbeddedBroker
from reasond.flux import in_shadow, intervals_in_force
from reasond.points import Row
from reasond.simulation.world import HANDLED
from reasond.topology import MAIN_QUEUES

SAMPLE_S = 5.0
"""As often as the monitor samples by default."""
OVERLOAD_TTL_PART = 0.5
"""A queue whose oldest message has used up this part of the time to live is overloaded: half its margin is gone."""


class Figures(Struct, frozen=True):
    """One run in figures. Messages are those of the main queues, whoever published them."""

    minutes: float
    published: int
    processed: int
    batched: int
    flagged: int
    rejected: int
    expired: int
    queued: int
    in_flight: int
    duplicates: int
    doubles: int
    late: int
    mean_depth: float
    p95_depth: float
    overload_min: float
    throughput_per_min: float
    p95_latency_s: float
    mean_latency_s: float
    oscillation_per_h: float
    decisions: int
    fallbacks: int
    tokens: int
    usd: float

    @property
    def conserved(self) -> bool:
        """Whether each published message is accounted for: what consumers wrote down against the broker's counts.

        `doubles` are messages that consumers handled again because a process died between work and
        acknowledgement; fewer than none would be messages that went without a trace.
        """
        told = self.processed + self.batched + self.flagged + self.rejected + self.duplicates - self.doubles
        return self.doubles >= 0 and self.published == told + self.expired + self.queued + self.in_flight


class Moment(Struct, frozen=True):
    """A look at the queues: seconds after the start, messages, and the age of the oldest in seconds."""

    at_s: float
    depths: Tuple[int, ...]
    oldest_s: float


class Watch:
    """Looks at a broker each `SAMPLE_S`, and notes how long every acknowledged message had been there."""

    def __init__(self, broker: EmbeddedBroker) -> None:
        """Begin to listen to the broker."""
        self._broker = broker
        self.moments: List[Moment] = []
        self.latencies_s: List[float] = []
        broker.on_acked = self._acked

    def look(self, now: Now) -> None:
        """Note how the main queues stand."""
        oldest = max(self._broker.oldest_age_s(now, queue) for queue in MAIN_QUEUES)
        depths = tuple(sum(self._broker.left(queue)) for queue in MAIN_QUEUES)
        self.moments.append(Moment(now.mono, depths, oldest))

    def _acked(self, queue: str, age_s: float) -> None:
        if queue in MAIN_QUEUES:
            self.latencies_s.append(age_s)


def figures(
    watch: Watch,
    broker: EmbeddedBroker,
    consumed: "Counter[str]",
    late: int,
    decisions: Sequence[Row],
    *,
    seconds: float,
    ttl_s: float,
) -> Figures:
    """Work out the figures of a run of so many seconds; `consumed` counts messages by processing action.

    `decisions` are all points of `agent_reasoning`, oldest first; `ttl_s` is the time to live that counts.
    """
    counters = [broker.counters(queue) for queue in MAIN_QUEUES]
    totals = [sum(moment.depths) for moment in watch.moments]
    overloaded = sum(moment.oldest_s > OVERLOAD_TTL_PART * ttl_s for moment in watch.moments)
    left = [broker.left(queue) for queue in MAIN_QUEUES]
    handled = sum(consumed[action] for action in HANDLED)
    return Figures(
        minutes=seconds / 60,
        published=sum(counter.published for counter in counters),
        processed=consumed["immediate"],
        batched=consumed["batched"],
        flagged=consumed["flagged"],
        rejected=consumed["rejected"],
        expired=sum(counter.expired for counter in counters),
        queued=sum(ready for ready, _ in left),
        in_flight=sum(unacked for _, unacked in left),
        duplicates=consumed["duplicate"],
        doubles=sum(consumed.values()) - sum(counter.acked for counter in counters),
        late=late,
        mean_depth=mean(totals),
        p95_depth=quantile(totals, 0.95),
        overload_min=overloaded * SAMPLE_S / 60,
        throughput_per_min=handled / (seconds / 60),
        p95_latency_s=quantile(watch.latencies_s, 0.95),
        mean_latency_s=mean(watch.latencies_s),
        oscillation_per_h=turns(rates(decisions)) / (seconds / 3600),
        decisions=len(decisions),
        fallbacks=sum("fallback_reason" in row.fields for row in decisions),
        tokens=sum(row.fields.get("tokens_used", 0) for row in decisions),
        usd=math.fsum(row.fields.get("would_cost_usd") or row.fields.get("cost_usd", 0.0) for row in decisions),
    )


def rates(decisions: Sequence[Row]) -> List[Tuple[int, float]]:
    """Give the rate that all publishers together set, messages a second, after each decision (UTC ns).

    Until its first decision a publisher goes at the rate which that one found; a paused one's is 0.
    """
    mine = [row for row in decisions if row.tags["agent_type"] == "publisher"]
    current: Dict[str, float] = {}
    for row in reversed(mine):
        found = (row.fields.get("previous_fictional_interval"), row.fields.get("previous_nonfictional_interval"))
        current[row.tags["agent_id"]] = _rate(found)
    course: List[Tuple[int, float]] = []
    for row in mine:
        paused = row.tags["action"] == "pause" and not in_shadow(row.fields)
        current[row.tags["agent_id"]] = 0.0 if paused else _rate(intervals_in_force(row.fields))
        course.append((row.time_ns, math.fsum(current.values())))
    return course


def turns(course: Sequence[Tuple[int, float]]) -> int:
    """Give how often a course of rates turned from falling to rising, or back."""
    changes = [later - earlier for (_, earlier), (_, later) in zip(course, course[1:]) if later != earlier]
    return sum(earlier * later < 0 for earlier, later in zip(changes, changes[1:]))


def quantile(values: Sequence[Any], part: float) -> float:
    """Give the value that `part` of the values don't exceed (nearest rank); 0 of none."""
    if not values:
        return 0.0
    ordered = sorted(values)
    return float(ordered[max(0, math.ceil(part * len(ordered)) - 1)])


def mean(values: Sequence[Any]) -> float:
    """Give the mean; 0 of none."""
    return math.fsum(values) / len(values) if values else 0.0


def _rate(intervals: Sequence[Any]) -> float:
    return math.fsum(1.0 / interval for interval in intervals if interval)
