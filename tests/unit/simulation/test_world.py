"""The simulated world runs the runtime's own cores: same seed same run, nothing lost, and a recorded run replays."""

import os
import subprocess
import sys

import pytest

from reasond.brains.rules import RulesBrain
from reasond.brains.static import StaticBrain
from reasond.content.generator import Generator
from reasond.core.consumer import ConsumerCore
from reasond.core.monitor import MonitorCore
from reasond.core.publisher import PublisherCore
from reasond.points import Stamper, to_line
from reasond.simulation.world import World, seven
from reasond.topology import EXPIRED, FLAGGED, MAIN_QUEUES, REJECTED

SETTINGS = {"CONSUMER_HANDLER_DURATION_MS": "900", "CONSUMER_HANDLER_THREADS": "1"}


def run(seed=1, minutes=5.0, slow=True, recorders=None, world=None, **environ):
    """Give a world after some minutes with the rules deciding, slow in its middle."""
    world = world or World(seed)
    for plan in seven(dict(SETTINGS, **environ)):
        world.add(plan, RulesBrain(), (recorders or {}).get(plan.agent_id))
    world.run_until(minutes * 20)
    world.handler_slowdown = 8.0 if slow else 1.0
    world.run_until(minutes * 40)
    world.handler_slowdown = 1.0
    world.run_until(minutes * 60)
    return world


def lines(world):
    """Give every decision and every total of a world as text."""
    rows = world.rows("agent_reasoning") + world.rows("system_health") + world.rows("consumer_metrics")
    return [to_line(row) for row in rows]


def test_one_seed_gives_one_run_and_another_seed_another():
    first = lines(run(seed=1))

    assert first == lines(run(seed=1))
    assert first != lines(run(seed=2))


class PrintingWorld(World):
    """Prints every row in the order of writing."""

    def write(self, rows):
        print(*map(to_line, rows), sep="\n")
        super().write(rows)


def test_every_row_of_a_run_is_the_same_under_any_hash_seed():
    code = "from tests.unit.simulation.test_world import PrintingWorld, run; run(minutes=10.0, world=PrintingWorld(1))"

    first, other = (
        subprocess.run(
            [sys.executable, "-c", code],
            env=dict(_environment(), PYTHONHASHSEED=hash_seed),
            stdout=subprocess.PIPE,
            check=True,
        ).stdout
        for hash_seed in ("0", "1")
    )

    assert first.count(b"\n") > 1000
    assert first == other


def _environment():
    return dict(os.environ, PYTHONPATH=":".join(path for path in sys.path if path))


@pytest.mark.parametrize("environ", [{}, {"PUBLISHER_TTL_S": "3"}, {"PUBLISHER_ANOMALY_RATE": "0.3"}], ids=str)
def test_every_message_published_is_consumed_set_aside_expired_or_still_queued(environ):
    world = run(**environ)
    world.stop()

    depths = {sample.queue: sample.depth for sample in world.broker.queue_samples(world.clock.now().wall_ns)}
    ends = sum(world.consumed.values()) + depths[EXPIRED] + sum(depths[queue] for queue in MAIN_QUEUES)
    assert world.published == ends
    assert world.consumed["flagged"] == depths[FLAGGED] and world.consumed["rejected"] == depths[REJECTED]
    assert world.broker.conserved()


def test_publishers_slow_down_under_load_and_find_back():
    world = run(minutes=10.0)

    widest = max(
        row.fields["fictional_interval"]
        for row in world.rows("agent_reasoning")
        if row.tags["agent_type"] == "publisher"
    )
    last = [row for row in world.rows("agent_reasoning") if row.tags["agent_type"] == "publisher"][-3:]
    assert widest >= 8
    assert all(row.fields["fictional_interval"] <= 6 for row in last)


def test_static_changes_nothing():
    world = World(1)
    for plan in seven(SETTINGS):
        world.add(plan, StaticBrain())
    world.run_until(180.0)

    actions = {row.tags["action"] for row in world.rows("agent_reasoning") if row.tags["agent_type"] != "monitor"}
    assert actions == {"continue", "process"}


@pytest.mark.parametrize("agent_id", ["publisher-2", "consumer-2", "monitor-1"])
def test_a_recorded_run_replayed_on_a_fresh_core_gives_identical_effects(agent_id):
    recorded = []
    world = run(recorders={agent_id: lambda *entry: recorded.append(entry)})
    plan = world.agents[agent_id].plan
    stamper = Stamper()
    settings = plan.settings
    if plan.agent_type == "publisher":
        rng = World(1).rng(agent_id)
        core = PublisherCore(settings.publisher, Generator(settings.publisher, rng), rng, {}, stamper)
    elif plan.agent_type == "consumer":
        core = ConsumerCore(settings.consumer, settings.privacy, {}, stamper)
    else:
        core = MonitorCore(settings.monitor, settings.budget, {}, stamper)

    assert len(recorded) > 100
    for name, arguments, effects in recorded:
        assert getattr(core, name)(*arguments) == effects, name
