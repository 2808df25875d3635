"""Lanes: results come back through `post`, hung jobs don't stop the others, nothing delays an exit."""

import queue
import subprocess
import sys
import threading

from reasond.adapters.lanes import Lane

DEADLINE_S = 10


def test_results_come_back_through_post():
    posted = queue.Queue()
    lane = Lane("t", 2, posted.put)
    results = []

    for number in range(20):
        lane.submit(lambda number=number: number * 2, results.append)
    for _ in range(20):
        posted.get(timeout=DEADLINE_S)()

    assert sorted(results) == [number * 2 for number in range(20)]


def test_a_job_that_hangs_leaves_the_other_threads_working():
    posted, hang = queue.Queue(), threading.Event()
    lane = Lane("t", 2, posted.put)

    lane.submit(hang.wait, lambda result: None)
    results = []
    for number in range(5):
        lane.submit(lambda number=number: number, results.append)
    for _ in range(5):
        posted.get(timeout=DEADLINE_S)()

    assert results == [0, 1, 2, 3, 4]
    hang.set()


def test_a_job_that_hangs_does_not_delay_the_exit():
    code = (
        "import threading; from reasond.adapters.lanes import Lane\n"
        "Lane('t', 1, lambda f: None).submit(threading.Event().wait, print)"
    )

    subprocess.run([sys.executable, "-c", code], check=True, timeout=DEADLINE_S)
