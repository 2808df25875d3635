"""What the simulation must find: rules beat doing nothing where load matters, and coordination ends the swinging."""

import pytest
from msgspec.structs import replace

from reasond.simulation import scenario as scenarios
from reasond.simulation.batch import run_all
from reasond.simulation.compare import compare
from reasond.simulation.run import Job

pytestmark = [pytest.mark.simulation, pytest.mark.timeout(400)]

SEEDS = range(1, 9)


def compared(name, policies):
    return compared_in(scenarios.find(name), policies)


def compared_in(scenario, policies):
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


def turns_of_a_single_publisher(trap):
    """Give what is left to turn when nobody needs to coordinate: one publisher at the rate of all ten."""
    settings = {
        name: value // trap.agents.publishers if name.endswith("_INTERVAL_S") else value
        for name, value in trap.settings.items()
    }
    alone = replace(trap, agents=replace(trap.agents, publishers=1), settings=settings)
    return compared_in(alone, ["rules", "static"]).means["rules"]["oscillation"]


def test_coordination_takes_away_the_swinging_that_many_publishers_make():
    found = compared("oscillation-trap", ["rules", "rules-alone"])
    single = turns_of_a_single_publisher(scenarios.find("oscillation-trap"))
    print(
        f"turns an hour: {found.means['rules-alone']['oscillation']:.0f} uncoordinated, "
        f"{found.means['rules']['oscillation']:.0f} coordinated, {single:.0f} by a single publisher"
    )

    assert found.means["rules-alone"]["oscillation"] > 2 * single
    assert found.means["rules"]["oscillation"] < single
    assert difference(found, "oscillation").high < 0
