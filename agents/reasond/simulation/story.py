"""Makes a scenario happen to a world: other clients' load, slow handlers, agents that are killed, the API's moods."""

from typing import Iterable, List, Optional, Set

from msgspec import Struct
from msgspec.structs import replace

from reasond.content.generator import Generator
from reasond.content.source import compose
from reasond.embedded.broker import Stored
from reasond.messages import GENRES, encode
from reasond.settings import PublisherSettings
from reasond.simulation.scenario import Phase, Scenario, ends
from reasond.simulation.world import World
from reasond.topology import EXCHANGE, routing_key

TICK_S = 10.0
"""Between looks at a course that changes within a phase."""
EDGE_S = 1e-6
LOAD_LOOK_S = 1.0
"""The load's rate counts as constant for so long."""
LOAD_SOURCE = "load-1"


class Conditions(Struct, frozen=True):
    """What holds at one time."""

    load_hz: float = 0.0
    load_high_part: float = 0.0
    load_even: bool = False
    handler_slowdown: float = 1.0
    consumers_down: int = 0
    publishers_down: int = 0
    api_failing: float = 0.0
    api_slowdown: float = 1.0


def conditions(phases: Iterable[Phase], minute: float) -> Conditions:
    """Give what holds at a minute after the start, from the phases that are on."""
    load = high = failing = 0.0
    even = True
    slowdown = api_slowdown = 1.0
    consumers = publishers = 0
    for phase in active(phases, minute):
        rate = _course(phase, phase.load_hz, minute)
        load, high, even = load + rate, high + rate * phase.load_high_part, even and phase.load_even
        slowdown *= _course(phase, phase.handler_slowdown, minute)
        consumers, publishers = max(consumers, phase.consumers_down), max(publishers, phase.publishers_down)
        failing, api_slowdown = max(failing, phase.api_failing), max(api_slowdown, phase.api_slowdown)
    return Conditions(load, high / load if load else 0.0, even, slowdown, consumers, publishers, failing, api_slowdown)


def active(phases: Iterable[Phase], minute: float) -> List[Phase]:
    """Give the phases that are on at a minute after the start."""
    return [phase for phase in phases if phase.begin_min <= minute < phase.end_min]


def _course(phase: Phase, course: object, minute: float) -> float:
    first, last = ends(course)
    return first + (last - first) * (minute - phase.begin_min) / (phase.end_min - phase.begin_min)


class Story:
    """One scenario as it goes on in one world."""

    def __init__(self, scenario: Scenario, world: World) -> None:
        """Begin with the world's next turn."""
        self.now = Conditions()
        self._scenario = scenario
        self._world = world
        self._down: Set[str] = set()
        self._loading = False
        self._rng = world.rng("load")
        self._source: Optional[Generator] = None
        world.clock.call_at(0.0, self._tick)

    def what(self) -> str:
        """Give the phases that are on, in words; empty when all is ordinary."""
        on = active(self._scenario.phase, self._minute())
        return ", ".join(phase.what for phase in on if phase.what)

    def _minute(self) -> float:
        """Give where in the scenario the world stands; at a phase's edge a rounding error must not decide."""
        return ((self._world.clock.now().mono + EDGE_S) / 60) % self._scenario.minutes

    def _tick(self) -> None:
        self.now = conditions(self._scenario.phase, self._minute())
        self._world.handler_slowdown = self.now.handler_slowdown
        self._keep_down("consumer", self._scenario.agents.consumers, self.now.consumers_down)
        self._keep_down("publisher", self._scenario.agents.publishers, self.now.publishers_down)
        if self.now.load_hz and not self._loading:
            self._loading = True
            self._await_load()
        self._world.clock.call_at(self._next_tick(), self._tick)

    def _next_tick(self) -> float:
        """Give when something may change next: at a phase's edge, or soon while a course is under way."""
        mono, minute = self._world.clock.now().mono, self._minute()
        edges = {edge for phase in self._scenario.phase for edge in (phase.begin_min, phase.end_min)}
        following = min([edge for edge in edges if edge > minute] + [self._scenario.minutes])
        left_s = 60 * (following - minute)
        moving = any(phase.moves() for phase in active(self._scenario.phase, minute))
        return mono + max(EDGE_S, min(left_s, TICK_S) if moving else left_s)

    def _keep_down(self, kind: str, there: int, down: int) -> None:
        """Kill the highest numbers of a kind, and start again those that may live."""
        for number in range(1, there + 1):
            agent_id = f"{kind}-{number}"
            dead, doomed = agent_id in self._down, number > there - down
            if doomed and not dead:
                self._down.add(agent_id)
                self._world.kill(agent_id)
            elif dead and not doomed:
                self._down.discard(agent_id)
                self._world.start_again(agent_id)

    # Other clients' messages

    def _await_load(self) -> None:
        """Wait for the next message; while the rate stands, a Poisson process may be begun anew at any time."""
        if not self.now.load_hz:
            self._loading = False
            return
        even = self.now.load_even
        wait_s = 1 / self.now.load_hz if even else self._rng.expovariate(self.now.load_hz)
        mono = self._world.clock.now().mono
        if wait_s > LOAD_LOOK_S and not even:
            self._world.clock.call_at(mono + LOAD_LOOK_S, self._await_load)
        else:
            self._world.clock.call_at(mono + wait_s, self._load)

    def _load(self) -> None:
        if self.now.load_hz:
            self._world.publish(self._message())
        self._await_load()

    def _message(self) -> Stored:
        if self._source is None:
            self._source = Generator(PublisherSettings(anomaly_rate=0.0), self._rng)
        now = self._world.clock.now()
        item = self._source.take(self._rng.choice(GENRES), now)
        high = self._rng.random() < self.now.load_high_part
        item = replace(item, priority="high" if high else "normal")
        message = compose(item, source=LOAD_SOURCE, reasoning="other clients' load", now=now, rng=self._rng)
        return Stored(
            body=encode(message),
            exchange=EXCHANGE,
            routing_key=routing_key(message),
            message_id=message.header.message_id,
            expiration_ms=str(message.metadata.ttl_seconds * 1000),
        )
