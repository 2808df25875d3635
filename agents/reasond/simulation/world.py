"""The seven agents, or any others, in virtual time on the embedded broker and store.

The cores and the driver are the runtime's own; only the shell differs. `reasond demo` runs it.
"""

import random
from collections import Counter, deque
from functools import partial
from typing import Any, Callable, Deque, Dict, List, Optional, Sequence, Tuple

from msgspec import Struct

from reasond.adapters.ports import BrokerLinks
from reasond.brains.base import Brain, Question
from reasond.content.generator import Generator
from reasond.core.agent import AgentCore
from reasond.core.consumer import ConsumerCore
from reasond.core.effects import Alarm, Ask, Handle, Look, Now, Save, Say
from reasond.core.monitor import MonitorCore
from reasond.core.publisher import PublisherCore
from reasond.core.records import heartbeat_row
from reasond.decisions import AgentType
from reasond.driver import Driver, Recorder
from reasond.embedded.broker import EmbeddedBroker, Stored
from reasond.embedded.links import EmbeddedLinks
from reasond.embedded.store import EmbeddedStore
from reasond.observer import Observer
from reasond.points import Row, Stamper
from reasond.settings import Settings, load
from reasond.simulation.clock import VirtualClock
from reasond.simulation.feed import ReplayedFeed

START_WALL_NS = 1_767_225_600_000_000_000
"""2026-01-01T00:00:00Z: a fixed start, so that one seed gives one result."""
LOOK_LATENCY_S = 0.02
"""About what a query of InfluxDB or the management API takes."""
SAVE_LATENCY_S = 0.001
HANDLED = ("immediate", "batched")
"""The processing actions of messages that a handler worked on."""

EventSink = Callable[[Now, str, Say], None]


class AgentPlan(Struct, frozen=True):
    """One agent of a world: its kind and its settings (all sections)."""

    agent_id: str
    agent_type: AgentType
    settings: Settings


class World:
    """A broker, a store and agents in virtual time."""

    def __init__(self, seed: int = 0, start_wall_ns: int = START_WALL_NS) -> None:
        """Begin empty at a time (UTC); everything random comes from `seed`."""
        self.clock = VirtualClock(start_wall_ns)
        self.broker = EmbeddedBroker(self.clock.now())
        self.store = EmbeddedStore()
        self.agents: Dict[str, SimulatedAgent] = {}
        self.handler_slowdown = 1.0
        self.published = 0
        self.loaded = 0
        """Messages that the broker took from clients other than the publishers."""
        self.consumed: Counter[str] = Counter()
        self.late = 0
        self._seed = seed
        self._sinks: List[EventSink] = []

    def listen(self, sink: EventSink) -> None:
        """Have every event that an agent says, alerts included, told to `sink`."""
        self._sinks.append(sink)

    def tell(self, agent_id: str, effect: Say) -> None:
        """Pass an agent's event to the listeners."""
        for sink in self._sinks:
            sink(self.clock.now(), agent_id, effect)

    def write(self, rows: Sequence[Row]) -> None:
        """Take points into the store, which forgets old raw ones, and into the counts, which are kept."""
        self.store.write(rows)
        for row in rows:
            if row.measurement == "publisher_metrics":
                self.published += row.fields["messages_published"]
            elif row.measurement == "consumer_metrics":
                self.consumed[row.tags["processing_action"]] += row.fields["messages_consumed"]
                if row.tags["processing_action"] in HANDLED:
                    self.late += row.fields.get("late", False)

    def rows(self, measurement: str) -> Tuple[Row, ...]:
        """Give the points of a measurement since the start, those that the store has kept."""
        return self.store.rows(measurement, 0, self.clock.now().wall_ns + 1)

    def rng(self, name: str) -> random.Random:
        """Give a generator of its own to each purpose, so that one more agent doesn't change the others' numbers."""
        return random.Random("{}:{}".format(self._seed, name))

    def add(self, plan: AgentPlan, brain: Brain, recorder: Optional[Recorder] = None) -> "SimulatedAgent":
        """Put an agent into the world; it begins with the next `run_until`."""
        return self._enter(SimulatedAgent(self, plan, brain, recorder))

    def _enter(self, agent: "SimulatedAgent") -> "SimulatedAgent":
        self.agents[agent.plan.agent_id] = agent
        self.clock.call_at(self.clock.now().mono, agent.start)
        return agent

    def publish(self, message: Stored) -> None:
        """Publish as a client that is no agent."""
        self.loaded += self.broker.publish(self.clock.now(), message) == "ok"

    def kill(self, agent_id: str) -> None:
        """End an agent as SIGKILL would: its links drop, and what it held goes back to the queues."""
        self.agents[agent_id].die()

    def start_again(self, agent_id: str) -> "SimulatedAgent":
        """Start a killed agent anew, with the state that it had saved."""
        dead = self.agents[agent_id]
        agent = SimulatedAgent(self, dead.plan, dead.brain, dead.recorder, dead.saved, dead.life + 1)
        return self._enter(agent)

    def run_until(self, mono: float) -> None:
        """Let the time go on to `mono` seconds after the start."""
        self.clock.run_until(mono)

    def stop(self, grace_s: float = 10.0) -> None:
        """Stop every agent as SIGTERM would, and let what is in hand end."""
        for agent in self.agents.values():
            agent.driver.stop()
        self.clock.run_until(self.clock.now().mono + grace_s)


