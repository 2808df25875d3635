"""One load on real services with real processes, and the same in virtual time: how far the figures lie apart."""

import math
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Counter as CounterType
from typing import Dict, Iterable, List, NamedTuple, Tuple

from reasond.adapters.influxdb import nanoseconds
from reasond.simulation.run import Job, Run
from reasond.simulation.scenario import Phase, Scenario
from tests.acceptance.run import finished
from tests.acceptance.system import Pace, System

MAIN_QUEUES = ("priority", "fictional", "non-fictional")
SEED = 1
PACE = Pace(
    calm_s=15,
    overload_s=50,
    recovery_s=35,
    load_rate=4.0,
    settings={
        "REASOND_BRAIN": "rules",
        "CONSUMER_HANDLER_DURATION_MS": "1000",
        "CONSUMER_HANDLER_THREADS": "1",
        "CONSUMER_MIN_CALL_GAP_S": "1",
        "CONSUMER_SAMPLE_EVERY": "10",
        "PUBLISHER_ANOMALY_RATE": "0",
        "PUBLISHER_DECISION_PERIOD_S": "15",
        "PUBLISHER_DECISION_DEADLINE_S": "6",
        "PUBLISHER_TTL_S": "60",
        "MONITOR_PERIOD_S": "10",
        "MONITOR_DECISION_DEADLINE_S": "8",
        "MONITOR_WINDOW_S": "30",
        "MONITOR_SAMPLING_PERIOD_S": "1",
        "REASOND_HEARTBEAT_S": "2",
    },
)


Point = Tuple[int, str, str, float]
"""When (UTC ns), what (`depth`, `consumed` or `decided`), of which queue or agent, and how much."""


class Seen(NamedTuple):
    """What was seen from the begin of the load to the end."""

    mean_depth: float
    throughput_per_s: float
    decisions: Dict[str, int]


class Compared(NamedTuple):
    """The real run and the simulated one."""

    real: Seen
    simulated: Seen


def compare(python: str = sys.executable) -> Compared:
    """Run the load for real, then simulate what was run: the same times, settings and load."""
    with tempfile.TemporaryDirectory(prefix="reasond-fidelity-") as folder:
        with finished(Path(folder), PACE, "sensible", python) as system:
            begin_ns, end_ns = system.overload_ns, int(system.recovery_ns + 1e9 * PACE.recovery_s)
            alive_ns = _alive_ns(system)
            real = _seen(_points(system), begin_ns, end_ns)
        simulated = _simulate(system, alive_ns, end_ns)
        return Compared(real, _seen(simulated, begin_ns, end_ns))


def _alive_ns(system: System) -> int:
    """Give when the agents began, the median of their first heartbeats (UTC ns)."""
    firsts: Dict[str, int] = {}
    rows = system.flux('filter(fn: (r) => r._measurement == "agent_health" and r._field == "up")')
    for row in rows:
        at = nanoseconds(row["_time"])
        firsts[row["agent_id"]] = min(at, firsts.get(row["agent_id"], at))
    return sorted(firsts.values())[len(firsts) // 2]


def _simulate(system: System, alive_ns: int, end_ns: int) -> List[Point]:
    length_s = (end_ns - alive_ns) / 1e9
    load = Phase(
        begin_min=(system.overload_ns - alive_ns) / 6e10,
        end_min=(system.recovery_ns - alive_ns) / 6e10,
        load_hz=system.loaded / ((system.recovery_ns - system.overload_ns) / 1e9),
        load_even=True,
    )
    scenario = Scenario("Fidelity", "The load of the real run.", length_s / 60, phase=(load,))
    with tempfile.TemporaryDirectory(prefix="reasond-fidelity-") as folder:
        run = Run(Job(scenario, "rules", SEED, length_s, PACE.settings, start_wall_ns=alive_ns), Path(folder))
        run.advance(length_s)
        world = run.world
        return [
            *((row.time_ns, "depth", row.tags["queue"], row.fields["depth"]) for row in world.rows("queue_metrics")),
            *((row.time_ns, "consumed", "", 1) for row in world.rows("consumer_metrics")),
            *((row.time_ns, "decided", row.tags["agent_id"], 1) for row in world.rows("agent_reasoning")),
        ]


def _points(system: System) -> List[Point]:
    points: List[Point] = []
    for what, measurement, field, tag in (
        ("depth", "queue_metrics", "depth", "queue"),
        ("consumed", "consumer_metrics", "messages_consumed", ""),
        ("decided", "agent_reasoning", "decision_id", "agent_id"),
    ):
        rows = system.flux(f'filter(fn: (r) => r._measurement == "{measurement}" and r._field == "{field}")')
        for row in rows:
            points.append(
                (nanoseconds(row["_time"]), what, row.get(tag, ""), float(row["_value"]) if what == "depth" else 1)
            )
    return points


def _seen(points: Iterable[Point], begin_ns: int, end_ns: int) -> Seen:
    depths: Dict[str, List[float]] = {queue: [] for queue in MAIN_QUEUES}
    consumed = 0
    decisions: CounterType[str] = Counter()
    for at_ns, what, whose, value in points:
        if not begin_ns <= at_ns < end_ns:
            continue
        if what == "depth" and whose in depths:
            depths[whose].append(value)
        consumed += what == "consumed"
        decisions[whose] += what == "decided"
    mean = math.fsum(math.fsum(found) / len(found) for found in depths.values())
    del decisions[""]
    return Seen(mean, consumed / ((end_ns - begin_ns) / 1e9), {k: v for k, v in sorted(decisions.items()) if v})
