"""Many jobs side by side, on as many processors as may be used; results come in the order of the jobs."""

import multiprocessing
import os
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from typing import Callable, Dict, List, Optional, Sequence

from reasond.simulation.policy import Desk
from reasond.simulation.run import Job, Result, simulate

Done = Callable[[Job], None]
"""Is told of each job that has ended."""


def run_all(
    jobs: Sequence[Job], processes: int, done: Done = lambda job: None, desk: Optional[Desk] = None
) -> List[Result]:
    """Run the jobs and give their results; `processes` 0 is one for each processor.

    With a desk they run one after the other in this process, since all share it. What a job raises ends the
    others that have not begun, and is raised.
    """
    count = min(len(jobs), processes or os.cpu_count() or 1)
    if count <= 1 or desk is not None:
        results = []
        for job in jobs:
            results.append(simulate(job, desk))
            done(job)
        return results
    # Not fork: whoever calls this may have threads, and a forked child may wait for ever for what they hold.
    context = multiprocessing.get_context("forkserver")
    with ProcessPoolExecutor(max_workers=count, mp_context=context) as pool:
        futures: Dict[Future[Result], Job] = {pool.submit(simulate, job): job for job in jobs}
        try:
            _await(futures, done)
        except BaseException:
            for future in futures:
                future.cancel()
            raise
        return [future.result() for future in futures]


def _await(futures: Dict["Future[Result]", Job], done: Done) -> None:
    waiting = set(futures)
    while waiting:
        ended, waiting = wait(waiting, return_when=FIRST_COMPLETED)
        for future in ended:
            future.result()
            done(futures[future])
