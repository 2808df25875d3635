"""Whole runs in virtual time: nothing is lost, one seed is one result, and what a scenario says happens."""

import pytest
from msgspec.structs import replace

from reasond.simulation import scenario as scenarios
from reasond.simulation.run import Job, Run, simulate

pytestmark = pytest.mark.unit


def run(name, policy="rules", seed=1, minutes=None, environ=None):
    scenario = scenarios.find(name)
    return simulate(Job(scenario, policy, seed, 60 * (minutes or scenario.minutes), environ or {})).figures


@pytest.mark.parametrize("name", ["burst", "consumer-loss"])
def test_every_message_is_accounted_for(name):
    found = run(name, minutes=20)

    assert found.conserved
    assert found.published > 500


def test_one_seed_gives_one_result_and_another_seed_another():
    first, again, other = (run("rush-hour", "dry-run", seed=seed, minutes=15) for seed in (1, 1, 2))

    assert first == again
    assert first != other


def test_policies_meet_the_same_load():
    static, rules = (run("burst", policy, minutes=12) for policy in ("static", "rules"))

    # Until the burst nothing is decided; then only what the publishers add differs.
    assert 0 < static.published - rules.published < 60


def test_killed_consumers_are_away_and_come_back_with_their_state(tmp_path):
    scenario = scenarios.find("consumer-loss")
    one = Run(Job(scenario, "static", 1, 3600), tmp_path)

    counts = []
    for minute in (14, 16, 34, 36):
        one.advance(60 * minute)
        counts.append(one.world.broker.queue_samples(one.world.clock.now().wall_ns)[-1].consumers)

    assert counts == [3, 1, 1, 3]
    assert one.world.agents["consumer-3"].life == 2
    assert one.result().figures.conserved


def test_a_feed_is_replayed_once_and_then_ends(tmp_path):
    scenario = replace(scenarios.find("feed-replay"), feed=scenarios.Feed(lines=40), minutes=5)
    environ = {"PUBLISHER_ANOMALY_RATE": "0"}

    one = Run(Job(scenario, "static", 1, 300, environ), tmp_path)
    one.advance(300)

    rows = [row for row in one.world.rows("publisher_metrics") if row.tags["agent_id"] == "publisher-1"]
    assert len(rows) == 40


def test_an_api_that_fails_leaves_the_decisions_to_the_rules():
    calm, outage = (run(name, "dry-run", minutes=40) for name in ("slow-consumer", "api-outage"))

    assert calm.fallbacks == 0
    assert outage.fallbacks > 0.3 * outage.decisions
    assert outage.usd < calm.usd


def test_an_api_that_admits_few_requests_refuses_the_others():
    scenario = replace(scenarios.find("calm"), api=scenarios.Api(requests_per_minute=3))

    found = simulate(Job(scenario, "dry-run", 1, 600)).figures

    answered = found.decisions - found.fallbacks
    assert answered <= 3 * 11
    assert found.fallbacks > answered


def test_beyond_its_length_a_scenario_begins_anew():
    scenario = scenarios.read(
        b"title = 'x'\nabout = 'y'\nminutes = 10\n[[phase]]\nbegin_min = 2\nend_min = 4\nload_hz = 5\n", "mine"
    )

    once, thrice = (simulate(Job(scenario, "static", 1, 600 * times)).figures.published for times in (1, 3))

    assert thrice == pytest.approx(3 * once, rel=0.1)
