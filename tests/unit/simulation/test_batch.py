"""Many jobs side by side."""

import pytest

from reasond.errors import InputError
from reasond.simulation import scenario as scenarios
from reasond.simulation.batch import run_all
from reasond.simulation.run import Job

pytestmark = pytest.mark.unit


def test_jobs_side_by_side_give_what_one_after_the_other_gives():
    jobs = [Job(scenarios.find("calm"), "rules", seed, 300) for seed in (1, 2, 3)]
    ended = []

    together = run_all(jobs, 2, ended.append)

    assert together == run_all(jobs, 1)
    assert sorted(job.seed for job in ended) == [1, 2, 3]


@pytest.mark.parametrize("processes", [1, 2])
def test_what_a_job_raises_is_raised(processes):
    jobs = [Job(scenarios.find("calm"), policy, 1, 60) for policy in ("rules", "nobody", "rules")]

    with pytest.raises(InputError, match="no brain 'nobody'"):
        run_all(jobs, processes)
