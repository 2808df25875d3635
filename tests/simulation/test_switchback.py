"""Experiments by blocks on simulated systems: an effect is found where there is one, and seldom where there is none."""

import multiprocessing
import tempfile
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest
from msgspec.structs import replace

from reasond.core.experiment import effect, means
from reasond.simulation import scenario as scenarios
from reasond.simulation.measures import SAMPLE_S
from reasond.simulation.run import Job, Run
from reasond.simulation.world import START_WALL_NS
from reasond.switchback import parse

pytestmark = [pytest.mark.simulation, pytest.mark.timeout(900)]

PLAN = "rules,static:10m"
PAIRS = 6
TRIALS = 200
ALONE = scenarios.Agents(publishers=1, consumers=1)
BUSY = replace(scenarios.find("slow-consumer"), minutes=600.0, phase=(scenarios.Phase(0, 600, handler_slowdown=4.0),))
"""Consumers that can't quite keep up, all the time."""


def measured(policy, seed, folder, plan="", scenario=BUSY):
    """Run PAIRS pairs of blocks, under the plan or without; give the effect on depth as the plan sees it."""
    seconds = PAIRS * 2 * parse(PLAN).block_s
    environ = {"REASOND_SWITCHBACK": plan} if plan else {}
    run = Run(Job(scenario, policy, seed, seconds, environ), folder)
    run.advance(seconds)
    samples = [(START_WALL_NS + int(m.at_s * 1e9), float(sum(m.depths))) for m in run.watch.moments]
    return effect("depth", means(parse(PLAN), samples, SAMPLE_S))


def test_rules_against_nothing_is_seen_by_the_block(tmp_path):
    found = measured("rules", 1, tmp_path, plan=PLAN)

    assert found.pairs == PAIRS
    assert found.verdict == "less"
    assert found.high < 0


def alarmed(seed):
    """Tell whether a trial of rules against rules under a seed says that they differ."""
    with tempfile.TemporaryDirectory(prefix="reasond-trial-") as folder:
        one = replace(BUSY, agents=ALONE)
        return measured("rules", seed, Path(folder), scenario=one).verdict != "no measurable difference"


def test_of_200_trials_without_a_difference_at_most_5_percent_raise_a_false_alarm():
    with ProcessPoolExecutor(2, multiprocessing.get_context("forkserver")) as pool:
        alarms = sum(pool.map(alarmed, range(TRIALS)))
    print(f"{alarms} false alarms in {TRIALS} trials")

    assert alarms <= 0.05 * TRIALS
