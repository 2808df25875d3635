"""One run of a scenario under a policy with a seed: the world set up, let go, and measured."""

import tempfile
from pathlib import Path
from typing import Dict, List, Optional, Tuple

from msgspec import Struct

from reasond.content.generator import Generator
from reasond.points import Row
from reasond.simulation import policy as policies
from reasond.simulation.api import Gate, LimitedApi
from reasond.simulation.feed import write_feed
from reasond.simulation.measures import SAMPLE_S, Figures, Moment, Watch, figures, rates
from reasond.simulation.scenario import Scenario
from reasond.simulation.story import Story
from reasond.simulation.world import START_WALL_NS, AgentPlan, World
from reasond.topology import DEAD_QUEUES, MAIN_QUEUES

FEED_FILE = "feed.jsonl"


class Job(Struct, frozen=True):
    """What to run; `environ` stands above the scenario's own settings."""

    scenario: Scenario
    policy: str
    seed: int
    seconds: float
    environ: Dict[str, str] = {}
    curves: bool = False
    start_wall_ns: int = START_WALL_NS
    """When it begins (UTC): decisions are taken at marks of the wall clock."""


class Curves(Struct, frozen=True):
    """A run as it went: the looks at the queues, the rate the publishers set (UTC ns), and all decisions.

    Each look also noted the depths of DEAD_QUEUES, and how many messages the main queues had got and got rid of by
    acknowledgement. `health` are the monitor's points.
    """

    start_ns: int
    moments: Tuple[Moment, ...]
    dead: Tuple[Tuple[int, ...], ...]
    flow: Tuple[Tuple[int, int], ...]
    rates: Tuple[Tuple[int, float], ...]
    decisions: Tuple[Row, ...]
    health: Tuple[Row, ...]


class Result(Struct, frozen=True):
    """What came of a job."""

    scenario: str
    policy: str
    seed: int
    figures: Figures
    curves: Optional[Curves] = None


class Run:
    """A job under way."""

    def __init__(self, job: Job, folder: Path, desk: Optional[policies.Desk] = None) -> None:
        """Set the world up; files that the job needs go into the folder. `claude` needs the desk."""
        self.world = World(job.seed, job.start_wall_ns)
        self.story = Story(job.scenario, self.world)
        self.watch = Watch(self.world.broker)
        self._job = job
        self._dead: List[Tuple[int, ...]] = []
        self._flow: List[Tuple[int, int]] = []
        self._gate = Gate(job.scenario.api.requests_per_minute)
        policy = policies.parse(job.policy)
        ttls = []
        for agent_id, kind in job.scenario.identities():
            choice = policy.brains[kind]
            environ = dict(choice.environment, **job.environ)
            environ.update(self._feed(agent_id, folder))
            settings = job.scenario.agent(agent_id, kind, environ)
            ttls.append(settings.monitor.message_ttl_s)
            brain = policies.make(choice, settings, kind, job.seed, desk)
            if choice.asks_api:
                brain = LimitedApi(brain, self._gate, self._mood, job.seed)
            self.world.add(AgentPlan(agent_id, kind, settings), brain)
        self._ttl_s = min(ttls)
        self._look()

    def advance(self, to_s: float) -> None:
        """Let the time go on to `to_s` seconds after the start."""
        self.world.run_until(to_s)

    def result(self) -> Result:
        """Measure what has happened so far."""
        world, job = self.world, self._job
        decisions = world.rows("agent_reasoning")
        found = figures(
            self.watch,
            world.broker,
            world.consumed,
            world.late,
            decisions,
            seconds=world.clock.now().mono,
            ttl_s=self._ttl_s,
        )
        curves = self._curves(decisions) if job.curves else None
        return Result(job.scenario.name, job.policy, job.seed, found, curves)

    def _curves(self, decisions: Tuple[Row, ...]) -> Curves:
        return Curves(
            start_ns=self._job.start_wall_ns,
            moments=tuple(self.watch.moments),
            dead=tuple(self._dead),
            flow=tuple(self._flow),
            rates=tuple(rates(decisions)),
            decisions=decisions,
            health=self.world.rows("system_health"),
        )

    def _mood(self) -> Tuple[float, float]:
        return self.story.now.api_failing, self.story.now.api_slowdown

    def _feed(self, agent_id: str, folder: Path) -> Dict[str, str]:
        feed = self._job.scenario.feed
        if feed is None or feed.publisher != agent_id:
            return {}
        path = folder / FEED_FILE
        settings = self._job.scenario.agent(agent_id, "publisher", self._job.environ)
        generator = Generator(settings.publisher, self.world.rng("feed"))
        write_feed(path, feed.lines, generator, self.world.clock.now())
        return {"PUBLISHER_FEED": str(path)}

    def _look(self) -> None:
        now = self.world.clock.now()
        self.watch.look(now)
        if self._job.curves:
            broker = self.world.broker
            self._dead.append(tuple(sum(broker.left(queue)) for queue in DEAD_QUEUES))
            counters = [broker.counters(queue) for queue in MAIN_QUEUES]
            self._flow.append((sum(one.published for one in counters), sum(one.acked for one in counters)))
        self.world.clock.call_at(now.mono + SAMPLE_S, self._look)


def simulate(job: Job, desk: Optional[policies.Desk] = None) -> Result:
    """Run a job to its end and measure it. Raises InputError for a policy that isn't known."""
    with tempfile.TemporaryDirectory(prefix="reasond-simulate-") as folder:
        run = Run(job, Path(folder), desk)
        run.advance(job.seconds)
        return run.result()
