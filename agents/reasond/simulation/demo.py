"""The demonstration's story: seven agents for ten minutes, whose handlers grow slow in the middle.

Made for `reasond demo`, which draws it; the figures all come from the embedded broker and store.
"""

from collections import Counter
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple

from msgspec import Struct

from reasond.brains.base import Brain
from reasond.core.effects import Now, Say
from reasond.core.views import QueueSample
from reasond.flux import intervals_in_force
from reasond.simulation.world import AgentPlan, World, seven
from reasond.topology import DEAD_QUEUES, EXPIRED, MAIN_QUEUES

SLOW_FROM, SLOW_TO = 0.3, 0.6
"""Parts of the run between which the handlers are slow: before it is calm, after it the agents must find back."""
SLOWDOWN = 8.0
"""At 900 ms a message three consumers handle 3.3 messages/s; eight times slower is less than the 0.9 that come in."""
ENVIRONMENT: Dict[str, str] = {
    "CONSUMER_HANDLER_DURATION_MS": "900",
    "CONSUMER_HANDLER_THREADS": "1",
    "PUBLISHER_TTL_S": "60",
}

MakeBrain = Callable[[AgentPlan], Brain]


class Moment(Struct, frozen=True):
    """What stands at one time of the run, for whoever draws it."""

    at_s: float
    slow: bool
    depths: Dict[str, Optional[int]]
    intervals: Dict[str, Tuple[int, int]]
    lines: Dict[str, str]
    published: int
    consumed: int
    cost_usd: float
    would_cost_usd: float


class Demonstration:
    """The run, moment by moment."""

    def __init__(
        self, minutes: float, seed: int, make_brain: MakeBrain, environ: Optional[Dict[str, str]] = None
    ) -> None:
        """Put the seven agents into a world of their own; `environ` adds settings."""
        self.length_s = minutes * 60
        self.world = World(seed)
        self.events: List[Tuple[Now, str, Say]] = []
        self.world.listen(lambda now, agent_id, effect: self.events.append((now, agent_id, effect)))
        for plan in seven(dict(ENVIRONMENT, **(environ or {}))):
            self.world.add(plan, make_brain(plan))

    def advance(self, to_s: float) -> Moment:
        """Let the system's time go on to `to_s` and tell what stands then."""
        at_s = self.world.clock.now().mono
        for edge, slowdown in ((SLOW_FROM * self.length_s, SLOWDOWN), (SLOW_TO * self.length_s, 1.0)):
            if at_s < edge <= to_s:
                self.world.run_until(edge)
                self.world.handler_slowdown = slowdown
        self.world.run_until(to_s)
        return self.moment()

    def moment(self) -> Moment:
        """Tell what stands now."""
        now = self.world.clock.now()
        samples = {sample.queue: sample for sample in self.world.broker.queue_samples(now.wall_ns)}
        decisions = self.world.rows("agent_reasoning")
        return Moment(
            at_s=now.mono,
            slow=self.world.handler_slowdown > 1,
            depths={queue: _depth(samples.get(queue)) for queue in MAIN_QUEUES + DEAD_QUEUES},
            intervals=_latest_intervals(decisions),
            lines={agent_id: agent.core.status(now).line for agent_id, agent in self.world.agents.items()},
            published=self.world.published,
            consumed=sum(self.world.consumed.values()),
            cost_usd=sum(row.fields.get("cost_usd", 0.0) for row in decisions),
            would_cost_usd=sum(row.fields.get("would_cost_usd", 0.0) for row in decisions),
        )

    def summary(self) -> Dict[str, Any]:
        """Count what happened, from the embedded store."""
        world = self.world
        samples = world.broker.queue_samples(world.clock.now().wall_ns)
        depths = {sample.queue: sample.depth or 0 for sample in samples}
        decisions = world.rows("agent_reasoning")
        outcomes = Counter(
            row.fields.get("outcome_missing") or ("helped" if row.fields.get("outcome_success") else "did not help")
            for row in decisions
            if "outcome_success" in row.fields or "outcome_missing" in row.fields
        )
        return {
            "published": world.published,
            "consumed": dict(world.consumed),
            "expired": depths.get(EXPIRED, 0),
            "queued": sum(depths.get(queue, 0) for queue in MAIN_QUEUES),
            "decisions": Counter((row.tags["agent_type"], row.tags["action"]) for row in decisions),
            "brains": Counter(row.tags["brain"] for row in decisions),
            "tokens": sum(row.fields.get("tokens_used", 0) for row in decisions),
            "cost_usd": sum(row.fields.get("cost_usd", 0.0) for row in decisions),
            "would_cost_usd": sum(row.fields.get("would_cost_usd", 0.0) for row in decisions),
            "outcomes": outcomes,
            "scores": [row.fields["system_health_score"] for row in world.rows("system_health")],
            "deepest": _deepest(world.rows("queue_metrics")),
        }


def _depth(sample: Optional[QueueSample]) -> Optional[int]:
    return None if sample is None else sample.depth


def _latest_intervals(decisions: Sequence[Any]) -> Dict[str, Tuple[int, int]]:
    latest: Dict[str, Tuple[int, int]] = {}
    for row in decisions:
        if row.tags["agent_type"] == "publisher":
            latest[row.tags["agent_id"]] = intervals_in_force(row.fields)
    return latest


def _deepest(samples: Sequence[Any]) -> Dict[str, int]:
    deepest: Dict[str, int] = {}
    for row in samples:
        if row.tags["queue"] in MAIN_QUEUES and "depth" in row.fields:
            deepest[row.tags["queue"]] = max(deepest.get(row.tags["queue"], 0), row.fields["depth"])
    return deepest
