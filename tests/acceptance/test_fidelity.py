"""What is simulated is what runs: the same load on real RabbitMQ with real processes, and in virtual time."""

import pytest

from tests.acceptance.fidelity import compare
from tests.testbed import provide

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(400)]


@pytest.fixture(scope="module")
def compared():
    for service in ("rabbitmq", "influxd"):
        provide.path_or_skip(service)
    found = compare()
    print(f"real      {found.real}\nsimulated {found.simulated}")
    return found


def test_the_load_is_one_that_tells_something(compared):
    assert compared.real.mean_depth > 15
    assert sum(compared.real.decisions.values()) > 30


def test_mean_depth_agrees_within_15_percent_or_2_messages(compared):
    real, simulated = compared.real.mean_depth, compared.simulated.mean_depth

    assert abs(simulated - real) <= max(0.15 * real, 2.0)


def test_throughput_agrees_within_5_percent(compared):
    assert compared.simulated.throughput_per_s == pytest.approx(compared.real.throughput_per_s, rel=0.05)


def test_every_agent_decides_as_often_give_or_take_one(compared):
    real, simulated = compared.real.decisions, compared.simulated.decisions

    assert set(real) == set(simulated)
    assert {
        agent: (count, simulated[agent]) for agent, count in real.items() if abs(count - simulated[agent]) > 1
    } == {}