class SimulatedAgent:
    """One agent's core with its driver, and the shell that carries its effects out in virtual time."""

    def __init__(
        self,
        world: World,
        plan: AgentPlan,
        brain: Brain,
        recorder: Optional[Recorder] = None,
        saved: Optional[Dict[str, Any]] = None,
        life: int = 1,
    ) -> None:
        """Build the core and join it to the world; `life` counts the process's starts, `saved` is from the last."""
        self.plan = plan
        self.brain = brain
        self.recorder = recorder
        self.saved: Dict[str, Any] = saved or {}
        self.life = life
        self._alive = True
        self._world = world
        self._clock = world.clock
        # Two of a shell's parts are the clock's own.
        self.now: Callable[[], Now] = world.clock.now
        self.call_at: Callable[[float, Callable[[], None]], Any] = world.clock.call_at
        self._stamper = Stamper()
        self._started_mono = 0.0
        self._work: Deque[Handle] = deque()
        self._busy = 0
        self.core = self._make_core()
        self.driver = Driver(self.core, recorder)
        self._embedded = EmbeddedLinks(
            world.broker,
            self.driver,
            world.clock,
            consume=plan.agent_type == "consumer",
            prefetch=plan.settings.consumer.prefetch,
        )
        self.links: BrokerLinks = self._embedded
        self._observer = Observer(
            world.store,
            world.broker,
            plan.settings.monitor.sampling_period_s,
            agent_id=plan.agent_id,
            agent_type=plan.agent_type,
        )
        self.driver.attach(self)

    def _make_core(self) -> AgentCore:
        settings = self.plan.settings
        # A process that is started anew draws other numbers; its first life is named as it always was.
        rng = self._world.rng(self.plan.agent_id if self.life == 1 else f"{self.plan.agent_id}:{self.life}")
        if self.plan.agent_type == "publisher":
            feed = settings.publisher.feed
            source = ReplayedFeed(settings.publisher, self.saved) if feed else Generator(settings.publisher, rng)
            return PublisherCore(settings.publisher, source, rng, self.saved, self._stamper)
        if self.plan.agent_type == "consumer":
            return ConsumerCore(settings.consumer, settings.privacy, self.saved, self._stamper)
        return MonitorCore(settings.monitor, settings.budget, self.saved, self._stamper)

    def start(self) -> None:
        """Begin, as a process would after its start."""
        self._started_mono = self._world.clock.now().mono
        self.driver.start()
        self.links.open()
        self._heartbeat()

    def die(self) -> None:
        """End at once: nothing that was under way is heard of again."""
        self._alive = False
        self._work.clear()
        self.driver.detach()
        self._embedded.abort()

    # The shell

    def handle(self, effect: Handle) -> None:
        """Work as long as the simulated handler would, on as many threads as are set."""
        self._work.append(effect)
        self._take_work()

    def ask(self, effect: Ask) -> None:
        """Have the brain decide now, and deliver the answer when its latency has passed."""
        now = self.now()
        question = Question(
            ask_id=effect.ask_id,
            agent_id=self.plan.agent_id,
            agent_type=self.plan.agent_type,
            context=effect.context,
            deadline_s=effect.deadline_s,
            wall_ns=now.wall_ns,
        )
        answer = self.brain.decide(question)
        self._clock.call_later(answer.latency_ms / 1000, partial(self.driver.decided, effect.ask_id, answer))

    def look(self, effect: Look) -> None:
        """Make the view as things stand now."""
        view = self._observer.look(effect, self.now().wall_ns)
        self._clock.call_later(LOOK_LATENCY_S, partial(self.driver.viewed, effect.ref, view))

    def save(self, effect: Save) -> None:
        """Keep the state in memory."""
        self.saved[effect.key] = effect.state
        self._clock.call_later(SAVE_LATENCY_S, partial(self.driver.saved, effect.ref))

    def write(self, rows: Sequence[Row]) -> None:
        """Write points to the embedded store."""
        self._world.write(rows)

    def say(self, effect: Say) -> None:
        """Tell the world's listeners."""
        self._world.tell(self.plan.agent_id, effect)

    def alarm(self, effect: Alarm) -> None:
        """Do nothing: the core has said it, and nobody is called out of a simulation."""

    def _take_work(self) -> None:
        consumer = self.plan.settings.consumer
        while self._work and self._busy < consumer.handler_threads:
            effect = self._work.popleft()
            self._busy += 1
            duration_ms = consumer.handler_duration_ms * len(effect.deliveries) * self._world.handler_slowdown
            self._clock.call_later(duration_ms / 1000, partial(self._worked, effect, duration_ms))

    def _worked(self, effect: Handle, duration_ms: float) -> None:
        self._busy -= 1
        self.driver.handled(effect.ref, None, duration_ms)
        self._take_work()

    def _heartbeat(self) -> None:
        if not self._alive:
            return
        now = self.now()
        status = self.core.status(now)
        fields: Dict[str, Any] = {"uptime_s": now.mono - self._started_mono, "brain": self.brain.name}
        fields.update(status.fields, state=status.line, degraded=False, boot_id=f"simulated-{self.life}")
        self.write((heartbeat_row(self._stamper, self.plan.agent_id, self.plan.agent_type, fields, now.wall_ns),))
        self._clock.call_later(self.plan.settings.process.heartbeat_s, self._heartbeat)


def seven(base: Dict[str, str]) -> Tuple[AgentPlan, ...]:
    """Give the plans of the specification's seven agents, all with the environment `base`."""
    plans = []
    for kind, variable, count in (("publisher", "PUBLISHER_ID", 3), ("consumer", "CONSUMER_ID", 3)):
        for number in range(1, count + 1):
            agent_id = "{}-{}".format(kind, number)
            plans.append(AgentPlan(agent_id, kind, load(dict(base, **{variable: agent_id}), kind)))  # type: ignore[arg-type]
    plans.append(AgentPlan("monitor-1", "monitor", load(dict(base, AGENT_ID="monitor-1"), "monitor")))
    return tuple(plans)
