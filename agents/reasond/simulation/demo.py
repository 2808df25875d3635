"""A run as it is watched: what stands at each moment, and what it came to.

Made for `reasond demo`, which draws it; the figures all come from the embedded broker and store.
"""

from collections import Counter
from typing import Any, Dict, List, Optional, Sequence, Tuple

from msgspec import Struct

from reasond.core.effects import Now, Say
from reasond.core.views import QueueSample
from reasond.flux import intervals_in_force
from reasond.simulation import scenario as scenarios
from reasond.simulation.run import Run
from reasond.simulation.scenario import Scenario
from reasond.topology import DEAD_QUEUES, EXPIRED, MAIN_QUEUES

STORY = "demo"
"""The scenario that is played unless another is named; too short to be compared by, so it isn't among the shipped."""


class Moment(Struct, frozen=True):
    """What stands at one time of the run, for whoever draws it; `what` is empty when all is ordinary."""

    at_s: float
    what: str
    depths: Dict[str, Optional[int]]
    intervals: Dict[str, Tuple[int, int]]
    lines: Dict[str, str]
    published: int
    consumed: int
    cost_usd: float
    would_cost_usd: float


def find(name: str) -> Scenario:
    """Give the demonstration's own story, or the scenario of that name or path. Raises InputError."""
    return scenarios.packaged(f"{STORY}{scenarios.SUFFIX}") if name == STORY else scenarios.find(name)


class Demonstration:
    """The run, moment by moment."""

    def __init__(self, run: Run, length_s: float) -> None:
        """Take a run that has not begun, and how long it is to last."""
        self.length_s = length_s
        self.run = run
        self.world = run.world
        self.events: List[Tuple[Now, str, Say]] = []
        self.world.listen(lambda now, agent_id, effect: self.events.append((now, agent_id, effect)))

    def advance(self, to_s: float) -> Moment:
        """Let the system's time go on to `to_s` and tell what stands then."""
        self.run.advance(to_s)
        return self.moment()

    def moment(self) -> Moment:
        """Tell what stands now."""
        now = self.world.clock.now()
        samples = {sample.queue: sample for sample in self.world.broker.queue_samples(now.wall_ns)}
        decisions = self.world.rows("agent_reasoning")
        return Moment(
            at_s=now.mono,
            what=self.run.story.what(),
            depths={queue: _depth(samples.get(queue)) for queue in MAIN_QUEUES + DEAD_QUEUES},
            intervals=_latest_intervals(decisions),
            lines={agent_id: agent.core.status(now).line for agent_id, agent in self.world.agents.items()},
            published=self.world.published + self.world.loaded,
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
            "published": world.published + world.loaded,
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
