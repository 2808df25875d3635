"""Nothing is lost in any scenario, whoever decides."""

import pytest

from reasond.simulation import scenario as scenarios
from reasond.simulation.run import Job, simulate

pytestmark = [pytest.mark.simulation, pytest.mark.timeout(120)]


@pytest.mark.parametrize("name", scenarios.SHIPPED)
@pytest.mark.parametrize("policy", ["rules", "static", "dry-run-alone"])
def test_every_message_of_every_scenario_is_accounted_for(name, policy):
    scenario = scenarios.find(name)

    found = simulate(Job(scenario, policy, 3, 60 * scenario.minutes)).figures

    assert found.conserved
    assert found.published > 500
    assert found.processed + found.batched > 0.6 * found.published
    # Only a process that was killed can have worked on a message without acknowledging it.
    assert found.doubles == 0 or name == "consumer-loss"
