"""What the simulation must find: rules beat doing nothing where load matters, and coordination ends the swinging."""

import pytest

from reasond.simulation import scenario as scenarios
from reasond.simulation.batch import run_all
from reasond.simulation.compare import compare
from reasond.simulation.run import Job

pytestmark = [pytest.mark.simulation, pytest.mark.timeout(400)]

SEEDS = range(1, 9)


def compared(name, policies):
    scenario = scenarios.find(name)
    jobs = [Job(scenario, policy, seed, 60 * scenario.minutes) for policy in policies for seed in SEEDS]
    results = run_all(jobs, 1)
    assert all(result.figures.conserved for result in results)
    found = compare(results, policies)
    print(found.pairs[0].verdict)
    return found


def difference(found, measure):
    return next(one for one in found.pairs[0].differences if one.measure == measure)


@pytest.mark.parametrize("name", ["rush-hour", "burst", "slow-consumer"])
def test_rules_beat_static_on_time_in_overload(name):
    found = difference(compared(name, ["rules", "static"]), "overload")

    assert found.word == "better"
    assert found.high < 0


def test_in_calm_nothing_can_be_told_apart():
    found = compared("calm", ["rules", "static"])

    assert {one.word for one in found.pairs[0].differences} == {"no measurable difference"}


def test_coordination_ends_most_of_the_swinging_that_the_trap_makes():
    found = compared("oscillation-trap", ["rules", "rules-alone"])

    assert found.means["rules-alone"]["oscillation"] > 90
    assert found.means["rules"]["oscillation"] < 0.4 * found.means["rules-alone"]["oscillation"]
    assert difference(found, "oscillation").high < 0
