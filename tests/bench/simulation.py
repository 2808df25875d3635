"""`python -m tests.bench.simulation`: how fast the simulation runs the agents in virtual time.

Measured is CPU time: of the specification's seven agents with rules for one hour (the best of several runs) and for a
whole day, and of 200 agents for one hour. Seconds depend on the machine and are only printed. Judged is how many times
as long a run takes as a bare event loop in the same process: the virtual clock with as many timers that do nothing.
Exit 1 when that is over the limit, or when nothing was consumed.
"""

import argparse
import sys
import time
from typing import Callable, Dict, List, NamedTuple, Optional, Sequence, Tuple, cast

from reasond.brains.rules import RulesBrain
from reasond.decisions import AgentType
from reasond.settings import load
from reasond.simulation.clock import VirtualClock, VirtualTimer
from reasond.simulation.world import START_WALL_NS, AgentPlan, World, seven

LIMIT = 60.0
"""Times as long as the bare loop; 44 to 54 were measured on a machine that was busy with other work."""
HOUR_S = 3600.0
TIMES, BARE_TIMES = 3, 3
SETTINGS = {"REASOND_BRAIN": "rules"}
MANY: Dict[str, Tuple[str, int]] = {
    "publisher": ("PUBLISHER_ID", 100),
    "consumer": ("CONSUMER_ID", 99),
    "monitor": ("AGENT_ID", 1),
}
"""Agents of each kind, and the variable that names one."""


class CountingClock(VirtualClock):
    """A virtual clock that counts the timers it is given."""

    timers = 0

    def call_at(self, mono: float, function: Callable[[], None]) -> VirtualTimer:
        """Count, and call `function` at virtual time `mono`."""
        self.timers += 1
        return super().call_at(mono, function)


class Measured(NamedTuple):
    """One run: its virtual hours, its CPU seconds and those of the bare loop, its timers and messages."""

    label: str
    hours: float
    cpu_s: float
    bare_s: float
    timers: int
    consumed: int

    @property
    def ratio(self) -> float:
        """How many times as long as the bare loop."""
        return self.cpu_s / self.bare_s

    def __str__(self) -> str:
        return (
            f"{self.label:<28} {self.cpu_s:6.2f} s of CPU, {self.cpu_s / self.hours:6.3f} an hour; "
            f"{self.ratio:5.1f} times the bare loop of {self.timers:,d} timers; {self.consumed:,d} messages"
        )


def many() -> Tuple[AgentPlan, ...]:
    """Give the plans of 200 agents."""
    plans = []
    for kind, (variable, count) in MANY.items():
        for number in range(1, count + 1):
            agent_id, agent_type = f"{kind}-{number}", cast(AgentType, kind)
            plans.append(AgentPlan(agent_id, agent_type, load(dict(SETTINGS, **{variable: agent_id}), agent_type)))
    return tuple(plans)


def measure(label: str, plans: Sequence[AgentPlan], hours: float, times: int = 1) -> Measured:
    """Run the agents so often; give the fastest run beside the fastest bare loop."""
    runs = [_run(plans, hours) for _ in range(times)]
    cpu_s, world, timers = min(runs, key=lambda run: run[0])
    bare_s = min(bare(timers, len(plans)) for _ in range(BARE_TIMES))
    return Measured(label, hours, cpu_s, bare_s, timers, sum(world.consumed.values()))


def _run(plans: Sequence[AgentPlan], hours: float) -> Tuple[float, World, int]:
    world = World(seed=1)
    world.clock = clock = CountingClock(START_WALL_NS)
    for plan in plans:
        world.add(plan, RulesBrain())
    begun = time.process_time()
    world.run_until(hours * HOUR_S)
    return time.process_time() - begun, world, clock.timers


def bare(timers: int, chains: int) -> float:
    """Give the CPU seconds of so many timers that do nothing but set the next one, in so many chains."""
    clock = VirtualClock(START_WALL_NS)
    left = timers - chains

    def tick() -> None:
        nonlocal left
        if left > 0:
            left -= 1
            clock.call_at(clock.now().mono + 1.0, tick)

    begun = time.process_time()
    for _ in range(chains):
        clock.call_at(0.0, tick)
    clock.run_until(float(timers))
    return time.process_time() - begun


def told(measured: Sequence[Measured], *, judged: bool) -> int:
    """Print what was measured and what misses the limit; give the exit status."""
    print("\n".join(str(one) for one in measured))
    idle = [one.label for one in measured if not one.consumed]
    slow = [f"{one.label} {one.ratio:.1f}" for one in measured if one.ratio > LIMIT]
    if idle:
        print("FAILED: nothing was consumed by " + ", ".join(idle))
    print(f"over the limit of {LIMIT:.0f} times the bare loop: {', '.join(slow) or 'none'}")
    return int(bool(idle) or (judged and bool(slow)))


def main(argv: Optional[List[str]] = None) -> int:
    """Measure; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.simulation", description=__doc__)
    parser.add_argument(
        "--quick", action="store_true", help="minutes instead of hours; figures are printed, not judged"
    )
    options = parser.parse_args(argv)
    part = 0.02 if options.quick else 1.0
    plans = seven(SETTINGS)
    measured = [
        measure(f"7 agents, {1 * part:g} h, best of {TIMES}", plans, 1 * part, TIMES),
        measure(f"7 agents, {24 * part:g} h", plans, 24 * part),
        measure(f"200 agents, {1 * part:g} h", many(), 1 * part),
    ]
    return told(measured, judged=not options.quick)


if __name__ == "__main__":
    sys.exit(main())
