"""The Markdown of a comparison says who is better, by how much, and where it is worse."""

import pytest
from msgspec.structs import replace

from reasond.simulation import scenario as scenarios
from reasond.simulation.compare import compare
from reasond.simulation.run import Job, Result, simulate
from reasond.simulation.tables import markdown

pytestmark = pytest.mark.unit


def test_a_row_names_the_verdict_the_difference_and_what_got_worse():
    base = simulate(Job(scenarios.find("calm"), "static", 1, 3600)).figures
    results = []
    for seed in range(6):
        results.append(Result("calm", "rules", seed, replace(base, overload_min=1.0, throughput_per_min=30.0)))
        results.append(Result("calm", "static", seed, replace(base, overload_min=4.0)))

    text = markdown([compare(results, ["rules", "static"])])

    row = text.splitlines()[-1]
    assert row.startswith("| calm | **better** | 1.0 / 4.0 | -3.0 (-3.0 to -3.0) |")
    assert row.endswith("| handled in time, throughput |")
    assert {line.count("|") for line in text.splitlines() if line.startswith("|")} == {11}
